/* update_check.c - problems of the optimizer updates: n; decay decoupled clip: of all; momentum
 * nesterov dampening first: sgd; centered momentum: rmsprop.
 *
 * Sizes follow the formulas of update_ref.c on absolute values; a quotient m / (sqrt(v) + eps) is
 * as uncertain as both of its parts. The constants themselves are rounded to float once, which
 * counts as a rounding of each product.
 */
#include <math.h>

#include "kernels/check.h"

enum { TERMS = 12 };

struct state {
    struct update u;
    int64_t n;
    struct operand g, w, m, v, a;
    double *w0, *m0, *v0, *a0; /* before the step */
    double *m_size, *v_size, *w_size, *a_size;
};

static struct update read_update(struct check *c)
{
    struct update u = {
        .lr = 0.0625, .beta1 = 0.9, .beta2 = 0.999, .alpha = 0.99, .eps = 1e-8, .grad_scale = 0.75};
    u.correction1 = 1 - pow(u.beta1, 3);
    u.correction2 = 1 - pow(u.beta2, 3);
    u.weight_decay = sunup__check_number(c, "decay", 0) != 0 ? 0.01 : 0;
    u.decoupled = sunup__check_number(c, "decoupled", 0) != 0;
    u.clip_value = sunup__check_number(c, "clip", 0) != 0 ? 0.25 : 0;
    return u;
}

static double *copy(struct check *c, const struct operand *x)
{
    double *y = sunup__check_scratch(c, x->n);
    for (int64_t i = 0; y && i < x->n; i++) y[i] = x->f64[i];
    return y;
}

static struct state read_state(struct check *c)
{
    struct state s = {.u = read_update(c), .n = sunup__check_number(c, "n", 1)};
    s.g = sunup__check_in(c, "g", s.n, FILL_ANY);
    s.w = sunup__check_out(c, "w", s.n, FILL_ANY);
    s.m = sunup__check_out(c, "m", s.n, FILL_ANY);
    s.v = sunup__check_out(c, "v", s.n, FILL_POSITIVE);
    s.a = sunup__check_out(c, "a", s.n, FILL_ANY);
    s.w0 = copy(c, &s.w);
    s.m0 = copy(c, &s.m);
    s.v0 = copy(c, &s.v);
    s.a0 = copy(c, &s.a);
    s.m_size = sunup__check_scratch(c, s.n);
    s.v_size = sunup__check_scratch(c, s.n);
    s.w_size = sunup__check_scratch(c, s.n);
    s.a_size = sunup__check_scratch(c, s.n);
    return s;
}

/* |g| after scale, clip and decay, before cancellation */
static double gradient_size(const struct state *s, int64_t i)
{
    double g = fabs(s->g.f64[i] * s->u.grad_scale);
    if (s->u.clip_value > 0 && g > s->u.clip_value) g = s->u.clip_value;
    g += 0x1p-125; /* 2^-24 of this is the rounding of a denormal g, which 1 / eps then enlarges */
    if (s->u.decoupled || s->u.weight_decay == 0) return g;
    return g + fabs(s->u.weight_decay * s->w0[i]);
}

static double weight_size(const struct state *s, int64_t i, double rate, double step)
{
    return fabs(s->w0[i]) + fabs(rate) * step;
}

static void run_sgd(struct check *c)
{
    struct state s = read_state(c);
    s.u.momentum = sunup__check_number(c, "momentum", 0) != 0 ? 0.9 : 0;
    s.u.dampening = sunup__check_number(c, "dampening", 0) != 0 ? 0.1 : 0;
    s.u.nesterov = sunup__check_number(c, "nesterov", 0) != 0;
    s.u.first = sunup__check_number(c, "first", 0) != 0;
    const bool moving = s.u.momentum != 0;
    sunup__check_cost(c, 4.0 * (double)s.n, 4.0 * (double)(s.n * (moving ? 5 : 3)));
    CHECK_RUN(c) c->f32->update_sgd(&s.u, s.n, s.g.f32, s.w.f32, moving ? s.m.f32 : NULL);
    if (!sunup__check_wanted(c)) return;
    c->f64->update_sgd(&s.u, s.n, s.g.f64, s.w.f64, moving ? s.m.f64 : NULL);
    for (int64_t i = 0; i < s.n; i++) {
        const double d = gradient_size(&s, i);
        s.m_size[i] = s.u.first ? d : s.u.momentum * fabs(s.m0[i]) + d;
        s.w_size[i] = weight_size(&s, i, s.u.lr, moving ? s.m_size[i] + d : d);
    }
    sunup__check_close(c, &s.m, s.m_size, TERMS);
    sunup__check_close(c, &s.w, s.w_size, TERMS);
}

/* m and v as Adam's, and |m| / (sqrt(v / correction2) + eps) with the uncertainty of both */
static double adam_sizes(const struct state *s, int64_t i)
{
    const double d = gradient_size(s, i);
    s->m_size[i] = s->u.beta1 * fabs(s->m0[i]) + (1 - s->u.beta1) * d;
    s->v_size[i] = s->u.beta2 * s->v0[i] + (1 - s->u.beta2) * d * d;
    return s->m_size[i] / (sqrt(s->v.f64[i] / s->u.correction2) + s->u.eps) *
           (1 + s->v_size[i] / s->v.f64[i]);
}

static void run_adam(struct check *c)
{
    struct state s = read_state(c);
    sunup__check_cost(c, 12.0 * (double)s.n, 28.0 * (double)s.n);
    CHECK_RUN(c) c->f32->update_adam(&s.u, s.n, s.g.f32, s.w.f32, s.m.f32, s.v.f32);
    if (!sunup__check_wanted(c)) return;
    c->f64->update_adam(&s.u, s.n, s.g.f64, s.w.f64, s.m.f64, s.v.f64);
    for (int64_t i = 0; i < s.n; i++) {
        s.w_size[i] = weight_size(&s, i, s.u.lr / s.u.correction1, adam_sizes(&s, i));
    }
    sunup__check_close(c, &s.m, s.m_size, TERMS);
    sunup__check_close(c, &s.v, s.v_size, TERMS);
    sunup__check_close(c, &s.w, s.w_size, TERMS);
}

static void run_adamax(struct check *c)
{
    struct state s = read_state(c);
    sunup__check_cost(c, 8.0 * (double)s.n, 28.0 * (double)s.n);
    CHECK_RUN(c) c->f32->update_adamax(&s.u, s.n, s.g.f32, s.w.f32, s.m.f32, s.v.f32);
    if (!sunup__check_wanted(c)) return;
    c->f64->update_adamax(&s.u, s.n, s.g.f64, s.w.f64, s.m.f64, s.v.f64);
    for (int64_t i = 0; i < s.n; i++) {
        const double d = gradient_size(&s, i), v = s.v.f64[i];
        s.m_size[i] = s.u.beta1 * fabs(s.m0[i]) + (1 - s.u.beta1) * d;
        s.v_size[i] = s.u.beta2 * s.v0[i] + d;
        const double step = s.m_size[i] / v * (1 + s.v_size[i] / v);
        s.w_size[i] = weight_size(&s, i, s.u.lr / s.u.correction1, step);
    }
    sunup__check_close(c, &s.m, s.m_size, TERMS);
    sunup__check_close(c, &s.v, s.v_size, TERMS);
    sunup__check_close(c, &s.w, s.w_size, TERMS);
}

static void run_adagrad(struct check *c)
{
    struct state s = read_state(c);
    sunup__check_cost(c, 6.0 * (double)s.n, 20.0 * (double)s.n);
    CHECK_RUN(c) c->f32->update_adagrad(&s.u, s.n, s.g.f32, s.w.f32, s.v.f32);
    if (!sunup__check_wanted(c)) return;
    c->f64->update_adagrad(&s.u, s.n, s.g.f64, s.w.f64, s.v.f64);
    for (int64_t i = 0; i < s.n; i++) {
        const double d = gradient_size(&s, i), v = s.v.f64[i];
        s.v_size[i] = s.v0[i] + d * d;
        const double step = d / (sqrt(v) + s.u.eps) * (1 + s.v_size[i] / v);
        s.w_size[i] = weight_size(&s, i, s.u.lr, step);
    }
    sunup__check_close(c, &s.v, s.v_size, TERMS);
    sunup__check_close(c, &s.w, s.w_size, TERMS);
}

/* |d| / (sqrt(v - a^2) + eps): where v - a^2 cancels, its rounding moves the quotient by more than
 * a rounding; the size covers the quotient's range over that of the square. */
static double rmsprop_step(const struct state *s, int64_t i, double d)
{
    const double v = s->v.f64[i], a = s->u.centered ? s->a.f64[i] : 0;
    const double doubt = TERMS * 0x1p-24 * (s->v_size[i] + 2 * fabs(a) * s->a_size[i] + a * a);
    const double low = sqrt(fmax(v - a * a - doubt, 0)), high = sqrt(fmax(v - a * a + doubt, 0));
    const double most = d / (low + s->u.eps), least = d / (high + s->u.eps);
    return 2 * most + (most - least) / (TERMS * 0x1p-24);
}

static void run_rmsprop(struct check *c)
{
    struct state s = read_state(c);
    s.u.centered = sunup__check_number(c, "centered", 0) != 0;
    s.u.momentum = sunup__check_number(c, "momentum", 0) != 0 ? 0.9 : 0;
    const bool moving = s.u.momentum != 0;
    float *m = moving ? s.m.f32 : NULL, *a = s.u.centered ? s.a.f32 : NULL;
    sunup__check_cost(c, 8.0 * (double)s.n,
                      4.0 * (double)(s.n * (5 + (moving ? 2 : 0) + (s.u.centered ? 2 : 0))));
    CHECK_RUN(c) c->f32->update_rmsprop(&s.u, s.n, s.g.f32, s.w.f32, m, s.v.f32, a);
    if (!sunup__check_wanted(c)) return;
    c->f64->update_rmsprop(&s.u, s.n, s.g.f64, s.w.f64, moving ? s.m.f64 : NULL, s.v.f64,
                           s.u.centered ? s.a.f64 : NULL);
    for (int64_t i = 0; i < s.n; i++) {
        const double d = gradient_size(&s, i);
        s.v_size[i] = s.u.alpha * s.v0[i] + (1 - s.u.alpha) * d * d;
        s.a_size[i] = s.u.alpha * fabs(s.a0[i]) + (1 - s.u.alpha) * d;
        s.m_size[i] = (moving ? s.u.momentum * fabs(s.m0[i]) : 0) + rmsprop_step(&s, i, d);
        s.w_size[i] = weight_size(&s, i, s.u.lr, s.m_size[i]);
    }
    sunup__check_close(c, &s.v, s.v_size, TERMS);
    if (s.u.centered) sunup__check_close(c, &s.a, s.a_size, TERMS);
    if (moving) sunup__check_close(c, &s.m, s.m_size, TERMS);
    sunup__check_close(c, &s.w, s.w_size, TERMS);
}

static void run_lamb(struct check *c)
{
    struct state s = read_state(c);
    s.u.decoupled = true; /* the decay is part of the direction, not of the gradient */
    const struct operand r = sunup__check_out(c, "r", s.n, FILL_ANY);
    sunup__check_cost(c, 12.0 * (double)s.n, 28.0 * (double)s.n);
    CHECK_RUN(c) c->f32->lamb_direction(&s.u, s.n, s.g.f32, s.w.f32, s.m.f32, s.v.f32, r.f32);
    if (!sunup__check_wanted(c)) return;
    c->f64->lamb_direction(&s.u, s.n, s.g.f64, s.w.f64, s.m.f64, s.v.f64, r.f64);
    for (int64_t i = 0; i < s.n; i++) {
        s.w_size[i] = adam_sizes(&s, i) / s.u.correction1 + fabs(s.u.weight_decay * s.w0[i]);
    }
    sunup__check_close(c, &s.m, s.m_size, TERMS);
    sunup__check_close(c, &s.v, s.v_size, TERMS);
    sunup__check_close(c, &r, s.w_size, TERMS);
}

#define PROBLEMS                                                                                   \
    "n0", "n1", "n17", "n1003", "n1003,decay", "n1003,clip", "n1003,decay,decoupled,clip"
static const char *const adam_problems[] = {PROBLEMS, NULL};
static const char *const lamb_problems[] = {"n0",          "n1",         "n17", "n1003",
                                            "n1003,decay", "n1003,clip", NULL};
static const char *const sgd_problems[] = {PROBLEMS,
                                           "n1003,momentum",
                                           "n1003,momentum,first",
                                           "n1003,momentum,nesterov,decay",
                                           "n1003,momentum,nesterov,first",
                                           "n1003,momentum,dampening",
                                           "n1003,momentum,dampening,first",
                                           NULL};
static const char *const rmsprop_problems[] = {PROBLEMS, "n1003,momentum", "n1003,centered",
                                               "n1003,centered,momentum,decay", NULL};
const struct leaf_check sunup__check_update_sgd = {"update_sgd", sgd_problems, run_sgd};
const struct leaf_check sunup__check_update_adam = {"update_adam", adam_problems, run_adam};
const struct leaf_check sunup__check_update_adamax = {"update_adamax", adam_problems, run_adamax};
const struct leaf_check sunup__check_update_adagrad = {"update_adagrad", adam_problems,
                                                       run_adagrad};
const struct leaf_check sunup__check_update_rmsprop = {"update_rmsprop", rmsprop_problems,
                                                       run_rmsprop};
const struct leaf_check sunup__check_lamb_direction = {"lamb_direction", lamb_problems, run_lamb};
