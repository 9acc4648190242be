/* cross_entropy.c - formulas of cross_entropy_ref.c, a group of rows at a time (rows.h): maximum;
 * exponentials and their sum; the smoothed part or the gradient. Rows of few classes are turned on
 * their side instead (few.h): some 7 cycles a row of three.
 */
#include "kernels/simd/exps.h"
#include "kernels/simd/few.h"

struct loss {
    const float *weight;
    double smoothing;
};

/* a: the row's maximum, b: the logarithm of its sum of exponentials; b + a - x: minus the
 * log-probability */
INLINE vec minus_log(const struct rows *g, int64_t r, int64_t j, int64_t left)
{
    return vec_set(g->b[r]) - (vec_load_part(g->x + r * g->n + j, left) - vec_set(g->a[r]));
}

INLINE void term_minus_log(const struct rows *g, int64_t r, int64_t j, int64_t left, vec sum[2])
{
    sum[0] += minus_log(g, r, j, left);
}

/* A class of weight 0 is not there, even if its x is -inf. */
INLINE void term_weighted(const struct rows *g, int64_t r, int64_t j, int64_t left, vec sum[2])
{
    const vec w = vec_load_part(g->weight + j, left);
    sum[0] += vec_zero_where(w, w * minus_log(g, r, j, left));
}

INLINE void loss_group(struct rows *g, int64_t rows, const int32_t *label, const struct loss *l,
                       float *const out[2])
{
    double sum[VEC_LANES], soft[1][VEC_LANES] = {{0}};
    exps_of(g, rows, sum);
#pragma omp simd
    for (int r = 0; r < row_count(rows); r++) g->b[r] = fast_log((float)sum[r]);
    if (l->smoothing != 0 && g->weight) rows_sum(term_weighted, g, rows, 1, soft);
    if (l->smoothing != 0 && !g->weight) rows_sum(term_minus_log, g, rows, 1, soft);
    for (int64_t r = 0; r < rows; r++) {
        const int32_t t = label[r];
        out[0][r] = out[1][r] = NAN;
        if (t < 0 || t >= g->n) continue;
        const double w = l->weight ? (double)l->weight[t] : 1, hard = (1 - l->smoothing) * w;
        const double at_label = (double)g->b[r] - ((double)g->x[r * g->n + t] - (double)g->a[r]);
        const double part = l->smoothing != 0 ? l->smoothing / (double)g->n * soft[0][r] : 0;
        out[0][r] = (float)(part + (hard != 0 ? hard * at_label : 0));
        out[1][r] = (float)w;
    }
}

struct slope {
    const float *weight; /* of the smoothed part, or NULL */
    double hard, total;  /* (1 - smoothing), the smoothed part's sum over classes */
    float soft, factor;
};

/* dx = factor (p e - soft weight), and - hard at the label, where e may be all that is lost */
INLINE void grad_row(const struct rows *g, int64_t r, int32_t t, const struct slope *s,
                     double inverse)
{
    const int64_t n = g->n;
    const float *weight = s->weight;
    const bool valid = t >= 0 && t < n;
    float *dx = g->to + r * n;
    const double w = valid && g->weight ? (double)g->weight[t] : 1;
    const double hard = valid ? s->hard * w : (double)NAN;
    const float p = (float)((hard + s->total) * inverse);
    const float at_label = valid ? dx[t] * p - (float)hard : NAN;
    const vec share = vec_set(p), soft = vec_set(s->soft), factor = vec_set(s->factor);
    ALONG(n, vec q = soft; if (weight) q *= vec_load_part(weight + j, left);
          vec_store_part(dx + j, factor * (vec_load_part(dx + j, left) * share - q), left););
    if (valid) dx[t] = s->factor * (at_label - (weight ? s->soft * weight[t] : s->soft));
}

/* --- few classes: arrays over rows --- */

struct few {
    int64_t rows, n;
    few_column x[FEW], e[FEW];
    float max[FEW_ROWS], sum[FEW_ROWS];
    int32_t label[FEW_ROWS];
};

/* x, its exponentials e less the row's maximum, and their sum. */
static void few_exps(struct few *f, int64_t rows, int64_t n, const float *x, const int32_t *label)
{
    const int64_t wide = few_wide(rows);
    f->rows = rows;
    f->n = n;
    few_turn(rows, n, x, f->x);
    for (int64_t r = 0; r < wide; r++) f->label[r] = r < rows ? label[r] : 0;
    for (int64_t r = 0; r < wide; r++) {
        f->max[r] = f->x[0][r];
        f->sum[r] = 0;
    }
    for (int64_t j = 1; j < n; j++) {
#pragma omp simd
        for (int64_t r = 0; r < wide; r++)
            f->max[r] = f->x[j][r] > f->max[r] ? f->x[j][r] : f->max[r];
    }
    for (int64_t j = 0; j < n; j++) {
#pragma omp simd
        for (int64_t r = 0; r < wide; r++) {
            f->e[j][r] = fast_exp_negative(f->x[j][r] - f->max[r]);
            f->sum[r] += f->e[j][r];
        }
    }
}

static void few_loss(const struct few *f, const struct loss *l, float *loss, float *scale)
{
    const int64_t n = f->n, wide = few_wide(f->rows);
    const float share = (float)(l->smoothing / (double)n), rest = 1 - (float)l->smoothing;
    float log_sum[FEW_ROWS], hard[FEW_ROWS], soft[FEW_ROWS] = {0}, of_label[FEW_ROWS];
#pragma omp simd
    for (int64_t r = 0; r < wide; r++) {
        log_sum[r] = fast_log(f->sum[r]);
        hard[r] = of_label[r] = NAN;
    }
    for (int64_t j = 0; j < n; j++) {
        const float w = l->weight ? l->weight[j] : 1;
        const float w_soft = l->smoothing != 0 ? share * w : 0, w_hard = rest * w;
#pragma omp simd
        for (int64_t r = 0; r < wide; r++) {
            const float minus_log = log_sum[r] - (f->x[j][r] - f->max[r]);
            const bool here = f->label[r] == (int32_t)j;
            hard[r] = here ? (w_hard != 0 ? w_hard * minus_log : 0) : hard[r];
            of_label[r] = here ? w : of_label[r];
            soft[r] += w_soft != 0 ? w_soft * minus_log : 0;
        }
    }
    for (int64_t r = 0; r < f->rows; r++) {
        loss[r] = hard[r] + soft[r];
        scale[r] = of_label[r];
    }
}

static void few_grad(struct few *f, const struct slope *s, const float *weight, float *dx)
{
    const int64_t n = f->n, wide = few_wide(f->rows);
    float share[FEW_ROWS];
    for (int64_t r = 0; r < wide; r++) share[r] = NAN; /* a row whose label is no class */
    for (int64_t j = 0; j < n; j++) {
        const float all = (float)(s->hard * (weight ? (double)weight[j] : 1) + s->total);
#pragma omp simd
        for (int64_t r = 0; r < wide; r++) share[r] = f->label[r] == (int32_t)j ? all : share[r];
    }
#pragma omp simd
    for (int64_t r = 0; r < wide; r++) share[r] /= f->sum[r];
    for (int64_t j = 0; j < n; j++) {
        const float soft = s->weight ? s->soft * s->weight[j] : s->soft;
        const float hard = (float)(s->hard * (weight ? (double)weight[j] : 1));
#pragma omp simd
        for (int64_t r = 0; r < wide; r++) {
            const float target = f->label[r] == (int32_t)j ? hard : 0;
            f->e[j][r] = s->factor * ((f->e[j][r] * share[r] - target) - soft);
        }
    }
    few_return(f->rows, n, (const few_column *)f->e, dx);
}

/* --- leaves --- */

static void cross_entropy(int64_t rows, int64_t n, const float *x, const int32_t *label,
                          const float *weight, float smoothing, float *loss, float *scale)
{
    const int64_t group = row_group(n);
    const struct loss l = {weight, (double)smoothing};
    if (n > 0 && n <= FEW) {
        struct few f;
        for (int64_t i = 0; i < rows; i += FEW_ROWS) {
            few_exps(&f, rows - i < FEW_ROWS ? rows - i : FEW_ROWS, n, x + i * n, label + i);
            few_loss(&f, &l, loss + i, scale + i);
        }
        return;
    }
    for (int64_t i = 0; i < rows; i += group) {
        struct rows g = {.n = n, .x = x + i * n, .weight = weight};
        float *const out[2] = {loss + i, scale + i};
        loss_group(&g, rows - i < group ? rows - i : group, label + i, &l, out);
    }
}

static void cross_entropy_grad(int64_t rows, int64_t n, const float *x, const int32_t *label,
                               const float *weight, float smoothing, float factor, float *dx)
{
    const int64_t group = row_group(n);
    const double share = n > 0 ? (double)smoothing / (double)n : 0;
    const double classes = weight ? row_sum(n, weight) : (double)n;
    const struct slope s = {smoothing != 0 ? weight : NULL, 1 - (double)smoothing,
                            smoothing != 0 ? share * classes : 0, (float)share, factor};
    if (n > 0 && n <= FEW) {
        struct few f;
        for (int64_t i = 0; i < rows; i += FEW_ROWS) {
            few_exps(&f, rows - i < FEW_ROWS ? rows - i : FEW_ROWS, n, x + i * n, label + i);
            few_grad(&f, &s, weight, dx + i * n);
        }
        return;
    }
    for (int64_t i = 0; i < rows; i += group) {
        struct rows g = {.n = n, .x = x + i * n, .weight = weight, .to = dx + i * n};
        const int64_t now = rows - i < group ? rows - i : group;
        double sum[VEC_LANES];
        exps_of(&g, now, sum);
        for (int l = 0; l < row_count(now); l++) sum[l] = 1 / sum[l];
        for (int64_t r = 0; r < now; r++) grad_row(&g, r, label[i + r], &s, sum[r]);
    }
}

void FILL(cross_entropy)(struct kernels *k)
{
    k->f32.cross_entropy = cross_entropy;
    k->f32.cross_entropy_grad = cross_entropy_grad;
}
