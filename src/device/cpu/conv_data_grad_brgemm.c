/* conv_data_grad_brgemm.c - gradient of a convolution by its input, which is also the transposed
 * convolution.
 *
 * dx[i] = sum over taps t and outputs o with o stride - before + t dilation = i of dy[o] w[t].
 * Points i of one phase, (i + before) mod stride, share their taps and use neighbouring outputs:
 * each phase is a sweep of stride 1 over dy, writing every stride-th point of dx. Nothing is
 * multiplied by inserted zeros. Taps side by side, as of 2x2 with stride 2, are one with more
 * channels. Weights are packed to panels of [T][R][S][K][32], S backwards: with stride
 * and dilation 1 along W the S taps then are one long k, as in the forward direction.
 *
 * Circular padding is zero padding of the other direction if dy has the period of x. Otherwise the
 * gradient of the padded x is made, and its points added to the ones that they are copies of.
 */
#include "base/system.h"
#include "device/cpu/conv_sweep.h"
#include "device/cpu/makers.h"
#include "device/cpu/prepared.h"
#include "graph/ops/conv.h"

#include <string.h>

enum { COLUMNS_LEAST = 4, LINE = 16 };

struct data_grad {
    struct conv_sweep *sweeps;
    int n_sweeps;
    int64_t taps, s_taps, cg, k; /* for packing: all taps, those along W, C / groups, K */
    int64_t axes[3];             /* taps along each axis                                */
    int64_t weights, slot;       /* elements                                            */
    int64_t padded[3], room;     /* points and elements of the padded dx; 0: not needed */
};

bool sunup__conv_data_grad_brgemm_can(const struct device *d, const struct node *n)
{
    (void)d;
    const struct window *w = &((const struct conv_attr *)n->attr)->w;
    if (n->out[0]->dtype != SUNUP_F32 || sunup__elements(&n->in[0]->shape) == 0) return false;
    if (sunup__elements(&n->in[1]->shape) == 0 || sunup__elements(&n->out[0]->shape) == 0)
        return false;
    return w->groups == 1 || w->c / w->groups >= COLUMNS_LEAST;
}

/* ---- running ---- */

struct pack {
    const struct data_grad *g;
    const struct leaves_f32 *leaves;
    const float *w;
    float *packed;
};

/* One tap of one panel: [width][K] to [K][width]. */
static void pack_tap(void *arg, int64_t i)
{
    const struct pack *p = arg;
    const struct data_grad *g = p->g;
    const struct conv_panels *b = &g->sweeps->b;
    const int64_t tap = i % g->taps, panel = i / g->taps % b->n, group = i / g->taps / b->n;
    const int64_t kg = g->sweeps->k, s = tap % g->s_taps, left = g->cg - panel * b->width;
    p->leaves->transpose(left < b->width ? left : b->width, kg,
                         p->w + (tap * g->cg + panel * b->width) * g->k + group * kg, g->k,
                         p->packed + group * b->group + panel * b->panel +
                             (tap - s + g->s_taps - 1 - s) * b->tap[2],
                         b->row);
}

struct fold {
    const struct window *w;
    const int64_t *padded;
    const struct leaves_f32 *leaves;
    const float *from;
    float *dx;
};

/* Row i of dx: the sum of all rows of the padded dx that are copies of it. */
static void fold_row(void *arg, int64_t i)
{
    const struct fold *f = arg;
    const struct window *w = f->w;
    const int64_t *in = w->in, *padded = f->padded, h = i % in[1], d = i / in[1] % in[0];
    const float *sample = f->from + i / in[1] / in[0] * padded[0] * padded[1] * padded[2] * w->c;
    float *row = f->dx + i * in[2] * w->c;
    memset(row, 0, (size_t)(in[2] * w->c) * sizeof(float));
    for (int64_t e = (d + w->before[0]) % in[0]; e < padded[0]; e += in[0]) {
        for (int64_t r = (h + w->before[1]) % in[1]; r < padded[1]; r += in[1]) {
            const float *from = sample + (e * padded[1] + r) * padded[2] * w->c;
            int64_t to = (in[2] - w->before[2] % in[2]) % in[2];
            for (int64_t p = 0, n; p < padded[2]; p += n, to = 0) {
                n = in[2] - to < padded[2] - p ? in[2] - to : padded[2] - p;
                f->leaves->add_to(n * w->c, from + p * w->c, row + to * w->c);
            }
        }
    }
}

static void prepare(const struct step *s)
{
    const struct data_grad *g = s->data;
    const struct conv_sweep *first = g->sweeps;
    struct pack p = {g, &s->device->kernels->f32, s->in[0], prepared_weights(s)};
    if (first->dots)
        sunup__conv_pack_dots(&first->b, g->k, g->axes, true, p.w, p.packed);
    else
        sunup__parallel(s->device->threads, first->groups * first->b.n * g->taps, pack_tap, &p);
}

static sunup_status run(const struct step *s, const sunup_random_key *key)
{
    (void)key;
    const struct data_grad *g = s->data;
    const struct leaves_f32 *leaves = &s->device->kernels->f32;
    float *weights = have_prepared(s);
    struct conv_run r = {.sweep = g->sweeps,
                         .n = g->n_sweeps,
                         .leaves = leaves,
                         .source = s->in[1],
                         .weights = weights,
                         .target = s->out[0],
                         .memory = workspace_behind(s, g->weights * (int64_t)sizeof(float)),
                         .threads = s->device->threads,
                         .slot = g->slot};
    const int64_t slots = conv_slots_count(s->device->threads);
    if (g->room > 0) r.target = r.memory + slots * g->slot;
    sunup__conv_run(&r);
    if (g->room > 0) {
        const struct window *w = &((const struct conv_attr *)s->node->attr)->w;
        struct fold f = {w, g->padded, leaves, r.target, s->out[0]};
        sunup__parallel(s->device->threads, s->node->in[1]->shape.d[0] * w->in[0] * w->in[1],
                        fold_row, &f);
    }
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
    const int64_t last = w->taps[a] - 1;
    for (int64_t t = w->taps[a] - 1; t >= 0; t--) {
        if ((t * w->dilation[a] - phase) % stride != 0) continue;
        const int64_t output = (p.first_target + before - t * w->dilation[a]) / stride;
        if (p.taps.n == 0) p.first = output;
        p.reach = output - p.first + 1;
        number[p.taps.n] = a == 2 ? last - t : t;
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
    *s = (struct conv_space){.samples = samples,
                             .channels = w->k,
                             .circular = w->circular,
                             .beside = w->c < 64 ? w->c : 64};
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
}

/* Weight numbers run backwards along W in the packed weights. */
static void plan_sweep(struct conv_sweep *c, const struct window *w,
                       const struct phase_axis axis[3], int64_t width)
{
    c->k = w->k / w->groups;
    c->n = w->c / w->groups;
    c->groups = w->groups;
    c->a_group = c->k;
    c->c_group = c->n;
    for (int a = 0; a < 3; a++) c->taps[a] = axis[a].taps;
    c->dots = conv_dots_pay(w, c->n, c->k);
    sunup__conv_sweep_space(c);
    c->joined =
        w->stride[2] == 1 && w->dilation[2] == 1 && w->groups == 1 && c->space.pitch[3] == w->k;
    c->b = c->dots ? sunup__conv_panels_dots(c->n, c->k, w->taps)
                   : sunup__conv_panels_packed(c->n, c->k, w->taps,
                                               width > 0 ? width : sunup__conv_sweep_width(c));
    sunup__conv_sweep_plan(c);
}

/* All phases of the stride; each takes room for taps. */
static void plan_phases(struct data_grad *g, const struct window *w, int64_t samples, int64_t *room)
{
    const int64_t *stride = w->stride, *taps = w->taps;
    for (int64_t i = 0; i < stride[0] * stride[1] * stride[2]; i++) {
        const int64_t phase[3] = {i / stride[2] / stride[1], i / stride[2] % stride[1],
                                  i % stride[2]};
        struct phase_axis axis[3];
        for (int a = 0; a < 3; a++) {
            axis[a] = plan_axis(w, a, phase[a], room);
            room += 2 * taps[a];
        }
        if (axis[0].targets * axis[1].targets * axis[2].targets == 0) continue;
        struct conv_sweep *c = &g->sweeps[g->n_sweeps++];
        plan_space(c, w, samples, axis);
        plan_sweep(c, w, axis, g->sweeps->b.width);
    }
}

/* The window whose gradient the sweeps make: of x, or of x with its circular padding. */
static struct window plan_window(struct data_grad *g, const struct window *w, int64_t samples)
{
    struct window window = *w;
    bool periodic = true;
    for (int a = 0; a < 3; a++) {
        g->padded[a] = (w->out[a] - 1) * w->stride[a] + (w->taps[a] - 1) * w->dilation[a] + 1;
        if (w->stride[a] != 1 || w->in[a] != w->out[a]) periodic = false;
    }
    if (!w->circular || periodic) return window;
    window.circular = false;
    for (int a = 0; a < 3; a++) {
        window.in[a] = g->padded[a];
        window.before[a] = 0;
    }
    g->room = samples * g->padded[0] * g->padded[1] * g->padded[2] * w->c;
    return window;
}

/* Taps that lie side by side along W without a gap or an overlap are channels of one tap, in x as
 * in w: one phase with longer rows of dx instead of several. */
static struct window side_by_side(const struct window *w)
{
    struct window one = *w;
    if (w->groups > 1 || w->circular || w->dilation[2] != 1 || w->before[2] != 0 ||
        w->stride[2] != w->taps[2] || w->in[2] != w->out[2] * w->taps[2])
        return one;
    one.c = w->c * w->taps[2];
    one.in[2] = w->out[2];
    one.taps[2] = one.stride[2] = 1;
    return one;
}

sunup_status sunup__make_conv_data_grad_brgemm(struct device *d, const struct node *n,
                                               struct step *s)
{
    const struct window given = side_by_side(&((const struct conv_attr *)n->attr)->w), *w = &given;
    const int64_t *taps = w->taps, all = taps[0] * taps[1] * taps[2];
    const int64_t phases = w->stride[0] * w->stride[1] * w->stride[2];
    const int64_t room = phases * 2 * (taps[0] + taps[1] + taps[2]);
    const int64_t samples = n->in[1]->shape.d[0];
    const size_t sweeps_bytes = (size_t)phases * sizeof(struct conv_sweep);
    struct data_grad *g = sunup__alloc(sizeof *g + sweeps_bytes + (size_t)room * sizeof(int64_t));
    CHECK(g != NULL, d->ctx, E_MEMORY, "no memory for a step of %lld phases", (long long)phases);
    *g = (struct data_grad){.sweeps = (struct conv_sweep *)(void *)(g + 1),
                            .taps = all,
                            .s_taps = taps[2],
                            .axes = {taps[0], taps[1], taps[2]},
                            .cg = w->c / w->groups,
                            .k = w->k};
    const struct window window = plan_window(g, w, samples);
    plan_phases(g, &window, samples, (int64_t *)(void *)((char *)(g + 1) + sweeps_bytes));
    g->weights = (w->groups * g->sweeps->b.group + LINE - 1) / LINE * LINE;
    g->slot = sunup__conv_slot(g->sweeps, g->n_sweeps);
    s->data = g;
    s->run = run;
    s->end = sunup__conv_step_end;
    s->workspace_bytes =
        (conv_slots_count(d->threads) * g->slot + g->room) * (int64_t)sizeof(float);
    ask_prepared(s, 0, g->weights * (int64_t)sizeof(float), prepare);
    return SUNUP_OK;
}
