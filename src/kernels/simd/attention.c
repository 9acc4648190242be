/* attention.c - scores of attention made into weights. A block of rows is in the first or second
 * cache, so the exponentials are what it costs: with what goes before and after them some 17 vector
 * instructions for 16 keys (9 cycles where two are begun in each; on Zen 5, 9 with the maximum, and
 * 7.5 back, where the other pair of ports adds), and 2 for the maximum.
 */
#include "kernels/simd/math.h"
#include "kernels/simd/rows.h"

enum { STEP = EXP_STEP, STEP_LANES = STEP * VEC_LANES }; /* taken in step: math.h */

struct kept {
    float *s;
    int64_t row;
};

INLINE void keep_step(const struct kept *k, int64_t r, int64_t j, const vec e[STEP])
{
    for (int v = 0; v < STEP; v++) vec_store(k->s + r * k->row + j + v * VEC_LANES, e[v]);
}

INLINE void keep_part(const struct kept *k, int64_t r, int64_t j, const vec e[2], int64_t left)
{
    float *s = k->s + r * k->row + j;
    vec_store_part(s, e[0], left);
    if (left > VEC_LANES) vec_store_part(s + VEC_LANES, e[1], left - VEC_LANES);
}

static void zero_from(float *s, int64_t from, int64_t n)
{
    for (int64_t j = from; j < n; j++) s[j] = 0;
}

INLINE void keep_zeros(const struct kept *k, int64_t r, int64_t from, int64_t n)
{
    zero_from(k->s + r * k->row, from, n);
}

static void keep_nan(const struct kept *k, int64_t r, int64_t n)
{
    for (int64_t j = 0; j < n; j++) k->s[r * k->row + j] = NAN;
}

#include "kernels/simd/attention.h"

static void attention_scores(const struct attention_f32 *a, float *s, float *max, float *sum,
                             float *shrink)
{
    scores_kept(a, &(struct kept){s, a->row}, s, max, sum, shrink);
}

/* A row on the way back. */
struct back_row {
    float *s, *dp, *dbias;
    const float *bias;
    vec scale, base, mean;
};

/* `count` vectors of a row from j on, the last of them `left` elements. */
INLINE void back_step(const struct back_row *r, int64_t j, int count, int64_t left)
{
    vec e[STEP];
    for (int v = 0; v < count; v++) {
        const int64_t at = j + v * VEC_LANES;
        const vec t = vec_load_part(r->s + at, left), down = vec_set(0) - r->base;
        if (r->bias)
            e[v] = vec_fma(r->scale, t, vec_load_part(r->bias + at, left)) + down;
        else
            e[v] = vec_fma(r->scale, t, down);
    }
    vec_exps_negative(count, e);
    for (int v = 0; v < count; v++) {
        const int64_t at = j + v * VEC_LANES;
        const vec d = e[v] * (vec_load_part(r->dp + at, left) - r->mean);
        vec_store_part(r->s + at, e[v], left);
        if (r->dbias) vec_store_part(r->dbias + at, vec_load_part(r->dbias + at, left) + d, left);
        vec_store_part(r->dp + at, d * r->scale, left);
    }
}

static void attention_grad(const struct attention_f32 *a, const float *lse, const float *delta,
                           float *s, float *dp, float *dbias)
{
    for (int64_t r = 0; r < a->rows; r++, s += a->row, dp += a->row) {
        const int64_t n = lse[r] == -INFINITY ? 0 : seen(a, r);
        const struct back_row row = {.s = s,
                                     .dp = dp,
                                     .dbias = dbias ? dbias + r * a->bias_row : NULL,
                                     .bias = a->bias ? a->bias + r * a->bias_row : NULL,
                                     .scale = vec_set(a->scale),
                                     .base = vec_set(lse[r]),
                                     .mean = vec_set(delta[r])};
        int64_t j = 0;
        for (; j + STEP_LANES <= n; j += STEP_LANES) back_step(&row, j, STEP, VEC_LANES);
        for (; j < n; j += VEC_LANES) back_step(&row, j, 1, n - j);
        zero_from(s, n, a->n);
        zero_from(dp, n, a->n);
    }
}

void FILL(attention)(struct kernels *k)
{
    k->f32.attention_scores = attention_scores;
    k->f32.attention_grad = attention_grad;
}
