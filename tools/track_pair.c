/* track_pair.c - see track_pair.h.
 *
 * Where its pages and stack happen to lie makes one process faster than another of the same program for all
 * its life, by per cents; where the scheduler put its threads, by a factor of 2. So a pair is one fresh
 * process of each side, and many pairs are worth more than long ones: 4 turns of 20 ms a side (--seconds: of
 * all turns). The turns go ABBA BAAB, and who begins alternates, so that a drift cancels. Between turns is a
 * pause in which the other side's threads fall asleep (they spin for 3 ms), and the first samples of a turn,
 * which wake the own ones and warm the caches, are left out. A side's time is the lower quartile of its
 * samples: of quantiles tried it is the least noisy, with a loaded machine and with a quiet one.
 */
#include "track_pair.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "base/system.h"
#include "peer.h"
#include "track/stats.h"

enum {
    TURNS = 4,
    PAUSE_US = 6000,
    MOST_SAMPLES = 64,
    MOST_WORDS = LAUNCHER_WORDS + CASE_WORDS + CASE_SETTINGS + 8,
    NAME_ROOM = 512
};
static const double slice_s = 20e-3, sample_s = 5e-4, short_s = 10e-3, quantile = 0.25;

struct side {
    struct peer peer;
    char name[NAME_ROOM];
    double x[TURNS * MOST_SAMPLES];
    int n, turns;
    json_t *names, *step_s[TURNS]; /* NULL: not timed */
};

/* ---- one process ---- */

/* Launchers pass on the environment in ways of their own: on ranks env(1) sets it. */
static void add_words(const char **argv, int at, const struct contest *t, int side,
                      const char *const *settings)
{
    static const char *const kinds[CASE_KINDS] = {[CASE_KERNEL] = "kernel", [CASE_COMM] = "comm"};
    const char *kind = kinds[t->one->kind];
    if (at > 0 && settings[0] != NULL) argv[at++] = "env";
    for (int i = 0; at > 0 && settings[i] != NULL; i++) argv[at++] = settings[i];
    argv[at++] = t->program[side];
    argv[at++] = "bench";
    argv[at++] = "serve";
    if (kind != NULL) argv[at++] = kind;
    for (int i = 0; i < t->one->n_words; i++) argv[at++] = t->one->words[i];
    argv[at] = NULL;
}

static sunup_status start(sunup_context *ctx, struct contest *t, int side, struct side *s)
{
    static const char *const names[SIDES] = {"baseline", "candidate"};
    const char *argv[MOST_WORDS], *settings[CASE_SETTINGS + 1] = {NULL};
    struct launcher l;
    int n = 0;
    for (; n < t->one->n_settings; n++) settings[n] = t->one->settings[n];
    if (side == CANDIDATE && t->fault != NULL) settings[n++] = t->fault;
    settings[n] = NULL;
    add_words(argv, peer_launcher(t->one->ranks, argv, &l), t, side, settings);
    (void)snprintf(s->name, sizeof s->name, "%s: the %s %s", t->one->name, names[side],
                   t->program[side]);
    s->peer.name = s->name;
    s->peer.timeout_s = t->one->timeout_s;
    s->peer.keeps_words = true;
    TRY(peer_start(ctx, &s->peer, argv, settings));
    json_t *first;
    TRY(peer_ask(ctx, &s->peer, NULL, &first));
    const char *version = json_string_value(json_object_get(first, "version"));
    if (side == BASELINE && version != NULL)
        (void)snprintf(t->version, sizeof t->version, "%s", version);
    json_decref(first);
    return SUNUP_OK;
}

static void end(struct side *s)
{
    peer_end(&s->peer);
    json_decref(s->names);
    for (int i = 0; i < TURNS; i++) json_decref(s->step_s[i]);
}

static sunup_status ask(sunup_context *ctx, struct side *s, int64_t samples, int64_t calls,
                        json_t **answer)
{
    char question[64];
    (void)snprintf(question, sizeof question, "%lld %lld", (long long)samples, (long long)calls);
    TRY(peer_ask(ctx, &s->peer, question, answer));
    const size_t n = json_array_size(json_object_get(*answer, "times_s"));
    if (n == (size_t)samples) return SUNUP_OK;
    json_decref(*answer);
    RAISE(ctx, E_FORMAT, "%s answered '%s' with %zu times", s->name, question, n);
}

static double time_at(const json_t *answer, int64_t i)
{
    return json_number_value(json_array_get(json_object_get(answer, "times_s"), (size_t)i));
}

/* Samples that are left out of a turn. */
static int64_t warm_samples(const struct contest *t)
{
    return t->samples > 1 ? 1 + t->samples / 4 : 0;
}

static int64_t within(double x, double most)
{
    return x < 1 ? 1 : (int64_t)(x < most ? x : most);
}

/* First calls, and how many fill a sample and a turn: for both sides and all pairs as many. */
static sunup_status get_ready(struct command *c, struct contest *t, struct side *s)
{
    sunup_context *ctx = c->ctx;
    const double turn_s = c->seconds > 0 ? c->seconds / (SIDES * TURNS) : slice_s;
    json_t *answer;
    TRY(ask(ctx, s, 1, 1, &answer));
    double call_s = time_at(answer, 0);
    json_decref(answer);
    if (call_s < short_s) {
        enum { TRIALS = 20 };
        TRY(ask(ctx, s, TRIALS, 1, &answer));
        for (int i = 0; i < TRIALS; i++) call_s = fmin(call_s, time_at(answer, i));
        json_decref(answer);
    }
    if (t->samples > 0) return SUNUP_OK;
    call_s = fmax(call_s, 1e-9);
    t->calls = within(sample_s / call_s, 1e5);
    t->samples = within(turn_s / (call_s * (double)t->calls), MOST_SAMPLES);
    return SUNUP_OK;
}

static sunup_status start_clock(sunup_context *ctx, struct side *s)
{
    json_t *answer;
    TRY(peer_ask(ctx, &s->peer, "clock", &answer));
    s->names = json_incref(json_object_get(answer, "steps"));
    json_decref(answer);
    return SUNUP_OK;
}

static sunup_status turn(sunup_context *ctx, const struct contest *t, struct side *s)
{
    json_t *answer;
    const int64_t warm = warm_samples(t);
    (void)usleep(PAUSE_US);
    TRY(ask(ctx, s, warm + t->samples, t->calls, &answer));
    for (int64_t i = 0; i < t->samples; i++) s->x[s->n++] = time_at(answer, warm + i);
    if (s->names != NULL) s->step_s[s->turns] = json_incref(json_object_get(answer, "step_s"));
    s->turns++;
    json_decref(answer);
    return SUNUP_OK;
}

/* ---- steps ---- */

static struct contest_step *find_step(struct contest *t, const char *name)
{
    for (int i = 0; i < t->n_steps; i++)
        if (strcmp(t->steps[i].name, name) == 0) return &t->steps[i];
    const int n = t->n_steps;
    if ((n & (n - 1)) == 0) { /* full at 0 and at powers of two */
        struct contest_step *more =
            sunup__realloc(t->steps, (n > 0 ? 2 * (size_t)n : 1) * sizeof *more);
        if (more == NULL) return NULL;
        t->steps = more;
    }
    char *copy = sunup__arena_strdup(&t->arena, name);
    if (copy == NULL) return NULL;
    t->steps[n] = (struct contest_step){.name = copy};
    return &t->steps[t->n_steps++];
}

/* Alike steps of a plan are one, with the sum of their times; each is the lower quartile over the turns. */
static sunup_status add_steps(sunup_context *ctx, struct contest *t, int side, const struct side *s)
{
    for (size_t i = 0; i < json_array_size(s->names); i++) {
        double x[TURNS];
        for (int j = 0; j < s->turns; j++)
            x[j] = json_number_value(json_array_get(s->step_s[j], i));
        const char *name = json_string_value(json_array_get(s->names, i));
        struct contest_step *step = find_step(t, name != NULL ? name : "");
        CHECK(step != NULL, ctx, E_MEMORY, "no memory for the steps of %s", s->name);
        step->s[side][t->timed_pairs] += sunup__quantile(x, s->turns, quantile);
    }
    return SUNUP_OK;
}

/* ---- a pair ---- */

static sunup_status take_turns(struct command *c, struct contest *t, struct side *sides, bool timed)
{
    sunup_context *ctx = c->ctx;
    const int first = t->pairs % SIDES;
    for (int i = 0; i < SIDES; i++)
        TRY(start(ctx, t, (first + i) % SIDES, &sides[(first + i) % SIDES]));
    for (int i = 0; i < SIDES; i++) TRY(get_ready(c, t, &sides[(first + i) % SIDES]));
    for (int i = 0; i < SIDES && timed; i++) TRY(start_clock(ctx, &sides[i]));
    for (int i = 0; i < SIDES * TURNS; i++) {
        static const int order[] = {0, 1, 1, 0, 1, 0, 0, 1};
        TRY(turn(ctx, t, &sides[(first + order[i]) % SIDES]));
    }
    for (int i = 0; i < SIDES && timed; i++) TRY(add_steps(ctx, t, i, &sides[i]));
    return SUNUP_OK;
}

sunup_status contest_pair(struct command *c, struct contest *t, bool timed, double *x)
{
    struct side *sides = sunup__alloc(SIDES * sizeof *sides);
    CHECK(sides != NULL, c->ctx, E_MEMORY, "no memory for a pair");
    const double from_s = sunup__now_s();
    const sunup_status status = take_turns(c, t, sides, timed);
    if (status == SUNUP_OK)
        *x = log(sunup__quantile(sides[CANDIDATE].x, sides[CANDIDATE].n, quantile) /
                 sunup__quantile(sides[BASELINE].x, sides[BASELINE].n, quantile));
    for (int i = 0; i < SIDES; i++) end(&sides[i]);
    sunup__free(sides);
    t->pairs++;
    t->timed_pairs += timed && status == SUNUP_OK;
    t->seconds += sunup__now_s() - from_s;
    return status;
}

void contest_end(struct contest *t)
{
    sunup__free(t->steps);
    sunup__arena_end(&t->arena);
    *t = (struct contest){0};
}
