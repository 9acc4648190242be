/* cross_entropy_check.c - problems of the loss and its gradient: rows, n; weight: with class
 * weights; smooth: label smoothing in per cent; bad: some labels outside [0, n).
 */
#include <math.h>

#include "kernels/check.h"

struct problem {
    int64_t rows, n;
    float smoothing;
    struct operand x, label, weight;
    bool weighted;
    double terms;
};

static struct problem read_problem(struct check *c)
{
    struct problem p = {.rows = sunup__check_number(c, "rows", 1),
                        .n = sunup__check_number(c, "n", 1)};
    const int64_t bad = sunup__check_number(c, "bad", 0);
    p.smoothing = (float)sunup__check_number(c, "smooth", 0) / 100.0F;
    p.weighted = sunup__check_number(c, "weight", 0) != 0;
    p.x = sunup__check_in(c, "x", p.rows * p.n, FILL_ANY);
    p.label = sunup__check_ints(c, "label", p.rows, -bad, p.n + bad);
    p.weight = sunup__check_in(c, "weight", p.n, FILL_POSITIVE);
    p.terms = (double)(p.n < 40 ? p.n : 40) + 12;
    return p;
}

/* q_j, as in cross_entropy_ref.c */
static double target(const struct problem *p, int64_t i, int64_t j)
{
    const double w = p->weighted ? p->weight.f64[j] : 1, s = (double)p->smoothing;
    return (s != 0 ? s / (double)p->n * w : 0) + (p->label.i32[i] == j ? (1 - s) * w : 0);
}

/* 1 + |x - max| at its largest, which bounds the condition of exp and of log-probabilities. */
static double condition(const struct problem *p, int64_t i)
{
    const double *x = p->x.f64 + i * p->n;
    double low = INFINITY, high = -INFINITY;
    for (int64_t j = 0; j < p->n; j++) {
        if (isfinite(x[j]) && x[j] < low) low = x[j];
        if (isfinite(x[j]) && x[j] > high) high = x[j];
    }
    return 1 + log((double)p->n) + (high > low ? high - low : 0);
}

static void run(struct check *c)
{
    const struct problem p = read_problem(c);
    const struct operand loss = sunup__check_out(c, "loss", p.rows, FILL_ANY);
    const struct operand scale = sunup__check_out(c, "scale", p.rows, FILL_ANY);
    sunup__check_cost(c, 10.0 * (double)(p.rows * p.n), 4.0 * (double)(p.rows * p.n));
    CHECK_RUN(c)
    {
        c->f32->cross_entropy(p.rows, p.n, p.x.f32, p.label.i32, p.weighted ? p.weight.f32 : NULL,
                              p.smoothing, loss.f32, scale.f32);
    }
    if (!sunup__check_wanted(c)) return;
    c->f64->cross_entropy(p.rows, p.n, p.x.f64, p.label.i32, p.weighted ? p.weight.f64 : NULL,
                          (double)p.smoothing, loss.f64, scale.f64);
    double *size = sunup__check_scratch(c, p.rows);
    for (int64_t i = 0; i < p.rows; i++) {
        for (int64_t j = 0; j < p.n; j++) size[i] += target(&p, i, j) * condition(&p, i);
    }
    sunup__check_close(c, &loss, size, p.terms);
    sunup__check_close(c, &scale, NULL, 0);
}

static void run_grad(struct check *c)
{
    const struct problem p = read_problem(c);
    const float factor = 0.125F;
    const struct operand dx = sunup__check_out(c, "dx", p.rows * p.n, FILL_ANY);
    sunup__check_cost(c, 10.0 * (double)(p.rows * p.n), 8.0 * (double)(p.rows * p.n));
    CHECK_RUN(c)
    {
        c->f32->cross_entropy_grad(p.rows, p.n, p.x.f32, p.label.i32,
                                   p.weighted ? p.weight.f32 : NULL, p.smoothing, factor, dx.f32);
    }
    if (!sunup__check_wanted(c)) return;
    c->f64->cross_entropy_grad(p.rows, p.n, p.x.f64, p.label.i32, p.weighted ? p.weight.f64 : NULL,
                               (double)p.smoothing, (double)factor, dx.f64);
    double *size = sunup__check_scratch(c, p.rows * p.n);
    for (int64_t i = 0; i < p.rows; i++) {
        for (int64_t j = 0; j < p.n; j++) {
            const double q = (double)factor * target(&p, i, j);
            size[i * p.n + j] = (fabs(dx.f64[i * p.n + j] + q) + q) * condition(&p, i);
        }
    }
    sunup__check_close(c, &dx, size, p.terms);
}

static const char *const problems[] = {"rows0n5",
                                       "rows1n1",
                                       "rows3n0,bad2",
                                       "rows64n10",
                                       "rows7n10weight",
                                       "rows7n10smooth10",
                                       "rows5n17weight,smooth30",
                                       "rows9n3bad2",
                                       "rows9n33bad5weight,smooth10",
                                       "rows2n1003smooth5",
                                       NULL};
const struct leaf_check sunup__check_cross_entropy = {"cross_entropy", problems, run};
const struct leaf_check sunup__check_cross_entropy_grad = {"cross_entropy_grad", problems,
                                                           run_grad};
