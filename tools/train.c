/* train.c - `sunup train RUN.yaml`. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/system.h"
#include "facts.h"
#include "program.h"
#include "train/train.h"

/* A signal handler can reach a trainer only through static memory; NULL while there is none. */
static sunup_trainer *volatile running;
static volatile sig_atomic_t signal_number;

/* The first signal asks for a clean end; the second one acts as if there were no handler. */
static void on_signal(int number)
{
    signal_number = number;
    if (running != NULL) sunup_trainer_stop(running);
    (void)signal(number, SIG_DFL);
}

static void catch_signals(sunup_trainer *t)
{
    static bool caught;
    running = t;
    if (signal_number != 0) sunup_trainer_stop(t); /* it was asked of the trainer before */
    if (caught) return;
    caught = true;
    const int numbers[] = {SIGINT, SIGTERM, SIGUSR1};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
        (void)sigemptyset(&action.sa_mask);
        (void)sigaction(numbers[i], &action, NULL);
    }
}

struct progress {
    bool bar, lines;
    double start_s;
    struct facts facts;
};

static void on_step(void *arg, const sunup_metrics *m, int64_t in_epoch, int64_t of)
{
    struct progress *p = arg;
    facts_step(&p->facts, m->step_s);
    if (p->bar) show_bar(m, in_epoch, of);
}

static void on_epoch(void *arg, const sunup_metrics *train, const sunup_metrics *eval)
{
    const struct progress *p = arg;
    if (p->lines) show_epoch(train, eval, sunup__now_s() - p->start_s);
}

static void introduce(struct command *c, struct session *s)
{
    char *summary = sunup_model_summary(s->model, s->run.o.batch / s->run.o.shards);
    if (summary != NULL) (void)printf("%s\n", summary);
    sunup_free(summary);
    if (s->model->note != NULL) (void)printf("%s\n", s->model->note);
    (void)printf("  %lld training samples, batch %lld in %d shards, %d rank(s) of %d thread(s), "
                 "kernels %s, about "
                 "%.0f MB a rank\n",
                 (long long)sunup_data_samples(s->train), (long long)s->run.o.batch,
                 s->run.o.shards, sunup_comm_ranks(c->comm), sunup_context_threads(c->ctx),
                 sunup_context_isa(c->ctx),
                 1e-6 * (double)sunup__trainer_bytes(s->trainer, sunup_comm_ranks(c->comm)));
    const char *way = sunup__trainer_exchange(s->trainer);
    if (way[0] != '\0') (void)printf("  gradients travel by %s\n", way);
    (void)printf("\n");
    show_epoch_head();
    (void)fflush(stdout);
}

/* The run as it is, beside its results. */
static void keep_run_file(struct command *c, const struct session *s)
{
    if (s->run.o.run_dir == NULL || sunup__make_folder(c->ctx, s->run.o.run_dir) != SUNUP_OK)
        return;
    struct text path = {0};
    sunup__text(&path, "%s/run.yaml", s->run.o.run_dir);
    FILE *f = path.s != NULL ? sunup__file_open(path.s, "w") : NULL;
    if (f != NULL) {
        run_file_print(&s->run, f);
        (void)fclose(f);
    }
    sunup__free(path.s);
}

static json_t *result_json(struct command *c, const struct session *s, const sunup_metrics *last,
                           const struct progress *p)
{
    json_t *j = metrics_json(last);
    char hash[20];
    (void)snprintf(hash, sizeof hash, "%016llx", (unsigned long long)sunup_model_hash(s->model));
    (void)json_object_set_new(j, "hash", json_string(hash));
    (void)json_object_set_new(j, "repeated", json_integer(sunup__trainer_repeated(s->trainer)));
    (void)json_object_set_new(j, "exchange", json_string(sunup__trainer_exchange(s->trainer)));
    (void)json_object_set_new(j, "seconds", json_real(sunup__now_s() - p->start_s));
    (void)json_object_set_new(j, "peak_bytes", json_integer(sunup__memory_peak()));
    facts_put(j, c, s, &p->facts);
    return j;
}

static void conclude(struct command *c, struct session *s, const sunup_metrics *last,
                     const struct progress *p)
{
    const int64_t repeated = sunup__trainer_repeated(s->trainer);
    if (s->keeps_result) s->result = result_json(c, s, last, p);
    if (c->json) print_json(result_json(c, s, last, p));
    if (c->json || c->quiet) return;
    if (s->eval != NULL) show_confusion(sunup__trainer_confusion(s->trainer));
    (void)printf("\n  step %lld, weights %016llx, %.1f s, peak memory %.0f MB\n",
                 (long long)last->step, (unsigned long long)sunup_model_hash(s->model),
                 sunup__now_s() - p->start_s, 1e-6 * (double)sunup__memory_peak());
    if (repeated > 0)
        (void)printf("  %lld batches computed twice: gradients outgrew the integers of their sum\n",
                     (long long)repeated);
    if (s->run.o.run_dir != NULL)
        (void)printf(
            "  run folder %s: report.html, metrics.jsonl, checkpoints, TensorBoard events\n",
            s->run.o.run_dir);
}

/* "10-20": the steps after the first 10 to the 20th, counted from where this run starts. */
static sunup_status begin_trace(struct command *c, struct session *s)
{
    int from = 10, to = 20, n = 0;
    if (c->trace.text != NULL)
        CHECK(sscanf(c->trace.text, "%d-%d%n", &from, &to, &n) == 2 && c->trace.text[n] == '\0',
              c->ctx, E_ARGUMENT, "--trace=%s: must be FIRST-LAST, such as 10-20", c->trace.text);
    return sunup__trainer_trace(s->trainer, from, to);
}

sunup_status session_train(struct command *c, struct session *s)
{
    const bool first = sunup_comm_rank(c->comm) == 0;
    struct progress p = {.bar = first && !c->quiet && !c->json && show_terminal(),
                         .lines = first && !c->quiet && !c->json,
                         .start_s = sunup__now_s(),
                         .facts.start_s = c->start_s};
    const struct train_hooks hooks = {.arg = &p, .step = on_step, .epoch = on_epoch};
    sunup__trainer_hooks(s->trainer, &hooks);
    if (c->resume.given) TRY(sunup_trainer_restore(s->trainer, c->resume.text));
    if (p.lines) introduce(c, s);
    if (first) keep_run_file(c, s);
    if (c->trace.given) TRY(begin_trace(c, s));
    catch_signals(s->trainer);
    sunup_metrics last;
    TRY(sunup_trainer_run(s->trainer, s->eval, &last));
    if (first) conclude(c, s, &last, &p);
    return first && c->trace.given && !c->json ? profile_trace(c, s) : SUNUP_OK;
}

/* --- ranks that die, with --shrink --- */

/* What the first rank knows and tells; it stays where it is, for its message may come late. */
static struct standing {
    int32_t concluded, has_checkpoint;
} standing;

static sunup_status check_shrink(struct command *c, const struct session *s)
{
    if (!c->shrink) return SUNUP_OK;
    TRY(sunup__comm_check_shrink(c->comm));
    CHECK(sunup_comm_ranks(c->comm) <= s->run.o.shards, c->ctx, E_UNSUPPORTED,
          "--shrink: %d ranks hold parts of %d shards, which fewer could not; start at most as many ranks as shards",
          sunup_comm_ranks(c->comm), s->run.o.shards);
    return SUNUP_OK;
}

/* The results are complete when all have come to the end; a first rank that dies before has not shown them all. */
static sunup_status train_to_the_end(struct command *c, struct session *s)
{
    TRY(session_train(c, s));
    if (!c->shrink) return SUNUP_OK;
    standing.concluded = sunup_comm_rank(c->comm) == 0;
    (void)fflush(stdout);
    return sunup__comm_leave(c->comm);
}

static sunup_status find_standing(struct command *c, const struct session *s)
{
    struct text newest = {0};
    if (sunup_comm_rank(c->comm) == 0 && s->run.o.run_dir != NULL)
        standing.has_checkpoint = sunup__checkpoint_newest(c->ctx, s->run.o.run_dir, &newest) == SUNUP_OK;
    sunup__free(newest.s);
    TRY(sunup__comm_broadcast(c->comm, &standing, sizeof standing, 0, "where the run stands"));
    if (standing.has_checkpoint) c->resume = (struct optional){.given = true};
    return SUNUP_OK;
}

/* On the ranks that are left, from the newest checkpoint; the bits do not depend on how many they are. */
static sunup_status go_on(struct command *c, struct session *s)
{
    running = NULL;
    TRY(session_shrink(c, s));
    TRY(find_standing(c, s));
    if (standing.concluded) return sunup__comm_leave(c->comm);
    TRY(session_again(c, s));
    return train_to_the_end(c, s);
}

int verb_train(struct command *c)
{
    struct session s;
    c->beats = true;
    sunup_status status = session_open(c, &s);
    if (status == SUNUP_OK) status = check_shrink(c, &s);
    if (status == SUNUP_OK) status = train_to_the_end(c, &s);
    while (lost_go_on(c, status, s.run.o.run_dir)) status = go_on(c, &s);
    int result = 0;
    if (status == SUNUP_E_HANG) lost_record(c, s.run.o.run_dir);
    if (status != SUNUP_OK) result = fail(c, status);
    if (status == SUNUP_E_STOPPED) result = 128 + (signal_number != 0 ? signal_number : SIGTERM);
    session_close(&s);
    return result;
}
