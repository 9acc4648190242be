/* track_callgrind.c - how many instructions some training steps take: a count where no clock can tell.
 *
 * Valgrind's callgrind runs the case's first steps once more, on one thread and with AVX2 at most, for Valgrind knows
 * no AVX-512. The count moves by some millionths from run to run (addresses), so a ten-thousandth is a change. It
 * takes some fifty times as long as the steps alone. Where there is no valgrind, or it fails, there is no row.
 */
#include <stdlib.h>
#include <string.h>

#include "track_run.h"

enum { MOST_WORDS = CASE_WORDS + 16 };

/* "==4711== Collected : 1337904559" */
static double collected(const char *err)
{
    static const char mark[] = "Collected :";
    const char *at = strstr(err, mark);
    return at != NULL ? strtod(at + strlen(mark), NULL) : 0;
}

static int add_all(const char **words, int n, const char *const *more)
{
    for (int i = 0; more[i] != NULL; i++) words[n++] = more[i];
    words[n] = NULL;
    return n;
}

static sunup_status run(const struct measure *m, struct track_child *child)
{
    static const char *const tool[] = {"valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", NULL};
    static const char *const simple[] = {"SUNUP_ISA=avx2", "SUNUP_THREADS=1", NULL};
    const char *words[MOST_WORDS], *settings[CASE_SETTINGS + 3];
    char steps[32];
    (void)snprintf(steps, sizeof steps, "max_steps=%d", m->one->callgrind);
    const char *const program[] = {m->program, "train", NULL}, *const few[] = {"--json", "--set", steps, NULL};
    int n = add_all(words, 0, tool);
    n = add_all(words, n, program);
    n = add_all(words, n, m->one->words);
    (void)add_all(words, n, few);
    (void)add_all(settings, add_all(settings, 0, m->one->settings), simple);
    return track_child_run(m->c->ctx, words, settings, m->one->timeout_s, child);
}

sunup_status track_instructions(struct measure *m)
{
    struct track_child child = {0};
    if (m->one->callgrind == 0 || m->one->kind != CASE_TRAIN) return SUNUP_OK;
    if (run(m, &child) != SUNUP_OK) return SUNUP_OK; /* there is no valgrind */
    const double n = child.exit_status == 0 ? collected(child.err) : 0;
    track_child_end(&child);
    if (!(n > 0)) return SUNUP_OK;
    struct track_row *row = sunup__track_add_row(m->h, m->run, TRACK_COUNT);
    CHECK(row != NULL, m->c->ctx, E_MEMORY, "no memory for a count");
    *row = sunup__track_row(TRACK_COUNT, m->outcome.suite, m->outcome.name, "sunup", "instructions by callgrind");
    row->count = n;
    return SUNUP_OK;
}
