/* dots_check.c - problems of gemm_dots: m n k, b batch; lda ldb ldc gaps added to the rows (lda < 0:
 * rows of A overlap); accumulate bias relu; ahead: so many elements for each row are fetched
 * meanwhile. And of stream_rows: m rows of n, gaps ldx ldy. */
#include "kernels/check.h"

enum { MAX_BATCH = 64 };

struct shape {
    struct gemm_f32 g; /* sizes and strides */
    int64_t a_at[MAX_BATCH], b_at[MAX_BATCH], a_step, b_step;
    bool bias;
};

static void read_shape(struct check *c, struct shape *s)
{
    struct gemm_f32 *g = &s->g;
    *s = (struct shape){.g = {.m = sunup__check_number(c, "m", 1),
                              .n = sunup__check_number(c, "n", 1),
                              .k = sunup__check_number(c, "k", 1),
                              .batch = sunup__check_number(c, "b", 1),
                              .a_col = 1,
                              .accumulate = sunup__check_number(c, "accumulate", 0) != 0,
                              .relu = sunup__check_number(c, "relu", 0) != 0,
                              .ahead_row = sunup__check_number(c, "ahead", 0)},
                        .bias = sunup__check_number(c, "bias", 0) != 0};
    g->a_row = sunup__check_number(c, "step", g->k);
    g->b_row = g->k + sunup__check_number(c, "ldb", 0);
    g->c_row = g->n + sunup__check_number(c, "ldc", 0);
    s->a_step = (g->m > 0 ? g->m - 1 : 0) * g->a_row + g->k;
    s->b_step = g->n * g->b_row;
    if (g->batch > MAX_BATCH) sunup__check_fail(c, "b is at most %d", MAX_BATCH);
    for (int64_t i = 0; i < g->batch && i < MAX_BATCH; i++) {
        s->a_at[i] = (g->batch - 1 - i) * s->a_step;
        s->b_at[i] = (g->batch - 1 - i) * s->b_step;
    }
}

static void reference(const struct check *c, const struct shape *s, const double *a,
                      const double *b, const double *bias, double *y)
{
    const struct gemm_f64 g = {.m = s->g.m,
                               .n = s->g.n,
                               .k = s->g.k,
                               .batch = s->g.batch,
                               .a = a,
                               .a_row = s->g.a_row,
                               .a_at = s->a_at,
                               .b = b,
                               .b_row = s->g.b_row,
                               .b_at = s->b_at,
                               .c = y,
                               .c_row = s->g.c_row,
                               .accumulate = s->g.accumulate,
                               .bias = s->bias ? bias : NULL,
                               .relu = s->g.relu};
    c->f64->gemm_dots(&g);
}

static void run_dots(struct check *c)
{
    struct shape s;
    read_shape(c, &s);
    struct gemm_f32 *g = &s.g;
    const struct operand a = sunup__check_in(c, "a", s.a_step * g->batch, FILL_ANY);
    const struct operand b = sunup__check_in(c, "b", s.b_step * g->batch, FILL_ANY);
    const struct operand bias = sunup__check_in(c, "bias", g->n, FILL_ANY);
    const struct operand y = sunup__check_out(c, "c", g->m * g->c_row, FILL_FINITE);
    sunup__check_cost(c, 2.0 * (double)(g->m * g->n) * (double)(g->k * g->batch),
                      4.0 * (double)(a.n + b.n + y.n));
    g->a = a.f32;
    g->a_at = s.a_at;
    g->b = b.f32;
    g->b_at = s.b_at;
    g->c = y.f32;
    g->bias = s.bias ? bias.f32 : NULL;
    g->ahead = g->ahead_row > 0 ? b.f32 : NULL;
    CHECK_RUN(c) c->f32->gemm_dots(g);
    if (!sunup__check_wanted(c)) return;
    double *size = sunup__check_absolute(c, &y);
    reference(c, &s, sunup__check_absolute(c, &a), sunup__check_absolute(c, &b),
              sunup__check_absolute(c, &bias), size);
    reference(c, &s, a.f64, b.f64, bias.f64, y.f64);
    sunup__check_close(c, &y, size, (double)(g->k * g->batch) + 3);
}

static const char *const dots[] = {"m0n1k3",
                                   "m3n0k4",
                                   "m3n2k0:accumulate:bias:relu",
                                   "m19n2k7b0:bias",
                                   "m1n1k1",
                                   "m15n1k16b3",
                                   "m16n1k17:accumulate",
                                   "m33n1k64b5",
                                   "m37n1k31:ldc2:relu",
                                   "m7n2k16",
                                   "m21n2k40b9:bias",
                                   "m9n2k33:ldb3:ldc5:accumulate",
                                   "m4n3k6",
                                   "m33n3k16:bias",
                                   "m29n3k48b4:step20:relu",
                                   "m3n4k19",
                                   "m13n4k16:ldc1:bias:accumulate",
                                   "m50n4k100:step30",
                                   "m17n9k20:bias:relu",
                                   "m37n1k70b3:ahead64",
                                   "m12n3k16:ahead16:bias",
                                   "m5n6k40b2:ahead7",
                                   "m9n2k0:ahead16",
                                   NULL};
const struct leaf_check sunup__check_gemm_dots = {"gemm_dots", dots, run_dots};

static void run_stream(struct check *c)
{
    const int64_t m = sunup__check_number(c, "m", 1), n = sunup__check_number(c, "n", 1);
    const int64_t x_row = n + sunup__check_number(c, "ldx", 0),
                  y_row = n + sunup__check_number(c, "ldy", 0);
    const struct operand x = sunup__check_in(c, "x", m * x_row, FILL_ANY);
    const struct operand y = sunup__check_out(c, "y", m * y_row, FILL_ANY);
    sunup__check_cost(c, 0, 8.0 * (double)(m * n));
    CHECK_RUN(c) c->f32->stream_rows(m, n, x.f32, x_row, y.f32, y_row);
    if (!sunup__check_wanted(c)) return;
    c->f64->stream_rows(m, n, x.f64, x_row, y.f64, y_row);
    sunup__check_close(c, &y, NULL, 0);
}

static const char *const stream[] = {"m0n4",        "m3n0",       "m1n1",
                                     "m5n16",       "m7n33:ldx5", "m9n96:ldx32",
                                     "m4n48:ldy16", "m3n80:ldy7", NULL};
const struct leaf_check sunup__check_stream_rows = {"stream_rows", stream, run_stream};
