/* tables.c - what measured tables need before and beside a network: columns made comparable, and the least squares that
 * knows only who was measured.
 *
 * Effects are found by conjugate gradients on the normal equations (CGLS), each column scaled by the root of its count,
 * so a single factor takes one step and a level without rows stays at 0 (the solution of least norm).
 * Cost: steps x rows x k. Source: Hestenes and Stiefel (1952); Bjorck, Numerical methods for least squares (1996), 7.4.
 */
#include <math.h>
#include <stdlib.h>

#include "app.h"

/* ---- columns ---- */

struct column {
    double mean, variance;
    int64_t index;
};

static struct column look(const float *x, int64_t rows, int64_t columns, int64_t c, const bool *used)
{
    double n = 0, mean = 0, variance = 0;
    for (int64_t r = 0; r < rows; r++)
        if (used[r]) {
            mean += (double)x[r * columns + c];
            n++;
        }
    mean /= fmax(n, 1);
    for (int64_t r = 0; r < rows; r++)
        if (used[r]) variance += pow((double)x[r * columns + c] - mean, 2) / n;
    return (struct column){mean, variance, c};
}

static int by_variance(const void *a, const void *b)
{
    const struct column *p = a, *q = b;
    if (p->variance != q->variance) return p->variance > q->variance ? -1 : 1;
    return (p->index > q->index) - (p->index < q->index);
}

static int by_index(const void *a, const void *b)
{
    const struct column *p = a, *q = b;
    return (p->index > q->index) - (p->index < q->index);
}

sunup_status app_columns(sunup_context *ctx, sunup_tensor *t, const bool *used, int64_t keep)
{
    const int64_t rows = t->shape.d[0], columns = t->shape.d[1];
    const double limit = 5; /* deviations */
    if (keep < 1 || keep > columns)
        return app_error(ctx, SUNUP_E_ARGUMENT, "%lld columns of %lld cannot be kept", (long long)keep,
                         (long long)columns);
    struct column *c = malloc((size_t)columns * sizeof *c);
    if (c == NULL) return app_error(ctx, SUNUP_E_MEMORY, "no memory for %lld columns", (long long)columns);
    float *x = t->data;
    for (int64_t i = 0; i < columns; i++) c[i] = look(x, rows, columns, i, used);
    qsort(c, (size_t)columns, sizeof *c, by_variance);
    qsort(c, (size_t)keep, sizeof *c, by_index);
    for (int64_t r = 0; r < rows; r++) /* in place: what is written lies before what is read later */
        for (int64_t i = 0; i < keep; i++) {
            const bool constant = c[i].variance <= 1e-12 * (1 + c[i].mean * c[i].mean);
            const double z = ((double)x[r * columns + c[i].index] - c[i].mean) / sqrt(c[i].variance);
            x[r * keep + i] = constant ? 0 : (float)fmin(fmax(z, -limit), limit);
        }
    t->shape.d[1] = keep;
    free(c);
    return SUNUP_OK;
}

/* ---- effects ---- */

struct squares {
    int64_t rows, levels;
    int k;
    const int32_t *level; /* [rows][k] */
    double *scale;        /* [levels]: 1 / root of the count, 0 without rows */
};

/* y = A x */
static void forward(const struct squares *s, const double *x, double *y)
{
    for (int64_t r = 0; r < s->rows; r++) {
        y[r] = 0;
        for (int j = 0; j < s->k; j++) {
            const int32_t l = s->level[r * s->k + j];
            y[r] += s->scale[l] * x[l];
        }
    }
}

/* x = A^T y */
static void adjoint(const struct squares *s, const double *y, double *x)
{
    for (int64_t l = 0; l < s->levels; l++) x[l] = 0;
    for (int64_t r = 0; r < s->rows; r++)
        for (int j = 0; j < s->k; j++) {
            const int32_t l = s->level[r * s->k + j];
            x[l] += s->scale[l] * y[r];
        }
}

static double norm2(int64_t n, const double *x)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i] * x[i];
    return sum;
}

/* x: 0 before, the solution after; residual [rows]: the right side; work: [2 levels + rows]. */
static void solve(const struct squares *s, double *x, double *residual, double *work)
{
    double *const g = work, *const p = work + s->levels, *const q = p + s->levels;
    adjoint(s, residual, g);
    for (int64_t l = 0; l < s->levels; l++) p[l] = g[l];
    double gamma = norm2(s->levels, g);
    const double enough = 1e-20 * gamma;
    for (int step = 0; step < 300 && gamma > enough; step++) {
        forward(s, p, q);
        const double alpha = gamma / norm2(s->rows, q);
        for (int64_t l = 0; l < s->levels; l++) x[l] += alpha * p[l];
        for (int64_t r = 0; r < s->rows; r++) residual[r] -= alpha * q[r];
        adjoint(s, residual, g);
        const double next = norm2(s->levels, g);
        for (int64_t l = 0; l < s->levels; l++) p[l] = g[l] + next / gamma * p[l];
        gamma = next;
    }
}

double *app_effects(const struct app_levels *a, const float *y)
{
    const size_t rows = (size_t)a->rows, levels = (size_t)a->levels;
    double *effect = calloc(levels + 1, sizeof *effect);
    double *room = calloc(2 * rows + 3 * levels, sizeof *room);
    if (effect != NULL && room != NULL) {
        const struct squares s = {a->rows, a->levels, a->k, a->level, room};
        double *residual = room + levels, mean = 0;
        for (size_t i = 0; i < rows * (size_t)a->k; i++) s.scale[a->level[i]]++;
        for (size_t l = 0; l < levels; l++) s.scale[l] = s.scale[l] > 0 ? 1 / sqrt(s.scale[l]) : 0;
        for (size_t r = 0; r < rows; r++) mean += (double)y[r] / (double)rows;
        for (size_t r = 0; r < rows; r++) residual[r] = (double)y[r] - mean;
        solve(&s, effect, residual, residual + rows);
        for (size_t l = 0; l < levels; l++) effect[l] *= s.scale[l];
        effect[levels] = mean;
    } else {
        free(effect);
        effect = NULL;
    }
    free(room);
    return effect;
}

void app_effects_predict(const struct app_levels *a, const double *effect, float *y)
{
    for (int64_t r = 0; r < a->rows; r++) {
        double sum = effect[a->levels];
        for (int j = 0; j < a->k; j++) sum += effect[a->level[r * a->k + j]];
        y[r] = (float)sum;
    }
}
