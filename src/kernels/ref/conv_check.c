/* conv_check.c - problems of the three convolution leaves: d h w c k, taps t r s, stride dilation
 * pad on every axis with more than one tap or point, groups circular bias.
 */
#include "kernels/check.h"

static int64_t product(const int64_t n[3])
{
    return n[0] * n[1] * n[2];
}

/* Output sizes follow as in sunup_conv; a problem that has none is left empty. */
static struct window read_window(struct check *c)
{
    static const char *const in[] = {"d", "h", "w"}, *const taps[] = {"t", "r", "s"};
    const int64_t stride = sunup__check_number(c, "stride", 1),
                  dilation = sunup__check_number(c, "dilation", 1);
    const int64_t pad = sunup__check_number(c, "pad", 0);
    struct window w = {.c = sunup__check_number(c, "c", 1),
                       .k = sunup__check_number(c, "k", 1),
                       .groups = sunup__check_number(c, "groups", 1),
                       .circular = sunup__check_number(c, "circular", 0) != 0};
    for (int i = 0; i < 3; i++) {
        w.in[i] = sunup__check_number(c, in[i], 1);
        w.taps[i] = sunup__check_number(c, taps[i], 1);
        const bool used = w.in[i] > 1 || w.taps[i] > 1;
        w.stride[i] = used ? stride : 1;
        w.dilation[i] = used ? dilation : 1;
        w.before[i] = used ? pad : 0;
        const int64_t room = w.in[i] + 2 * w.before[i] - w.dilation[i] * (w.taps[i] - 1) - 1;
        w.out[i] = room < 0 ? 0 : room / w.stride[i] + 1;
    }
    if (w.groups < 1 || w.c % w.groups || w.k % w.groups)
        sunup__check_fail(c, "groups must divide c and k");
    return w;
}

struct sizes {
    int64_t x, y, weights;
    double products; /* of one run */
};
static struct sizes sizes_of(const struct window *w)
{
    const int64_t cg = w->c / w->groups;
    return (struct sizes){
        product(w->in) * w->c, product(w->out) * w->k, product(w->taps) * cg * w->k,
        (double)product(w->out) * (double)product(w->taps) * (double)cg * (double)w->k};
}

static void cost(struct check *c, const struct sizes *s)
{
    sunup__check_cost(c, 2 * s->products, 4.0 * (double)(s->x + s->y + s->weights));
}

static void run_conv(struct check *c)
{
    const struct window w = read_window(c);
    const bool biased = sunup__check_number(c, "bias", 0) != 0;
    const struct sizes s = sizes_of(&w);
    const struct operand x = sunup__check_in(c, "x", s.x, FILL_ANY),
                         weight = sunup__check_in(c, "w", s.weights, FILL_ANY);
    const struct operand bias = sunup__check_in(c, "bias", w.k, FILL_ANY),
                         y = sunup__check_out(c, "y", s.y, FILL_ANY);
    cost(c, &s);
    CHECK_RUN(c) c->f32->conv(&w, x.f32, weight.f32, biased ? bias.f32 : NULL, y.f32);
    if (!sunup__check_wanted(c)) return;
    double *size = sunup__check_scratch(c, s.y);
    const double *absolute_bias = sunup__check_absolute(c, &bias);
    c->f64->conv(&w, sunup__check_absolute(c, &x), sunup__check_absolute(c, &weight),
                 biased ? absolute_bias : NULL, size);
    c->f64->conv(&w, x.f64, weight.f64, biased ? bias.f64 : NULL, y.f64);
    sunup__check_close(c, &y, size, (double)(product(w.taps) * w.c / w.groups) + 2);
}

static void run_data_grad(struct check *c)
{
    const struct window w = read_window(c);
    const struct sizes s = sizes_of(&w);
    const struct operand weight = sunup__check_in(c, "w", s.weights, FILL_ANY),
                         dy = sunup__check_in(c, "dy", s.y, FILL_ANY);
    const struct operand dx = sunup__check_out(c, "dx", s.x, FILL_ANY);
    cost(c, &s);
    CHECK_RUN(c) c->f32->conv_data_grad(&w, weight.f32, dy.f32, dx.f32);
    if (!sunup__check_wanted(c)) return;
    double *size = sunup__check_scratch(c, s.x);
    c->f64->conv_data_grad(&w, sunup__check_absolute(c, &weight), sunup__check_absolute(c, &dy),
                           size);
    c->f64->conv_data_grad(&w, weight.f64, dy.f64, dx.f64);
    /* Wrapping may bring every output to one point. */
    const int64_t points = w.circular ? product(w.out) : 1;
    sunup__check_close(c, &dx, size, (double)(product(w.taps) * points * w.k / w.groups) + 2);
}

static void run_weight_grad(struct check *c)
{
    const struct window w = read_window(c);
    const struct sizes s = sizes_of(&w);
    const struct operand x = sunup__check_in(c, "x", s.x, FILL_ANY),
                         dy = sunup__check_in(c, "dy", s.y, FILL_ANY);
    const struct operand dw = sunup__check_out(c, "dw", s.weights, FILL_FINITE);
    cost(c, &s);
    CHECK_RUN(c) c->f32->conv_weight_grad(&w, x.f32, dy.f32, dw.f32);
    if (!sunup__check_wanted(c)) return;
    double *size = sunup__check_absolute(c, &dw);
    c->f64->conv_weight_grad(&w, sunup__check_absolute(c, &x), sunup__check_absolute(c, &dy), size);
    c->f64->conv_weight_grad(&w, x.f64, dy.f64, dw.f64);
    sunup__check_close(c, &dw, size, (double)product(w.out) + 2);
}

static const char *const problems[] = {"w1c1k1s1",
                                       "w3c1k1s5",
                                       "w9c3k5s3:pad1",
                                       "h5w7c3k4r3s3:pad1",
                                       "h7w8c2k17r3s2:stride2:pad1",
                                       "h9w9c5k3r3s3:dilation2:pad3",
                                       "h6w5c6k9r3s3:groups3:pad1",
                                       "h7w5c7k14r3s3:groups7:stride2",
                                       "h5w3c2k3r3s3:pad2:circular",
                                       "h5w4c3k1r1s1:stride3",
                                       "d4h5w3c2k3t2r3s2:pad1",
                                       NULL};
static const char *const forward_problems[] = {"w1c1k1s1:bias",
                                               "w3c1k1s5:bias",
                                               "w9c3k5s3:pad1",
                                               "h5w7c3k4r3s3:pad1:bias",
                                               "h7w8c2k17r3s2:stride2:pad1:bias",
                                               "h9w9c5k3r3s3:dilation2:pad3",
                                               "h6w5c6k9r3s3:groups3:pad1:bias",
                                               "h7w5c7k14r3s3:groups7:stride2",
                                               "h5w3c2k3r3s3:pad2:circular",
                                               "h5w4c3k1r1s1:stride3",
                                               "d4h5w3c2k3t2r3s2:pad1:bias",
                                               NULL};
const struct leaf_check sunup__check_conv = {"conv", forward_problems, run_conv};
const struct leaf_check sunup__check_conv_data_grad = {"conv_data_grad", problems, run_data_grad};
const struct leaf_check sunup__check_conv_weight_grad = {"conv_weight_grad", problems,
                                                         run_weight_grad};
