/* sums_test.c - sums are a function of the numbers and the sizes: not of where the numbers lie in
 * memory, and not of the instruction set where the same source serves all (simd/). Also that y +=
 * x over parts is y += x.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "base/memory.h"
#include "base/system.h"
#include "kernels/kernels.h"

enum { N = 3 * 1117, SHIFTS = 17, C = 7 };

struct result {
    double squares;
    float row, columns[C], channels[2][C], mean, rstd, y[N];
};

static void compute(const struct kernels *k, const float *x, struct result *r)
{
    memset(r, 0, sizeof *r);
    k->f32.sum_squares(N, x, &r->squares);
    k->f32.reduce(REDUCE_SUM, 1, N, 1, x, &r->row);
    k->f32.reduce(REDUCE_SUM, 1, N / C, C, x, r->columns);
    k->f32.channel_moments(N / C, C, x, r->columns, r->channels[0], r->channels[1]);
    k->f32.norm(1, N, x, NULL, NULL, 1e-5F, false, r->y, &r->mean, &r->rstd);
    k->f32.softmax(3, N / 3, x, r->y);
}

static void sums_do_not_depend_on_alignment(void **state)
{
    (void)state;
    const struct random_stream s = {7, RANDOM_TEST, 0, 0};
    float *room = sunup__alloc_aligned((N + SHIFTS) * sizeof *room);
    struct result *first = sunup__alloc(sizeof *first), *now = sunup__alloc(sizeof *now);
    assert_true(room && first && now);
    for (int level = 1; sunup__isa_name(level); level++) {
        struct kernels k;
        if (!sunup__kernels_init(&k, sunup__cpu_flags(), sunup__isa_name(level))) continue;
        for (int shift = 0; shift < SHIFTS; shift++) {
            for (uint64_t i = 0; i < N; i++)
                room[(uint64_t)shift + i] = (float)sunup__random_normal(&s, i);
            compute(&k, room + shift, level == 1 && shift == 0 ? first : now);
            if (level > 1 || shift > 0) assert_memory_equal(first, now, sizeof *first);
        }
    }
    sunup__free(room);
    sunup__free(first);
    sunup__free(now);
}

static void squares_of_the_largest_floats_are_finite(void **state)
{
    (void)state;
    struct kernels k;
    assert_true(sunup__kernels_init(&k, sunup__cpu_flags(), NULL));
    float x[100];
    double sum;
    for (int i = 0; i < 100; i++) x[i] = 0x1p127F;
    k.f32.sum_squares(100, x, &sum);
    assert_true(sum == 100 * 0x1p254);
    x[99] = sum > 0 ? (float)(1e300 * sum) : 0; /* Inf */
    k.f32.sum_squares(100, x, &sum);
    assert_false(sum - sum == 0);
}

/* Leaves take short rows in groups: the bits must be those of each row alone. */
static void rows_do_not_depend_on_their_neighbours(void **state)
{
    (void)state;
    enum { ROWS = 37, MOST = 1030 };
    static const int64_t lengths[] = {1, 3, 10, 16, 17, 40, 600, MOST};
    static float x[ROWS * MOST], all[4][ROWS * MOST], one[4][MOST], mean[ROWS], rstd[ROWS];
    const struct random_stream s = {8, RANDOM_TEST, 0, 0};
    for (uint64_t i = 0; i < ROWS * MOST; i++) x[i] = (float)sunup__random_normal(&s, i);
    for (int level = 1; sunup__isa_name(level); level++) {
        struct kernels k;
        if (!sunup__kernels_init(&k, sunup__cpu_flags(), sunup__isa_name(level))) continue;
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
            const int64_t n = lengths[i];
            k.f32.softmax(ROWS, n, x, all[0]);
            k.f32.log_softmax(ROWS, n, x, all[1]);
            k.f32.norm(ROWS, n, x, NULL, NULL, 1e-5F, false, all[2], mean, rstd);
            k.f32.softmax_grad(ROWS, n, all[0], x, false, all[3]);
            for (int64_t r = 0; r < ROWS; r++) {
                const float *row = x + r * n;
                k.f32.softmax(1, n, row, one[0]);
                k.f32.log_softmax(1, n, row, one[1]);
                k.f32.norm(1, n, row, NULL, NULL, 1e-5F, false, one[2], mean, rstd);
                k.f32.softmax_grad(1, n, one[0], row, false, one[3]);
                for (int f = 0; f < 4; f++)
                    assert_memory_equal(one[f], all[f] + r * n, (size_t)n * sizeof(float));
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_do_not_depend_on_their_neighbours),
        cmocka_unit_test(sums_do_not_depend_on_alignment),
        cmocka_unit_test(squares_of_the_largest_floats_are_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
