/* pool_ref.c - maximum and mean over windows of one sample, and their gradients.
 *
 * Taps that fall into the padding are not there: they are no maximum, and no part of a mean unless
 * count_pad says so. NaN is the largest number; the gradient of a maximum goes to its first tap in
 * the order D H W. A window without any tap has maximum -inf and mean 0.
 */
#include "kernels/ref/real.h"

/* Where tap t of output o lies along one axis; -1: in the padding. */
static int64_t place(const struct window *w, int axis, int64_t o, int64_t t)
{
    const int64_t in = w->in[axis];
    const int64_t i = o * w->stride[axis] - w->before[axis] + t * w->dilation[axis];
    if (w->circular && in > 0) return ((i % in) + in) % in;
    return i >= 0 && i < in ? i : -1;
}

static int64_t volume(const int64_t size[3])
{
    return size[0] * size[1] * size[2];
}

/* Steps `at` to the next point of a box, the last axis first; false after the last point. */
static bool next(int64_t at[3], const int64_t size[3])
{
    for (int axis = 2; axis >= 0; axis--) {
        if (++at[axis] < size[axis]) return true;
        at[axis] = 0;
    }
    return false;
}

/* Index of channel 0 at a tap of an output; -1: padding. */
static int64_t pixel(const struct window *w, const int64_t out[3], const int64_t tap[3])
{
    int64_t at = 0;
    for (int axis = 0; axis < 3; axis++) {
        const int64_t i = place(w, axis, out[axis], tap[axis]);
        if (i < 0) return -1;
        at = at * w->in[axis] + i;
    }
    return at * w->c;
}

/* Index in x of the first maximum of channel c; -1: the window is empty. */
static int64_t first_max(const struct window *w, const int64_t out[3], int64_t c, const REAL *x)
{
    int64_t best = -1, tap[3] = {0};
    do {
        const int64_t p = pixel(w, out, tap);
        if (p < 0) continue;
        const REAL now = x[p + c];
        if (best < 0 || now > x[best] || (isnan(now) && !isnan(x[best]))) best = p + c;
    } while (next(tap, w->taps));
    return best;
}

void NAME(ref_max_pool)(const struct window *w, const REAL *x, REAL *y)
{
    int64_t out[3] = {0};
    for (int64_t o = 0; o < volume(w->out); o++, next(out, w->out)) {
        for (int64_t c = 0; c < w->c; c++) {
            const int64_t best = first_max(w, out, c, x);
            y[o * w->c + c] = best < 0 ? RC(-INFINITY) : x[best];
        }
    }
}

void NAME(ref_max_pool_grad)(const struct window *w, const REAL *x, const REAL *dy, REAL *dx)
{
    int64_t out[3] = {0};
    for (int64_t i = 0; i < volume(w->in) * w->c; i++) dx[i] = 0;
    for (int64_t o = 0; o < volume(w->out); o++, next(out, w->out)) {
        for (int64_t c = 0; c < w->c; c++) {
            const int64_t best = first_max(w, out, c, x);
            if (best >= 0) dx[best] += dy[o * w->c + c];
        }
    }
}

/* What the sum of a window is divided by. */
static REAL divisor(const struct window *w, const int64_t out[3])
{
    int64_t count = 0, tap[3] = {0};
    do count += w->count_pad || pixel(w, out, tap) >= 0;
    while (next(tap, w->taps));
    return RC(count > 0 ? count : 1);
}

void NAME(ref_avg_pool)(const struct window *w, const REAL *x, REAL *y)
{
    int64_t out[3] = {0};
    for (int64_t o = 0; o < volume(w->out); o++, next(out, w->out)) {
        const REAL parts = divisor(w, out);
        for (int64_t c = 0; c < w->c; c++) {
            double sum = 0;
            int64_t tap[3] = {0};
            do {
                const int64_t p = pixel(w, out, tap);
                if (p >= 0) sum += x[p + c];
            } while (next(tap, w->taps));
            y[o * w->c + c] = RC(sum / parts);
        }
    }
}

void NAME(ref_avg_pool_grad)(const struct window *w, const REAL *dy, REAL *dx)
{
    int64_t out[3] = {0};
    for (int64_t i = 0; i < volume(w->in) * w->c; i++) dx[i] = 0;
    for (int64_t o = 0; o < volume(w->out); o++, next(out, w->out)) {
        const REAL parts = divisor(w, out);
        int64_t tap[3] = {0};
        do {
            const int64_t p = pixel(w, out, tap);
            if (p < 0) continue;
            for (int64_t c = 0; c < w->c; c++) dx[p + c] += dy[o * w->c + c] / parts;
        } while (next(tap, w->taps));
    }
}
