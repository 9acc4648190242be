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
 * Tiles whose columns are not all inside list where each point is, with a strip of zeros for those
 * outside (an empty mask instead is slower, on Zen 4 with AVX2 twice as slow); only rows and columns
 * of y that exist are stored. The last channels are masked. Results do not depend on where a run
 * begins.
 *
 * Ceiling: an input tile is 84 loads, 36 stores (one in a cycle, in two on Zen 4) and 144
 * operations, of which 120 are multiply-adds; an output tile 60 loads, 16 stores and 146 operations,
 * of which 96 are additions. With 512 bits two multiply-adds or two additions a cycle: 60 and 48
 * cycles, on Zen 4 about twice that. Measured on Zen 5 in the L1: 110 and 75.
 */
#include "base/integers.h"
#include "kernels/fill.h"

enum { ROWS_AHEAD = 8, LINE = 16, AHEAD = 256 };
enum { STRIP = 512 }; /* zeros: of the channels for which a tile at an edge lists its points */
static const float zeros[STRIP];

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

/* Where the points of a tile are: pointers, or (points NULL) evenly from each row's pointer. What
 * is `ahead` elements further on is fetched, a tile or, with few channels, some: six short rows are
 * nothing that the processor would guess. */
struct source {
    const float *const *points; /* [36] */
    const float *row[6];
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
        const int64_t at = edge ? c : late(c + j * x->point);
        VEC d[6];
        UNROLL
        for (int i = 0; i < 6; i++) {
            const float *p = edge ? x->points[6 * i + j] : x->row[i];
            d[i] = LOAD_IF(whole, p + at, mask);
            if (!edge && pair == OUTER && j >= 2) __builtin_prefetch(p + at + x->ahead);
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

static void input_inside(const struct winograd_input_f32 *t, int64_t first, float *v)
{
    struct source x = {.point = t->x_point, .ahead = most(AHEAD, (7 - t->taps) * t->x_point)};
    for (int i = 0; i < 6; i++)
        x.row[i] = t->row[i] >= 0 ? t->x + t->row[i] + first * t->x_point : zeros;
    input_tile(t->channels, &x, v, t->v_frequency, false);
}

/* Source column, -1: zeros. */
static int64_t place(const struct winograd_input_f32 *t, int64_t column)
{
    if (column >= 0 && column < t->width) return column;
    return t->circular ? (column % t->width + t->width) % t->width : -1;
}

static void input_edge(const struct winograd_input_f32 *t, int64_t first, float *v)
{
    const float *points[36];
    int64_t column[6];
    for (int j = 0; j < 6; j++) column[j] = place(t, first + j);
    for (int64_t c = 0; c < t->channels; c += STRIP) {
        for (int i = 0; i < 6; i++) {
            for (int j = 0; j < 6; j++) {
                const bool exists = t->row[i] >= 0 && column[j] >= 0;
                points[6 * i + j] = exists ? t->x + t->row[i] + column[j] * t->x_point + c : zeros;
            }
        }
        input_tile(least(STRIP, t->channels - c), &(struct source){.points = points}, v + c,
                   t->v_frequency, true);
    }
}

static void winograd_input(const struct winograd_input_f32 *t)
{
    bool rows = true; /* is each a row of points, or of zeros that suffice for it? */
    for (int i = 0; i < 6; i++) rows = rows && (t->row[i] >= 0 || 6 * t->x_point <= STRIP);
    for (int64_t i = 0; i < t->tiles; i++) {
        const int64_t first = t->first + (7 - t->taps) * i;
        if (!rows || first < 0 || first + 6 > t->width)
            input_edge(t, first, t->v + i * t->v_tile);
        else
            input_inside(t, first, t->v + i * t->v_tile);
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

/* Where the points of a tile go; at an edge, how many rows and columns exist. */
struct target {
    float *y;
    int64_t row, point, rows, columns;
};

enum where { INSIDE, EDGE, PAST_CACHES };

/* Row i of y from the half-done row. */
INLINE void output_row(const VEC half[6], int i, VEC bias, const struct target *y, int64_t c,
                       MASK mask, const bool whole, const enum where where, const int side)
{
    VEC out[4];
    from_points(half, out, out + 2, false, side);
    from_points(half, out + 1, out + 3, true, side);
    float *row = y->y + late(i * y->row);
    UNROLL
    for (int j = 0; j < side; j++) {
        if (where == EDGE && j >= y->columns) return;
        float *p = row + j * y->point;
        if (where == PAST_CACHES && whole)
            STREAM(p + c, ADD(out[j], bias));
        else
            STORE_IF(whole, p + c, mask, ADD(out[j], bias));
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
    if (side == 4 && (where != EDGE || odd + 2 < y->rows))
        output_row(second, odd + 2, bias, y, c, mask, whole, where, side);
}

INLINE void output_lanes(const float *m, int64_t frequency, VEC bias, const struct target *y,
                         int64_t c, MASK mask, const bool whole, const enum where where,
                         const int side)
{
    output_pair(m, frequency, bias, y, c, mask, whole, where, false, side);
    if (where != EDGE || y->rows > 1)
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

INLINE void output_tile(const struct winograd_output_f32 *t, const float *m,
                        const struct target *y, const enum where where)
{
    if (t->taps == 3)
        output_side(t->channels, m, t->m_frequency, t->bias, y, where, 4);
    else
        output_side(t->channels, m, t->m_frequency, t->bias, y, where, 2);
}

/* Are all vectors of y aligned? */
static bool aligned(const struct winograd_output_f32 *t)
{
    return (uintptr_t)t->y % sizeof(VEC) == 0 && t->y_row % LANES == 0 && t->y_point % LANES == 0;
}

static void winograd_output(const struct winograd_output_f32 *t)
{
    const int64_t side = 7 - t->taps;
    const bool stream = t->stream && aligned(t);
    for (int64_t i = 0; i < t->tiles; i++) {
        const struct target y = {t->y + side * i * t->y_point, t->y_row, t->y_point, t->y_rows,
                                 t->y_columns - side * i};
        const float *m = t->m + i * t->m_tile;
        if (y.rows < side || y.columns < side)
            output_tile(t, m, &y, EDGE);
        else if (stream)
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
