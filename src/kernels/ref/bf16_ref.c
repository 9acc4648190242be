/* bf16_ref.c - bf16 in pairs, and the product of pairs: the meaning of the six leaves.
 *
 * bf16 is the upper half of an f32. A word holds two, which the product takes as two terms of its
 * sum, so a step along k is a word. Denormal operands count as 0 where the processor has an
 * instruction for this; no bound depends on them.
 */
#include <string.h>

#include "base/integers.h"
#include "kernels/ref/real.h"

static uint32_t rounded(REAL x)
{
    const float f = (float)x;
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    if (isnan(f)) return u >> 16 | 0x40;
    return (u + 0x7fff + (u >> 16 & 1)) >> 16;
}

static double number(uint32_t half)
{
    const uint32_t u = half << 16;
    float f;
    memcpy(&f, &u, sizeof f);
    return (double)f;
}

static uint32_t left(REAL x)
{
    return rounded(RC((double)x - number(rounded(x))));
}

void NAME(ref_bf16_words)(int64_t n, const REAL *x, uint32_t *y, uint32_t *low)
{
    for (int64_t i = 0; i < n; i += 2) {
        y[i / 2] = rounded(x[i]) | (i + 1 < n ? rounded(x[i + 1]) << 16 : 0);
        if (low) low[i / 2] = left(x[i]) | (i + 1 < n ? left(x[i + 1]) << 16 : 0);
    }
}

void NAME(ref_bf16_rows)(int64_t k, int64_t n, const REAL *x, int64_t x_row, uint32_t *y, uint32_t *low)
{
    for (int64_t p = 0; p < k; p += 2) {
        for (int64_t j = 0; j < n; j++) {
            const REAL first = x[p * x_row + j], second = p + 1 < k ? x[(p + 1) * x_row + j] : 0;
            y[p / 2 * n + j] = rounded(first) | rounded(second) << 16;
            if (low) low[p / 2 * n + j] = left(first) | left(second) << 16;
        }
    }
}

static double term(uint32_t a, uint32_t b)
{
    return number(a & 0xffff) * number(b & 0xffff) + number(a >> 16) * number(b >> 16);
}

static void product(const struct NAME(gemm) * g, bool parts)
{
    const int64_t a_low = parts ? g->a_at[g->batch] : 0, b_low = parts ? g->b_at[g->batch] : 0;
    const uint32_t *const a = (const void *)g->a, *const b = (const void *)g->b;
    for (int64_t r = 0; r < g->m; r++) {
        for (int64_t j = 0; j < g->n; j++) {
            REAL *c = g->c + r * g->c_row + j;
            double sum = g->accumulate ? (double)*c : 0;
            for (int64_t i = 0; i < g->batch; i++) {
                const uint32_t *ai = a + (g->a_at ? g->a_at[i] : 0) + r * g->a_row;
                const uint32_t *bi = b + (g->b_at ? g->b_at[i] : 0) + j;
                for (int64_t p = 0; p < g->k; p++, ai += g->a_col, bi += g->b_row) {
                    sum += term(*ai, *bi);
                    if (parts) sum += term(ai[a_low], *bi) + term(*ai, bi[b_low]);
                }
            }
            if (g->bias) sum += (double)g->bias[j];
            *c = RC(g->relu && sum < 0 ? 0 : sum);
        }
    }
}

void NAME(ref_gemm_bf16)(const struct NAME(gemm) * g)
{
    product(g, false);
}

void NAME(ref_gemm_bf16x3)(const struct NAME(gemm) * g)
{
    product(g, true);
}

static void panels(const struct NAME(gemm) * g, bool parts)
{
    enum { PANEL = 32 };
    for (int64_t j = 0; j < g->n; j += PANEL) {
        struct NAME(gemm) panel = *g;
        panel.n = panel.b_row = least(PANEL, g->n - j);
        panel.b = (const void *)((const uint32_t *)(const void *)g->b + j * g->b_row);
        panel.c += j;
        if (g->bias) panel.bias += j;
        product(&panel, parts);
    }
}

void NAME(ref_panels_bf16)(const struct NAME(gemm) * g)
{
    panels(g, false);
}

void NAME(ref_panels_bf16x3)(const struct NAME(gemm) * g)
{
    panels(g, true);
}
