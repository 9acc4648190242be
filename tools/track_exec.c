/* track_exec.c - programs of others as cases: what they print is read as an import is, and stands beside ours.
 *
 * benchdnn, OSU's benchmarks, nccl-tests, oneCCL's benchmark: whatever src/track/import.h reads. Rows have the source
 * "vendor" and the names that ours have for the same problem. A program that is not installed is left out.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "track/import.h"
#include "track_run.h"

/* As execvp finds it. */
bool track_exec_here(const char *program)
{
    if (strchr(program, '/') != NULL) return access(program, X_OK) == 0;
    const char *path = getenv("PATH");
    for (const char *at = path; at != NULL && *at != '\0';) {
        const int n = (int)strcspn(at, ":");
        struct text file = {0};
        sunup__text(&file, "%.*s/%s", n, at, program);
        const bool here = file.s != NULL && access(file.s, X_OK) == 0;
        sunup__free(file.s);
        if (here) return true;
        at += n + (at[n] == ':');
    }
    return false;
}

sunup_status track_exec_read(struct measure *m, const char *out)
{
    const struct track_import o = {.format = m->one->format, .suite = m->one->suite};
    sunup__track_end(&m->said);
    const sunup_status status =
        sunup__track_import(m->c->ctx, m->one->name, out, strlen(out), &o, m->run->at, &m->said);
    if (status != SUNUP_E_FORMAT) return status;
    track_blame(m, TRACK_CRASH, "what it printed cannot be read: %s", sunup_error(m->c->ctx));
    return SUNUP_OK;
}

static const char *keep(struct track_history *h, const char *s, bool *kept)
{
    const char *own = sunup__track_intern(h, s);
    *kept &= own != NULL;
    return own;
}

/* The row's strings and numbers, moved to the history of the run. */
static bool adopt(struct track_history *h, struct track_row *r)
{
    bool kept = true;
    const char **const strings[] = {&r->suite, &r->name,  &r->engine,     &r->quantity, &r->unit,    &r->source,
                                    &r->word,  &r->layer, &r->collective, &r->message,  &r->baseline};
    for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++)
        *strings[i] = keep(h, *strings[i], &kept);
    const double *values = r->values;
    r->values = sunup__arena_alloc(&h->arena, (size_t)(r->n + 1) * sizeof *r->values);
    if (r->values != NULL && r->n > 0) memcpy(r->values, values, (size_t)r->n * sizeof *values);
    return kept && r->values != NULL;
}

sunup_status track_exec_rows(struct measure *m)
{
    const struct track_run *said = m->said.n_runs > 0 ? &m->said.runs[0] : NULL;
    for (int i = 0; said != NULL && i < said->n_rows; i++) {
        struct track_row *row = sunup__track_add_row(m->h, m->run, TRACK_SAMPLES);
        CHECK(row != NULL, m->c->ctx, E_MEMORY, "no memory for a row");
        *row = said->rows[i];
        CHECK(adopt(m->h, row), m->c->ctx, E_MEMORY, "no memory for a row");
    }
    sunup__track_end(&m->said);
    return SUNUP_OK;
}
