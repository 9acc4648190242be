/* track_run.c - suites into a run: every case is a process of its own, alone, and is started again
 * if it failed.
 *
 * A case that fails and then passes is flaky, with the message of the failure; one that fails twice
 * has failed. Before and after each a fixed kernel of this process says what the machine itself
 * does (its threads sleep while a case runs). What a case prints are rows (track_rows.c), how it
 * ended is an outcome (track_outcome.c): a failed case is no error here. Several ranks are started
 * by mpiexec or the words of $SUNUP_MPIEXEC; launchers pass on the environment in ways of their
 * own, so a case's variables are set by env(1) on the ranks.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/system.h"
#include "bench.h"
#include "device/device.h"
#include "peer.h"
#include "track_run.h"

enum { MOST_ARGUMENTS = 160, PATH_ROOM = 4096 };
static const double canary_flops = 1e9;
enum { CANARY_BYTES = 32 << 20, CANARY_TIMES = CANARIES / 2 };

/* ---- the fixed kernel ---- */

static sunup_status look_at_machine(struct measure *m)
{
    sunup_context *ctx = m->c->ctx;
    const struct kernels *k;
    TRY(sunup__kernels(ctx, &k));
    char *a = sunup__alloc_aligned(CANARY_BYTES), *b = sunup__alloc_aligned(CANARY_BYTES);
    if (a != NULL && b != NULL) {
        memset(a, 1, CANARY_BYTES);
        memset(b, 2, CANARY_BYTES);
        (void)bench_fma(ctx, k); /* threads wake */
        for (int i = 0; i < CANARY_TIMES && m->n_canary < CANARIES; i++)
            m->canary[m->n_canary++] =
                canary_flops / bench_fma(ctx, k) + bench_copy(ctx, a, b, CANARY_BYTES);
    }
    const bool good = a != NULL && b != NULL;
    sunup__free(a);
    sunup__free(b);
    CHECK(good, ctx, E_MEMORY, "no memory for a copy of 32 MiB");
    return SUNUP_OK;
}

/* ---- the words of a case ---- */

struct words {
    const char *argv[MOST_ARGUMENTS];
    int n;
    struct launcher launcher;
    char seconds[32], run_dir[PATH_ROOM];
};

static void add(struct words *w, const char *word)
{
    if (w->n + 1 < MOST_ARGUMENTS) w->argv[w->n++] = word;
}

static void add_all(struct words *w, const char *const *words)
{
    for (int i = 0; words[i] != NULL; i++) add(w, words[i]);
}

/* Only with several ranks. */
static void add_launcher(struct words *w, const struct track_case *one)
{
    if (one->ranks <= 1) return;
    w->n += peer_launcher(one->ranks, w->argv + w->n, &w->launcher);
    if (one->n_settings > 0) {
        add(w, "env");
        add_all(w, one->settings);
    }
}

static bool says(const struct track_case *one, const char *option)
{
    for (int i = 0; i < one->n_words; i++)
        if (strncmp(one->words[i], option, strlen(option)) == 0) return true;
    return false;
}

static void add_program(struct words *w, const struct measure *m)
{
    static const char *const verbs[CASE_KINDS][3] = {
        {"bench", "kernel"}, {"bench", "comm"}, {"train"}, {"app"}, {NULL}};
    const struct track_case *one = m->one;
    if (one->kind == CASE_EXEC) {
        add_all(w, one->words);
        return;
    }
    add(w, m->program);
    add_all(w, verbs[one->kind]);
    add_all(w, one->words);
    add(w, "--json");
    const bool timed = one->kind == CASE_KERNEL || one->kind == CASE_COMM;
    if (timed && m->c->seconds > 0 && !says(one, "--seconds")) {
        (void)snprintf(w->seconds, sizeof w->seconds, "%g", m->c->seconds);
        add(w, "--seconds");
        add(w, w->seconds);
    }
    if (one->kind != CASE_APP) return;
    (void)snprintf(w->run_dir, sizeof w->run_dir, "run_dir=%s/%s", m->scratch, one->name);
    add(w, "--set");
    add(w, w->run_dir);
}

sunup_status track_start(const struct measure *m, const char *const *more,
                         struct track_child *child)
{
    struct words *w = sunup__alloc(sizeof *w);
    CHECK(w != NULL, m->c->ctx, E_MEMORY, "no memory for the words of a process");
    add_launcher(w, m->one);
    add_program(w, m);
    if (more != NULL) add_all(w, more);
    const sunup_status status =
        track_child_run(m->c->ctx, w->argv, m->one->settings, m->one->timeout_s, child);
    sunup__free(w);
    return status;
}

/* ---- one case ---- */

static bool failed(const struct track_row *outcome)
{
    return outcome->outcome >= TRACK_CRASH;
}

/* Once. An app that misses a goal has ended well and says so by 1. *answer: the caller's, NULL if
 * it has none. */
static sunup_status attempt(struct measure *m, json_t **answer)
{
    struct track_child child;
    sunup_status status = SUNUP_OK;
    TRY(track_start(m, NULL, &child));
    *answer = NULL;
    track_judge_child(&child, m->one->timeout_s, m->h, &m->outcome);
    const bool scored = m->one->kind == CASE_APP && child.exit_status == 1 && !child.timed_out;
    if (m->one->kind == CASE_EXEC) {
        if (!failed(&m->outcome)) status = track_exec_read(m, child.out);
        *answer = failed(&m->outcome) ? NULL : json_object();
    } else if (!failed(&m->outcome) || scored) {
        *answer = track_answer(child.out, false);
    }
    const bool silent = *answer == NULL && !failed(&m->outcome);
    if (silent) track_blame(m, TRACK_CRASH, "it ended well, but printed no JSON");
    if (scored && *answer != NULL) {
        m->outcome.outcome = TRACK_OK;
        m->outcome.message = "";
    }
    m->outcome.seconds += child.seconds;
    m->outcome.tries++;
    track_child_end(&child);
    if (*answer != NULL && status == SUNUP_OK) status = track_check(m, *answer);
    m->outcome.failures += failed(&m->outcome);
    return status;
}

/* Again if it failed. */
static sunup_status attempts(struct measure *m, json_t **answer)
{
    TRY(attempt(m, answer));
    if (!failed(&m->outcome)) return SUNUP_OK;
    const struct track_row first = m->outcome;
    json_decref(*answer);
    TRY(attempt(m, answer));
    if (failed(&m->outcome)) return SUNUP_OK;
    const double seconds = m->outcome.seconds;
    m->outcome = first;
    m->outcome.seconds = seconds;
    m->outcome.tries++;
    m->outcome.outcome = TRACK_FLAKY;
    char was[LONG_TEXT];
    (void)snprintf(was, sizeof was, "%s", first.message);
    track_blame(m, TRACK_FLAKY, "%s: %s", sunup__track_outcome_name(first.outcome), was);
    return SUNUP_OK;
}

static void say(const struct measure *m)
{
    const struct track_row *o = &m->outcome;
    if (m->c->json || m->c->quiet) return;
    (void)printf("  %-12s %-24s %-14s %7.1f s", o->suite, o->name,
                 sunup__track_outcome_name(o->outcome), o->seconds);
    if (o->rank >= 0) (void)printf("  rank %d", o->rank);
    if (o->step >= 0) (void)printf("  step %lld", (long long)o->step);
    if (o->layer[0] != '\0') (void)printf("  layer %s", o->layer);
    (void)printf("%s%.160s\n", o->message[0] != '\0' ? "  " : "", o->message);
    (void)fflush(stdout);
}

static sunup_status add_outcome(struct measure *m)
{
    struct track_row *row = sunup__track_add_row(m->h, m->run, TRACK_OUTCOME);
    CHECK(row != NULL, m->c->ctx, E_MEMORY, "no memory for an outcome");
    *row = m->outcome;
    say(m);
    return SUNUP_OK;
}

static sunup_status measure_case(struct measure *m)
{
    const char *suite = sunup__track_intern(m->h, m->one->suite),
               *name = sunup__track_intern(m->h, m->one->name);
    CHECK(suite != NULL && name != NULL, m->c->ctx, E_MEMORY, "no memory for an outcome");
    m->outcome = sunup__track_row(TRACK_OUTCOME, suite, name, "sunup", "outcome");
    m->outcome.ranks = m->one->ranks;
    m->outcome.tries = 0;
    m->n_canary = 0;
    TRY(look_at_machine(m));
    json_t *answer = NULL;
    sunup_status status = attempts(m, &answer);
    if (status == SUNUP_OK) status = look_at_machine(m);
    if (status == SUNUP_OK && answer != NULL) status = track_rows(m, answer);
    if (status == SUNUP_OK && answer != NULL) status = track_instructions(m);
    json_decref(answer);
    TRY(status);
    return add_outcome(m);
}

/* ---- all of them ---- */

sunup_status track_measure_begin(struct measure *m, struct command *c, const char *program,
                                 struct track_history *h, struct track_run *run)
{
    *m = (struct measure){.c = c, .h = h, .run = run};
    char self[PATH_ROOM], scratch[PATH_ROOM];
    if (program == NULL) TRY(peer_self(c->ctx, self, sizeof self));
    const char *folder = getenv("TMPDIR");
    (void)snprintf(scratch, sizeof scratch, "%s/sunup-track-XXXXXX",
                   folder != NULL ? folder : "/tmp");
    CHECK(mkdtemp(scratch) != NULL, c->ctx, E_FILE, "%s: no folder for what cases write: %s",
          scratch, strerror(errno));
    struct text bands = {0};
    const char *suites = track_suites(c), *name = strrchr(suites, '/');
    const bool file = strstr(suites, ".txt") != NULL;
    sunup__text(&bands, "%.*s/../bands",
                file && name != NULL ? (int)(name - suites)
                : file               ? 0
                                     : PATH_ROOM,
                suites);
    m->program = sunup__track_intern(h, program != NULL ? program : self);
    m->scratch = sunup__track_intern(h, scratch);
    m->bands = sunup__track_intern(h, bands.s);
    sunup__free(bands.s);
    CHECK(m->program != NULL && m->scratch != NULL && m->bands != NULL, c->ctx, E_MEMORY,
          "no memory to measure");
    return SUNUP_OK;
}

void track_measure_end(struct measure *m)
{
    static const char *const settings[] = {NULL};
    struct track_child child = {0};
    if (m->scratch == NULL) return;
    const char *const argv[] = {"rm", "-rf", "--", m->scratch, NULL};
    (void)track_child_run(m->c->ctx, argv, settings, 60, &child);
    track_child_end(&child);
    m->scratch = NULL;
}

sunup_status track_measure(struct command *c, const char *program, const struct track_cases *cases,
                           struct track_history *h, struct track_run *run)
{
    struct measure m = {.scratch = NULL};
    sunup_status status = track_measure_begin(&m, c, program, h, run);
    for (int i = 0; status == SUNUP_OK && i < cases->n; i++) {
        m.one = &cases->cases[i];
        status = measure_case(&m);
    }
    track_measure_end(&m);
    return status;
}
