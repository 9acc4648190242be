/* conv_brgemm.c - convolution: one sweep over the output points.
 *
 * With one group and no dilation along W, taps of a row and their channels lie next to each other,
 * in x as in w. Weights are used where they are if they meet few points or are a panel already,
 * else packed: 32 columns of wide rows share few sets of a cache, so that they do not stay there.
 * Weights that stay from run to run are always packed, once.
 */
#include "base/system.h"
#include "device/cpu/conv_sweep.h"
#include "device/cpu/makers.h"
#include "device/cpu/prepared.h"
#include "graph/ops/conv.h"

#include <string.h>

/* With fewer columns of a group than this, most lanes idle
 * and the leaf for one sample is no worse. */
enum { COLUMNS_LEAST = 4, PACK_FROM_POINTS = 512, PACK_ROWS = 64, LINE = 16 };
/* Weights that no second level holds are packed for fewer points: in place, a panel's short
 * stretches far apart come one by one from memory. Sapphire Rapids: 1.2 to 2 times on 512 channels
 * of 2x2 and 7x7 maps. */
enum { MANY_WEIGHTS = 1 << 20, MANY_FROM_POINTS = 32 };

struct conv {
    struct conv_sweep sweep;
    int64_t taps, k, axes[3]; /* all taps; K; taps along each axis      */
    bool packed;
    int64_t weights, slot; /* elements of packed weights, of a slot */
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

struct pack {
    const struct conv *c;
    const float *w;
    float *packed;
};

/* Rows [i ROWS, (i + 1) ROWS) of [T R S C][K], in the order in which they lie in memory: each has
 * `width` columns for each panel. */
static void pack_rows(void *arg, int64_t i)
{
    const struct pack *p = arg;
    const struct conv *c = p->c;
    const int64_t width = c->sweep.b.width, rows = c->taps * c->sweep.k;
    const int64_t end = (i + 1) * PACK_ROWS < rows ? (i + 1) * PACK_ROWS : rows;
    for (int64_t r = i * PACK_ROWS; r < end; r++) {
        const float *from = p->w + r * c->k;
        float *to = p->packed + r * width;
        for (int64_t left = c->k; left > 0; left -= width, from += width, to += c->sweep.b.panel)
            memcpy(to, from, (size_t)(left < width ? left : width) * sizeof(float));
    }
}

static void prepare(const struct step *s)
{
    const struct conv *c = s->data;
    struct pack p = {c, s->in[1], prepared_weights(s)};
    const int64_t rows = c->taps * c->sweep.k;
    if (c->sweep.dots)
        sunup__conv_pack_dots(&c->sweep.b, c->sweep.k, c->axes, false, p.w, p.packed);
    else
        sunup__parallel(s->device->threads, (rows + PACK_ROWS - 1) / PACK_ROWS, pack_rows, &p);
}

static sunup_status run(const struct step *s, const sunup_random_key *key)
{
    (void)key;
    const struct conv *c = s->data;
    float *weights = have_prepared(s);
    struct conv_run r = {.sweep = &c->sweep,
                         .n = 1,
                         .leaves = &s->device->kernels->f32,
                         .source = s->in[0],
                         .weights = c->packed ? weights : s->in[1],
                         .bias = s->node->n_in > 2 ? s->in[2] : NULL,
                         .target = s->out[0],
                         .memory = workspace_behind(s, c->weights * (int64_t)sizeof(float)),
                         .threads = s->device->threads,
                         .slot = c->slot};
    sunup__conv_run(&r);
    return SUNUP_OK;
}

static void plan_space(struct conv_space *s, const struct window *w, int64_t samples)
{
    *s = (struct conv_space){.samples = samples,
                             .channels = w->c,
                             .circular = w->circular,
                             .beside = w->k < 64 ? w->k : 64};
    for (int a = 0; a < 3; a++) {
        s->source[a] = w->in[a];
        s->target[a] = w->out[a];
        s->stride[a] = w->stride[a];
        s->first[a] = -w->before[a];
        s->reach[a] = (w->taps[a] - 1) * w->dilation[a] + 1;
    }
}

static void plan_taps(struct conv_sweep *c, const struct window *w, int64_t *room)
{
    for (int a = 0; a < 3; a++) {
        int64_t *number = room + w->taps[a];
        for (int64_t t = 0; t < w->taps[a]; t++) {
            room[t] = t * w->dilation[a];
            number[t] = t;
        }
        c->taps[a] = (struct conv_taps){w->taps[a], room, number};
        room += 2 * w->taps[a];
    }
}

static void plan_sweep(struct conv *c, const struct window *w, int64_t samples, bool stays)
{
    struct conv_sweep *s = &c->sweep;
    const int64_t *taps = w->taps;
    s->n = w->k / w->groups;
    s->k = w->c / w->groups;
    s->groups = w->groups;
    s->a_group = s->k;
    s->c_group = s->n;
    s->c_pitch[3] = w->k;
    for (int a = 2; a >= 0; a--) s->c_pitch[a] = s->c_pitch[a + 1] * w->out[a];
    s->dots = conv_dots_pay(w, s->n, s->k);
    sunup__conv_sweep_space(s);
    const int64_t width = sunup__conv_sweep_width(s);
    s->joined = w->groups == 1 && w->dilation[2] == 1 && s->space.pitch[3] == w->c;
    const int64_t points = samples * w->out[0] * w->out[1] * w->out[2];
    const bool many = c->taps * s->k * w->k >= MANY_WEIGHTS;
    c->packed = s->dots || (w->groups == 1 && w->k > width &&
                            (stays || points >= (many ? MANY_FROM_POINTS : PACK_FROM_POINTS)));
    s->b = s->dots ? sunup__conv_panels_dots(s->n, s->k, taps)
                   : sunup__conv_panels_packed(s->n, s->k, taps, width);
    c->weights = c->packed ? (s->b.group + LINE - 1) / LINE * LINE : 0;
    if (!c->packed) {
        s->b.row = w->k;
        s->b.panel = width;
        s->b.group = s->n;
        for (int a = 2; a >= 0; a--)
            s->b.tap[a] = a == 2 ? s->k * w->k : s->b.tap[a + 1] * taps[a + 1];
    }
    sunup__conv_sweep_plan(s);
    c->slot = sunup__conv_slot(s, 1);
}

sunup_status sunup__make_conv_brgemm(struct device *d, const struct node *n, struct step *s)
{
    const struct window *w = &((const struct conv_attr *)n->attr)->w;
    const int64_t *taps = w->taps, samples = n->in[0]->shape.d[0];
    const int64_t room = 2 * (taps[0] + taps[1] + taps[2]);
    struct conv *c = sunup__alloc(sizeof *c + (size_t)room * sizeof(int64_t));
    CHECK(c != NULL, d->ctx, E_MEMORY, "no memory for a step");
    c->taps = taps[0] * taps[1] * taps[2];
    c->k = w->k;
    memcpy(c->axes, taps, sizeof c->axes);
    plan_space(&c->sweep.space, w, samples);
    plan_taps(&c->sweep, w, (int64_t *)(void *)(c + 1));
    plan_sweep(c, w, samples, operand_stays(s, 1));
    s->data = c;
    s->run = run;
    s->end = sunup__conv_step_end;
    s->workspace_bytes = conv_slots_count(d->threads) * c->slot * (int64_t)sizeof(float);
    ask_prepared(s, 1, c->weights * (int64_t)sizeof(float), prepare);
    return SUNUP_OK;
}
