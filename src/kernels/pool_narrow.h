/* pool_narrow.h - windows of few channels; a part of pool_tile.h, whose macros it uses.
 *
 * Taps are first reduced over D and H as whole rows of x, in full vectors whatever the channels, into
 * a buffer, and one row along W is left; the gradient of the mean goes the other way. Maxima of
 * windows of two along W, side by side, are taken of as many windows at a time as a vector holds.
 */
#ifndef SUNUP_KERNELS_POOL_NARROW_H
#define SUNUP_KERNELS_POOL_NARROW_H

/* ---- rows of x together ---- */

enum { NARROW_CHANNELS = 16, NARROW_BUFFER = 4096, NARROW_ROWS = 64 };

/* Some windows of an output row: the rows of x they see, as offsets of their first column there,
 * and the window along W that is left. */
struct narrow {
    int64_t rows, row[NARROW_ROWS], n; /* n: floats of a row */
    float number[NARROW_ROWS];         /* of the row's first tap among all taps */
    float divisor;                     /* of a mean over rows */
    struct window along;
    int64_t out;
};

static bool is_narrow(const struct window *w)
{
    const int64_t rows = w->taps[0] * w->taps[1], reach = (w->taps[2] - 1) * w->dilation[2] + 1;
    return w->c < NARROW_CHANNELS && !w->circular && rows > 1 && rows <= NARROW_ROWS &&
           reach * w->c <= NARROW_BUFFER && w->taps[2] <= MAX_TAPS;
}

/* Inlined: a call costs short rows a tenth. */
static inline __attribute__((always_inline)) void
list_rows(const struct window *w, int64_t d, int64_t h, int64_t column, struct narrow *r)
{
    int64_t range[2][2];
    inside(w, 0, d, range[0]);
    inside(w, 1, h, range[1]);
    r->rows = 0;
    for (int64_t t = range[0][0]; t < range[0][1]; t++) {
        const int64_t plane = d * w->stride[0] - w->before[0] + t * w->dilation[0];
        for (int64_t u = range[1][0]; u < range[1][1]; u++) {
            const int64_t row = h * w->stride[1] - w->before[1] + u * w->dilation[1];
            r->number[r->rows] = (float)((t * w->taps[1] + u) * w->taps[2]);
            r->row[r->rows++] = ((plane * w->in[1] + row) * w->in[2] + column) * w->c;
        }
    }
    r->divisor = (float)(w->count_pad ? w->taps[0] * w->taps[1] : r->rows > 0 ? r->rows : 1);
}

/* The windows [from, to) of output row (d, h). */
static void set_narrow(const struct window *w, int64_t i, int64_t from, int64_t to,
                       struct narrow *r)
{
    const int64_t start = from * w->stride[2] - w->before[2], first = start > 0 ? start : 0;
    const int64_t reach = (w->taps[2] - 1) * w->dilation[2] + 1;
    const int64_t end = (to - 1) * w->stride[2] - w->before[2] + reach;
    const int64_t columns = (end < w->in[2] ? end : w->in[2]) - first;
    list_rows(w, i / w->out[1], i % w->out[1], first, r);
    r->n = columns > 0 ? columns * w->c : 0;
    r->out = (i * w->out[2] + from) * w->c;
    r->along = *w;
    for (int axis = 0; axis < 2; axis++) {
        r->along.in[axis] = r->along.out[axis] = r->along.taps[axis] = 1;
        r->along.stride[axis] = r->along.dilation[axis] = 1;
        r->along.before[axis] = 0;
    }
    r->along.in[2] = columns > 0 ? columns : 0;
    r->along.out[2] = to - from;
    r->along.before[2] = first - start;
}

typedef void narrow_fn(const struct narrow *r, const float *x, float *y);

static void each_narrow(const struct window *w, narrow_fn *fn, const float *x, float *y)
{
    const int64_t reach = (w->taps[2] - 1) * w->dilation[2] + 1;
    const int64_t room = NARROW_BUFFER / (w->c > 0 ? w->c : 1) - reach;
    const int64_t most = room / w->stride[2] + 1;
    struct narrow r;
    for (int64_t i = 0; w->c > 0 && i < w->out[0] * w->out[1]; i++) {
        for (int64_t from = 0, to; from < w->out[2]; from = to) {
            to = w->out[2] - from < most ? w->out[2] : from + most;
            set_narrow(w, i, from, to, &r);
            fn(&r, x, y);
        }
    }
}

static void narrow_max(const struct narrow *r, const float *x, float *y)
{
    float buffer[NARROW_BUFFER];
    EACH_FLOAT(r->n, {
        VEC best = SPLAT(-INFINITY);
        for (int64_t i = 0; i < r->rows; i++) best = LARGER(best, GET(x + r->row[i] + j));
        PUT(buffer + j, best);
    });
    each_run(&r->along, max_run, buffer, NULL, y + r->out);
}

static void narrow_mean(const struct narrow *r, const float *x, float *y)
{
    float buffer[NARROW_BUFFER];
    const VEC divisor = SPLAT(r->divisor);
    EACH_FLOAT(r->n, {
        VEC sum = ZERO();
        for (int64_t i = 0; i < r->rows; i++) sum = ADD(sum, GET(x + r->row[i] + j));
        PUT(buffer + j, DIV(sum, divisor));
    });
    each_run(&r->along, mean_run, buffer, NULL, y + r->out);
}

static void narrow_mean_grad(const struct narrow *r, const float *dy, float *dx)
{
    float buffer[NARROW_BUFFER];
    const VEC divisor = SPLAT(r->divisor);
    memset(buffer, 0, (size_t)r->n * sizeof *buffer);
    each_run(&r->along, mean_grad_run, NULL, dy + r->out, buffer);
    EACH_FLOAT(r->n, {
        const VEC g = DIV(GET(buffer + j), divisor);
        for (int64_t i = 0; i < r->rows; i++) {
            float *to = dx + r->row[i] + j;
            PUT(to, ADD(GET(to), g));
        }
    });
}

/* ---- windows of two along W ---- */

/* Some windows side by side: their channels are a vector, what they see along W is two. */
struct pairs {
    MASK in[2], out;
};
struct pairing {
    int64_t each;           /* windows of a vector */
    INDEX even, odd;        /* first and second column of each window */
    INDEX back[2];          /* what each column's window is */
    VEC number[2];          /* and which of the two it is */
    struct pairs all, rest; /* whole vectors, and the last one of a row */
};

static bool is_paired(const struct window *w)
{
    return w->c <= LANES / 2 && w->taps[2] == 2 && w->stride[2] == 2 && w->dilation[2] == 1 &&
           w->before[2] == 0 && 2 * w->out[2] <= w->in[2] && !w->circular &&
           w->taps[0] * w->taps[1] <= NARROW_ROWS;
}

static struct pairs pairs_of(int64_t lanes)
{
    return (struct pairs){{MASK_OF(2 * lanes < LANES ? 2 * lanes : LANES),
                           MASK_OF(2 * lanes > LANES ? 2 * lanes - LANES : 0)},
                          MASK_OF(lanes)};
}

static struct pairing pairing_of(const struct window *w)
{
    int32_t even[LANES] = {0}, odd[LANES] = {0}, back[2 * LANES] = {0};
    float number[2 * LANES] = {0};
    const int64_t c = w->c, each = LANES / c;
    int32_t l = 0;
    for (int32_t o = 0; o < (int32_t)each; o++) {
        for (int32_t j = 0; j < (int32_t)c; j++, l++) {
            even[l] = l + o * (int32_t)c;
            odd[l] = even[l] + (int32_t)c;
            back[even[l]] = back[odd[l]] = l;
            number[odd[l]] = 1;
        }
    }
    return (struct pairing){
        .each = each,
        .even = INDEX_OF(even),
        .odd = INDEX_OF(odd),
        .back = {INDEX_OF(back), INDEX_OF(back + LANES)},
        .number = {LOADM(number, MASK_OF(LANES)), LOADM(number + LANES, MASK_OF(LANES))},
        .all = pairs_of(each * c),
        .rest = pairs_of(w->out[2] % each * c)};
}

/* For each vector of windows of a row: body, at `in` in a row of x, `out` in y, with its pairs `m`. */
#define EACH_PAIRS(p, w, r, ...)                                                                   \
    do {                                                                                           \
        const int64_t step_ = (p)->each * (w)->c, end_ = (r)->out + (w)->out[2] * (w)->c;          \
        int64_t in = 0, out = (r)->out;                                                            \
        const struct pairs *m = &(p)->all;                                                         \
        for (; out + step_ <= end_; in += 2 * step_, out += step_) {                               \
            __VA_ARGS__                                                                            \
        }                                                                                          \
        m = &(p)->rest;                                                                            \
        if (out < end_) {                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    } while (0)

static inline __attribute__((always_inline)) void
max_of_pairs(const struct pairing *p, const struct window *w, const struct narrow *r,
             const int64_t rows, const float *x, float *y)
{
    EACH_PAIRS(p, w, r, {
        VEC low = SPLAT(-INFINITY), high = low;
        if (rows > 0) low = LOADM(x + r->row[0] + in, m->in[0]);
        if (rows > 0) high = LOADM(x + r->row[0] + in + LANES, m->in[1]);
        for (int64_t i = 1; i < rows; i++) {
            low = LARGER(low, LOADM(x + r->row[i] + in, m->in[0]));
            high = LARGER(high, LOADM(x + r->row[i] + in + LANES, m->in[1]));
        }
        STOREM(y + out, m->out, LARGER(TAKE2(low, high, p->even), TAKE2(low, high, p->odd)));
    });
}

static inline __attribute__((always_inline)) void
max_grad_of_pairs(const struct pairing *p, const struct window *w, const struct narrow *r,
                  const int64_t rows, const bool adds, const float *x, const float *dy, float *dx)
{
    EACH_PAIRS(p, w, r, {
        VEC best = SPLAT(-INFINITY), first = ZERO();
        for (int64_t i = 0; i < rows; i++) {
            const VEC low = LOADM(x + r->row[i] + in, m->in[0]);
            const VEC high = LOADM(x + r->row[i] + in + LANES, m->in[1]);
            const VEC now[2] = {TAKE2(low, high, p->even), TAKE2(low, high, p->odd)};
            for (int s = 0; s < 2; s++) {
                const CHOICE more = MORE(now[s], best);
                best = BLEND(more, now[s], best);
                first = BLEND(more, SPLAT((float)(2 * i + s)), first);
            }
        }
        const VEC g = LOADM(dy + out, m->out);
        for (int half = 0; half < 2; half++) {
            const VEC at = TAKE(first, p->back[half]), there = TAKE(g, p->back[half]);
            for (int64_t i = 0; i < rows; i++) {
                float *to = dx + r->row[i] + in + half * LANES;
                const VEC number = ADD(p->number[half], SPLAT((float)(2 * i)));
                const VEC here = BLEND(EQUAL(at, number), there, ZERO());
                STOREM(to, m->in[half], adds ? ADD(LOADM(to, m->in[half]), here) : here);
            }
        }
    });
}

/* list_rows of all of x along W, where r has those of the output row before: if no window sees the
 * padding along H, a row further down they have only moved. To list them takes as long as 15 vectors
 * of windows. */
static inline __attribute__((always_inline)) void next_rows(const struct window *w, int64_t i,
                                                            struct narrow *r)
{
    const int64_t reach = (w->taps[1] - 1) * w->dilation[1] + 1, h = i % w->out[1];
    const bool clear = w->before[1] == 0 && (w->out[1] - 1) * w->stride[1] + reach <= w->in[1];
    r->out = i * w->out[2] * w->c;
    if (h == 0 || !clear)
        list_rows(w, i / w->out[1], h, 0, r);
    else
        for (int64_t k = 0; k < r->rows; k++) r->row[k] += w->stride[1] * w->in[2] * w->c;
}

static void max_pairs(const struct window *w, const float *x, float *y)
{
    const struct pairing p = pairing_of(w);
    struct narrow r = {.rows = 0};
    for (int64_t i = 0; i < w->out[0] * w->out[1]; i++) {
        next_rows(w, i, &r);
        if (r.rows == 2)
            max_of_pairs(&p, w, &r, 2, x, y);
        else
            max_of_pairs(&p, w, &r, r.rows, x, y);
    }
}

static void max_grad_pairs(const struct window *w, const float *x, const float *dy, float *dx)
{
    const struct pairing p = pairing_of(w);
    const bool adds = !disjoint(w);
    struct narrow r = {.rows = 0};
    for (int64_t i = 0; i < w->out[0] * w->out[1]; i++) {
        next_rows(w, i, &r);
        if (r.rows == 2 && !adds)
            max_grad_of_pairs(&p, w, &r, 2, false, x, dy, dx);
        else
            max_grad_of_pairs(&p, w, &r, r.rows, adds, x, dy, dx);
    }
}

#endif
