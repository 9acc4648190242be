/* norm_check.c - problems of norm and its gradient: rows, n; affine: with gamma and beta; stream:
 * past the caches.
 *
 * Condition: x - mean loses what is small against the row's largest |x| (call it A), so a rounding
 * of x is one of A rstd in the result, and as much in rstd itself.
 */
#include <math.h>

#include "kernels/check.h"

struct shape {
    int64_t rows, n;
    bool affine, stream;
    double terms;
};

static struct shape read_shape(struct check *c)
{
    const int64_t n = sunup__check_number(c, "n", 1);
    return (struct shape){sunup__check_number(c, "rows", 1), n,
                          sunup__check_number(c, "affine", 0) != 0,
                          sunup__check_number(c, "stream", 0) != 0, (double)(n < 40 ? n : 40) + 8};
}

static double largest(int64_t n, const double *x)
{
    double a = 0;
    for (int64_t j = 0; j < n; j++) a = fabs(x[j]) > a ? fabs(x[j]) : a;
    return a;
}

static void compare_norm(struct check *c, const struct shape *s, const struct operand o[6])
{
    const struct operand x = o[0], gamma = o[1], beta = o[2], y = o[3], mean = o[4], rstd = o[5];
    double *y_size = sunup__check_scratch(c, y.n), *mean_size = sunup__check_scratch(c, s->rows);
    double *rstd_size = sunup__check_scratch(c, s->rows);
    for (int64_t i = 0; i < s->rows; i++) {
        const double a = largest(s->n, x.f64 + i * s->n), r = rstd.f64[i];
        mean_size[i] = a;
        rstd_size[i] = r * (1 + 2 * a * r);
        for (int64_t j = 0; j < s->n; j++) {
            const double g = s->affine ? fabs(gamma.f64[j]) : 1,
                         b = s->affine ? fabs(beta.f64[j]) : 0;
            y_size[i * s->n + j] = 2 * a * r * (1 + 2 * a * r) * g + b;
        }
    }
    sunup__check_close(c, &mean, mean_size, s->terms);
    sunup__check_close(c, &rstd, rstd_size, s->terms);
    sunup__check_close(c, &y, y_size, s->terms);
}

static void run_norm(struct check *c)
{
    const struct shape s = read_shape(c);
    const struct operand x = sunup__check_in(c, "x", s.rows * s.n, FILL_ANY);
    const struct operand gamma = sunup__check_in(c, "gamma", s.n, FILL_ANY);
    const struct operand beta = sunup__check_in(c, "beta", s.n, FILL_ANY);
    const struct operand y = sunup__check_out(c, "y", s.rows * s.n, FILL_ANY);
    const struct operand mean = sunup__check_out(c, "mean", s.rows, FILL_ANY);
    const struct operand rstd = sunup__check_out(c, "rstd", s.rows, FILL_ANY);
    const float eps = 0x1p-17F;
    sunup__check_cost(c, 8.0 * (double)x.n, 8.0 * (double)x.n);
    CHECK_RUN(c)
    {
        c->f32->norm(s.rows, s.n, x.f32, s.affine ? gamma.f32 : NULL, s.affine ? beta.f32 : NULL,
                     eps, s.stream, y.f32, mean.f32, rstd.f32);
    }
    if (!sunup__check_wanted(c)) return;
    c->f64->norm(s.rows, s.n, x.f64, s.affine ? gamma.f64 : NULL, s.affine ? beta.f64 : NULL,
                 (double)eps, s.stream, y.f64, mean.f64, rstd.f64);
    compare_norm(c, &s, (const struct operand[6]){x, gamma, beta, y, mean, rstd});
}

/* All of norm_grad's operands but the shape. */
struct grad {
    struct operand x, gamma, mean, rstd, dy, dx, dgamma, dbeta;
};

/* |x - mean| rstd, before cancellation; 2^-24 of 2^-125 is the rounding of a denormal one */
static double hat(const struct grad *g, int64_t i, int64_t at)
{
    return (fabs(g->x.f64[at]) + fabs(g->mean.f64[i])) * g->rstd.f64[i] + 0x1p-125;
}

static void dx_size(const struct shape *s, const struct grad *g, int64_t i, double *size)
{
    const double *dy = g->dy.f64 + i * s->n;
    double sum = 0, dot = 0;
    for (int64_t j = 0; j < s->n; j++) {
        const double v = fabs(dy[j]) * (s->affine ? fabs(g->gamma.f64[j]) : 1);
        sum += v / (double)s->n;
        dot += v * hat(g, i, i * s->n + j) / (double)s->n;
    }
    for (int64_t j = 0; j < s->n; j++) {
        const double v = fabs(dy[j]) * (s->affine ? fabs(g->gamma.f64[j]) : 1);
        size[i * s->n + j] = g->rstd.f64[i] * (v + sum + hat(g, i, i * s->n + j) * dot);
    }
}

static void compare_grad(struct check *c, const struct shape *s, const struct grad *g,
                         double *dgamma_size, double *dbeta_size)
{
    double *size = sunup__check_scratch(c, g->dx.n);
    for (int64_t i = 0; i < s->rows; i++) {
        dx_size(s, g, i, size);
        for (int64_t j = 0; j < s->n; j++) {
            dgamma_size[j] += fabs(g->dy.f64[i * s->n + j]) * hat(g, i, i * s->n + j);
            dbeta_size[j] += fabs(g->dy.f64[i * s->n + j]);
        }
    }
    const double terms = (double)s->rows / 8 + 12; /* groups of eight rows */
    sunup__check_close(c, &g->dx, size, s->terms);
    sunup__check_close(c, &g->dgamma, dgamma_size, terms);
    sunup__check_close(c, &g->dbeta, dbeta_size, terms);
}

static void run_norm_grad(struct check *c)
{
    const struct shape s = read_shape(c);
    const int64_t all = s.rows * s.n;
    const struct grad g = {sunup__check_in(c, "x", all, FILL_ANY),
                           sunup__check_in(c, "gamma", s.n, FILL_ANY),
                           sunup__check_in(c, "mean", s.rows, FILL_ANY),
                           sunup__check_in(c, "rstd", s.rows, FILL_POSITIVE),
                           sunup__check_in(c, "dy", all, FILL_ANY),
                           sunup__check_out(c, "dx", all, FILL_ANY),
                           sunup__check_out(c, "dgamma", s.n, FILL_ANY),
                           sunup__check_out(c, "dbeta", s.n, FILL_ANY)};
    double *dgamma_size = sunup__check_absolute(c, &g.dgamma),
           *dbeta_size = sunup__check_absolute(c, &g.dbeta);
    sunup__check_cost(c, 15.0 * (double)all, 12.0 * (double)all);
    CHECK_RUN(c)
    {
        c->f32->norm_grad(s.rows, s.n, g.x.f32, s.affine ? g.gamma.f32 : NULL, g.mean.f32,
                          g.rstd.f32, g.dy.f32, s.stream, g.dx.f32, s.affine ? g.dgamma.f32 : NULL,
                          s.affine ? g.dbeta.f32 : NULL);
    }
    if (!sunup__check_wanted(c)) return;
    c->f64->norm_grad(s.rows, s.n, g.x.f64, s.affine ? g.gamma.f64 : NULL, g.mean.f64, g.rstd.f64,
                      g.dy.f64, s.stream, g.dx.f64, s.affine ? g.dgamma.f64 : NULL,
                      s.affine ? g.dbeta.f64 : NULL);
    compare_grad(c, &s, &g, dgamma_size, dbeta_size);
}

static const char *const problems[] = {"rows0n5",
                                       "rows1n1",
                                       "rows3n10affine",
                                       "rows9n33",
                                       "rows17n64affine",
                                       "rows3n255affine",
                                       "rows2n257",
                                       "rows5n256affine,stream",
                                       "rows3n2503affine",
                                       "rows19n64affine,stream",
                                       "rows3n1040stream",
                                       "rows5n33stream",
                                       NULL};
const struct leaf_check sunup__check_norm = {"norm", problems, run_norm};
const struct leaf_check sunup__check_norm_grad = {"norm_grad", problems, run_norm_grad};
