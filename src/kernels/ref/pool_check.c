/* pool_check.c - problems of pooling: d h w c the input; t r s the taps; stride, pad, dil for all
 * axes longer than 1; circular; count: zeros of the padding are part of a mean.
 */
#include <math.h>

#include "kernels/check.h"

static int64_t volume(const int64_t n[3], int64_t c)
{
    return n[0] * n[1] * n[2] * c;
}

static struct window read_window(struct check *c)
{
    static const char *const in[3] = {"d", "h", "w"}, *const taps[3] = {"t", "r", "s"};
    struct window w = {.c = sunup__check_number(c, "c", 1)};
    const int64_t stride = sunup__check_number(c, "stride", 1),
                  pad = sunup__check_number(c, "pad", 0);
    const int64_t dilation = sunup__check_number(c, "dil", 1);
    w.k = w.groups = w.c;
    w.circular = sunup__check_number(c, "circular", 0) != 0;
    w.count_pad = sunup__check_number(c, "count", 0) != 0;
    for (int axis = 0; axis < 3; axis++) {
        w.in[axis] = sunup__check_number(c, in[axis], 1);
        w.taps[axis] = sunup__check_number(c, taps[axis], 1);
        const bool real = w.taps[axis] > 1;
        w.stride[axis] = real ? stride : 1;
        w.before[axis] = real ? pad : 0;
        w.dilation[axis] = real ? dilation : 1;
        const int64_t room =
            w.in[axis] + 2 * w.before[axis] - (w.taps[axis] - 1) * w.dilation[axis] - 1;
        w.out[axis] = room < 0 ? 0 : room / w.stride[axis] + 1;
    }
    const double n = (double)(volume(w.in, w.c) + volume(w.out, w.c));
    sunup__check_cost(c, n, 4 * n);
    return w;
}

static void run_max(struct check *c)
{
    const struct window w = read_window(c);
    const struct operand x = sunup__check_in(c, "x", volume(w.in, w.c), FILL_TIES);
    const struct operand y = sunup__check_out(c, "y", volume(w.out, w.c), FILL_ANY);
    CHECK_RUN(c) c->f32->max_pool(&w, x.f32, y.f32);
    if (!sunup__check_wanted(c)) return;
    c->f64->max_pool(&w, x.f64, y.f64);
    sunup__check_close(c, &y, NULL, 0);
}

static void run_max_grad(struct check *c)
{
    const struct window w = read_window(c);
    const struct operand x = sunup__check_in(c, "x", volume(w.in, w.c), FILL_TIES);
    const struct operand dy = sunup__check_in(c, "dy", volume(w.out, w.c), FILL_ANY);
    const struct operand dx = sunup__check_out(c, "dx", x.n, FILL_ANY);
    CHECK_RUN(c) c->f32->max_pool_grad(&w, x.f32, dy.f32, dx.f32);
    if (!sunup__check_wanted(c)) return;
    double *size = sunup__check_scratch(c, x.n);
    c->f64->max_pool_grad(&w, x.f64, dy.f64, dx.f64);
    c->f64->max_pool_grad(&w, x.f64, sunup__check_absolute(c, &dy), size);
    sunup__check_close(c, &dx, size, (double)volume(w.taps, 1));
}

static void run_avg(struct check *c)
{
    const struct window w = read_window(c);
    const struct operand x = sunup__check_in(c, "x", volume(w.in, w.c), FILL_ANY);
    const struct operand y = sunup__check_out(c, "y", volume(w.out, w.c), FILL_ANY);
    CHECK_RUN(c) c->f32->avg_pool(&w, x.f32, y.f32);
    if (!sunup__check_wanted(c)) return;
    double *size = sunup__check_scratch(c, y.n);
    c->f64->avg_pool(&w, x.f64, y.f64);
    c->f64->avg_pool(&w, sunup__check_absolute(c, &x), size);
    sunup__check_close(c, &y, size, (double)volume(w.taps, 1) + 1);
}

static void run_avg_grad(struct check *c)
{
    const struct window w = read_window(c);
    const struct operand dy = sunup__check_in(c, "dy", volume(w.out, w.c), FILL_ANY);
    const struct operand dx = sunup__check_out(c, "dx", volume(w.in, w.c), FILL_ANY);
    CHECK_RUN(c) c->f32->avg_pool_grad(&w, dy.f32, dx.f32);
    if (!sunup__check_wanted(c)) return;
    double *size = sunup__check_scratch(c, dx.n);
    c->f64->avg_pool_grad(&w, dy.f64, dx.f64);
    c->f64->avg_pool_grad(&w, sunup__check_absolute(c, &dy), size);
    sunup__check_close(c, &dx, size, (double)volume(w.taps, 1) + 1);
}

static const char *const problems[] = {"w1c1",
                                       "w0c3",
                                       "w5c0s2",
                                       "w7s2stride2",
                                       "h8w8c6r2s2stride2",
                                       "h28w28c6r2s2stride2",
                                       "h9w23c3r3s2stride2",
                                       "d5h6w14c8t2r3s2stride2",
                                       "h5w15c1r2s2stride2",
                                       "h28w28c16r2s2stride2",
                                       "h13w11c5r3s3stride2pad1",
                                       "h13w11c17r3s3stride2pad1,count",
                                       "h7w7c33r3s3pad1",
                                       "d4h5w6c3t2r2s2stride2",
                                       "d5h5w5c20t3r3s3stride2pad1",
                                       "h9w9c4r2s3dil2pad1",
                                       "h6w7c3r3s3pad1,circular",
                                       "h5w5c18r5s5",
                                       "w40c1s33stride2pad3",
                                       "h2w2c3r3s3pad1stride3",
                                       "h34w33c2r33s32",
                                       "h4w200c48r3s3stride2pad1",
                                       "w90c20s5stride2pad2",
                                       "h1w1c40",
                                       "h9w8c155r3s3stride2pad1,count",
                                       "h14w12c19r3s3stride2",
                                       NULL};
const struct leaf_check sunup__check_max_pool = {"max_pool", problems, run_max};
const struct leaf_check sunup__check_max_pool_grad = {"max_pool_grad", problems, run_max_grad};
const struct leaf_check sunup__check_avg_pool = {"avg_pool", problems, run_avg};
const struct leaf_check sunup__check_avg_pool_grad = {"avg_pool_grad", problems, run_avg_grad};
