/* conv_plane.c - depthwise 3x3 of stride 1 on planes of short rows: strips of P points, walked down row
 * by row, so that each vector of x is loaded once for its nine products.
 *
 * Forward: 9 weights and the sums of three rows of targets stay in registers; the weight gradient has
 * 9 sums and three rows of dy there. A sum runs over the taps in their order, one of the gradient over
 * strips, rows and points.
 */
#include "base/integers.h"
#include "kernels/simd/vec.h"
#include "kernels/unroll.h"

/* Most points of a strip. Three for each are in registers, of which there are 32 and 16, beside 9 and x. */
#ifdef __AVX512F__
enum { STRIP = 7 };
#define STRIPS(F) F(1) F(2) F(3) F(4) F(5) F(6) F(7)
#else
enum { STRIP = 2 };
#define STRIPS(F) F(1) F(2)
#endif

/* A strip's operands, at its first point and channel. */
struct strip {
    const struct plane *p;
    bool left, right; /* x ends there */
    int64_t channels; /* from here on */
    const float *x, *w, *bias, *dy;
    float *y, *dw;
    int64_t ask, ask_row, ask_point; /* of x and y: from a strip's own to what is asked for meanwhile */
};

/* Row `row` of what a strip asks for, at x, and at y to read or write it. */
INLINE void ask(const struct strip *t, int64_t row, const float *x, const float *y, const int P,
                const bool write)
{
    const int64_t at = t->ask + row * t->ask_row;
    UNROLL
    for (int i = 0; i < P; i++) __builtin_prefetch(x + at + i * t->ask_point, 0, 2);
    UNROLL
    for (int i = 0; i < P; i++) {
        if (write)
            __builtin_prefetch(y + at + i * t->ask_point, 1, 2);
        else
            __builtin_prefetch(y + at + i * t->ask_point, 0, 2);
    }
}

/* One row of x, for the three rows of targets that read it: its products are the third, the second and
 * the first part of their sums. */
INLINE void add_row(const struct strip *t, const float *x, const vec *w, vec *third, vec *second,
                    vec *first, const int P, int64_t left)
{
    const int64_t point = t->p->point;
    x -= point;
    UNROLL
    for (int q = 0; q < P + 2; q++) {
        if ((q == 0 && t->left) || (q == P + 1 && t->right)) continue;
        const vec xv = vec_load_part(x + q * point, left);
        UNROLL
        for (int s = 0; s < 3; s++) {
            if (q - s < 0 || q - s >= P) continue;
            third[q - s] = vec_fma(xv, w[6 + s], third[q - s]);
            second[q - s] = vec_fma(xv, w[3 + s], second[q - s]);
            first[q - s] = vec_fma(xv, w[s], first[q - s]);
        }
    }
}

/* Sums that would begin or end outside are dropped. */
INLINE void strip(const struct strip *t, const int P, const bool full)
{
    const struct plane *p = t->p;
    const int64_t left = full ? VEC_LANES : t->channels;
    const int64_t begin = p->above ? 0 : -1, end = p->below ? p->rows : p->rows + 1;
    vec w[9], third[STRIP], second[STRIP], first[STRIP];
    UNROLL
    for (int i = 0; i < 9; i++) w[i] = vec_load_part(t->w + i * p->w_tap, left);
    UNROLL
    for (int i = 0; i < P; i++) second[i] = first[i] = vec_set(0);
    for (int64_t row = begin; row <= p->rows; row++) {
        UNROLL
        for (int i = 0; i < P; i++)
            third[i] = second[i], second[i] = first[i], first[i] = vec_set(0);
        if (row < end) add_row(t, t->x + row * p->row, w, third, second, first, P, left);
        if (row < 1) continue;
        float *y = t->y + (row - 1) * p->row;
        ask(t, row - 1, t->x, t->y, P, true);
        UNROLL
        for (int i = 0; i < P; i++) {
            if (t->bias) third[i] += vec_load_part(t->bias, left);
            vec_store_part(y + i * p->point, third[i], left);
        }
    }
}

/* One row of x with the three rows of dy that read it, of which some are not there at the ends. */
INLINE void add_grad_row(const struct strip *t, const float *x, const vec *third, const vec *second,
                         const vec *first, vec *acc, const int P, int64_t left, const bool inner,
                         int64_t row)
{
    const int64_t point = t->p->point, rows = t->p->rows;
    x -= point;
    UNROLL
    for (int q = 0; q < P + 2; q++) {
        if ((q == 0 && t->left) || (q == P + 1 && t->right)) continue;
        const vec xv = vec_load_part(x + q * point, left);
        UNROLL
        for (int s = 0; s < 3; s++) {
            if (q - s < 0 || q - s >= P) continue;
            if (inner || row + 1 < rows) acc[s] = vec_fma(xv, first[q - s], acc[s]);
            if (inner || (row >= 0 && row < rows))
                acc[3 + s] = vec_fma(xv, second[q - s], acc[3 + s]);
            if (inner || row > 0) acc[6 + s] = vec_fma(xv, third[q - s], acc[6 + s]);
        }
    }
}

INLINE void strip_grad(const struct strip *t, const int P, const bool full)
{
    const struct plane *p = t->p;
    const int64_t left = full ? VEC_LANES : t->channels;
    const int64_t begin = p->above ? 0 : -1, end = p->below ? p->rows : p->rows + 1;
    vec acc[9], third[STRIP], second[STRIP], first[STRIP];
    UNROLL
    for (int i = 0; i < 9; i++) acc[i] = vec_set(0);
    UNROLL
    for (int i = 0; i < P; i++) {
        first[i] =
            begin == 0 && p->rows > 0 ? vec_load_part(t->dy + i * p->point, left) : vec_set(0);
        second[i] = vec_set(0);
    }
    for (int64_t row = begin; row < end; row++) {
        const float *x = t->x + row * p->row, *dy = t->dy + (row + 1) * p->row;
        UNROLL
        for (int i = 0; i < P; i++) third[i] = second[i], second[i] = first[i];
        ask(t, row, t->x, t->dy, P, false);
        if (row + 1 < p->rows) {
            UNROLL
            for (int i = 0; i < P; i++) first[i] = vec_load_part(dy + i * p->point, left);
        }
        if (row > 0 && row + 1 < p->rows)
            add_grad_row(t, x, third, second, first, acc, P, left, true, row);
        else
            add_grad_row(t, x, third, second, first, acc, P, left, false, row);
    }
    UNROLL
    for (int i = 0; i < 9; i++) {
        float *to = t->dw + i * p->w_tap;
        vec_store_part(to, vec_load_part(to, left) + acc[i], left);
    }
}

/* ---- a function for each number of points ---- */

typedef void strip_fn(const struct strip *t);
#define ONE(P)                                                                                     \
    static void strip_##P(const struct strip *t)                                                   \
    {                                                                                              \
        strip(t, P, true);                                                                         \
    }                                                                                              \
    static void ragged_##P(const struct strip *t)                                                  \
    {                                                                                              \
        strip(t, P, false);                                                                        \
    }                                                                                              \
    static void strip_grad_##P(const struct strip *t)                                              \
    {                                                                                              \
        strip_grad(t, P, true);                                                                    \
    }                                                                                              \
    static void ragged_grad_##P(const struct strip *t)                                             \
    {                                                                                              \
        strip_grad(t, P, false);                                                                   \
    }
STRIPS(ONE)
#define FULL(P)        [P] = strip_##P,
#define RAGGED(P)      [P] = ragged_##P,
#define FULL_GRAD(P)   [P] = strip_grad_##P,
#define RAGGED_GRAD(P) [P] = ragged_grad_##P,
static strip_fn *const strips[2][STRIP + 1] = {{STRIPS(RAGGED)}, {STRIPS(FULL)}};
static strip_fn *const strip_grads[2][STRIP + 1] = {{STRIPS(RAGGED_GRAD)}, {STRIPS(FULL_GRAD)}};

/* One vector of channels after the other, each asking for the next one's lines, or for those of another
 * plane as they lie: points far apart share few sets of a first level, which then holds one strip of them. */
static void walk(const struct plane *p, const struct strip *whole, strip_fn *const fn[2][STRIP + 1])
{
    const int64_t n = ceil_div(p->points, STRIP);
    int64_t asked = p->ahead;
    for (int64_t c = 0; c < p->channels; c += VEC_LANES) {
        const bool full = p->channels - c >= VEC_LANES;
        for (int64_t i = 0; i < n; i++) {
            const int64_t from = i * p->points / n, to = (i + 1) * p->points / n;
            const int64_t at = from * p->point + c;
            struct strip t = {.p = p,
                              .left = i == 0,
                              .right = i == n - 1,
                              .channels = p->channels - c,
                              .x = whole->x + at,
                              .ask = VEC_LANES,
                              .ask_row = p->row,
                              .ask_point = p->point};
            if (p->ahead > 0) {
                t.ask = asked - at;
                t.ask_point = VEC_LANES;
                t.ask_row = (to - from) * VEC_LANES;
                asked += p->rows * t.ask_row;
            }
            if (whole->dy) {
                t.dy = whole->dy + at;
                t.dw = whole->dw + c;
            } else {
                t.w = whole->w + c;
                t.bias = whole->bias ? whole->bias + c : NULL;
                t.y = whole->y + at;
            }
            fn[full][to - from](&t);
        }
    }
}

static void conv_plane(const struct plane *p, const float *x, const float *w, const float *bias,
                       float *y)
{
    walk(p, &(struct strip){.x = x, .w = w, .bias = bias, .y = y}, strips);
}

static void conv_plane_weight_grad(const struct plane *p, const float *x, const float *dy,
                                   float *dw)
{
    walk(p, &(struct strip){.x = x, .dy = dy, .dw = dw}, strip_grads);
}

void FILL(conv_plane)(struct kernels *k)
{
    k->f32.conv_plane = conv_plane;
    k->f32.conv_plane_weight_grad = conv_plane_weight_grad;
}
