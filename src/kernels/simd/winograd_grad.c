/* winograd_grad.c - the transforms of the Winograd weight gradient, a vector of channels at a time;
 * see ref/winograd_grad_ref.c for the matrices.
 *
 * The last vector overlaps the one before it, so that nothing is left over; fewer channels than a
 * vector has lanes are the reference's.
 * Ceiling of a tile of dy: 36 stores of a vector, one in two cycles where it has 512 bits. So the
 * first pass is done anew for each pair of rows, as the loads cost nothing and 24 numbers and their
 * results would not stay in registers. It takes 110 cycles for 16 channels of a Zen 4.
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

INLINE void dy_outer(int64_t n, const float *const *d, float *v, int64_t frequency, const int side)
{
    VECTORS(c, n)
    {
        vec row[4];
        for (int j = 0; j < side; j++) row[j] = vec_load(d[j] + c);
        dy_row(row, v + c, frequency, side);
    }
}

/* The two rows of the points `at` and -at. */
INLINE void dy_pair(int64_t n, const float *const *d, float at, float square, float *v,
                    int64_t frequency, const int side)
{
    VECTORS(c, n)
    {
        vec sum[4], difference[4];
        for (int j = 0; j < side; j++) {
            vec even = vec_load(d[j] + c), odd = vec_load(d[side + j] + c);
            if (side == 4) {
                even += square * vec_load(d[8 + j] + c);
                odd += square * vec_load(d[12 + j] + c);
            }
            odd *= at;
            sum[j] = even + odd;
            difference[j] = even - odd;
        }
        dy_row(sum, v + c, frequency, side);
        dy_row(difference, v + 6 * frequency + c, frequency, side);
    }
}

INLINE void dy_tile(int64_t n, const float *const *d, float *v, int64_t frequency, const int side)
{
    dy_outer(n, d, v, frequency, side);
    dy_pair(n, d, A, 0.5F, v + 6 * frequency, frequency, side);
    dy_pair(n, d, B, 2, v + 18 * frequency, frequency, side);
    dy_outer(n, d + side * (side - 1), v + 30 * frequency, frequency, side);
}

static void winograd_grad_dy(const struct winograd_input_f32 *t)
{
    if (t->channels < VEC_LANES) {
        ref_winograd_grad_dy_f32(t);
        return;
    }
    const int64_t side = 7 - t->taps, n = t->channels < STRIP ? t->channels : STRIP;
    for (int64_t i = 0; i < t->tiles; i++) {
        for (int64_t next = 0; next < t->channels; next += n) {
            const int64_t c = next < t->channels - n ? next : t->channels - n;
            const float *d[16];
            for (int64_t e = 0; e < side * side; e++) {
                const int64_t row = t->row[e / side], column = t->first + side * i + e % side;
                const bool zero = row < 0 || column < 0 || column >= t->width;
                d[e] = zero ? zeros : t->x + row + column * t->x_point + c;
            }
            if (side == 4)
                dy_tile(n, d, t->v + i * t->v_tile + c, t->v_frequency, 4);
            else
                dy_tile(n, d, t->v + i * t->v_tile + c, t->v_frequency, 2);
        }
    }
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
