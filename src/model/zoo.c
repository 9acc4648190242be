/* zoo.c - networks by name: residual networks and VGG, for any size of picture and number of classes.
 *
 * Owes: the shapes of the papers, and torchvision's names of tensors, so that weights trained there fit by name.
 * Leaves: what is trained to the trainer; the list to zoo.def.
 * Starts: convolutions N(0, 2 / (K R S)), as both papers' successors do (He et al. 2015); norms one and zero; the last
 * layer as sunup_layer_linear, VGG's as N(0, 0.01).
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/words.h"
#include "model/model.h"
#include "tensor/tensor.h"

enum family { BASIC, BOTTLENECK, SMALL, VGG, VGG_BN };
enum { STAGES = 5, NAME = 96 };

struct network {
    const char *name;
    enum family family;
    int blocks[STAGES]; /* 0 ends the list */
};

static const struct network networks[] = {
#define NETWORK(name, family, ...) {#name, family, {__VA_ARGS__}},
#include "model/zoo.def"
#undef NETWORK
};
enum { N_NETWORKS = sizeof networks / sizeof networks[0] };

struct recipe {
    const struct network *network;
    sunup_shape input; /* [H, W, C] */
    int64_t classes;
};

static const char *join(char room[NAME], const char *block, const char *part)
{
    (void)snprintf(room, NAME, "%.60s%s%.30s", block, block[0] != '\0' ? "." : "", part);
    return room;
}

static int64_t channels(const sunup_value *x)
{
    const sunup_shape s = sunup_value_shape(x);
    return s.n > 0 ? s.d[s.n - 1] : 0;
}

/* ---- what both families are made of ---- */

struct square {
    int64_t k, taps, stride; /* channels out; padding keeps the size at stride 1 */
    bool bias;
};

static sunup_value *conv(sunup_value *x, const char *name, struct square q)
{
    sunup_graph *g = sunup_value_graph(x);
    char full[NAME];
    const sunup_init he = {SUNUP_INIT_NORMAL, sqrt(2 / (double)(q.k * q.taps * q.taps))};
    const sunup_shape shape = SUNUP_SHAPE(q.taps, q.taps, channels(x), q.k);
    sunup_value *w = sunup_parameter(g, join(full, name, "weight"), shape, he);
    sunup_value *b = NULL;
    if (q.bias)
        b = sunup_parameter(g, join(full, name, "bias"), SUNUP_SHAPE(q.k),
                            (sunup_init){SUNUP_INIT_CONSTANT, 0});
    sunup_conv_options o = sunup_conv_defaults();
    for (int i = 0; i < 2; i++) {
        o.stride[i] = q.stride;
        o.before[i] = o.after[i] = q.taps / 2;
    }
    return sunup_conv(x, w, b, &o);
}

/* block.conv, block.norm */
static sunup_value *conv_norm(sunup_value *x, const char *block, const char *const names[2],
                              struct square q)
{
    char name[NAME];
    sunup_value *y = conv(x, join(name, block, names[0]), q);
    return sunup_layer_batch_norm(y, join(name, block, names[1]));
}

static sunup_value *max_pool(sunup_value *x, int64_t window, int64_t padding)
{
    sunup_pool_options o = sunup_pool_defaults();
    for (int i = 0; i < 2; i++) {
        o.window[i] = window;
        o.stride[i] = 2;
        o.before[i] = o.after[i] = padding;
    }
    return sunup_max_pool(x, &o);
}

/* ---- residual networks ---- */

static const char *const first[2] = {"conv1", "bn1"}, *const second[2] = {"conv2", "bn2"},
                         *const third[2] = {"conv3", "bn3"},
                         *const shortcut[2] = {"downsample.0", "downsample.1"};

/* Every second pixel, and zeros for the channels that x has not: a shortcut without weights (He et al., option A). */
static sunup_value *plain_shortcut(sunup_value *x, int64_t k, int64_t stride)
{
    sunup_pool_options o = sunup_pool_defaults();
    for (int i = 0; i < 2; i++) {
        o.window[i] = 1;
        o.stride[i] = stride;
    }
    if (stride > 1) x = sunup_avg_pool(x, &o);
    const int64_t more = k - channels(x);
    const int64_t before[4] = {0, 0, 0, more / 2}, after[4] = {0, 0, 0, more - more / 2};
    return more > 0 ? sunup_pad(x, before, after, SUNUP_PAD_ZERO) : x;
}

static sunup_value *residual(sunup_value *x, const char *name, enum family family, int64_t width,
                             int64_t stride)
{
    const int64_t k = family == BOTTLENECK ? 4 * width : width;
    sunup_value *y, *same = x;
    if (family == BOTTLENECK) {
        y = sunup_relu(conv_norm(x, name, first, (struct square){width, 1, 1, false}));
        y = sunup_relu(conv_norm(y, name, second, (struct square){width, 3, stride, false}));
        y = conv_norm(y, name, third, (struct square){k, 1, 1, false});
    } else {
        y = sunup_relu(conv_norm(x, name, first, (struct square){width, 3, stride, false}));
        y = conv_norm(y, name, second, (struct square){k, 3, 1, false});
    }
    if (family == SMALL)
        same = plain_shortcut(x, k, stride);
    else if (stride != 1 || channels(x) != k)
        same = conv_norm(x, name, shortcut, (struct square){k, 1, stride, false});
    return sunup_relu(sunup_add(y, same));
}

static sunup_value *resnet(sunup_value *x, const struct recipe *r)
{
    const struct network *n = r->network;
    const bool small = n->family == SMALL;
    const int64_t width = small ? 16 : 64;
    const struct square stem = {width, small ? 3 : 7, small ? 1 : 2, false};
    x = sunup_relu(conv_norm(x, "", first, stem));
    if (!small) x = max_pool(x, 3, 1);
    for (int s = 0; s < STAGES && n->blocks[s] > 0; s++)
        for (int b = 0; b < n->blocks[s]; b++) {
            char name[NAME];
            (void)snprintf(name, sizeof name, "layer%d.%d", s + 1, b);
            x = residual(x, name, n->family, width << s, s > 0 && b == 0 ? 2 : 1);
        }
    return sunup_layer_linear(sunup_global_avg_pool(x), "fc", r->classes, true);
}

/* ---- VGG ---- */

static sunup_value *dense(sunup_value *x, int layer, int64_t out)
{
    char name[NAME];
    sunup_graph *g = sunup_value_graph(x);
    const sunup_init start = {SUNUP_INIT_NORMAL, 0.01}, zero = {SUNUP_INIT_CONSTANT, 0};
    (void)snprintf(name, sizeof name, "classifier.%d.weight", layer);
    sunup_value *w = sunup_parameter(g, name, SUNUP_SHAPE(channels(x), out), start);
    (void)snprintf(name, sizeof name, "classifier.%d.bias", layer);
    return sunup_linear(x, w, sunup_parameter(g, name, SUNUP_SHAPE(out), zero));
}

/* torchvision numbers convolutions, norms, activations and pools alike. */
static sunup_value *vgg(sunup_value *x, const struct recipe *r)
{
    const struct network *n = r->network;
    int layer = 0;
    char name[NAME];
    for (int s = 0; s < STAGES; s++) {
        const int64_t k = s < 3 ? 64 << s : 512;
        for (int b = 0; b < n->blocks[s]; b++) {
            (void)snprintf(name, sizeof name, "features.%d", layer++);
            x = conv(x, name, (struct square){k, 3, 1, true});
            (void)snprintf(name, sizeof name, "features.%d", layer);
            if (n->family == VGG_BN) {
                x = sunup_layer_batch_norm(x, name);
                layer++;
            }
            x = sunup_relu(x);
            layer++;
        }
        x = max_pool(x, 2, 0);
        layer++;
    }
    x = sunup_dropout(sunup_relu(dense(sunup_flatten(x), 0, 4096)), 0.5, false);
    x = sunup_dropout(sunup_relu(dense(x, 3, 4096)), 0.5, false);
    return dense(x, 6, r->classes);
}

/* ---- by name ---- */

static sunup_status build(sunup_graph *g, void *arg)
{
    const struct recipe *r = arg;
    const sunup_shape *s = &r->input;
    sunup_value *x = sunup_input(g, "x", sunup_graph_dtype(g),
                                 SUNUP_SHAPE(sunup_graph_batch(g), s->d[0], s->d[1], s->d[2]));
    const bool is_vgg = r->network->family >= VGG;
    sunup_graph_output(g, "output", is_vgg ? vgg(x, r) : resnet(x, r));
    return sunup_graph_finish(g);
}

bool sunup__zoo_has(const char *name)
{
    for (int i = 0; i < N_NETWORKS; i++)
        if (strcmp(networks[i].name, name) == 0) return true;
    return false;
}

static sunup_status find(sunup_context *ctx, const char *name, const struct network **n)
{
    const char *names[N_NETWORKS];
    char hint[HINT_TEXT];
    for (int i = 0; i < N_NETWORKS; i++) {
        names[i] = networks[i].name;
        *n = &networks[i];
        if (strcmp(name, names[i]) == 0) return SUNUP_OK;
    }
    RAISE(ctx, E_ARGUMENT, "there is no network named '%s'%s", name,
          sunup__hint(hint, name, N_NETWORKS, names));
}

/* Five halvings (VGG and ResNet's stem) or two leave at least one pixel. */
static sunup_status check(sunup_context *ctx, const struct recipe *r)
{
    char text[SHAPE_TEXT];
    const sunup_shape *s = &r->input;
    const int64_t least = r->network->family >= VGG ? 32 : 1;
    CHECK(s->n == 3 && s->d[0] >= least && s->d[1] >= least && s->d[2] >= 1, ctx, E_SHAPE,
          "%s takes pictures [height, width, channels] of at least %lld pixels a side, not %s",
          r->network->name, (long long)least, sunup__shape_text(s, text));
    CHECK(r->classes >= 1, ctx, E_ARGUMENT, "%s for %lld classes; it must be at least one",
          r->network->name, (long long)r->classes);
    return SUNUP_OK;
}

sunup_status sunup_model_zoo(sunup_context *ctx, const char *name, sunup_shape input,
                             int64_t classes, uint64_t seed, sunup_model **model)
{
    *model = NULL;
    struct recipe r = {.input = input, .classes = classes};
    TRY(find(ctx, name, &r.network));
    TRY(check(ctx, &r));
    struct recipe *kept = sunup__alloc(sizeof *kept);
    CHECK(kept != NULL, ctx, E_MEMORY, "no memory for the network '%s'", name);
    *kept = r;
    const struct model_recipe recipe = {.build = build,
                                        .arg = kept,
                                        .end_arg = sunup__free,
                                        .dtype = SUNUP_F32,
                                        .source = r.network->name};
    return sunup__model_create(ctx, &recipe, seed, model);
}
