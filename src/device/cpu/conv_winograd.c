/* conv_winograd.c - makers of convolution and its data gradient by Winograd's F(4x4, 3x3) and
 * F(2x2, 5x5), where the numerics allow it and it is faster than the direct sum.
 *
 * The data gradient is the convolution of dy with taps flipped in all axes, channels transposed,
 * and padding taps - 1 - before.
 */
#include "device/cpu/conv_winograd.h"

#include "device/cpu/conv_sweep.h"
#include "device/cpu/makers.h"
#include "device/cpu/prepared.h"
#include "graph/ops/conv.h"

/* ---- where it pays ---- */

/* A cost model in cycles of one core with 512-bit vectors. Per vector of 16 channels: of a tile that
 * is transformed in or out, of the weights of one source channel (and so much more for each tap).
 * START: the second loop over tasks, and memory that a direct sum does not have. These are memory's
 * more than the core's: Zen 4 and Sapphire Rapids agree. A vector of products is one cycle on Zen 4
 * and half a cycle on Sapphire Rapids. As one number has to do, it is that of the latter, which errs
 * towards the direct sum: a core of one multiply-add a cycle gains more than is assumed here.
 * GAIN: a smaller one is not worth the error. */
enum { INPUT = 300, OUTPUT = 250, WEIGHTS = 300, TAP = 12, START = 300000, CHANNELS_LEAST = 8 };
static const double DIRECT = 0.6, PRODUCT = 0.6, GAIN = 1.15;

/* Vectors that the gemm leaf works with: halves count. */
static double vectors(int64_t channels)
{
    return (double)((channels + 7) / 8) / 2;
}

static bool pays(struct winograd w)
{
    if (w.c < CHANNELS_LEAST || w.k < CHANNELS_LEAST) return false;
    sunup__winograd_plan_mosaic(&w);
    const double columns = vectors(w.k), taps = (double)(w.depth_taps * w.c);
    const double points = (double)(w.samples * w.target[0] * w.target[1] * w.target[2]);
    const double tiles = (double)(w.all * w.target[0]), loaded = (double)(w.all * w.source[0]);
    const double area = (double)(w.taps * w.taps), inside = sunup__mosaic_inside(&w.mosaic);
    const double direct = DIRECT * inside * area * points * taps * columns;
    const double cost = PRODUCT * 36 * tiles * taps * columns + INPUT * loaded * vectors(w.c) +
                        OUTPUT * tiles * columns + (WEIGHTS + TAP * area) * taps * columns + START;
    return cost * GAIN < direct;
}

/* ---- from nodes ---- */

static bool fits(const struct device *d, const struct node *n)
{
    const struct window *w = &((const struct conv_attr *)n->attr)->w;
    if (sunup_context_numerics(d->ctx) == SUNUP_NUMERICS_EXACT) return false;
    if (n->out[0]->dtype != SUNUP_F32) return false;
    if (sunup__elements(&n->in[0]->shape) == 0 || sunup__elements(&n->in[1]->shape) == 0 ||
        sunup__elements(&n->out[0]->shape) == 0)
        return false;
    return sunup__mosaic_can(w) && w->taps[0] <= WINOGRAD_DEPTH_TAPS_MOST;
}

static struct winograd forward(const struct node *n)
{
    const struct window *w = &((const struct conv_attr *)n->attr)->w;
    struct winograd g = {.samples = n->in[0]->shape.d[0],
                         .c = w->c,
                         .k = w->k,
                         .depth_taps = w->taps[0],
                         .taps = w->taps[1],
                         .dilation = {w->dilation[1], w->dilation[2]},
                         .circular = w->circular};
    for (int a = 0; a < 3; a++) {
        g.source[a] = w->in[a];
        g.target[a] = w->out[a];
        g.before[a] = w->before[a];
    }
    return g;
}

static struct winograd backward(const struct node *n)
{
    const struct window *w = &((const struct conv_attr *)n->attr)->w;
    struct winograd g = {.samples = n->in[1]->shape.d[0],
                         .c = w->k,
                         .k = w->c,
                         .depth_taps = w->taps[0],
                         .taps = w->taps[1],
                         .dilation = {w->dilation[1], w->dilation[2]},
                         .circular = w->circular,
                         .transposed = true};
    for (int a = 0; a < 3; a++) {
        g.source[a] = w->out[a];
        g.target[a] = w->in[a];
        g.before[a] = (w->taps[a] - 1) * w->dilation[a] - w->before[a];
    }
    return g;
}

bool sunup__conv_winograd_can(const struct device *d, const struct node *n)
{
    const struct winograd w = forward(n);
    return fits(d, n) && pays(w);
}

bool sunup__conv_data_grad_winograd_can(const struct device *d, const struct node *n)
{
    const struct winograd w = backward(n);
    for (int a = 0; w.circular && a < 3; a++) { /* dy must have the period of x */
        if (w.source[a] != w.target[a]) return false;
    }
    return fits(d, n) && pays(w);
}

/* ---- steps ---- */

static int64_t u_bytes(const struct winograd *w)
{
    return w->u * (int64_t)sizeof(float);
}

static struct winograd_run run_of(const struct step *s)
{
    const struct winograd *w = s->data;
    return (struct winograd_run){.w = w,
                                 .leaves = &s->device->kernels->f32,
                                 .source = s->in[w->transposed ? 1 : 0],
                                 .weights = s->in[w->transposed ? 0 : 1],
                                 .bias = s->node->n_in > 2 ? s->in[2] : NULL,
                                 .target = s->out[0],
                                 .u = prepared_weights(s),
                                 .memory = workspace_behind(s, u_bytes(w)),
                                 .threads = s->device->threads};
}

static void prepare(const struct step *s)
{
    const struct winograd_run r = run_of(s);
    sunup__winograd_prepare(&r);
}

static sunup_status run(const struct step *s, const sunup_random_key *key)
{
    (void)key;
    const struct winograd_run r = run_of(s);
    (void)have_prepared(s);
    sunup__winograd_run(&r);
    return SUNUP_OK;
}

static sunup_status make(struct device *d, struct step *s, struct winograd given)
{
    given.stays = operand_stays(s, given.transposed ? 0 : 1);
    sunup__winograd_plan(&given, d->threads);
    const int64_t offsets = 2 * sunup__mosaic_room(&given.mosaic);
    struct winograd *w = sunup__alloc(sizeof *w + (size_t)offsets * sizeof(int64_t));
    CHECK(w != NULL, d->ctx, E_MEMORY, "no memory for a step");
    *w = given;
    sunup__winograd_place(w, (int64_t *)(w + 1));
    s->data = w;
    s->run = run;
    s->end = sunup__conv_step_end;
    s->workspace_bytes = sunup__winograd_workspace(w, d->threads);
    ask_prepared(s, w->transposed ? 0 : 1, u_bytes(w), prepare);
    return SUNUP_OK;
}

sunup_status sunup__make_conv_winograd(struct device *d, const struct node *n, struct step *s)
{
    return make(d, s, forward(n));
}

sunup_status sunup__make_conv_data_grad_winograd(struct device *d, const struct node *n,
                                                 struct step *s)
{
    return make(d, s, backward(n));
}
