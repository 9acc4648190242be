/* math.h - exp, log, tanh, erf, sin, cos ... of a float without branch or table, so that a loop
 * over them vectorises.
 *
 * Owes the whole range: denormals, overflow to Inf, underflow to 0, NaN. Largest errors in units
 * of the last place of the result, over the whole range, asserted by pointwise_test.c:
 *
 *   exp 1.1   log 0.9   tanh 1.4   sigmoid 2.2   expm1 (elu) 1.0   log1p (softplus) 1.9
 *   sin, cos 1.6; erf enters gelu, whose error is at most 8 * 2^-24 |a| (pointwise_check.c)
 *
 * Coefficients by polynomials.py; argument reductions after Cody and Waite (1980). Rounding to
 * integers adds and takes off 1.5 * 2^23, whose low bits then hold the integer.
 */
#ifndef SUNUP_KERNELS_SIMD_MATH_H
#define SUNUP_KERNELS_SIMD_MATH_H

#include <float.h>
#include <math.h>
#include <string.h>

#include "kernels/simd/simd.h"

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

/* exp(r) - 1 for |r| <= ln 2 / 2 */
static inline float expm1_reduced(float r)
{
    float p = 0x1.6bebcep-10F;
    p = FMA(p, r, 0x1.1228e6p-7F);
    p = FMA(p, r, 0x1.555676p-5F);
    p = FMA(p, r, 0x1.5554aep-3F);
    p = FMA(p, r, 0x1.fffffep-2F);
    return FMA(p, r * r, r);
}

static inline float fast_exp(float x)
{
    x = x > 89.0F ? 89.0F : x; /* Inf from 88.73 on, 0 up to -103.98 */
    x = x < -104.0F ? -104.0F : x;
    const float shifted = FMA(x, LOG2_E, ROUND_SHIFT), n = shifted - ROUND_SHIFT;
    const float r = FMA(n, -LN2_LOW, FMA(n, -LN2_HIGH, x));
    const int32_t k = (int32_t)(float_bits(shifted) - float_bits(ROUND_SHIFT)), half = k >> 1;
    return (expm1_reduced(r) + 1.0F) * power_of_2(half) * power_of_2(k - half);
}

static inline float fast_expm1_negative(float x) /* x <= 0 */
{
    x = x < -30.0F ? -30.0F : x;
    const float shifted = FMA(x, LOG2_E, ROUND_SHIFT), n = shifted - ROUND_SHIFT;
    const float r = FMA(n, -LN2_LOW, FMA(n, -LN2_HIGH, x));
    const float s = power_of_2((int32_t)(float_bits(shifted) - float_bits(ROUND_SHIFT)));
    return FMA(s, expm1_reduced(r), s - 1.0F);
}

/* log(x) for normal x > 0, exponent e more than x has */
static inline float log_normal(float x, int32_t e)
{
    const uint32_t low =
        0x3f3504f3U; /* sqrt(1/2): the significand is taken from [sqrt(1/2), sqrt(2)) */
    const uint32_t u = float_bits(x) - low;
    const float k = (float)(((int32_t)u >> 23) + e);
    const float f = bits_float((u & 0x7fffffU) + low) - 1.0F, f2 = f * f;
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

static inline float fast_log(float x)
{
    const bool tiny = x < FLT_MIN;
    const float y = log_normal(tiny ? x * 0x1p23F : x, tiny ? -23 : 0);
    const float edge = x == 0 ? -INFINITY : x > 0 ? x : NAN;
    return x > 0 && x <= FLT_MAX ? y : edge;
}

static inline float fast_log1p_unit(float x) /* 0 <= x <= 1 */
{
    const float u = 1.0F + x;
    return log_normal(u, 0) +
           (x - (u - 1.0F)) / u; /* what rounding u lost, put back to first order */
}

static inline float fast_tanh(float x)
{
    const float a = fabsf(x), s = x * x;
    float p = -0x1.75e1cep-8F;
    p = FMA(p, s, 0x1.52269cp-6F);
    p = FMA(p, s, -0x1.b83c5ap-5F);
    p = FMA(p, s, 0x1.110726p-3F);
    p = FMA(p, s, -0x1.555532p-2F);
    const float small = FMA(p, s * x, x);
    const float large = copysignf(1.0F - 2.0F / (fast_exp(2.0F * a) + 1.0F), x);
    return a < 0.625F ? small : large;
}

static inline float fast_sigmoid(float x)
{
    const float e = fast_exp(-fabsf(x));
    return (x >= 0 ? 1.0F : e) / (1.0F + e);
}

static inline float fast_erf(float x)
{
    const float a = fabsf(x), s = x * x, t = a > 4.0F ? 4.0F : a; /* 1 from 3.92 on */
    float p = 0x1.496a92p-14F;
    p = FMA(p, s, -0x1.a3f728p-11F);
    p = FMA(p, s, 0x1.5405b8p-8F);
    p = FMA(p, s, -0x1.b7f90ep-6F);
    p = FMA(p, s, 0x1.ce2cf8p-4F);
    p = FMA(p, s, -0x1.81273ep-2F);
    p = FMA(p, s, 0x1.06eba8p-3F);
    float q = 0x1.da3f64p-17F;
    q = FMA(q, t, -0x1.717206p-12F);
    q = FMA(q, t, 0x1.ed70d2p-9F);
    q = FMA(q, t, -0x1.89a23cp-6F);
    q = FMA(q, t, 0x1.b46cd2p-4F);
    q = FMA(q, t, 0x1.451942p-1F);
    q = FMA(q, t, 0x1.20f24cp+0F);
    const float large = copysignf(1.0F - fast_exp(-t * q), x);
    return a < 1.0F ? FMA(p, x, x) : large;
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
    const uint32_t q = (uint32_t)bits + quarters;
    const float r = (float)reduced, s = r * r;
    float a = -0x1.993f6ep-13F, b = 0x1.99e78ap-16F;
    a = FMA(a, s, 0x1.11072ep-7F);
    b = FMA(b, s, -0x1.6c0c26p-10F);
    a = FMA(a, s, -0x1.555546p-3F);
    b = FMA(b, s, 0x1.55554ap-5F);
    a = FMA(a, s * r, r);
    b = FMA(b, s * s, FMA(s, -0.5F, 1.0F));
    return bits_float(float_bits(q & 1 ? b : a) ^ ((q & 2) << 30));
}

#endif
