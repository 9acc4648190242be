/* conv_weight_grad_brgemm.c - gradient of a convolution by its weights: dw[tap][c][k] = sum over
 * points of x dy.
 *
 * A is x transposed by strides: the rows of a product are the channels (times the S taps where
 * these lie next to each other), its sum runs over a row of outputs, its batch over the rows of a
 * part. One product for each (t, r). The points are cut into chunks with a partial dw each, added
 * in order at the end; the number of chunks follows from shapes alone, and within a chunk an
 * element is one chain over the points in order. So the bits do not depend on threads: with more
 * threads than chunks, several share a chunk by products, reading the same points.
 */
#include "base/system.h"
#include "device/cpu/conv_sweep.h"
#include "device/cpu/makers.h"
#include "graph/ops/conv.h"

enum {
    CHUNKS_MOST = 16,
    PARTIAL_ELEMENTS_MOST = 2 << 20,
    ROWS = 112,
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
    int64_t dw, chunks, shares;      /* elements; chunks; tasks that share a chunk            */
    int64_t rows_most, slot;         /* offsets and elements that a task's memory holds       */
    int64_t y_pitch[4];
};

struct work {
    const struct weight_grad *g;
    const struct leaves_f32 *leaves;
    const float *x, *dy;
    float *dw, *partial, *memory; /* memory: [slots][slot] */
    int64_t *offsets;             /* [slots][2][rows_most] */
    struct conv_slots slots;
};

/* Product number i: its block of m, group and taps, as offsets into x, dy and dw. */
struct place {
    int64_t x, y, dw, m;
};
static struct place place_of(const struct weight_grad *g, int64_t i)
{
    const int64_t block = i % g->blocks, group = i / g->blocks % g->groups;
    const int64_t last = g->taps[2] / g->splits, tap = i / g->blocks / g->groups;
    const int64_t s = tap % last, r = tap / last % g->taps[1], t = tap / last / g->taps[1];
    const int64_t from = block * g->m / g->blocks, to = (block + 1) * g->m / g->blocks;
    const int64_t *pitch = g->space.pitch + 1;
    return (struct place){.x = t * g->dilation[0] * pitch[0] + r * g->dilation[1] * pitch[1] +
                               s * g->dilation[2] * pitch[2] + group * g->cg + from,
                          .y = group * g->n,
                          .dw = (((t * g->taps[1] + r) * last + s) * g->m + from) * g->k_all +
                                group * g->n,
                          .m = to - from};
}

/* Offsets of all rows of a part in x and dy; returns how many. */
static int64_t list_rows(const struct conv_rows *rows, int64_t *a_at, int64_t *b_at)
{
    int64_t n = 0;
    for (int64_t i = 0; i < rows->count[0]; i++) {
        for (int64_t j = 0; j < rows->count[1]; j++) {
            for (int64_t l = 0; l < rows->count[2]; l++) {
                a_at[n] = i * rows->a_step[0] + j * rows->a_step[1] + l * rows->a_step[2];
                b_at[n++] = i * rows->c_step[0] + j * rows->c_step[1] + l * rows->c_step[2];
            }
        }
    }
    return n;
}

struct share {
    int64_t from, to; /* products */
    bool first;       /* part of its chunk: dw is written, not added to */
};

static void add_part(const struct work *w, const struct conv_part *part, const struct share *share,
                     float *dw, int64_t slot)
{
    const struct weight_grad *g = w->g;
    const float *x = sunup__conv_load(&g->space, part, w->x, w->memory + slot * g->slot);
    const float *dy =
        w->dy + part->sample * g->y_pitch[0] + part->row * g->y_pitch[g->space.axis + 1];
    const struct conv_rows rows = sunup__conv_rows(&g->space, part, g->y_pitch);
    int64_t *a_at = w->offsets + slot * 2 * g->rows_most, *b_at = a_at + g->rows_most;
    struct gemm_f32 gemm = {.n = g->n,
                            .k = rows.m,
                            .batch = list_rows(&rows, a_at, b_at),
                            .a_row = 1,
                            .a_col = rows.a_row,
                            .a_at = a_at,
                            .b_row = rows.c_row,
                            .b_at = b_at,
                            .c_row = g->k_all,
                            .accumulate = !share->first};
    for (int64_t i = share->from; i < share->to; i++) {
        const struct place p = place_of(g, i);
        gemm.m = p.m;
        gemm.a = x + p.x;
        gemm.b = dy + p.y;
        gemm.c = dw + p.dw;
        w->leaves->gemm(&gemm);
    }
}

/* Task i: share i % shares of chunk i / shares. Chunk 0 is summed where the result belongs. */
static void run_task(void *arg, int64_t i)
{
    struct work *w = arg;
    const struct weight_grad *g = w->g;
    const int64_t chunk = i / g->shares, s = i % g->shares;
    const int64_t all = g->space.samples * g->space.target[g->space.axis];
    const int64_t end = (chunk + 1) * all / g->chunks, slot = conv_slot_take(&w->slots);
    float *dw = chunk == 0 ? w->dw : w->partial + (chunk - 1) * g->dw;
    struct share share = {s * g->products / g->shares, (s + 1) * g->products / g->shares, true};
    for (int64_t u = chunk * all / g->chunks; u < end; share.first = false) {
        struct conv_part part;
        u = sunup__conv_part(&g->space, u, end, &part);
        add_part(w, &part, &share, dw, slot);
    }
    conv_slot_give(&w->slots, slot);
}

static void add_chunks(void *arg, int64_t i)
{
    const struct work *w = arg;
    const int64_t from = i * ADD_ELEMENTS, left = w->g->dw - from,
                  n = left < ADD_ELEMENTS ? left : ADD_ELEMENTS;
    for (int64_t c = 0; c + 1 < w->g->chunks; c++)
        w->leaves->add_to(n, w->partial + c * w->g->dw + from, w->dw + from);
}

static int64_t partial_elements(const struct weight_grad *g)
{
    return ((g->chunks - 1) * g->dw + LINE - 1) / LINE * LINE;
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
                     .dw = s->out[0],
                     .partial = s->workspace,
                     .slots = {.n = conv_slots_count(threads)}};
    w.memory = w.partial + partial_elements(g);
    w.offsets = (int64_t *)(void *)(w.memory + w.slots.n * g->slot);
    sunup__parallel(threads, g->chunks * g->shares, run_task, &w);
    if (g->chunks > 1)
        sunup__parallel(threads, (g->dw + ADD_ELEMENTS - 1) / ADD_ELEMENTS, add_chunks, &w);
    return SUNUP_OK;
}

/* ---- making ---- */

static void plan_space(struct weight_grad *g, const struct window *w, int64_t samples)
{
    struct conv_space *s = &g->space;
    *s = (struct conv_space){
        .samples = samples, .channels = w->c, .circular = w->circular, .beside = w->k};
    for (int a = 0; a < 3; a++) {
        s->source[a] = w->in[a];
        s->target[a] = w->out[a];
        s->stride[a] = w->stride[a];
        s->first[a] = -w->before[a];
        s->reach[a] = (w->taps[a] - 1) * w->dilation[a] + 1;
        g->taps[a] = w->taps[a];
        g->dilation[a] = w->dilation[a];
    }
    sunup__conv_space_plan(s);
    g->y_pitch[3] = w->k;
    for (int a = 2; a >= 0; a--) g->y_pitch[a] = g->y_pitch[a + 1] * w->out[a];
}

static void plan_products(struct weight_grad *g, const struct window *w, int threads)
{
    const bool joined = w->dilation[2] == 1 && w->groups == 1;
    g->groups = w->groups;
    g->cg = w->c / w->groups;
    g->splits = joined ? w->taps[2] : 1;
    g->m = g->splits * g->cg;
    g->n = w->k / w->groups;
    g->k_all = w->k;
    g->blocks = (g->m + ROWS - 1) / ROWS;
    g->products = g->blocks * g->groups * w->taps[0] * w->taps[1] * (w->taps[2] / g->splits);
    g->dw = w->taps[0] * w->taps[1] * w->taps[2] * g->cg * w->k;
    const int64_t points = g->space.samples * g->space.target[g->space.axis];
    g->chunks = PARTIAL_ELEMENTS_MOST / g->dw;
    if (g->chunks > CHUNKS_MOST) g->chunks = CHUNKS_MOST;
    if (g->chunks > points) g->chunks = points;
    if (g->chunks < 1) g->chunks = 1;
    g->shares = (threads + g->chunks - 1) / g->chunks;
    if (g->shares > g->products) g->shares = g->products;
}

sunup_status sunup__make_conv_weight_grad_brgemm(struct device *d, const struct node *n,
                                                 struct step *s)
{
    const struct window *w = &((const struct conv_attr *)n->attr)->w;
    struct weight_grad *g = sunup__alloc(sizeof *g);
    CHECK(g != NULL, d->ctx, E_MEMORY, "no memory for a step");
    plan_space(g, w, n->in[0]->shape.d[0]);
    plan_products(g, w, d->threads);
    g->slot = (g->space.slot + LINE - 1) / LINE * LINE;
    g->rows_most =
        g->space.samples_most; /* a row along W, or what joins it, is the product's own sum */
    for (int a = 0; a < 2; a++) g->rows_most *= a == g->space.axis ? g->space.rows_most : w->out[a];
    s->data = g;
    s->run = run;
    s->end = sunup__conv_step_end;
    const int64_t slots = conv_slots_count(d->threads);
    s->workspace_bytes = (partial_elements(g) + slots * g->slot) * (int64_t)sizeof(float) +
                         slots * 2 * g->rows_most * (int64_t)sizeof(int64_t);
    return SUNUP_OK;
}
