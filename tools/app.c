/* app.c - `sunup app NAME`: a science workload from its data to its scores; `sunup data NAME`: its data, made.
 *
 * Training is that of `sunup train` on all ranks; scores, pictures and tasks are rank 0's. The exit status is 1 if a
 * score misses its goal.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/system.h"
#include "inside.h"
#include "program.h"

static void list(FILE *to)
{
    const struct app *a;
    for (int i = 0; (a = app_at(i)) != NULL; i++) {
        const int missing = app_files_missing(a, false);
        (void)fprintf(to, "  %-14s %s%s\n", a->name, a->question,
                      missing > 0 ? " (data missing: sunup data)" : "");
    }
}

static sunup_status find(struct command *c, const struct app **a)
{
    *a = app_find(c->operand[0]);
    return *a != NULL ? SUNUP_OK : app_unknown(c->ctx, c->operand[0]);
}

/* ---- the run ---- */

static const char *variant(const struct command *c)
{
    return c->full ? "full" : "run";
}

/* The folder of an earlier run is left alone: runs/gw, runs/gw-2, ... Agreed upon before any rank makes it. */
static sunup_status choose_folder(struct command *c, struct session *s)
{
    struct run_file *r = &s->run;
    const char *first = r->o.run_dir;
    struct text t = {0};
    for (int n = 2; !c->resume.given && c->weights == NULL && first != NULL; n++) {
        if (!sunup__file_exists(r->o.run_dir)) break;
        t.n = 0;
        sunup__text(&t, "%s-%d", first, n);
        r->o.run_dir = t.s != NULL ? sunup__arena_strdup(&r->arena, t.s) : NULL;
        if (r->o.run_dir == NULL) break;
    }
    sunup__free(t.s);
    const bool good = first == NULL || r->o.run_dir != NULL;
    if (!good) (void)sunup__raise(c->ctx, SUNUP_E_MEMORY, "no memory for the name of a run folder");
    return sunup_comm_agree(c->comm, good ? SUNUP_OK : SUNUP_E_MEMORY);
}

static sunup_status load(struct command *c, const struct app *a, struct session *s)
{
    struct text path = {0};
    sunup__text(&path, "%s/%s/%s.yaml", app_folder(), a->name, variant(c));
    CHECK(path.s != NULL, c->ctx, E_MEMORY, "no memory for the name of a run file");
    const char *name = c->operand[0];
    c->operand[0] = path.s;
    const sunup_status status = session_load(c, s);
    c->operand[0] = name;
    if (s->run.path == path.s) s->run.path = sunup__arena_strdup(&s->run.arena, path.s);
    sunup__free(path.s);
    return status;
}

/* With --json all is printed at the end, with the scores. */
static sunup_status train(struct command *c, struct session *s)
{
    if (c->weights != NULL)
        return sunup_comm_agree(c->comm, sunup_model_load_weights(s->model, c->weights));
    TRY(session_start(c, s));
    const bool json = c->json, quiet = c->quiet;
    c->json = false;
    c->quiet = quiet || json;
    s->keeps_result = json;
    const sunup_status status = session_train(c, s);
    c->json = json;
    c->quiet = quiet;
    return status;
}

/* ---- scores ---- */

static json_t *scores_json(const struct app_run *r)
{
    json_t *rows = json_array();
    for (int i = 0; i < r->scores->n_rows; i++) {
        const struct app_row *row = &r->scores->rows[i];
        json_t *j = json_pack("{s:s, s:b}", "score", row->what, "good", app_row_good(row));
        if (isfinite(row->value)) (void)json_object_set_new(j, "value", json_real(row->value));
        if (row->goal != APP_REPORT) {
            const char *is = row->goal == APP_AT_LEAST ? "at_least" : "at_most";
            (void)json_object_set_new(j, "goal", json_real(row->limit));
            (void)json_object_set_new(j, "goal_is", json_string(is));
        }
        (void)json_array_append_new(rows, j);
    }
    return json_pack("{s:s, s:s, s:I, s:o}", "app", r->name, "variant", r->variant, "seed",
                     (json_int_t)r->seed, "scores", rows);
}

static void print_scores(struct command *c, json_t *trained, struct app_run *r)
{
    if (c->json) {
        json_t *j = scores_json(r);
        if (trained != NULL) (void)json_object_update_missing(j, trained);
        (void)json_object_set_new(j, "seconds", json_real(sunup__now_s() - c->start_s));
        print_json(j);
    } else {
        app_scores_print(r, stdout);
    }
    const int missed = app_scores_missed(r->scores);
    if (missed > 0) (void)complain(EXIT_ERROR, "%s: %d goal(s) missed", r->name, missed);
}

static sunup_status score(struct command *c, const struct app *a, json_t *trained, struct app_run *r)
{
    if (c->task != NULL) {
        CHECK(a->task != NULL, c->ctx, E_ARGUMENT, "the app '%s' has no tasks", a->name);
        TRY(a->task(r, c->task));
    } else {
        CHECK(a->score != NULL && r->eval != NULL, c->ctx, E_ARGUMENT,
              "the run of '%s' has nothing to score: data.eval is missing", a->name);
        TRY(a->score(r));
        if (c->weights == NULL) app_scores_losses(r);
    }
    print_scores(c, trained, r);
    return c->csv != NULL ? app_scores_append(r, c->csv) : SUNUP_OK;
}

static sunup_status run_app(struct command *c, int *missed)
{
    const struct app *a;
    TRY(find(c, &a));
    struct session s = {0};
    struct app_scores scores = {0};
    sunup_status status = load(c, a, &s);
    if (status == SUNUP_OK) status = choose_folder(c, &s);
    if (status == SUNUP_OK && c->task == NULL) status = train(c, &s);
    if (status == SUNUP_OK && sunup_comm_rank(c->comm) == 0) {
        struct app_run r = {.ctx = c->ctx,
                            .name = a->name,
                            .variant = variant(c),
                            .run_dir = s.run.o.run_dir,
                            .seed = s.run.o.seed,
                            .model = s.model,
                            .train = s.train,
                            .eval = s.eval,
                            .scores = &scores};
        status = score(c, a, s.result, &r);
        *missed = app_scores_missed(&scores);
    }
    if (c->comm != NULL) status = sunup_comm_agree(c->comm, status);
    app_scores_end(&scores);
    session_close(&s);
    return status;
}

int verb_app(struct command *c)
{
    if (c->n_operands == 0) {
        list(stdout);
        return 0;
    }
    int missed = 0;
    const sunup_status status = run_app(c, &missed);
    if (status != SUNUP_OK) return fail(c, status);
    return missed > 0 ? EXIT_ERROR : 0;
}

/* ---- data ---- */

/* The app's own script, with the folder to fill as its argument. */
static sunup_status make(struct command *c, const struct app *a)
{
    struct text script = {0};
    sunup__text(&script, "%s/%s/data", app_folder(), a->name);
    const char *to = c->output != NULL ? c->output : "data";
    CHECK(script.s != NULL, c->ctx, E_MEMORY, "no memory for the name of a script");
    if (!sunup__file_exists(script.s)) {
        sunup__free(script.s);
        RAISE(c->ctx, E_ARGUMENT,
              "the data of '%s' come by no package; %s/%s/README.md says where they are published",
              a->name, app_folder(), a->name);
    }
    (void)fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        (void)execl(script.s, script.s, to, (char *)NULL);
        _exit(127);
    }
    int result = -1;
    const bool ended = child > 0 && waitpid(child, &result, 0) == child;
    const bool good = ended && WIFEXITED(result) && WEXITSTATUS(result) == 0;
    if (!good)
        (void)sunup__raise(c->ctx, SUNUP_E_FILE, "%s %s did not succeed", script.s, to);
    sunup__free(script.s);
    return good ? SUNUP_OK : SUNUP_E_FILE;
}

int verb_data(struct command *c)
{
    const struct app *a;
    if (c->n_operands == 0) {
        for (int i = 0; (a = app_at(i)) != NULL; i++) {
            (void)printf("  %s%s\n", a->name, a->files[0] == '\0' ? ": makes its own" : "");
            (void)app_files_missing(a, true);
        }
        return 0;
    }
    sunup_status status = find(c, &a);
    if (status == SUNUP_OK) status = make(c, a);
    return status == SUNUP_OK ? 0 : fail(c, status);
}
