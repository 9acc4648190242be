/* conv_grouped.c - depthwise convolution and groups of up to 8 channels: forward, and the gradients
 * by data and by weights.
 *
 * Channels are the lanes of a vector. All three passes walk the boxes of conv_boxes.h and leave
 * each to a leaf; the data gradient is the forward leaf with sources and targets exchanged. Where a
 * group has more than one channel, weights are brought into the order of turns (struct box) first,
 * and their gradient back from it.
 *
 * Weight gradient: parts are cut into chunks with a partial sum each, added in order at the end;
 * parts and chunks follow from sizes alone, so no bit depends on threads.
 *
 * Ceiling: memory, x and y once each, for depthwise 3x3 of maps beyond the L3; multiply-adds for
 * groups of four and more (see box_tile.h).
 */
#include "base/system.h"
#include "device/cpu/conv_boxes.h"
#include "device/cpu/conv_slots.h"
#include "device/cpu/makers.h"
#include "graph/ops/conv.h"

enum { CHUNKS_MOST = 64, PARTIAL_ELEMENTS_MOST = 2 << 20, ADD_ELEMENTS = 4096, LINE = 16 };
enum { FAR = 1 << 20 }; /* elements of x and y that no second level holds */

struct grouped {
    struct boxes boxes;
    int64_t samples, taps, cg, kg, groups; /* cg, kg: of x and y, whatever the pass       */
    int64_t weights;                       /* elements in the order of turns              */
    int64_t source, target;                /* elements of a sample                        */
    bool adjoint;
    int64_t chunks; /* weight gradient */
};

bool sunup__conv_grouped_can(const struct device *d, const struct node *n)
{
    (void)d;
    const struct window *w = &((const struct conv_attr *)n->attr)->w;
    if (n->out[0]->dtype != SUNUP_F32 || sunup__elements(&n->out[0]->shape) == 0) return false;
    if (sunup__elements(&n->in[0]->shape) == 0 || sunup__elements(&n->in[1]->shape) == 0)
        return false;
    return w->groups > 1 && w->c / w->groups <= BOX_TURNS && w->k / w->groups <= BOX_TURNS &&
           sunup__boxes_can(w);
}

/* Number of the weight of input j and output i of a group in the order of turns. */
static int64_t turned_at(const struct grouped *g, int64_t group, int64_t j, int64_t i)
{
    const struct box *s = &g->boxes.shape;
    const int64_t from = g->adjoint ? i : j, to = g->adjoint ? j : i;
    return (to - from + s->turns) % s->turns * s->w_turn + group * s->cg + from;
}

static bool turned(const struct grouped *g)
{
    return g->boxes.shape.turns > 1;
}

/* For each weight w[tap][j][group][i] of the op and its place by turns. */
#define EACH_WEIGHT(g)                                                                             \
    for (int64_t at = 0, tap = 0; tap < (g)->taps; tap++)                                          \
        for (int64_t j = 0; j < (g)->cg; j++)                                                      \
            for (int64_t group = 0; group < (g)->groups; group++)                                  \
                for (int64_t i = 0; i < (g)->kg; i++, at++)

/* Weights whose input or output is not there stay zero. */
static void to_turns(const struct grouped *g, const float *w, float *to)
{
    for (int64_t i = 0; i < g->weights; i++) to[i] = 0;
    EACH_WEIGHT(g) to[tap * g->boxes.tap + turned_at(g, group, j, i)] = w[at];
}

static void from_turns(const struct grouped *g, const float *dw, float *to)
{
    EACH_WEIGHT(g) to[at] = dw[tap * g->boxes.tap + turned_at(g, group, j, i)];
}

/* ---- running ---- */

/* Workspace: weights by turns, then the chunks' partial sums. */
struct work {
    const struct grouped *g;
    const struct leaves_f32 *leaves;
    const float *source, *weights, *bias, *dy;
    float *target, *dw, *partial; /* chunk 0 is summed in dw, the others in partial */
};

static int64_t in_lines(int64_t elements)
{
    return (elements + LINE - 1) / LINE * LINE;
}

static int64_t turned_elements(const struct grouped *g)
{
    return turned(g) ? in_lines(g->weights) : 0;
}

static struct work work_of(const struct step *s)
{
    return (struct work){.g = s->data, .leaves = &s->device->kernels->f32};
}

/* Part i % part_count of sample i / part_count. */
static int64_t sample_of(const struct grouped *g, int64_t i)
{
    return i / g->boxes.part_count;
}

/* What the boxes of one sample are for. */
struct sample {
    const struct work *w;
    const float *source, *dy;
    float *target, *dw;
};

static void conv_box(void *arg, const struct box *box, int64_t source, int64_t target)
{
    const struct sample *s = arg;
    s->w->leaves->conv_box(box, s->source + source, s->w->weights, s->w->bias, s->target + target);
}

static void sweep_part(void *arg, int64_t i)
{
    const struct work *w = arg;
    const struct grouped *g = w->g;
    struct sample s = {.w = w,
                       .source = w->source + sample_of(g, i) * g->source,
                       .target = w->target + sample_of(g, i) * g->target};
    sunup__boxes_of_part(&g->boxes, i % g->boxes.part_count, conv_box, &s);
}

static sunup_status sweep(const struct step *s, const float *source, const float *weights,
                          const float *bias)
{
    const struct grouped *g = s->data;
    struct work w = work_of(s);
    w.source = source;
    w.weights = weights;
    w.bias = bias;
    w.target = s->out[0];
    if (turned(g)) {
        to_turns(g, weights, s->workspace);
        w.weights = s->workspace;
    }
    sunup__parallel(s->device->threads, g->samples * g->boxes.part_count, sweep_part, &w);
    return SUNUP_OK;
}

static sunup_status run_conv(const struct step *s, const sunup_random_key *key)
{
    (void)key;
    return sweep(s, s->in[0], s->in[1], s->node->n_in > 2 ? s->in[2] : NULL);
}

static sunup_status run_data_grad(const struct step *s, const sunup_random_key *key)
{
    (void)key;
    return sweep(s, s->in[1], s->in[0], NULL);
}

static void grad_box(void *arg, const struct box *box, int64_t source, int64_t target)
{
    const struct sample *s = arg;
    s->w->leaves->conv_box_weight_grad(box, s->source + source, s->dy + target, s->dw);
}

static void sum_chunk(void *arg, int64_t i)
{
    const struct work *w = arg;
    const struct grouped *g = w->g;
    const int64_t all = g->samples * g->boxes.part_count, end = (i + 1) * all / g->chunks;
    struct sample s = {.w = w, .dw = i == 0 ? w->dw : w->partial + (i - 1) * g->weights};
    for (int64_t j = 0; j < g->weights; j++) s.dw[j] = 0;
    for (int64_t part = i * all / g->chunks; part < end; part++) {
        s.source = w->source + sample_of(g, part) * g->source;
        s.dy = w->dy + sample_of(g, part) * g->target;
        sunup__boxes_of_part(&g->boxes, part % g->boxes.part_count, grad_box, &s);
    }
}

static void add_chunks(void *arg, int64_t i)
{
    const struct work *w = arg;
    const int64_t from = i * ADD_ELEMENTS, left = w->g->weights - from,
                  n = left < ADD_ELEMENTS ? left : ADD_ELEMENTS;
    for (int64_t c = 0; c + 1 < w->g->chunks; c++)
        w->leaves->add_to(n, w->partial + c * w->g->weights + from, w->dw + from);
}

static sunup_status run_weight_grad(const struct step *s, const sunup_random_key *key)
{
    (void)key;
    const struct grouped *g = s->data;
    const int threads = s->device->threads;
    struct work w = work_of(s);
    w.source = s->in[0];
    w.dy = s->in[1];
    w.dw = turned(g) ? s->workspace : s->out[0];
    if (g->chunks > 1) w.partial = (float *)s->workspace + turned_elements(g);
    sunup__parallel(threads, g->chunks, sum_chunk, &w);
    if (g->chunks > 1)
        sunup__parallel(threads, (g->weights + ADD_ELEMENTS - 1) / ADD_ELEMENTS, add_chunks, &w);
    if (turned(g)) from_turns(g, w.dw, s->out[0]);
    return SUNUP_OK;
}

/* ---- making ---- */

static void end(struct step *s)
{
    struct grouped *g = s->data;
    sunup__boxes_end(&g->boxes);
    sunup__free(g);
    s->data = NULL;
}

static int64_t sample_elements(const int64_t n[4])
{
    return n[0] * n[1] * n[2] * n[3];
}

static sunup_status make(struct device *d, const struct node *n, struct step *s,
                         const struct boxes_job *asked)
{
    const bool adjoint = asked->adjoint;
    struct boxes_job job = *asked;
    const struct window *w = &((const struct conv_attr *)n->attr)->w;
    struct grouped *g = sunup__alloc(sizeof *g);
    CHECK(g != NULL, d->ctx, E_MEMORY, "no memory for a step");
    g->samples = job.samples = n->in[adjoint ? 1 : 0]->shape.d[0];
    if (!sunup__boxes_plan(&g->boxes, w, &job)) {
        sunup__free(g);
        RAISE(d->ctx, E_MEMORY, "no memory for a step");
    }
    g->taps = w->taps[0] * w->taps[1] * w->taps[2];
    g->cg = w->c / w->groups;
    g->kg = w->k / w->groups;
    g->groups = w->groups;
    g->weights = g->taps * g->boxes.tap;
    g->source = sample_elements(g->boxes.source);
    g->target = sample_elements(g->boxes.target);
    g->adjoint = adjoint;
    const bool far = sunup__level3_far(), scattered = adjoint && w->stride[2] > 1;
    g->boxes.shape.in_order = far && g->samples * (g->source + g->target) > FAR;
    g->boxes.shape.streamed =
        far && !scattered && sunup__outgrows_caches(g->samples * g->target * (int64_t)sizeof(float));
    s->data = g;
    s->end = end;
    s->workspace_bytes = turned_elements(g) * (int64_t)sizeof(float);
    return SUNUP_OK;
}

static int64_t tasks(const struct device *d)
{
    return (int64_t)TASKS_PER_THREAD * d->threads;
}

sunup_status sunup__make_conv_grouped(struct device *d, const struct node *n, struct step *s)
{
    s->run = run_conv;
    return make(d, n, s, &(struct boxes_job){.parts_least = tasks(d)});
}

sunup_status sunup__make_conv_data_grad_grouped(struct device *d, const struct node *n,
                                                struct step *s)
{
    s->run = run_data_grad;
    return make(d, n, s, &(struct boxes_job){.parts_least = tasks(d), .adjoint = true});
}

sunup_status sunup__make_conv_weight_grad_grouped(struct device *d, const struct node *n,
                                                  struct step *s)
{
    s->run = run_weight_grad;
    TRY(make(d, n, s, &(struct boxes_job){.parts_least = CHUNKS_MOST}));
    struct grouped *g = s->data;
    const int64_t parts = g->samples * g->boxes.part_count;
    g->chunks = PARTIAL_ELEMENTS_MOST / g->weights;
    if (g->chunks > CHUNKS_MOST) g->chunks = CHUNKS_MOST;
    if (g->chunks > parts) g->chunks = parts;
    if (g->chunks < 1) g->chunks = 1;
    s->workspace_bytes += (g->chunks - 1) * g->weights * (int64_t)sizeof(float);
    return SUNUP_OK;
}
