/* softmax.c - softmax and its logarithm along rows, a group of rows at a time (rows.h): maximum;
 * exponentials and their sum (exps.h); result. The group stays in the first cache, so memory is read once
 * and written once. Bound by the exponential: some 13 instructions for 16 numbers, against 4 that
 * a copy's bandwidth would allow from the second cache, 20 from memory.
 */
#include "kernels/simd/exps.h"

INLINE void softmax_group(struct rows *g, int64_t rows)
{
    double sum[VEC_LANES];
    exps_of(g, rows, sum);
    for (int l = 0; l < row_count(rows); l++) g->b[l] = (float)(1 / sum[l]);
    for (int64_t r = 0; r < rows; r++) {
        const vec factor = vec_set(g->b[r]);
        float *y = g->to + r * g->n;
        ALONG(g->n, vec_store_part(y + j, vec_load_part(y + j, left) * factor, left););
    }
}

INLINE void term_x_y(const struct rows *g, int64_t r, int64_t j, int64_t left, vec sum[2])
{
    const int64_t at = r * g->n + j;
    sum[0] = vec_fma(vec_load_part(g->x + at, left), vec_load_part(g->y + at, left), sum[0]);
}

/* x: softmax, y: dy. A result past the caches is one of many rows from memory: the next ones are
 * asked for while these, in the first cache, are finished. */
INLINE void softmax_grad_rows(struct rows *g, int64_t rows, const bool stream)
{
    double sum[1][VEC_LANES];
    rows_sum(term_x_y, g, rows, 1, sum);
    for (int64_t r = 0; r < rows; r++) {
        const vec dot = vec_set((float)sum[0][r]);
        const float *y = g->x + r * g->n, *dy = g->y + r * g->n;
        float *dx = g->to + r * g->n;
        const int64_t next = row_group(g->n) * g->n;
        ALONG(g->n, const vec d = vec_load_part(dy + j, left) - dot;
              if (stream) __builtin_prefetch(y + j + next, 0, 3);
              if (stream) __builtin_prefetch(dy + j + next, 0, 3);
              vec_write(stream, dx + j, vec_load_part(y + j, left) * d, left););
    }
}

INLINE void softmax_grad_group(struct rows *g, int64_t rows)
{
    softmax_grad_rows(g, rows, false);
}
INLINE void softmax_grad_stream(struct rows *g, int64_t rows)
{
    softmax_grad_rows(g, rows, true);
}

INLINE void log_softmax_group(struct rows *g, int64_t rows)
{
    double sum[VEC_LANES];
    struct rows unkept = {.n = g->n, .x = g->x};
    exps_of(&unkept, rows, sum);
#pragma omp simd
    for (int l = 0; l < row_count(rows); l++) g->b[l] = fast_log((float)sum[l]);
    for (int64_t r = 0; r < rows; r++) {
        const vec max = vec_set(unkept.a[r]), log_sum = vec_set(g->b[r]);
        const float *x = g->x + r * g->n;
        float *y = g->to + r * g->n;
        ALONG(g->n, vec_store_part(y + j, vec_load_part(x + j, left) - max - log_sum, left););
    }
}

/* x: log softmax, y: dy */
INLINE void log_softmax_grad_group(struct rows *g, int64_t rows)
{
    double sum[1][VEC_LANES];
    const struct rows dy_only = {.n = g->n, .x = g->y};
    rows_sum(term_x, &dy_only, rows, 1, sum);
    for (int64_t r = 0; r < rows; r++) {
        const vec total = vec_set((float)sum[0][r]);
        const float *y = g->x + r * g->n, *dy = g->y + r * g->n;
        float *dx = g->to + r * g->n;
        ALONG(g->n, const vec e = vec_exp(vec_load_part(y + j, left));
              vec_store_part(dx + j, vec_load_part(dy + j, left) - e * total, left););
    }
}

INLINE void each_group(void (*run)(struct rows *g, int64_t rows), int64_t rows, struct rows g)
{
    const int64_t group = row_group(g.n), step = group * g.n;
    for (int64_t i = 0; i < rows; i += group) {
        if (group == 1)
            run(&g, 1);
        else
            run(&g, rows - i < group ? rows - i : group);
        g.x += step;
        if (g.y) g.y += step;
        g.to += step;
    }
}

static void softmax(int64_t rows, int64_t n, const float *x, float *y)
{
    each_group(softmax_group, rows, (struct rows){.n = n, .x = x, .to = y});
}

static void softmax_grad(int64_t rows, int64_t n, const float *y, const float *dy, bool stream,
                         float *dx)
{
    const struct rows g = {.n = n, .x = y, .y = dy, .to = dx};
    if (vec_streams(stream, n, dx))
        each_group(softmax_grad_stream, rows, g);
    else
        each_group(softmax_grad_group, rows, g);
}

static void log_softmax(int64_t rows, int64_t n, const float *x, float *y)
{
    each_group(log_softmax_group, rows, (struct rows){.n = n, .x = x, .to = y});
}

static void log_softmax_grad(int64_t rows, int64_t n, const float *y, const float *dy, float *dx)
{
    each_group(log_softmax_grad_group, rows, (struct rows){.n = n, .x = y, .y = dy, .to = dx});
}

void FILL(softmax)(struct kernels *k)
{
    k->f32.softmax = softmax;
    k->f32.softmax_grad = softmax_grad;
    k->f32.log_softmax = log_softmax;
    k->f32.log_softmax_grad = log_softmax_grad;
}
