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
 * Of many samples of small images a column is one point of a sample (`across`): no zeros along W are
 * multiplied, and both copies are turned in whole blocks. That is the same with the axes D H W moved
 * up, to [H][W][channel][sample], and a W of one point.
 *
 * The data gradient is the same with the taps backwards. An element's sum runs over (t, s, r,
 * channel), across (r, s, channel), however samples and rows are cut, then comes the bias.
 *
 * Ceiling: multiply-adds, with the zeros along W, and a quarter to half a cycle for each float that
 * is turned.
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
    ACROSS_MOST = 64,     /* samples of a part: the widest tile                            */
    FAR_APART = 8,        /* terms that a target of theirs costs more                      */
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
    bool across;       /* a column is a sample: the axes here are H, W, a single one */
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

/* Taps along an axis that are inside for a target. */
static struct stretch taps_inside(const struct few *f, int axis, int64_t target)
{
    const int64_t first = target - f->lead[axis];
    return (struct stretch){most(0, -first), least(f->taps[axis], f->source[axis] - first)};
}

/* Whether what the zeros between rows cost is more than to write each sample's targets far apart,
 * and to fill up the last vector of samples. */
static bool across_pays(const struct few *f)
{
    if (f->source[0] != 1 || f->target[0] != 1 || f->taps[0] != 1) return false;
    if (LINE * f->source[1] * f->taps[2] * f->c > BUDGET) return false;
    int64_t inside = 0;
    for (int64_t i = 0; i < f->target[2]; i++) {
        const struct stretch s = taps_inside(f, 2, i);
        inside += most(0, s.to - s.from);
    }
    const int64_t saved = f->pitch * f->taps[2] * f->samples - inside * lines(f->samples);
    return saved * f->taps[1] * f->c > FAR_APART * f->target[2] * f->samples;
}

static void move_axes_up(struct few *f)
{
    for (int a = 0; a < 3; a++) {
        const bool last = a == 2;
        f->source[a] = last ? 1 : f->source[a + 1];
        f->target[a] = last ? 1 : f->target[a + 1];
        f->taps[a] = last ? 1 : f->taps[a + 1];
        f->memory[a] = last ? 1 : f->memory[a + 1];
        f->lead[a] = last ? 0 : f->lead[a + 1];
        f->shift[a] = last ? 0 : f->shift[a + 1];
    }
    f->pitch = 1;
    f->across = true;
}

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
    if (across_pays(&f)) move_axes_up(&f);
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
    const struct few f = few_of(w, n->in[turned ? 1 : 0]->shape.d[0], turned);
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

/* Targets that leave at once: a row along W. */
static int64_t leaving(const struct few *f)
{
    return f->across ? f->band : f->target[2];
}

static int64_t product_room(const struct few *f)
{
    return f->across ? f->band * f->n * f->columns : 2 * f->n * f->columns;
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
    const int64_t step = f->across ? least(LINE, limit) : 1;
    int64_t best = step;
    double least_cost = 0;
    for (int64_t each = step; each <= limit; each += step) {
        const int64_t parts = ceil_div(f->samples, each) * f->bands;
        const double columns = columns_cost((each - 1) * f->pitch + f->target[2]);
        const double cost = (double)ceil_div(parts, threads) * (columns + part);
        if (each > step && cost >= least_cost) continue;
        best = each;
        least_cost = cost;
    }
    return best;
}

/* Across, parts of a vector of samples are as small as parts get. */
static bool idles(const struct few *f, int threads)
{
    return ceil_div(f->samples, LINE) * ceil_div(f->target[1], f->band) < threads;
}

static void plan(struct few *f, int threads)
{
    const int64_t together = f->across ? least(LINE, f->samples) : 1;
    f->band = f->target[1];
    while (f->band > 1 && (together * box(f, f->band) > BUDGET || (f->across && idles(f, threads))))
        f->band = (f->band + 1) / 2;
    f->bands = ceil_div(f->target[1], f->band);
    const int64_t fit = most(1, BUDGET / box(f, f->band));
    const int64_t columns = f->across ? ACROSS_MOST : most(1, COLUMNS_MOST / f->pitch);
    const int64_t limit = least(least(f->samples, fit), columns);
    f->each = choose_samples(f, limit, threads);
    f->groups = ceil_div(f->samples, f->each);
    f->columns = lines(f->each * f->pitch);
    /* An odd number of lines: the rows of a tile lie in all sets of a cache. */
    f->row = f->across ? f->columns : lines(f->columns + f->taps[2] - 1) | LINE;
    f->weights = lines(f->taps[0] * f->taps[1] * f->taps[2] * f->c * f->n);
    f->slot = lists_room(f) + source_room(f) + product_room(f) + lines(leaving(f) * f->n);
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

/* A plane of all samples, [sample][H][c] to [H][c][sample]. */
static void load_across(const struct part *p, const float *from, int64_t sample, float *to)
{
    const struct few *f = p->w->f;
    for (int64_t h = 0, n; h < p->height; h += n) {
        const int64_t at = place(f, 1, p->first + h);
        n = least(p->height - h, f->memory[1] - at);
        p->w->leaves->transpose(p->samples, n * f->c, from + at * f->c, sample,
                                to + h * f->c * f->row, f->row);
    }
}

static void load(const struct part *p)
{
    const struct few *f = p->w->f;
    const int64_t row = f->memory[2] * f->c, plane = f->memory[1] * row;
    const int64_t sample = f->memory[0] * plane;
    for (int64_t d = 0; d < f->source[0]; d++) {
        const float *from = p->w->source + p->sample * sample + place(f, 0, d) * plane;
        float *to = p->source + d * p->height * f->c * f->row;
        if (f->across) load_across(p, from, sample, to);
        for (int64_t h = 0; !f->across && h < p->height; h++)
            load_row(p, from + place(f, 1, p->first + h) * row, sample, to + h * f->c * f->row);
    }
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
                         .c = p->product + (f->across ? (h - p->row) * f->n * f->columns : 0),
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

/* The product of target (d, h) and what follows of it along W to where each sample's row belongs. */
static void leave(const struct part *p, int64_t d, int64_t h)
{
    const struct few *f = p->w->f;
    const struct leaves_f32 *leaves = p->w->leaves;
    const int64_t point = f->target[1] * f->target[2] * f->n, sample = f->target[0] * point;
    const int64_t n = (f->across ? p->rows : f->target[2]) * f->n;
    const int64_t columns = (p->samples - 1) * f->pitch + f->target[2];
    float *to = p->w->target + p->sample * sample + d * point + h * f->target[2] * f->n;
    if (f->across)
        leaves->transpose(n, p->samples, p->product, f->columns, to, sample);
    else
        leaves->transpose(f->n, columns, p->product, f->columns, p->back, f->n);
    for (int64_t i = 0; i < p->samples; i++, to += sample) {
        const float *from = f->across ? to : p->back + i * f->pitch * f->n;
        if (p->w->bias)
            leaves->pointwise(PW_add, n, to, from, p->bias, NULL, NULL);
        else if (!f->across)
            memcpy(to, from, (size_t)n * sizeof(float));
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
    p.bias = p.product + product_room(f);
    p.samples = least(f->each, f->samples - p.sample);
    p.rows = least(f->band, f->target[1] - p.row);
    p.first = least(f->source[1], most(0, p.row - f->lead[1]));
    const int64_t end = p.row + p.rows - 1 - f->lead[1] + f->taps[1];
    p.height = most(0, least(f->source[1], end) - p.first);
    for (int64_t j = 0; w->bias && j < leaving(f) * f->n; j++) p.bias[j] = w->bias[j % f->n];
    load(&p);
    for (int64_t d = 0; d < f->target[0]; d++) {
        for (int64_t h = p.row; h < p.row + p.rows; h++) {
            multiply(&p, d, h);
            if (!f->across) leave(&p, d, h);
        }
        if (f->across) leave(&p, d, p.row);
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
