/* attention_ref.c - scores of attention made into weights, one block of keys after another.
 *
 * The running maximum and sum are those of Milakov and Gimelshein, "Online normalizer calculation
 * for softmax" (2018); what was added up under an older maximum is multiplied by `shrink`. A NaN
 * or +inf that is seen makes the row NaN, as softmax does.
 */
#include "base/integers.h"
#include "kernels/ref/real.h"

static int64_t seen(const struct NAME(attention) * a, int64_t row)
{
    const int64_t n = a->see + row;
    return n < 0 ? 0 : n < a->n ? n : a->n;
}

static REAL score(const struct NAME(attention) * a, int64_t row, int64_t j, REAL s)
{
    return a->bias ? FMA(a->scale, s, a->bias[row * a->bias_row + j]) : a->scale * s;
}

void NAME(ref_attention_scores)(const struct NAME(attention) * a, REAL *s, REAL *max, REAL *sum,
                                REAL *shrink)
{
    for (int64_t r = 0; r < a->rows; r++, s += a->row) {
        const int64_t n = seen(a, r);
        REAL m = max[r];
        for (int64_t j = 0; j < n; j++) {
            s[j] = score(a, r, j, s[j]);
            m = s[j] > m || isnan(s[j]) ? s[j] : m;
        }
        const REAL base = m == RC(-INFINITY) ? 0 : m;
        double total = 0;
        for (int64_t j = 0; j < a->n; j++) {
            s[j] = j < n ? EXP(s[j] - base) : 0;
            total += s[j];
        }
        shrink[r] = EXP(max[r] - base);
        sum[r] = RC((double)sum[r] * shrink[r] + total);
        max[r] = m;
    }
}

void NAME(ref_attention_grad)(const struct NAME(attention) * a, const REAL *lse, const REAL *delta,
                              REAL *s, REAL *dp, REAL *dbias)
{
    for (int64_t r = 0; r < a->rows; r++, s += a->row, dp += a->row) {
        const int64_t n = lse[r] == RC(-INFINITY) ? 0 : seen(a, r);
        for (int64_t j = 0; j < a->n; j++) {
            s[j] = j < n ? EXP(score(a, r, j, s[j]) - lse[r]) : 0;
            const REAL d = j < n ? s[j] * (dp[j] - delta[r]) : 0;
            if (dbias) dbias[r * a->bias_row + j] += d;
            dp[j] = a->scale * d;
        }
    }
}

enum { PANEL = 32 };

/* A row in two parts, in place of it or elsewhere. */
static void keep_row(int64_t n, const REAL *x, void *place)
{
    uint32_t *y = place;
    for (int64_t j = 0; j < n; j += PANEL) {
        REAL part[PANEL] = {0};
        for (int64_t i = 0; i < least(PANEL, n - j); i++) part[i] = x[j + i];
        NAME(ref_bf16_words)(PANEL, part, y + j, y + j + PANEL / 2);
    }
}

/* Two rows, or one, in two parts in place of them. */
static void keep_rows(int64_t rows, int64_t n, REAL *x, int64_t row)
{
    uint32_t *words = (void *)x, *low = (void *)(x + row);
    for (int64_t j = 0; j < round_up(n, PANEL); j++) {
        const REAL two[] = {j < n ? x[j] : 0, rows > 1 && j < n ? x[row + j] : 0};
        NAME(ref_bf16_rows)(2, 1, two, 1, words + j, low + j);
    }
}

void NAME(ref_attention_scores_bf16x3)(const struct NAME(attention) * a, REAL *s, REAL *max, REAL *sum, REAL *shrink)
{
    NAME(ref_attention_scores)(a, s, max, sum, shrink);
    for (int64_t r = 0; r < a->rows; r++) keep_row(a->n, s + r * a->row, s + r * a->row);
}

void NAME(ref_attention_grad_bf16x3)(const struct NAME(attention) * a, const REAL *lse, const REAL *delta, REAL *s,
                                     REAL *dp, REAL *dbias, REAL *ds)
{
    NAME(ref_attention_grad)(a, lse, delta, s, dp, dbias);
    for (int64_t r = 0; r < a->rows; r++) keep_row(a->n, dp + r * a->row, ds + r * a->row);
    for (int64_t r = 0; r < a->rows; r += 2) {
        keep_rows(a->rows - r, a->n, s + r * a->row, a->row);
        keep_rows(a->rows - r, a->n, dp + r * a->row, a->row);
    }
}
