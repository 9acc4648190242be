/* conv_box_check.c - problems of the leaves of grouped convolution: h w points, s taps in each of r
 * rows, groups, c k channels of a group, stride (of x), step (of y), bias; far: as a far third level is
 * treated.
 *
 * x is h stride + r rows, each long enough; weights lie with a gap between the turns.
 */
#include "kernels/check.h"

enum { TAPS_MOST = 64, GAP = 3 };

struct problem {
    struct box b;
    int64_t x_at[TAPS_MOST], w_at[TAPS_MOST];
    int64_t x, y, w; /* elements */
    bool bias;
};

static void read_problem(struct check *c, struct problem *p)
{
    const int64_t r = sunup__check_number(c, "r", 1), s = sunup__check_number(c, "s", 1);
    const int64_t stride = sunup__check_number(c, "stride", 1),
                  step = sunup__check_number(c, "step", 1);
    struct box *b = &p->b;
    *b = (struct box){.rows = sunup__check_number(c, "h", 1),
                      .points = sunup__check_number(c, "w", 1),
                      .groups = sunup__check_number(c, "groups", 1),
                      .cg = sunup__check_number(c, "c", 1),
                      .kg = sunup__check_number(c, "k", 1),
                      .turns = 1,
                      .taps = r * s,
                      .x_at = p->x_at,
                      .w_at = p->w_at};
    b->in_order = b->streamed = sunup__check_number(c, "far", 0) != 0;
    p->bias = sunup__check_number(c, "bias", 0) != 0;
    while (b->turns < b->cg || b->turns < b->kg) b->turns *= 2;
    if (b->turns > BOX_TURNS || b->taps > TAPS_MOST) {
        sunup__check_fail(c, "at most %d channels of a group, and %d taps", BOX_TURNS, TAPS_MOST);
        b->rows = b->taps = 0;
        b->turns = 1;
    }
    const int64_t channels = b->groups * b->cg, pitch = (b->points * stride + s) * channels;
    b->x_row = stride * pitch;
    b->x_point = stride * channels;
    b->y_point = step * b->groups * b->kg;
    b->y_row = b->points * b->y_point;
    b->w_turn = channels + GAP;
    for (int64_t t = 0; t < b->taps; t++) {
        p->x_at[t] = t / s * pitch + t % s * channels;
        p->w_at[t] = (b->taps - 1 - t) * b->turns * b->w_turn;
    }
    p->x = (b->rows * stride + r) * pitch;
    p->y = b->rows * b->y_row;
    p->w = b->taps * b->turns * b->w_turn;
    sunup__check_cost(c, 2.0 * (double)(b->rows * b->points * b->taps * channels * b->kg),
                      4.0 * (double)(p->x + p->y + p->w));
}

static void run_conv(struct check *c)
{
    struct problem p;
    read_problem(c, &p);
    const struct operand x = sunup__check_in(c, "x", p.x, FILL_ANY),
                         w = sunup__check_in(c, "w", p.w, FILL_ANY),
                         bias = sunup__check_in(c, "bias", p.b.groups * p.b.kg, FILL_ANY);
    const struct operand y = sunup__check_out(c, "y", p.y, FILL_ANY);
    CHECK_RUN(c) c->f32->conv_box(&p.b, x.f32, w.f32, p.bias ? bias.f32 : NULL, y.f32);
    if (!sunup__check_wanted(c)) return;
    double *size = sunup__check_scratch(c, y.n);
    const double *absolute_bias = sunup__check_absolute(c, &bias);
    c->f64->conv_box(&p.b, sunup__check_absolute(c, &x), sunup__check_absolute(c, &w),
                     p.bias ? absolute_bias : NULL, size);
    c->f64->conv_box(&p.b, x.f64, w.f64, p.bias ? bias.f64 : NULL, y.f64);
    sunup__check_close(c, &y, size, (double)(p.b.taps * p.b.cg) + 2);
}

static void run_weight_grad(struct check *c)
{
    struct problem p;
    read_problem(c, &p);
    const struct operand x = sunup__check_in(c, "x", p.x, FILL_ANY),
                         dy = sunup__check_in(c, "dy", p.y, FILL_ANY);
    const struct operand dw = sunup__check_out(c, "dw", p.w, FILL_FINITE);
    CHECK_RUN(c) c->f32->conv_box_weight_grad(&p.b, x.f32, dy.f32, dw.f32);
    if (!sunup__check_wanted(c)) return;
    double *size = sunup__check_absolute(c, &dw);
    c->f64->conv_box_weight_grad(&p.b, sunup__check_absolute(c, &x), sunup__check_absolute(c, &dy),
                                 size);
    c->f64->conv_box_weight_grad(&p.b, x.f64, dy.f64, dw.f64);
    sunup__check_close(c, &dw, size, (double)(p.b.rows * p.b.points) + 2);
}

#define PROBLEMS                                                                                   \
    "w1groups1", "w0groups3", "h3w5groups16r3s3", "h2w15groups16r3s3", "h1w29groups40r3s3",        \
        "h9w1groups33r2s2", "h3w7groups7r5s5", "h2w9groups16r3s3stride2", "h2w9groups5s3step3",    \
        "h2w11groups8c2k2r3s3", "h3w7groups9c4k4r3s3", "h2w13groups32c4k4r3s3",                    \
        "h2w5groups5c8k8r3s3", "h2w6groups7c3k3r3s3", "h2w6groups2c5k7s3", "h2w6groups9c1k2r3s3",  \
        "h2w4groups17c2k1r3s3", "h2w4groups3c1k8s2stride3step2", "h1w5groups3c6k2s3",                \
        "h5w13groups32r3s3", "h2w6groups16r3s3step2", "h3w31groups32r3s3far", "h2w15groups33r3s3far",   \
        "h4w30groups16r6s3far", "h9w1groups33r2s2far", "h2w16groups16r2s3far", "h3w16groups7r5s5far",  \
        "h2w20groups16r3s3stride2far", "h2w9groups16s3step3far", "h2w33groups32c4k4r3s3far"
static const char *const problems[] = {PROBLEMS, NULL};
static const char *const forward_problems[] = {
    PROBLEMS, "h3w5groups19r3s3:bias", "h4w9groups48r3s3:bias",
    "h3w5groups9c4k4s3:bias", "h1w3groups4c2k3s2:bias", NULL};
const struct leaf_check sunup__check_conv_box = {"conv_box", forward_problems, run_conv};
const struct leaf_check sunup__check_conv_box_weight_grad = {"conv_box_weight_grad", problems,
                                                             run_weight_grad};
