/* pool.c - pooling, 16 channels at a time over the taps of a window.
 *
 * The taps of one window are a list of offsets in x. Windows of one output row that are clear of
 * the border share it, shifted by `step` floats each: they form a run. With c not a multiple of
 * 16, all but the last windows work on 16 lanes all the same: they read neighbours that are there,
 * and what they write beyond c is written again by the next tap or window, or is an addition of 0.
 * Windows of more than MAX_TAPS taps are left to the reference.
 *
 * Gradients of disjoint windows are stored, not added: a load of what the tap before has just
 * stored, at another alignment, waits for that store to reach the cache.
 */
#include <math.h>
#include <string.h>

#include "kernels/simd/rows.h"

enum { LANES = 16, MAX_TAPS = 1024 };

struct run {
    int64_t tap[MAX_TAPS], taps; /* offsets in x of the first window  */
    int64_t count, step;         /* windows; floats from one to the next in x */
    int64_t out, c;              /* offset in y of the first window; floats from one to the next */
    int64_t whole;               /* windows for which all 16 lanes are inside x and y */
    float divisor;               /* of a mean */
    bool disjoint;               /* each element of dx belongs to one tap of one window at most */
};

/* Taps of one axis that lie inside, for output o: their first and the end of it; circular: all. */
static void inside(const struct window *w, int axis, int64_t o, int64_t range[2])
{
    const int64_t dilation = w->dilation[axis], taps = w->taps[axis];
    const int64_t start = o * w->stride[axis] - w->before[axis];
    int64_t from = 0, to = taps;
    if (!w->circular) {
        while (from < taps && start + from * dilation < 0) from++;
        while (to > from && start + (to - 1) * dilation >= w->in[axis]) to--;
    }
    range[0] = from;
    range[1] = to;
}

static int64_t wrapped(int64_t i, int64_t n)
{
    return i >= 0 && i < n ? i : ((i % n) + n) % n;
}

/* The list of taps of output o. */
static void list_taps(const struct window *w, const int64_t o[3], struct run *r)
{
    int64_t range[3][2], start[3];
    for (int axis = 0; axis < 3; axis++) {
        inside(w, axis, o[axis], range[axis]);
        start[axis] = o[axis] * w->stride[axis] - w->before[axis];
    }
    r->taps = 0;
    for (int64_t t = range[0][0]; t < range[0][1]; t++) {
        const int64_t d = wrapped(start[0] + t * w->dilation[0], w->in[0]);
        for (int64_t u = range[1][0]; u < range[1][1]; u++) {
            const int64_t h = wrapped(start[1] + u * w->dilation[1], w->in[1]);
            for (int64_t s = range[2][0]; s < range[2][1]; s++) {
                const int64_t x = wrapped(start[2] + s * w->dilation[2], w->in[2]);
                r->tap[r->taps++] = ((d * w->in[1] + h) * w->in[2] + x) * w->c;
            }
        }
    }
}

/* Windows of a row, beginning with o, that have the same taps: more than one only if clear of both
 * borders. */
static int64_t alike(const struct window *w, int64_t o)
{
    const int64_t start = o * w->stride[2] - w->before[2];
    const int64_t last = start + (w->taps[2] - 1) * w->dilation[2];
    if (start < 0 || last >= w->in[2]) return 1;
    const int64_t more = (w->in[2] - 1 - last) / w->stride[2];
    return more < w->out[2] - o ? more + 1 : w->out[2] - o;
}

/* Stores beyond c must hit what comes later in the same row only, hence one block of channels, or
 * no such stores. */
static bool disjoint(const struct window *w)
{
    if (w->circular || (w->c > LANES && w->c % LANES != 0)) return false;
    for (int axis = 0; axis < 3; axis++) {
        if (w->taps[axis] > 1 && w->dilation[axis] > 1) return false;
        if (w->stride[axis] < w->taps[axis]) return false;
    }
    return true;
}

static int64_t whole_windows(const struct window *w, const struct run *r)
{
    const int64_t reach = (w->c + LANES - 1) / LANES * LANES;
    const int64_t y_end = w->out[0] * w->out[1] * w->out[2] * w->c;
    int64_t last = 0;
    for (int64_t t = 0; t < r->taps; t++) last = r->tap[t] > last ? r->tap[t] : last;
    const int64_t row = w->in[2] * w->c, x_end = r->disjoint ? row : w->in[0] * w->in[1] * row;
    const int64_t x_room = x_end - reach - (r->disjoint ? last % row : last);
    const int64_t y_room = y_end - reach - r->out;
    if (x_room < 0 || y_room < 0) return 0;
    const int64_t in_x = x_room / r->step + 1, in_y = y_room / r->c + 1;
    return in_x < in_y ? in_x : in_y;
}

typedef void run_fn(const struct run *r, const float *x, const float *dy, float *y);

static void each_run(const struct window *w, run_fn *fn, const float *x, const float *dy, float *y)
{
    const int64_t all = w->taps[0] * w->taps[1] * w->taps[2];
    struct run r;
    if (w->c == 0) return;
    r.step = w->stride[2] * w->c;
    r.c = w->c;
    r.disjoint = disjoint(w);
    for (int64_t d = 0; d < w->out[0]; d++) {
        for (int64_t h = 0; h < w->out[1]; h++) {
            for (int64_t i = 0; i < w->out[2]; i += r.count) {
                list_taps(w, (const int64_t[3]){d, h, i}, &r);
                r.count = alike(w, i);
                r.out = ((d * w->out[1] + h) * w->out[2] + i) * w->c;
                r.divisor = (float)(w->count_pad ? all : r.taps > 0 ? r.taps : 1);
                r.whole = whole_windows(w, &r);
                fn(&r, x, dy, y);
            }
        }
    }
}

/* For each block of at most 16 channels of each window: body, with `lanes` a constant where it
 * matters. */
#define EACH_BLOCK(r, body)                                                                        \
    for (int64_t i = 0; i < (r)->count; i++) {                                                     \
        for (int64_t j = 0; j < (r)->c; j += LANES) {                                              \
            const int64_t in = i * (r)->step + j, out = (r)->out + i * (r)->c + j;                 \
            const int64_t left = (r)->c - j;                                                       \
            if (left >= LANES || i < (r)->whole)                                                   \
                body(r, LANES, left, x, dy, y, in, out);                                           \
            else                                                                                   \
                body(r, left, left, x, dy, y, in, out);                                            \
        }                                                                                          \
    }

#define BODY(name)                                                                                 \
    static inline __attribute__((always_inline)) void name(                                        \
        const struct run *r, int64_t lanes, int64_t left, const float *x, const float *dy,         \
        float *y, int64_t in, int64_t out)

BODY(max_block)
{
    float best[LANES];
    (void)dy, (void)left;
    for (int64_t l = 0; l < LANES; l++) best[l] = -INFINITY;
    for (int64_t t = 0; t < r->taps; t++) {
        const float *from = x + r->tap[t] + in;
#pragma omp simd
        for (int64_t l = 0; l < lanes; l++) best[l] = larger(best[l], from[l]);
    }
#pragma omp simd
    for (int64_t l = 0; l < lanes; l++) y[out + l] = best[l];
}

BODY(mean_block)
{
    float sum[LANES] = {0};
    (void)dy, (void)left;
    for (int64_t t = 0; t < r->taps; t++) {
        const float *from = x + r->tap[t] + in;
#pragma omp simd
        for (int64_t l = 0; l < lanes; l++) sum[l] += from[l];
    }
#pragma omp simd
    for (int64_t l = 0; l < lanes; l++) y[out + l] = sum[l] / r->divisor;
}

BODY(mean_grad_block)
{
    float g[LANES];
    (void)x;
#pragma omp simd
    for (int64_t l = 0; l < lanes; l++) g[l] = l < left ? dy[out + l] / r->divisor : 0.0F;
    for (int64_t t = 0; t < r->taps; t++) {
        float *to = y + r->tap[t] + in;
#pragma omp simd
        for (int64_t l = 0; l < lanes; l++) to[l] = g[l] + (r->disjoint ? 0.0F : to[l]);
    }
}

/* Finds the number of the first maximum in each lane, then adds dy there. */
BODY(max_grad_block)
{
    float best[LANES], g[LANES];
    int32_t first[LANES] = {0};
    for (int64_t l = 0; l < LANES; l++) best[l] = -INFINITY;
    for (int32_t t = 0; t < (int32_t)r->taps; t++) {
        const float *from = x + r->tap[t] + in;
#pragma omp simd
        for (int64_t l = 0; l < lanes; l++) {
            const float now = from[l];
            const bool more = (now > best[l]) | ((now != now) & (best[l] == best[l]));
            best[l] = more ? now : best[l];
            first[l] = more ? t : first[l];
        }
    }
#pragma omp simd
    for (int64_t l = 0; l < lanes; l++) g[l] = l < left ? dy[out + l] : 0.0F;
    for (int32_t t = 0; t < (int32_t)r->taps; t++) {
        float *to = y + r->tap[t] + in;
#pragma omp simd
        for (int64_t l = 0; l < lanes; l++) {
            to[l] = (first[l] == t ? g[l] : 0.0F) + (r->disjoint ? 0.0F : to[l]);
        }
    }
}

static void max_run(const struct run *r, const float *x, const float *dy, float *y)
{
    EACH_BLOCK(r, max_block)
}

static void mean_run(const struct run *r, const float *x, const float *dy, float *y)
{
    EACH_BLOCK(r, mean_block)
}

static void max_grad_run(const struct run *r, const float *x, const float *dy, float *y)
{
    EACH_BLOCK(r, max_grad_block)
}

static void mean_grad_run(const struct run *r, const float *x, const float *dy, float *y)
{
    EACH_BLOCK(r, mean_grad_block)
}

static bool fits(const struct window *w)
{
    return w->taps[0] * w->taps[1] * w->taps[2] <= MAX_TAPS;
}

static void clear(const struct window *w, float *dx)
{
    memset(dx, 0, (size_t)(w->in[0] * w->in[1] * w->in[2] * w->c) * sizeof *dx);
}

static void max_pool(const struct window *w, const float *x, float *y)
{
    if (fits(w))
        each_run(w, max_run, x, NULL, y);
    else
        ref_max_pool_f32(w, x, y);
}

static void max_pool_grad(const struct window *w, const float *x, const float *dy, float *dx)
{
    if (!fits(w)) {
        ref_max_pool_grad_f32(w, x, dy, dx);
        return;
    }
    clear(w, dx);
    each_run(w, max_grad_run, x, dy, dx);
}

static void avg_pool(const struct window *w, const float *x, float *y)
{
    if (fits(w))
        each_run(w, mean_run, x, NULL, y);
    else
        ref_avg_pool_f32(w, x, y);
}

static void avg_pool_grad(const struct window *w, const float *dy, float *dx)
{
    if (!fits(w)) {
        ref_avg_pool_grad_f32(w, dy, dx);
        return;
    }
    clear(w, dx);
    each_run(w, mean_grad_run, NULL, dy, dx);
}

void FILL(pool)(struct kernels *k)
{
    k->f32.max_pool = max_pool;
    k->f32.max_pool_grad = max_pool_grad;
    k->f32.avg_pool = avg_pool;
    k->f32.avg_pool_grad = avg_pool_grad;
}
