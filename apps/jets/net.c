/* net.c - ParticleNet (Qu and Gouskos 2020): a jet as a cloud of points, each seen with its k nearest neighbours.
 *
 * EdgeConv (Wang et al. 2019): for every pair (i, j) of neighbours three layers on (x_i, x_j - x_i), their mean over j, and a
 * shortcut from x_i. Neighbours are found in the plane at first, then among the features. Places without a particle are
 * put far away from all others. k, widths: 7, 32 64 ("lite") or 16, 64 128 256.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jets.h"

struct shape_of_net {
    int64_t k, widths[3], dense;
};

static sunup_value *normed(sunup_value *x, const char *name, int64_t width)
{
    char full[64];
    (void)snprintf(full, sizeof full, "%s.linear", name);
    x = sunup_layer_linear(x, full, width, false);
    (void)snprintf(full, sizeof full, "%s.norm", name);
    return sunup_layer_batch_norm(x, full);
}

/* A point is no neighbour of its own. */
static sunup_value *far_from_itself(sunup_graph *g, int64_t points)
{
    float *far = calloc((size_t)(points * points), sizeof *far);
    for (int64_t i = 0; far != NULL && i < points; i++) far[i * (points + 1)] = 1e9F;
    sunup_value *v = sunup_constant(g, SUNUP_F32, SUNUP_SHAPE(1, points, points), far);
    free(far);
    return v;
}

/* [N, P, k] */
static sunup_value *neighbours(sunup_value *points, sunup_value *absent, int64_t k)
{
    sunup_value *apart = sunup_add(points, sunup_scale(absent, 1e3, 0));
    sunup_value *distance = sunup_pairwise_distance(apart);
    const int64_t n = sunup_value_shape(points).d[1];
    return sunup_top_k(sunup_add(distance, far_from_itself(sunup_value_graph(points), n)), k, false);
}

static sunup_value *edge_conv(sunup_value *x, sunup_value *near, const char *block, int64_t width)
{
    const sunup_shape s = sunup_value_shape(x), m = sunup_value_shape(near);
    const sunup_shape one = SUNUP_SHAPE(s.d[0], s.d[1], 1, s.d[2]);
    const sunup_shape each = SUNUP_SHAPE(s.d[0], s.d[1], m.d[2], s.d[2]);
    sunup_value *centre = sunup_broadcast(sunup_reshape(x, one), each);
    sunup_value *pair[2] = {centre, sunup_sub(sunup_gather_rows(x, near), centre)};
    sunup_value *e = sunup_concat(2, pair, -1);
    char name[48];
    for (int i = 1; i <= 3; i++) {
        (void)snprintf(name, sizeof name, "%s.edge%d", block, i);
        e = sunup_relu(normed(e, name, width));
    }
    (void)snprintf(name, sizeof name, "%s.shortcut", block);
    return sunup_relu(sunup_add(sunup_mean(e, 1, (int[]){2}, false), normed(x, name, width)));
}

static sunup_value *mean_of_particles(sunup_value *x, sunup_value *mask)
{
    const int axis = 1;
    sunup_value *sum = sunup_sum(sunup_mul(x, mask), 1, &axis, false);
    return sunup_div(sum, sunup_sum(mask, 1, &axis, false));
}

static sunup_value *particle_net(sunup_graph *g, const struct shape_of_net *o)
{
    const int64_t n = sunup_graph_batch(g);
    sunup_value *x = sunup_input(g, "particles", SUNUP_F32, SUNUP_SHAPE(n, PARTICLES, FEATURES));
    sunup_value *mask = sunup_input(g, "mask", SUNUP_F32, SUNUP_SHAPE(n, PARTICLES, 1));
    sunup_value *at = sunup_input(g, "at", SUNUP_F32, SUNUP_SHAPE(n, PARTICLES, 2));
    sunup_value *absent = sunup_scale(mask, -1, 1);
    sunup_graph_start(g, SUNUP_START_KAIMING_NORMAL);
    x = sunup_layer_batch_norm(x, "features");
    for (int b = 0; b < 3 && o->widths[b] > 0; b++) {
        char name[16];
        (void)snprintf(name, sizeof name, "block%d", b + 1);
        x = edge_conv(x, neighbours(b == 0 ? at : x, absent, o->k), name, o->widths[b]);
    }
    x = sunup_relu(sunup_layer_linear(mean_of_particles(x, mask), "fc1", o->dense, true));
    return sunup_layer_linear(sunup_dropout(x, 0.1, false), "fc2", 2, true);
}

sunup_status jets_build(sunup_graph *g, void *network)
{
    static const struct shape_of_net lite = {7, {32, 64, 0}, 128}, whole = {16, {64, 128, 256}, 256};
    const char *variant = ((const struct app_network *)network)->variant;
    const bool is_lite = strcmp(variant, "lite") == 0;
    if (!is_lite && variant[0] != '\0')
        return app_error(((const struct app_network *)network)->ctx, SUNUP_E_ARGUMENT,
                         "there is no network 'jets-%s'; there are jets and jets-lite", variant);
    sunup_graph_output(g, "output", particle_net(g, is_lite ? &lite : &whole));
    return sunup_graph_finish(g);
}
