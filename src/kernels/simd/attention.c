/* attention.c - scores of attention made into weights. A block of rows is in the first or second
 * cache, so the exponentials are what it costs: with what goes before and after them some 17 vector
 * instructions for 16 keys (9 cycles where two are begun in each), and 2 for the maximum.
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

/* t = scale s + bias of a row, and the lanes of its maximum. t is kept only where there is a bias:
 * it costs less to multiply again than to store. */
INLINE vec row_top(int64_t n, float *s, const float *bias, vec scale)
{
    const vec least = vec_set(-INFINITY);
    vec top[ROW_VECS];
    for (int v = 0; v < ROW_VECS; v++) top[v] = least;
    for (int64_t j = 0; j < n; j += ROW_LANES) {
        for (int v = 0; v < ROW_VECS; v++) {
            const int64_t at = j + v * VEC_LANES, left = n - at;
            if (left <= 0) break;
            vec t = vec_load_part(s + at, left);
            if (bias) {
                t = vec_fma(scale, t, vec_load_part(bias + at, left));
                vec_store_part(s + at, t, left);
            } else {
                t *= scale;
            }
            top[v] = vec_max(top[v], vec_keep(t, least, left));
        }
    }
    for (int v = 1; v < ROW_VECS; v++) top[0] = vec_max(top[0], top[v]);
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
    for (; j + ROW_LANES <= n; j += ROW_LANES) {
        for (int v = 0; v < ROW_VECS; v++) {
            const vec e = weight(vec_load(s + j + v * VEC_LANES), scale, base);
            vec_store(s + j + v * VEC_LANES, e);
            sum[v] += e;
        }
    }
    for (int v = 0; v < ROW_VECS; v++) {
        const int64_t at = j + v * VEC_LANES, left = n - at;
        if (left <= 0) break;
        const vec e = weight(vec_load_part(s + at, left), scale, base);
        vec_store_part(s + at, e, left);
        sum[v] += vec_keep(e, vec_set(0), left);
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

static void attention_grad(const struct attention_f32 *a, const float *lse, const float *delta,
                           float *s, float *dp, float *dbias)
{
    const vec scale = vec_set(a->scale), one = vec_set(1);
    for (int64_t r = 0; r < a->rows; r++, s += a->row, dp += a->row) {
        const int64_t n = lse[r] == -INFINITY ? 0 : seen(a, r);
        const vec base = vec_set(lse[r]), mean = vec_set(delta[r]);
        const float *bias = a->bias ? a->bias + r * a->bias_row : NULL;
        float *to = dbias ? dbias + r * a->bias_row : NULL;
        ALONG(
            n, const vec t = vec_load_part(s + j, left);
            const vec e = bias ? weight(vec_fma(scale, t, vec_load_part(bias + j, left)), one, base)
                               : weight(t, scale, base);
            const vec d = e * (vec_load_part(dp + j, left) - mean); vec_store_part(s + j, e, left);
            if (to) vec_store_part(to + j, vec_load_part(to + j, left) + d, left);
            vec_store_part(dp + j, d * scale, left););
        zero_from(s, n, a->n);
        zero_from(dp, n, a->n);
    }
}

void FILL(attention)(struct kernels *k)
{
    k->f32.attention_scores = attention_scores;
    k->f32.attention_grad = attention_grad;
}
