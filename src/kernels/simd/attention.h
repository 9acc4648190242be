/* attention.h - scores of a block of rows made into weights, which their includer keeps: its struct kept, and before
 * it includes this,
 *
 *   keep_step(k, r, j, e)        STEP vectors of weights of row r, from key j on
 *   keep_part(k, r, j, e, left)  two, of which `left` weights are there, the others 0
 *   keep_zeros(k, r, from, n)    the keys of a block of n from `from` on, which the row does not see
 *   keep_nan(k, r, n)            instead of what was kept
 *
 * Maxima and sums of a group of rows are folded together (rows.h).
 */
#ifndef SUNUP_KERNELS_SIMD_ATTENTION_H
#define SUNUP_KERNELS_SIMD_ATTENTION_H

static int64_t seen(const struct attention_f32 *a, int64_t row)
{
    const int64_t n = a->see + row;
    return n < 0 ? 0 : n < a->n ? n : a->n;
}

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

/* Keeps exp(scale s - base) of keys [j, n) of row r, and gives the lanes of their sum. */
INLINE vec row_weights(const struct kept *to, int64_t r, int64_t j, int64_t n, const float *s, vec scale, vec base)
{
    vec sum[ROW_VECS];
    for (int v = 0; v < ROW_VECS; v++) sum[v] = vec_set(0);
    for (; j + STEP_LANES <= n; j += STEP_LANES) {
        vec e[STEP];
        for (int v = 0; v < STEP; v++)
            e[v] = vec_fma(scale, vec_load(s + j + v * VEC_LANES), vec_set(0) - base);
        vec_exps_negative(STEP, e);
        keep_step(to, r, j, e);
        for (int v = 0; v < STEP; v++) sum[v % ROW_VECS] += e[v];
    }
    for (int v = 0; v < STEP; v += 2) {
        const int64_t at = j + v * VEC_LANES, left = n - at;
        if (left <= 0) break;
        vec e[2];
        for (int i = 0; i < 2; i++) {
            const int64_t here = left - i * VEC_LANES;
            e[i] = here > 0 ? weight(vec_load_part(s + at + i * VEC_LANES, here), scale, base) : vec_set(0);
            if (here > 0) sum[(v + i) % ROW_VECS] += e[i] = vec_keep(e[i], vec_set(0), here);
        }
        keep_part(to, r, at, e, left);
    }
    for (int half = ROW_VECS / 2; half > 0; half /= 2) {
        for (int v = 0; v < half; v++) sum[v] += sum[v + half];
    }
    return sum[0];
}

/* total[r] = the sum of a row's weights, 1024 at a time in float */
INLINE void group_weights(const struct attention_f32 *a, const struct kept *to, int64_t at, int64_t rows,
                          const float *s, const float base[VEC_LANES], double total[VEC_LANES])
{
    const vec scale = vec_set(a->bias ? 1 : a->scale);
    for (int64_t from = 0; from < a->n; from += ROW_BLOCK) {
        vec part[VEC_LANES];
        float folded[VEC_LANES];
        for (int64_t r = 0; r < VEC_LANES; r++) {
            const int64_t n = r < rows ? seen(a, at + r) : 0, end = from + ROW_BLOCK;
            part[r] = n <= from ? vec_set(0)
                                : row_weights(to, at + r, from, n < end ? n : end, s + r * a->row, scale,
                                              vec_set(base[r]));
        }
        vec_store(folded, vec_fold_add(part));
        for (int l = 0; l < VEC_LANES; l++) total[l] += (double)folded[l];
    }
    for (int64_t r = 0; r < rows; r++) keep_zeros(to, at + r, seen(a, at + r), a->n);
}

INLINE void scores_group(const struct attention_f32 *a, const struct kept *to, int64_t at, int64_t rows, float *s,
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
    group_weights(a, to, at, rows, s, base, total);
    for (int64_t r = 0; r < rows; r++) {
        if (total[r] != total[r] && highest[r] != INFINITY) { /* a NaN among the scores: so be the row */
            keep_nan(to, at + r, seen(a, at + r));
            max[r] = shrink[r] = NAN;
        }
        sum[r] = (float)((double)sum[r] * (double)shrink[r] + total[r]);
    }
}

INLINE void scores_kept(const struct attention_f32 *a, const struct kept *to, float *s, float *max, float *sum,
                        float *shrink)
{
    for (int64_t r = 0; r < a->rows; r += VEC_LANES) {
        const int64_t left = a->rows - r;
        scores_group(a, to, r, left < VEC_LANES ? left : VEC_LANES, s + r * a->row, max + r, sum + r, shrink + r);
    }
}

#endif
