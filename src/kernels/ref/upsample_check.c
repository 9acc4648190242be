/* upsample_check.c - problems of upsample, upsample_grad and weighted_rows: "n7f2c3,linear". */
#include "kernels/check.h"

struct problem {
    bool linear;
    int64_t n, f, c;
};

static struct problem read(struct check *c)
{
    return (struct problem){sunup__check_number(c, "linear", 0) != 0,
                            sunup__check_number(c, "n", 1), sunup__check_number(c, "f", 2),
                            sunup__check_number(c, "c", 1)};
}

static void run(struct check *c)
{
    const struct problem p = read(c);
    const struct operand x = sunup__check_in(c, "x", p.n * p.c, FILL_ANY),
                         y = sunup__check_out(c, "y", p.n * p.f * p.c, FILL_ANY);
    double *size = sunup__check_scratch(c, y.n);
    sunup__check_cost(c, p.linear ? 3.0 * (double)y.n : 0, 4.0 * (double)(x.n + y.n));
    CHECK_RUN(c) c->f32->upsample(p.linear, p.n, p.f, p.c, x.f32, y.f32);
    if (!sunup__check_wanted(c)) return;
    c->f64->upsample(p.linear, p.n, p.f, p.c, x.f64, y.f64);
    c->f64->upsample(p.linear, p.n, p.f, p.c, sunup__check_absolute(c, &x), size);
    sunup__check_close(c, &y, size, p.linear ? 4 : 0);
}

static void run_grad(struct check *c)
{
    const struct problem p = read(c);
    const struct operand dy = sunup__check_in(c, "dy", p.n * p.f * p.c, FILL_ANY),
                         dx = sunup__check_out(c, "dx", p.n * p.c, FILL_ANY);
    double *size = sunup__check_scratch(c, dx.n);
    sunup__check_cost(c, (p.linear ? 4.0 : 1.0) * (double)dy.n, 4.0 * (double)(dx.n + dy.n));
    CHECK_RUN(c) c->f32->upsample_grad(p.linear, p.n, p.f, p.c, dy.f32, dx.f32);
    if (!sunup__check_wanted(c)) return;
    c->f64->upsample_grad(p.linear, p.n, p.f, p.c, dy.f64, dx.f64);
    c->f64->upsample_grad(p.linear, p.n, p.f, p.c, sunup__check_absolute(c, &dy), size);
    sunup__check_close(c, &dx, size, (double)(2 * p.f + 3));
}

/* Rows of x lie here and there, and overlap. */
static void run_rows(struct check *c)
{
    enum { MOST = 64 };
    const int64_t rows = sunup__check_number(c, "rows", 1), n = sunup__check_number(c, "n", 1);
    const bool add = sunup__check_number(c, "add", 0) != 0;
    const struct operand x = sunup__check_in(c, "x", n + 3 * rows, FILL_ANY),
                         weight = sunup__check_in(c, "weight", rows, FILL_FINITE),
                         y = sunup__check_out(c, "y", n, FILL_ANY);
    double *size = sunup__check_absolute(c, &y);
    int64_t at[MOST];
    for (int64_t r = 0; r < rows && r < MOST; r++) at[r] = r * 5 % (3 * rows + 1);
    sunup__check_cost(c, 2.0 * (double)(rows * n), 4.0 * (double)((rows + 1) * n));
    CHECK_RUN(c) c->f32->weighted_rows(rows, n, x.f32, at, weight.f32, add, y.f32);
    if (!sunup__check_wanted(c)) return;
    c->f64->weighted_rows(rows, n, x.f64, at, weight.f64, add, y.f64);
    c->f64->weighted_rows(rows, n, sunup__check_absolute(c, &x), at,
                          sunup__check_absolute(c, &weight), add, size);
    sunup__check_close(c, &y, size, (double)(rows + 1));
}

static const char *const problems[] = {"n0f2c3,linear",
                                       "n1f2c3,linear",
                                       "n5f1c3,linear",
                                       "n7f2c1,linear",
                                       "n33f2c1,linear",
                                       "n7f2c3,linear",
                                       "n9f2c17,linear",
                                       "n12f2c64,linear",
                                       "n6f3c5,linear",
                                       "n1f5c33,linear",
                                       "n11f5c1,linear",
                                       "n3f21c2,linear",
                                       "n7f2c5",
                                       "n9f4c1",
                                       "n3f3c33",
                                       "n5f2c0",
                                       NULL};
const struct leaf_check sunup__check_upsample = {"upsample", problems, run};
const struct leaf_check sunup__check_upsample_grad = {"upsample_grad", problems, run_grad};

static const char *const row_problems[] = {
    "rows0n5",       "rows1n17",     "rows2n33",    "rows3n1",    "rows4n611", "rows5n1003",
    "rows5n611,add", "rows16n7,add", "rows16n1027", "rows37n300", NULL};
const struct leaf_check sunup__check_weighted_rows = {"weighted_rows", row_problems, run_rows};
