/* peaks.c - what a detector shows of a Bragg peak: centre within 1.5 pixels of the patch's, half width 1.2 to 3.5 pixels,
 * any mixture of Gauss and Lorentz, 20 to 2,000 counts (log-uniform) over up to 10 of background; every third or so has a
 * neighbour. The easy kind (50 to 5,000 counts, no neighbours) is there to show where a network is not needed. */
#include "peaks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

double peak_value(const struct peak *p, double column, double row)
{
    const double x = column - p->at[0], y = row - p->at[1], c = cos(p->angle), s = sin(p->angle);
    const double u = 2 * (c * x + s * y) / p->w[0], v = 2 * (c * y - s * x) / p->w[1];
    const double r2 = u * u + v * v;
    return p->amplitude * (p->eta / (1 + r2) + (1 - p->eta) * exp(-M_LN2 * r2));
}

static struct peak draw_peak(struct app_random *r, bool hard)
{
    struct peak p;
    for (int i = 0; i < 2; i++) p.at[i] = SIDE / 2 + app_uniform(r, -1.5, 1.5);
    p.w[0] = app_uniform(r, 1.2, 3.5);
    p.w[1] = p.w[0] * app_uniform(r, 0.7, 1.4);
    p.angle = app_uniform(r, 0, M_PI);
    p.eta = app_uniform(r, 0, 1);
    p.amplitude = exp(app_uniform(r, log(hard ? 20 : 50), log(hard ? 2000 : 5000)));
    return p;
}

/* 4 to 7 pixels away, a tenth to six tenths as high, of the same shape. */
static struct peak draw_neighbour(struct app_random *r, const struct peak *p)
{
    struct peak n = *p;
    const double far = app_uniform(r, 4, 7), to = app_uniform(r, 0, 2 * M_PI);
    n.at[0] += far * cos(to);
    n.at[1] += far * sin(to);
    n.amplitude *= app_uniform(r, 0.1, 0.6);
    return n;
}

void peaks_draw(const struct peaks *s, int64_t epoch, int64_t sample, float *counts, double centre[2])
{
    struct app_random r = app_random(s->seed, s->hard ? "hard peak" : "easy peak", epoch, sample);
    const struct peak p = draw_peak(&r, s->hard);
    const double background = app_uniform(&r, 0, 10);
    struct peak beside = {.w = {1, 1}};
    if (s->hard && app_uniform(&r, 0, 1) < 0.35) beside = draw_neighbour(&r, &p);
    for (int i = 0; i < PIXELS; i++) {
        const double column = i % SIDE, row = (double)(i / SIDE);
        const double mean = background + peak_value(&p, column, row) + peak_value(&beside, column, row);
        counts[i] = (float)app_poisson(&r, mean);
    }
    centre[0] = p.at[0];
    centre[1] = p.at[1];
}

static void range_of(const float *x, float *low, float *high)
{
    *low = *high = x[0];
    for (int i = 1; i < PIXELS; i++) {
        *low = fminf(*low, x[i]);
        *high = fmaxf(*high, x[i]);
    }
}

void peaks_normalise(const float *counts, float *x)
{
    float low, high;
    range_of(counts, &low, &high);
    const float span = high > low ? high - low : 1;
    for (int i = 0; i < PIXELS; i++) x[i] = (counts[i] - low) / span;
}

void peaks_centre_of_mass(const float *counts, double centre[2])
{
    float low, high;
    double sum = 0, by[2] = {0};
    range_of(counts, &low, &high);
    for (int i = 0; i < PIXELS; i++) {
        const double w = (double)(counts[i] - low);
        sum += w;
        by[0] += w * (i % SIDE);
        by[1] += w * (double)(i / SIDE);
    }
    for (int i = 0; i < 2; i++) centre[i] = sum > 0 ? by[i] / sum : SIDE / 2;
}

/* ---- the fit ---- */

/* column, row, log of the two widths, angle, logit of eta, log of amplitude, background */
enum { UNKNOWNS = 8, ROUNDS = 60 };

struct fit {
    const float *counts;
    double weight[PIXELS]; /* 1 / standard deviation */
};

static struct peak as_peak(const double q[UNKNOWNS])
{
    return (struct peak){{q[0], q[1]}, {exp(q[2]), exp(q[3])}, q[4], 1 / (1 + exp(-q[5])), exp(q[6])};
}

static double residuals(const struct fit *f, const double q[UNKNOWNS], double *out)
{
    const struct peak p = as_peak(q);
    double sum = 0;
    for (int i = 0; i < PIXELS; i++) {
        const double y = q[7] + peak_value(&p, i % SIDE, (double)(i / SIDE));
        out[i] = f->weight[i] * (y - (double)f->counts[i]);
        sum += out[i] * out[i];
    }
    return sum;
}

static void start(const struct fit *f, double q[UNKNOWNS])
{
    float low, high;
    range_of(f->counts, &low, &high);
    int best = 0;
    for (int i = 1; i < PIXELS; i++) {
        const int far = abs(i % SIDE - SIDE / 2) + abs(i / SIDE - SIDE / 2);
        const int now = abs(best % SIDE - SIDE / 2) + abs(best / SIDE - SIDE / 2);
        if (far <= 4 && (f->counts[i] > f->counts[best] || now > 4)) best = i;
    }
    const double first[UNKNOWNS] = {best % SIDE,   (double)(best / SIDE), log(2),        log(2), 0, 0,
                                    log((double)(high - low) + 1), (double)low};
    memcpy(q, first, sizeof first);
}

/* J^T J and J^T r by differences. */
static void normal_equations(const struct fit *f, const double q[UNKNOWNS], const double *r,
                             double a[UNKNOWNS][UNKNOWNS], double b[UNKNOWNS])
{
    static const double by = 1e-5;
    double j[UNKNOWNS][PIXELS];
    for (int k = 0; k < UNKNOWNS; k++) {
        double moved[UNKNOWNS];
        memcpy(moved, q, sizeof moved);
        moved[k] += by;
        (void)residuals(f, moved, j[k]);
        for (int i = 0; i < PIXELS; i++) j[k][i] = (j[k][i] - r[i]) / by;
    }
    for (int k = 0; k < UNKNOWNS; k++) {
        b[k] = 0;
        for (int i = 0; i < PIXELS; i++) b[k] += j[k][i] * r[i];
        for (int l = 0; l < UNKNOWNS; l++) {
            a[k][l] = 0;
            for (int i = 0; i < PIXELS; i++) a[k][l] += j[k][i] * j[l][i];
        }
    }
}

/* (a + damping diag a) x = b by elimination; a is positive definite with damping. */
static void solve(double a[UNKNOWNS][UNKNOWNS], const double b[UNKNOWNS], double damping, double x[UNKNOWNS])
{
    double m[UNKNOWNS][UNKNOWNS + 1];
    for (int i = 0; i < UNKNOWNS; i++) {
        memcpy(m[i], a[i], UNKNOWNS * sizeof(double));
        m[i][i] += damping * a[i][i] + 1e-12;
        m[i][UNKNOWNS] = b[i];
    }
    for (int i = 0; i < UNKNOWNS; i++)
        for (int k = i + 1; k < UNKNOWNS; k++) {
            const double by = m[k][i] / m[i][i];
            for (int l = i; l <= UNKNOWNS; l++) m[k][l] -= by * m[i][l];
        }
    for (int i = UNKNOWNS - 1; i >= 0; i--) {
        x[i] = m[i][UNKNOWNS];
        for (int l = i + 1; l < UNKNOWNS; l++) x[i] -= m[i][l] * x[l];
        x[i] /= m[i][i];
    }
}

void peaks_fit(const float *counts, double centre[2])
{
    struct fit f = {.counts = counts};
    double q[UNKNOWNS], r[PIXELS], damping = 1e-2;
    for (int i = 0; i < PIXELS; i++) f.weight[i] = 1 / sqrt((double)counts[i] + 1);
    start(&f, q);
    double sum = residuals(&f, q, r);
    for (int round = 0; round < ROUNDS && damping < 1e8; round++) {
        double a[UNKNOWNS][UNKNOWNS], b[UNKNOWNS], step[UNKNOWNS], next[UNKNOWNS], there[PIXELS];
        normal_equations(&f, q, r, a, b);
        solve(a, b, damping, step);
        for (int i = 0; i < UNKNOWNS; i++) next[i] = q[i] - step[i];
        const double new = residuals(&f, next, there);
        damping *= new < sum ? 0.3 : 5;
        if (!(new < sum)) continue;
        memcpy(q, next, sizeof q);
        memcpy(r, there, sizeof r);
        if (sum - new < 1e-9 * sum) break;
        sum = new;
    }
    centre[0] = q[0];
    centre[1] = q[1];
}
