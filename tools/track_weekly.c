/* track_weekly.c - `sunup track weekly`: measure, compare with the pinned baseline, judge, report.
 *
 * One record a week holds all of it. The baseline is a copy of the program beside the history, pinned by hand or by the
 * first week; it is measured in turns with this program, so its pace is that of the same hour. A pinned program that no
 * longer runs (a library has gone) ends the comparison, not the week.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/system.h"
#include "peer.h"
#include "track.h"

static sunup_status pinned(struct command *c, char path[PATH_MAX])
{
    const int n = snprintf(path, PATH_MAX, "%s/baseline/sunup", track_folder(c));
    CHECK(n < PATH_MAX, c->ctx, E_ARGUMENT, "--history is too long a path");
    return SUNUP_OK;
}

/* This program, or --candidate, becomes the baseline from now on. */
static sunup_status pin(struct command *c)
{
    char from[PATH_MAX], to[PATH_MAX], folder[PATH_MAX];
    void *program;
    size_t bytes;
    TRY(pinned(c, to));
    if (c->candidate == NULL) TRY(peer_self(c->ctx, from, sizeof from));
    const char *source = c->candidate != NULL ? c->candidate : from;
    (void)snprintf(folder, sizeof folder, "%.*s", (int)(strlen(to) - strlen("/sunup")), to);
    TRY(sunup__make_folder(c->ctx, folder));
    TRY(sunup__file_read(c->ctx, source, &program, &bytes));
    const sunup_status status = sunup__file_write(c->ctx, to, program, bytes);
    sunup__free(program);
    TRY(status);
    CHECK(chmod(to, 0755) == 0, c->ctx, E_FILE, "%s: cannot be made a program", to);
    if (!c->json && !c->quiet) (void)printf("  pinned: %s\n", to);
    return SUNUP_OK;
}

int track_pin(struct command *c)
{
    return track_done(c, pin(c), 0);
}

/* What ran, but for apps: these are measured once a week, as a whole. */
static bool in_turns(const struct track_case *k, const struct track_run *run)
{
    for (int i = 0; i < run->n_rows; i++) {
        const struct track_row *r = &run->rows[i];
        if (r->kind == TRACK_OUTCOME && strcmp(r->name, k->name) == 0 && strcmp(r->suite, k->suite) == 0)
            return k->kind < CASE_APP && r->outcome < TRACK_CRASH;
    }
    return false; /* left out: its data are missing */
}

static sunup_status compare(struct command *c, const struct track_cases *cases,
                            struct track_history *h, struct track_run *run)
{
    char baseline[PATH_MAX];
    struct track_cases some = *cases;
    TRY(pinned(c, baseline));
    const char *program = c->baseline != NULL ? c->baseline : baseline;
    if (!sunup__file_exists(program)) return pin(c);
    some.n = 0;
    some.cases = sunup__alloc((size_t)(cases->n + 1) * sizeof *some.cases);
    CHECK(some.cases != NULL, c->ctx, E_MEMORY, "no memory for %d cases", cases->n);
    for (int i = 0; i < cases->n; i++)
        if (in_turns(&cases->cases[i], run)) some.cases[some.n++] = cases->cases[i];
    const sunup_status status = track_compare(c, program, c->candidate, &some, h, run);
    sunup__free(some.cases);
    if (status == SUNUP_OK || status == SUNUP_E_MEMORY) return status;
    (void)complain(0, "warning: no comparison with %s: %s", program, sunup_error(c->ctx));
    return SUNUP_OK;
}

static sunup_status week(struct command *c, struct track_cases *cases, struct track_history *h)
{
    struct track_run *run;
    TRY(track_cases_load(c, track_suites(c), c->n_operands - 1, c->operand + 1, cases));
    TRY(track_begin(c, h, &run));
    TRY(track_measure(c, c->candidate, cases, h, run));
    TRY(compare(c, cases, h, run));
    return sunup__track_write(c->ctx, track_folder(c), run);
}

int track_weekly(struct command *c)
{
    struct track_cases cases = {0};
    struct track_history h = {0};
    const sunup_status status = week(c, &cases, &h);
    track_cases_end(&cases);
    sunup__track_end(&h);
    return status == SUNUP_OK ? track_report(c) : fail(c, status);
}
