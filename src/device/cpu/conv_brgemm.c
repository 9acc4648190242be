/* conv_brgemm.c - convolution: one sweep over the output points.
 *
 * With one group and no dilation along W, the S taps of a row and their channels lie next to each
 * other, in x as in w: k = S C and the batch is the T R rows of taps. Otherwise k = C / groups and
 * the batch is all taps. Weights are used where they are.
 */
#include "device/cpu/conv_sweep.h"
#include "device/cpu/makers.h"
#include "graph/ops/conv.h"

/* With fewer columns of a group than this, most lanes idle
 * and the leaf for one sample is no worse. */
enum { COLUMNS_LEAST = 4 };

struct conv {
    struct conv_sweep sweep;
    int64_t slot;
};

bool sunup__conv_brgemm_can(const struct device *d, const struct node *n)
{
    (void)d;
    const struct window *w = &((const struct conv_attr *)n->attr)->w;
    if (n->out[0]->dtype != SUNUP_F32 || sunup__elements(&n->in[0]->shape) == 0) return false;
    if (sunup__elements(&n->in[1]->shape) == 0 || sunup__elements(&n->out[0]->shape) == 0)
        return false;
    return w->groups == 1 || w->k / w->groups >= COLUMNS_LEAST;
}

static sunup_status run(const struct step *s, const sunup_random_key *key)
{
    (void)key;
    const struct conv *c = s->data;
    struct conv_run r = {.sweep = &c->sweep,
                         .n = 1,
                         .leaves = &s->device->kernels->f32,
                         .source = s->in[0],
                         .weights = s->in[1],
                         .bias = s->node->n_in > 2 ? s->in[2] : NULL,
                         .target = s->out[0],
                         .memory = s->workspace,
                         .threads = s->device->threads,
                         .slot = c->slot};
    sunup__conv_run(&r);
    return SUNUP_OK;
}

static void plan_space(struct conv_space *s, const struct window *w, int64_t samples)
{
    *s = (struct conv_space){
        .samples = samples, .channels = w->c, .circular = w->circular, .beside = w->k};
    for (int a = 0; a < 3; a++) {
        s->source[a] = w->in[a];
        s->target[a] = w->out[a];
        s->stride[a] = w->stride[a];
        s->first[a] = -w->before[a];
        s->reach[a] = (w->taps[a] - 1) * w->dilation[a] + 1;
    }
    sunup__conv_space_plan(s);
}

static void plan_sweep(struct conv_sweep *c, const struct window *w, int64_t *room)
{
    const int64_t cg = w->c / w->groups, *taps = w->taps;
    const bool joined = taps[2] == 1 || (w->dilation[2] == 1 && w->groups == 1);
    c->k = joined ? taps[2] * cg : cg;
    c->n = w->k / w->groups;
    c->b_row = w->k;
    c->groups = w->groups;
    c->a_group = cg;
    c->b_group = c->c_group = c->n;
    c->c_pitch[3] = w->k;
    for (int a = 2; a >= 0; a--) c->c_pitch[a] = c->c_pitch[a + 1] * w->out[a];
    const int64_t all = taps[0] * taps[1] * taps[2];
    c->a_at = room;
    c->b_at = room + all;
    struct conv_taps axis[3];
    int64_t *at = room + 2 * all;
    for (int a = 0; a < 3; a++) {
        int64_t *number = at + taps[a];
        for (int64_t t = 0; t < taps[a]; t++) {
            at[t] = t * w->dilation[a];
            number[t] = t;
        }
        axis[a] = (struct conv_taps){taps[a], at, number};
        at += 2 * taps[a];
    }
    const int64_t tap = cg * w->k;
    sunup__conv_sweep_taps(c, axis, (const int64_t[3]){taps[1] * taps[2] * tap, taps[2] * tap, tap},
                           joined);
}

sunup_status sunup__make_conv_brgemm(struct device *d, const struct node *n, struct step *s)
{
    const struct window *w = &((const struct conv_attr *)n->attr)->w;
    const int64_t *taps = w->taps;
    const int64_t room = 2 * taps[0] * taps[1] * taps[2] + 2 * (taps[0] + taps[1] + taps[2]);
    struct conv *c = sunup__alloc(sizeof *c + (size_t)room * sizeof(int64_t));
    CHECK(c != NULL, d->ctx, E_MEMORY, "no memory for a step");
    plan_space(&c->sweep.space, w, n->in[0]->shape.d[0]);
    plan_sweep(&c->sweep, w, (int64_t *)(void *)(c + 1));
    c->slot = sunup__conv_slot(&c->sweep, 1);
    s->data = c;
    s->run = run;
    s->end = sunup__conv_step_end;
    s->workspace_bytes = conv_slots_count(d->threads) * c->slot * (int64_t)sizeof(float);
    return SUNUP_OK;
}
