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

/* Index of channel 0 at tap `tap` (counted over all taps) of output `out` (counted likewise); -1:
 * padding. */
static int64_t pixel(const struct window *w, int64_t out, int64_t tap)
{
    int64_t at = 0, scale = w->c;
    for (int axis = 2; axis >= 0; axis--) {
        const int64_t i = place(w, axis, out % w->out[axis], tap % w->taps[axis]);
        if (i < 0) return -1;
        at += i * scale;
        scale *= w->in[axis];
        out /= w->out[axis];
        tap /= w->taps[axis];
    }
    return at;
}

static int64_t volume(const int64_t size[3])
{
    return size[0] * size[1] * size[2];
}

/* Index in x of the first maximum of channel c; -1: the window is empty. */
static int64_t first_max(const struct window *w, int64_t out, int64_t c, const REAL *x)
{
    int64_t best = -1;
    for (int64_t tap = 0; tap < volume(w->taps); tap++) {
        const int64_t p = pixel(w, out, tap);
        if (p < 0) continue;
        const REAL now = x[p + c];
        if (best < 0 || now > x[best] || (isnan(now) && !isnan(x[best]))) best = p + c;
    }
    return best;
}

void NAME(ref_max_pool)(const struct window *w, const REAL *x, REAL *y)
{
    for (int64_t out = 0; out < volume(w->out); out++) {
        for (int64_t c = 0; c < w->c; c++) {
            const int64_t best = first_max(w, out, c, x);
            y[out * w->c + c] = best < 0 ? RC(-INFINITY) : x[best];
        }
    }
}

void NAME(ref_max_pool_grad)(const struct window *w, const REAL *x, const REAL *dy, REAL *dx)
{
    for (int64_t i = 0; i < volume(w->in) * w->c; i++) dx[i] = 0;
    for (int64_t out = 0; out < volume(w->out); out++) {
        for (int64_t c = 0; c < w->c; c++) {
            const int64_t best = first_max(w, out, c, x);
            if (best >= 0) dx[best] += dy[out * w->c + c];
        }
    }
}

/* What the sum of a window is divided by. */
static REAL divisor(const struct window *w, int64_t out)
{
    int64_t count = 0;
    for (int64_t tap = 0; tap < volume(w->taps); tap++) {
        count += w->count_pad || pixel(w, out, tap) >= 0;
    }
    return RC(count > 0 ? count : 1);
}

void NAME(ref_avg_pool)(const struct window *w, const REAL *x, REAL *y)
{
    for (int64_t out = 0; out < volume(w->out); out++) {
        for (int64_t c = 0; c < w->c; c++) {
            double sum = 0;
            for (int64_t tap = 0; tap < volume(w->taps); tap++) {
                const int64_t p = pixel(w, out, tap);
                if (p >= 0) sum += x[p + c];
            }
            y[out * w->c + c] = RC(sum / divisor(w, out));
        }
    }
}

void NAME(ref_avg_pool_grad)(const struct window *w, const REAL *dy, REAL *dx)
{
    for (int64_t i = 0; i < volume(w->in) * w->c; i++) dx[i] = 0;
    for (int64_t out = 0; out < volume(w->out); out++) {
        for (int64_t tap = 0; tap < volume(w->taps); tap++) {
            const int64_t p = pixel(w, out, tap);
            if (p < 0) continue;
            for (int64_t c = 0; c < w->c; c++) dx[p + c] += dy[out * w->c + c] / divisor(w, out);
        }
    }
}
