/* gemm_check.c - problems of the gemm leaf: m n k, b batch; a 1: A is transposed in memory, 2: rows
 * of A overlap as in a convolution, 3: no stride is 1; lda ldb ldc gaps added to the rows;
 * accumulate bias relu; ahead: something is fetched meanwhile.
 */
#include "kernels/check.h"

enum { MAX_BATCH = 512 };

struct shape {
    int64_t m, n, k, batch, mode, a_row, a_col, b_row, c_row, a_step, b_step;
    bool accumulate, bias, relu, ahead;
    int64_t a_at[MAX_BATCH], b_at[MAX_BATCH];
};

static void read_strides(struct check *c, struct shape *s)
{
    const int64_t gap = sunup__check_number(c, "lda", 0);
    s->b_row = s->n + sunup__check_number(c, "ldb", 0);
    s->c_row = s->n + sunup__check_number(c, "ldc", 0);
    s->a_row = s->k + gap;
    s->a_col = 1;
    if (s->mode == 1) {
        s->a_row = 1;
        s->a_col = s->m + gap;
    } else if (s->mode == 2) {
        s->a_row = s->k / 2;
    } else if (s->mode == 3) {
        s->a_row = 3;
        s->a_col = 3 * s->m + 2;
    }
    s->a_step = (s->m > 0 ? s->m - 1 : 0) * s->a_row + (s->k > 0 ? s->k - 1 : 0) * s->a_col + 1;
    s->b_step = s->k * s->b_row;
}

/* Parts are taken last first, so that offsets are not simply rising. */
static void read_shape(struct check *c, struct shape *s)
{
    *s = (struct shape){.m = sunup__check_number(c, "m", 1),
                        .n = sunup__check_number(c, "n", 1),
                        .k = sunup__check_number(c, "k", 1),
                        .batch = sunup__check_number(c, "b", 1),
                        .mode = sunup__check_number(c, "a", 0),
                        .accumulate = sunup__check_number(c, "accumulate", 0) != 0,
                        .bias = sunup__check_number(c, "bias", 0) != 0,
                        .relu = sunup__check_number(c, "relu", 0) != 0,
                        .ahead = sunup__check_number(c, "ahead", 0) != 0};
    if (s->batch > MAX_BATCH) sunup__check_fail(c, "b is at most %d", MAX_BATCH);
    read_strides(c, s);
    for (int64_t i = 0; i < s->batch && i < MAX_BATCH; i++) {
        s->a_at[i] = (s->batch - 1 - i) * s->a_step;
        s->b_at[i] = (s->batch - 1 - i) * s->b_step;
    }
}

/* f64 on (a, b, bias, c); also used on absolute values, for the bound. */
static void reference(const struct check *c, const struct shape *s, const double *a,
                      const double *b, const double *bias, double *y)
{
    const struct gemm_f64 g = {.m = s->m,
                               .n = s->n,
                               .k = s->k,
                               .batch = s->batch,
                               .a = a,
                               .a_row = s->a_row,
                               .a_col = s->a_col,
                               .a_at = s->a_at,
                               .b = b,
                               .b_row = s->b_row,
                               .b_at = s->b_at,
                               .c = y,
                               .c_row = s->c_row,
                               .accumulate = s->accumulate,
                               .bias = s->bias ? bias : NULL,
                               .relu = s->relu};
    c->f64->gemm(&g);
}

static void run(struct check *c)
{
    struct shape s;
    read_shape(c, &s);
    const struct operand a = sunup__check_in(c, "a", s.a_step * s.batch, FILL_ANY);
    const struct operand b = sunup__check_in(c, "b", s.b_step * s.batch, FILL_ANY);
    const struct operand bias = sunup__check_in(c, "bias", s.n, FILL_ANY);
    const struct operand y = sunup__check_out(c, "c", s.m * s.c_row, FILL_FINITE);
    sunup__check_cost(c, 2.0 * (double)(s.m * s.n) * (double)(s.k * s.batch),
                      4.0 * (double)(a.n + b.n + s.m * s.n * (s.accumulate ? 2 : 1)));
    const struct gemm_f32 g = {.m = s.m,
                               .n = s.n,
                               .k = s.k,
                               .batch = s.batch,
                               .a = a.f32,
                               .a_row = s.a_row,
                               .a_col = s.a_col,
                               .a_at = s.a_at,
                               .b = b.f32,
                               .b_row = s.b_row,
                               .b_at = s.b_at,
                               .c = y.f32,
                               .c_row = s.c_row,
                               .accumulate = s.accumulate,
                               .bias = s.bias ? bias.f32 : NULL,
                               .relu = s.relu,
                               .ahead = s.ahead ? b.f32 : NULL,
                               .ahead_row = 16,
                               .ahead_step = 4};
    CHECK_RUN(c) c->f32->gemm(&g);
    if (!sunup__check_wanted(c)) return;
    double *size = sunup__check_absolute(c, &y);
    reference(c, &s, sunup__check_absolute(c, &a), sunup__check_absolute(c, &b),
              sunup__check_absolute(c, &bias), size);
    reference(c, &s, a.f64, b.f64, bias.f64, y.f64);
    sunup__check_close(c, &y, size, (double)(s.k * s.batch) + 2);
}

static const char *const problems[] = {"m0n5k3",
                                       "m3n0k4",
                                       "m3n5k0",
                                       "m3n5k0:accumulate:bias:relu",
                                       "m2n7k3b0:bias",
                                       "m1n1k1",
                                       "m1n1k1b3:accumulate",
                                       "m2n3k5:bias:relu",
                                       "m3n16k7:relu",
                                       "m4n17k8:bias",
                                       "m5n31k9:accumulate:relu",
                                       "m6n32k4:bias:accumulate",
                                       "m7n33k5:a1",
                                       "m8n47k6:a1lda3:bias",
                                       "m9n48k11:ldb5ldc3",
                                       "m10n49k3b4:lda2",
                                       "m11n64k2b5:a2",
                                       "m12n65k10:a3:relu",
                                       "m13n79k12:a1:accumulate",
                                       "m14n32k300",
                                       "m15n80k13b3:a2",
                                       "m16n15k16",
                                       "m27n31k17:bias",
                                       "m28n16k25",
                                       "m29n5k27:bias:relu",
                                       "m31n6k25:a2:bias",
                                       "m53n97k29:a1",
                                       "m57n10k84:bias",
                                       "m64n48k300",
                                       "m31n50k60b2:a1:ahead:accumulate",
                                       "m28n64k7:ahead",
                                       "m30n16k9b2:ahead",
                                       "m29n13k5:a1:ahead:bias",
                                       "m3n32k7b2:ahead:accumulate",
                                       "m61n129k67b2:a3:ldb1ldc7:accumulate:bias:relu",
                                       "m113n96k64b9:a2:ldc32:relu",
                                       "m25n6k577b3:a1:accumulate",
                                       "m6n16k1031:a1",
                                       "m1n301k401:bias",
                                       "m131n259k611",
                                       NULL};
const struct leaf_check sunup__check_gemm = {"gemm", problems, run};
