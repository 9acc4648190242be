/* winograd_tile.h - the transforms of F(4x4, 3x3) and F(2x2, 5x5), one vector of channels of a
 * whole tile at a time; see ref/winograd_ref.c for the matrices.
 *
 * Included by the winograd.c of an instruction set with these defined:
 *
 *   VEC MASK LANES MASK_OF(n)        vector, mask of its lanes, floats in it, mask of the first n
 *   SPLAT(x) ADD(a, b) SUB(a, b) MUL(a, b) FMA(a, b, c)   c + a b
 *   LOAD(p) STORE(p, v) LOADM(p, mask) STOREM(p, mask, v)
 *   STREAM(p, v) FENCE()             a store past the caches, p aligned; orders those before others
 *
 * A tile at an edge, or that spans maps, asks for each row and column whether it exists, which the
 * processor foresees, for it holds for all channels and mostly for the next tile: 39 ns for 16
 * channels in the L1 of an Emerald Rapids core, where one inside takes 36 and a list of 36 pointers
 * to points or zeros took 64. (An empty mask is slower, on Zen 4 with AVX2 twice as slow.) The last
 * channels are masked. Results do not depend on where a run begins.
 *
 * Ceiling: an input tile is 84 loads, 36 stores (one in a cycle, in two on Zen 4) and 144
 * operations, of which 120 are multiply-adds; an output tile 60 loads, 16 stores and 146 operations,
 * of which 96 are additions. With 512 bits two multiply-adds or two additions a cycle: 60 and 48
 * cycles, on Zen 4 about twice that. Measured on Zen 5 in the L1: 110 and 75.
 */
#include "base/integers.h"
#include "kernels/fill.h"

enum { ROWS_AHEAD = 8, LINE = 16, AHEAD = 256 };

#define INLINE static inline __attribute__((always_inline))
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 6")
#endif
#define LOAD_IF(whole, p, mask)     ((whole) ? LOAD(p) : LOADM(p, mask))
#define STORE_IF(whole, p, mask, v) ((whole) ? STORE(p, v) : STOREM(p, mask, v))

static const float A = 0.70710678F, B = 1.41421356F;

/* Keeps compilers from working out 36 addresses ahead of a loop and spilling them, which took half
 * of the time on Zen 5. */
INLINE int64_t late(int64_t offset)
{
    __asm__("" : "+r"(offset));
    return offset;
}

/* Two rows of B^T d: those of the points 0 and infinity, a and -a, or b and -b. A tile is done by
 * such pairs, so that what a pass leaves stays in registers: no more operations, and 84 loads, of
 * which two are done in a cycle, where 36 numbers would be spilled. Loads of what a pair does not
 * need are gone once it is inlined. */
enum pair { OUTER, AT_A, AT_B };

INLINE void to_pair(const VEC d[6], VEC *first, VEC *second, const enum pair pair)
{
    if (pair == OUTER) {
        *first = FMA(SPLAT(-2.5F), d[2], ADD(d[0], d[4]));
        *second = FMA(SPLAT(-2.5F), d[3], ADD(d[1], d[5]));
        return;
    }
    const VEC scale = SPLAT(pair == AT_A ? -2 : -0.5F);
    const VEC even = FMA(scale, d[2], d[4]), odd = FMA(scale, d[1], d[3]);
    *first = FMA(SPLAT(pair == AT_A ? A : B), odd, even);
    *second = FMA(SPLAT(pair == AT_A ? -A : -B), odd, even);
}

/* G w, of 3 or 5. */
INLINE void taps_to_points(const VEC *w, VEC u[6], const int taps)
{
    const bool five = taps == 5;
    const VEC odd_a = five ? FMA(SPLAT(0.5F), w[3], w[1]) : w[1],
              odd_b = five ? FMA(SPLAT(2), w[3], w[1]) : w[1],
              upper_a = five ? FMA(SPLAT(0.5F), w[4], w[2]) : w[2],
              upper_b = five ? FMA(SPLAT(2), w[4], w[2]) : w[2];
    const VEC even_a = MUL(SPLAT(-2.0F / 3), FMA(SPLAT(0.5F), upper_a, w[0]));
    const VEC even_b = MUL(SPLAT(1.0F / 6), FMA(SPLAT(2), upper_b, w[0]));
    u[0] = w[0];
    u[1] = FMA(SPLAT(-2.0F / 3 * A), odd_a, even_a);
    u[2] = FMA(SPLAT(2.0F / 3 * A), odd_a, even_a);
    u[3] = FMA(SPLAT(1.0F / 6 * B), odd_b, even_b);
    u[4] = FMA(SPLAT(-1.0F / 6 * B), odd_b, even_b);
    u[5] = w[taps - 1];
}

/* Numbers 0 and 2, or 1 and 3, of A^T m; of 2 numbers the first of each. */
INLINE void from_points(const VEC m[6], VEC *first, VEC *second, const bool odd, const int side)
{
    if (!odd) {
        const VEC sum_a = ADD(m[1], m[2]), sum_b = ADD(m[3], m[4]);
        *first = ADD(ADD(m[0], sum_a), sum_b);
        if (side == 4) *second = FMA(SPLAT(0.5F), sum_a, ADD(sum_b, sum_b));
        return;
    }
    const VEC odd_a = MUL(SPLAT(A), SUB(m[1], m[2])), difference_b = SUB(m[3], m[4]);
    if (side == 2) {
        *first = FMA(SPLAT(B), difference_b, ADD(odd_a, m[5]));
        return;
    }
    const VEC odd_b = MUL(SPLAT(B), difference_b);
    *first = ADD(odd_a, odd_b);
    *second = FMA(SPLAT(0.5F), odd_a, FMA(SPLAT(2), odd_b, m[5]));
}

/* ---- input ---- */

/* Where the points of a tile are: `point` apart from the first column on, at an edge at each
 * column. What is `ahead` elements further on is fetched, a tile or, with few channels, some: six
 * short rows are nothing that the processor would guess. */
struct source {
    const float *row[6];   /* at an edge NULL: zeros */
    const int64_t *column; /* at an edge < 0: zeros  */
    int64_t point, ahead;
};

INLINE void input_row(const VEC d[6], float *v, int64_t frequency, MASK mask, const bool whole)
{
    VEC t[6];
    to_pair(d, t, t + 5, OUTER);
    to_pair(d, t + 1, t + 2, AT_A);
    to_pair(d, t + 3, t + 4, AT_B);
    UNROLL
    for (int j = 0; j < 6; j++) STORE_IF(whole, v + j * frequency, mask, t[j]);
}

INLINE void input_pair(const struct source *x, int64_t c, float *v, int64_t frequency, MASK mask,
                       const bool whole, const bool edge, const enum pair pair)
{
    VEC first[6], second[6];
    UNROLL
    for (int j = 0; j < 6; j++) {
        if (edge && x->column[j] < 0) {
            first[j] = second[j] = SPLAT(0);
            continue;
        }
        const int64_t at = late(c + (edge ? x->column[j] : x->column[0] + j * x->point));
        VEC d[6];
        UNROLL
        for (int i = 0; i < 6; i++) {
            const float *p = x->row[i];
            d[i] = edge && !p ? SPLAT(0) : LOAD_IF(whole, p + at, mask);
            if ((!edge || p) && pair == OUTER && j >= 2) __builtin_prefetch(p + at + x->ahead);
        }
        to_pair(d, first + j, second + j, pair);
    }
    const int row = pair == OUTER ? 0 : pair == AT_A ? 1 : 3, next = pair == OUTER ? 5 : row + 1;
    input_row(first, v + late(6 * row * frequency + c), frequency, mask, whole);
    input_row(second, v + late(6 * next * frequency + c), frequency, mask, whole);
}

INLINE void input_lanes(const struct source *x, int64_t c, float *v, int64_t frequency, MASK mask,
                        const bool whole, const bool edge)
{
    input_pair(x, c, v, frequency, mask, whole, edge, OUTER);
    input_pair(x, c, v, frequency, mask, whole, edge, AT_A);
    input_pair(x, c, v, frequency, mask, whole, edge, AT_B);
}

/* n channels of a tile. */
INLINE void input_tile(int64_t n, const struct source *x, float *v, int64_t frequency,
                       const bool edge)
{
    int64_t c = 0;
    for (; c + LANES <= n; c += LANES) input_lanes(x, c, v, frequency, MASK_OF(0), true, edge);
    if (c < n) input_lanes(x, c, v, frequency, MASK_OF(n - c), false, edge);
}

/* Are n columns there and `point` apart? */
static bool are_even(const int64_t *column, int n, int64_t point)
{
    bool even = column[0] >= 0;
    for (int j = 1; j < n; j++) even = even && column[j] == column[0] + j * point;
    return even;
}

static void winograd_input(const struct winograd_input_f32 *t)
{
    struct source x = {.point = t->x_point, .ahead = most(AHEAD, (7 - t->taps) * t->x_point)};
    bool rows = true;
    for (int i = 0; i < 6; i++) {
        if (t->row[i] >= 0) x.row[i] = t->x + t->row[i];
        rows = rows && t->row[i] >= 0;
    }
    for (int64_t i = 0; i < t->tiles; i++) {
        float *v = t->v + i * t->v_tile;
        x.column = t->column + (7 - t->taps) * i;
        if (rows && are_even(x.column, 6, t->x_point))
            input_tile(t->channels, &x, v, t->v_frequency, false);
        else
            input_tile(t->channels, &x, v, t->v_frequency, true);
    }
}

/* ---- weights ---- */

INLINE void weights_lanes(const float *w, int64_t tap, float *u, int64_t frequency, MASK mask,
                          const bool whole, const int taps)
{
    VEC half[6][5];
    UNROLL
    for (int s = 0; s < taps; s++) {
        VEC in[5], out[6];
        UNROLL
        for (int r = 0; r < taps; r++) in[r] = LOAD_IF(whole, w + (taps * r + s) * tap, mask);
        taps_to_points(in, out, taps);
        UNROLL
        for (int i = 0; i < 6; i++) half[i][s] = out[i];
    }
    UNROLL
    for (int i = 0; i < 6; i++) {
        VEC out[6];
        taps_to_points(half[i], out, taps);
        UNROLL
        for (int j = 0; j < 6; j++) STORE_IF(whole, u + (6 * i + j) * frequency, mask, out[j]);
    }
}

/* Short rows far apart are nothing that the processor would guess: 9 % of a convolution of 512
 * channels. */
static void prefetch_row(const struct winograd_weights_f32 *t, int64_t row)
{
    const float *w = t->w + row * t->w_row;
    for (int64_t e = 0; e < t->taps * t->taps; e++) {
        for (int64_t c = 0; c < t->n; c += LINE) __builtin_prefetch(w + e * t->w_tap + c);
    }
}

INLINE void weights_rows(const struct winograd_weights_f32 *t, const int taps)
{
    for (int64_t row = 0; row < t->rows; row++) {
        const float *w = t->w + row * t->w_row;
        float *u = t->u + row * t->u_row;
        if (row + ROWS_AHEAD < t->rows) prefetch_row(t, row + ROWS_AHEAD);
        int64_t c = 0;
        for (; c + LANES <= t->n; c += LANES)
            weights_lanes(w + c, t->w_tap, u + c, t->u_frequency, MASK_OF(0), true, taps);
        if (c < t->n)
            weights_lanes(w + c, t->w_tap, u + c, t->u_frequency, MASK_OF(t->n - c), false, taps);
    }
}

static void winograd_weights(const struct winograd_weights_f32 *t)
{
    if (t->taps == 3)
        weights_rows(t, 3);
    else
        weights_rows(t, 5);
}

/* ---- output ---- */

/* Where the points of a tile go: `point` apart from the first column on, at an edge to each. */
struct target {
    float *row[4]; /* NULL: it does not exist */
    const int64_t *column;
    int64_t point;
};

enum where { INSIDE, EDGE, PAST_CACHES };

/* Row i of y from the half-done row. */
INLINE void output_row(const VEC half[6], int i, VEC bias, const struct target *y, int64_t c,
                       MASK mask, const bool whole, const enum where where, const int side)
{
    if (where == EDGE && y->row[i] == NULL) return;
    VEC out[4];
    from_points(half, out, out + 2, false, side);
    from_points(half, out + 1, out + 3, true, side);
    float *row = y->row[i] + late(where == EDGE ? c : c + y->column[0]);
    UNROLL
    for (int j = 0; j < side; j++) {
        if (where == EDGE && y->column[j] < 0) continue;
        float *p = row + (where == EDGE ? y->column[j] : j * y->point);
        if (where == PAST_CACHES && whole)
            STREAM(p, ADD(out[j], bias));
        else
            STORE_IF(whole, p, mask, ADD(out[j], bias));
    }
}

/* Rows 0 and 2, or 1 and 3, so that what a pass leaves stays in registers. */
INLINE void output_pair(const float *m, int64_t frequency, VEC bias, const struct target *y,
                        int64_t c, MASK mask, const bool whole, const enum where where,
                        const bool odd, const int side)
{
    VEC first[6], second[6];
    UNROLL
    for (int j = 0; j < 6; j++) {
        const float *column = m + late(j * frequency + c);
        VEC in[6];
        UNROLL
        for (int i = 0; i < 6; i++) in[i] = LOAD_IF(whole, column + 6 * i * frequency, mask);
        from_points(in, first + j, second + j, odd, side);
    }
    output_row(first, odd, bias, y, c, mask, whole, where, side);
    if (side == 4) output_row(second, odd + 2, bias, y, c, mask, whole, where, side);
}

INLINE void output_lanes(const float *m, int64_t frequency, VEC bias, const struct target *y,
                         int64_t c, MASK mask, const bool whole, const enum where where,
                         const int side)
{
    if (where != EDGE || y->row[0] || y->row[2])
        output_pair(m, frequency, bias, y, c, mask, whole, where, false, side);
    if (where != EDGE || y->row[1] || y->row[3])
        output_pair(m, frequency, bias, y, c, mask, whole, where, true, side);
}

/* n channels of a tile. */
INLINE void output_side(int64_t n, const float *m, int64_t frequency, const float *bias,
                        const struct target *y, const enum where where, const int side)
{
    const VEC zero = SPLAT(0);
    int64_t c = 0;
    for (; c + LANES <= n; c += LANES)
        output_lanes(m, frequency, bias ? LOAD(bias + c) : zero, y, c, MASK_OF(0), true, where,
                     side);
    if (c == n) return;
    const MASK mask = MASK_OF(n - c);
    output_lanes(m, frequency, bias ? LOADM(bias + c, mask) : zero, y, c, mask, false, where, side);
}

INLINE void output_tile(const struct winograd_output_f32 *t, const float *m, const struct target *y,
                        const enum where where)
{
    if (t->taps == 3)
        output_side(t->channels, m, t->m_frequency, t->bias, y, where, 4);
    else
        output_side(t->channels, m, t->m_frequency, t->bias, y, where, 2);
}

static void winograd_output(const struct winograd_output_f32 *t)
{
    const int side = 7 - (int)t->taps;
    struct target y = {.point = t->y_point};
    bool rows = true, stream = t->stream && t->y_point % LANES == 0; /* all there; aligned */
    for (int i = 0; i < side; i++) {
        if (t->row[i] >= 0) y.row[i] = t->y + t->row[i];
        rows = rows && t->row[i] >= 0;
        stream = stream && (uintptr_t)y.row[i] % sizeof(VEC) == 0;
    }
    for (int64_t i = 0; i < t->tiles; i++) {
        const float *m = t->m + i * t->m_tile;
        y.column = t->column + side * i;
        if (!rows || !are_even(y.column, side, t->y_point))
            output_tile(t, m, &y, EDGE);
        else if (stream && y.column[0] % LANES == 0)
            output_tile(t, m, &y, PAST_CACHES);
        else
            output_tile(t, m, &y, INSIDE);
    }
    if (t->stream) FENCE();
}

void FILL(winograd)(struct kernels *k)
{
    k->f32.winograd_input = winograd_input;
    k->f32.winograd_weights = winograd_weights;
    k->f32.winograd_output = winograd_output;
}
