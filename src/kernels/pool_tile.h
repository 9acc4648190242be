/* pool_tile.h - pooling with a vector of channels in registers over the taps of a window.
 *
 * Included by the pool.c of an instruction set, with these defined:
 *
 *   VEC MASK LANES            vector, mask of its lanes, floats in it
 *   ZERO() SPLAT(v) ADD(a, b) DIV(a, b) LOAD(p) STORE(p, v) LOADM(p, mask) STOREM(p, mask, v)
 *   MASK_OF(n)                the first n <= LANES lanes
 *   LARGER(best, x)           the larger one; NaN is the largest
 *   CHOICE                    set of lanes
 *   UNORDERED(a) ANY(choice)  lanes with NaN; whether there is a lane
 *   MAX(a, b)                 the larger one where there is no NaN
 *   MORE(x, best)             lanes where x is larger, by the same rule
 *   EQUAL(a, b)               lanes where numbers are equal
 *   BLEND(choice, a, b)       a in those lanes, else b
 *   INDEX INDEX_OF(list)      lane numbers, from LANES of int32_t
 *   TAKE(a, index)            those lanes of a
 *   TAKE2(a, b, index)        those lanes of a followed by b
 *
 * The taps of one window are a list of offsets in x. Windows of one output row that are clear of the
 * border share it, shifted by `step` floats each: they form a run. Few channels have ways of their own
 * (pool_narrow.h). Windows of more than MAX_TAPS taps are left to the reference.
 *
 * Gradients of disjoint windows are stored, not added; where windows overlap, pool_gather.h has
 * them. Whole vectors go without a mask, since masked stores cannot be forwarded to loads.
 *
 * The rows of x that the next row of windows will see first are called for one row ahead: the
 * hardware follows one row at a time, not as many as a window has. Zen 5, two threads, 3x3 stride 2
 * at 16x112x112x64: 3.7 -> 1.2 ms, the speed of a copy.
 *
 * Ceiling: memory; with one channel, the five instructions for each lane of a window.
 */
#include <math.h>
#include <string.h>

#include "base/integers.h"
#include "kernels/kernels.h"
#include "kernels/unroll.h"

enum { MAX_TAPS = 1024, MOST_AHEAD = 16 };

struct run {
    int64_t tap[MAX_TAPS], taps; /* offsets in x of the first window  */
    float number[MAX_TAPS];      /* of each among all taps, those in the padding counted */
    int64_t count, step;         /* windows; floats from one to the next in x */
    int64_t out, c;              /* offset in y of the first window; floats from one to the next */
    float divisor;               /* of a mean */
    bool disjoint;               /* each element of dx belongs to one tap of one window at most */
    int64_t ahead[MOST_AHEAD];   /* as tap: what the next row of windows is the first to see */
    int64_t calls;
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

/* The list of taps of output o. */
static void list_taps(const struct window *w, const int64_t o[3], struct run *r)
{
    int64_t range[3][2], start[3];
    for (int axis = 0; axis < 3; axis++) {
        inside(w, axis, o[axis], range[axis]);
        start[axis] = o[axis] * w->stride[axis] - w->before[axis];
    }
    r->taps = 0;
    r->number[0] = -1;
    for (int64_t t = range[0][0]; t < range[0][1]; t++) {
        const int64_t d = wrapped(start[0] + t * w->dilation[0], w->in[0]);
        for (int64_t u = range[1][0]; u < range[1][1]; u++) {
            const int64_t h = wrapped(start[1] + u * w->dilation[1], w->in[1]);
            for (int64_t s = range[2][0]; s < range[2][1]; s++) {
                const int64_t x = wrapped(start[2] + s * w->dilation[2], w->in[2]);
                r->number[r->taps] = (float)((t * w->taps[1] + u) * w->taps[2] + s);
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

static bool disjoint(const struct window *w)
{
    if (w->circular) return false;
    for (int axis = 0; axis < 3; axis++) {
        if (w->taps[axis] > 1 && w->dilation[axis] > 1) return false;
        if (w->stride[axis] < w->taps[axis]) return false;
    }
    return true;
}

/* Each element of dx belongs to a window. */
static bool covered(const struct window *w)
{
    for (int axis = 0; axis < 3; axis++) {
        if (w->before[axis] != 0 || w->stride[axis] > w->taps[axis]) return false;
        if (w->dilation[axis] != 1 || w->out[axis] * w->stride[axis] < w->in[axis]) return false;
    }
    return true;
}

/* Points that the hardware does not foresee: of the window one output row on, those that no row of
 * windows before has seen; where there is one row of taps only, of a window AHEAD floats on. */
static void list_ahead(const struct window *w, const int64_t o[3], struct run *r)
{
    enum { AHEAD = 4096, LINE = 16 };
    const int64_t planes = least(w->stride[0], w->taps[0]), rows = least(w->stride[1], w->taps[1]);
    const bool line = w->taps[0] * w->taps[1] == 1;
    r->calls = 0;
    if (planes * rows * w->stride[2] > MOST_AHEAD || (line && w->c <= LINE)) return;
    const int64_t plane = o[0] * w->stride[0] - w->before[0] + (w->taps[0] - 1) * w->dilation[0];
    const int64_t row =
        (o[1] + !line) * w->stride[1] - w->before[1] + (w->taps[1] - 1) * w->dilation[1];
    const int64_t windows = line ? AHEAD / (w->stride[2] * w->c) + 1 : 0;
    const int64_t column = (o[2] + windows) * w->stride[2] - w->before[2];
    for (int64_t d = plane - planes + 1; d <= plane; d++) {
        for (int64_t h = row - rows + 1; h <= row; h++) {
            for (int64_t s = 0; s < w->stride[2]; s++)
                r->ahead[r->calls++] = ((d * w->in[1] + h) * w->in[2] + column + s) * w->c;
        }
    }
}

typedef void run_fn(const struct run *r, const float *x, const float *dy, float *y);

/* Windows [from, to) of an output row; `out`: offset of the first one's numbers. */
struct windows {
    const struct window *w;
    int64_t row, from, to, out;
};

static void runs_of(const struct windows *p, run_fn *fn, const float *x, const float *dy, float *y)
{
    const struct window *w = p->w;
    const int64_t all = w->taps[0] * w->taps[1] * w->taps[2];
    struct run r;
    r.step = w->stride[2] * w->c;
    r.c = w->c;
    r.disjoint = disjoint(w);
    for (int64_t i = p->from; i < p->to; i += r.count) {
        const int64_t o[3] = {p->row / w->out[1], p->row % w->out[1], i};
        list_taps(w, o, &r);
        list_ahead(w, o, &r);
        r.count = least(alike(w, i), p->to - i);
        r.out = p->out + (i - p->from) * w->c;
        r.divisor = (float)(w->count_pad ? all : r.taps > 0 ? r.taps : 1);
        fn(&r, x, dy, y);
    }
}

static void each_run(const struct window *w, run_fn *fn, const float *x, const float *dy, float *y)
{
    for (int64_t row = 0; w->c > 0 && row < w->out[0] * w->out[1]; row++) {
        const struct windows p = {w, row, 0, w->out[2], row * w->out[2] * w->c};
        runs_of(&p, fn, x, dy, y);
    }
}

/* For the vectors of n floats: body, at j, with its lanes m; `whole` is a constant: all of them. */
#define EACH_FLOAT(n, ...)                                                                         \
    do {                                                                                           \
        int64_t j = 0;                                                                             \
        for (; j + LANES <= (n); j += LANES) {                                                     \
            enum { whole = 1 };                                                                    \
            const MASK m = MASK_OF(LANES);                                                         \
            (void)m;                                                                               \
            __VA_ARGS__                                                                            \
        }                                                                                          \
        if (j < (n)) {                                                                             \
            enum { whole = 0 };                                                                    \
            const MASK m = MASK_OF((n)-j);                                                         \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    } while (0)
#define GET(p) (whole ? LOAD(p) : LOADM(p, m))
#define PUT(p, v)                                                                                  \
    do {                                                                                           \
        if (whole)                                                                                 \
            STORE(p, v);                                                                           \
        else                                                                                       \
            STOREM(p, m, v);                                                                       \
    } while (0)

/* For each vector of channels of each window of a run: body, at `in` in x and `out` in y. */
#define EACH_VECTOR(r, ...)                                                                        \
    for (int64_t i_ = 0; i_ < (r)->count; i_++) {                                                  \
        EACH_FLOAT((r)->c, const int64_t in = i_ * (r)->step + j;                                  \
                   const int64_t out = (r)->out + i_ * (r)->c + j; (void)in; __VA_ARGS__);         \
    }

static inline void call_ahead(const struct run *r, const float *x)
{
    for (int64_t i = 0; i < r->calls; i++) __builtin_prefetch(x + r->ahead[i], 0, 2);
}

/* The maximum or the mean of WIDE vectors of channels of a window at once: sums that need not wait
 * for each other, and lines that lie side by side, where those of one, some KiB apart, share
 * a set of the first level. Zen 5, two threads: mean of 7x7 at 16x7x7x2048 105 -> 45 us. */
enum { WIDE = LANES, WIDE_FLOATS = WIDE * LANES };
static inline __attribute__((always_inline)) void reduce_wide(const struct run *r, const float *x,
                                                              float *y, const bool largest)
{
    VEC all[WIDE];
    UNROLL
    for (int v = 0; v < WIDE; v++) {
        all[v] = largest ? SPLAT(-INFINITY) : ZERO();
        call_ahead(r, x + v * LANES);
    }
    for (int64_t t = 0; t < r->taps; t++) {
        const float *tap = x + r->tap[t];
        UNROLL
        for (int v = 0; v < WIDE; v++) {
            const VEC now = LOAD(tap + v * LANES);
            all[v] = largest ? LARGER(all[v], now) : ADD(all[v], now);
        }
    }
    UNROLL
    for (int v = 0; v < WIDE; v++)
        STORE(y + v * LANES, largest ? all[v] : DIV(all[v], SPLAT(r->divisor)));
}

static inline __attribute__((always_inline)) void reduce_run(const struct run *r, const float *x,
                                                             float *y, const bool largest)
{
    const int64_t wide = r->c / WIDE_FLOATS * WIDE_FLOATS;
    y += r->out;
    for (int64_t i = 0; i < r->count; i++, x += r->step, y += r->c) {
        for (int64_t j = 0; j < wide; j += WIDE_FLOATS) reduce_wide(r, x + j, y + j, largest);
        EACH_FLOAT(r->c - wide, {
            const float *from = x + wide + j;
            VEC all = largest ? SPLAT(-INFINITY) : ZERO();
            call_ahead(r, from);
            for (int64_t t = 0; t < r->taps; t++) {
                const VEC now = GET(from + r->tap[t]);
                all = largest ? LARGER(all, now) : ADD(all, now);
            }
            PUT(y + wide + j, largest ? all : DIV(all, SPLAT(r->divisor)));
        });
    }
}

static void max_run(const struct run *r, const float *x, const float *dy, float *y)
{
    (void)dy;
    reduce_run(r, x, y, true);
}

static void mean_run(const struct run *r, const float *x, const float *dy, float *y)
{
    (void)dy;
    reduce_run(r, x, y, false);
}

static void mean_grad_run(const struct run *r, const float *x, const float *dy, float *dx)
{
    const VEC divisor = SPLAT(r->divisor);
    (void)x;
    EACH_VECTOR(r, {
        const VEC g = DIV(GET(dy + out), divisor);
        for (int64_t t = 0; t < r->taps; t++) {
            float *to = dx + in + r->tap[t];
            PUT(to, r->disjoint ? g : ADD(GET(to), g));
        }
    })
}

/* The number of the first maximum in each lane. Without NaN, which a sum would show, it is the last
 * one, going backwards, that equals the maximum: comparisons that need not wait for each other, as
 * those with the best so far do. */
static inline __attribute__((always_inline)) VEC first_maximum(const struct run *r, int64_t taps,
                                                               const float *x, bool whole, MASK m)
{
    VEC best = SPLAT(-INFINITY), sum = ZERO(), first = SPLAT(r->number[0]);
    for (int64_t t = 0; t < taps; t++) {
        const VEC now = GET(x + r->tap[t]);
        best = MAX(best, now);
        sum = ADD(sum, now);
    }
    if (ANY(UNORDERED(sum))) {
        best = SPLAT(-INFINITY);
        for (int64_t t = 0; t < taps; t++) {
            const VEC now = GET(x + r->tap[t]);
            const CHOICE more = MORE(now, best);
            best = BLEND(more, now, best);
            first = BLEND(more, SPLAT(r->number[t]), first);
        }
        return first;
    }
    for (int64_t t = taps - 1; t >= 0; t--)
        first = BLEND(EQUAL(GET(x + r->tap[t]), best), SPLAT(r->number[t]), first);
    return first;
}

/* Puts dy where the first maximum is. */
static void max_grad_run(const struct run *r, const float *x, const float *dy, float *dx)
{
    EACH_VECTOR(r, {
        call_ahead(r, x + in);
        const VEC first = first_maximum(r, r->taps, x + in, whole, m), g = GET(dy + out);
        for (int64_t t = 0; t < r->taps; t++) {
            float *to = dx + in + r->tap[t];
            const VEC here = BLEND(EQUAL(first, SPLAT(r->number[t])), g, ZERO());
            PUT(to, r->disjoint ? here : ADD(GET(to), here));
        }
    })
}

#include "kernels/pool_narrow.h"

#include "kernels/pool_gather.h" /* uses the other */

/* ---- leaves ---- */

static void clear(const struct window *w, float *dx)
{
    zero(w->in[0] * w->in[1] * w->in[2] * w->c, dx);
}

static bool fits(const struct window *w)
{
    return w->taps[0] * w->taps[1] * w->taps[2] <= MAX_TAPS;
}

static void max_pool(const struct window *w, const float *x, float *y)
{
    if (w->c > 0 && is_paired(w))
        max_pairs(w, x, y);
    else if (is_narrow(w))
        each_narrow(w, narrow_max, x, y);
    else if (fits(w))
        each_run(w, max_run, x, NULL, y);
    else
        ref_max_pool_f32(w, x, y);
}

static void max_pool_grad(const struct window *w, const float *x, const float *dy, float *dx)
{
    const bool paired = w->c > 0 && is_paired(w);
    if (!fits(w) || (w->c == 1 && !paired)) { /* one lane of a vector: plain C is faster */
        ref_max_pool_grad_f32(w, x, dy, dx);
        return;
    }
    if (!paired && is_gathered(w)) {
        gather_max(w, x, dy, dx);
        return;
    }
    if (!disjoint(w) || !covered(w)) clear(w, dx);
    if (paired)
        max_grad_pairs(w, x, dy, dx);
    else
        each_run(w, max_grad_run, x, dy, dx);
}

static void avg_pool(const struct window *w, const float *x, float *y)
{
    if (is_narrow(w))
        each_narrow(w, narrow_mean, x, y);
    else if (fits(w))
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
    if (!is_narrow(w) && is_gathered(w)) {
        gather_mean(w, dy, dx);
        return;
    }
    if (is_narrow(w) || !disjoint(w) || !covered(w)) clear(w, dx);
    if (is_narrow(w))
        each_narrow(w, narrow_mean_grad, dy, dx);
    else
        each_run(w, mean_grad_run, NULL, dy, dx);
}

void FILL(pool)(struct kernels *k)
{
    k->f32.max_pool = max_pool;
    k->f32.max_pool_grad = max_pool_grad;
    k->f32.avg_pool = avg_pool;
    k->f32.avg_pool_grad = avg_pool_grad;
}
