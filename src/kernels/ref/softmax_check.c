/* softmax_check.c - problems of softmax and its relatives: rows, n; scale multiplies x; stream: dx
 * goes past the caches.
 *
 * x - max is rounded before it is exponentiated, so the condition of each exponential is 1 + |x -
 * max|, at most 1 + `spread` in a row.
 */
#include <math.h>

#include "kernels/check.h"

struct shape {
    int64_t rows, n, all;
    double terms; /* of a sum along a row, and a function or two */
};

static struct shape read_shape(struct check *c, int operands)
{
    const int64_t rows = sunup__check_number(c, "rows", 1), n = sunup__check_number(c, "n", 1);
    sunup__check_cost(c, 10.0 * (double)(rows * n), 4.0 * (double)(rows * n * operands));
    return (struct shape){rows, n, rows * n, (double)(n < 40 ? n : 40) + 10};
}

static struct operand logits(struct check *c, const struct shape *s)
{
    const struct operand x = sunup__check_in(c, "x", s->all, FILL_ANY);
    const float scale = (float)sunup__check_number(c, "scale", 1);
    for (int64_t i = 0; i < s->all && x.f32; i++) {
        x.f32[i] *= scale;
        x.f64[i] = (double)x.f32[i];
    }
    return x;
}

/* Largest distance from the maximum among the finite numbers of a row. */
static double spread(int64_t n, const double *x)
{
    double low = INFINITY, high = -INFINITY;
    for (int64_t j = 0; j < n; j++) {
        if (isfinite(x[j]) && x[j] < low) low = x[j];
        if (isfinite(x[j]) && x[j] > high) high = x[j];
    }
    return high > low ? high - low : 0;
}

static void run_softmax(struct check *c)
{
    const struct shape s = read_shape(c, 2);
    const struct operand x = logits(c, &s), y = sunup__check_out(c, "y", s.all, FILL_ANY);
    CHECK_RUN(c) c->f32->softmax(s.rows, s.n, x.f32, y.f32);
    if (!sunup__check_wanted(c)) return;
    c->f64->softmax(s.rows, s.n, x.f64, y.f64);
    double *size = sunup__check_scratch(c, s.all);
    for (int64_t i = 0; i < s.all; i++) {
        size[i] = y.f64[i] * (1 + spread(s.n, x.f64 + i / s.n * s.n));
    }
    sunup__check_close(c, &y, size, s.terms);
}

static void run_log_softmax(struct check *c)
{
    const struct shape s = read_shape(c, 2);
    const struct operand x = logits(c, &s), y = sunup__check_out(c, "y", s.all, FILL_ANY);
    CHECK_RUN(c) c->f32->log_softmax(s.rows, s.n, x.f32, y.f32);
    if (!sunup__check_wanted(c)) return;
    c->f64->log_softmax(s.rows, s.n, x.f64, y.f64);
    double *size = sunup__check_scratch(c, s.all);
    for (int64_t i = 0; i < s.all; i++) {
        size[i] = fabs(y.f64[i]) + 1 + log((double)s.n) + 2 * spread(s.n, x.f64 + i / s.n * s.n);
    }
    sunup__check_close(c, &y, size, s.terms);
}

/* dx of softmax: |y| (|dy| + sum |y dy|), of its logarithm: |dy| + exp(y) sum |dy|. */
static void grad_size(const struct shape *s, const double *y, const double *dy, bool logarithm,
                      double *size)
{
    for (int64_t i = 0; i < s->all; i++) {
        double sum = 0;
        for (int64_t j = i / s->n * s->n; j < (i / s->n + 1) * s->n; j++) {
            sum += fabs(logarithm ? dy[j] : y[j] * dy[j]);
        }
        size[i] = logarithm ? fabs(dy[i]) + exp(y[i]) * sum : fabs(y[i]) * (fabs(dy[i]) + sum);
    }
}

static void run_grad(struct check *c, bool logarithm)
{
    const struct shape s = read_shape(c, 3);
    const struct operand y = sunup__check_in(c, "y", s.all, logarithm ? FILL_ANY : FILL_UNIT);
    const struct operand dy = sunup__check_in(c, "dy", s.all, FILL_ANY);
    const struct operand dx = sunup__check_out(c, "dx", s.all, FILL_ANY);
    const bool stream = !logarithm && sunup__check_number(c, "stream", 0) != 0;
    CHECK_RUN(c)
    {
        if (logarithm)
            c->f32->log_softmax_grad(s.rows, s.n, y.f32, dy.f32, dx.f32);
        else
            c->f32->softmax_grad(s.rows, s.n, y.f32, dy.f32, stream, dx.f32);
    }
    if (!sunup__check_wanted(c)) return;
    if (logarithm)
        c->f64->log_softmax_grad(s.rows, s.n, y.f64, dy.f64, dx.f64);
    else
        c->f64->softmax_grad(s.rows, s.n, y.f64, dy.f64, stream, dx.f64);
    double *size = sunup__check_scratch(c, s.all);
    grad_size(&s, y.f64, dy.f64, logarithm, size);
    sunup__check_close(c, &dx, size, s.terms);
}

static void run_softmax_grad(struct check *c)
{
    run_grad(c, false);
}

static void run_log_softmax_grad(struct check *c)
{
    run_grad(c, true);
}

static const char *const problems[] = {
    "rows0n5",  "rows5n0",         "rows3n1",   "rows7n10",           "rows5n10,scale30",
    "rows3n17", "rows2n32,scale5", "rows2n257", "rows1n2503,scale20", "rows3n512", "rows2n513", NULL};
static const char *const log_grad_problems[] = {"rows0n5",  "rows5n0",   "rows3n1",    "rows7n10",
                                                "rows3n17", "rows2n257", "rows1n2503", NULL};
static const char *const grad_problems[] = {
    "rows0n5",           "rows5n0",         "rows3n1",    "rows7n10",
    "rows3n17",          "rows2n257",       "rows1n2503", "rows37n64,stream",
    "rows3n1040,stream", "rows5n17,stream", NULL};
const struct leaf_check sunup__check_softmax = {"softmax", problems, run_softmax};
const struct leaf_check sunup__check_log_softmax = {"log_softmax", problems, run_log_softmax};
const struct leaf_check sunup__check_softmax_grad = {"softmax_grad", grad_problems,
                                                     run_softmax_grad};
const struct leaf_check sunup__check_log_softmax_grad = {"log_softmax_grad", log_grad_problems,
                                                         run_log_softmax_grad};
