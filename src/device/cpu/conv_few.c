/* conv_few.c - convolutions to at most 8 channels, and data gradients to as few: lanes are points.
 *
 * A vector of 6 channels wastes lanes, and one channel of taps along W is a short sum. So the
 * product is turned: its rows are the target's channels, its columns the points of a row of
 * targets of many samples side by side, and its A the weights. For that the source is copied to
 * [D][H][channel][sample, W]: there the rows and channels of all taps along H are one long k, taps
 * along W the same columns one float further, and the zeros after a sample are those before the
 * next. Taps that lie outside along D and H are left out. The product is turned back as it leaves.
 * A periodic source is copied with the margin that its other end is; then no tap lies outside.
 *
 * The data gradient is the same with the taps backwards. An element's sum runs over (t, s, r,
 * channel) however samples and rows are cut, then comes the bias.
 *
 * Ceiling: multiply-adds, with the zeros along W, and about 2 cycles for each float that is turned.
 */
#include "base/integers.h"
#include "base/system.h"
#include "device/cpu/conv_slots.h"
#include "device/cpu/conv_sweep.h"
#include "device/cpu/makers.h"
#include "device/cpu/prepared.h"
#include "graph/ops/conv.h"

#include <string.h>

enum {
    CHANNELS_MOST = 8,    /* of the target: with more, its lanes are full enough           */
    BUDGET = 128 << 10,   /* elements of a part's source: half of a second level of 1 MB   */
    COLUMNS_MOST = 1024,  /* of a product, about                                           */
    PACK_ALONE = 8 << 10, /* weights that one thread packs sooner than several             */
    LINE = 16
};

struct few {
    int64_t samples, c, n; /* channels of the source and of the target                   */
    int64_t source[3], target[3], taps[3];
    int64_t lead[3];   /* points that the first tap lies before its target           */
    int64_t memory[3]; /* points of the source as it lies there ...              */
    int64_t shift[3];  /* and of a periodic margin before it                     */
    bool turned;       /* weights are [tap][n][c] and the taps run backwards         */
    int64_t pitch;     /* columns from sample to sample                              */
    int64_t each;      /* samples of a part                                          */
    int64_t band;      /* rows of targets along H of a part                          */
    int64_t groups, bands;
    int64_t columns, row; /* of a part; floats of one channel's row, zeros and all      */
    int64_t weights, slot;
};

static int64_t lines(int64_t floats)
{
    return ceil_div(floats, LINE) * LINE;
}

/* ---- making ---- */

static struct few few_of(const struct window *w, int64_t samples, bool turned)
{
    struct few f = {
        .samples = samples, .c = turned ? w->k : w->c, .n = turned ? w->c : w->k, .turned = turned};
    for (int a = 0; a < 3; a++) {
        f.source[a] = f.memory[a] = turned ? w->out[a] : w->in[a];
        f.target[a] = turned ? w->in[a] : w->out[a];
        f.taps[a] = w->taps[a];
        f.lead[a] = turned ? w->taps[a] - 1 - w->before[a] : w->before[a];
        if (!w->circular) continue;
        f.shift[a] = f.lead[a];
        f.lead[a] = 0;
        f.source[a] = f.target[a] + f.taps[a] - 1;
    }
    const int64_t seen = f.target[2] + f.taps[2] - 1 - f.lead[2];
    f.pitch = most(f.target[2], most(seen, f.lead[2] + f.source[2]));
    return f;
}

/* Floats of the source copied for `rows` rows of targets of one sample. */
static int64_t box(const struct few *f, int64_t rows)
{
    return f->source[0] * least(f->source[1], rows + f->taps[1] - 1) * f->c * f->pitch;
}

/* Cycles of a point saved, against those of turning it. Of 8 columns, 256-bit multiply-adds take
 * two to a cycle; lanes full of points take one of 512 bits to 16 points, of which a machine does
 * two in that time (Sapphire Rapids: 1.1 to 1.9 times from 5x5 of one channel to 3x3 of 64) or one
 * (Zen 4, where 8 columns are as good as points are, and fewer are not). */
static bool pays(const struct few *f)
{
    const double terms = (double)(f->taps[0] * f->taps[1] * f->taps[2] * f->c);
    return terms * (16 - (double)f->n) / 32 > 0.5 * (double)(f->n + f->c);
}

static bool can(const struct node *n, bool turned)
{
    const struct window *w = &((const struct conv_attr *)n->attr)->w;
    if (n->out[0]->dtype != SUNUP_F32 || w->groups > 1) return false;
    for (int i = 0; i < 2; i++) {
        if (sunup__elements(&n->in[i]->shape) == 0) return false;
    }
    if (sunup__elements(&n->out[0]->shape) == 0) return false;
    const struct few f = few_of(w, 1, turned);
    for (int a = 0; a < 3; a++) {
        if (w->stride[a] != 1 || w->dilation[a] != 1) return false;
        if (f.lead[a] < 0 || f.lead[a] >= f.taps[a]) return false;
        if (w->circular && turned && w->in[a] != w->out[a]) return false;
    }
    /* The other ways copy a periodic source as well. Zen 5: 1.3 to 5 times, least on 16x16 maps. */
    const bool better = w->circular || (!conv_dots_pay(w, f.n, f.c) && pays(&f));
    return f.n <= CHANNELS_MOST && better && 2 * f.pitch <= 3 * f.target[2] && box(&f, 1) <= BUDGET;
}

bool sunup__conv_few_can(const struct device *d, const struct node *n)
{
    (void)d;
    return can(n, false);
}

bool sunup__conv_data_grad_few_can(const struct device *d, const struct node *n)
{
    (void)d;
    return can(n, true);
}

/* A task's memory: lists of the batch, the source, the product, the product turned back, the bias of
 * a row. */
static int64_t lists_room(const struct few *f)
{
    return lines(2 * f->taps[0] * f->taps[2] * (int64_t)(sizeof(int64_t) / sizeof(float)));
}

static int64_t source_room(const struct few *f)
{
    return f->source[0] * least(f->source[1], f->band + f->taps[1] - 1) * f->c * f->row;
}

static int64_t bias_room(const struct few *f)
{
    return lines(f->target[2] * f->n);
}

/* Time of a product of so many columns, in vectors of whole tiles: the leaf takes four vectors at a
 * time, then two, then one, of which six rows are too few for two multiply-adds a cycle. */
static double columns_cost(int64_t columns)
{
    const int64_t vectors = ceil_div(columns, LINE), rest = vectors % 4;
    const double rest_cost[] = {0, 1.5, 2.2, 3.7};
    return (double)(vectors - rest) + rest_cost[rest];
}

/* Samples of a part: those whose columns fill tiles and whose parts fill the threads. */
static int64_t choose_samples(const struct few *f, int64_t limit, int threads)
{
    const double part = 1; /* what a part costs beyond its columns */
    int64_t best = 1;
    double least_cost = 0;
    for (int64_t each = 1; each <= limit; each++) {
        const int64_t parts = ceil_div(f->samples, each) * f->bands;
        const double columns = columns_cost((each - 1) * f->pitch + f->target[2]);
        const double cost = (double)ceil_div(parts, threads) * (columns + part);
        if (each > 1 && cost >= least_cost) continue;
        best = each;
        least_cost = cost;
    }
    return best;
}

static void plan(struct few *f, int threads)
{
    f->band = f->target[1];
    while (f->band > 1 && box(f, f->band) > BUDGET) f->band = (f->band + 1) / 2;
    f->bands = ceil_div(f->target[1], f->band);
    const int64_t fit = most(1, BUDGET / box(f, f->band));
    const int64_t limit = least(least(f->samples, fit), most(1, COLUMNS_MOST / f->pitch));
    f->each = choose_samples(f, limit, threads);
    f->groups = ceil_div(f->samples, f->each);
    f->columns = lines(f->each * f->pitch);
    /* An odd number of lines: the rows of a tile lie in all sets of a cache. */
    f->row = lines(f->columns + f->taps[2] - 1) | LINE;
    f->weights = lines(f->taps[0] * f->taps[1] * f->taps[2] * f->c * f->n);
    f->slot = lists_room(f) + source_room(f) + 2 * f->n * f->columns + bias_room(f);
}

/* ---- running ---- */

struct work {
    const struct few *f;
    const struct leaves_f32 *leaves;
    const float *source, *w, *bias;
    float *target, *packed, *memory;
    struct conv_slots slots;
};

/* Tap i of [t][s][r][c][n]. */
static void pack_tap(void *arg, int64_t i)
{
    const struct work *p = arg;
    const struct few *f = p->f;
    const int64_t *taps = f->taps, tap = f->c * f->n;
    const int64_t r = i % taps[1], s = i / taps[1] % taps[2], t = i / taps[1] / taps[2];
    const int64_t number = (t * taps[1] + r) * taps[2] + s;
    float *to = p->packed + i * tap;
    if (f->turned)
        p->leaves->transpose(f->n, f->c, p->w + (taps[0] * taps[1] * taps[2] - 1 - number) * tap,
                             f->c, to, f->n);
    else
        memcpy(to, p->w + number * tap, (size_t)tap * sizeof(float));
}

/* Some samples and a band of rows, and the memory for them. */
struct part {
    const struct work *w;
    int64_t sample, samples, row, rows;
    int64_t first, height; /* source rows along H that are copied */
    int64_t *a_at, *b_at;
    float *source, *product, *back, *bias;
};

/* Where point i of the source, with its margins, lies along an axis. */
static int64_t place(const struct few *f, int axis, int64_t i)
{
    const int64_t n = f->memory[axis];
    return ((i - f->shift[axis]) % n + n) % n;
}

/* One row of the source of all samples, [W][c] to [c][sample, W]. */
static void load_row(const struct part *p, const float *from, int64_t sample, float *to)
{
    const struct few *f = p->w->f;
    memset(to, 0, (size_t)(f->c * f->row) * sizeof(float));
    for (int64_t i = 0; i < p->samples; i++, from += sample) {
        float *row = to + i * f->pitch + f->lead[2];
        for (int64_t q = 0, n; q < f->source[2]; q += n) {
            const int64_t at = place(f, 2, q);
            n = least(f->source[2] - q, f->memory[2] - at);
            if (f->c == 1)
                memcpy(row + q, from + at, (size_t)n * sizeof(float));
            else
                p->w->leaves->transpose(n, f->c, from + at * f->c, f->c, row + q, f->row);
        }
    }
}

static void load(const struct part *p)
{
    const struct few *f = p->w->f;
    const int64_t row = f->memory[2] * f->c, plane = f->memory[1] * row;
    const int64_t sample = f->memory[0] * plane;
    for (int64_t d = 0; d < f->source[0]; d++) {
        const float *from = p->w->source + p->sample * sample + place(f, 0, d) * plane;
        for (int64_t h = 0; h < p->height; h++)
            load_row(p, from + place(f, 1, p->first + h) * row, sample,
                     p->source + (d * p->height + h) * f->c * f->row);
    }
}

/* Taps along an axis that are inside for a target. */
static struct stretch taps_inside(const struct few *f, int axis, int64_t target)
{
    const int64_t first = target - f->lead[axis];
    return (struct stretch){most(0, -first), least(f->taps[axis], f->source[axis] - first)};
}

/* Row (d, h) of the targets of all samples, as [n][columns]. */
static void multiply(const struct part *p, int64_t d, int64_t h)
{
    const struct few *f = p->w->f;
    const struct stretch t = taps_inside(f, 0, d), r = taps_inside(f, 1, h);
    struct gemm_f32 g = {.m = f->n,
                         .n = (p->samples - 1) * f->pitch + f->target[2],
                         .k = most(0, r.to - r.from) * f->c,
                         .a = p->w->packed,
                         .a_row = 1,
                         .a_col = f->n,
                         .a_at = p->a_at,
                         .b = p->source,
                         .b_row = f->row,
                         .b_at = p->b_at,
                         .c = p->product,
                         .c_row = f->columns};
    for (int64_t i = t.from; i < t.to && g.k > 0; i++) {
        const int64_t plane = (d + i - f->lead[0]) * p->height;
        const int64_t row = plane + h + r.from - f->lead[1] - p->first;
        for (int64_t s = 0; s < f->taps[2]; s++, g.batch++) {
            p->a_at[g.batch] = ((i * f->taps[2] + s) * f->taps[1] + r.from) * f->c * f->n;
            p->b_at[g.batch] = row * f->c * f->row + s;
        }
    }
    p->w->leaves->gemm(&g);
}

/* The product to where each sample's row belongs. */
static void leave(const struct part *p, int64_t d, int64_t h)
{
    const struct few *f = p->w->f;
    const int64_t row = f->target[2] * f->n;
    const int64_t columns = (p->samples - 1) * f->pitch + f->target[2];
    p->w->leaves->transpose(f->n, columns, p->product, f->columns, p->back, f->n);
    for (int64_t i = 0; i < p->samples; i++) {
        const int64_t at = ((p->sample + i) * f->target[0] + d) * f->target[1] + h;
        const float *from = p->back + i * f->pitch * f->n;
        float *to = p->w->target + at * row;
        if (p->w->bias)
            p->w->leaves->pointwise(PW_add, row, to, from, p->bias, NULL, NULL);
        else
            memcpy(to, from, (size_t)row * sizeof(float));
    }
}

static void run_part(void *arg, int64_t i)
{
    struct work *w = arg;
    const struct few *f = w->f;
    const int64_t slot = conv_slot_take(&w->slots);
    struct part p = {.w = w,
                     .sample = i / f->bands * f->each,
                     .row = i % f->bands * f->band,
                     .a_at = (int64_t *)(void *)(w->memory + slot * f->slot)};
    p.b_at = p.a_at + f->taps[0] * f->taps[2];
    p.source = (float *)(void *)p.a_at + lists_room(f);
    p.product = p.source + source_room(f);
    p.back = p.product + f->n * f->columns;
    p.bias = p.back + f->n * f->columns;
    p.samples = least(f->each, f->samples - p.sample);
    p.rows = least(f->band, f->target[1] - p.row);
    p.first = least(f->source[1], most(0, p.row - f->lead[1]));
    const int64_t end = p.row + p.rows - 1 - f->lead[1] + f->taps[1];
    p.height = most(0, least(f->source[1], end) - p.first);
    for (int64_t j = 0; w->bias && j < f->target[2] * f->n; j++) p.bias[j] = w->bias[j % f->n];
    load(&p);
    for (int64_t d = 0; d < f->target[0]; d++) {
        for (int64_t h = p.row; h < p.row + p.rows; h++) {
            multiply(&p, d, h);
            leave(&p, d, h);
        }
    }
    conv_slot_give(&w->slots, slot);
}

static void prepare(const struct step *s)
{
    const struct few *f = s->data;
    struct work w = {.f = f,
                     .leaves = &s->device->kernels->f32,
                     .w = s->in[f->turned ? 0 : 1],
                     .packed = prepared_weights(s)};
    sunup__parallel(f->weights > PACK_ALONE ? s->device->threads : 1,
                    f->taps[0] * f->taps[1] * f->taps[2], pack_tap, &w);
}

static sunup_status run(const struct step *s, const sunup_random_key *key)
{
    (void)key;
    const struct few *f = s->data;
    const int threads = s->device->threads;
    float *weights = have_prepared(s);
    struct work w = {.f = f,
                     .leaves = &s->device->kernels->f32,
                     .source = s->in[f->turned ? 1 : 0],
                     .bias = !f->turned && s->node->n_in > 2 ? s->in[2] : NULL,
                     .target = s->out[0],
                     .packed = weights,
                     .memory = workspace_behind(s, f->weights * (int64_t)sizeof(float)),
                     .slots = {.n = conv_slots_count(threads)}};
    sunup__parallel(threads, f->groups * f->bands, run_part, &w);
    return SUNUP_OK;
}

static sunup_status make(struct device *d, const struct node *n, struct step *s, bool turned)
{
    struct few *f = sunup__alloc(sizeof *f);
    CHECK(f != NULL, d->ctx, E_MEMORY, "no memory for a step");
    const int64_t samples = n->in[turned ? 1 : 0]->shape.d[0];
    *f = few_of(&((const struct conv_attr *)n->attr)->w, samples, turned);
    plan(f, d->threads);
    s->data = f;
    s->run = run;
    s->end = sunup__conv_step_end;
    s->workspace_bytes = conv_slots_count(d->threads) * f->slot * (int64_t)sizeof(float);
    ask_prepared(s, turned ? 0 : 1, f->weights * (int64_t)sizeof(float), prepare);
    return SUNUP_OK;
}

sunup_status sunup__make_conv_few(struct device *d, const struct node *n, struct step *s)
{
    return make(d, n, s, false);
}

sunup_status sunup__make_conv_data_grad_few(struct device *d, const struct node *n, struct step *s)
{
    return make(d, n, s, true);
}
