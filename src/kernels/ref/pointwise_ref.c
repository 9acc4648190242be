/* pointwise_ref.c - the meaning of every pointwise code, one line each; formulas as in
 * pointwise.def.
 *
 * Owes: values that are right over the whole range of REAL (no overflow on the way to a finite
 * result, no cancellation that a better formula avoids). NaN in gives NaN out, except where a
 * comparison decides.
 */
#include "kernels/ref/real.h"

static REAL sigmoid(REAL a)
{
    const REAL e = EXP(-ABS(a)); /* in (0, 1]: cannot overflow */
    return (a >= 0 ? RC(1) : e) / (1 + e);
}

static REAL log1p_exp(REAL a) /* log(1 + exp(-|a|)) */
{
    return LOG1P(EXP(-ABS(a)));
}

static REAL normal_cdf(REAL a)
{
    return RC(0.5) * (1 + ERF(a * RC(0.70710678118654752440)));
}

static REAL normal_pdf(REAL a)
{
    return RC(0.39894228040143267794) * EXP(RC(-0.5) * a * a);
}

static REAL clamp(REAL a, REAL low, REAL high)
{
    a = a < low ? low : a;
    return a > high ? high : a;
}

static REAL mod(REAL a, REAL b)
{
    const REAL r = FMOD(a, b);
    if (r == 0) return COPYSIGN(r, b);
    return (r < 0) != (b < 0) ? r + b : r;
}

/* One line a code, in the order of pointwise.def. */
/* clang-format off */
static REAL apply(int op, const REAL x[3], REAL i, REAL j)
{
    const REAL a = x[0], b = x[1], c = x[2];
    switch ((enum pointwise)op) {
    case PW_copy: return a;
    case PW_add: return a + b;
    case PW_sub: return a - b;
    case PW_mul: return a * b;
    case PW_div: return a / b;
    case PW_fma: return a * b + c;
    case PW_neg: return -a;
    case PW_exp: return EXP(a);
    case PW_log: return LOG(a);
    case PW_sqrt: return SQRT(a);
    case PW_square: return a * a;
    case PW_abs: return ABS(a);
    case PW_sign: return RC((a > 0) - (a < 0));
    case PW_sin: return SIN(a);
    case PW_cos: return COS(a);
    case PW_affine: return i * a + j;
    case PW_clamp: return clamp(a, i, j);
    case PW_clamp_grad: return a >= i && a <= j ? b : 0;
    case PW_relu: return a < 0 ? 0 : a;
    case PW_relu_grad: return a > 0 ? b : 0;
    case PW_leaky_relu: return a > 0 ? a : i * a;
    case PW_leaky_relu_grad: return a > 0 ? b : i * b;
    case PW_elu: return a > 0 ? a : i * EXPM1(a);
    case PW_elu_grad: return a > 0 ? b : b * i * EXP(a);
    case PW_gelu: return a * normal_cdf(a);
    case PW_gelu_grad: return b * (normal_cdf(a) + (ABS(a) < 64 ? a * normal_pdf(a) : 0));
    case PW_sigmoid: return sigmoid(a);
    case PW_sigmoid_grad: return b * a * (1 - a);
    case PW_tanh: return TANH(a);
    case PW_tanh_grad: return b * (1 - a * a);
    case PW_softplus: return (a > 0 ? a : 0) + log1p_exp(a);
    case PW_softplus_grad: return b * sigmoid(a);
    case PW_lt: return a < b;
    case PW_le: return a <= b;
    case PW_gt: return a > b;
    case PW_ge: return a >= b;
    case PW_eq: return a == b;
    case PW_ne: return a != b;
    case PW_where: return a != 0 ? b : c;
    case PW_bce: return (a > 0 ? a : 0) - a * b + log1p_exp(a);
    case PW_sqrt_grad: return b / (2 * a);
    case PW_floor: return FLOOR(a);
    case PW_erf: return ERF(a);
    case PW_atan2: return ATAN2(a, b);
    case PW_mod: return mod(a, b);
    case PW_minimum: return a < b || a != a ? a : b;
    case PW_maximum: return a > b || a != a ? a : b;
    case PW_pow: return POW(a, b);
    case PW_COUNT: break;
    }
    return RC(NAN);
}
/* clang-format on */

void NAME(ref_pointwise)(int op, int64_t n, REAL *y, const REAL *a, const REAL *b, const REAL *c,
                         const double *imm)
{
    const REAL i = imm ? RC(imm[0]) : 0, j = imm ? RC(imm[1]) : 0;
    for (int64_t e = 0; e < n; e++) {
        const REAL x[3] = {a[e], b ? b[e] : 0, c ? c[e] : 0};
        y[e] = apply(op, x, i, j);
    }
}
