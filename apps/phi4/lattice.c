/* lattice.c - the action of the field and what is known of it without a network: the free field
 * in closed form, local Metropolis updates, log Z by thermodynamic integration. All in f64.
 *
 * log Z: along S_t with m2(t) = 4 + t (m2 - 4), lambda(t) = t lambda, d log Z / dt = -<dS/dt>, by
 * Gauss and Legendre's 12 points, which the smooth integrand leaves an error far below that of
 * the samples. Its samples' noise is taken off by variables whose mean is 0 whatever the action:
 * sum_x (f S' - f') for f = phi, phi^3 (integration by parts; Assaraf and Caffarel, Phys. Rev.
 * Lett. 83, 4682 (1999)).
 */
#include <math.h>
#include <stdlib.h>

#include "phi4.h"

enum { POINTS = 12, AT_REST = 1000, CONTROLS = 2 };

/* ---- the action ---- */

static double neighbours(const struct lattice *l, const double *phi, int64_t y, int64_t x)
{
    const int64_t n = l->length, up = y > 0 ? y - 1 : n - 1, down = y < n - 1 ? y + 1 : 0,
                  left = x > 0 ? x - 1 : n - 1, right = x < n - 1 ? x + 1 : 0;
    return phi[up * n + x] + phi[down * n + x] + phi[y * n + left] + phi[y * n + right];
}

double phi4_action(const struct lattice *l, const double *phi)
{
    double sum = 0;
    for (int64_t y = 0; y < l->length; y++)
        for (int64_t x = 0; x < l->length; x++) {
            const double f = phi[y * l->length + x], f2 = f * f;
            sum += (l->m2 + 4) * f2 + l->lambda * f2 * f2 - f * neighbours(l, phi, y, x);
        }
    return sum;
}

void phi4_force(const struct lattice *l, const double *phi, double *force)
{
    for (int64_t y = 0; y < l->length; y++)
        for (int64_t x = 0; x < l->length; x++) {
            const double f = phi[y * l->length + x];
            force[y * l->length + x] =
                2 * (l->m2 + 4) * f + 4 * l->lambda * f * f * f - 2 * neighbours(l, phi, y, x);
        }
}

/* exp(-sum_k A_k |phi_k|^2), A = m2 + 4 - 2 cos k_1 - 2 cos k_2: a factor sqrt(pi / A) each. */
double phi4_free_log_z(const struct lattice *l)
{
    const double pi = acos(-1.0), step = 2 * pi / (double)l->length;
    double sum = 0;
    for (int64_t a = 0; a < l->length; a++)
        for (int64_t b = 0; b < l->length; b++)
            sum +=
                0.5 * log(pi / (l->m2 + 4 - 2 * cos(step * (double)a) - 2 * cos(step * (double)b)));
    return sum;
}

/* ---- a walk ---- */

static bool update(struct walk *w, int64_t y, int64_t x)
{
    const struct lattice *l = &w->l;
    double *f = &w->phi[y * l->length + x];
    const double old = *f, now = old + app_uniform(&w->random, -w->width, w->width);
    const double o2 = old * old, n2 = now * now;
    /* the terms of the action that this site is in: phi times its neighbours is there twice */
    const double change = (l->m2 + 4) * (n2 - o2) + l->lambda * (n2 * n2 - o2 * o2) -
                          2 * (now - old) * neighbours(l, w->phi, y, x);
    if (change > 0 && app_uniform(&w->random, 0, 1) >= exp(-change)) return false;
    *f = now;
    return true;
}

double phi4_sweep(struct walk *w)
{
    int64_t accepted = 0;
    for (int64_t y = 0; y < w->l.length; y++)
        for (int64_t x = 0; x < w->l.length; x++) accepted += update(w, y, x);
    return (double)accepted / (double)phi4_sites(&w->l);
}

bool phi4_walk_begin(struct walk *w, const struct lattice *l, uint64_t seed)
{
    *w = (struct walk){.l = *l, .width = 1, .random = app_random(seed, "phi4 walk", 0, 0)};
    w->phi = calloc((size_t)phi4_sites(l), sizeof *w->phi);
    if (w->phi == NULL) return false;
    for (int i = 0; i < AT_REST; i++) w->width *= phi4_sweep(w) > 0.5 ? 1.01 : 0.99;
    for (int i = 0; i < AT_REST; i++) (void)phi4_sweep(w);
    return true;
}

void phi4_walk_end(struct walk *w)
{
    free(w->phi);
    *w = (struct walk){0};
}

static void measure(const struct walk *w, double *m2_site, double *phi2)
{
    double m = 0, squares = 0;
    const int64_t n = phi4_sites(&w->l);
    for (int64_t i = 0; i < n; i++) {
        m += w->phi[i];
        squares += w->phi[i] * w->phi[i];
    }
    *m2_site = m * m / (double)n;
    *phi2 = squares / (double)n;
}

bool phi4_walk_measure(const struct lattice *l, int64_t sweeps, uint64_t seed, struct estimate *chi,
                       struct estimate *phi2)
{
    struct walk w;
    double *series = malloc((size_t)(2 * sweeps) * sizeof *series);
    const bool good = phi4_walk_begin(&w, l, seed) && series != NULL;
    for (int64_t i = 0; i < sweeps && good; i++) {
        (void)phi4_sweep(&w);
        measure(&w, &series[i], &series[sweeps + i]);
    }
    if (good) {
        *chi = phi4_blocked(sweeps, series);
        *phi2 = phi4_blocked(sweeps, series + sweeps);
    }
    free(series);
    phi4_walk_end(&w);
    return good;
}

/* ---- log Z ---- */

/* Abscissas and weights on [0, 1], by Newton's steps on the Legendre polynomial. */
static void gauss_legendre(double t[POINTS], double weight[POINTS])
{
    for (int i = 0; i < POINTS; i++) {
        double x = cos(acos(-1.0) * (i + 0.75) / (POINTS + 0.5)), slope = 1;
        for (int step = 0; step < 50; step++) {
            double below = 1, p = x;
            for (int k = 2; k <= POINTS; k++) {
                const double next = ((2 * k - 1) * x * p - (k - 1) * below) / k;
                below = p;
                p = next;
            }
            slope = POINTS * (x * p - below) / (x * x - 1);
            x -= p / slope;
        }
        t[i] = 0.5 * (1 - x);
        weight[i] = 1 / ((1 - x * x) * slope * slope);
    }
}

/* dS/dt of this field, and the variables of mean 0. */
static void look(const struct walk *w, const struct lattice *to, double *force,
                 double x[1 + CONTROLS])
{
    const int64_t n = phi4_sites(&w->l);
    phi4_force(&w->l, w->phi, force);
    x[0] = x[1] = x[2] = 0;
    for (int64_t i = 0; i < n; i++) {
        const double f = w->phi[i], f2 = f * f;
        x[0] += (to->m2 - 4) * f2 + to->lambda * f2 * f2;
        x[1] += f * force[i] - 1;
        x[2] += f * f2 * force[i] - 3 * f2;
    }
}

static double covariance(int64_t n, const double *x, const double *y)
{
    double sx = 0, sy = 0, sxy = 0;
    for (int64_t i = 0; i < n; i++) {
        sx += x[i];
        sy += y[i];
        sxy += x[i] * y[i];
    }
    return sxy / (double)n - sx / (double)n * (sy / (double)n);
}

/* x[0] less what least squares know of it by x[1] and x[2]; series of n each. */
static void take_off_controls(int64_t n, double *x)
{
    const double *a = x + n, *b = x + 2 * n;
    const double aa = covariance(n, a, a), ab = covariance(n, a, b), bb = covariance(n, b, b),
                 xa = covariance(n, x, a), xb = covariance(n, x, b), det = aa * bb - ab * ab;
    if (!(det > 1e-12 * aa * bb)) return;
    const double by_a = (xa * bb - xb * ab) / det, by_b = (xb * aa - xa * ab) / det;
    for (int64_t i = 0; i < n; i++) x[i] -= by_a * a[i] + by_b * b[i];
}

static bool slope_at(const struct lattice *to, double t, int64_t sweeps, uint64_t seed,
                     struct estimate *slope)
{
    const struct lattice l = {to->length, 4 + t * (to->m2 - 4), t * to->lambda};
    struct walk w;
    double *x = malloc((size_t)(3 * sweeps) * sizeof *x),
           *force = malloc((size_t)phi4_sites(to) * sizeof *force);
    const bool good = phi4_walk_begin(&w, &l, seed) && x != NULL && force != NULL;
    for (int64_t i = 0; i < sweeps && good; i++) {
        double now[1 + CONTROLS];
        (void)phi4_sweep(&w);
        look(&w, to, force, now);
        for (int k = 0; k <= CONTROLS; k++) x[k * sweeps + i] = now[k];
    }
    if (good) {
        take_off_controls(sweeps, x);
        *slope = phi4_blocked(sweeps, x);
    }
    free(x);
    free(force);
    phi4_walk_end(&w);
    return good;
}

bool phi4_log_z(const struct lattice *l, int64_t sweeps, uint64_t seed, struct estimate *log_z)
{
    double t[POINTS], weight[POINTS], variance = 0;
    gauss_legendre(t, weight);
    log_z->value = phi4_free_log_z(&(struct lattice){.length = l->length, .m2 = 4});
    for (int i = 0; i < POINTS; i++) {
        struct estimate slope;
        if (!slope_at(l, t[i], sweeps, seed + (uint64_t)i, &slope)) return false;
        log_z->value -= weight[i] * slope.value;
        variance += weight[i] * weight[i] * slope.error * slope.error;
    }
    log_z->error = sqrt(variance);
    return true;
}
