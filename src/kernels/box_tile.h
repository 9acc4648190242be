/* box_tile.h - grouped convolution of a box and its weight gradient: one vector of whole groups of
 * channels at a time, with its sums in registers over all taps or all points.
 *
 * Included by the conv_box.c of an instruction set, with these defined:
 *
 *   VEC MASK INDEX LANES      vector, mask of its lanes, indices of lanes, floats in it
 *   ZERO() FMA(a, b, c) ADD(a, b) LOAD(p) STORE(p, v) LOADM(p, mask) STOREM(p, mask, v)
 *   STREAM(p, v)              STORE past the caches, p at a whole vector
 *   TURN(v, index, mask)      lane l: v[index[l]] where the mask has l, else 0
 *   MASK_OF(p) INDEX_OF(p)    from LANES int32 (0 or -1; lane numbers)
 *   POINTS(F, R)              F(P, R) for P = 1, 2 ... POINTS_<R> points of R turns, R = 1 2 4 8
 *   TAPS(F, R)                F(T, R) for T = 1, 2 ... TAPS_<R> taps
 *   ROWS_OF_3(F, R)           F(G, R) for G = 1, 2 ... rows of three taps whose sums fit the registers
 *
 * Forward: sums of P points x R turns; weights stay in registers for all P, x is read once for R
 * products (with one turn, for up to three neighbouring taps), and lanes are turned once a point,
 * when its sums are complete. Weight gradient: sums of T taps x R turns over all points; dy is
 * turned once a point for all T. Each sum is one chain in the order of taps or points, whatever the
 * tile.
 *
 * Ceiling: multiply-adds from the L1, memory beyond the L2: asking for the next row early made
 * depthwise 3x3 of large maps as fast as a copy (without: 60 %). With a far third level that takes
 * targets that go past the caches, for a store that misses reads its line first: 112x112 of 32 channels
 * 2.0 -> 1.3 ms forward and back (Xeon with AMX, 2026-11-30). Points that are a multiple of 2048 bytes
 * apart (512 channels) share a few sets of the L1 and run at 30 to 40 % of the peak; copying parts to
 * another pitch cost what it gained. Depthwise 3x3 of small maps is simd/conv_plane.c's.
 */
#include "kernels/kernels.h"
#include "kernels/unroll.h"

#define INLINE static inline __attribute__((always_inline))

/* Lanes of the channels of x and of y, and how they are turned. */
struct lanes {
    MASK x, y, takes[BOX_TURNS];
    INDEX from[BOX_TURNS];
};

#define COUNT(P, R) +1
enum { G_MOST = 0 ROWS_OF_3(COUNT, 1) };

/* What a later row of the box reads and no row before it: the last rows of taps, and all points up
 * to the next one's. Memory is asked for it point by point while this row is computed; the processor
 * alone would begin too late. */
enum { FRESH_MOST = 4 };
struct fresh {
    int64_t n, x_at[FRESH_MOST], y_at; /* offsets; n 0: no such row */
};

/* For `rows` rows on. */
static struct fresh fresh_rows(const struct box *b, int64_t rows)
{
    struct fresh f = {.y_at = rows * b->y_row};
    if (b->rows <= rows || b->taps < 1) return f;
    const int64_t *at = b->x_at, last = at[b->taps - 1], channels = b->groups * b->cg;
    const int64_t columns = b->x_point == 2 * channels ? 2 : 1;
    for (int64_t t = b->taps - 1; t >= 0 && f.n + columns <= FRESH_MOST; t--) {
        const bool same_row = t < b->taps - 1 && last - at[t] < b->points * b->x_point / 2;
        if (same_row || last - at[t] >= b->x_row) continue;
        for (int64_t i = 0; i < columns; i++)
            f.x_at[f.n++] = at[t] + rows * b->x_row - i * channels;
    }
    return f;
}

/* For n points from here on; y NULL: not of y. */
INLINE void fetch_ahead(const struct box *b, const struct fresh *f, const float *x, const float *y,
                        int64_t n, const bool write)
{
    if (f->n == 0) return;
    for (int64_t i = 0; i < f->n; i++) {
        for (int64_t p = 0; p < n; p++) __builtin_prefetch(x + f->x_at[i] + p * b->x_point, 0, 2);
    }
    for (int64_t p = 0; y && p < n; p++) {
        const float *at = y + f->y_at + p * b->y_point;
        if (write)
            __builtin_prefetch(at, 1, 2);
        else
            __builtin_prefetch(at, 0, 2);
    }
}

/* One tile's operands, at its first point and channel. */
struct tile {
    const struct box *b;
    const struct lanes *lanes;
    const struct fresh *fresh;
    const float *x, *w, *bias, *dy;
    float *y;
    bool streamed; /* y, past the caches */
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

INLINE VEC sum_turns(const VEC *acc, const struct lanes *lanes, const int R)
{
    VEC sum = TURN(acc[0], lanes->from[0], lanes->takes[0]);
    UNROLL
    for (int r = 1; r < R; r++) sum = ADD(sum, TURN(acc[r], lanes->from[r], lanes->takes[r]));
    return sum;
}

/* S taps of P points, where a tap of one point reads what the tap before reads of the next: each
 * vector of x is loaded once for S products. */
INLINE void add_taps(const struct tile *t, int64_t tap, VEC *acc, const int S, const int P,
                     const int R, const bool full)
{
    const int64_t step = t->b->x_point;
    const float *x = t->x + t->b->x_at[tap];
    VEC w[BOX_TURNS];
    UNROLL
    for (int s = 0; s < S; s++) {
        UNROLL
        for (int r = 0; r < R; r++)
            w[s * R + r] = load(t->w + t->b->w_at[tap + s] + r * t->b->w_turn, t->lanes->x, full);
    }
    UNROLL
    for (int q = 0; q < (P + S - 1 + 3) / 4; q++, x += 4 * step) {
        UNROLL
        for (int i = 0; i < 4; i++) {
            const int p = 4 * q + i;
            if (p >= P + S - 1) break;
            const VEC xv = load(x + i * step, t->lanes->x, full);
            UNROLL
            for (int s = 0; s < S; s++) {
                if (p - s < 0 || p - s >= P) continue;
                UNROLL
                for (int r = 0; r < R; r++)
                    acc[(p - s) * R + r] = FMA(xv, w[s * R + r], acc[(p - s) * R + r]);
            }
        }
    }
}

/* Taps from `tap` on that go on from point to point. */
INLINE int64_t chain(const struct box *b, int64_t tap)
{
    const int64_t *at = b->x_at + tap, left = b->taps - tap;
    if (left < 2 || at[1] - at[0] != b->x_point) return 1;
    return left < 3 || at[2] - at[1] != b->x_point ? 2 : 3;
}

INLINE void conv_tile(const struct tile *t, const int P, const int R, const bool full)
{
    const struct box *b = t->b;
    VEC acc[32];
    UNROLL
    for (int i = 0; i < P * R; i++) acc[i] = ZERO();
    for (int64_t tap = 0, n; tap < b->taps; tap += n) {
        n = R == 1 && P > 2 ? chain(b, tap) : 1;
        if (n == 3)
            add_taps(t, tap, acc, 3, P, R, full);
        else if (n == 2)
            add_taps(t, tap, acc, 2, P, R, full);
        else
            add_taps(t, tap, acc, 1, P, R, full);
    }
    if (R > 1) {
        UNROLL
        for (int p = 0; p < P; p++) acc[p] = sum_turns(acc + p * R, t->lanes, R);
    }
    if (t->bias) {
        const VEC bias = load(t->bias, t->lanes->y, full);
        UNROLL
        for (int p = 0; p < P; p++) acc[p] = ADD(acc[p], bias);
    }
    if (full && t->streamed) {
        UNROLL
        for (int p = 0; p < P; p++) STREAM(t->y + p * b->y_point, acc[p]);
        return;
    }
    UNROLL
    for (int p = 0; p < P; p++) store(t->y + p * b->y_point, t->lanes->y, full, acc[p]);
}

/* Taps [first, first + T) of all points. w: their gradient. */
INLINE void grad_tile(const struct tile *t, int64_t first, float *dw, const int T, const int R,
                      const bool full)
{
    const struct box *b = t->b;
    const int64_t *at = b->x_at + first;
    VEC acc[32];
    UNROLL
    for (int i = 0; i < T * R; i++) acc[i] = ZERO();
    for (int64_t row = 0; row < b->rows; row++) {
        const float *x = t->x + row * b->x_row, *dy = t->dy + row * b->y_row;
        for (int64_t p = b->points; p > 0; p--, x += b->x_point, dy += b->y_point) {
            if (first == 0) fetch_ahead(b, t->fresh, x, dy, 1, false);
            const VEC one = load(dy, t->lanes->y, full);
            VEC turned[BOX_TURNS];
            UNROLL
            for (int r = 0; r < R; r++)
                turned[r] = R == 1 ? one : TURN(one, t->lanes->from[r], t->lanes->takes[r]);
            UNROLL
            for (int i = 0; i < T; i++) {
                const VEC xv = load(x + at[i], t->lanes->x, full);
                UNROLL
                for (int r = 0; r < R; r++) acc[i * R + r] = FMA(xv, turned[r], acc[i * R + r]);
            }
        }
    }
    UNROLL
    for (int i = 0; i < T; i++) {
        float *to = dw + b->w_at[first + i];
        UNROLL
        for (int r = 0; r < R; r++, to += b->w_turn) {
            const MASK there = R == 1 ? t->lanes->x : t->lanes->takes[r];
            store(to, there, full, ADD(load(to, there, full), acc[i * R + r]));
        }
    }
}

/* Point p of the same, for G rows of three taps of which each reads what the one before reads of the next
 * point: a vector of x is loaded once for three products. Those of row g are in x[g][(turn + 0 .. 2) % 3]. */
INLINE void add_point(const struct tile *t, const int64_t *at, int64_t p, const int turn,
                      VEC x[][3], VEC *acc, const int G, const bool full)
{
    const struct box *b = t->b;
    fetch_ahead(b, t->fresh, t->x + p * b->x_point, t->dy + p * b->y_point, 1, false);
    const VEC dy = load(t->dy + p * b->y_point, t->lanes->y, full);
    UNROLL
    for (int g = 0; g < G; g++) {
        x[g][(turn + 2) % 3] = load(t->x + p * b->x_point + at[3 * g + 2], t->lanes->x, full);
        UNROLL
        for (int s = 0; s < 3; s++)
            acc[3 * g + s] = FMA(x[g][(turn + s) % 3], dy, acc[3 * g + s]);
    }
}

/* The same for one row of points. */
INLINE void grad_row_tile(const struct tile *t, int64_t first, float *dw, const int G, const bool full)
{
    const struct box *b = t->b;
    const int64_t *at = b->x_at + first;
    VEC acc[3 * G_MOST], x[G_MOST][3];
    UNROLL
    for (int g = 0; g < G; g++) {
        UNROLL
        for (int s = 0; s < 3; s++) acc[3 * g + s] = ZERO();
        x[g][0] = load(t->x + at[3 * g], t->lanes->x, full);
        x[g][1] = load(t->x + at[3 * g + 1], t->lanes->x, full);
        x[g][2] = ZERO(); /* compilers do not see that a point writes it first */
    }
    int64_t p = 0;
    for (; p + 3 <= b->points; p += 3) {
        add_point(t, at, p, 0, x, acc, G, full);
        add_point(t, at, p + 1, 1, x, acc, G, full);
        add_point(t, at, p + 2, 2, x, acc, G, full);
    }
    if (p < b->points) add_point(t, at, p, 0, x, acc, G, full);
    if (p + 1 < b->points) add_point(t, at, p + 1, 1, x, acc, G, full);
    UNROLL
    for (int i = 0; i < 3 * G; i++) {
        float *to = dw + b->w_at[first + i];
        store(to, t->lanes->x, full, ADD(load(to, t->lanes->x, full), acc[i]));
    }
}

/* ---- a function for each number of points and taps ---- */

typedef void conv_fn(const struct tile *t);
typedef void grad_fn(const struct tile *t, int64_t first, float *dw);

#define CONV(P, R)                                                                                 \
    static void conv_##P##x##R(const struct tile *t)                                               \
    {                                                                                              \
        conv_tile(t, P, R, true);                                                                  \
    }                                                                                              \
    static void conv_ragged_##P##x##R(const struct tile *t)                                        \
    {                                                                                              \
        conv_tile(t, P, R, false);                                                                 \
    }
#define GRAD(T, R)                                                                                 \
    static void grad_##T##x##R(const struct tile *t, int64_t first, float *dw)                     \
    {                                                                                              \
        grad_tile(t, first, dw, T, R, true);                                                       \
    }                                                                                              \
    static void grad_ragged_##T##x##R(const struct tile *t, int64_t first, float *dw)              \
    {                                                                                              \
        grad_tile(t, first, dw, T, R, false);                                                      \
    }
POINTS_1(CONV, 1)
POINTS_2(CONV, 2)
POINTS_4(CONV, 4)
#define ROW_GRAD(G, R)                                                                             \
    static void row_grad_##G(const struct tile *t, int64_t first, float *dw)                       \
    {                                                                                              \
        grad_row_tile(t, first, dw, G, true);                                                      \
    }                                                                                              \
    static void row_grad_ragged_##G(const struct tile *t, int64_t first, float *dw)                \
    {                                                                                              \
        grad_row_tile(t, first, dw, G, false);                                                     \
    }
POINTS_8(CONV, 8) TAPS_1(GRAD, 1) TAPS_2(GRAD, 2) TAPS_4(GRAD, 4) TAPS_8(GRAD, 8) ROWS_OF_3(ROW_GRAD, 1)

    enum {
        TILE_MOST = 16,
        TURN_KINDS = 4
    };
#define FULL_CONV(P, R)   [P] = conv_##P##x##R,
#define RAGGED_CONV(P, R) [P] = conv_ragged_##P##x##R,
#define FULL_GRAD(T, R)   [T] = grad_##T##x##R,
#define RAGGED_GRAD(T, R) [T] = grad_ragged_##T##x##R,
static conv_fn *const convs[2][TURN_KINDS][TILE_MOST] = {{{POINTS_1(RAGGED_CONV, 1)},
                                                          {POINTS_2(RAGGED_CONV, 2)},
                                                          {POINTS_4(RAGGED_CONV, 4)},
                                                          {POINTS_8(RAGGED_CONV, 8)}},
                                                         {{POINTS_1(FULL_CONV, 1)},
                                                          {POINTS_2(FULL_CONV, 2)},
                                                          {POINTS_4(FULL_CONV, 4)},
                                                          {POINTS_8(FULL_CONV, 8)}}};
static grad_fn *const grads[2][TURN_KINDS][TILE_MOST] = {{{TAPS_1(RAGGED_GRAD, 1)},
                                                          {TAPS_2(RAGGED_GRAD, 2)},
                                                          {TAPS_4(RAGGED_GRAD, 4)},
                                                          {TAPS_8(RAGGED_GRAD, 8)}},
                                                         {{TAPS_1(FULL_GRAD, 1)},
                                                          {TAPS_2(FULL_GRAD, 2)},
                                                          {TAPS_4(FULL_GRAD, 4)},
                                                          {TAPS_8(FULL_GRAD, 8)}}};
#define FULL_ROW_GRAD(G, R)   [G] = row_grad_##G,
#define RAGGED_ROW_GRAD(G, R) [G] = row_grad_ragged_##G,
static grad_fn *const row_grads[2][G_MOST + 1] = {{ROWS_OF_3(RAGGED_ROW_GRAD, 1)},
                                                  {ROWS_OF_3(FULL_ROW_GRAD, 1)}};
static const int64_t points_most[] = {0 POINTS_1(COUNT, 1), 0 POINTS_2(COUNT, 2),
                                      0 POINTS_4(COUNT, 4), 0 POINTS_8(COUNT, 8)};
static const int64_t taps_most[] = {0 TAPS_1(COUNT, 1), 0 TAPS_2(COUNT, 2), 0 TAPS_4(COUNT, 4),
                                    0 TAPS_8(COUNT, 8)};

static int turn_kind(int64_t turns)
{
    return turns == 1 ? 0 : turns == 2 ? 1 : turns == 4 ? 2 : 3;
}

/* ---- vectors of channels ---- */

static MASK first_lanes(int64_t n)
{
    int32_t on[LANES];
    for (int64_t l = 0; l < LANES; l++) on[l] = l < n ? -1 : 0;
    return MASK_OF(on);
}

/* Turn r of `groups` groups of `to` lanes: channel i of the result takes (i + sign r) % turns of
 * the `from` channels. */
static void list_turns(struct lanes *lanes, const struct box *b, int64_t groups, int64_t to,
                       int64_t from, int sign)
{
    for (int64_t r = 0; r < b->turns; r++) {
        int32_t index[LANES] = {0}, takes[LANES] = {0};
        for (int64_t l = 0; l < groups * to; l++) {
            const int64_t j = (l % to + b->turns + sign * r) % b->turns;
            if (j >= from) continue;
            index[l] = (int32_t)(l / to * from + j);
            takes[l] = -1;
        }
        lanes->from[r] = INDEX_OF(index);
        lanes->takes[r] = MASK_OF(takes);
    }
}

static int64_t groups_in_vector(const struct box *b)
{
    return LANES / (b->cg > b->kg ? b->cg : b->kg);
}

/* The longer side of the box makes the tiles. */
static struct box upright(const struct box *b)
{
    struct box turned = *b;
    if (b->points >= b->rows) return turned;
    turned.rows = b->points, turned.points = b->rows;
    turned.x_row = b->x_point, turned.x_point = b->x_row;
    turned.y_row = b->y_point, turned.y_point = b->y_row;
    return turned;
}

/* A long line as rows, so that there is a next row to ask memory for, and what is left over. */
enum { LINE_POINTS = 112 };
static struct box fold_line(struct box *b)
{
    struct box rest = *b;
    const int64_t rows = b->rows == 1 ? b->points / LINE_POINTS : 0;
    rest.points = rows < 2 ? 0 : b->points % LINE_POINTS;
    if (rows < 2) return rest;
    b->rows = rows;
    b->points = LINE_POINTS;
    b->x_row = LINE_POINTS * b->x_point;
    b->y_row = LINE_POINTS * b->y_point;
    return rest;
}

/* All vectors of channels of a tile before the next tile: memory is read as it lies, and no two
 * points of one vector compete for the same lines of the L1 for long. The last vector is whole as
 * well where it may begin earlier, doing some channels again. */
static void conv_rows(const struct box *rows, const float *x, const float *w, const float *bias,
                      float *y)
{
    const struct box b = *rows;
    const int64_t each = groups_in_vector(&b), all = each < b.groups ? each : b.groups;
    const bool full = all * b.cg == LANES && all * b.kg == LANES;
    struct lanes lanes = {.x = first_lanes(all * b.cg), .y = first_lanes(all * b.kg)};
    if (b.turns > 1) list_turns(&lanes, &b, all, b.kg, b.cg, -1);
    const bool streamed = b.streamed && full && b.groups % all == 0 &&
                          b.y_row % LANES == 0 && (uintptr_t)y % sizeof(VEC) == 0;
    const struct fresh fresh = fresh_rows(&b, 1);
    const int kind = turn_kind(b.turns);
    const int64_t tiles = (b.points + points_most[kind] - 1) / points_most[kind];
    for (int64_t i = 0; i < b.rows * tiles; i++) {
        const int64_t row = i / tiles, at = i % tiles * b.points / tiles;
        const int64_t n = (i % tiles + 1) * b.points / tiles - at;
        const float *x_at = x + row * b.x_row + at * b.x_point;
        float *y_at = y + row * b.y_row + at * b.y_point;
        for (int64_t g = 0; g < b.groups; g += all) {
            if (g > b.groups - all) g = b.groups - all;
            const struct tile t = {.b = &b,
                                   .lanes = &lanes,
                                   .x = x_at + g * b.cg,
                                   .w = w + g * b.cg,
                                   .bias = bias ? bias + g * b.kg : NULL,
                                   .y = y_at + g * b.kg,
                                   .streamed = streamed};
            fetch_ahead(&b, &fresh, t.x, streamed ? NULL : t.y, n, true);
            convs[full][kind][n](&t);
        }
    }
}

static void conv_box(const struct box *given, const float *x, const float *w, const float *bias,
                     float *y)
{
    struct box b = upright(given);
    const struct box rest = fold_line(&b);
    conv_rows(&b, x, w, bias, y);
    if (rest.points > 0) conv_rows(&rest, x + b.rows * b.x_row, w, bias, y + b.rows * b.y_row);
}

/* Rows of three taps that go on from point to point, 0: others. */
static int64_t rows_of_3(const struct box *b)
{
    for (int64_t i = 0; i < b->taps; i += 3)
        if (b->turns > 1 || chain(b, i) < 3) return 0;
    return b->taps / 3;
}

static void grad_vector(const struct tile *t, float *dw, int64_t rows, bool full)
{
    const struct box *b = t->b;
    for (int64_t i = 0, n; i < rows; i += n) {
        n = rows - i < G_MOST ? rows - i : G_MOST;
        row_grads[full][n](t, 3 * i, dw);
    }
    if (rows > 0) return;
    const int kind = turn_kind(b->turns);
    const int64_t most = taps_most[kind], tiles = (b->taps + most - 1) / most;
    for (int64_t i = 0; i < tiles; i++) {
        const int64_t first = i * b->taps / tiles, n = (i + 1) * b->taps / tiles - first;
        grads[full][kind][n](t, first, dw);
    }
}

/* Some rows at a time, so that all channels of a point are read soon after each other. Memory far away wants them
 * sooner: some points of a row. Xeon with AMX, 2026-11-30: strided depthwise 3x3 of 144 channels takes 0.73 of the
 * time, 112x112 of 32 channels 0.74 with 14 points and 0.85 with 28, of which longer sums of more taps gain (5x5). */
enum { GRAD_POINTS = 64, ORDERED_POINTS = 28, ORDERED_OF_3 = 14 };

static void grad_rows(const struct box *given, const float *x, const float *dy, float *dw)
{
    const struct box all = given->in_order ? upright(given) : *given;
    struct box b = all;
    const int64_t each = groups_in_vector(&b);
    const int64_t some = b.in_order ? 1 : (GRAD_POINTS + b.points) / (b.points + 1);
    const int64_t threes = b.in_order ? rows_of_3(&b) : 0, stretch = threes > 0 ? ORDERED_OF_3 : ORDERED_POINTS;
    const int64_t tiles = b.in_order ? (b.points + stretch - 1) / stretch : 1;
    const struct fresh fresh = fresh_rows(&b, some);
    struct lanes lanes[2]; /* of a whole vector, and of the last one */
    for (int i = 0; i < 2; i++) {
        const int64_t n = i == 0 ? each : b.groups % each;
        lanes[i].x = first_lanes(n * b.cg);
        lanes[i].y = first_lanes(n * b.kg);
        if (b.turns > 1) list_turns(&lanes[i], &b, n, b.cg, b.kg, 1);
    }
    for (int64_t i = 0; i < (all.rows + some - 1) / some * tiles; i++) {
        const int64_t row = i / tiles * some, at = i % tiles * all.points / tiles;
        b.rows = all.rows - row < some ? all.rows - row : some;
        b.points = (i % tiles + 1) * all.points / tiles - at;
        for (int64_t g = 0; g < b.groups; g += each) {
            const bool whole = b.groups - g >= each;
            const bool full = whole && each * b.cg == LANES && each * b.kg == LANES;
            const struct tile t = {.b = &b,
                                   .lanes = &lanes[whole ? 0 : 1],
                                   .fresh = &fresh,
                                   .x = x + row * b.x_row + at * b.x_point + g * b.cg,
                                   .dy = dy + row * b.y_row + at * b.y_point + g * b.kg};
            grad_vector(&t, dw + g * b.cg, threes, full);
        }
    }
}

static void conv_box_weight_grad(const struct box *given, const float *x, const float *dy,
                                 float *dw)
{
    struct box b = *given;
    const struct box rest = fold_line(&b);
    grad_rows(&b, x, dy, dw);
    if (rest.points > 0) grad_rows(&rest, x + b.rows * b.x_row, dy + b.rows * b.y_row, dw);
}

void FILL(conv_box)(struct kernels *k)
{
    k->f32.conv_box = conv_box;
    k->f32.conv_box_weight_grad = conv_box_weight_grad;
}
