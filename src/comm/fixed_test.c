/* fixed_test.c - sums of block-scaled integers without messages: ranks are objects here, each with
 * its own terms. Against int64 arithmetic bit by bit, whoever adds what; against f64 sums in size
 * of error, beside the tree's; steps that do not fit, zeros, denormals, and numbers that are none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/system.h"
#include "comm/inside.h"

enum { N = 5003, BLOCKS = (N + FIXED_BLOCK - 1) / FIXED_BLOCK, SHARDS = 12, RANKS = 5 };

static sunup_context *ctx;
static struct kernels kernels;
static float terms[SHARDS][N]; /* of a step */

static int set_up(void **state)
{
    (void)state;
    if (sunup_context_create(NULL, &ctx) != SUNUP_OK) return -1;
    return sunup__kernels_init(&kernels, sunup__cpu_flags(), ctx->options.isa) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    sunup_context_destroy(&ctx);
    return 0;
}

/* --- ranks in one process --- */

struct team {
    int ranks, threads, repeats;
    bool backwards; /* terms are added in descending order and one by one */
    struct fixed_sum *sum[RANKS];
    int32_t row[RANKS][N];
    float most[RANKS][BLOCKS], total[N];
};

static struct team *team_of(int ranks, int threads)
{
    struct team *t = sunup__alloc(sizeof *t);
    assert_non_null(t);
    t->ranks = ranks;
    t->threads = threads;
    const struct sum s = {.threads = threads, .shards = SHARDS, .n = N, .k = &kernels};
    for (int r = 0; r < ranks; r++)
        assert_int_equal(sunup__fixed_create(ctx, &s, t->row[r], t->most[r], &t->sum[r]), SUNUP_OK);
    return t;
}

static void end(struct team *t)
{
    for (int r = 0; r < t->ranks; r++) sunup__fixed_destroy(&t->sum[r]);
    sunup__free(t);
}

static bool decide(struct fixed_sum *f, const float *const *most, int ranks)
{
    (void)sunup__fixed_largest(f, most, ranks);
    return sunup__fixed_decide(f);
}

/* All add their terms and decide, each for itself. */
static bool attempt(struct team *t)
{
    const float *most[RANKS];
    int again = 0;
    for (int r = 0; r < t->ranks; r++) {
        int from, to;
        sunup__shards_of(SHARDS, t->ranks, r, &from, &to);
        if (t->backwards)
            for (int i = to - 1; i >= from; i--) sunup__fixed_add(t->sum[r], terms[i], NULL);
        else /* by twos */
            for (int i = from; i < to; i += 2)
                sunup__fixed_add(t->sum[r], terms[i], i + 1 < to ? terms[i + 1] : NULL);
        most[r] = t->most[r];
    }
    for (int r = 0; r < t->ranks; r++) again += decide(t->sum[r], most, t->ranks);
    assert_true(again == 0 || again == t->ranks);
    return again > 0;
}

/* A whole step: each rank totals its slice, which ends anywhere. */
static void step(struct team *t)
{
    const int32_t *rows[RANKS];
    t->repeats = 0;
    while (attempt(t)) assert_true(++t->repeats <= 1);
    for (int r = 0; r < t->ranks; r++) rows[r] = t->row[r];
    for (int r = 0; r < t->ranks; r++) {
        const int64_t at = N * r / t->ranks, end_at = N * (r + 1) / t->ranks;
        sunup__fixed_value(t->sum[r], &(struct fixed_rows){rows, t->ranks},
                           (struct slice){at, end_at - at}, t->total);
    }
}

/* --- data --- */

static void fill_normal(uint32_t step_number, double size)
{
    for (int s = 0; s < SHARDS; s++) {
        const struct random_stream random = {5, RANDOM_TEST, step_number, (uint64_t)s};
        for (int64_t i = 0; i < N; i++)
            terms[s][i] = (float)(size * sunup__random_normal(&random, (uint64_t)i));
    }
}

static double exact(int64_t i)
{
    double sum = 0; /* of 12 floats of like size: no more than a rounding of 2^-53 each */
    for (int s = 0; s < SHARDS; s++) sum += (double)terms[s][i];
    return sum;
}

static float along_the_tree(int level, int start, int64_t i)
{
    if (level == 0) return terms[start][i];
    const int half = 1 << (level - 1);
    const float left = along_the_tree(level - 1, start, i);
    return start + half < SHARDS ? left + along_the_tree(level - 1, start + half, i) : left;
}

/* The largest float of which S do not overflow. */
static double limit_of(int shards)
{
    const double limit = INT32_MAX / shards;
    const float f = (float)limit;
    return (double)f > limit ? (double)nextafterf(f, 0) : (double)f;
}

/* Four times the bound fits. */
static int exponent_for(int shards, float bound)
{
    int e;
    (void)frexp(limit_of(shards) / (double)bound, &e);
    return e - 1 - 2 < 126 ? e - 1 - 2 : 126;
}

/* The definition, in int64. */
static float meaning(const float *bounds, int64_t i)
{
    const int s = exponent_for(SHARDS, bounds[i / FIXED_BLOCK]);
    int64_t sum = 0;
    for (int t = 0; t < SHARDS; t++) sum += llrint(ldexp((double)terms[t][i], s));
    return (float)ldexp((double)sum, -s);
}

/* Root of the mean square, relative to that of the sums. */
struct errors {
    double fixed, tree;
};
static struct errors errors_of(const struct team *t, int64_t from, int64_t to)
{
    double fixed = 0, tree = 0, all = 0;
    for (int64_t i = from; i < to; i++) {
        const double want = exact(i);
        fixed += pow((double)t->total[i] - want, 2);
        tree += pow((double)along_the_tree(4, 0, i) - want, 2);
        all += want * want;
    }
    return (struct errors){sqrt(fixed / all), sqrt(tree / all)};
}

/* --- tests --- */

static void any_split_order_and_threads_give_the_same_bits(void **state)
{
    (void)state;
    float bounds[BLOCKS];
    for (int ranks = 1; ranks <= RANKS; ranks++)
        for (int way = 0; way < 4; way++) {
            struct team *t = team_of(ranks, 1 + way % 2);
            t->backwards = way >= 2;
            fill_normal(0, 1e-3);
            step(t);
            assert_int_equal(t->repeats, 1); /* nobody knew how large gradients are */
            memcpy(bounds, sunup__fixed_bounds(t->sum[0]), sizeof bounds);
            fill_normal(1, 2e-3);
            step(t);
            assert_int_equal(t->repeats, 0);
            for (int64_t i = 0; i < N; i++) assert_true(t->total[i] == meaning(bounds, i));
            end(t);
        }
}

static void errors_are_below_those_of_the_tree(void **state)
{
    (void)state;
    struct team *t = team_of(3, 2);
    for (uint32_t i = 0; i < 3; i++) {
        fill_normal(i, 1);
        step(t);
        const struct errors e = errors_of(t, 0, N);
        print_message("normal numbers: error %.2g of the sums, along the tree %.2g\n", e.fixed,
                      e.tree);
        assert_true(e.fixed < 5e-8 && e.fixed < e.tree);
    }
    end(t);
}

/* What the scheme cannot do: one large number sets the exponent of its block. The error stays below
 * half a unit of the scale for each term; small neighbours are lost, other blocks are as before. */
static void an_outlier_costs_its_block(void **state)
{
    (void)state;
    struct team *t = team_of(2, 1);
    for (uint32_t i = 0; i < 2; i++) {
        fill_normal(i, 1);
        terms[3][100] = 1e6F;
        terms[4][FIXED_BLOCK + 100] = 1e9F;
        step(t);
    }
    const struct errors some = errors_of(t, 0, 100), lost = errors_of(t, FIXED_BLOCK, 600),
                        none = errors_of(t, 2 * FIXED_BLOCK, N);
    print_message("beside 10^6 times larger ones: error %.2g, tree %.2g; 10^9: %.2g, tree %.2g\n",
                  some.fixed, some.tree, lost.fixed, lost.tree);
    assert_true(some.fixed > 1e-3 && some.fixed < 0.05);
    assert_true(lost.fixed > 0.5 && lost.tree < 1e-7);
    assert_true(none.fixed < 5e-8);
    assert_true(fabs((double)t->total[100] - exact(100)) <= 0x1p-24 * 1e6 + SHARDS * 0x1p-5);
    end(t);
}

static void growth_is_foreseen_and_a_jump_repeats_once(void **state)
{
    (void)state;
    struct team *t = team_of(2, 2);
    double size = 1e-6;
    for (uint32_t i = 0; i < 40; i++, size *= 1.5) {
        fill_normal(i, size);
        step(t);
        assert_int_equal(t->repeats, i == 0);
        assert_true(errors_of(t, 0, N).fixed < 7e-8);
    }
    for (uint32_t i = 0; i < 3; i++, size *= 1000) {
        fill_normal(100 + i, size);
        step(t);
        assert_int_equal(t->repeats, i > 0);
        assert_true(errors_of(t, 0, N).fixed < 7e-8);
    }
    for (uint32_t i = 0; i < 50; i++) { /* and falls: to 16 times too large at once, then slowly */
        fill_normal(200 + i, size * 1e-6);
        step(t);
        assert_int_equal(t->repeats, 0);
    }
    assert_true(errors_of(t, 0, N).fixed < 5e-8);
    end(t);
}

/* Sizes that come and go by factors of up to 9 from step to step, block by block. */
static void what_comes_and_goes_repeats_seldom(void **state)
{
    (void)state;
    struct team *t = team_of(1, 1);
    int repeats = 0;
    for (uint32_t i = 0; i < 60; i++) {
        const struct random_stream random = {6, RANDOM_TEST, i, 0};
        fill_normal(i, 1);
        for (int s = 0; s < SHARDS; s++)
            for (int64_t e = 0; e < N; e++)
                terms[s][e] *= expf(0.5F * (float)sunup__random_normal(&random, (uint64_t)e / 512));
        step(t);
        if (i >= 10) repeats += t->repeats;
    }
    assert_in_range(repeats, 0, 1);
    end(t);
}

/* Rows of a table, in each step another one is 1000 times larger. In one part that repeats only until one of
 * them was seen, and large rows are as exact as ever; each block by itself repeats at every row. */
static void a_part_foresees_its_largest_rows(void **state)
{
    (void)state;
    const int64_t at[] = {0, 4 * FIXED_BLOCK};
    for (int parts = 0; parts <= 2; parts += 2) {
        struct team *t = team_of(2, 2);
        int repeats = 0;
        for (int r = 0; r < 2 && parts > 0; r++)
            assert_int_equal(sunup__fixed_parts(ctx, t->sum[r], parts, at), SUNUP_OK);
        for (uint32_t i = 0; i < 10; i++) {
            const int64_t row = 4 + i % 5;
            fill_normal(i, 1e-3);
            for (int s = 0; s < SHARDS; s++)
                for (int64_t e = 0; e < FIXED_BLOCK; e++) terms[s][row * FIXED_BLOCK + e] *= 1000;
            step(t);
            repeats += t->repeats;
            assert_true(errors_of(t, 0, 4 * FIXED_BLOCK).fixed < 5e-8); /* another part */
            assert_true(errors_of(t, row * FIXED_BLOCK, (row + 1) * FIXED_BLOCK).fixed < 8e-8);
            assert_true(errors_of(t, 4 * FIXED_BLOCK, N).fixed < 2e-7); /* small rows: as coarse */
        }
        assert_int_equal(repeats, parts > 0 ? 1 : 10);
        end(t);
    }
}

/* The bits after a repetition are those of a sum that had the right exponents at once. */
static void a_repetition_leaves_no_trace(void **state)
{
    (void)state;
    struct team *t = team_of(3, 1), *u = team_of(1, 2);
    float bounds[BLOCKS];
    fill_normal(0, 1);
    step(t);
    for (int s = 0; s < SHARDS; s++) /* one block only */
        for (int64_t i = 0; i < 10; i++) terms[s][2 * FIXED_BLOCK + i] *= 1e4F;
    assert_true(attempt(t));
    memcpy(bounds, sunup__fixed_bounds(t->sum[0]), sizeof bounds);
    assert_int_equal(sunup__fixed_restore(ctx, u->sum[0], bounds), SUNUP_OK);
    step(t);
    step(u);
    assert_true(t->repeats == 0 && u->repeats == 0);
    assert_memory_equal(t->total, u->total, sizeof t->total);
    for (int r = 0; r < 3; r++)
        assert_memory_equal(sunup__fixed_bounds(t->sum[r]), sunup__fixed_bounds(u->sum[0]),
                            sizeof bounds);
    end(t);
    end(u);
}

static void a_restored_sum_goes_on_with_the_same_bits(void **state)
{
    (void)state;
    struct team *t = team_of(2, 1), *u = team_of(5, 2);
    float bounds[BLOCKS];
    for (uint32_t i = 0; i < 3; i++) {
        fill_normal(i, 1 + i);
        step(t);
    }
    memcpy(bounds, sunup__fixed_bounds(t->sum[1]), sizeof bounds);
    for (int r = 0; r < 5; r++)
        assert_int_equal(sunup__fixed_restore(ctx, u->sum[r], bounds), SUNUP_OK);
    fill_normal(3, 1);
    step(t);
    step(u);
    assert_int_equal(u->repeats, 0);
    assert_memory_equal(t->total, u->total, sizeof t->total);
    bounds[BLOCKS - 1] = INFINITY;
    assert_int_equal(sunup__fixed_restore(ctx, u->sum[0], bounds), SUNUP_E_ARGUMENT);
    assert_non_null(strstr(sunup_error(ctx), "block 9"));
    bounds[BLOCKS - 1] = -1;
    assert_int_equal(sunup__fixed_restore(ctx, u->sum[0], bounds), SUNUP_E_ARGUMENT);
    end(t);
    end(u);
}

/* All terms as large as can be without a repetition: no sum wraps. */
static void the_largest_terms_fit(void **state)
{
    (void)state;
    static const int shards[] = {1, 2, 3, 7, 12, 16, 1000, 65535, 65536};
    int32_t row[1];
    float most[1], total[1];
    for (size_t i = 0; i < sizeof shards / sizeof *shards; i++) {
        struct fixed_sum *f;
        const struct sum s = {.threads = 1, .shards = shards[i], .n = 1, .k = &kernels};
        assert_int_equal(sunup__fixed_create(ctx, &s, row, most, &f), SUNUP_OK);
        const float one = 1;
        const float x = (float)ldexp(limit_of(s.shards), -exponent_for(s.shards, one));
        for (int sign = -1; sign <= 1; sign += 2) {
            assert_int_equal(sunup__fixed_restore(ctx, f, &one), SUNUP_OK);
            const float term = (float)sign * x, larger = (float)sign * nextafterf(x, INFINITY);
            for (int t = 0; t < s.shards; t++) sunup__fixed_add(f, &term, NULL);
            assert_false(decide(f, (const float *[]){most}, 1));
            sunup__fixed_value(f, &(struct fixed_rows){(const int32_t *[]){row}, 1},
                               (struct slice){0, 1}, total);
            assert_true(total[0] == (float)((double)term * s.shards));
            assert_int_equal(sunup__fixed_restore(ctx, f, &one), SUNUP_OK);
            sunup__fixed_add(f, &larger, NULL);
            assert_true(decide(f, (const float *[]){most}, 1));
        }
        sunup__fixed_destroy(&f);
    }
}

static void what_is_not_finite_is_reported_for_one_step(void **state)
{
    (void)state;
    static const float values[] = {NAN, INFINITY, -INFINITY};
    struct team *t = team_of(2, 2);
    fill_normal(0, 1);
    terms[1][10] = NAN; /* in the first step, which repeats for the others */
    step(t);
    assert_int_equal(t->repeats, 1);
    for (int v = 0; v < 3; v++) {
        fill_normal(1, 1);
        step(t);
        fill_normal(2, 1);
        terms[11][FIXED_BLOCK] = values[v];
        step(t);
        assert_int_equal(t->repeats, 0);
        for (int64_t i = 0; i < N; i++)
            assert_true((i / FIXED_BLOCK == 1) == (bool)isnan(t->total[i]));
    }
    fill_normal(3, 1);
    step(t);
    assert_int_equal(t->repeats, 0);
    assert_true(errors_of(t, 0, N).fixed < 5e-8);
    end(t);
}

static void zeros_keep_the_exponent_and_denormals_are_no_trap(void **state)
{
    (void)state;
    struct team *t = team_of(2, 1);
    memset(terms, 0, sizeof terms);
    step(t);
    assert_int_equal(t->repeats, 0);
    for (int64_t i = 0; i < N; i++) assert_true(t->total[i] == 0 && !signbit(t->total[i]));
    fill_normal(0, 1);
    step(t);
    assert_int_equal(t->repeats, 1);
    memset(terms, 0, sizeof terms);
    for (int i = 0; i < 20; i++) step(t);
    fill_normal(1, 1);
    step(t);
    assert_int_equal(t->repeats, 0);
    for (int i = 0; i < 3; i++) { /* to bounds of the finest scale */
        fill_normal(2, 0x1p-130);
        step(t);
    }
    for (int64_t i = 0; i < N; i++)
        assert_true(fabs((double)t->total[i] - exact(i)) <= SHARDS * 0x1p-127);
    fill_normal(3, 1e37);
    step(t);
    assert_int_equal(t->repeats, 1);
    assert_true(errors_of(t, 0, N).fixed < 5e-8);
    end(t);
}

static void what_it_cannot_sum_is_refused(void **state)
{
    (void)state;
    struct fixed_sum *f;
    struct sum s = {.threads = 1, .shards = 2, .n = 10, .f64 = true, .k = &kernels};
    assert_int_equal(sunup__fixed_create(ctx, &s, NULL, NULL, &f), SUNUP_E_UNSUPPORTED);
    assert_null(f);
    s.f64 = false;
    s.shards = 65537;
    assert_int_equal(sunup__fixed_create(ctx, &s, NULL, NULL, &f), SUNUP_E_UNSUPPORTED);
    assert_non_null(strstr(sunup_error(ctx), "65537"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_split_order_and_threads_give_the_same_bits),
        cmocka_unit_test(errors_are_below_those_of_the_tree),
        cmocka_unit_test(an_outlier_costs_its_block),
        cmocka_unit_test(growth_is_foreseen_and_a_jump_repeats_once),
        cmocka_unit_test(what_comes_and_goes_repeats_seldom),
        cmocka_unit_test(a_part_foresees_its_largest_rows),
        cmocka_unit_test(a_repetition_leaves_no_trace),
        cmocka_unit_test(a_restored_sum_goes_on_with_the_same_bits),
        cmocka_unit_test(the_largest_terms_fit),
        cmocka_unit_test(what_is_not_finite_is_reported_for_one_step),
        cmocka_unit_test(zeros_keep_the_exponent_and_denormals_are_no_trap),
        cmocka_unit_test(what_it_cannot_sum_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
