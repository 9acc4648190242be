/* update_ref.c - one step of each optimizer on a slice of weights, as torch.optim documents them;
 * in double, rounded when stored. LAMB: You et al., "Large batch optimization for deep learning"
 * (2020).
 *
 * g is scaled, then clipped, then weight decay is added: as gradient (L2), or decoupled from it
 * (AdamW: w (1 - lr wd) before the step). t is the step, 1 at first; correction1 = 1 - beta1^t,
 * correction2 = 1 - beta2^t.
 *
 *   sgd      m = momentum m + (1 - dampening) g (first: m = g)
 *            w -= lr (nesterov ? g + momentum m : m)
 *   adam     m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2
 *            w -= lr / correction1 m / (sqrt(v / correction2) + eps)
 *   adamax   m as adam; v = max(beta2 v, |g| + eps); w -= lr / correction1 m / v
 *   adagrad  v = v + g^2; w -= lr g / (sqrt(v) + eps)
 *   rmsprop  v = alpha v + (1 - alpha) g^2
 *            s = v; centered: a = alpha a + (1 - alpha) g, s = v - a^2
 *            m = momentum m + g / (sqrt(s) + eps); w -= lr m (momentum 0: no m)
 *   lamb     m, v as adam; r = (m / correction1) / (sqrt(v / correction2) + eps) + wd w
 *
 * Deviation: s is not let below 0 where v - a^2 rounds there (a constant gradient); PyTorch gives
 * NaN.
 */
#include "kernels/ref/real.h"

static double gradient(const struct update *u, double g, double w)
{
    g *= u->grad_scale;
    if (u->clip_value > 0) {
        g = g > u->clip_value ? u->clip_value : g;
        g = g < -u->clip_value ? -u->clip_value : g;
    }
    return u->decoupled || u->weight_decay == 0 ? g : g + u->weight_decay * w;
}

static double decayed(const struct update *u, double w)
{
    return u->decoupled ? w * (1 - u->lr * u->weight_decay) : w;
}

static REAL average(double old, double now, double beta)
{
    return RC(beta * old + (1 - beta) * now);
}

void NAME(ref_update_sgd)(const struct update *u, int64_t n, const REAL *g, REAL *w, REAL *m)
{
    for (int64_t i = 0; i < n; i++) {
        const double d = gradient(u, g[i], w[i]);
        double step = d;
        if (u->momentum != 0) {
            const double old = u->momentum * m[i] + (1 - u->dampening) * d;
            m[i] = RC(u->first ? d : old);
            step = u->nesterov ? d + u->momentum * m[i] : m[i];
        }
        w[i] = RC(decayed(u, w[i]) - u->lr * step);
    }
}

void NAME(ref_update_adam)(const struct update *u, int64_t n, const REAL *g, REAL *w, REAL *m,
                           REAL *v)
{
    for (int64_t i = 0; i < n; i++) {
        const double d = gradient(u, g[i], w[i]);
        m[i] = average(m[i], d, u->beta1);
        v[i] = average(v[i], d * d, u->beta2);
        const double step = m[i] / (sqrt(v[i] / u->correction2) + u->eps);
        w[i] = RC(decayed(u, w[i]) - u->lr / u->correction1 * step);
    }
}

void NAME(ref_update_adamax)(const struct update *u, int64_t n, const REAL *g, REAL *w, REAL *m,
                             REAL *v)
{
    for (int64_t i = 0; i < n; i++) {
        const double d = gradient(u, g[i], w[i]);
        const double old = u->beta2 * v[i], now = fabs(d) + u->eps;
        m[i] = average(m[i], d, u->beta1);
        v[i] = RC(old >= now || isnan(old) ? old : now); /* NaN of either stays */
        w[i] = RC(decayed(u, w[i]) - u->lr / u->correction1 * (m[i] / v[i]));
    }
}

void NAME(ref_update_adagrad)(const struct update *u, int64_t n, const REAL *g, REAL *w, REAL *v)
{
    for (int64_t i = 0; i < n; i++) {
        const double d = gradient(u, g[i], w[i]);
        v[i] = RC(v[i] + d * d);
        w[i] = RC(decayed(u, w[i]) - u->lr * (d / (sqrt(v[i]) + u->eps)));
    }
}

void NAME(ref_update_rmsprop)(const struct update *u, int64_t n, const REAL *g, REAL *w, REAL *m,
                              REAL *v, REAL *a)
{
    for (int64_t i = 0; i < n; i++) {
        const double d = gradient(u, g[i], w[i]);
        v[i] = average(v[i], d * d, u->alpha);
        double square = v[i];
        if (u->centered) {
            a[i] = average(a[i], d, u->alpha);
            square -= (double)a[i] * a[i];
        }
        double step = d / (sqrt(square < 0 ? 0 : square) + u->eps);
        if (u->momentum != 0) step = m[i] = RC(u->momentum * m[i] + step);
        w[i] = RC(decayed(u, w[i]) - u->lr * step);
    }
}

void NAME(ref_lamb_direction)(const struct update *u, int64_t n, const REAL *g, const REAL *w,
                              REAL *m, REAL *v, REAL *r)
{
    for (int64_t i = 0; i < n; i++) {
        double d = gradient(u, g[i], 0);
        m[i] = average(m[i], d, u->beta1);
        v[i] = average(v[i], d * d, u->beta2);
        d = m[i] / u->correction1 / (sqrt(v[i] / u->correction2) + u->eps);
        r[i] = RC(d + u->weight_decay * w[i]);
    }
}
