/* index_check.c - problems of gather and scatter_add: n indices into `rows` rows of `width`; bad:
 * some outside. */
#include "kernels/check.h"

static void run_gather(struct check *c)
{
    const int64_t n = sunup__check_number(c, "n", 1), rows = sunup__check_number(c, "rows", 1);
    const int64_t width = sunup__check_number(c, "width", 1),
                  bad = sunup__check_number(c, "bad", 0);
    const struct operand table = sunup__check_in(c, "table", rows * width, FILL_ANY);
    const struct operand index = sunup__check_ints(c, "index", n, -bad, rows + bad);
    const struct operand y = sunup__check_out(c, "y", n * width, FILL_ANY);
    sunup__check_cost(c, 0, 8.0 * (double)y.n);
    CHECK_RUN(c) c->f32->gather(n, rows, width, table.f32, index.i32, y.f32);
    if (!sunup__check_wanted(c)) return;
    c->f64->gather(n, rows, width, table.f64, index.i32, y.f64);
    sunup__check_close(c, &y, NULL, 0);
}

/* The part [from, to) of the rows only; what is outside must stay. */
static void run_scatter(struct check *c)
{
    const int64_t n = sunup__check_number(c, "n", 1), rows = sunup__check_number(c, "rows", 1);
    const int64_t width = sunup__check_number(c, "width", 1),
                  bad = sunup__check_number(c, "bad", 0);
    const int64_t from = sunup__check_number(c, "from", 0), to = sunup__check_number(c, "to", rows);
    const struct operand x = sunup__check_in(c, "x", n * width, FILL_ANY);
    const struct operand index = sunup__check_ints(c, "index", n, -bad, rows + bad);
    const struct operand y = sunup__check_out(c, "y", rows * width, FILL_ANY);
    double *size = sunup__check_absolute(c, &y);
    sunup__check_cost(c, (double)x.n, 12.0 * (double)x.n);
    CHECK_RUN(c) c->f32->scatter_add(n, from, to, width, x.f32, index.i32, y.f32);
    if (!sunup__check_wanted(c)) return;
    c->f64->scatter_add(n, from, to, width, x.f64, index.i32, y.f64);
    c->f64->scatter_add(n, from, to, width, sunup__check_absolute(c, &x), index.i32, size);
    sunup__check_close(c, &y, size, (double)n);
}

static const char *const gather_problems[] = {"n0rows3width4",
                                              "n5rows1width1",
                                              "n7rows5width17",
                                              "n33rows9width3,bad2",
                                              "n9rows4width0",
                                              "n40rows100width64",
                                              NULL};
static const char *const scatter_problems[] = {"n0rows3width4",
                                               "n5rows1width1",
                                               "n7rows5width17",
                                               "n33rows9width3,bad2",
                                               "n33rows9width3,from2,to7",
                                               "n40rows100width64",
                                               NULL};
const struct leaf_check sunup__check_gather = {"gather", gather_problems, run_gather};
const struct leaf_check sunup__check_scatter_add = {"scatter_add", scatter_problems, run_scatter};
