/* product_bf16_test.c - products in bf16 against f64 sums of the same rounded operands, in bf16x3 against
 * those of the operands themselves, and the same bits with any number of threads. At levels without such
 * an instruction there is nothing to test: no maker may offer itself. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "device/cpu/maker_f64_test.h"
#include "device/cpu/makers.h"
#include "graph/ops/matmul.h"

enum { TA = SUNUP_TRANSPOSE_A, TB = SUNUP_TRANSPOSE_B, LINEAR = 4 };

/* What product_tiles.c says of errors, as a share of the largest result, for normal numbers. */
#define OF_LARGEST 7e-6

struct sizes {
    int64_t batch, m, k, n;
    int flags;
};
static const struct sizes problems[] = {
    {1, 32, 32, 32, 0},          {1, 97, 65, 33, 0},    {1, 131, 1051, 163, 0},
    {1, 131, 700, 63, TB},       {1, 123, 131, 70, TA}, {1, 45, 33, 2100, TA | TB},
    {3, 33, 50, 41, TB},         {2, 130, 64, 131, TA}, {1, 225, 2049, 97, LINEAR},
    {1, 113, 1024, 128, LINEAR}, {1, 1040, 33, 513, TA},
    {1, 371, 1051, 370, 0},      {2, 380, 520, 350, TB}, {1, 525, 1300, 260, LINEAR}, /* blocks of C that grow apart */
    {1, 1000, 300, 290, 0},      {4, 500, 160, 40, TB}, {1, 1021, 129, 33, TA}, /* and pack their rows of A */
    {30, 40, 33, 35, TB},        {9, 300, 70, 64, TA},  /* and B of each matrix */
    {1, 70, 2100, 45, TA},       {1, 300, 4200, 64, TA},  /* in chunks of the sum */
    {1, 64, 784, 128, LINEAR},   {1, 65, 541, 99, LINEAR}, {1, 97, 388, 257, 0}, /* or halves */
    {1, 784, 64, 128, TA}}; /* and pack all of B, too */

static sunup_context *context(sunup_numerics numerics)
{
    unsetenv("SUNUP_NUMERICS");
    sunup_context_options o = sunup_context_defaults();
    o.numerics = numerics;
    sunup_context *ctx;
    assert_int_equal(sunup_context_create(&o, &ctx), SUNUP_OK);
    return ctx;
}

static const struct node *build(sunup_graph *g, const struct sizes *s)
{
    if (s->flags & LINEAR)
        return sunup_linear(sunup_input(g, "a", SUNUP_F32, SUNUP_SHAPE(s->m, s->k)),
                            sunup_input(g, "b", SUNUP_F32, SUNUP_SHAPE(s->k, s->n)),
                            sunup_input(g, "bias", SUNUP_F32, SUNUP_SHAPE(s->n)))
            ->node;
    const sunup_shape a = s->flags & TA ? SUNUP_SHAPE(s->batch, s->k, s->m)
                                        : SUNUP_SHAPE(s->batch, s->m, s->k),
                      b = s->flags & TB ? SUNUP_SHAPE(s->batch, s->n, s->k)
                                        : SUNUP_SHAPE(s->batch, s->k, s->n);
    return sunup_matmul(sunup_input(g, "a", SUNUP_F32, a), sunup_input(g, "b", SUNUP_F32, b),
                        s->flags)
        ->node;
}

/* What such numerics take, whether it offers itself or not: it must be right where it does not pay, too. */
static const struct maker *maker_of(const struct node *n, sunup_numerics numerics)
{
    const char *end = numerics == SUNUP_NUMERICS_BF16 ? "_bf16" : "_bf16x3";
    const struct maker *m = sunup__cpu_makers;
    while (m->name && (strcmp(m->op, n->op->name) != 0 || strcmp(m->name + strlen(m->op), end) != 0)) m++;
    return m->name ? m : NULL;
}

static float *draw(int64_t n, uint64_t seed)
{
    float *x = sunup__alloc_aligned((size_t)n * sizeof *x);
    const struct random_stream stream = {.purpose = RANDOM_TEST, .seed = seed};
    for (int64_t i = 0; i < n; i++) x[i] = (float)sunup__random_normal(&stream, (uint64_t)i);
    return x;
}

static double rounded(float x)
{
    uint32_t word;
    ref_bf16_words_f32(1, &x, &word, NULL);
    word <<= 16;
    memcpy(&x, &word, sizeof x);
    return (double)x;
}

static double operand(float x, bool parts)
{
    return parts ? (double)x : rounded(x);
}

/* parts: 3 k terms are added. The first part of an operand errs by 2^-8 of it at most, both together by 2^-17, and
 * the product of both second parts is left out. */
static void check_element(const struct sizes *s, bool parts, float *const in[3], const float *y, int64_t at,
                          struct largest *l)
{
    const int64_t i = at / (s->m * s->n), r = at / s->n % s->m, j = at % s->n;
    const float *a = in[0] + i * s->m * s->k, *b = in[1] + i * s->k * s->n;
    double sum = s->flags & LINEAR ? (double)in[2][j] : 0, size = fabs(sum);
    for (int64_t p = 0; p < s->k; p++) {
        const double term = operand(s->flags & TA ? a[p * s->m + r] : a[r * s->k + p], parts) *
                            operand(s->flags & TB ? b[j * s->k + p] : b[p * s->n + j], parts);
        sum += term;
        size += fabs(term);
    }
    const double left_out = parts ? 2 * 0x1p-17 + 0x1p-16 : 0;
    const double bound = (((parts ? 3 : 1) * (double)s->k + 2) * 0x1p-24 + left_out) * size;
    if (!(fabs((double)y[at] - sum) <= bound))
        fail_msg("m %d k %d n %d flags %d: [%d] is %g, not %g +- %g", (int)s->m, (int)s->k,
                 (int)s->n, s->flags, (int)at, (double)y[at], sum, bound);
    l->error = fmax(l->error, fabs((double)y[at] - sum));
    l->result = fmax(l->result, fabs(sum));
}

static void check_problem(struct device *cpu, const struct node *n, const struct sizes *s, sunup_numerics numerics)
{
    static const int threads[] = {1, 2, 3, 7};
    const struct maker *maker = maker_of(n, numerics);
    const bool parts = numerics == SUNUP_NUMERICS_FAST;
    assert_non_null(maker);
    float *in[3] = {draw(s->batch * s->m * s->k, 1), draw(s->batch * s->k * s->n, 2),
                    draw(s->n, 3)};
    const int64_t elements = s->batch * s->m * s->n;
    float *first = NULL;
    for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
        struct device d = *cpu;
        d.threads = threads[t];
        float *y = draw(elements, 4);
        void *operands[] = {in[0], in[1], in[2]}, *out = y;
        struct step step = {.node = n, .device = &d, .in = operands, .out = &out};
        assert_int_equal(maker->make(&d, n, &step), SUNUP_OK);
        step.workspace = sunup__alloc_aligned((size_t)step.workspace_bytes);
        memset(step.workspace, 0xff, (size_t)step.workspace_bytes);
        assert_int_equal(step.run(&step, &(sunup_random_key){0}), SUNUP_OK);
        struct largest l = {0, 0, 0};
        for (int64_t i = 0; i < elements; i += t == 0 ? 7 : elements) check_element(s, parts, in, y, i, &l);
        assert_true(t > 0 || l.error <= OF_LARGEST * l.result);
        if (first != NULL) assert_memory_equal(first, y, (size_t)elements * sizeof *y);
        step.end(&step);
        sunup__free(step.workspace);
        run_prepared(maker, &d, n, operands, y);
        if (first == NULL)
            first = y;
        else
            sunup__free(y);
    }
    sunup__free(first);
    for (int i = 0; i < 3; i++) sunup__free(in[i]);
}

static bool has_way(const struct device *cpu, sunup_numerics numerics)
{
    return numerics == SUNUP_NUMERICS_BF16 ? cpu->kernels->fast_bf16 : cpu->kernels->tiles_bf16;
}

static void check_numerics(sunup_numerics numerics)
{
    sunup_context *ctx = context(numerics);
    struct device *cpu;
    assert_int_equal(sunup__device(ctx, &cpu), SUNUP_OK);
    for (size_t i = 0; i < sizeof problems / sizeof *problems && has_way(cpu, numerics); i++) {
        sunup_graph *g;
        assert_int_equal(sunup_graph_create(ctx, NULL, &g), SUNUP_OK);
        check_problem(cpu, build(g, &problems[i]), &problems[i], numerics);
        sunup_graph_destroy(&g);
    }
    sunup_context_destroy(&ctx);
}

static void sums_of_rounded_operands(void **state)
{
    (void)state;
    check_numerics(SUNUP_NUMERICS_BF16);
}

static void sums_of_operands_in_two_parts(void **state)
{
    (void)state;
    check_numerics(SUNUP_NUMERICS_FAST);
}

static bool offers(sunup_context *ctx, struct device *cpu, const struct sizes *s, sunup_numerics numerics)
{
    sunup_graph *g;
    assert_int_equal(sunup_graph_create(ctx, NULL, &g), SUNUP_OK);
    const struct node *n = build(g, s);
    const bool can = maker_of(n, numerics)->can(cpu, n);
    sunup_graph_destroy(&g);
    return can;
}

/* Each of both ways with all numerics. */
static void check_offers(sunup_numerics way, const struct sizes *s, bool pays)
{
    for (int numerics = SUNUP_NUMERICS_FAST; numerics <= SUNUP_NUMERICS_BF16; numerics++) {
        sunup_context *ctx = context((sunup_numerics)numerics);
        struct device *cpu;
        assert_int_equal(sunup__device(ctx, &cpu), SUNUP_OK);
        assert_int_equal(offers(ctx, cpu, s, way), pays && (int)way == numerics && has_way(cpu, way));
        sunup_context_destroy(&ctx);
    }
}

static void only_where_it_is_asked_for_and_pays(void **state)
{
    (void)state;
    static const struct sizes large[] = {{1, 131, 1051, 163, 0},
                                         {1, 1024, 1024, 48, LINEAR},
                                         {16, 64, 64, 128, TB},
                                         {12, 512, 64, 512, TB}},
                              narrow[] = {{1, 1024, 1024, 32, LINEAR},
                                          {64, 256, 256, 48, 0},  /* from afar */
                                          {64, 256, 32, 256, TB}},
                              small[] = {{1, 64, 64, 64, 0},
                                         {1, 4096, 32, 32, LINEAR},
                                         {1, 16, 4096, 4096, TB}};
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
        check_offers(SUNUP_NUMERICS_BF16, &large[i], true);
        check_offers(SUNUP_NUMERICS_FAST, &large[i], true);
    }
    for (size_t i = 0; i < sizeof narrow / sizeof *narrow; i++) {
        check_offers(SUNUP_NUMERICS_BF16, &narrow[i], true);
        check_offers(SUNUP_NUMERICS_FAST, &narrow[i], false);
    }
    for (size_t i = 0; i < sizeof small / sizeof *small; i++) {
        check_offers(SUNUP_NUMERICS_BF16, &small[i], false);
        check_offers(SUNUP_NUMERICS_FAST, &small[i], false);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sums_of_rounded_operands),
                                       cmocka_unit_test(sums_of_operands_in_two_parts),
                                       cmocka_unit_test(only_where_it_is_asked_for_and_pays)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
