/* pointwise.c - every pointwise code as one vector loop without branches; formulas in the order of
 * pointwise.def.
 *
 * y may be one of the operands: each element is read before it is written, which `omp simd` tells
 * the compiler. The functions and their accuracy are in math.h; all else rounds as pointwise_ref.c
 * does.
 */
#include "kernels/simd/math.h"
#include "kernels/simd/rows.h"

typedef void map_fn(int64_t n, float *y, const float *const x[3], float i, float j);

#define MAP1(name, formula)                                                                        \
    static void map_##name(int64_t n, float *y, const float *const x[3], float i, float j)         \
    {                                                                                              \
        const float *const xa = x[0];                                                              \
        (void)i, (void)j;                                                                          \
        _Pragma("omp simd") for (int64_t e = 0; e < n; e++)                                        \
        {                                                                                          \
            const float a = xa[e];                                                                 \
            y[e] = formula;                                                                        \
        }                                                                                          \
    }
#define MAP2(name, formula)                                                                        \
    static void map_##name(int64_t n, float *y, const float *const x[3], float i, float j)         \
    {                                                                                              \
        const float *const xa = x[0], *const xb = x[1];                                            \
        (void)i, (void)j;                                                                          \
        _Pragma("omp simd") for (int64_t e = 0; e < n; e++)                                        \
        {                                                                                          \
            const float a = xa[e], b = xb[e];                                                      \
            y[e] = formula;                                                                        \
        }                                                                                          \
    }

static inline float clamp(float a, float low, float high)
{
    a = a < low ? low : a;
    return a > high ? high : a;
}

static inline float log1p_exp(float a) /* log(1 + exp(-|a|)) */
{
    return fast_log1p_unit(fast_exp_negative(-fabsf(a)));
}

MAP1(copy, a)
MAP2(add, a + b)
MAP2(sub, a - b)
MAP2(mul, (a * b))
MAP2(div, a / b)
MAP1(neg, -a)
MAP1(exp, fast_exp(a))
MAP1(log, fast_log(a))
MAP1(sqrt, sqrtf(a))
MAP1(square, (a * a))
MAP1(abs, fabsf(a))
MAP1(sign, (a > 0 ? 1.0F : 0.0F) - (a < 0 ? 1.0F : 0.0F))
MAP1(affine, (i * a + j))
MAP1(clamp, clamp(a, i, j))
MAP2(clamp_grad, ((a >= i) & (a <= j)) ? b : 0.0F)
MAP1(relu, a < 0 ? 0.0F : a)
MAP1(leaky_relu, a > 0 ? a : i * a)
MAP2(leaky_relu_grad, a > 0 ? b : i * b)
MAP1(elu, a > 0 ? a : i * fast_expm1_negative(a))
MAP2(elu_grad, a > 0 ? b : b * i * fast_exp(a))
MAP1(gelu, (a * (0.5F + normal_share(a))))
MAP2(gelu_grad, (b * (0.5F + normal_share_slope(a))))
MAP1(sigmoid, fast_sigmoid(a))
MAP2(sigmoid_grad, (b * a * (1.0F - a)))
MAP1(tanh, fast_tanh(a))
MAP2(tanh_grad, (b * (1.0F - a * a)))
MAP1(softplus, (a > 0 ? a : 0.0F) + log1p_exp(a))
MAP2(softplus_grad, (b * fast_sigmoid(a)))
MAP2(lt, a < b ? 1.0F : 0.0F)
MAP2(le, a <= b ? 1.0F : 0.0F)
MAP2(gt, a > b ? 1.0F : 0.0F)
MAP2(ge, a >= b ? 1.0F : 0.0F)
MAP2(eq, a == b ? 1.0F : 0.0F)
MAP2(ne, a != b ? 1.0F : 0.0F)
MAP2(bce, (a > 0 ? a : 0.0F) - a * b + log1p_exp(a))
MAP2(sqrt_grad, b / (2.0F * a))
MAP1(floor, floorf(a))
MAP1(erf, (2.0F * normal_share(a * 1.41421356F)))
MAP2(atan2, fast_atan2(a, b))
MAP2(minimum, ((a < b) | (a != a)) ? a : b)
MAP2(maximum, ((a > b) | (a != a)) ? a : b)

/* In vectors of our own: the compiler's would load b by a mask that waits for a (vec_whole). */
static void map_relu_grad(int64_t n, float *y, const float *const x[3], float low, float high)
{
    const float *const a = x[0], *const b = x[1];
    (void)low, (void)high;
    ALONG(n, const vec dy = vec_whole(vec_load_part(b + j, left));
          vec_store_part(y + j, vec_where_positive(vec_load_part(a + j, left), dy), left););
}

static void map_fma(int64_t n, float *y, const float *const x[3], float i, float j)
{
    const float *const a = x[0], *const b = x[1], *const c = x[2];
    (void)i, (void)j;
#pragma omp simd
    for (int64_t e = 0; e < n; e++) y[e] = FMA(a[e], b[e], c[e]);
}

static void map_where(int64_t n, float *y, const float *const x[3], float i, float j)
{
    const float *const a = x[0], *const b = x[1], *const c = x[2];
    (void)i, (void)j;
#pragma omp simd
    for (int64_t e = 0; e < n; e++) y[e] = a[e] != 0 ? b[e] : c[e];
}

/* Arguments too large for fast_sine (and Inf, NaN) go to the math library one by one, so that an
 * element's bits do not depend on its neighbours. x is a copy, since y may overwrite it. */
static void sine(int64_t n, float *y, const float *from, uint32_t quarters)
{
    enum { BLOCK = 256 };
    float x[BLOCK];
    for (int64_t at = 0; at < n; at += BLOCK) {
        const int64_t m = n - at < BLOCK ? n - at : BLOCK;
        int large = 0;
#pragma omp simd reduction(| : large)
        for (int64_t e = 0; e < m; e++) {
            x[e] = from[at + e];
            large |= !(fabsf(x[e]) <= SINE_RANGE);
        }
#pragma omp simd
        for (int64_t e = 0; e < m; e++) y[at + e] = fast_sine(x[e], quarters);
        for (int64_t e = 0; e < m && large; e++) {
            if (!(fabsf(x[e]) <= SINE_RANGE)) y[at + e] = quarters ? cosf(x[e]) : sinf(x[e]);
        }
    }
}

static void map_sin(int64_t n, float *y, const float *const x[3], float i, float j)
{
    (void)i, (void)j;
    sine(n, y, x[0], 0);
}

static void map_cos(int64_t n, float *y, const float *const x[3], float i, float j)
{
    (void)i, (void)j;
    sine(n, y, x[0], 1);
}

/* The math library, one by one: networks of the sciences take powers of few numbers, if of any. */
static void map_pow(int64_t n, float *y, const float *const x[3], float i, float j)
{
    (void)i, (void)j;
    for (int64_t e = 0; e < n; e++) y[e] = powf(x[0][e], x[1][e]);
}

static float slow_mod(float a, float b)
{
    const float r = fmodf(a, b);
    if (r == 0) return copysignf(r, b);
    return (r < 0) != (b < 0) ? r + b : r;
}

/* In double a - floor(a / b) b is exact as long as the whole number is: what is left goes to the math
 * library, as for sine. */
static void map_mod(int64_t n, float *y, const float *const x[3], float i, float j)
{
    enum { BLOCK = 256 };
    float a[BLOCK], b[BLOCK];
    (void)i, (void)j;
    for (int64_t at = 0; at < n; at += BLOCK) {
        const int64_t m = n - at < BLOCK ? n - at : BLOCK;
        int large = 0;
#pragma omp simd reduction(| : large)
        for (int64_t e = 0; e < m; e++) {
            a[e] = x[0][at + e];
            b[e] = x[1][at + e];
            large |= !fast_mod_reaches(a[e], b[e]);
        }
#pragma omp simd
        for (int64_t e = 0; e < m; e++) y[at + e] = fast_mod(a[e], b[e]);
        for (int64_t e = 0; e < m && large; e++)
            if (!fast_mod_reaches(a[e], b[e])) y[at + e] = slow_mod(a[e], b[e]);
    }
}

static map_fn *const maps[] = {
#define POINTWISE(name, operands, immediates) map_##name,
#include "kernels/pointwise.def"
#undef POINTWISE
};

static void pointwise(int op, int64_t n, float *y, const float *a, const float *b, const float *c,
                      const double *imm)
{
    const float *const x[3] = {a, b, c};
    maps[op](n, y, x, imm ? (float)imm[0] : 0.0F, imm ? (float)imm[1] : 0.0F);
}

void FILL(pointwise)(struct kernels *k)
{
    k->f32.pointwise = pointwise;
}
