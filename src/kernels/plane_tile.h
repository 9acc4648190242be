/* plane_tile.h - depthwise 3x3 of stride 1 on planes of short rows: strips of P points, walked down row
 * by row, so that each vector of x is loaded once for its nine products.
 *
 * Included by the conv_plane.c of an instruction set, with these defined:
 *
 *   VEC MASK LANES            vector, mask of its lanes, floats in it
 *   ZERO() FMA(a, b, c) ADD(a, b) LOAD(p) STORE(p, v) LOADM(p, mask) STOREM(p, mask, v)
 *   lanes(n)                  mask of the first n lanes
 *   STRIP STRIPS(F)           most points of a strip; F(P) for P = 1, 2 ... STRIP
 *
 * Forward: 9 weights and the sums of three rows of targets stay in registers; the weight gradient has
 * 9 sums and three rows of dy there. A sum runs over the taps in their order, one of the gradient over
 * strips, rows and points.
 */
#include "kernels/kernels.h"
#include "kernels/unroll.h"

#define INLINE static inline __attribute__((always_inline))

/* A strip's operands, at its first point and channel. */
struct strip {
    const struct plane *p;
    bool left, right; /* x ends there */
    MASK mask;
    const float *x, *w, *bias, *dy;
    float *y, *dw;
};

INLINE VEC load(const float *p, MASK mask, const bool full)
{
    return full ? LOAD(p) : LOADM(p, mask);
}

INLINE void store(float *p, MASK mask, const bool full, VEC v)
{
    if (full)
        STORE(p, v);
    else
        STOREM(p, mask, v);
}

/* One row of x, for the three rows of targets that read it: its products are the third, the second and
 * the first part of their sums. */
INLINE void add_row(const struct strip *t, const float *x, const VEC *w, VEC *third, VEC *second,
                    VEC *first, const int P, const bool full)
{
    const int64_t point = t->p->point;
    x -= point;
    UNROLL
    for (int q = 0; q < P + 2; q++) {
        if ((q == 0 && t->left) || (q == P + 1 && t->right)) continue;
        const VEC xv = load(x + q * point, t->mask, full);
        __builtin_prefetch(x + q * point + LANES, 0, 2);
        UNROLL
        for (int s = 0; s < 3; s++) {
            if (q - s < 0 || q - s >= P) continue;
            third[q - s] = FMA(xv, w[6 + s], third[q - s]);
            second[q - s] = FMA(xv, w[3 + s], second[q - s]);
            first[q - s] = FMA(xv, w[s], first[q - s]);
        }
    }
}

/* Sums that would begin or end outside are dropped. */
INLINE void strip(const struct strip *t, const int P, const bool full)
{
    const struct plane *p = t->p;
    const int64_t begin = p->above ? 0 : -1, end = p->below ? p->rows : p->rows + 1;
    VEC w[9], third[STRIP], second[STRIP], first[STRIP];
    UNROLL
    for (int i = 0; i < 9; i++) w[i] = load(t->w + i * p->w_tap, t->mask, full);
    UNROLL
    for (int i = 0; i < P; i++) second[i] = first[i] = ZERO();
    for (int64_t row = begin; row <= p->rows; row++) {
        UNROLL
        for (int i = 0; i < P; i++) third[i] = second[i], second[i] = first[i], first[i] = ZERO();
        if (row < end) add_row(t, t->x + row * p->row, w, third, second, first, P, full);
        if (row < 1) continue;
        float *y = t->y + (row - 1) * p->row;
        UNROLL
        for (int i = 0; i < P; i++) __builtin_prefetch(y + i * p->point + LANES, 1, 2);
        UNROLL
        for (int i = 0; i < P; i++)
            store(y + i * p->point, t->mask, full,
                  t->bias ? ADD(third[i], load(t->bias, t->mask, full)) : third[i]);
    }
}

/* One row of x with the three rows of dy that read it, of which some are not there at the ends. */
INLINE void add_grad_row(const struct strip *t, const float *x, const VEC *third, const VEC *second,
                         const VEC *first, VEC *acc, const int P, const bool full, const bool inner,
                         int64_t row)
{
    const int64_t point = t->p->point, rows = t->p->rows;
    x -= point;
    UNROLL
    for (int q = 0; q < P + 2; q++) {
        if ((q == 0 && t->left) || (q == P + 1 && t->right)) continue;
        const VEC xv = load(x + q * point, t->mask, full);
        __builtin_prefetch(x + q * point + LANES, 0, 2);
        UNROLL
        for (int s = 0; s < 3; s++) {
            if (q - s < 0 || q - s >= P) continue;
            if (inner || row + 1 < rows) acc[s] = FMA(xv, first[q - s], acc[s]);
            if (inner || (row >= 0 && row < rows)) acc[3 + s] = FMA(xv, second[q - s], acc[3 + s]);
            if (inner || row > 0) acc[6 + s] = FMA(xv, third[q - s], acc[6 + s]);
        }
    }
}

INLINE void strip_grad(const struct strip *t, const int P, const bool full)
{
    const struct plane *p = t->p;
    const int64_t begin = p->above ? 0 : -1, end = p->below ? p->rows : p->rows + 1;
    VEC acc[9], third[STRIP], second[STRIP], first[STRIP];
    UNROLL
    for (int i = 0; i < 9; i++) acc[i] = ZERO();
    UNROLL
    for (int i = 0; i < P; i++) {
        first[i] = begin == 0 && p->rows > 0 ? load(t->dy + i * p->point, t->mask, full) : ZERO();
        second[i] = ZERO();
    }
    for (int64_t row = begin; row < end; row++) {
        const float *x = t->x + row * p->row, *dy = t->dy + (row + 1) * p->row;
        UNROLL
        for (int i = 0; i < P; i++) third[i] = second[i], second[i] = first[i];
        if (row + 1 < p->rows) {
            UNROLL
            for (int i = 0; i < P; i++) first[i] = load(dy + i * p->point, t->mask, full);
            UNROLL
            for (int i = 0; i < P; i++) __builtin_prefetch(dy + i * p->point + LANES, 0, 2);
        }
        if (row > 0 && row + 1 < p->rows)
            add_grad_row(t, x, third, second, first, acc, P, full, true, row);
        else
            add_grad_row(t, x, third, second, first, acc, P, full, false, row);
    }
    UNROLL
    for (int i = 0; i < 9; i++) {
        float *to = t->dw + i * p->w_tap;
        store(to, t->mask, full, ADD(load(to, t->mask, full), acc[i]));
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

/* One vector of channels after the other, each asking for the next one's lines: points far apart share
 * few sets of a first level, which then holds one strip of them. */
static void walk(const struct plane *p, const struct strip *whole, strip_fn *const fn[2][STRIP + 1])
{
    const int64_t n = (p->points + STRIP - 1) / STRIP;
    for (int64_t c = 0; c < p->channels; c += LANES) {
        const bool full = p->channels - c >= LANES;
        for (int64_t i = 0; i < n; i++) {
            const int64_t from = i * p->points / n, to = (i + 1) * p->points / n;
            const int64_t at = from * p->point + c;
            struct strip t = {.p = p, .left = i == 0, .right = i == n - 1, .x = whole->x + at};
            t.mask = lanes(full ? LANES : p->channels - c);
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
