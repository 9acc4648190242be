/* record.c - what a run leaves for people and programs: metrics as JSON Lines, TensorBoard events, the report.
 *
 * metrics.jsonl is the truth: one object a line, {"step": ..., "loss": ...}, evaluations with "eval": true. A resumed
 * run drops the lines after the step it goes on from, so that the file reads as if nothing had happened. Failing to
 * record is told once and never ends a run.
 */
#include "train/record.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/system.h"

static void add_row(struct recorder *r, const struct row *row)
{
    if (r->n_rows == r->room_rows) {
        const int64_t room = 2 * r->room_rows + 64;
        struct row *rows = sunup__realloc(r->rows, (size_t)room * sizeof *rows);
        if (rows == NULL) return; /* the report lacks a point; the file has it */
        r->rows = rows;
        r->room_rows = room;
    }
    r->rows[r->n_rows++] = *row;
}

/* JSON has no NaN: such a field is left out. */
static void number(FILE *f, const char *name, double x)
{
    if (isfinite(x)) (void)fprintf(f, ", \"%s\": %.9g", name, x);
}

static void warn(struct recorder *r)
{
    if (r->path == NULL || r->warned) return;
    r->warned = true;
    sunup__log(r->ctx, SUNUP_LOG_WARN, "%s: cannot be written: %s", r->path, strerror(errno));
}

/* The folder and the file come with the first row: a process that only looks leaves nothing behind, and a resumed run
 * may still want the old rows. */
static void open_file(struct recorder *r)
{
    if (sunup__make_folder(r->ctx, r->run_dir) == SUNUP_OK) r->file = sunup__file_open(r->path, "w");
}

static void write_row(struct recorder *r, const struct row *row)
{
    if (r->file == NULL && r->path != NULL && !r->warned) open_file(r);
    if (r->file == NULL) return warn(r);
    const sunup_metrics *m = &row->m;
    (void)fprintf(r->file, "{\"step\": %lld, \"epoch\": %.9g", (long long)m->step, m->epoch);
    if (row->eval) (void)fprintf(r->file, ", \"eval\": true");
    number(r->file, "loss", m->loss);
    number(r->file, "accuracy", m->accuracy);
    number(r->file, "lr", m->lr);
    number(r->file, "grad_norm", m->grad_norm);
    number(r->file, "step_s", m->step_s);
    if (!row->eval) {
        number(r->file, "data_s", m->data_s);
        number(r->file, "comm_s", m->comm_s);
    }
    (void)fprintf(r->file, "}\n");
    if (fflush(r->file) != 0) warn(r);
}

static void record(struct recorder *r, const sunup_metrics *m, bool eval)
{
    if (r == NULL || m == NULL) return;
    const struct row row = {.m = *m, .eval = eval};
    add_row(r, &row);
    write_row(r, &row);
    sunup__events_add(r->events, m, eval);
}

void sunup__record_step(struct recorder *r, const sunup_metrics *m)
{
    record(r, m, false);
}

void sunup__record_evaluation(struct recorder *r, const sunup_metrics *train,
                              const sunup_metrics *eval)
{
    if (r == NULL) return;
    /* The epoch's last training row, unless it has just been written. */
    if (r->n_rows == 0 || r->rows[r->n_rows - 1].m.step != train->step) record(r, train, false);
    record(r, eval, true);
}

static double field(const char *line, const char *name)
{
    char key[32];
    (void)snprintf(key, sizeof key, "\"%s\": ", name);
    const char *at = strstr(line, key);
    return at != NULL ? strtod(at + strlen(key), NULL) : NAN;
}

static struct row parse_row(const char *line)
{
    return (struct row){.eval = strstr(line, "\"eval\": true") != NULL,
                        .m = {.step = (int64_t)field(line, "step"),
                              .epoch = field(line, "epoch"),
                              .loss = field(line, "loss"),
                              .accuracy = field(line, "accuracy"),
                              .lr = field(line, "lr"),
                              .grad_norm = field(line, "grad_norm"),
                              .step_s = field(line, "step_s"),
                              .data_s = field(line, "data_s"),
                              .comm_s = field(line, "comm_s")}};
}

/* Rows of an earlier part of the run up to `step`, back in memory; returns the bytes of the file they take. */
static size_t reread(struct recorder *r, char *text, size_t bytes, int64_t step)
{
    size_t kept = 0;
    for (char *line = text; line < text + bytes;) {
        char *end = memchr(line, '\n', (size_t)(text + bytes - line));
        if (end == NULL) break; /* a last line that a crash cut short */
        *end = '\0';
        const struct row row = parse_row(line);
        if (isnan(field(line, "step")) || row.m.step > step) break;
        add_row(r, &row);
        line = end + 1;
        kept = (size_t)(line - text);
    }
    return kept;
}

void sunup__record_rewind(struct recorder *r, int64_t step)
{
    if (r == NULL || r->path == NULL) return;
    void *text;
    size_t bytes;
    r->n_rows = 0;
    if (r->file != NULL) (void)fclose(r->file);
    r->file = NULL;
    if (sunup__file_read(r->ctx, r->path, &text, &bytes) == SUNUP_OK) {
        const size_t kept = reread(r, text, bytes, step);
        sunup__free(text);
        if (truncate(r->path, (off_t)kept) != 0)
            sunup__log(r->ctx, SUNUP_LOG_WARN, "%s: cannot be cut: %s", r->path, strerror(errno));
    }
    r->file = sunup__file_open(r->path, "a");
}

static sunup_status open_files(sunup_trainer *t, struct recorder *r)
{
    r->ctx = t->ctx;
    if (t->o.run_dir == NULL) return SUNUP_OK;
    r->run_dir = t->o.run_dir;
    struct text path = {0};
    sunup__text(&path, "%s/metrics.jsonl", t->o.run_dir);
    r->path = path.s;
    CHECK(r->path != NULL, t->ctx, E_MEMORY, "no memory for the records of a run");
    return sunup__events_create(t->ctx, t->o.run_dir, &r->events);
}

sunup_status sunup__recorder_create(sunup_trainer *t, struct recorder **r)
{
    *r = sunup__alloc(sizeof **r);
    CHECK(*r != NULL, t->ctx, E_MEMORY, "no memory for the records of a run");
    const sunup_status status = open_files(t, *r);
    if (status != SUNUP_OK) sunup__recorder_destroy(r);
    return status;
}

void sunup__recorder_destroy(struct recorder **r)
{
    if (*r == NULL) return;
    if ((*r)->file != NULL) (void)fclose((*r)->file);
    sunup__events_destroy(&(*r)->events);
    sunup__free((*r)->path);
    sunup__free((*r)->rows);
    sunup__free(*r);
    *r = NULL;
}
