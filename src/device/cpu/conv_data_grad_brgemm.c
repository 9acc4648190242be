/* conv_data_grad_brgemm.c - gradient of a convolution by its input, which is also the transposed
 * convolution.
 *
 * dx[i] = sum over taps t and outputs o with o stride - before + t dilation = i of dy[o] w[t].
 * Points i of one phase, (i + before) mod stride, share their taps and use neighbouring outputs:
 * each phase is a sweep of stride 1 over dy, writing every stride-th point of dx. Nothing is
 * multiplied by inserted zeros. Weights are packed once per run to [T][R][S][K][C/groups], S
 * backwards: with stride and dilation 1 along W the S taps then are one long k, as in the forward
 * direction.
 */
#include "base/system.h"
#include "device/cpu/conv_sweep.h"
#include "device/cpu/makers.h"
#include "graph/ops/conv.h"

enum { COLUMNS_LEAST = 4, STRIP = 16, LINE = 16 };

struct data_grad {
    struct conv_sweep *sweeps;
    int n_sweeps;
    int64_t taps, s_taps, cg, k; /* for packing: all taps, those along W, C / groups, K */
    int64_t weights, slot;       /* elements                                            */
};

bool sunup__conv_data_grad_brgemm_can(const struct device *d, const struct node *n)
{
    (void)d;
    const struct window *w = &((const struct conv_attr *)n->attr)->w;
    if (n->out[0]->dtype != SUNUP_F32 || sunup__elements(&n->in[0]->shape) == 0) return false;
    if (sunup__elements(&n->in[1]->shape) == 0 || sunup__elements(&n->out[0]->shape) == 0)
        return false;
    for (int a = 0; w->circular && a < 3; a++) { /* dy must have the period of x */
        if (w->stride[a] != 1 || w->in[a] != w->out[a]) return false;
    }
    return w->groups == 1 || w->c / w->groups >= COLUMNS_LEAST;
}

/* ---- running ---- */

struct pack {
    const struct data_grad *g;
    const float *w;
    float *packed;
    int64_t strips;
};

/* Strip of K of one tap: [C/groups][K] to [K][C/groups]. */
static void pack_strip(void *arg, int64_t i)
{
    const struct pack *p = arg;
    const struct data_grad *g = p->g;
    const int64_t tap = i / p->strips, from = i % p->strips * STRIP, s = tap % g->s_taps;
    const int64_t to = from + STRIP < g->k ? from + STRIP : g->k;
    const float *w = p->w + tap * g->cg * g->k;
    float *out = p->packed + (tap - s + g->s_taps - 1 - s) * g->cg * g->k;
    for (int64_t c = 0; c < g->cg; c++) {
        for (int64_t k = from; k < to; k++) out[k * g->cg + c] = w[c * g->k + k];
    }
}

static sunup_status run(const struct step *s, const sunup_random_key *key)
{
    (void)key;
    const struct data_grad *g = s->data;
    float *packed = s->workspace;
    struct pack p = {g, s->in[0], packed, (g->k + STRIP - 1) / STRIP};
    sunup__parallel(s->device->threads, g->taps * p.strips, pack_strip, &p);
    struct conv_run r = {.sweep = g->sweeps,
                         .n = g->n_sweeps,
                         .leaves = &s->device->kernels->f32,
                         .source = s->in[1],
                         .weights = packed,
                         .target = s->out[0],
                         .memory = packed + g->weights,
                         .threads = s->device->threads,
                         .slot = g->slot};
    sunup__conv_run(&r);
    return SUNUP_OK;
}

/* ---- making ---- */

/* One axis of a phase: targets `first_target` + j stride for j < targets. */
struct phase_axis {
    struct conv_taps taps;
    int64_t first_target, targets, first, reach;
};

/* Taps with t dilation = phase (mod stride), from the last,
 * whose output comes first, to the first. */
static struct phase_axis plan_axis(const struct window *w, int a, int64_t phase, int64_t *room)
{
    const int64_t stride = w->stride[a], before = w->before[a];
    struct phase_axis p = {.first_target = ((phase - before) % stride + stride) % stride,
                           .reach = 1};
    p.targets = (w->in[a] - p.first_target + stride - 1) / stride;
    if (p.targets < 0) p.targets = 0;
    int64_t *at = room, *number = room + w->taps[a];
    for (int64_t t = w->taps[a] - 1; t >= 0; t--) {
        if ((t * w->dilation[a] - phase) % stride != 0) continue;
        const int64_t output = (p.first_target + before - t * w->dilation[a]) / stride;
        if (p.taps.n == 0) p.first = output;
        p.reach = output - p.first + 1;
        number[p.taps.n] = t;
        at[p.taps.n++] = output - p.first;
    }
    p.taps.at = at;
    p.taps.weight = number;
    return p;
}

static void plan_space(struct conv_sweep *c, const struct window *w, int64_t samples,
                       const struct phase_axis axis[3])
{
    struct conv_space *s = &c->space;
    *s = (struct conv_space){
        .samples = samples, .channels = w->k, .circular = w->circular, .beside = w->c};
    const bool empty = axis[0].taps.n * axis[1].taps.n * axis[2].taps.n == 0;
    int64_t step = w->c;
    for (int a = 2; a >= 0; a--) {
        s->source[a] = w->out[a];
        s->target[a] = axis[a].targets;
        s->stride[a] = empty ? 0 : 1; /* no taps: zeros are written, nothing is read */
        s->first[a] = empty ? 0 : axis[a].first;
        s->reach[a] = empty ? 1 : axis[a].reach;
        c->c_first += axis[a].first_target * step;
        c->c_pitch[a + 1] = w->stride[a] * step;
        step *= w->in[a];
    }
    c->c_pitch[0] = step;
    sunup__conv_space_plan(s);
}

/* Weight numbers run backwards along W in the packed weights. */
static void plan_taps(struct conv_sweep *c, const struct window *w, const struct phase_axis axis[3],
                      int64_t *numbers)
{
    const int64_t cg = w->c / w->groups, tap = cg * w->k;
    const bool joined =
        w->taps[2] == 1 || (w->stride[2] == 1 && w->dilation[2] == 1 && w->groups == 1);
    c->k = (joined ? w->taps[2] : 1) * (w->k / w->groups);
    c->n = c->b_row = cg;
    c->groups = w->groups;
    c->a_group = w->k / w->groups;
    c->b_group = c->a_group * cg;
    c->c_group = cg;
    for (int64_t i = 0; i < axis[2].taps.n; i++)
        numbers[i] = w->taps[2] - 1 - axis[2].taps.weight[i];
    const struct conv_taps of_axis[3] = {
        axis[0].taps, axis[1].taps, {axis[2].taps.n, axis[2].taps.at, numbers}};
    const int64_t w_step[3] = {w->taps[1] * w->taps[2] * tap, w->taps[2] * tap, tap};
    sunup__conv_sweep_taps(c, of_axis, w_step, joined);
}

/* All phases of the stride; offsets of taps follow each other
 * in `offsets`, scratch holds an axis' taps. */
static void plan_phases(struct data_grad *g, const struct window *w, int64_t samples,
                        int64_t *offsets, int64_t *scratch)
{
    const int64_t *stride = w->stride, *taps = w->taps;
    for (int64_t i = 0; i < stride[0] * stride[1] * stride[2]; i++) {
        const int64_t phase[3] = {i / stride[2] / stride[1], i / stride[2] % stride[1],
                                  i % stride[2]};
        struct phase_axis axis[3];
        int64_t *room = scratch;
        for (int a = 0; a < 3; a++) {
            axis[a] = plan_axis(w, a, phase[a], room);
            room += 2 * taps[a];
        }
        if (axis[0].targets * axis[1].targets * axis[2].targets == 0) continue;
        struct conv_sweep *c = &g->sweeps[g->n_sweeps++];
        const int64_t most = axis[0].taps.n * axis[1].taps.n * axis[2].taps.n;
        c->a_at = offsets;
        c->b_at = offsets + most;
        offsets += 2 * most;
        plan_space(c, w, samples, axis);
        plan_taps(c, w, axis, room);
    }
}

sunup_status sunup__make_conv_data_grad_brgemm(struct device *d, const struct node *n,
                                               struct step *s)
{
    const struct window *w = &((const struct conv_attr *)n->attr)->w;
    const int64_t *taps = w->taps, all = taps[0] * taps[1] * taps[2];
    const int64_t phases = w->stride[0] * w->stride[1] * w->stride[2];
    const int64_t room = 2 * all + 2 * (taps[0] + taps[1]) + 3 * taps[2];
    const size_t sweeps_bytes = (size_t)phases * sizeof(struct conv_sweep);
    struct data_grad *g = sunup__alloc(sizeof *g + sweeps_bytes + (size_t)room * sizeof(int64_t));
    CHECK(g != NULL, d->ctx, E_MEMORY, "no memory for a step of %lld phases", (long long)phases);
    *g = (struct data_grad){.sweeps = (struct conv_sweep *)(void *)(g + 1),
                            .taps = all,
                            .s_taps = taps[2],
                            .cg = w->c / w->groups,
                            .k = w->k};
    g->weights = (all * g->cg * g->k + LINE - 1) / LINE * LINE;
    int64_t *offsets = (int64_t *)(void *)((char *)(g + 1) + sweeps_bytes);
    plan_phases(g, w, n->in[1]->shape.d[0], offsets, offsets + 2 * all);
    g->slot = sunup__conv_slot(g->sweeps, g->n_sweeps);
    s->data = g;
    s->run = run;
    s->end = sunup__conv_step_end;
    s->workspace_bytes =
        (g->weights + conv_slots_count(d->threads) * g->slot) * (int64_t)sizeof(float);
    return SUNUP_OK;
}
