/* winograd_grad.c - the transforms of the Winograd weight gradient, a vector of channels at a time;
 * see ref/winograd_grad_ref.c for the matrices.
 *
 * The last vector overlaps the one before it, so that nothing is left over; fewer channels than a
 * vector has lanes are the reference's.
 * Ceiling of a tile of dy: 36 stores of a vector of 512 bits, one in a cycle, in two on Zen 4. So the
 * first pass is done anew for each pair of rows, as the loads cost nothing and 24 numbers and their
 * results would not stay in registers. It takes 66 to 79 cycles for 16 channels of a Zen 5.
 * Whether a row and a column exist is asked at each load: it is as fast as not to ask.
 * `side` of a tile of dy is a constant wherever it is inlined: 4 with 3 taps, 2 with 5.
 */
#include "kernels/simd/vec.h"

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

/* Where the points of a tile are. */
struct source {
    const float *row[4];   /* NULL: zeros */
    const int64_t *column; /* < 0: zeros  */
};

INLINE vec load(const struct source *d, int i, int j, int64_t c)
{
    if (!d->row[i] || d->column[j] < 0) return (vec){0};
    return vec_load(d->row[i] + late(c + d->column[j]));
}

INLINE void dy_outer(int64_t n, const struct source *d, int i, float *v, int64_t frequency,
                     const int side)
{
    VECTORS(c, n)
    {
        vec row[4];
        for (int j = 0; j < side; j++) row[j] = load(d, i, j, c);
        dy_row(row, v + late(c), frequency, side);
    }
}

/* The two rows of the points `at` and -at. */
INLINE void dy_pair(int64_t n, const struct source *d, float at, float square, float *v,
                    int64_t frequency, const int side)
{
    VECTORS(c, n)
    {
        vec sum[4], difference[4];
        for (int j = 0; j < side; j++) {
            vec even = load(d, 0, j, c), odd = load(d, 1, j, c);
            if (side == 4) {
                even += square * load(d, 2, j, c);
                odd += square * load(d, 3, j, c);
            }
            odd *= at;
            sum[j] = even + odd;
            difference[j] = even - odd;
        }
        dy_row(sum, v + late(c), frequency, side);
        dy_row(difference, v + late(6 * frequency + c), frequency, side);
    }
}

INLINE void dy_tile(int64_t n, const struct source *d, float *v, int64_t frequency, const int side)
{
    dy_outer(n, d, 0, v, frequency, side);
    dy_pair(n, d, A, 0.5F, v + 6 * frequency, frequency, side);
    dy_pair(n, d, B, 2, v + 18 * frequency, frequency, side);
    dy_outer(n, d, side - 1, v + 30 * frequency, frequency, side);
}

INLINE void dy_tiles(const struct winograd_input_f32 *t, const int side)
{
    struct source d = {.row = {NULL}};
    for (int i = 0; i < side; i++) {
        if (t->row[i] >= 0) d.row[i] = t->x + t->row[i];
    }
    for (int64_t i = 0; i < t->tiles; i++) {
        d.column = t->column + side * i;
        dy_tile(t->channels, &d, t->v + i * t->v_tile, t->v_frequency, side);
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
