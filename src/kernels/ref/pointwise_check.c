/* pointwise_check.c - problems of the pointwise leaf: "exp,n1003,scale100". scale multiplies the
 * operands, so that functions are tried where they saturate; inplace: y is a.
 *
 * The bound's size is what the formula adds up (its condition), and terms the roundings of the
 * best known code for it plus the accuracy of its functions as pointwise_test.c asserts it: 2
 * roundings to one unit of the last place.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/check.h"

static const double imm[2] = {-0.5, 0.75}; /* floats both, so that f32 and f64 mean the same */

#define DENORMAL                                                                                   \
    0x1p-125 /* 2^-24 of this is a rounding of the smallest numbers, before b multiplies it */

static const char *const names[] = {
#define POINTWISE(name, operands, immediates) #name,
#include "kernels/pointwise.def"
#undef POINTWISE
};
static const int operands_of[] = {
#define POINTWISE(name, operands, immediates) operands,
#include "kernels/pointwise.def"
#undef POINTWISE
};

static double density(double a)
{
    return 0.3989422804014327 * exp(-0.5 * a * a);
}

/* Roundings on the way; 0: the result is exact. */
static double terms(int op)
{
    static const signed char of[PW_COUNT] = {[PW_add] = 1,        [PW_sub] = 1,
                                             [PW_mul] = 1,        [PW_div] = 1,
                                             [PW_sqrt] = 1,       [PW_square] = 1,
                                             [PW_leaky_relu] = 1, [PW_leaky_relu_grad] = 1,
                                             [PW_affine] = 2,     [PW_fma] = 2,
                                             [PW_sqrt_grad] = 2,  [PW_exp] = 3,
                                             [PW_log] = 3,        [PW_sin] = 4,
                                             [PW_cos] = 4,        [PW_sigmoid_grad] = 3,
                                             [PW_tanh_grad] = 3,  [PW_elu] = 5,
                                             [PW_tanh] = 5,       [PW_elu_grad] = 5,
                                             [PW_sigmoid] = 6,    [PW_softplus_grad] = 6,
                                             [PW_gelu] = 8,       [PW_gelu_grad] = 8,
                                             [PW_softplus] = 8,   [PW_bce] = 8,
                                             [PW_mod] = 1,        [PW_pow] = 3,
                                             [PW_atan2] = 5,      [PW_erf] = 8};
    return of[op];
}

static double size(int op, double a, double b, double want)
{
    switch ((enum pointwise)op) {
    case PW_affine:
        return fabs(imm[0] * a) + fabs(imm[1]);
    case PW_fma:
        return 2 * fabs(a * b) + fabs(want);
    case PW_gelu:
        return fabs(a);
    case PW_gelu_grad:
        return fabs(b) * (1 + fabs(a) * (1 + a * a) * density(a));
    case PW_sigmoid_grad:
        return fabs(b * a) * (1 + fabs(a));
    case PW_tanh_grad:
        return fabs(b) * (1 + a * a);
    case PW_bce:
        return fabs(a) + fabs(a * b) + 1;
    case PW_elu_grad:
    case PW_softplus_grad:
        return fabs(want) + fabs(b) * DENORMAL;
    default:
        return fabs(want);
    }
}

/* Functions of a that are 0 in float where they are not in double: times Inf, NaN and Inf would
 * both be right. */
static enum fill fill_of_b(int op)
{
    return op == PW_elu_grad || op == PW_softplus_grad || op == PW_gelu_grad ? FILL_FINITE
                                                                             : FILL_ANY;
}

/* A name that ends in a digit reads as its letters and a number. */
static int read_op(struct check *c)
{
    int op = -1;
    for (int i = 0; i < PW_COUNT; i++) {
        char key[32];
        snprintf(key, sizeof key, "%.*s", (int)strcspn(names[i], "0123456789"), names[i]);
        if (sunup__check_number(c, key, 0) != 0) op = i;
    }
    if (op < 0) sunup__check_fail(c, "the problem names no code of pointwise.def");
    return op < 0 ? 0 : op;
}

static void scale(struct check *c, const struct operand *x)
{
    const float factor = (float)sunup__check_number(c, "scale", 1);
    for (int64_t i = 0; i < x->n && x->f32; i++) {
        x->f32[i] *= factor;
        x->f64[i] = (double)x->f32[i];
    }
}

static void run(struct check *c)
{
    const int op = read_op(c), operands = operands_of[op];
    const int64_t n = sunup__check_number(c, "n", 1);
    const bool inplace = sunup__check_number(c, "inplace", 0) != 0;
    const struct operand a =
        inplace ? sunup__check_out(c, "a", n, FILL_ANY) : sunup__check_in(c, "a", n, FILL_ANY);
    const struct operand b = sunup__check_in(c, "b", n, fill_of_b(op));
    const struct operand other = sunup__check_in(c, "c", n, FILL_ANY);
    const struct operand y = inplace ? a : sunup__check_out(c, "y", n, FILL_ANY);
    scale(c, &a);
    scale(c, &b);
    scale(c, &other);
    double *bound = sunup__check_absolute(c, &a);
    for (int64_t i = 0; i < n && bound; i++) bound[i] = a.f64[i];
    const bool two = operands > 1, three = operands > 2;
    sunup__check_cost(c, (double)n, 4.0 * (double)(n * (operands + 1)));
    CHECK_RUN(c)
    {
        c->f32->pointwise(op, n, y.f32, a.f32, two ? b.f32 : NULL, three ? other.f32 : NULL, imm);
    }
    if (!sunup__check_wanted(c)) return;
    c->f64->pointwise(op, n, y.f64, a.f64, two ? b.f64 : NULL, three ? other.f64 : NULL, imm);
    for (int64_t i = 0; i < n; i++) bound[i] = size(op, bound[i], b.f64[i], y.f64[i]);
    sunup__check_close(c, &y, bound, terms(op));
}

static const char *const problems[] = {"add,n0",
                                       "add,n1",
                                       "copy,n64,inplace",
                                       "sin,n1003,scale10000000000",
                                       "cos,n1003,scale10000000000",
#define POINTWISE(name, operands, immediates)                                                      \
#name ",n17,inplace", #name ",n1003", #name ",n1003,scale20", #name ",n1003,scale200",
#include "kernels/pointwise.def"
#undef POINTWISE
                                       NULL};
const struct leaf_check sunup__check_pointwise = {"pointwise", problems, run};
