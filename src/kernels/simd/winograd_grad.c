/* winograd_grad.c - the transforms of the Winograd weight gradient, a vector of channels at a time;
 * see ref/winograd_grad_ref.c for the matrices.
 *
 * The last vector overlaps the one before it, so that nothing is left over; fewer channels than a
 * vector has lanes are the reference's.
 * Ceiling of a tile of dy: 36 stores of a vector, one in two cycles where it has 512 bits. So the
 * first pass is done anew for each pair of rows, as the loads cost nothing and 24 numbers and their
 * results would not stay in registers. It takes 110 cycles for 16 channels of a Zen 4.
 */
#include "kernels/simd/vec.h"

enum { STRIP = 64 }; /* channels of a tile at once */
static const float zeros[STRIP];
static const float A = 0.70710678F, B = 1.41421356F;

/* for each vector of n channels: c is its first */
#define VECTORS(c, n)                                                                              \
    for (int64_t c = 0, next = 0;                                                                  \
         next < (n) && (c = next < (n)-VEC_LANES ? next : (n)-VEC_LANES, true); next += VEC_LANES)

/* ---- dy ---- */

/* A row of A d A^T from the row after the first pass. */
INLINE void dy_row(const vec d[4], float *v, int64_t frequency)
{
    const vec even_a = d[0] + 0.5F * d[2], odd_a = A * (d[1] + 0.5F * d[3]);
    const vec even_b = d[0] + 2 * d[2], odd_b = B * (d[1] + 2 * d[3]);
    vec_store(v, d[0]);
    vec_store(v + frequency, even_a + odd_a);
    vec_store(v + 2 * frequency, even_a - odd_a);
    vec_store(v + 3 * frequency, even_b + odd_b);
    vec_store(v + 4 * frequency, even_b - odd_b);
    vec_store(v + 5 * frequency, d[3]);
}

INLINE void dy_outer(int64_t n, const float *const d[4], float *v, int64_t frequency)
{
    VECTORS(c, n)
    {
        const vec row[4] = {vec_load(d[0] + c), vec_load(d[1] + c), vec_load(d[2] + c),
                            vec_load(d[3] + c)};
        dy_row(row, v + c, frequency);
    }
}

/* The two rows of the points `at` and -at. */
INLINE void dy_pair(int64_t n, const float *const d[16], float at, float square, float *v,
                    int64_t frequency)
{
    VECTORS(c, n)
    {
        vec sum[4], difference[4];
        for (int j = 0; j < 4; j++) {
            const vec even = vec_load(d[j] + c) + square * vec_load(d[8 + j] + c),
                      odd = at * (vec_load(d[4 + j] + c) + square * vec_load(d[12 + j] + c));
            sum[j] = even + odd;
            difference[j] = even - odd;
        }
        dy_row(sum, v + c, frequency);
        dy_row(difference, v + 6 * frequency + c, frequency);
    }
}

static void dy_tile(int64_t n, const float *const d[16], float *v, int64_t frequency)
{
    dy_outer(n, d, v, frequency);
    dy_pair(n, d, A, 0.5F, v + 6 * frequency, frequency);
    dy_pair(n, d, B, 2, v + 18 * frequency, frequency);
    dy_outer(n, d + 12, v + 30 * frequency, frequency);
}

static void winograd_grad_dy(const struct winograd_input_f32 *t)
{
    if (t->channels < VEC_LANES) {
        ref_winograd_grad_dy_f32(t);
        return;
    }
    const int64_t n = t->channels < STRIP ? t->channels : STRIP;
    for (int64_t i = 0; i < t->tiles; i++) {
        for (int64_t next = 0; next < t->channels; next += n) {
            const int64_t c = next < t->channels - n ? next : t->channels - n;
            const float *d[16];
            for (int e = 0; e < 16; e++) {
                const int64_t row = t->row[e / 4], column = t->first + 4 * i + e % 4;
                const bool zero = row < 0 || column < 0 || column >= t->width;
                d[e] = zero ? zeros : t->x + row + column * t->x_point + c;
            }
            dy_tile(n, d, t->v + i * t->v_tile + c, t->v_frequency);
        }
    }
}

/* ---- dw ---- */

/* G^T u, of six numbers. */
INLINE void to_taps(const vec u[6], vec w[3])
{
    const vec sum_a = u[1] + u[2], odd_a = u[2] - u[1], sum_b = u[3] + u[4], odd_b = u[3] - u[4];
    w[0] = u[0] - 2.0F / 3 * sum_a + 1.0F / 6 * sum_b;
    w[1] = 2.0F / 3 * A * odd_a + 1.0F / 6 * B * odd_b;
    w[2] = 1.0F / 3 * (sum_b - sum_a) + u[5];
}

static void winograd_grad_dw(int64_t n, const float *u, int64_t frequency, float *dw, int64_t tap)
{
    if (n < VEC_LANES) {
        ref_winograd_grad_dw_f32(n, u, frequency, dw, tap);
        return;
    }
    VECTORS(c, n)
    {
        vec half[3][6];
        for (int j = 0; j < 6; j++) {
            vec column[6], w[3];
            for (int i = 0; i < 6; i++) column[i] = vec_load(u + (6 * i + j) * frequency + c);
            to_taps(column, w);
            for (int i = 0; i < 3; i++) half[i][j] = w[i];
        }
        for (int i = 0; i < 3; i++) {
            vec w[3];
            to_taps(half[i], w);
            for (int j = 0; j < 3; j++) vec_store(dw + (3 * i + j) * tap + c, w[j]);
        }
    }
}

void FILL(winograd_grad)(struct kernels *k)
{
    k->f32.winograd_grad_dy = winograd_grad_dy;
    k->f32.winograd_grad_dw = winograd_grad_dw;
}
