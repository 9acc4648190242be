/* math.h - exp, log, tanh, sin, cos ... of a float without branch or table, so that a loop over them
 * vectorises.
 *
 * Owes the whole range: denormals, overflow to Inf, underflow to 0, NaN. Largest errors in units
 * of the last place of the result, over the whole range, asserted by pointwise_test.c:
 *
 *   exp 0.9   log 0.8   tanh 2.5   sigmoid 2.1   expm1 (elu) 1.0   log1p (softplus) 2.1
 *   sin, cos 1.6   erf 5.2   atan2 2.5
 *
 * gelu and its slope need the normal distribution to an absolute error only, for which one quotient
 * of polynomials does (10 + 10 terms): 2.9 and 5.1 times 2^-24, within what pointwise_check.c asks.
 *
 * Cost of 16 numbers in 512-bit vectors: about 14 instructions for exp, 20 for gelu, its slope and
 * tanh, a division among them. So all but log and softplus, on one core, run at the speed of memory.
 *
 * Coefficients by polynomials.py; argument reductions after Cody and Waite (1980). Rounding to
 * integers adds and takes off 1.5 * 2^23, whose low bits then hold the integer.
 */
#ifndef SUNUP_KERNELS_SIMD_MATH_H
#define SUNUP_KERNELS_SIMD_MATH_H

#include <float.h>
#include <math.h>
#include <string.h>

#include "kernels/simd/vec.h"

static inline uint32_t float_bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline float bits_float(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

#define ROUND_SHIFT 0x1.8p23F
#define LOG2_E      0x1.715476p+0F
#define LN2_HIGH    0x1.62e400p-1F /* 15 bits: its product with an exponent is exact */
#define LN2_LOW     0x1.7f7d1cp-20F

static inline float power_of_2(int32_t n) /* -126 <= n <= 127 */
{
    return bits_float((uint32_t)(n + 127) << 23);
}

/* (exp(r) - 1 - r) / r^2 for |r| <= ln 2 / 2 */
static inline float exp_tail(float r)
{
    float p = 0x1.6bebcep-10F;
    p = FMA(p, r, 0x1.1228e6p-7F);
    p = FMA(p, r, 0x1.555676p-5F);
    p = FMA(p, r, 0x1.5554aep-3F);
    return FMA(p, r, 0x1.fffffep-2F);
}

/* exp(x) = 2^k (1 + r + r^2 tail(r)) */
struct exp_parts {
    float r, tail;
    int32_t k;
};

static inline struct exp_parts exp_reduce(float x)
{
    const float shifted = FMA(x, LOG2_E, ROUND_SHIFT), n = shifted - ROUND_SHIFT;
    const float r = FMA(n, -LN2_LOW, FMA(n, -LN2_HIGH, x));
    return (struct exp_parts){r, exp_tail(r),
                              (int32_t)(float_bits(shifted) - float_bits(ROUND_SHIFT))};
}

/* A result below 2^-126 costs an Intel core some 150 cycles of microcode, also one that then rounds
 * to 0: so what is 0 anyway is not computed. */
#define EXP_LEAST -104.0F /* 0 from -103.98 on */

static inline float fast_exp_negative(float x) /* x <= 0 */
{
    const bool lost = x < EXP_LEAST;
    const struct exp_parts e = exp_reduce(lost ? 0.0F : x);
    const int32_t half = e.k >> 1;
    const float y = FMA(FMA(e.tail, e.r, 1.0F), e.r, 1.0F) * power_of_2(half);
    return lost ? 0.0F : y * power_of_2(e.k - half);
}

static inline float fast_exp(float x)
{
    return fast_exp_negative(x > 89.0F ? 89.0F : x); /* Inf from 88.73 on */
}

/* x = exp(x), with fast_exp's bits, of n vectors (EXP_STEP at most) of elements below 89. One is a
 * chain of some 50 cycles, and a processor's queue of what waits holds a few chains only: so four in
 * step are done sooner than four in a row (attention's weights by 12 %, their gradient by 9, on
 * Zen 5). */
enum { EXP_STEP = 4 };

INLINE void vec_exps_negative(int n, vec x[])
{
    const vec shift = vec_set(ROUND_SHIFT), one = vec_set(1.0F);
    vec k[EXP_STEP], r[EXP_STEP], p[EXP_STEP];
    for (int v = 0; v < n; v++) k[v] = vec_fma(x[v], vec_set(LOG2_E), shift);
    for (int v = 0; v < n; v++) k[v] -= shift;
    for (int v = 0; v < n; v++) r[v] = vec_fma(k[v], vec_set(-LN2_HIGH), x[v]);
    for (int v = 0; v < n; v++) r[v] = vec_fma(k[v], vec_set(-LN2_LOW), r[v]);
    for (int v = 0; v < n; v++)
        p[v] = vec_fma(vec_set(0x1.6bebcep-10F), r[v], vec_set(0x1.1228e6p-7F));
    for (int v = 0; v < n; v++) p[v] = vec_fma(p[v], r[v], vec_set(0x1.555676p-5F));
    for (int v = 0; v < n; v++) p[v] = vec_fma(p[v], r[v], vec_set(0x1.5554aep-3F));
    for (int v = 0; v < n; v++) p[v] = vec_fma(p[v], r[v], vec_set(0x1.fffffep-2F));
    for (int v = 0; v < n; v++) p[v] = vec_fma(p[v], r[v], one);
    for (int v = 0; v < n; v++) p[v] = vec_fma(p[v], r[v], one);
    for (int v = 0; v < n; v++) x[v] = vec_scale_from(p[v], k[v], x[v], EXP_LEAST);
}

INLINE vec vec_exp_negative(vec x)
{
    vec_exps_negative(1, &x);
    return x;
}

INLINE vec vec_exp(vec x)
{
    return vec_exp_negative(vec_min(vec_set(89.0F), x)); /* NaN stays */
}

static inline float fast_expm1_negative(float x) /* x <= 0 */
{
    x = x < -30.0F ? -30.0F : x;
    const struct exp_parts e = exp_reduce(x);
    const float s = power_of_2(e.k);
    return FMA(s, FMA(e.tail * e.r, e.r, e.r), s - 1.0F);
}

/* log((1 + f) 2^k), 1 + f from [sqrt(1/2), sqrt(2)) */
static inline float log_sum(float f, float k)
{
    const float f2 = f * f;
    float p = 0x1.1457a2p-4F;
    p = FMA(p, f, -0x1.de3c14p-4F);
    p = FMA(p, f, 0x1.e6f06cp-4F);
    p = FMA(p, f, -0x1.fc2208p-4F);
    p = FMA(p, f, 0x1.233768p-3F);
    p = FMA(p, f, -0x1.555c4ep-3F);
    p = FMA(p, f, 0x1.99a4b6p-3F);
    p = FMA(p, f, -0x1.000006p-2F);
    p = FMA(p, f, 0x1.555548p-2F);
    const float tail = FMA(k, LN2_LOW, FMA(p, f * f2, -0.5F * f2));
    return FMA(k, LN2_HIGH, f + tail);
}

#define ROOT_HALF 0x3f3504f3U /* sqrt(1/2) */

/* log(x) for normal x > 0, exponent e more than x has */
static inline float log_normal(float x, int32_t e)
{
    const uint32_t u = float_bits(x) - ROOT_HALF;
    const float k = (float)(((int32_t)u >> 23) + e);
    return log_sum(bits_float((u & 0x7fffffU) + ROOT_HALF) - 1.0F, k);
}

/* log((a + 1/2) 2^-32): from sqrt(1/2) on by what is missing to 1, which is exact. */
static inline float fast_log_word(uint32_t a)
{
    const bool near = a >= 0xb504f334U;
    const uint32_t u = float_bits(near ? 1.0F : ((float)a + 0.5F) * 0x1p-32F) - ROOT_HALF;
    const float f = bits_float((u & 0x7fffffU) + ROOT_HALF) - 1.0F;
    const float missing = ((float)~a + 0.5F) * -0x1p-32F;
    return log_sum(near ? missing : f, near ? 0.0F : (float)((int32_t)u >> 23));
}

static inline float fast_log(float x)
{
    const bool tiny = x < FLT_MIN;
    const float y = log_normal(tiny ? x * 0x1p23F : x, tiny ? -23 : 0);
    const float edge = x == 0 ? -INFINITY : x > 0 ? x : NAN;
    return x > 0 && x <= FLT_MAX ? y : edge;
}

static inline float fast_log1p_unit(float y) /* 0 <= y <= 1 */
{
    const float least = 0x1p-30F, x = y < least ? least : y; /* below, it is y; see EXP_LEAST */
    float p = -0x1.b2f55ep-9F;
    p = FMA(p, x, 0x1.4b081ep-6F);
    p = FMA(p, x, -0x1.d8630ep-5F);
    p = FMA(p, x, 0x1.b579b8p-4F);
    p = FMA(p, x, -0x1.3a7a7ep-3F);
    p = FMA(p, x, 0x1.935c9ep-3F);
    p = FMA(p, x, -0x1.ff26e0p-3F);
    p = FMA(p, x, 0x1.554df0p-2F);
    p = FMA(p, x, -0x1.ffffd2p-2F);
    return y < least ? y : FMA(p * x, x, x);
}

static inline float fast_tanh(float x)
{
    const float e = fast_expm1_negative(-2.0F * fabsf(x));
    return copysignf(e / (2.0F + e), x);
}

static inline float fast_sigmoid(float x)
{
    const float e = fast_exp_negative(-fabsf(x));
    return (x >= 0 ? 1.0F : e) / (1.0F + e);
}

/* Odd functions that have reached 1/2 where x is cut off: there the quotient is exactly that. */
static inline float cut(float x, float most)
{
    x = x > most ? most : x;
    return x < -most ? -most : x;
}

/* The normal distribution's share between 0 and x. */
static inline float normal_share(float x)
{
    const float t = cut(x, 5.5F), s = t * t;
    float p = 0x1.86d4aap-26F, q = 0x1.4173dap-20F;
    p = FMA(p, s, 0x1.aa48bap-18F);
    q = FMA(q, s, 0x1.34e6ccp-14F);
    p = FMA(p, s, 0x1.620e2ep-13F);
    q = FMA(q, s, 0x1.edff5ep-10F);
    p = FMA(p, s, 0x1.328786p-8F);
    q = FMA(q, s, 0x1.d555c0p-6F);
    p = FMA(p, s, 0x1.15525ep-5F);
    q = FMA(q, s, 0x1.018f08p-2F);
    p = FMA(p, s, 0x1.988450p-2F);
    return t * p / FMA(q, s, 1.0F);
}

/* d (x normal_share(x)) / dx */
static inline float normal_share_slope(float x)
{
    const float t = cut(x, 0x1.7ff5dep+2F), s = t * t;
    float p = 0x1.99ec44p-23F, q = 0x1.2a36e6p-17F;
    p = FMA(p, s, 0x1.2cbc8ep-15F);
    q = FMA(q, s, 0x1.95d738p-13F);
    p = FMA(p, s, 0x1.95be3cp-16F);
    q = FMA(q, s, 0x1.ce85a4p-9F);
    p = FMA(p, s, 0x1.d19b32p-7F);
    q = FMA(q, s, 0x1.5066eap-5F);
    p = FMA(p, s, -0x1.f7b35ep-6F);
    q = FMA(q, s, 0x1.2de18ap-2F);
    p = FMA(p, s, 0x1.988452p-1F);
    return t * p / FMA(q, s, 1.0F);
}

/* sin(r + q pi/2), |r| <= pi/4 */
static inline float sine_of(float r, uint32_t q)
{
    const float s = r * r;
    float a = -0x1.993f6ep-13F, b = 0x1.99e78ap-16F;
    a = FMA(a, s, 0x1.11072ep-7F);
    b = FMA(b, s, -0x1.6c0c26p-10F);
    a = FMA(a, s, -0x1.555546p-3F);
    b = FMA(b, s, 0x1.55554ap-5F);
    a = FMA(a, s * r, r);
    b = FMA(b, s * s, FMA(s, -0.5F, 1.0F));
    return bits_float(float_bits(q & 1 ? b : a) ^ ((q & 2) << 30));
}

/* sin(x + quarters pi/2) for |x| <= SINE_RANGE; the reduction is in double, which is good for far
 * more. */
#define SINE_RANGE 0x1p30F
static inline float fast_sine(float x, uint32_t quarters)
{
    const double shift = 0x1.8p52, d = (double)x;
    const double shifted = __builtin_fma(d, 0x1.45f306dc9c883p-1, shift), n = shifted - shift;
    const double reduced =
        __builtin_fma(n, -0x1.1a62633145c07p-54, __builtin_fma(n, -0x1.921fb54442d18p+0, d));
    uint64_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    return sine_of((float)reduced, (uint32_t)bits + quarters);
}

/* Angle of the point (x, y): that of the smaller coordinate over the larger, t, whose error the
 * quotient and 8 terms make; then turned into its octant, pi in two parts. */
static inline float fast_atan2(float y, float x)
{
    const float a = fabsf(x), b = fabsf(y);
    const float low = a < b ? a : b, high = a < b ? b : a;
    const float quotient = low == high ? 1.0F : low / high; /* of two infinities: 1 */
    const float t = high == 0 ? 0.0F : quotient, s = t * t;
    float p = 0x1.7ed228p-9F;
    p = FMA(p, s, -0x1.0c2c10p-6F);
    p = FMA(p, s, 0x1.61fdd6p-5F);
    p = FMA(p, s, -0x1.3556b4p-4F);
    p = FMA(p, s, 0x1.b4e12ap-4F);
    p = FMA(p, s, -0x1.230adcp-3F);
    p = FMA(p, s, 0x1.9978f4p-3F);
    p = FMA(p, s, -0x1.5554dcp-2F);
    float r = FMA(p, t * s, t);
    r = b > a ? (0x1.921fb6p+0F - r) + -0x1.777a5cp-25F : r;
    r = float_bits(x) >> 31 ? (0x1.921fb6p+1F - r) + -0x1.777a5cp-24F : r;
    return ((x != x) | (y != y)) ? NAN : copysignf(r, y);
}

static inline bool fast_mod_reaches(float a, float b)
{
    return (fabs((double)a / (double)b) < 0x1p50) & (fabsf(b) <= FLT_MAX);
}

/* A quotient that was rounded up to a whole number is the only one whose floor is wrong. */
static inline float fast_mod(float a, float b)
{
    const double d = (double)b, q = floor((double)a / d);
    double r = __builtin_fma(-q, d, (double)a);
    r = (r < 0) != (b < 0) && r != 0 ? r + d : r;
    return copysignf((float)r, b);
}

#endif
