/* channel_check.c - problems of the batch-norm passes: rows, c; inplace: the output is an input,
 * as leaves.def allows. */
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

static void run_sum(struct check *c)
{
    const struct shape s = read_shape(c, 1);
    const struct operand x = sunup__check_in(c, "x", s.all, FILL_ANY),
                         y = sunup__check_out(c, "sum", s.c, FILL_ANY);
    double *size = sunup__check_absolute(c, &y);
    CHECK_RUN(c) c->f32->channel_sum(s.rows, s.c, x.f32, y.f32);
    if (!sunup__check_wanted(c)) return;
    c->f64->channel_sum(s.rows, s.c, x.f64, y.f64);
    c->f64->channel_sum(s.rows, s.c, sunup__check_absolute(c, &x), size);
    sunup__check_close(c, &y, size, s.terms);
}

static void run_square(struct check *c)
{
    const struct shape s = read_shape(c, 1);
    const struct operand x = sunup__check_in(c, "x", s.all, FILL_ANY);
    const struct operand mean = sunup__check_in(c, "mean", s.c, FILL_ANY);
    const struct operand y = sunup__check_out(c, "square", s.c, FILL_ANY);
    double *size = sunup__check_absolute(c, &y);
    CHECK_RUN(c) c->f32->channel_square(s.rows, s.c, x.f32, mean.f32, y.f32);
    if (!sunup__check_wanted(c)) return;
    c->f64->channel_square(s.rows, s.c, x.f64, mean.f64, y.f64);
    c->f64->channel_square(s.rows, s.c, x.f64, mean.f64, size); /* all terms are positive */
    sunup__check_close(c, &y, size, s.terms);
}

static void run_affine(struct check *c)
{
    struct shape s = read_shape(c, 2);
    s.inplace = sunup__check_number(c, "inplace", 0) != 0;
    const struct operand x = s.inplace ? sunup__check_out(c, "x", s.all, FILL_ANY)
                                       : sunup__check_in(c, "x", s.all, FILL_ANY);
    const struct operand scale = sunup__check_in(c, "scale", s.c, FILL_ANY);
    const struct operand shift = sunup__check_in(c, "shift", s.c, FILL_ANY);
    const struct operand y = s.inplace ? x : sunup__check_out(c, "y", s.all, FILL_ANY);
    double *size = sunup__check_absolute(c, &x);
    for (int64_t i = 0; i < s.all && size; i++) {
        size[i] = size[i] * fabs(scale.f64[i % s.c]) + fabs(shift.f64[i % s.c]);
    }
    CHECK_RUN(c) c->f32->channel_affine(s.rows, s.c, x.f32, scale.f32, shift.f32, y.f32);
    if (!sunup__check_wanted(c)) return;
    c->f64->channel_affine(s.rows, s.c, x.f64, scale.f64, shift.f64, y.f64);
    sunup__check_close(c, &y, size, 2);
}

static void run_grad_sums(struct check *c)
{
    const struct shape s = read_shape(c, 2);
    const struct operand x = sunup__check_in(c, "x", s.all, FILL_ANY),
                         dy = sunup__check_in(c, "dy", s.all, FILL_ANY);
    const struct operand mean = sunup__check_in(c, "mean", s.c, FILL_ANY);
    const struct operand rstd = sunup__check_in(c, "rstd", s.c, FILL_POSITIVE);
    const struct operand sum = sunup__check_out(c, "sum", s.c, FILL_ANY);
    const struct operand dot = sunup__check_out(c, "dot", s.c, FILL_ANY);
    double *sum_size = sunup__check_absolute(c, &sum), *dot_size = sunup__check_absolute(c, &dot);
    CHECK_RUN(c)
    c->f32->channel_grad_sums(s.rows, s.c, x.f32, dy.f32, mean.f32, rstd.f32, sum.f32, dot.f32);
    if (!sunup__check_wanted(c)) return;
    c->f64->channel_grad_sums(s.rows, s.c, x.f64, dy.f64, mean.f64, rstd.f64, sum.f64, dot.f64);
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
    s.inplace = sunup__check_number(c, "inplace", 0) != 0;
    const struct operand x = sunup__check_in(c, "x", s.all, FILL_ANY);
    const struct operand dy = s.inplace ? sunup__check_out(c, "dy", s.all, FILL_ANY)
                                        : sunup__check_in(c, "dy", s.all, FILL_ANY);
    const struct operand a = sunup__check_in(c, "a", s.c, FILL_ANY),
                         b = sunup__check_in(c, "b", s.c, FILL_ANY);
    const struct operand d = sunup__check_in(c, "d", s.c, FILL_ANY);
    const struct operand dx = s.inplace ? dy : sunup__check_out(c, "dx", s.all, FILL_ANY);
    double *size = sunup__check_absolute(c, &dy);
    for (int64_t i = 0; i < s.all && size; i++) {
        const int64_t j = i % s.c;
        size[i] = size[i] * fabs(a.f64[j]) + fabs(b.f64[j] * x.f64[i]) + fabs(d.f64[j]);
    }
    CHECK_RUN(c) c->f32->channel_grad(s.rows, s.c, x.f32, dy.f32, a.f32, b.f32, d.f32, dx.f32);
    if (!sunup__check_wanted(c)) return;
    c->f64->channel_grad(s.rows, s.c, x.f64, dy.f64, a.f64, b.f64, d.f64, dx.f64);
    sunup__check_close(c, &dx, size, 4);
}

/* Few channels (rows are joined), odd ones, wide ones (cut into tiles), and rows beyond one chunk
 * of partial sums. */
#define PROBLEMS                                                                                   \
    "rows0c5", "rows5c0", "rows1c1", "rows3c1", "rows1003c1", "rows77c6", "rows9001c6",            \
        "rows100c16", "rows513c7", "rows65c33", "rows9c100", "rows4099c64", "rows19c513",          \
        "rows33c1100", "rows5c512"
static const char *const sums[] = {PROBLEMS, NULL};
static const char *const maps[] = {PROBLEMS, "rows77c6inplace", "rows19c513inplace", NULL};
const struct leaf_check sunup__check_channel_sum = {"channel_sum", sums, run_sum};
const struct leaf_check sunup__check_channel_square = {"channel_square", sums, run_square};
const struct leaf_check sunup__check_channel_affine = {"channel_affine", maps, run_affine};
const struct leaf_check sunup__check_channel_grad_sums = {"channel_grad_sums", sums, run_grad_sums};
const struct leaf_check sunup__check_channel_grad = {"channel_grad", maps, run_grad};
