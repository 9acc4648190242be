/* conv_weight_grad_brgemm.c - gradient of a convolution by its weights: dw[tap][c][k] = sum over
 * points of x dy. One tap and many channels are left to product_turned.c, with a close third level only
 * where dw is small or very large.
 *
 * A is x transposed by strides: the rows of a product are the channels of a tap, its sum runs over
 * a row of outputs, its batch over the rows of a part. Points that a tap sees outside are left out
 * (`skip`), so x stays where it is. With few channels, the S taps that lie next to each other are
 * one product's rows instead, and x is copied with its padding. Of tiny maps a sum runs over one
 * point of all samples. Where rows are short, a product of few steps each, the x that a tap sees is gathered
 * instead, with zeros where it sees none at the ends of a row: long sums, whose channels share no sets of a cache
 * either. Where dy has few channels they are the rows instead (`lying`): x is B, read
 * as it lies, and its channels fill the lanes that dy's would leave empty. Else B is dy, a panel of 32
 * columns at a time, packed if rows are wide: they would share few sets of a cache. Each product
 * fetches a share of what the next part reads: 1.1 to 1.3 times where x and dy come from memory
 * (Sapphire Rapids); or the leaf
 * asks for it evenly, which is 1.05 to 1.75 times requests before each call (Zen 5; whole panels on
 * Granite Rapids 1.0 to 1.25 times).
 *
 * The points are cut into chunks with a partial dw each, added in order at the end; the number of
 * chunks follows from shapes alone, and within a chunk an element is one chain over the points in
 * order. So the bits do not depend on threads: several tasks share a chunk by panels and products,
 * reading the same points.
 */
#include <string.h>

#include "base/integers.h"
#include "base/system.h"
#include "device/cpu/ahead.h"
#include "device/cpu/conv_sweep.h"
#include "device/cpu/makers.h"
#include "graph/ops/conv.h"

enum {
    CHUNKS_MOST = 16,
    PARTIAL_ELEMENTS_MOST = 2 << 20,
    ROWS = 64,      /* of a product: its x stays in the first level while panels pass    */
    WIDTH = 32,     /* of a panel                                                       */
    PACK_FROM = 64, /* K from which on dy is packed, if there are PACK_ROWS to use it  */
    PACK_ROWS = 32,
    CHUNK_POINTS = 1024, /* that make a partial dw worth its adding                          */
    SKIP_FROM = 16,      /* channels from which on a tap is a product of its own             */
    PART = 96 << 10,     /* elements of x and dy that a part touches; twice is no better at 2 MB */
    GATHER_BELOW = 28,   /* outputs of a row: more are worth a sum of their own */
    LYING_AHEAD = 2 << 10, /* floats from the x that such a product reads to what it asks for    */
    LYING_BELOW = 8,     /* K below which dy's channels are the rows, if x's make a vector      */
    POINTS_LEAST = 192,  /* of a part: what a sum should have to be worth the reading of dw  */
    POINTS_PAGES = 576,  /* the same of a dw with rows a multiple of pages apart, which share few sets of a cache,
                            where the third level is close: 4 to 7 % of 256 and 512 x 1024 (Zen 4) */
    PAGE = 1024,
    PACKED_MOST = 64 << 10, /* elements of packed dy at work                                    */
    FAR = 256 << 10,        /* elements of x and dy that the L2 does not hold                   */
    PERIOD = 128,           /* floats: a tile reads one line each of hundreds of points         */
    ROWS_AHEAD = 8,         /* fetched before dy is packed                                       */
    LINE = 16,
    ADD_ELEMENTS = 4096
};

struct weight_grad {
    struct conv_space space;
    int64_t taps[3], dilation[3];
    int64_t m, n, k_all, groups, cg; /* of one product; K                                     */
    int64_t splits;                  /* s taps in one product (m = splits * C/groups) or 1    */
    int64_t blocks;                  /* of m                                                  */
    int64_t products;                /* blocks * groups * products of taps                    */
    int64_t panels, block;           /* of n; panels that are packed together                 */
    bool packed;
    bool gathers; /* a product's x is copied to one run of points ... */
    int64_t pitch; /* so many floats apart                             */
    bool lying;                    /* dw is summed as [tap][K][m], m of a tap's product */
    bool far;                      /* x and dy are in memory, not in a cache */
    bool asks;                     /* the leaf asks for them */
    int64_t dw, chunks, shares;    /* elements; chunks; tasks that share a chunk            */
    int64_t rows_most, panel_most; /* rows of a part; elements of a packed panel            */
    int64_t slot;                  /* floats of a task's memory: halo, packed dy, gathered x */
    int64_t y_pitch[4];
};

struct work {
    const struct weight_grad *g;
    const struct leaves_f32 *leaves;
    const float *x, *dy;
    float *sum, *partial, *memory; /* sum: chunk 0's; memory: [slots][slot] */
    int64_t *offsets;             /* [slots][2][rows_most] */
    struct conv_slots slots;
};

/* Product number i: tap, and its block of m and group as offsets into x, dy and dw. */
struct place {
    int64_t tap[3], x, y, dw, m;
};
static struct place place_of(const struct weight_grad *g, int64_t i)
{
    const int64_t block = i % g->blocks, group = i / g->blocks % g->groups;
    const int64_t last = g->taps[2] / g->splits, tap = i / g->blocks / g->groups;
    const int64_t from = block * g->m / g->blocks, to = (block + 1) * g->m / g->blocks;
    return (struct place){.tap = {tap / last / g->taps[1], tap / last % g->taps[1], tap % last},
                          .x = group * g->cg + from,
                          .y = group * g->n,
                          .dw = g->lying ? tap * g->m * g->k_all + from
                                         : (tap * g->m + from) * g->k_all + group * g->n,
                          .m = to - from};
}

/* A task's part of the points, and what it reads them with. */
struct piece {
    const struct work *w;
    struct conv_part part;
    struct conv_rows rows;
    const float *x, *dy;
    int64_t first;        /* offset of the first target's first tap in x */
    int64_t *a_at, *b_at; /* [rows_most]                                 */
    float *packed, *gathered, *dw;
    bool adds; /* to what earlier parts of the chunk left in dw */
    /* The next part's dy and x: the leaf asks for them, or each of `calls` of it is preceded by
     * requests for its share. */
    struct ahead next;
    int64_t calls;
};

/* For each row of the part, in order. */
#define EACH_ROW(rows, index)                                                                      \
    for ((index)[0] = 0; (index)[0] < (rows)->count[0]; (index)[0]++)                              \
        for ((index)[1] = 0; (index)[1] < (rows)->count[1]; (index)[1]++)                          \
            for ((index)[2] = 0; (index)[2] < (rows)->count[2]; (index)[2]++)

static int64_t along(const int64_t index[3], const int64_t step[3])
{
    return index[0] * step[0] + index[1] * step[1] + index[2] * step[2];
}

/* One row of a panel, in registers: a call of memcpy would cost more than the copy. */
static inline void copy_row(const float *x, float *y)
{
    typedef float four __attribute__((vector_size(16), aligned(4)));
    four row[WIDTH / 4];
    for (int i = 0; i < WIDTH / 4; i++) row[i] = *(const four *)(const void *)(x + 4 * i);
    for (int i = 0; i < WIDTH / 4; i++) *(four *)(void *)(y + 4 * i) = row[i];
}

/* Panels [j, j + n) of the part's dy, in the order in which it lies in memory. */
static void pack(const struct piece *p, int64_t j, int64_t n)
{
    const struct weight_grad *g = p->w->g;
    const int64_t columns = least(n * WIDTH, g->n - j * WIDTH), whole = columns / WIDTH * WIDTH;
    const size_t rest = (size_t)(columns - whole) * sizeof(float);
    int64_t point = 0, index[3];
    EACH_ROW(&p->rows, index)
    {
        const float *from = p->dy + j * WIDTH + along(index, p->rows.c_step);
        for (int64_t m = 0; m < p->rows.m; m++, from += p->rows.c_row, point++) {
            float *to = p->packed + point * WIDTH;
            for (int64_t c = 0; c < whole; c += WIDTH, to += g->panel_most) {
                const float *next = from + c + ROWS_AHEAD * p->rows.c_row;
                __builtin_prefetch(next);
                __builtin_prefetch(next + LINE);
                copy_row(from + c, to);
            }
            if (rest > 0) memcpy(to, from + whole, rest);
        }
    }
}

static bool is_inside(const struct conv_space *s, int axis, int64_t target, int64_t at)
{
    const int64_t source = s->first[axis] + target * s->stride[axis] + at;
    return source >= 0 && source < s->source[axis];
}

/* Offsets in x and in dy of the rows that see something of the tap; returns how many. */
static int64_t list_rows(const struct piece *p, const int64_t at[3], int64_t from)
{
    const struct weight_grad *g = p->w->g;
    const struct conv_space *s = &g->space;
    const int64_t tap = at[0] * s->pitch[1] + at[1] * s->pitch[2] + at[2] * s->pitch[3];
    int64_t n = 0, row = 0, index[3];
    EACH_ROW(&p->rows, index)
    {
        const int64_t b = g->packed ? row++ * p->rows.m * WIDTH : along(index, p->rows.c_step);
        if (s->skip) {
            int64_t target[3];
            sunup__conv_position(s, &p->part, &p->rows, index, target);
            if (!is_inside(s, 0, target[0], at[0]) || !is_inside(s, 1, target[1], at[1])) continue;
            if (s->across && !is_inside(s, 2, target[2], at[2])) continue;
        }
        p->a_at[n] = p->first + tap + along(index, p->rows.a_step) + from * p->rows.a_row;
        p->b_at[n++] = b + from * (g->packed ? WIDTH : p->rows.c_row);
    }
    return n;
}

/* Targets of the part for which the tap is inside along an axis. */
static struct stretch part_inside(const struct piece *p, int axis, int64_t at)
{
    const struct conv_space *s = &p->w->g->space;
    const struct stretch in = sunup__conv_inside(s, axis, at);
    const int64_t first = axis == s->axis ? p->part.row : 0;
    return (struct stretch){most(0, in.from - first),
                            least(in.to - first, conv_part_count(s, &p->part, axis))};
}

/* One row of outputs: n channels of each point that the tap sees, else zeros. */
static void gather_row(const struct piece *p, const float *x, struct stretch in, int64_t n, float *to)
{
    for (int64_t m = 0; m < p->rows.m; m++, to += p->w->g->pitch) {
        if (m >= in.from && m < in.to)
            memcpy(to, x + m * p->rows.a_row, (size_t)n * sizeof *to);
        else
            memset(to, 0, (size_t)n * sizeof *to);
    }
}

/* x of the tap as runs of points, one for each plane of outputs, or of all. Rows that see nothing are left out. */
static void gather(const struct piece *p, const int64_t at[3], const struct place *o, struct gemm_f32 *gemm)
{
    const struct weight_grad *g = p->w->g;
    const struct conv_rows *rows = &p->rows;
    const struct stretch d = part_inside(p, 0, at[0]), h = part_inside(p, 1, at[1]),
                         w = part_inside(p, 2, at[2]);
    const int64_t *pitch = g->space.pitch, *step = rows->a_step;
    const float *x = p->x + o->x + p->first + at[0] * pitch[1] + at[1] * pitch[2] + at[2] * pitch[3];
    float *to = p->gathered;
    gemm->k = most(0, h.to - h.from) * rows->m;
    gemm->batch = 0;
    for (int64_t i = 0; i < rows->count[0] && gemm->k > 0; i++) {
        for (int64_t j = d.from; j < d.to; j++) {
            p->a_at[gemm->batch] = to - p->gathered;
            p->b_at[gemm->batch++] = ((i * rows->count[1] + j) * rows->count[2] + h.from) * rows->m * WIDTH;
            for (int64_t r = h.from; r < h.to; r++, to += rows->m * g->pitch)
                gather_row(p, x + i * step[0] + j * step[1] + r * step[2], w, o->m, to);
        }
    }
    if (gemm->batch * gemm->k == rows->count[0] * rows->count[1] * rows->count[2] * rows->m) {
        gemm->k *= gemm->batch;
        gemm->batch = 1;
    }
    gemm->a = p->gathered;
    gemm->a_col = g->pitch;
}

/* The product with rows and columns exchanged. */
static void multiply_lying(struct piece *p, const struct gemm_f32 *upright,
                           const struct place *o)
{
    const struct weight_grad *g = p->w->g;
    struct gemm_f32 gemm = *upright;
    gemm.m = g->n;
    gemm.n = o->m;
    gemm.a = p->dy;
    gemm.a_col = p->rows.c_row;
    gemm.a_at = p->b_at;
    gemm.b = p->x + o->x;
    gemm.b_row = p->rows.a_row;
    gemm.b_at = p->a_at;
    gemm.c = p->dw + o->dw;
    gemm.c_row = g->m;
    ask_ahead(&p->next, &gemm);
    p->w->leaves->gemm(&gemm);
}

/* Product i against panels [j, j + n), which are the packed ones if any are. */
static void multiply(struct piece *p, int64_t call, int64_t i, int64_t j, int64_t n)
{
    const struct weight_grad *g = p->w->g;
    const struct place o = place_of(g, i);
    const int64_t at[3] = {o.tap[0] * g->dilation[0], o.tap[1] * g->dilation[1],
                           o.tap[2] * g->dilation[2]};
    struct stretch in = {0, p->rows.m};
    if (g->space.skip && !g->space.across) {
        const int64_t row = g->space.axis == 2 ? p->part.row : 0;
        in = sunup__conv_inside(&g->space, 2, at[2]);
        in = (struct stretch){most(0, in.from - row), least(in.to - row, p->rows.m)};
    }
    struct gemm_f32 gemm = {.m = o.m,
                            .k = most(0, in.to - in.from),
                            .a = p->x + o.x,
                            .a_row = 1,
                            .a_col = p->rows.a_row,
                            .a_at = p->a_at,
                            .b_row = g->packed ? WIDTH : p->rows.c_row,
                            .b_at = p->b_at,
                            .c_row = g->k_all,
                            .accumulate = p->adds};
    if (g->gathers)
        gather(p, at, &o, &gemm);
    else
        gemm.batch = gemm.k > 0 ? list_rows(p, at, in.from) : 0;
    if (gemm.batch == 0 && p->adds) return;
    if (g->lying) {
        multiply_lying(p, &gemm, &o);
        return;
    }
    for (int64_t q = j; q < j + n; q++) {
        gemm.n = least(WIDTH, g->n - q * WIDTH);
        gemm.b = g->packed ? p->packed + (q - j) * g->panel_most : p->dy + o.y + q * WIDTH;
        gemm.c = p->dw + o.dw + q * WIDTH;
        if (g->asks) {
            ask_ahead(&p->next, &gemm);
        } else {
            conv_ask(p->next.x[1], 0, p->next.n[1], call, p->calls);
            conv_ask(p->next.x[0], 0, p->next.n[0], call++, p->calls);
        }
        p->w->leaves->gemm(&gemm);
    }
}

/* Pairs (panel, product) [from, to) of a part: whole panels in blocks, what remains one by one. */
static void add_part(struct piece *p, int64_t from, int64_t to)
{
    const struct weight_grad *g = p->w->g;
    int64_t call = 0;
    while (from < to) {
        const int64_t j = from / g->products, first = from % g->products;
        const int64_t whole = first == 0 ? least(g->block, (to - from) / g->products) : 0;
        const int64_t n = most(1, whole);
        const int64_t last = whole > 0 ? g->products : least(g->products, first + to - from);
        if (g->packed) pack(p, j, n);
        for (int64_t i = first; i < last; i++, call += n) multiply(p, call, i, j, n);
        from += n > 1 ? n * g->products : last - first;
    }
}

/* Rows of channels run through x once, so what lies a little further on is asked for. */
static void look_ahead_lying(struct piece *p)
{
    const struct conv_rows *rows = &p->rows;
    p->next = (struct ahead){.n = {0}};
    if (!p->w->g->far || p->w->g->space.copy) return;
    p->next.x[1] = p->x + p->first + LYING_AHEAD;
    p->next.n[1] = rows->m * rows->count[0] * rows->count[1] * rows->count[2] * rows->a_row;
}

/* Where the points [u, end) begin: their first part, if it has to come from memory. */
static void look_ahead(struct piece *p, int64_t u, int64_t end)
{
    const struct weight_grad *g = p->w->g;
    const struct conv_space *s = &g->space;
    const int a = s->axis;
    p->next.n[0] = p->next.n[1] = 0;
    if (!g->far || u >= end) return;
    struct conv_part next;
    (void)sunup__conv_part(s, u, end, &next);
    int64_t row = s->channels;
    for (int i = 2; i > a; i--) row *= s->source[i];
    const int64_t sample =
        row * s->source[a] * (a > 0 ? s->source[0] : 1) * (a > 1 ? s->source[1] : 1);
    const int64_t first = next.row * s->stride[a] + s->first[a], from = most(0, first);
    const int64_t to = first + (next.rows - 1) * s->stride[a] + s->reach[a];
    p->next.x[1] = p->w->x + next.sample * sample + from * row;
    p->next.n[1] = most(0, (next.samples - 1) * sample + (least(to, s->source[a]) - from) * row);
    p->next.x[0] = p->w->dy + next.sample * g->y_pitch[0] + next.row * g->y_pitch[a + 1];
    p->next.n[0] = next.samples * next.rows * g->y_pitch[a + 1];
}

/* Task i: share i % shares of chunk i / shares. Chunk 0 is summed where the result belongs, unless it
 * has to be turned. */
static void run_task(void *arg, int64_t i)
{
    struct work *w = arg;
    const struct weight_grad *g = w->g;
    const int64_t chunk = i / g->shares, s = i % g->shares, pairs = g->panels * g->products;
    const int64_t all = g->space.samples * g->space.target[g->space.axis];
    const int64_t end = (chunk + 1) * all / g->chunks, slot = conv_slot_take(&w->slots);
    float *memory = w->memory + slot * g->slot;
    struct piece p = {.w = w,
                      .a_at = w->offsets + slot * 2 * g->rows_most,
                      .packed = memory + ceil_div(g->space.slot, LINE) * LINE,
                      .dw = chunk == 0 ? w->sum : w->partial + (chunk - 1) * g->dw};
    p.b_at = p.a_at + g->rows_most;
    p.gathered = p.packed + g->block * g->panel_most;
    for (int64_t u = chunk * all / g->chunks; u < end; p.adds = true) {
        u = sunup__conv_part(&g->space, u, end, &p.part);
        p.x = sunup__conv_load(&g->space, &p.part, w->x, memory, &p.first);
        p.dy = w->dy + p.part.sample * g->y_pitch[0] + p.part.row * g->y_pitch[g->space.axis + 1];
        p.rows = sunup__conv_rows(&g->space, &p.part, g->y_pitch);
        p.calls = (s + 1) * pairs / g->shares - s * pairs / g->shares;
        if (g->lying)
            look_ahead_lying(&p);
        else
            look_ahead(&p, u, end);
        add_part(&p, s * pairs / g->shares, (s + 1) * pairs / g->shares);
    }
    conv_slot_give(&w->slots, slot);
}

static void add_chunks(void *arg, int64_t i)
{
    const struct work *w = arg;
    const int64_t from = i * ADD_ELEMENTS, n = least(ADD_ELEMENTS, w->g->dw - from);
    for (int64_t c = 0; c + 1 < w->g->chunks; c++)
        w->leaves->add_to(n, w->partial + c * w->g->dw + from, w->sum + from);
}

static void turn_back(const struct work *w, float *dw)
{
    const struct weight_grad *g = w->g;
    const int64_t tap = g->m * g->k_all;
    for (int64_t at = 0; at < g->dw; at += tap)
        w->leaves->transpose(g->k_all, g->m, w->sum + at, g->m, dw + at, g->k_all);
}

static int64_t partial_elements(const struct weight_grad *g)
{
    return ceil_div((g->chunks - !g->lying) * g->dw, LINE) * LINE;
}

static sunup_status run(const struct step *s, const sunup_random_key *key)
{
    (void)key;
    const struct weight_grad *g = s->data;
    const int threads = s->device->threads;
    struct work w = {.g = g,
                     .leaves = &s->device->kernels->f32,
                     .x = s->in[0],
                     .dy = s->in[1],
                     .sum = g->lying ? s->workspace : s->out[0],
                     .partial = (float *)s->workspace + (g->lying ? g->dw : 0),
                     .slots = {.n = conv_slots_count(threads)}};
    w.memory = (float *)s->workspace + partial_elements(g);
    w.offsets = (int64_t *)(void *)(w.memory + w.slots.n * g->slot);
    sunup__parallel(threads, g->chunks * g->shares, run_task, &w);
    if (g->chunks > 1) sunup__parallel(threads, ceil_div(g->dw, ADD_ELEMENTS), add_chunks, &w);
    if (g->lying) turn_back(&w, s->out[0]);
    return SUNUP_OK;
}

/* ---- making ---- */

static void plan_space(struct weight_grad *g, const struct window *w, int64_t samples)
{
    struct conv_space *s = &g->space;
    *s = (struct conv_space){.samples = samples,
                             .channels = w->c,
                             .circular = w->circular,
                             .beside = w->k,
                             .budget = PART,
                             .points = w->k % PAGE == 0 && !sunup__level3_far() ? POINTS_PAGES : POINTS_LEAST,
                             .period = PERIOD};
    for (int a = 0; a < 3; a++) {
        s->source[a] = w->in[a];
        s->target[a] = w->out[a];
        s->stride[a] = w->stride[a];
        s->first[a] = -w->before[a];
        s->reach[a] = (w->taps[a] - 1) * w->dilation[a] + 1;
        g->taps[a] = w->taps[a];
        g->dilation[a] = w->dilation[a];
    }
    s->skip = !s->circular && w->c / w->groups >= SKIP_FROM && sunup__conv_reaches_over(s);
    s->across = s->skip && sunup__conv_across_pays(s);
    sunup__conv_space_plan(s);
    g->y_pitch[3] = w->k;
    for (int a = 2; a >= 0; a--) g->y_pitch[a] = g->y_pitch[a + 1] * w->out[a];
}

static void plan_products(struct weight_grad *g, const struct window *w)
{
    const struct conv_space *s = &g->space;
    const bool joined = w->dilation[2] == 1 && w->groups == 1 && !s->skip && s->pitch[3] == w->c;
    g->groups = w->groups;
    g->cg = w->c / w->groups;
    g->splits = joined ? w->taps[2] : 1;
    g->m = g->splits * g->cg;
    g->n = w->k / w->groups;
    g->k_all = w->k;
    g->blocks = ceil_div(g->m, ROWS);
    g->products = g->blocks * g->groups * w->taps[0] * w->taps[1] * (w->taps[2] / g->splits);
    g->panels = ceil_div(g->n, WIDTH);
    g->lying = g->groups == 1 && g->n < LYING_BELOW && g->m >= LINE;
    g->packed = g->groups == 1 && g->n >= PACK_FROM && g->m >= PACK_ROWS;
    int64_t points = s->samples_most * s->rows_most;
    /* A row along W, or what joins it, is the product's own sum; or else one across samples. */
    g->rows_most = s->across ? 1 : s->samples_most;
    for (int a = 0; a < 3; a++) {
        if (a != s->axis) points *= w->out[a];
        if (a < 2 || s->across) g->rows_most *= a == s->axis ? s->rows_most : w->out[a];
    }
    g->panel_most = g->packed ? points * WIDTH : 0;
    g->block = g->packed ? least(g->panels, most(1, PACKED_MOST / g->panel_most)) : g->panels;
    g->gathers = g->packed && s->skip && !s->across && s->axis < 2 && w->out[2] < GATHER_BELOW;
    g->pitch = round_up(ceil_div(g->m, g->blocks), 2 * LINE) + LINE; /* an odd number of lines */
    g->slot = ceil_div(s->slot, LINE) * LINE + g->block * g->panel_most + (g->gathers ? points * g->pitch : 0);
}

/* Chunks: a power of two, which most numbers of samples are a multiple of. Each share of a chunk
 * reads x anew, so there are no more of them than give each thread a task. */
static void plan_tasks(struct weight_grad *g, const struct window *w, int threads)
{
    g->dw = w->taps[0] * w->taps[1] * w->taps[2] * g->cg * w->k;
    const int64_t units = g->space.samples * g->space.target[g->space.axis];
    const int64_t points = g->space.samples * w->out[0] * w->out[1] * w->out[2];
    g->far =
        g->space.samples * (g->space.source[0] * g->space.source[1] * g->space.source[2] * w->c +
                            w->out[0] * w->out[1] * w->out[2] * w->k) >=
        FAR;
    g->asks = g->n >= WIDTH || !sunup__level3_far(); /* less has tiles that do not ask: 1x1 to 16 loses 20 % */
    const int64_t useful = least(units, points / CHUNK_POINTS);
    const int64_t limit = least(least(PARTIAL_ELEMENTS_MOST / g->dw, CHUNKS_MOST), useful);
    for (g->chunks = 1; g->chunks * 2 <= limit; g->chunks *= 2) continue;
    const bool evenly = threads % g->chunks == 0 || g->chunks % threads == 0;
    const int64_t tasks = evenly ? threads : (int64_t)TASKS_PER_THREAD * threads;
    g->shares = least(ceil_div(tasks, g->chunks), g->panels * g->products);
}

sunup_status sunup__make_conv_weight_grad_brgemm(struct device *d, const struct node *n,
                                                 struct step *s)
{
    const struct window *w = &((const struct conv_attr *)n->attr)->w;
    struct weight_grad *g = sunup__alloc(sizeof *g);
    CHECK(g != NULL, d->ctx, E_MEMORY, "no memory for a step");
    plan_space(g, w, n->in[0]->shape.d[0]);
    plan_products(g, w);
    plan_tasks(g, w, d->threads);
    s->data = g;
    s->run = run;
    s->end = sunup__conv_step_end;
    const int64_t slots = conv_slots_count(d->threads);
    s->workspace_bytes = (partial_elements(g) + slots * g->slot) * (int64_t)sizeof(float) +
                         slots * 2 * g->rows_most * (int64_t)sizeof(int64_t);
    return SUNUP_OK;
}
