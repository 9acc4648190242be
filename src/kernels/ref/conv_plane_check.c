/* conv_plane_check.c - problems of the leaves of depthwise 3x3: h rows of w points of c channels; open: x
 * goes on above (1), below (2) or at both (3); back: taps backwards; ahead: asks for what lies so far on; bias.
 */
#include "kernels/check.h"

enum { GAP = 3 }; /* channels that others have */

struct problem {
    struct plane p;
    int64_t x, y, w, first; /* elements; of x before the first target */
    int64_t tap;            /* the first tap's weights                */
    bool bias;
};

static void read_problem(struct check *c, struct problem *p)
{
    const int64_t open = sunup__check_number(c, "open", 0);
    struct plane *s = &p->p;
    *s = (struct plane){.rows = sunup__check_number(c, "h", 1),
                        .points = sunup__check_number(c, "w", 1),
                        .channels = sunup__check_number(c, "c", 1),
                        .ahead = sunup__check_number(c, "ahead", 0),
                        .above = (open & 1) == 0,
                        .below = (open & 2) == 0};
    p->bias = sunup__check_number(c, "bias", 0) != 0;
    s->point = s->w_tap = s->channels + GAP;
    s->row = s->points * s->point;
    p->y = s->rows * s->row;
    p->w = 9 * s->w_tap;
    p->tap = 0;
    p->first = s->above ? 0 : s->row;
    p->x = p->first + p->y + (s->below ? 0 : s->row);
    if (sunup__check_number(c, "back", 0) != 0) {
        p->tap = 8 * s->w_tap;
        s->w_tap = -s->w_tap;
    }
    sunup__check_cost(c, 18.0 * (double)(s->rows * s->points * s->channels),
                      4.0 * (double)(p->x + p->y + p->w));
}

static void run_conv(struct check *c)
{
    struct problem p;
    read_problem(c, &p);
    const struct operand x = sunup__check_in(c, "x", p.x, FILL_ANY),
                         w = sunup__check_in(c, "w", p.w, FILL_ANY),
                         bias = sunup__check_in(c, "bias", p.p.channels, FILL_ANY);
    const struct operand y = sunup__check_out(c, "y", p.y, FILL_ANY);
    CHECK_RUN(c)
    c->f32->conv_plane(&p.p, x.f32 + p.first, w.f32 + p.tap, p.bias ? bias.f32 : NULL, y.f32);
    if (!sunup__check_wanted(c)) return;
    double *size = sunup__check_scratch(c, y.n);
    const double *absolute_bias = sunup__check_absolute(c, &bias);
    c->f64->conv_plane(&p.p, sunup__check_absolute(c, &x) + p.first,
                       sunup__check_absolute(c, &w) + p.tap, p.bias ? absolute_bias : NULL, size);
    c->f64->conv_plane(&p.p, x.f64 + p.first, w.f64 + p.tap, p.bias ? bias.f64 : NULL, y.f64);
    sunup__check_close(c, &y, size, 11);
}

static void run_weight_grad(struct check *c)
{
    struct problem p;
    read_problem(c, &p);
    const struct operand x = sunup__check_in(c, "x", p.x, FILL_ANY),
                         dy = sunup__check_in(c, "dy", p.y, FILL_ANY);
    const struct operand dw = sunup__check_out(c, "dw", p.w, FILL_FINITE);
    CHECK_RUN(c) c->f32->conv_plane_weight_grad(&p.p, x.f32 + p.first, dy.f32, dw.f32 + p.tap);
    if (!sunup__check_wanted(c)) return;
    double *size = sunup__check_absolute(c, &dw);
    c->f64->conv_plane_weight_grad(&p.p, sunup__check_absolute(c, &x) + p.first,
                                   sunup__check_absolute(c, &dy), size + p.tap);
    c->f64->conv_plane_weight_grad(&p.p, x.f64 + p.first, dy.f64, dw.f64 + p.tap);
    sunup__check_close(c, &dw, size, (double)(p.p.rows * p.p.points) + 2);
}

#define PROBLEMS                                                                                   \
    "h0w1c1", "h1w0c1", "h1w1c16", "h1w1c5:open3", "h1w8c16:open1", "h2w2c19", "h3w7c32",          \
        "h3w15c16:open2", "h9w14c40:open3", "h5w13c33:back", "h2w10c16:open1:back", "h4w29c8",        \
        "h9w15c40:ahead5805"
static const char *const problems[] = {PROBLEMS, NULL};
static const char *const forward_problems[] = {PROBLEMS, "h3w5c19:bias", "h4w9c48:open3:bias",
                                               NULL};
const struct leaf_check sunup__check_conv_plane = {"conv_plane", forward_problems, run_conv};
const struct leaf_check sunup__check_conv_plane_weight_grad = {"conv_plane_weight_grad", problems,
                                                               run_weight_grad};
