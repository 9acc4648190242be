/* channel_check.c - problems of the batch-norm passes: rows, c; inplace: the output is an input,
 * as leaves.def allows; masked, plus, scaled: with the operands that may be NULL; relu; leaky: with a slope of 1/8;
 * stream: past the caches. */
#include <math.h>

#include "kernels/check.h"

struct shape {
    int64_t rows, c, all;
    bool inplace;
    double terms; /* of a sum down a column: partial sums in float, then double */
};

static struct shape read_shape(struct check *c, double operands)
{
    const int64_t rows = sunup__check_number(c, "rows", 1),
                  channels = sunup__check_number(c, "c", 1);
    const double all = (double)(rows * channels);
    sunup__check_cost(c, 2 * operands * all, 4 * operands * all);
    return (struct shape){rows, channels, rows * channels, false,
                          (double)(rows < 80 ? rows : 80) + 5};
}

static void run_moments(struct check *c)
{
    const struct shape s = read_shape(c, 1);
    const struct operand x = sunup__check_in(c, "x", s.all, FILL_ANY);
    const struct operand pivot = sunup__check_in(c, "pivot", s.c, FILL_ANY);
    const struct operand sum = sunup__check_out(c, "sum", s.c, FILL_ANY);
    const struct operand square = sunup__check_out(c, "square", s.c, FILL_ANY);
    double *sum_size = sunup__check_absolute(c, &sum),
           *square_size = sunup__check_absolute(c, &square);
    CHECK_RUN(c) c->f32->channel_moments(s.rows, s.c, x.f32, pivot.f32, sum.f32, square.f32);
    if (!sunup__check_wanted(c)) return;
    c->f64->channel_moments(s.rows, s.c, x.f64, pivot.f64, sum.f64, square.f64);
    for (int64_t i = 0; i < s.all; i++) {
        const double d = x.f64[i] - pivot.f64[i % s.c];
        sum_size[i % s.c] += fabs(d);
        square_size[i % s.c] += d * d;
    }
    sunup__check_close(c, &sum, sum_size, s.terms);
    sunup__check_close(c, &square, square_size, s.terms);
}

/* otherwise: where neither relu nor leaky is asked for. */
static double read_slope(struct check *c, double otherwise)
{
    if (sunup__check_number(c, "leaky", 0) != 0) return 0.125;
    return sunup__check_number(c, "relu", 0) != 0 ? 0 : otherwise;
}

static void run_affine(struct check *c)
{
    struct shape s = read_shape(c, 2);
    s.inplace = sunup__check_number(c, "inplace", 0) != 0;
    const double slope = read_slope(c, 1);
    const bool stream = sunup__check_number(c, "stream", 0) != 0;
    const bool plus = sunup__check_number(c, "plus", 0) != 0, /* r, as it is or scaled */
        scaled = sunup__check_number(c, "scaled", 0) != 0;
    const struct operand x = s.inplace ? sunup__check_out(c, "x", s.all, FILL_ANY)
                                       : sunup__check_in(c, "x", s.all, FILL_ANY);
    const struct operand scale = sunup__check_in(c, "scale", s.c, FILL_ANY);
    const struct operand shift = sunup__check_in(c, "shift", s.c, FILL_ANY);
    const struct operand r = sunup__check_in(c, "r", s.all, FILL_ANY);
    const struct operand r_scale = sunup__check_in(c, "r_scale", s.c, FILL_ANY);
    const struct operand r_shift = sunup__check_in(c, "r_shift", s.c, FILL_ANY);
    const struct operand y = s.inplace ? x : sunup__check_out(c, "y", s.all, FILL_ANY);
    double *size = sunup__check_absolute(c, &x);
    for (int64_t i = 0; i < s.all && size; i++) {
        const int64_t j = i % s.c;
        size[i] = size[i] * fabs(scale.f64[j]) + fabs(shift.f64[j]);
        if (plus && !scaled) size[i] += fabs(r.f64[i]);
        if (scaled) size[i] += fabs(r.f64[i] * r_scale.f64[j]) + fabs(r_shift.f64[j]);
    }
    CHECK_RUN(c)
    c->f32->channel_affine(s.rows, s.c, x.f32, scale.f32, shift.f32, plus || scaled ? r.f32 : NULL,
                           scaled ? r_scale.f32 : NULL, scaled ? r_shift.f32 : NULL, (float)slope,
                           stream, y.f32);
    if (!sunup__check_wanted(c)) return;
    c->f64->channel_affine(s.rows, s.c, x.f64, scale.f64, shift.f64, plus || scaled ? r.f64 : NULL,
                           scaled ? r_scale.f64 : NULL, scaled ? r_shift.f64 : NULL, slope, stream,
                           y.f64);
    sunup__check_close(c, &y, size, 4);
}

/* The mask scale x + shift > 0, which must not hang on a rounding: x alone decides, if any. */
struct mask {
    bool there;
    struct operand scale, shift;
    double slope;
};
static struct mask read_mask(struct check *c, int64_t channels)
{
    const struct mask m = {sunup__check_number(c, "masked", 0) != 0,
                           sunup__check_in(c, "scale", channels, FILL_POSITIVE),
                           sunup__check_in(c, "shift", channels, FILL_ANY), read_slope(c, 0)};
    for (int64_t j = 0; j < channels && m.shift.f32; j++) {
        m.shift.f32[j] = 0;
        m.shift.f64[j] = 0;
    }
    return m;
}

static void run_grad_sums(struct check *c)
{
    const struct shape s = read_shape(c, 2);
    const struct operand x = sunup__check_in(c, "x", s.all, FILL_ANY),
                         dy = sunup__check_in(c, "dy", s.all, FILL_ANY);
    const struct mask m = read_mask(c, s.c);
    const struct operand mean = sunup__check_in(c, "mean", s.c, FILL_ANY);
    const struct operand rstd = sunup__check_in(c, "rstd", s.c, FILL_POSITIVE);
    const struct operand sum = sunup__check_out(c, "sum", s.c, FILL_ANY);
    const struct operand dot = sunup__check_out(c, "dot", s.c, FILL_ANY);
    double *sum_size = sunup__check_absolute(c, &sum), *dot_size = sunup__check_absolute(c, &dot);
    CHECK_RUN(c)
    c->f32->channel_grad_sums(s.rows, s.c, x.f32, dy.f32, m.there ? m.scale.f32 : NULL,
                              m.there ? m.shift.f32 : NULL, (float)m.slope, mean.f32, rstd.f32,
                              sum.f32, dot.f32);
    if (!sunup__check_wanted(c)) return;
    c->f64->channel_grad_sums(s.rows, s.c, x.f64, dy.f64, m.there ? m.scale.f64 : NULL,
                              m.there ? m.shift.f64 : NULL, m.slope, mean.f64, rstd.f64, sum.f64,
                              dot.f64);
    for (int64_t i = 0; i < s.all; i++) {
        const int64_t j = i % s.c;
        sum_size[j] += fabs(dy.f64[i]);
        dot_size[j] += fabs(dy.f64[i] * (x.f64[i] - mean.f64[j])) * rstd.f64[j];
    }
    sunup__check_close(c, &sum, sum_size, s.terms);
    sunup__check_close(c, &dot, dot_size, s.terms);
}

static void run_grad(struct check *c)
{
    struct shape s = read_shape(c, 3);
    const bool stream = sunup__check_number(c, "stream", 0) != 0;
    s.inplace = sunup__check_number(c, "inplace", 0) != 0;
    const struct operand x = sunup__check_in(c, "x", s.all, FILL_ANY);
    const struct operand dy = s.inplace ? sunup__check_out(c, "dy", s.all, FILL_ANY)
                                        : sunup__check_in(c, "dy", s.all, FILL_ANY);
    const struct mask m = read_mask(c, s.c);
    const struct operand a = sunup__check_in(c, "a", s.c, FILL_ANY),
                         b = sunup__check_in(c, "b", s.c, FILL_ANY);
    const struct operand d = sunup__check_in(c, "d", s.c, FILL_ANY);
    const struct operand dx = s.inplace ? dy : sunup__check_out(c, "dx", s.all, FILL_ANY);
    double *size = sunup__check_absolute(c, &dy);
    for (int64_t i = 0; i < s.all && size; i++) {
        const int64_t j = i % s.c;
        size[i] = size[i] * fabs(a.f64[j]) + fabs(b.f64[j] * x.f64[i]) + fabs(d.f64[j]);
    }
    CHECK_RUN(c)
    c->f32->channel_grad(s.rows, s.c, x.f32, dy.f32, m.there ? m.scale.f32 : NULL,
                         m.there ? m.shift.f32 : NULL, (float)m.slope, a.f32, b.f32, d.f32, stream,
                         dx.f32);
    if (!sunup__check_wanted(c)) return;
    c->f64->channel_grad(s.rows, s.c, x.f64, dy.f64, m.there ? m.scale.f64 : NULL,
                         m.there ? m.shift.f64 : NULL, m.slope, a.f64, b.f64, d.f64, stream,
                         dx.f64);
    sunup__check_close(c, &dx, size, 4);
}

/* Few channels (rows are joined), odd ones, wide ones (cut into tiles), and rows beyond one chunk
 * of partial sums. */
#define PROBLEMS                                                                                   \
    "rows0c5", "rows5c0", "rows1c1", "rows3c1", "rows1003c1", "rows77c6", "rows9001c6",            \
        "rows100c16", "rows513c7", "rows65c33", "rows9c100", "rows4099c64", "rows19c513",          \
        "rows33c1100", "rows5c512"
#define IN_PLACE "rows77c6inplace", "rows19c513inplace"
#define MASKED                                                                                     \
    "rows77c6masked", "rows1003c1masked", "rows65c33masked", "rows33c1100masked",                  \
        "rows77c6masked,leaky", "rows19c513masked,leaky"
static const char *const moments[] = {PROBLEMS, NULL};
static const char *const affine[] = {PROBLEMS,
                                     IN_PLACE,
                                     "rows77c6relu",
                                     "rows77c6leaky",
                                     "rows77c6plus",
                                     "rows65c33plus,relu",
                                     "rows1003c1scaled",
                                     "rows77c6stream",
                                     "rows100c16plus,stream",
                                     "rows5c512scaled,relu,stream",
                                     "rows100c64stream",
                                     "rows33c1100scaled,relu",
                                     "rows100c16scaled,leaky,stream",
                                     "rows65c33plus,leaky,inplace",
                                     "rows19c513plus,relu,inplace",
                                     NULL};
static const char *const sums[] = {PROBLEMS, MASKED, NULL};
static const char *const grads[] = {PROBLEMS,
                                    IN_PLACE,
                                    MASKED,
                                    "rows77c6masked,inplace",
                                    "rows100c16masked,stream",
                                    "rows100c16masked,leaky,stream",
                                    "rows77c6stream",
                                    "rows5c512stream",
                                    NULL};
const struct leaf_check sunup__check_channel_moments = {"channel_moments", moments, run_moments};
const struct leaf_check sunup__check_channel_affine = {"channel_affine", affine, run_affine};
const struct leaf_check sunup__check_channel_grad_sums = {"channel_grad_sums", sums, run_grad_sums};
const struct leaf_check sunup__check_channel_grad = {"channel_grad", grads, run_grad};
