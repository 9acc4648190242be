/* norm.c - layer norm along rows; formulas of norm_ref.c.
 *
 * A group of rows (rows.h) is summed and written while it is in the first cache: x is read from
 * memory once, and in the gradient x and dy once. dgamma and dbeta take the sums of eight rows in a
 * vector each before they are touched, so that they cost little beside dx.
 */
#include "kernels/simd/rows.h"

/* From so many numbers on a row goes alone: the processor does one's end and the next one's beginning
 * at once, and so reads and writes all the while, not by turns. Emerald Rapids, rows of 256, a core:
 * from the third level 202 -> 146 us for 2 MB, where a copy takes 155. */
INLINE int64_t norm_together(int64_t n)
{
    enum { ALONE = 256 };
    return n < ALONE ? row_group(n) : 1;
}

enum { GRAD_GROUP = 8 }; /* not VEC_LANES: the order of dgamma's sum follows from it */

/* a: the row's mean */
INLINE void term_square(const struct rows *g, int64_t r, int64_t j, int64_t left, vec sum[2])
{
    const vec d = vec_load_part(g->x + r * g->n + j, left) - vec_set(g->a[r]);
    sum[0] = vec_fma(d, d, sum[0]);
}

/* The same, and calls for what comes next, since the processor does not look far ahead over two passes
 * of work in the cache: from memory the next rows; from a cache little more than what is under way (two
 * cores, from the third level, 237 -> 207 us). */
INLINE void term_square_far(const struct rows *g, int64_t r, int64_t j, int64_t left, vec sum[2])
{
    __builtin_prefetch(g->x + (r + norm_together(g->n)) * g->n + j, 0, 2);
    term_square(g, r, j, left, sum);
}
INLINE void term_square_near(const struct rows *g, int64_t r, int64_t j, int64_t left, vec sum[2])
{
    enum { AHEAD = 512 };
    __builtin_prefetch(g->x + r * g->n + j + AHEAD, 0, 3);
    term_square(g, r, j, left, sum);
}

/* An operand that may be absent, of which `otherwise` is then read at every place. */
INLINE vec load_or(const float *p, int64_t j, int64_t left, float otherwise)
{
    return p ? vec_load_part(p + j, left) : vec_set(otherwise);
}

INLINE void norm_group(struct rows *g, int64_t rows, const float *beta, double eps,
                       const bool stream)
{
    double sum[1][VEC_LANES], square[1][VEC_LANES];
    const double n = (double)g->n;
    rows_sum(term_x, g, rows, 1, sum);
    for (int l = 0; l < row_count(rows); l++) g->a[l] = (float)(sum[0][l] / n);
    if (stream)
        rows_sum(term_square_far, g, rows, 1, square);
    else
        rows_sum(term_square_near, g, rows, 1, square);
    for (int l = 0; l < row_count(rows); l++) g->b[l] = (float)(1 / sqrt(square[0][l] / n + eps));
    for (int64_t r = 0; r < rows; r++) {
        const vec mean = vec_set(g->a[r]), rstd = vec_set(g->b[r]);
        const float *x = g->x + r * g->n, *gamma = g->weight;
        float *y = g->to + r * g->n;
        ALONG(g->n, const vec h = (vec_load_part(x + j, left) - mean) * rstd;
              const vec v = vec_fma(h, load_or(gamma, j, left, 1), load_or(beta, j, left, 0));
              vec_write(stream, y + j, v, left););
    }
}

INLINE void norm_rows(int64_t rows, struct rows g, const float *beta, double eps, const bool stream,
                      float *mean, float *rstd)
{
    const int64_t group = norm_together(g.n);
    for (int64_t i = 0; i < rows; i += group) {
        const int64_t now = rows - i < group ? rows - i : group;
        if (group == 1)
            norm_group(&g, 1, beta, eps, stream);
        else
            norm_group(&g, now, beta, eps, stream);
        for (int64_t r = 0; r < now; r++) {
            mean[i + r] = g.a[r];
            rstd[i + r] = g.b[r];
        }
        g.x += group * g.n;
        g.to += group * g.n;
    }
}

static void norm(int64_t rows, int64_t n, const float *x, const float *gamma, const float *beta,
                 float eps, bool stream, float *y, float *mean, float *rstd)
{
    const struct rows g = {.n = n, .x = x, .weight = gamma, .to = y};
    if (vec_streams(stream, n, y))
        norm_rows(rows, g, beta, (double)eps, true, mean, rstd);
    else
        norm_rows(rows, g, beta, (double)eps, false, mean, rstd);
}

/* a: mean, b: rstd; c, d: the means of dy gamma and of dy gamma (x - mean) rstd along the row */
INLINE vec hat(const struct rows *g, int64_t r, int64_t j, int64_t left)
{
    return (vec_load_part(g->x + r * g->n + j, left) - vec_set(g->a[r])) * vec_set(g->b[r]);
}
INLINE void term_grad(const struct rows *g, int64_t r, int64_t j, int64_t left, vec sum[2])
{
    const vec dy = vec_load_part(g->y + r * g->n + j, left);
    const vec d = dy * load_or(g->weight, j, left, 1);
    sum[0] += d;
    sum[1] = vec_fma(d, hat(g, r, j, left), sum[1]);
}

INLINE void term_grad_ahead(const struct rows *g, int64_t r, int64_t j, int64_t left, vec sum[2])
{
    __builtin_prefetch(g->to + r * g->n + j, 1);
    term_grad(g, r, j, left, sum);
}

INLINE void means_along(struct rows *g, int64_t rows, const bool stream)
{
    double sum[2][VEC_LANES];
    if (stream)
        rows_sum(term_grad, g, rows, 2, sum);
    else
        rows_sum(term_grad_ahead, g, rows, 2, sum);
    for (int l = 0; l < row_count(rows); l++) {
        g->c[l] = (float)(sum[0][l] / (double)g->n);
        g->d[l] = (float)(sum[1][l] / (double)g->n);
    }
}

INLINE void vec_add_part(float *to, vec x, int64_t left)
{
    vec_store_part(to, vec_load_part(to, left) + x, left);
}

/* The group's rows at columns [j, ..): dx, and the sums of dy hat and of dy. */
INLINE void grad_columns(const struct rows *g, int64_t rows, int64_t j, int64_t left,
                         const bool stream, vec sum[2])
{
    const vec gamma = load_or(g->weight, j, left, 1);
    sum[0] = sum[1] = vec_set(0);
    for (int64_t r = 0; r < rows; r++) {
        const int64_t at = r * g->n + j;
        const vec h = hat(g, r, j, left), dy = vec_load_part(g->y + at, left);
        sum[0] = vec_fma(dy, h, sum[0]);
        sum[1] += dy;
        __builtin_prefetch(g->x + at + GRAD_GROUP * g->n, 0, 2);
        __builtin_prefetch(g->y + at + GRAD_GROUP * g->n, 0, 2);
        if (!g->to) continue;
        const vec rest = vec_fma(dy, gamma, -vec_fma(h, vec_set(g->d[r]), vec_set(g->c[r])));
        vec_write(stream, g->to + at, vec_set(g->b[r]) * rest, left);
    }
}

INLINE void grad_group(struct rows *g, int64_t rows, const bool stream, float *dgamma, float *dbeta)
{
    if (g->to) means_along(g, rows, stream);
    ALONG(g->n, vec sum[2]; grad_columns(g, rows, j, left, stream, sum);
          if (dgamma) vec_add_part(dgamma + j, sum[0], left);
          if (dbeta) vec_add_part(dbeta + j, sum[1], left););
}

static void norm_grad(int64_t rows, int64_t n, const float *x, const float *gamma,
                      const float *mean, const float *rstd, const float *dy, bool stream, float *dx,
                      float *dgamma, float *dbeta)
{
    const bool past = vec_streams(stream, n, dx);
    for (int64_t i = 0; i < rows; i += GRAD_GROUP) {
        const int64_t group = rows - i < GRAD_GROUP ? rows - i : GRAD_GROUP;
        struct rows g = {
            .n = n, .x = x + i * n, .y = dy + i * n, .weight = gamma, .to = dx ? dx + i * n : NULL};
        for (int64_t r = 0; r < group; r++) {
            g.a[r] = mean[i + r];
            g.b[r] = rstd[i + r];
        }
        if (past)
            grad_group(&g, group, true, dgamma, dbeta);
        else
            grad_group(&g, group, false, dgamma, dbeta);
    }
}

void FILL(norm)(struct kernels *k)
{
    k->f32.norm = norm;
    k->f32.norm_grad = norm_grad;
}
