/* flow.c - the normalising flow: normal numbers z become fields phi whose density q is known and
 * near exp(-S) / Z.
 *
 * 2 L affine couplings; each keeps the sites of one colour of the checkerboard and changes the
 * others,
 *     phi' = t + phi exp(s),  log q' = log q - sum s,  (s, t) = tanh(network of the kept sites),
 * three circular 3 x 3 convolutions 1-8-8-2 with LeakyReLU (the network of Albergo et al., arXiv
 * 2101.08176, where L is 8: 16 couplings, 12,960 weights). Convolutions are f32; logarithms of
 * densities, sums of s and the action are f64: they are sums of hundreds of terms whose
 * difference, a few units, is what is learned.
 *
 * "loss": mean of log q + S. "output" [N, 2 + L L] f32: log p~ - log q, log p~ = -S, phi.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "phi4.h"

struct flow {
    sunup_graph *g;
    int64_t n, length;
    sunup_value *kept[2], *changed[2]; /* [1, L, L, 1]: ones on one colour */
};

static sunup_value *f64(sunup_value *x)
{
    return sunup_cast(x, SUNUP_F64);
}

/* [N, L, L, 1] -> [N, 1] */
static sunup_value *sum_sites(sunup_value *x)
{
    return sunup_sum(x, 2, (int[]){1, 2}, false);
}

static sunup_status make_masks(struct flow *f)
{
    const int64_t sites = f->length * f->length;
    float *mask = malloc((size_t)sites * sizeof *mask);
    for (int colour = 0; colour < 2 && mask != NULL; colour++) {
        for (int64_t i = 0; i < sites; i++)
            mask[i] = (i / f->length + i % f->length) % 2 == colour ? 1 : 0;
        const sunup_shape shape = SUNUP_SHAPE(1, f->length, f->length, 1);
        f->kept[colour] = f->changed[1 - colour] = sunup_constant(f->g, SUNUP_F32, shape, mask);
    }
    const sunup_status status = mask != NULL ? SUNUP_OK : SUNUP_E_MEMORY;
    free(mask);
    return status;
}

/* tanh(s), tanh(t) on all sites from the kept ones. */
static void network(sunup_value *kept, int coupling, sunup_value *s_t[2])
{
    static const int64_t taps[2] = {3, 3}, channels[3] = {8, 8, 2};
    sunup_conv_options o = sunup_conv_defaults();
    o.before[0] = o.before[1] = o.after[0] = o.after[1] = 1;
    o.pad_mode = SUNUP_PAD_CIRCULAR;
    sunup_value *y = kept;
    for (int i = 0; i < 3; i++) {
        char name[48];
        (void)snprintf(name, sizeof name, "coupling%d.conv%d", coupling, i + 1);
        y = sunup_layer_conv(y, name, channels[i], taps, true, &o);
        y = i < 2 ? sunup_leaky_relu(y, 0.01) : sunup_tanh(y);
    }
    sunup_split(y, 3, 2, (int64_t[]){1, 1}, s_t);
}

/* phi' ; *log_scale gets the sum of s. */
static sunup_value *couple(const struct flow *f, sunup_value *phi, int i, sunup_value **log_scale)
{
    sunup_value *kept = sunup_mul(f->kept[i % 2], phi), *s_t[2];
    network(kept, i, s_t);
    sunup_value *s = sunup_mul(f->changed[i % 2], s_t[0]);
    sunup_value *t = sunup_mul(f->changed[i % 2], s_t[1]);
    *log_scale = sum_sites(f64(s));
    return sunup_add(sunup_mul(phi, sunup_exp(s)), t); /* s = t = 0 where phi is kept */
}

/* log of the standard normal density: [N, 1] f64. */
static sunup_value *log_prior(const struct flow *f, sunup_value *z)
{
    const double sites = (double)(f->length * f->length);
    return sunup_scale(sum_sites(sunup_square(f64(z))), -0.5, -0.5 * sites * log(2 * acos(-1.0)));
}

/* phi one site on along an axis: the first slice comes behind the last. */
static sunup_value *shifted(const struct flow *f, sunup_value *phi, int axis)
{
    sunup_value *parts[2] = {sunup_slice(phi, axis, 1, f->length - 1),
                             sunup_slice(phi, axis, 0, 1)};
    return sunup_concat(2, parts, axis);
}

/* S = sum_x (m2 + 4) phi^2 + lambda phi^4 - 2 phi (phi_{+1} + phi_{+2}): every pair of neighbours is
 * counted from one end. */
static sunup_value *action(const struct flow *f, sunup_value *phi)
{
    sunup_value *x = f64(phi), *x2 = sunup_square(x);
    sunup_value *ahead = sunup_add(f64(shifted(f, phi, 1)), f64(shifted(f, phi, 2)));
    sunup_value *local = sunup_mul(x2, sunup_scale(x2, PHI4_LAMBDA, PHI4_M2 + 4));
    return sum_sites(sunup_sub(local, sunup_scale(sunup_mul(x, ahead), 2, 0)));
}

static sunup_status build(struct flow *f)
{
    const sunup_status status = make_masks(f);
    if (status != SUNUP_OK) return status;
    const sunup_shape field = SUNUP_SHAPE(f->n, f->length, f->length, 1);
    sunup_value *z = sunup_input(f->g, "z", SUNUP_F32, field), *phi = z, *log_scale;
    sunup_value *log_q = log_prior(f, z);
    for (int i = 0; i < 2 * f->length; i++) {
        phi = couple(f, phi, i, &log_scale);
        log_q = sunup_sub(log_q, log_scale);
    }
    sunup_value *log_p = sunup_neg(action(f, phi)), *log_w = sunup_sub(log_p, log_q);
    sunup_graph_output(f->g, "loss", sunup_neg(sunup_mean(log_w, 0, NULL, false)));
    sunup_value *parts[3] = {sunup_cast(log_w, SUNUP_F32), sunup_cast(log_p, SUNUP_F32),
                             sunup_flatten(phi)};
    sunup_graph_output(f->g, "output", sunup_concat(3, parts, 1));
    return SUNUP_OK;
}

sunup_status phi4_flow(sunup_graph *g, void *network)
{
    const struct app_network *net = network;
    const sunup_shape *in = &net->input;
    struct flow f = {.g = g, .n = sunup_graph_batch(g), .length = in->n > 0 ? in->d[0] : 8};
    const bool square = in->n == 0 || (in->n == 3 && in->d[1] == f.length && in->d[2] == 1);
    if (!square || f.length < 4 || f.length % 2 != 0)
        return app_error(net->ctx, SUNUP_E_SHAPE,
                         "phi4: model.input must be [L, L, 1] with an even L of at least 4");
    return build(&f);
}
