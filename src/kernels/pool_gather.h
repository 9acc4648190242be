/* pool_gather.h - gradients of windows that overlap; a part of pool_tile.h, whose macros it uses.
 *
 * A row of dx gathers what the windows of one output row give it: it is read and written once for
 * each row of taps, and not read at all the first time. To add tap by tap instead makes each window
 * wait for the stores of the one before. An element is the same chain of sums either way: by the
 * order of outputs, from zero.
 *
 * The taps of the maxima are found beforehand, for a row of outputs that stays in the first cache. Zen
 * 5, 3x3 stride 2 at 28x28x64: 16.8 -> 10.1 us; about 55 cycles for a vector of outputs, of which 25
 * find the maxima. Windows of 3x3, two apart, do without (stepped_row). Memory bounds what is larger
 * than the caches.
 */
#ifndef SUNUP_KERNELS_POOL_GATHER_H
#define SUNUP_KERNELS_POOL_GATHER_H

static void zero(int64_t n, float *x)
{
    memset(x, 0, (size_t)n * sizeof *x);
}

/* Windows [from, to) of an output row: the number of each one's maximum and what that tap gets, or
 * what all taps get. fresh: the row of dx has no value yet. */
struct gather {
    const struct window *w;
    int64_t from, to;
    bool all, fresh;
    const float *first, *g;
};

static bool is_gathered(const struct window *w)
{
    return !disjoint(w) && !w->circular && w->dilation[2] == 1 && w->in[2] > 0 && w->c > 0 &&
           w->c <= NARROW_BUFFER && w->taps[0] * w->taps[1] <= NARROW_ROWS;
}

/* dx[c] += what `count` windows from `low` on give a point, which is tap `number` of the first. */
static inline __attribute__((always_inline)) void
gather_point(const struct gather *p, int64_t low, int64_t count, float number, float *dx)
{
    const int64_t c = p->w->c;
    const float *first = p->first + (low - p->from) * c, *g = p->g + (low - p->from) * c;
    const VEC step = SPLAT((float)-p->w->stride[2]);
    EACH_FLOAT(c, {
        VEC sum = p->fresh ? ZERO() : GET(dx + j), tap = SPLAT(number);
        for (int64_t o = 0; o < count; o++, tap = ADD(tap, step)) {
            const VEC now = GET(g + o * c + j);
            sum = ADD(sum, p->all ? now : BLEND(EQUAL(GET(first + o * c + j), tap), now, ZERO()));
        }
        PUT(dx + j, sum);
    });
}

/* All points of a row of dx, whose first tap has this number. */
static inline __attribute__((always_inline)) void gather_row(const struct gather p, float number,
                                                             float *dx)
{
    const int64_t stride = p.w->stride[2], before = p.w->before[2], taps = p.w->taps[2];
    const int64_t begin = p.from * stride - before, end = (p.to - 1) * stride - before + taps;
    int64_t low = p.from, high = p.from;
    for (int64_t x = p.fresh ? 0 : most(0, begin);
         x < (p.fresh ? p.w->in[2] : least(p.w->in[2], end)); x++) {
        while (high < p.to && high * stride - before <= x) high++;
        while (low < high && low * stride - before + taps <= x) low++;
        const float tap = number + (float)(x + before - low * stride);
        if (high - low == 1)
            gather_point(&p, low, 1, tap, dx + x * p.w->c);
        else if (high - low == 2)
            gather_point(&p, low, 2, tap, dx + x * p.w->c);
        else
            gather_point(&p, low, high - low, tap, dx + x * p.w->c);
    }
}

/* Which tap each window's maximum is, and what the mean gives each tap. */
static void first_run(const struct run *r, const float *x, const float *dy, float *first)
{
    (void)dy;
    if (r->taps == 9) /* 3x3, unrolled */
        EACH_VECTOR(r, {
            call_ahead(r, x + in);
            PUT(first + out, first_maximum(r, 9, x + in, whole, m));
        })
    else
        EACH_VECTOR(r, {
            call_ahead(r, x + in);
            PUT(first + out, first_maximum(r, r->taps, x + in, whole, m));
        })
}

static void share_run(const struct run *r, const float *x, const float *dy, float *share)
{
    const VEC divisor = SPLAT(r->divisor);
    (void)x;
    EACH_VECTOR(r, PUT(share + out, DIV(GET(dy + out), divisor));)
}

/* ---- windows of 3x3, two apart, as of residual networks ---- */

/* A row of windows adds to the first of its rows of dx and begins the two others, so that a window
 * waits for one column of the one before, and no tap is written down between. Zen 4, cycles for a
 * vector of outputs in the first caches: 76 -> 50 with 64 channels, 145 -> 66 with 16; two threads,
 * 16x112x112x64, 4.5 to 5.2 -> 3.6 to 3.8 ms. Vector by vector of channels along a whole row of windows
 * took 5.4 to 5.8 ms there: memory wants its lines in order. */
static bool is_stepped(const struct window *w)
{
    return w->taps[0] == 1 && w->taps[1] == 3 && w->taps[2] == 3 && w->stride[1] == 2 &&
           w->stride[2] == 2 && w->dilation[1] == 1 && w->before[2] >= 0 && w->before[2] <= 1 &&
           w->out[2] * w->c <= NARROW_BUFFER;
}

/* Any window: taps may be missing at a border along W. */
static void stepped_any(const struct run *r, bool whole, MASK m, const float *x, VEC dy, float *dx)
{
    const VEC first = first_maximum(r, r->taps, x, whole, m);
    for (int64_t t = 0; t < r->taps; t++) {
        const bool fresh = r->number[t] > 3 && r->number[t] != 6;
        float *to = dx + r->tap[t];
        const VEC here = BLEND(EQUAL(first, SPLAT(r->number[t])), dy, ZERO());
        PUT(to, ADD(fresh ? ZERO() : GET(to), here));
    }
}

/* One with nine taps, in registers: each that equals the maximum takes what is left of dy, so the
 * first has it all. */
static inline __attribute__((always_inline)) void stepped_nine(const struct run *r, bool whole,
                                                               MASK m, const float *x, VEC dy,
                                                               float *dx)
{
    const int64_t c = r->c, row = r->tap[3] - r->tap[0];
    const float *from = x + r->tap[0];
    float *to = dx + r->tap[0];
    VEC now[9], best = SPLAT(-INFINITY), sum = ZERO();
    UNROLL
    for (int t = 0; t < 9; t++) {
        now[t] = GET(from + t / 3 * row + t % 3 * c);
        best = MAX(best, now[t]);
        sum = ADD(sum, now[t]);
    }
    if (ANY(UNORDERED(sum))) {
        stepped_any(r, whole, m, x, dy, dx);
        return;
    }
    UNROLL
    for (int t = 0; t < 9; t++) {
        const CHOICE is = EQUAL(now[t], best);
        const VEC before = t < 3 || t % 3 == 0 ? GET(to + t / 3 * row + t % 3 * c) : ZERO();
        PUT(to + t / 3 * row + t % 3 * c, ADD(before, BLEND(is, dy, ZERO())));
        dy = BLEND(is, ZERO(), dy);
    }
}

static void stepped_run(const struct run *r, const float *x, const float *dy, float *dx)
{
    EACH_VECTOR(r, {
        call_ahead(r, x + in);
        if (r->taps == 9)
            stepped_nine(r, whole, m, x + in, GET(dy + out), dx + in);
        else
            stepped_any(r, whole, m, x + in, GET(dy + out), dx + in);
    })
}

/* A row of windows whose three rows lie inside, the first of them with values. */
static void stepped_row(const struct window *w, int64_t row, const struct narrow *r, const float *x,
                        const float *dy, float *dx)
{
    const int64_t c = w->c, n = w->in[2] * c;
    const int64_t end = (2 * w->out[2] + 1 - w->before[2]) * c; /* of the last window */
    const struct windows p = {w, row, 0, w->out[2], 0};
    for (int i = 1; i < 3; i++) {
        if (w->before[2] == 0) zero(c, dx + r->row[i]);
        if (end < n) zero(n - end, dx + r->row[i] + end);
    }
    runs_of(&p, stepped_run, x, dy, dx);
}

/* all: of the mean, which needs no x. Rows of dx from `done` on have no value yet. */
static inline __attribute__((always_inline)) void
gather_windows(const struct window *w, bool all, const float *x, const float *dy, float *dx)
{
    float buffer[NARROW_BUFFER];
    const int64_t some = NARROW_BUFFER / w->c, n = w->in[2] * w->c, rows = w->in[0] * w->in[1];
    int64_t done = w->out[2] > some ? rows : 0;
    const bool stepped = !all && is_stepped(w);
    struct narrow r;
    zero(done * n, dx);
    for (int64_t row = 0; row < w->out[0] * w->out[1]; row++) {
        list_rows(w, row / w->out[1], row % w->out[1], 0, &r);
        if (stepped && r.rows == 3) {
            if (r.row[0] >= done * n) zero(r.row[0] + n - done * n, dx + done * n);
            stepped_row(w, row, &r, x, dy, dx);
            done = r.row[2] / n + 1;
            dy += w->out[2] * w->c;
            continue;
        }
        for (int64_t from = 0, to; from < w->out[2]; dy += (to - from) * w->c, from = to) {
            to = least(from + some, w->out[2]);
            const struct windows p = {w, row, from, to, 0};
            runs_of(&p, all ? share_run : first_run, x, dy, buffer);
            const struct gather old = {w, from, to, all, false, buffer, all ? buffer : dy},
                                fresh = {w, from, to, all, true, buffer, all ? buffer : dy};
            for (int64_t i = 0; i < r.rows; i++) {
                const int64_t at = r.row[i];
                if (at < done * n) {
                    gather_row(old, r.number[i], dx + at);
                    continue;
                }
                zero(at - done * n, dx + done * n);
                gather_row(fresh, r.number[i], dx + at);
                done = at / n + 1;
            }
        }
    }
    zero((rows - done) * n, dx + done * n);
}

static void gather_max(const struct window *w, const float *x, const float *dy, float *dx)
{
    gather_windows(w, false, x, dy, dx);
}

static void gather_mean(const struct window *w, const float *dy, float *dx)
{
    gather_windows(w, true, NULL, dy, dx);
}

#endif
