/* track.c - `sunup track PART ...`: performance and stability over time. docs/tracking.md tells how to live with it.
 *
 * Each part reads or adds records in the folder --history; none of them keeps a state of its own. Exit status 3:
 * all went well, and something got worse.
 */
#include "track.h"

#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/system.h"
#include "base/words.h"
#include "track/import.h"
#include "track/report.h"

const char *track_folder(const struct command *c)
{
    return c->history != NULL ? c->history : "track";
}

const char *track_suites(const struct command *c)
{
    return c->suites != NULL ? c->suites : SUNUP_BENCH_FOLDER "/suites";
}

int track_done(struct command *c, sunup_status status, int worse)
{
    if (status != SUNUP_OK) return fail(c, status);
    return worse > 0 ? EXIT_WORSE : 0;
}

/* ----------------------------------------------------------------------------- runs --- */

/* "conv_56 lenet" */
static sunup_status keep_selection(struct command *c, struct track_history *h, struct track_run *run)
{
    struct text t = {0};
    sunup__text(&t, "%s", "");
    for (int i = 1; i < c->n_operands; i++)
        sunup__text(&t, "%s%s", i > 1 ? " " : "", c->operand[i]);
    const sunup_status status = sunup__track_add_fact(c->ctx, h, run, "selection", t.s != NULL ? t.s : "");
    sunup__free(t.s);
    return status;
}

sunup_status track_begin(struct command *c, struct track_history *h, struct track_run **run)
{
    *run = sunup__track_add_run(h, "", (int64_t)time(NULL));
    CHECK(*run != NULL, c->ctx, E_MEMORY, "no memory for a run");
    TRY(track_identify(c, c->candidate, h, *run));
    return keep_selection(c, h, *run);
}

int track_failures(const struct track_run *run)
{
    int n = 0;
    for (int i = 0; i < run->n_rows; i++)
        n += run->rows[i].kind == TRACK_OUTCOME && run->rows[i].outcome >= TRACK_CRASH;
    return n;
}

static sunup_status measure(struct command *c, struct track_cases *cases, struct track_history *h,
                            int *failures)
{
    struct track_run *run;
    TRY(track_cases_load(c, track_suites(c), c->n_operands - 1, c->operand + 1, cases));
    TRY(track_begin(c, h, &run));
    TRY(track_measure(c, c->candidate, cases, h, run));
    *failures = track_failures(run);
    return sunup__track_write(c->ctx, track_folder(c), run);
}

/* `sunup track run [SUITE|CASE...]` */
static int part_run(struct command *c)
{
    struct track_cases cases = {0};
    struct track_history h = {0};
    int failures = 0;
    const sunup_status status = measure(c, &cases, &h, &failures);
    track_cases_end(&cases);
    sunup__track_end(&h);
    return track_done(c, status, failures);
}

static sunup_status against(struct command *c, struct track_cases *cases, struct track_history *h,
                            int *worse)
{
    struct track_run *run;
    CHECK(c->baseline != NULL, c->ctx, E_ARGUMENT,
          "sunup track compare needs --baseline PROGRAM: another sunup to compare this one with");
    TRY(track_cases_load(c, track_suites(c), c->n_operands - 1, c->operand + 1, cases));
    TRY(track_begin(c, h, &run));
    const sunup_status compared = track_compare(c, c->baseline, c->candidate, cases, h, run);
    if (c->history != NULL && run->n_rows > 0) TRY(sunup__track_write(c->ctx, c->history, run));
    TRY(compared); /* of one case: the others are in the record */
    const struct track_judge_options o = sunup__track_judge_defaults();
    struct track_verdict v;
    TRY(sunup__track_judge(c->ctx, h, &o, &v));
    track_show(c, h, &v);
    *worse = v.n_new_worse;
    sunup__track_verdict_end(&v);
    return SUNUP_OK;
}

/* `sunup track compare --baseline PROGRAM [SUITE|CASE...]` */
static int part_compare(struct command *c)
{
    struct track_cases cases = {0};
    struct track_history h = {0};
    int worse = 0;
    const sunup_status status = against(c, &cases, &h, &worse);
    track_cases_end(&cases);
    sunup__track_end(&h);
    return track_done(c, status, worse);
}

/* --------------------------------------------------------------------------- report --- */

static json_t *finding_json(const struct track_history *h, const struct track_finding *f)
{
    const struct track_row *r = f->series->key;
    json_t *j = json_pack("{s:s, s:b, s:b, s:s, s:s, s:s, s:s, s:s, s:s}", "gate",
                          sunup__track_gate_name(f->gate), "new", f->is_new, "worse", f->worse, "suite",
                          r->suite, "name", r->name, "engine", r->engine, "quantity", r->quantity, "run",
                          h->runs[f->run].id, "text", f->text);
    if (j != NULL && f->change == f->change)
        (void)json_object_set_new(j, "change", json_real(f->change));
    return j;
}

void track_show(const struct command *c, const struct track_history *h, const struct track_verdict *v)
{
    if (c->json) {
        json_t *findings = json_array();
        for (int i = 0; i < v->n; i++)
            (void)json_array_append_new(findings, finding_json(h, &v->findings[i]));
        print_json(json_pack("{s:i, s:i, s:i, s:i, s:o}", "runs", h->n_runs, "series", v->table.n, "new",
                             v->n_new, "worse", v->n_new_worse, "findings", findings));
        return;
    }
    (void)printf("  %d runs, %d series: %d new findings, %d of them for the worse\n", h->n_runs, v->table.n,
                 v->n_new, v->n_new_worse);
    for (int i = 0; i < v->n_new; i++)
        (void)printf("  %-6s %-8s %s\n", v->findings[i].worse ? "WORSE" : "new",
                     sunup__track_gate_name(v->findings[i].gate), v->findings[i].text);
}

static sunup_status write_one(struct command *c, const char *folder, const char *name,
                              const struct track_report *r,
                              void (*make)(struct text *t, const struct track_report *r))
{
    struct text t = {0}, path = {0};
    make(&t, r);
    sunup__text(&path, "%s/%s", folder, name);
    sunup_status status = t.s != NULL && path.s != NULL
                              ? sunup__file_write(c->ctx, path.s, t.s, t.n)
                              : sunup__raise(c->ctx, SUNUP_E_MEMORY, "no memory for %s", name);
    sunup__free(t.s);
    sunup__free(path.s);
    return status;
}

static sunup_status write_all(struct command *c, const char *folder, const struct track_report *r)
{
    TRY(sunup__make_folder(c->ctx, folder));
    TRY(write_one(c, folder, "index.html", r, sunup__track_html));
    TRY(write_one(c, folder, "junit.xml", r, sunup__track_junit));
    TRY(write_one(c, folder, "metrics.txt", r, sunup__track_openmetrics));
    return write_one(c, folder, "badge.svg", r, sunup__track_badge);
}

int track_report(struct command *c)
{
    struct track_history h = {0};
    struct track_verdict v = {0};
    struct text folder = {0};
    const struct track_judge_options o = sunup__track_judge_defaults();
    sunup__text(&folder, "%s%s", c->output != NULL ? c->output : track_folder(c),
                c->output != NULL ? "" : "/report");
    sunup_status status = sunup__track_load(c->ctx, track_folder(c), &h);
    if (status == SUNUP_OK && h.n_runs == 0)
        status = sunup__raise(c->ctx, SUNUP_E_FILE,
                              "%s: no records; `sunup track run` makes one, --history names the folder",
                              track_folder(c));
    if (status == SUNUP_OK) status = sunup__track_judge(c->ctx, &h, &o, &v);
    const struct track_report r = {&h, &v, "sunup"};
    if (status == SUNUP_OK) status = write_all(c, folder.s, &r);
    if (status == SUNUP_OK) track_show(c, &h, &v);
    if (status == SUNUP_OK && !c->json) (void)printf("  %s/index.html\n", folder.s);
    const int worse = v.n_new_worse;
    sunup__track_verdict_end(&v);
    sunup__track_end(&h);
    sunup__free(folder.s);
    return track_done(c, status, worse);
}

/* --------------------------------------------------------------------------- import --- */

/* A file without a time of its own was measured when it was last written. */
static int64_t changed_at(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (int64_t)st.st_mtime : (int64_t)time(NULL);
}

/* The same file gives the same name, so that it is added once. */
static sunup_status add_import(struct command *c, const char *path, struct track_run *run)
{
    struct text file = {0};
    sunup__text(&file, "%s/%s.jsonl", track_folder(c), run->id);
    const bool there = file.s != NULL && sunup__file_exists(file.s);
    sunup__free(file.s);
    if (!there) TRY(sunup__track_write(c->ctx, track_folder(c), run));
    if (!c->quiet) (void)printf("  %s: %s\n", path, there ? "is in the history already" : "added");
    return SUNUP_OK;
}

static sunup_status import_text(struct command *c, const char *path, const char *text, size_t bytes)
{
    const struct track_import o = {.format = c->format, .columns = c->columns, .source = c->source};
    struct track_history h = {0};
    sunup_status status = sunup__track_import(c->ctx, path, text, bytes, &o, 0, &h);
    if (status == SUNUP_E_FORMAT)
        status = sunup__track_import(c->ctx, path, text, bytes, &o, changed_at(path), &h);
    if (status == SUNUP_OK) status = add_import(c, path, &h.runs[0]);
    sunup__track_end(&h);
    return status;
}

static sunup_status import_all(struct command *c)
{
    CHECK(c->n_operands > 1, c->ctx, E_ARGUMENT, "sunup track import needs files of benchmark results");
    for (int i = 1; i < c->n_operands; i++) {
        void *text;
        size_t bytes;
        TRY(sunup__file_read(c->ctx, c->operand[i], &text, &bytes));
        const sunup_status status = import_text(c, c->operand[i], text, bytes);
        sunup__free(text);
        TRY(status);
    }
    return SUNUP_OK;
}

/* `sunup track import FILE...` */
static int part_import(struct command *c)
{
    return track_done(c, import_all(c), 0);
}

/* ------------------------------------------------------------------------- the verb --- */

int verb_track(struct command *c)
{
    static const struct {
        const char *name;
        int (*run)(struct command *c);
    } parts[] = {{"run", part_run},           {"compare", part_compare}, {"report", track_report},
                 {"weekly", track_weekly},    {"import", part_import},   {"query", track_query},
                 {"selftest", track_selftest}, {"bisect", track_bisect},  {"band", track_band},
                 {"pin", track_pin}};
    enum { N_PARTS = sizeof parts / sizeof parts[0] };
    const char *names[N_PARTS];
    for (int i = 0; i < N_PARTS; i++) {
        names[i] = parts[i].name;
        if (strcmp(c->operand[0], parts[i].name) == 0) return parts[i].run(c);
    }
    char hint[HINT_TEXT];
    return complain(EXIT_USAGE,
                    "sunup track knows run, compare, report, weekly, import, query, selftest, bisect, band "
                    "and pin, not '%s'%s",
                    c->operand[0], sunup__hint(hint, c->operand[0], N_PARTS, names));
}
