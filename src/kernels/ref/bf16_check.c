/* bf16_check.c - problems of the bf16 leaves. gemm_bf16 and gemm_bf16x3: m n, k in pairs, b batch; a 1: A is transposed
 * in memory; accumulate bias relu.
 *
 * The instructions take denormals for 0, in operands, sums and results: each term may be off by
 * 2^-126, and operands of the check are never denormal.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/integers.h"
#include "kernels/check.h"

static void same_words(struct check *c, const struct operand *y)
{
    sunup__check_same_ints(c, y);
}

static void run_words(struct check *c)
{
    const int64_t n = sunup__check_number(c, "n", 1);
    const struct operand x = sunup__check_in(c, "x", n, FILL_ANY),
                         y = sunup__check_ints_out(c, "y", (n + 1) / 2),
                         low = sunup__check_ints_out(c, "low", (n + 1) / 2);
    const bool both = sunup__check_number(c, "low", 0);
    sunup__check_cost(c, 0, (both ? 8.0 : 6.0) * (double)n);
    CHECK_RUN(c) c->f32->bf16_words(n, x.f32, (uint32_t *)y.i32, both ? (uint32_t *)low.i32 : NULL);
    if (!sunup__check_wanted(c)) return;
    c->f64->bf16_words(n, x.f64, (uint32_t *)y.i32_want, (uint32_t *)low.i32_want);
    same_words(c, &y);
    if (both) same_words(c, &low);
}

static void run_rows(struct check *c)
{
    const int64_t k = sunup__check_number(c, "k", 1), n = sunup__check_number(c, "n", 1),
                  row = n + sunup__check_number(c, "gap", 0);
    const struct operand x = sunup__check_in(c, "x", k > 0 ? (k - 1) * row + n : 0, FILL_ANY),
                         y = sunup__check_ints_out(c, "y", (k + 1) / 2 * n),
                         low = sunup__check_ints_out(c, "low", (k + 1) / 2 * n);
    const bool both = sunup__check_number(c, "low", 0);
    sunup__check_cost(c, 0, (both ? 8.0 : 6.0) * (double)(k * n));
    CHECK_RUN(c)
    c->f32->bf16_rows(k, n, x.f32, row, (uint32_t *)y.i32, both ? (uint32_t *)low.i32 : NULL);
    if (!sunup__check_wanted(c)) return;
    c->f64->bf16_rows(k, n, x.f64, row, (uint32_t *)y.i32_want, (uint32_t *)low.i32_want);
    same_words(c, &y);
    if (both) same_words(c, &low);
}

/* n words made of 2 n numbers. */
static struct operand fill_words(struct check *c, const char *name, int64_t n)
{
    const struct operand words = sunup__check_ints(c, name, n, 0, 1),
                         numbers = sunup__check_in(c, "numbers", 2 * n, FILL_ANY);
    for (int64_t i = 0; i < n && words.i32; i++) {
        float pair[2];
        for (int j = 0; j < 2; j++) {
            const float x = numbers.f32[2 * i + j];
            pair[j] = fabsf(x) < 2 * FLT_MIN ? 0 : x;
        }
        uint32_t word;
        ref_bf16_words_f32(2, pair, &word, NULL);
        memcpy(&words.i32[i], &word, sizeof word);
        words.i32_want[i] = words.i32[i];
    }
    return words;
}

static struct gemm_f64 reference(const struct gemm_f32 *g, const void *a, const void *b,
                                 const double *bias, double *y)
{
    return (struct gemm_f64){.m = g->m,
                             .n = g->n,
                             .k = g->k,
                             .batch = g->batch,
                             .a = a,
                             .a_row = g->a_row,
                             .a_col = g->a_col,
                             .a_at = g->a_at,
                             .b = b,
                             .b_row = g->b_row,
                             .b_at = g->b_at,
                             .c = y,
                             .c_row = g->c_row,
                             .accumulate = g->accumulate,
                             .bias = g->bias ? bias : NULL,
                             .relu = g->relu};
}

/* The words without their signs: what sums of absolute values are made of. */
static const void *absolute(struct check *c, const struct operand *words)
{
    int32_t *plain = (void *)sunup__check_scratch(c, (words->n + 1) / 2);
    for (int64_t i = 0; i < words->n; i++) plain[i] = words->i32[i] & 0x7fff7fff;
    return plain;
}

struct product {
    struct operand a, b, bias, c;
};

/* What the leaf made of the product, of which it adds `products`, beside the f64 leaf, within its terms' roundings of
 * the sum of |products|. */
static void compare(struct check *c, const struct gemm_f32 *g, const struct product *p,
                    void (*leaf)(const struct gemm_f64 *), int64_t products)
{
    if (!sunup__check_wanted(c)) return;
    double *size = sunup__check_absolute(c, &p->c);
    const struct gemm_f64 sizes =
        reference(g, absolute(c, &p->a), absolute(c, &p->b), sunup__check_absolute(c, &p->bias), size);
    leaf(&sizes);
    for (int64_t i = 0; i < g->m * g->n; i++) size[i] += 0x1p-102;
    const struct gemm_f64 want = reference(g, p->a.i32, p->b.i32, p->bias.f64, p->c.f64);
    leaf(&want);
    sunup__check_close(c, &p->c, size, 2 * (double)(g->k * g->batch * products) + 2);
}

enum { MOST = 64 };

/* parts: of a and b; the second lies behind the first of all entries. */
static void run_gemm_of(struct check *c, void (*leaf)(const struct gemm_f32 *),
                        void (*meaning)(const struct gemm_f64 *), int64_t parts)
{
    const int64_t m = sunup__check_number(c, "m", 1), n = sunup__check_number(c, "n", 1),
                  k = sunup__check_number(c, "k", 1), batch = sunup__check_number(c, "b", 1);
    const bool transposed = sunup__check_number(c, "a", 0) == 1;
    int64_t a_at[MOST + 1], b_at[MOST + 1];
    if (batch > MOST) sunup__check_fail(c, "b is at most %d", MOST);
    for (int64_t i = 0; i < batch && i < MOST; i++) {
        a_at[i] = (batch - 1 - i) * m * k;
        b_at[i] = i * k * n;
    }
    const struct operand a = fill_words(c, "a", m * k * batch * parts),
                         b = fill_words(c, "b", k * n * batch * parts);
    a_at[batch] = m * k * batch;
    b_at[batch] = k * n * batch;
    const struct operand bias = sunup__check_in(c, "bias", n, FILL_ANY),
                         y = sunup__check_out(c, "c", m * n, FILL_FINITE);
    sunup__check_cost(c, 4.0 * (double)(m * n) * (double)(k * batch * (2 * parts - 1)),
                      4.0 * (double)(a.n + b.n + m * n));
    const struct gemm_f32 g = {.m = m,
                               .n = n,
                               .k = k,
                               .batch = batch,
                               .a = (const void *)a.i32,
                               .a_row = transposed ? 1 : k,
                               .a_col = transposed ? m : 1,
                               .a_at = a_at,
                               .b = (const void *)b.i32,
                               .b_row = n,
                               .b_at = b_at,
                               .c = y.f32,
                               .c_row = n,
                               .accumulate = sunup__check_number(c, "accumulate", 0),
                               .bias = sunup__check_number(c, "bias", 0) ? bias.f32 : NULL,
                               .relu = sunup__check_number(c, "relu", 0)};
    CHECK_RUN(c) leaf(&g);
    compare(c, &g, &(struct product){a, b, bias, y}, meaning, 2 * parts - 1);
}

static void run_gemm(struct check *c)
{
    run_gemm_of(c, c->f32->gemm_bf16, c->f64->gemm_bf16, 1);
}

static void run_gemm_of_parts(struct check *c)
{
    run_gemm_of(c, c->f32->gemm_bf16x3, c->f64->gemm_bf16x3, 2);
}

/* m n, k in steps of 16 pairs; parts: a and b have two, of which the second lies behind the first. */
static void run_panels_of(struct check *c, void (*leaf)(const struct gemm_f32 *),
                          void (*meaning)(const struct gemm_f64 *), int64_t parts)
{
    const int64_t m = sunup__check_number(c, "m", 1), n = sunup__check_number(c, "n", 1),
                  k = 16 * sunup__check_number(c, "k", 1), gap = sunup__check_number(c, "gap", 0),
                  row = parts * (k + gap);
    const struct operand a = fill_words(c, "a", m * row), b = fill_words(c, "b", row * n);
    const struct operand bias = sunup__check_in(c, "bias", n, FILL_ANY),
                         y = sunup__check_out(c, "c", m * n, FILL_FINITE);
    const int64_t a_at[] = {0, k + gap}, b_at[] = {0, (k + gap) * least(n, 32)};
    sunup__check_cost(c, 4.0 * (double)(m * n) * (double)(k * (2 * parts - 1)), 4.0 * (double)(a.n + b.n + m * n));
    const struct gemm_f32 g = {.m = m,
                               .n = n,
                               .k = k,
                               .batch = 1,
                               .a = (const void *)a.i32,
                               .a_row = row,
                               .a_col = 1,
                               .a_at = a_at,
                               .b = (const void *)b.i32,
                               .b_row = row,
                               .b_at = b_at,
                               .c = y.f32,
                               .c_row = n,
                               .accumulate = sunup__check_number(c, "accumulate", 0),
                               .bias = sunup__check_number(c, "bias", 0) ? bias.f32 : NULL,
                               .relu = sunup__check_number(c, "relu", 0)};
    CHECK_RUN(c) leaf(&g);
    compare(c, &g, &(struct product){a, b, bias, y}, meaning, 2 * parts - 1);
}

static void run_panels(struct check *c)
{
    run_panels_of(c, c->f32->panels_bf16, c->f64->panels_bf16, 1);
}

static void run_parts(struct check *c)
{
    run_panels_of(c, c->f32->panels_bf16x3, c->f64->panels_bf16x3, 2);
}

static const char *const word_problems[] = {"n0", "n1", "n2", "n31", "n1003", "n17low", "n1003low", NULL};
static const char *const row_problems[] = {"k0n3",  "k3n0", "k1n1",      "k2n17",
                                           "k5n33", "k7n1", "k6n64gap5", "k3n16low", "k7n33gap5low", NULL};
static const char *const gemm_problems[] = {"m0n5k3",
                                            "m3n5k0:accumulate:bias:relu",
                                            "m1n1k1",
                                            "m2n3k5:bias:relu",
                                            "m5n31k9:accumulate:relu",
                                            "m6n64k4b3",
                                            "m7n33k5:a1",
                                            "m14n32k130",
                                            "m29n17k12b2:a1:bias",
                                            "m64n48k150",
                                            "m113n96k32b9",
                                            NULL};
const struct leaf_check sunup__check_bf16_words = {"bf16_words", word_problems, run_words};
const struct leaf_check sunup__check_bf16_rows = {"bf16_rows", row_problems, run_rows};
static const char *const panel_problems[] = {"m0n5k3",
                                             "m3n5k0:accumulate:bias:relu",
                                             "m1n1k1",
                                             "m16n16k2:relu",
                                             "m33n40k3:bias",
                                             "m40n81k1:accumulate:bias:relu",
                                             "m64n64k8gap16:accumulate",
                                             "m97n200k12gap16",
                                             NULL};
const struct leaf_check sunup__check_panels_bf16 = {"panels_bf16", panel_problems, run_panels};
/* Here the low parts of a panel lie behind it whole, so the last panel must be 32 wide too, or the only one. */
static const char *const part_problems[] = {"m0n5k3",
                                            "m3n5k0:accumulate:bias:relu",
                                            "m1n1k1",
                                            "m16n16k2:relu",
                                            "m33n20k3:bias",
                                            "m40n64k1:accumulate:bias:relu",
                                            "m64n64k8gap16:accumulate",
                                            "m97n192k12gap16",
                                            NULL};
const struct leaf_check sunup__check_panels_bf16x3 = {"panels_bf16x3", part_problems, run_parts};
const struct leaf_check sunup__check_gemm_bf16 = {"gemm_bf16", gemm_problems, run_gemm};
const struct leaf_check sunup__check_gemm_bf16x3 = {"gemm_bf16x3", gemm_problems, run_gemm_of_parts};
