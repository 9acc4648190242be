/* attention_bf16x3.c - scores of attention made into weights in two parts of bf16, which leave the registers as the
 * words that tiles take: beside simd/attention.c, whose steps they are, followed by bf16_words and bf16_rows, no
 * weight is stored and loaded again, and none is looked at for denormals, which tiles take for 0 anyway.
 */
#include "base/integers.h"
#include "kernels/simd/math.h"
#include "kernels/simd/rows.h"

enum { STEP = EXP_STEP, STEP_LANES = STEP * VEC_LANES, PANEL = 2 * VEC_LANES };

/* 32 halves: those of x, then those of y. */
INLINE __m512i halves(vec x, vec y)
{
    return (__m512i)_mm512_cvtne2ps_pbh(y, x);
}

/* 16 words, each a half of x and one of y. */
INLINE __m512i mixed(vec x, vec y)
{
    static const _Alignas(64)
        int16_t order[PANEL] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    return _mm512_permutexvar_epi16(_mm512_load_si512(order), halves(x, y));
}

/* x less the halves at the bottom of words, or those at the top. */
INLINE vec less_bottom(vec x, __m512i words)
{
    return x - _mm512_castsi512_ps(_mm512_slli_epi32(words, 16));
}

INLINE vec less_top(vec x, __m512i words)
{
    return x - _mm512_castsi512_ps(_mm512_and_si512(words, _mm512_set1_epi32((int)0xffff0000U)));
}

INLINE __mmask16 lanes(int64_t n)
{
    return (__mmask16)(n >= VEC_LANES ? 0xffff : n > 0 ? (1 << n) - 1 : 0);
}

/* ---- forward ---- */

struct kept {
    float *s;
    int64_t row;
};

/* 32 keys in place of their numbers: words, and what is left. */
INLINE void keep_keys(float *s, vec first, vec second)
{
    const __m512i mix = mixed(first, second);
    _mm512_storeu_si512(s, halves(first, second));
    _mm512_storeu_si512(s + VEC_LANES, halves(less_bottom(first, mix), less_top(second, mix)));
}

INLINE void keep_step(const struct kept *k, int64_t r, int64_t j, const vec e[STEP])
{
    for (int v = 0; v < STEP; v += 2) keep_keys(k->s + r * k->row + j + v * VEC_LANES, e[v], e[v + 1]);
}

INLINE void keep_part(const struct kept *k, int64_t r, int64_t j, const vec e[2], int64_t left)
{
    (void)left;
    keep_keys(k->s + r * k->row + j, e[0], e[1]);
}

INLINE void keep_zeros(const struct kept *k, int64_t r, int64_t from, int64_t n)
{
    for (int64_t j = round_up(from, PANEL); j < n; j += PANEL)
        keep_keys(k->s + r * k->row + j, vec_set(0), vec_set(0));
}

static void keep_nan(const struct kept *k, int64_t r, int64_t n)
{
    for (int64_t j = 0; j < n; j += PANEL)
        keep_keys(k->s + r * k->row + j, vec_keep(vec_set(NAN), vec_set(0), n - j),
                  n - j > VEC_LANES ? vec_keep(vec_set(NAN), vec_set(0), n - j - VEC_LANES) : vec_set(0));
}

#include "kernels/simd/attention.h"

static void attention_scores_bf16x3(const struct attention_f32 *a, float *s, float *max, float *sum, float *shrink)
{
    scores_kept(a, &(struct kept){s, a->row}, s, max, sum, shrink);
}

/* ---- back ---- */

/* Two rows; of the second n is 0 where it is not there, and its ds NULL. */
struct two_rows {
    float *s[2], *dp[2], *ds[2], *dbias[2];
    const float *bias[2];
    vec base[2], mean[2], scale;
    int64_t n[2];
};

enum { FOUR = 4 }; /* vectors: 32 keys of each row */

/* p of the rows' keys from j on, all there or not, and d = scale p (dp - mean). */
INLINE void weights_of(const struct two_rows *t, int64_t j, const bool whole, vec p[FOUR], vec d[FOUR])
{
    for (int v = 0; v < FOUR; v++) {
        const int64_t r = v / 2, at = j + v % 2 * VEC_LANES;
        const __mmask16 some = whole ? 0xffff : lanes(t->n[r] - at);
        const vec s = _mm512_maskz_loadu_ps(some, t->s[r] + at), down = vec_set(0) - t->base[r];
        if (t->bias[0])
            p[v] = vec_fma(t->scale, s, _mm512_maskz_loadu_ps(some, t->bias[r] + at)) + down;
        else
            p[v] = vec_fma(t->scale, s, down);
    }
    vec_exps_negative(FOUR, p);
    for (int v = 0; v < FOUR; v++) {
        const int64_t r = v / 2, at = j + v % 2 * VEC_LANES;
        const __mmask16 some = whole ? 0xffff : lanes(t->n[r] - at);
        if (!whole) p[v] = _mm512_maskz_mov_ps(some, p[v]);
        d[v] = p[v] * (_mm512_maskz_loadu_ps(some, t->dp[r] + at) - t->mean[r]);
        if (t->dbias[0])
            _mm512_mask_storeu_ps(t->dbias[r] + at, some,
                                  d[v] + _mm512_maskz_loadu_ps(some, t->dbias[r] + at));
        d[v] *= t->scale;
        if (!whole) d[v] = _mm512_maskz_mov_ps(some, d[v]);
    }
}

/* 16 keys of two rows in place of their numbers; what is left of x and y comes back. */
INLINE void keep_pairs(float *words, float *low, vec *x, vec *y)
{
    const __m512i both = mixed(*x, *y);
    *x = less_bottom(*x, both);
    *y = less_top(*y, both);
    _mm512_storeu_si512(words, both);
    _mm512_storeu_si512(low, mixed(*x, *y));
}

INLINE void back_step(const struct two_rows *t, int64_t j, const bool whole)
{
    vec p[FOUR], d[FOUR];
    weights_of(t, j, whole, p, d);
    for (int64_t c = 0; c < 2; c++)
        keep_pairs(t->s[0] + j + c * VEC_LANES, t->s[1] + j + c * VEC_LANES, &p[c], &p[c + 2]);
    for (int r = 0; r < 2; r++) {
        if (t->ds[r]) _mm512_storeu_si512(t->ds[r] + j, halves(d[2 * r], d[2 * r + 1]));
    }
    for (int64_t c = 0; c < 2; c++)
        keep_pairs(t->dp[0] + j + c * VEC_LANES, t->dp[1] + j + c * VEC_LANES, &d[c], &d[c + 2]);
    for (int r = 0; r < 2; r++) {
        if (t->ds[r]) _mm512_storeu_si512(t->ds[r] + j + VEC_LANES, halves(d[2 * r], d[2 * r + 1]));
    }
}

static void attention_grad_bf16x3(const struct attention_f32 *a, const float *lse, const float *delta, float *s,
                                  float *dp, float *dbias, float *ds)
{
    for (int64_t at = 0; at < a->rows; at += 2) {
        struct two_rows t = {.scale = vec_set(a->scale)};
        for (int r = 0; r < 2; r++) {
            const bool there = at + r < a->rows;
            const int64_t row = there ? at + r : at;
            t.s[r] = s + (at + r) * a->row;
            t.dp[r] = dp + (at + r) * a->row;
            t.ds[r] = there ? ds + row * a->row : NULL;
            t.bias[r] = a->bias ? a->bias + row * a->bias_row : NULL;
            t.dbias[r] = dbias ? dbias + row * a->bias_row : NULL;
            t.base[r] = vec_set(lse[row]);
            t.mean[r] = vec_set(delta[row]);
            t.n[r] = there && lse[row] != -INFINITY ? seen(a, row) : 0;
        }
        const int64_t both = least(t.n[0], t.n[1]);
        int64_t j = 0;
        for (; j + PANEL <= both; j += PANEL) back_step(&t, j, true);
        for (; j < a->n; j += PANEL) back_step(&t, j, false);
    }
}

void FILL(attention_bf16x3)(struct kernels *k)
{
    k->f32.attention_scores_bf16x3 = attention_scores_bf16x3;
    k->f32.attention_grad_bf16x3 = attention_grad_bf16x3;
}
