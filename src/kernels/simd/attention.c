/* attention.c - scores of attention made into weights. A block of rows is in the first or second
 * cache, so the exponentials are what it costs: with what goes before and after them some 17 vector
 * instructions for 16 keys (9 cycles where two are begun in each; on Zen 5, 9 with the maximum, and
 * 7.5 back, where the other pair of ports adds), and 2 for the maximum.
 *
 * Maxima and sums of a group of rows are folded together (rows.h).
 */
#include "kernels/simd/math.h"
#include "kernels/simd/rows.h"

static int64_t seen(const struct attention_f32 *a, int64_t row)
{
    const int64_t n = a->see + row;
    return n < 0 ? 0 : n < a->n ? n : a->n;
}

enum { STEP = EXP_STEP, STEP_LANES = STEP * VEC_LANES }; /* taken in step: math.h */

/* t = scale s + bias of a vector of a row. t is kept only where there is a bias: it costs less to
 * multiply again than to store. */
INLINE vec score(float *s, const float *bias, int64_t at, int64_t left, vec scale)
{
    const vec t = vec_load_part(s + at, left);
    if (!bias) return scale * t;
    const vec sum = vec_fma(scale, t, vec_load_part(bias + at, left));
    vec_store_part(s + at, sum, left);
    return sum;
}

/* The lanes of a row's maximum. */
INLINE vec row_top(int64_t n, float *s, const float *bias, vec scale)
{
    const vec least = vec_set(-INFINITY);
    vec top[STEP];
    for (int v = 0; v < STEP; v++) top[v] = least;
    int64_t j = 0;
    for (; j + STEP_LANES <= n; j += STEP_LANES) {
        for (int v = 0; v < STEP; v++)
            top[v] = vec_max(top[v], score(s, bias, j + v * VEC_LANES, VEC_LANES, scale));
    }
    for (; j < n; j += VEC_LANES)
        top[0] = vec_max(top[0], vec_keep(score(s, bias, j, n - j, scale), least, n - j));
    for (int half = STEP / 2; half > 0; half /= 2) {
        for (int v = 0; v < half; v++) top[v] = vec_max(top[v], top[v + half]);
    }
    return top[0];
}

INLINE vec weight(vec s, vec scale, vec base)
{
    return vec_exp_negative(vec_fma(scale, s, vec_set(0) - base));
}

/* s = exp(scale s - base) of part of a row, and the lanes of their sum. */
INLINE vec row_weights(int64_t n, float *s, vec scale, vec base)
{
    vec sum[ROW_VECS];
    for (int v = 0; v < ROW_VECS; v++) sum[v] = vec_set(0);
    int64_t j = 0;
    for (; j + STEP_LANES <= n; j += STEP_LANES) {
        vec e[STEP];
        for (int v = 0; v < STEP; v++)
            e[v] = vec_fma(scale, vec_load(s + j + v * VEC_LANES), vec_set(0) - base);
        vec_exps_negative(STEP, e);
        for (int v = 0; v < STEP; v++) {
            vec_store(s + j + v * VEC_LANES, e[v]);
            sum[v % ROW_VECS] += e[v];
        }
    }
    for (int v = 0; v < STEP; v++) {
        const int64_t at = j + v * VEC_LANES, left = n - at;
        if (left <= 0) break;
        const vec e = weight(vec_load_part(s + at, left), scale, base);
        vec_store_part(s + at, e, left);
        sum[v % ROW_VECS] += vec_keep(e, vec_set(0), left);
    }
    for (int half = ROW_VECS / 2; half > 0; half /= 2) {
        for (int v = 0; v < half; v++) sum[v] += sum[v + half];
    }
    return sum[0];
}

static void zero_from(float *s, int64_t from, int64_t n)
{
    for (int64_t j = from; j < n; j++) s[j] = 0;
}

/* total[r] = the sum of a row's weights, 1024 at a time in float */
INLINE void group_weights(const struct attention_f32 *a, int64_t at, int64_t rows, float *s,
                          const float base[VEC_LANES], double total[VEC_LANES])
{
    const vec scale = vec_set(a->bias ? 1 : a->scale);
    for (int64_t from = 0; from < a->n; from += ROW_BLOCK) {
        vec part[VEC_LANES];
        float folded[VEC_LANES];
        for (int64_t r = 0; r < VEC_LANES; r++) {
            const int64_t left = r < rows ? seen(a, at + r) - from : 0;
            part[r] = left <= 0 ? vec_set(0)
                                : row_weights(left < ROW_BLOCK ? left : ROW_BLOCK,
                                              s + r * a->row + from, scale, vec_set(base[r]));
        }
        vec_store(folded, vec_fold_add(part));
        for (int l = 0; l < VEC_LANES; l++) total[l] += (double)folded[l];
    }
    for (int64_t r = 0; r < rows; r++) zero_from(s + r * a->row, seen(a, at + r), a->n);
}

/* A NaN among the scores has made the sum NaN: so be the row. */
static void spoil(int64_t n, float *s, float *max, float *shrink)
{
    for (int64_t j = 0; j < n; j++) s[j] = NAN;
    *max = *shrink = NAN;
}

INLINE void scores_group(const struct attention_f32 *a, int64_t at, int64_t rows, float *s,
                         float *max, float *sum, float *shrink)
{
    vec part[VEC_LANES];
    float base[VEC_LANES], highest[VEC_LANES];
    double total[VEC_LANES] = {0};
    for (int64_t r = 0; r < VEC_LANES; r++)
        part[r] =
            r < rows ? row_top(seen(a, at + r), s + r * a->row,
                               a->bias ? a->bias + (at + r) * a->bias_row : NULL, vec_set(a->scale))
                     : vec_set(-INFINITY);
    const vec old = vec_keep(vec_load_part(max, rows), vec_set(-INFINITY), rows);
    const vec top = vec_larger(old, vec_fold_max(part));
    vec_store(highest, vec_fold_max(part));
    vec_store(base, vec_zero_at(top, -INFINITY));
    vec_store_part(shrink, vec_exp_negative(old - vec_load(base)), rows);
    vec_store_part(max, top, rows);
    group_weights(a, at, rows, s, base, total);
    for (int64_t r = 0; r < rows; r++) {
        if (total[r] != total[r] && highest[r] != INFINITY)
            spoil(seen(a, at + r), s + r * a->row, max + r, shrink + r);
        sum[r] = (float)((double)sum[r] * (double)shrink[r] + total[r]);
    }
}

static void attention_scores(const struct attention_f32 *a, float *s, float *max, float *sum,
                             float *shrink)
{
    for (int64_t r = 0; r < a->rows; r += VEC_LANES) {
        const int64_t left = a->rows - r;
        scores_group(a, r, left < VEC_LANES ? left : VEC_LANES, s + r * a->row, max + r, sum + r,
                     shrink + r);
    }
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
