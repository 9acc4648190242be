/* winograd_grad.c - the transforms of the Winograd weight gradient, a vector of channels at a time;
 * see ref/winograd_grad_ref.c for the matrices.
 *
 * The last vector overlaps the one before it, so that nothing is left over; fewer channels than a
 * vector has lanes are the reference's.
 * Ceiling of a tile of dy: 36 stores of a vector of 512 bits, one in a cycle, in two on Zen 4. So the
 * first pass is done anew for each pair of rows, as the loads cost nothing and 24 numbers and their
 * results would not stay in registers. It takes 66 to 79 cycles for 16 channels of a Zen 5.
 * `side` of a tile of dy is a constant wherever it is inlined: 4 with 3 taps, 2 with 5.
 */
#include "kernels/simd/vec.h"

enum { STRIP = 64 }; /* channels of a tile at once */
static const float zeros[STRIP];
static const float A = 0.70710678F, B = 1.41421356F;

/* for each vector of n channels: c is its first */
#define VECTORS(c, n)                                                                              \
    for (int64_t c = 0, next = 0;                                                                  \
         next < (n) && (c = next < (n)-VEC_LANES ? next : (n)-VEC_LANES, true); next += VEC_LANES)

/* Keeps compilers from working out all addresses ahead of a loop and spilling them. */
INLINE int64_t late(int64_t offset)
{
    __asm__("" : "+r"(offset));
    return offset;
}

/* ---- dy ---- */

/* A row of A d A^T from the row after the first pass. */
INLINE void dy_row(const vec *d, float *v, int64_t frequency, const int side)
{
    vec even_a = d[0], even_b = d[0], odd_a = d[1], odd_b = d[1];
    if (side == 4) {
        even_a += 0.5F * d[2];
        even_b += 2 * d[2];
        odd_a += 0.5F * d[3];
        odd_b += 2 * d[3];
    }
    odd_a *= A;
    odd_b *= B;
    vec_store(v, d[0]);
    vec_store(v + frequency, even_a + odd_a);
    vec_store(v + 2 * frequency, even_a - odd_a);
    vec_store(v + 3 * frequency, even_b + odd_b);
    vec_store(v + 4 * frequency, even_b - odd_b);
    vec_store(v + 5 * frequency, d[side - 1]);
}

/* Where the points of a tile are: pointers, or evenly from each row's pointer. */
struct source {
    const float *points[16];
    const float *row[4];
    int64_t point;
};

INLINE vec load(const struct source *d, int i, int j, int64_t c, const int side, const bool edge)
{
    return vec_load(edge ? d->points[side * i + j] + c : d->row[i] + late(j * d->point + c));
}

INLINE void dy_outer(int64_t n, const struct source *d, int i, float *v, int64_t frequency,
                     const int side, const bool edge)
{
    VECTORS(c, n)
    {
        vec row[4];
        for (int j = 0; j < side; j++) row[j] = load(d, i, j, c, side, edge);
        dy_row(row, v + late(c), frequency, side);
    }
}

/* The two rows of the points `at` and -at. */
INLINE void dy_pair(int64_t n, const struct source *d, float at, float square, float *v,
                    int64_t frequency, const int side, const bool edge)
{
    VECTORS(c, n)
    {
        vec sum[4], difference[4];
        for (int j = 0; j < side; j++) {
            vec even = load(d, 0, j, c, side, edge), odd = load(d, 1, j, c, side, edge);
            if (side == 4) {
                even += square * load(d, 2, j, c, side, edge);
                odd += square * load(d, 3, j, c, side, edge);
            }
            odd *= at;
            sum[j] = even + odd;
            difference[j] = even - odd;
        }
        dy_row(sum, v + late(c), frequency, side);
        dy_row(difference, v + late(6 * frequency + c), frequency, side);
    }
}

INLINE void dy_tile(int64_t n, const struct source *d, float *v, int64_t frequency, const int side,
                    const bool edge)
{
    dy_outer(n, d, 0, v, frequency, side, edge);
    dy_pair(n, d, A, 0.5F, v + 6 * frequency, frequency, side, edge);
    dy_pair(n, d, B, 2, v + 18 * frequency, frequency, side, edge);
    dy_outer(n, d, side - 1, v + 30 * frequency, frequency, side, edge);
}

/* A tile from column `first` on, whose points all exist. */
INLINE void dy_inside(const struct winograd_input_f32 *t, int64_t first, float *v, const int side)
{
    struct source d = {.point = t->x_point};
    for (int i = 0; i < side; i++) d.row[i] = t->x + t->row[i] + first * t->x_point;
    dy_tile(t->channels, &d, v, t->v_frequency, side, false);
}

INLINE void dy_edge(const struct winograd_input_f32 *t, int64_t first, float *v, const int side)
{
    const int64_t n = t->channels < STRIP ? t->channels : STRIP;
    for (int64_t next = 0; next < t->channels; next += n) {
        const int64_t c = next < t->channels - n ? next : t->channels - n;
        struct source d;
        for (int e = 0; e < side * side; e++) {
            const int64_t row = t->row[e / side], column = first + e % side;
            const bool zero = row < 0 || column < 0 || column >= t->width;
            d.points[e] = zero ? zeros : t->x + row + column * t->x_point + c;
        }
        dy_tile(n, &d, v + c, t->v_frequency, side, true);
    }
}

INLINE void dy_tiles(const struct winograd_input_f32 *t, const int side)
{
    bool rows = true;
    for (int i = 0; i < side; i++) rows = rows && t->row[i] >= 0;
    for (int64_t i = 0; i < t->tiles; i++) {
        const int64_t first = t->first + side * i;
        if (rows && first >= 0 && first + side <= t->width)
            dy_inside(t, first, t->v + i * t->v_tile, side);
        else
            dy_edge(t, first, t->v + i * t->v_tile, side);
    }
}

static void winograd_grad_dy(const struct winograd_input_f32 *t)
{
    if (t->channels < VEC_LANES)
        ref_winograd_grad_dy_f32(t);
    else if (t->taps == 3)
        dy_tiles(t, 4);
    else
        dy_tiles(t, 2);
}

/* ---- dw ---- */

/* G^T u, of six numbers to taps. */
INLINE void to_taps(const vec u[6], vec *w, const int taps)
{
    const vec sum_a = u[1] + u[2], odd_a = u[2] - u[1], sum_b = u[3] + u[4], odd_b = u[3] - u[4];
    w[0] = u[0] - 2.0F / 3 * sum_a + 1.0F / 6 * sum_b;
    w[1] = 2.0F / 3 * A * odd_a + 1.0F / 6 * B * odd_b;
    w[2] = 1.0F / 3 * (sum_b - sum_a);
    if (taps == 5) {
        w[3] = 1.0F / 3 * A * odd_a + 1.0F / 3 * B * odd_b;
        w[4] = 2.0F / 3 * sum_b - 1.0F / 6 * sum_a;
    }
    w[taps - 1] += u[5];
}

INLINE void dw_taps(int64_t n, const float *u, int64_t frequency, float *dw, int64_t tap,
                    const int taps)
{
    VECTORS(c, n)
    {
        vec half[5][6];
        for (int j = 0; j < 6; j++) {
            vec column[6], w[5];
            for (int i = 0; i < 6; i++) column[i] = vec_load(u + (6 * i + j) * frequency + c);
            to_taps(column, w, taps);
            for (int i = 0; i < taps; i++) half[i][j] = w[i];
        }
        for (int i = 0; i < taps; i++) {
            vec w[5];
            to_taps(half[i], w, taps);
            for (int j = 0; j < taps; j++) vec_store(dw + (taps * i + j) * tap + c, w[j]);
        }
    }
}

static void winograd_grad_dw(int64_t taps, int64_t n, const float *u, int64_t frequency, float *dw,
                             int64_t tap)
{
    if (n < VEC_LANES)
        ref_winograd_grad_dw_f32(taps, n, u, frequency, dw, tap);
    else if (taps == 3)
        dw_taps(n, u, frequency, dw, tap, 3);
    else
        dw_taps(n, u, frequency, dw, tap, 5);
}

void FILL(winograd_grad)(struct kernels *k)
{
    k->f32.winograd_grad_dy = winograd_grad_dy;
    k->f32.winograd_grad_dw = winograd_grad_dw;
}
