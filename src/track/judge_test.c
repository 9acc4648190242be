/* judge_test.c - every gate finds what was planted for it, once, with the right sign, and nothing else; and a long
 * quiet history with noise gives next to no alarm.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "base/system.h"
#include "track/judge.h"
#include "track/pairs.h"

static sunup_context *ctx;
enum { WEEKS = 60, SAMPLES = 5 };

/* ----------------------------------------------------------------------- histories --- */

static struct track_run *week(struct track_history *h, int w, const char *commit)
{
    char id[16];
    (void)snprintf(id, sizeof id, "week%03d", w);
    struct track_run *run = sunup__track_add_run(h, id, 1700000000 + w * 604800LL);
    assert_non_null(run);
    assert_int_equal(sunup__track_add_fact(ctx, h, run, "machine", "m"), SUNUP_OK);
    assert_int_equal(sunup__track_add_fact(ctx, h, run, "commit", commit), SUNUP_OK);
    return run;
}

static struct track_row *add(struct track_history *h, enum track_kind kind, const char *name,
                             const char *quantity)
{
    struct track_row *r = sunup__track_add_row(h, &h->runs[h->n_runs - 1], kind);
    assert_non_null(r);
    r->suite = "s";
    r->engine = "sunup";
    r->name = sunup__track_intern(h, name);
    r->quantity = quantity;
    return r;
}

static double normal(uint64_t i)
{
    const struct random_stream stream = {.seed = 7};
    return sunup__random_normal(&stream, i);
}

/* Samples around level; their spread within the run is 0.3 %. */
static struct track_row *add_time(struct track_history *h, const char *name, double level, uint64_t key)
{
    struct track_row *r = add(h, TRACK_SAMPLES, name, "time");
    r->unit = "s";
    r->n = SAMPLES;
    r->values = sunup__arena_alloc(&h->arena, SAMPLES * sizeof(double));
    assert_non_null(r->values);
    for (uint64_t i = 0; i < SAMPLES; i++) r->values[i] = level * (1 + 0.003 * normal(key * SAMPLES + i));
    return r;
}

static void add_outcome(struct track_history *h, const char *name, enum track_outcome o)
{
    struct track_row *r = add(h, TRACK_OUTCOME, name, "outcome");
    r->outcome = o;
    if (o == TRACK_HANG) r->rank = 3;
}

static void judge(struct track_history *h, struct track_verdict *v)
{
    const struct track_judge_options o = sunup__track_judge_defaults();
    const sunup_status status = sunup__track_judge(ctx, h, &o, v);
    if (status != SUNUP_OK) print_message("%s\n", sunup_error(ctx));
    assert_int_equal(status, SUNUP_OK);
}

static int count(const struct track_verdict *v, enum track_gate gate, const char *name, bool only_new)
{
    int n = 0;
    for (int i = 0; i < v->n; i++)
        n += v->findings[i].gate == gate && strcmp(v->findings[i].series->key->name, name) == 0 &&
             (!only_new || v->findings[i].is_new);
    return n;
}

static const struct track_finding *only(const struct track_verdict *v, enum track_gate gate,
                                        const char *name)
{
    if (count(v, gate, name, false) != 1)
        for (int i = 0; i < v->n; i++) print_message("found: %s\n", v->findings[i].text);
    assert_int_equal(count(v, gate, name, false), 1);
    for (int i = 0;; i++)
        if (v->findings[i].gate == gate && strcmp(v->findings[i].series->key->name, name) == 0)
            return &v->findings[i];
}

/* --------------------------------------------------------------------------- facts --- */

static void counts_and_words(void **state)
{
    (void)state;
    static const char *const commits[] = {"a", "a", "b", "c"};
    static const double grown[] = {5, 5, 5, 7}, fallen[] = {5, 5, 4, 4}, steady[] = {5, 5, 5, 5};
    static const char *const hash[] = {"x", "y", "y", "z"};
    static const double instructions[] = {1e9, 1.004e9, 1.001e9, 1.02e9};
    struct track_history h = {0};
    struct track_verdict v;
    for (int w = 0; w < 4; w++) {
        (void)week(&h, w, commits[w]);
        add(&h, TRACK_COUNT, "grown", "allocations")->count = grown[w];
        add(&h, TRACK_COUNT, "fallen", "allocations")->count = fallen[w];
        add(&h, TRACK_COUNT, "steady", "allocations")->count = steady[w];
        add(&h, TRACK_COUNT, "work", "instructions")->count = instructions[w];
        add(&h, TRACK_WORD, "hash", "weights")->word = hash[w];
    }
    judge(&h, &v);
    const struct track_finding *f = only(&v, TRACK_GATE_COUNT, "grown");
    assert_true(f->worse && f->is_new && f->from == 5 && f->to == 7 && f->run == 3 && f->before == 2);
    assert_string_equal(f->text, "s grown: allocations grew from 5 to 7");
    f = only(&v, TRACK_GATE_COUNT, "fallen");
    assert_true(!f->worse && !f->is_new && f->run == 2);
    assert_int_equal(count(&v, TRACK_GATE_COUNT, "steady", false), 0);
    assert_int_equal(only(&v, TRACK_GATE_COUNT, "work")->run, 3);
    /* The same commit gave other bits: worse. Another commit did: told, and no more. */
    assert_int_equal(count(&v, TRACK_GATE_COUNT, "hash", false), 2);
    for (int i = 0; i < v.n; i++)
        if (strcmp(v.findings[i].series->key->name, "hash") == 0)
            assert_int_equal(v.findings[i].worse, v.findings[i].run == 1);
    assert_int_equal(v.n_new_worse, 2); /* grown, instructions */
    sunup__track_verdict_end(&v);
    sunup__track_end(&h);
}

static void outcomes(void **state)
{
    (void)state;
    struct track_history h = {0};
    struct track_verdict v;
    for (int w = 0; w < 24; w++) {
        (void)week(&h, w, "a");
        add_outcome(&h, "sound", TRACK_OK);
        add_outcome(&h, "hangs", w == 23 ? TRACK_HANG : TRACK_OK);
        add_outcome(&h, "recovers", w == 22 ? TRACK_CRASH : TRACK_OK);
        add_outcome(&h, "shaky", w >= 14 && w % 2 == 0 ? TRACK_FLAKY : TRACK_OK);
        if (w < 23) add_outcome(&h, "leaves", TRACK_OK);
    }
    judge(&h, &v);
    const struct track_finding *f = only(&v, TRACK_GATE_OUTCOME, "hangs");
    assert_true(f->worse && f->is_new);
    assert_string_equal(f->text, "s hangs: hang, rank 3");
    f = only(&v, TRACK_GATE_OUTCOME, "leaves");
    assert_true(f->worse && f->is_new && f->run == 23 && f->before == 22);
    assert_int_equal(count(&v, TRACK_GATE_OUTCOME, "recovers", false), 2); /* the crash, and ok again */
    assert_int_equal(count(&v, TRACK_GATE_OUTCOME, "sound", false), 0);
    f = only(&v, TRACK_GATE_RATE, "shaky");
    assert_true(f->worse && f->p < 0.01);
    assert_int_equal(count(&v, TRACK_GATE_RATE, "hangs", false), 0);
    sunup__track_verdict_end(&v);
    sunup__track_end(&h);
}

/* --------------------------------------------------------------------------- pairs --- */

static void add_pairs(struct track_history *h, const char *name, double first, double second)
{
    enum { PAIRS = 14 };
    struct track_row *r = add(h, TRACK_PAIRS, name, "time");
    r->n = r->n_confirm = PAIRS;
    r->values = sunup__arena_alloc(&h->arena, PAIRS * sizeof(double));
    r->confirm = sunup__arena_alloc(&h->arena, PAIRS * sizeof(double));
    for (int i = 0; i < PAIRS; i++) {
        r->values[i] = log(first) + 0.004 * normal((uint64_t)i);
        r->confirm[i] = log(second) + 0.004 * normal((uint64_t)i + PAIRS);
    }
    r->baseline = "0ld";
}

static void pairs(void **state)
{
    (void)state;
    struct track_history h = {0};
    struct track_verdict v;
    (void)week(&h, 0, "a");
    add_pairs(&h, "slower", 1.05, 1.05);
    add_pairs(&h, "faster", 0.9, 0.9);
    add_pairs(&h, "unconfirmed", 1.05, 1.0);
    add_pairs(&h, "turned", 1.05, 0.95);
    add_pairs(&h, "slight", 1.01, 1.01);
    add_pairs(&h, "same", 1, 1);
    judge(&h, &v);
    const struct track_finding *f = only(&v, TRACK_GATE_PAIRS, "slower");
    assert_true(f->worse && f->is_new && fabs(f->change - 0.05) < 0.005);
    assert_true(f->interval.low < f->change && f->change < f->interval.high && f->p < 0.01);
    assert_non_null(strstr(f->text, "against 0ld"));
    assert_false(only(&v, TRACK_GATE_PAIRS, "faster")->worse);
    assert_int_equal(v.n, 2);
    const struct pairs_rule rule = sunup__pairs_rule();
    assert_true(sunup__pairs_needed(&rule, 1) >= 8);
    assert_true(sunup__pairs_needed(&rule, 100) >= 15); /* 100 x 2^-14 < 0.01 */
    sunup__track_verdict_end(&v);
    sunup__track_end(&h);
}

/* -------------------------------------------------------------------- long series --- */

static void levels_and_spreads(void **state)
{
    (void)state;
    struct track_history h = {0};
    struct track_verdict v;
    for (int w = 0; w < WEEKS; w++) {
        (void)week(&h, w, "a");
        const uint64_t key = (uint64_t)w;
        const double noise = 1 + 0.004 * normal(key + 1000);
        (void)add_time(&h, "step", noise * (w < 40 ? 1 : 1.06), key);
        (void)add_time(&h, "still", noise, key + WEEKS);
        /* A machine that was slow for a while: the canary says so, and there is nothing to find. */
        struct track_row *r = add_time(&h, "slow_days", noise * (w < 30 ? 1 : 1.2), key + 2 * WEEKS);
        r->n_canary = 1;
        r->canary = sunup__arena_alloc(&h.arena, sizeof(double));
        r->canary[0] = w < 30 ? 1e-3 : 1.2e-3;
        (void)add_time(&h, "restless", w < 40 ? noise : 1 + 0.06 * normal(key + 2000), key + 3 * WEEKS);
        struct track_row *rate = add_time(&h, "rate", noise * (w < 40 ? 1 : 0.9), key + 4 * WEEKS);
        rate->better = TRACK_MORE;
    }
    judge(&h, &v);
    const struct track_finding *f = only(&v, TRACK_GATE_POINT, "step");
    assert_true(f->worse && !f->is_new && f->run == 40 && fabs(f->change - 0.06) < 0.01);
    assert_true(only(&v, TRACK_GATE_POINT, "rate")->worse);
    assert_int_equal(count(&v, TRACK_GATE_POINT, "still", false), 0);
    assert_int_equal(count(&v, TRACK_GATE_SPREAD, "still", false), 0);
    assert_int_equal(count(&v, TRACK_GATE_POINT, "slow_days", false), 0);
    assert_true(only(&v, TRACK_GATE_SPREAD, "restless")->worse);
    sunup__track_verdict_end(&v);
    sunup__track_end(&h);
}

/* A change is new in the week that makes it certain, and never again. */
static void new_once(void **state)
{
    (void)state;
    struct track_history h = {0};
    int weeks_new = 0;
    for (int w = 0; w < WEEKS; w++) {
        struct track_verdict v;
        (void)week(&h, w, "a");
        (void)add_time(&h, "step", (1 + 0.004 * normal((uint64_t)w + 1000)) * (w < 40 ? 1 : 1.06), (uint64_t)w);
        judge(&h, &v);
        weeks_new += count(&v, TRACK_GATE_POINT, "step", true);
        sunup__track_verdict_end(&v);
    }
    assert_int_equal(weeks_new, 1);
    sunup__track_end(&h);
}

/* A year of judging each week, after a year that is known, of series with noise that has a memory (AR 0.5), and weeks
 * that are 10 to 30 % slow; a step in the middle of it. Prints alarms a metric and year, and how often it is found. */
enum { METRICS = 400, YEAR = 52, STEP_AT = 78 };
struct weather {
    int metrics;
    double noise, slow, step;
    double alarms, found_month, found_quarter;
};

static double week_of(const struct weather *a, int metric, int w, double *memory)
{
    const uint64_t key = (uint64_t)(metric * 2 * YEAR + w) * 3 + 5000000;
    *memory = 0.5 * *memory + a->noise * sqrt(0.75) * normal(key);
    const double slow = 1.1 + 0.05 * (fabs(normal(key + 1)) < 4 ? fabs(normal(key + 1)) : 4);
    const bool is_slow = erfc(normal(key + 2) / sqrt(2)) / 2 < a->slow;
    return exp(*memory) * (is_slow ? slow : 1) * (w >= STEP_AT ? 1 + a->step : 1);
}

static void look(struct weather *a, const struct track_history *h, const struct track_verdict *v, int w)
{
    for (int i = 0; i < v->n; i++) {
        const struct track_finding *f = &v->findings[i];
        const bool step = a->step > 0 && abs(f->run - STEP_AT) <= 8;
        if (f->gate != TRACK_GATE_POINT || !f->is_new || h->n_runs - 1 != w) continue;
        if (step && w < STEP_AT + 5) a->found_month += 1.0 / a->metrics;
        if (step && w < STEP_AT + 13) a->found_quarter += 1.0 / a->metrics;
        if (!step) a->alarms += 1.0 / a->metrics;
    }
}

static void simulate(struct weather *a)
{
    struct track_history h = {0};
    double memory[METRICS] = {0};
    for (int w = 0; w < 2 * YEAR; w++) {
        struct track_verdict v;
        char name[24];
        (void)week(&h, w, "a");
        for (int m = 0; m < a->metrics; m++) {
            (void)snprintf(name, sizeof name, "metric%d", m);
            (void)add_time(&h, name, week_of(a, m, w, &memory[m]), (uint64_t)(w * METRICS + m) + 90000);
        }
        if (w < YEAR) continue;
        judge(&h, &v);
        look(a, &h, &v, w);
        sunup__track_verdict_end(&v);
    }
    print_message("noise %.1f %%, %.0f %% of weeks slow: %.3f alarms a metric and year", 100 * a->noise,
                  100 * a->slow, a->alarms);
    if (a->step > 0)
        print_message("; a step of %.0f %% found within 4 weeks %.0f %%, within 12 %.0f %%", 100 * a->step,
                      100 * a->found_month, 100 * a->found_quarter);
    print_message("\n");
    sunup__track_end(&h);
}

static void years(void **state)
{
    (void)state;
    struct weather calm = {.metrics = 25, .noise = 0.005};
    struct weather step = {.metrics = 25, .noise = 0.005, .slow = 0.02, .step = 0.05};
    simulate(&calm);
    assert_true(calm.alarms == 0);
    simulate(&step);
    assert_true(step.alarms <= 0.05 && step.found_quarter > 0.95);
    if (getenv("SUNUP_TRACK_YEARS") == NULL) return; /* what docs/tracking.md shows */
    static const double weather[][2] = {{0.005, 0}, {0.005, 0.02}, {0.01, 0.05}, {0.02, 0.05}};
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 3; k++) {
            struct weather a = {METRICS, weather[i][0], weather[i][1], 0.05 * k, 0, 0, 0};
            simulate(&a);
        }
}

static void nothing_to_judge(void **state)
{
    (void)state;
    struct track_history h = {0};
    struct track_verdict v;
    judge(&h, &v);
    assert_int_equal(v.n, 0);
    sunup__track_verdict_end(&v);
    (void)week(&h, 0, "a");
    judge(&h, &v);
    assert_int_equal(v.n, 0);
    sunup__track_verdict_end(&v);
    sunup__track_end(&h);
}

static void what_changed(void **state)
{
    (void)state;
    struct track_fact before[] = {{"commit", "a"}, {"mpi", "Open MPI 4"}, {"same", "x"}, {"gone", "y"}},
                      after[] = {{"commit", "b"}, {"mpi", "Open MPI 5"}, {"same", "x"}, {"fresh", "z"}};
    const struct track_run x = {.n_facts = 4, .facts = before}, y = {.n_facts = 4, .facts = after};
    char text[200], little[8];
    sunup__track_changed(&x, &y, text, sizeof text);
    assert_string_equal(text, "commit a -> b, mpi Open MPI 4 -> Open MPI 5, fresh new: z, gone y (gone)");
    sunup__track_changed(&x, &x, text, sizeof text);
    assert_string_equal(text, "");
    sunup__track_changed(&x, &y, little, sizeof little);
    assert_int_equal(strlen(little), 7);
}

static int set_up(void **state)
{
    (void)state;
    return sunup_context_create(NULL, &ctx) != SUNUP_OK;
}

static int tear_down(void **state)
{
    (void)state;
    sunup_context_destroy(&ctx);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_and_words),   cmocka_unit_test(outcomes), cmocka_unit_test(pairs),
        cmocka_unit_test(levels_and_spreads), cmocka_unit_test(new_once), cmocka_unit_test(nothing_to_judge),
        cmocka_unit_test(what_changed),       cmocka_unit_test(years),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
