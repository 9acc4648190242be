/* update.c - one step of each optimizer in vectors of float; formulas and sources in update_ref.c.
 *
 * Constants are rounded to float once, but differences and quotients of them (1 - beta, lr /
 * correction) are taken in double before. Tests of options within a loop are selects, at most;
 * rmsprop has one loop for each set of its options, because they decide which of its arrays exist.
 */
#include <math.h>

#include "kernels/simd/simd.h"

struct gradient {
    float scale, clip, decay; /* decay: added to the gradient; clip: Inf if off */
    float keep;               /* factor of w before the step (decoupled decay)  */
};

static struct gradient gradient_of(const struct update *u)
{
    return (struct gradient){(float)u->grad_scale,
                             u->clip_value > 0 ? (float)u->clip_value : INFINITY,
                             u->decoupled ? 0.0F : (float)u->weight_decay,
                             u->decoupled ? (float)(1 - u->lr * u->weight_decay) : 1.0F};
}

static inline float limited(float g, float clip)
{
    g = g > clip ? clip : g;
    return g < -clip ? -clip : g;
}

/* Weight decay 0 must not turn an infinite weight into NaN. */
static inline float gradient(const struct gradient *c, float g, float w)
{
    g = limited(g * c->scale, c->clip);
    return c->decay != 0 ? FMA(c->decay, w, g) : g;
}

static inline float average(float old, float now, float beta, float rest)
{
    return FMA(beta, old, rest * now);
}

static void update_sgd(const struct update *u, int64_t n, const float *g, float *w, float *m)
{
    const struct gradient c = gradient_of(u);
    const float lr = (float)u->lr, momentum = (float)u->momentum;
    const float rest = (float)(1 - u->dampening);
    const bool nesterov = u->nesterov, first = u->first;
    if (momentum == 0) {
#pragma omp simd
        for (int64_t i = 0; i < n; i++) w[i] = c.keep * w[i] - lr * gradient(&c, g[i], w[i]);
        return;
    }
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const float d = gradient(&c, g[i], w[i]);
        const float now = first ? d : average(m[i], d, momentum, rest);
        m[i] = now;
        w[i] = c.keep * w[i] - lr * (nesterov ? FMA(momentum, now, d) : now);
    }
}

static void update_adam(const struct update *u, int64_t n, const float *g, float *w, float *m,
                        float *v)
{
    const struct gradient c = gradient_of(u);
    const float beta1 = (float)u->beta1, rest1 = (float)(1 - u->beta1), eps = (float)u->eps;
    const float beta2 = (float)u->beta2, rest2 = (float)(1 - u->beta2);
    const float lr = (float)(u->lr / u->correction1), scale = (float)(1 / sqrt(u->correction2));
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const float d = gradient(&c, g[i], w[i]);
        m[i] = average(m[i], d, beta1, rest1);
        v[i] = average(v[i], d * d, beta2, rest2);
        w[i] = c.keep * w[i] - lr * (m[i] / FMA(sqrtf(v[i]), scale, eps));
    }
}

static void update_adamax(const struct update *u, int64_t n, const float *g, float *w, float *m,
                          float *v)
{
    const struct gradient c = gradient_of(u);
    const float beta1 = (float)u->beta1, rest1 = (float)(1 - u->beta1), eps = (float)u->eps;
    const float beta2 = (float)u->beta2, lr = (float)(u->lr / u->correction1);
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const float d = gradient(&c, g[i], w[i]);
        const float old = beta2 * v[i], now = fabsf(d) + eps;
        m[i] = average(m[i], d, beta1, rest1);
        v[i] = ((old >= now) | (old != old)) ? old : now;
        w[i] = c.keep * w[i] - lr * (m[i] / v[i]);
    }
}

static void update_adagrad(const struct update *u, int64_t n, const float *g, float *w, float *v)
{
    const struct gradient c = gradient_of(u);
    const float lr = (float)u->lr, eps = (float)u->eps;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const float d = gradient(&c, g[i], w[i]);
        v[i] = FMA(d, d, v[i]);
        w[i] = c.keep * w[i] - lr * (d / (sqrtf(v[i]) + eps));
    }
}

static inline void rmsprop(const struct update *u, int64_t n, const float *g, float *w,
                           float *const state[3], const bool option[2])
{
    const struct gradient c = gradient_of(u);
    const float alpha = (float)u->alpha, rest = (float)(1 - u->alpha), eps = (float)u->eps;
    const float lr = (float)u->lr, momentum = (float)u->momentum;
    const bool centered = option[0], moving = option[1];
    float *const m = state[0], *const v = state[1], *const a = state[2];
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const float d = gradient(&c, g[i], w[i]);
        v[i] = average(v[i], d * d, alpha, rest);
        float square = v[i];
        if (centered) {
            a[i] = average(a[i], d, alpha, rest);
            square = FMA(-a[i], a[i], square);
        }
        float step = d / (sqrtf(square < 0 ? 0.0F : square) + eps);
        if (moving) step = m[i] = FMA(momentum, m[i], step);
        w[i] = c.keep * w[i] - lr * step;
    }
}

static void update_rmsprop(const struct update *u, int64_t n, const float *g, float *w, float *m,
                           float *v, float *a)
{
    float *const state[3] = {m, v, a};
    if (u->centered) {
        if (u->momentum != 0)
            rmsprop(u, n, g, w, state, (const bool[2]){true, true});
        else
            rmsprop(u, n, g, w, state, (const bool[2]){true, false});
    } else {
        if (u->momentum != 0)
            rmsprop(u, n, g, w, state, (const bool[2]){false, true});
        else
            rmsprop(u, n, g, w, state, (const bool[2]){false, false});
    }
}

static void lamb_direction(const struct update *u, int64_t n, const float *g, const float *w,
                           float *m, float *v, float *r)
{
    const float grad_scale = (float)u->grad_scale, decay = (float)u->weight_decay;
    const float clip = u->clip_value > 0 ? (float)u->clip_value : INFINITY;
    const float beta1 = (float)u->beta1, rest1 = (float)(1 - u->beta1), eps = (float)u->eps;
    const float beta2 = (float)u->beta2, rest2 = (float)(1 - u->beta2);
    const float factor = (float)(1 / u->correction1), scale = (float)(1 / sqrt(u->correction2));
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const float d = limited(g[i] * grad_scale, clip);
        m[i] = average(m[i], d, beta1, rest1);
        v[i] = average(v[i], d * d, beta2, rest2);
        r[i] = FMA(decay, w[i], factor * m[i] / FMA(sqrtf(v[i]), scale, eps));
    }
}

void FILL(update)(struct kernels *k)
{
    k->f32.update_sgd = update_sgd;
    k->f32.update_adam = update_adam;
    k->f32.update_adamax = update_adamax;
    k->f32.update_adagrad = update_adagrad;
    k->f32.update_rmsprop = update_rmsprop;
    k->f32.lamb_direction = lamb_direction;
}
