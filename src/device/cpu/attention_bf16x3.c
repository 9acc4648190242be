/* attention_bf16x3.c - attention forward and back with its products on tiles, each operand the sum of two bf16.
 *
 * Owes: attention where numerics are not exact and the processor has tiles. Of an operand's two parts (leaves.def:
 * bf16_words, bf16_rows) three products of four are kept. Blocks, softmax and order are those of
 * src/graph/ops/attention_run.c, whose desk a thread has here too, with operands as words of two bf16 along
 * the sums they enter:
 *
 *   scores = q k', dp = dy v'   along channels: q, dy in rows, k and v turned, in panels of 32 keys
 *   y = p v, dq = ds k          along keys: p, ds in rows, v and k as they lie
 *   dv' = dy' p, dk' = q' ds    along queries: dy and q turned, in rows, p and ds as they lie
 *
 * So no scores are turned: the leaves of attention put weights in place of the scores, 16 rows at a time, as words of
 * two keys or of two queries. dk and dv grow turned and are turned back once a head. Ends of sums are filled with zeros
 * to whole tiles: 32 channels, keys or queries.
 *
 * Two threads of a Xeon with AMX (Granite Rapids class, 2026-11-30), 16 samples of 256 tokens in 8 heads of 32
 * channels: forward 5.4 -> 4.0 ms, back 13.0 -> 9.9. Of a head in the second cache forward 45 % is the softmax, 40 %
 * the products, which take twice the time that they take one after the other; back 30 and 45 %. Forward asks for rows
 * of the next block and head between the groups: 4.7 without. The same back gained nothing.
 * Tried: 32, 128 or 256 queries a block: within 5 % forward, 5 to 35 % slower back.
 */
#include <math.h>
#include <string.h>

#include "base/integers.h"
#include "base/memory.h"
#include "device/cpu/makers.h"
#include "graph/ops/attention.h"

enum {
    QUERIES = 64, /* of a block, and its keys                   */
    KEYS = 256,
    GROUP = 16,   /* rows of scores that become weights at once */
    LINE = 16,    /* words of a tile's row, and of a line       */
    PANEL = 32,
    PAIRS = QUERIES / 2,
    SCORE_ROW = KEYS + LINE,         /* an odd number of lines               */
    TURNED = LINE * PANEL,           /* words of a panel for one tile's step */
    MOST_ENTRIES = KEYS / PANEL + 1, /* tiles' steps, and where second parts are */
    MOST_AHEAD = 4
};

struct run {
    const struct step *step;
    const struct attention_attr *a;
    const struct leaves_f32 *leaves;
    int64_t c, v;             /* channels of a head */
    int64_t c_words, v_words; /* of their sums      */
    int64_t key_row;          /* floats of dk' and dv' from one channel to the next */
    bool back;
};

/* Words of an operand, and so many further on what is left of each. */
struct parts {
    uint32_t *words;
    int64_t low;
};

/* Rows that the next block or head begins with. */
struct rows_ahead {
    const float *at;
    int64_t row, rows, d;
};

struct desk {
    struct parts k_turned, v_turned;         /* panels of 32 keys, [words of channels][32]   */
    struct parts by_keys;                    /* v, back k: [words of all keys][channels]     */
    struct parts q, dy;                      /* [QUERIES][words of channels]                 */
    struct parts q_turned, dy_turned;        /* [channels][PAIRS]                            */
    float *s, *dp, *ds;                      /* [QUERIES], rows SCORE_ROW apart              */
    float *dk, *dv;                          /* [channels], rows key_row apart               */
    float *work;                             /* [QUERIES][channels]                          */
    float *max, *sum, *shrink, *log, *delta; /* [QUERIES]                                    */
    struct rows_ahead ahead[MOST_AHEAD];
    int n_ahead;
    int64_t ask; /* rows ahead, with each row of scores */
};

struct block { /* queries [i, i + m), keys [j, j + n) */
    int64_t i, m, j, n;
};

/* Words of a sum over n: whole tiles. */
static int64_t words_of(int64_t n)
{
    return round_up(ceil_div(n, 2), LINE);
}

static int64_t padded_keys(const struct attention_attr *a)
{
    return round_up(a->keys, PANEL);
}

/* ---- the desk ---- */

struct place {
    char *memory; /* NULL: sizes only */
    int64_t used;
};

static void *take(struct place *p, int64_t n)
{
    void *at = p->memory ? p->memory + p->used : NULL;
    p->used += round_up(n * (int64_t)sizeof(float), (int64_t)LINE * (int64_t)sizeof(float));
    return at;
}

/* A line more, so that the parts do not meet in the same sets of the first cache. */
static struct parts take_parts(struct place *p, int64_t n)
{
    struct parts parts = {.low = round_up(n, LINE) + LINE};
    parts.words = take(p, 2 * parts.low);
    return parts;
}

/* From memory on, if that is not NULL; bytes. */
static int64_t lay_out(const struct run *r, void *memory, struct desk *t)
{
    struct place p = {memory, 0};
    const int64_t keys = padded_keys(r->a), d = r->back ? r->c : r->v;
    *t = (struct desk){.k_turned = take_parts(&p, keys * r->c_words),
                       .by_keys = take_parts(&p, keys / 2 * d),
                       .q = take_parts(&p, QUERIES * r->c_words),
                       .s = take(&p, QUERIES * SCORE_ROW),
                       .max = take(&p, QUERIES),
                       .sum = take(&p, QUERIES),
                       .shrink = take(&p, QUERIES),
                       .log = take(&p, QUERIES)};
    if (!r->back) return p.used;
    t->v_turned = take_parts(&p, keys * r->v_words);
    t->dy = take_parts(&p, QUERIES * r->v_words);
    t->q_turned = take_parts(&p, r->c * PAIRS);
    t->dy_turned = take_parts(&p, r->v * PAIRS);
    t->dp = take(&p, QUERIES * SCORE_ROW);
    t->ds = take(&p, QUERIES * SCORE_ROW);
    t->dk = take(&p, r->c * r->key_row);
    t->dv = take(&p, r->v * r->key_row);
    t->work = take(&p, QUERIES * most(r->c, r->v));
    t->delta = take(&p, QUERIES);
    return p.used;
}

static struct run run_of(const struct node *n, const struct device *d, bool back)
{
    const struct attention_attr *a = n->attr;
    const int64_t lines = ceil_div(padded_keys(a), LINE);
    return (struct run){.a = a,
                        .leaves = &d->kernels->f32,
                        .c = a->c / a->heads,
                        .v = a->v / a->heads,
                        .c_words = words_of(a->c / a->heads),
                        .v_words = words_of(a->v / a->heads),
                        .key_row = (lines | 1) * LINE,
                        .back = back};
}

/* ---- operands into words ---- */

static void zero(const struct parts *p, int64_t from, int64_t n)
{
    if (n <= 0) return;
    memset(p->words + from, 0, (size_t)n * sizeof *p->words);
    memset(p->words + p->low + from, 0, (size_t)n * sizeof *p->words);
}

/* Where a head's row `from` begins in x [samples][length][width]; its rows are `width` apart. */
static float *rows_of(const struct attention_part *h, const void *x, int64_t length, int64_t width, int64_t d,
                      int64_t from)
{
    return (float *)(uintptr_t)x + (h->sample * length + from) * width + h->head * d;
}

/* m rows of d, `pitch` words apart. */
static void pack_rows(const struct run *r, int64_t m, int64_t d, const float *x, int64_t width, int64_t pitch,
                      const struct parts *to)
{
    const int64_t used = ceil_div(d, 2);
    for (int64_t i = 0; i < m; i++) {
        uint32_t *row = to->words + i * pitch;
        r->leaves->bf16_words(d, x + i * width, row, row + to->low);
        zero(to, i * pitch + used, pitch - used);
    }
}

static void turn(const struct run *r, int64_t rows, int64_t n, const uint32_t *x, int64_t x_row, uint32_t *y,
                 int64_t y_row)
{
    r->leaves->transpose(rows, n, (const float *)(const void *)x, x_row, (float *)(void *)y, y_row);
}

/* All rows of a head, in panels of 32 as columns of `pitch` words. */
static void pack_turned(const struct run *r, int64_t d, const float *x, int64_t width, int64_t pitch,
                        const struct parts *to)
{
    _Alignas(64) uint32_t piece[2 * TURNED];
    for (int64_t j = 0; j < r->a->keys; j += PANEL) {
        const int64_t keys = least(PANEL, r->a->keys - j);
        for (int64_t q = 0; q < pitch; q += LINE) {
            const int64_t n = least(2 * LINE, d - 2 * q);
            uint32_t *panel = to->words + j * pitch + q * PANEL;
            if (keys < PANEL || n < 2 * LINE) memset(piece, 0, sizeof piece);
            for (int64_t i = 0; i < keys; i++)
                r->leaves->bf16_words(n, x + (j + i) * width + 2 * q, piece + i * LINE, piece + TURNED + i * LINE);
            turn(r, PANEL, LINE, piece, LINE, panel, PANEL);
            turn(r, PANEL, LINE, piece + TURNED, LINE, panel + to->low, PANEL);
        }
    }
}

/* All rows of a head as pairs. */
static void pack_pairs(const struct run *r, int64_t d, const float *x, int64_t width, const struct parts *to)
{
    const int64_t used = ceil_div(r->a->keys, 2) * d;
    r->leaves->bf16_rows(r->a->keys, d, x, width, to->words, to->words + to->low);
    zero(to, used, padded_keys(r->a) / 2 * d - used);
}

/* A block's queries as pairs, turned: a channel's are a row. */
static void pack_queries(const struct run *r, int64_t m, int64_t d, const float *x, int64_t width,
                         const struct parts *to)
{
    _Alignas(64) uint32_t piece[2 * PAIRS * PANEL];
    const struct parts p = {piece, (int64_t)PAIRS * PANEL};
    const int64_t used = ceil_div(m, 2);
    for (int64_t e = 0; e < d; e += PANEL) {
        const int64_t wide = least(PANEL, d - e);
        r->leaves->bf16_rows(m, wide, x + e, width, piece, piece + p.low);
        zero(&p, used * wide, (PAIRS - used) * wide);
        turn(r, PAIRS, wide, piece, wide, to->words + e * PAIRS, PAIRS);
        turn(r, PAIRS, wide, piece + p.low, wide, to->words + to->low + e * PAIRS, PAIRS);
    }
}

/* ---- what comes next ---- */

static void plan_ahead(struct desk *t, const float *at, int64_t row, int64_t rows, int64_t d)
{
    if (rows > 0 && at) t->ahead[t->n_ahead++] = (struct rows_ahead){at, row, rows, d};
}

/* Forward, before the block from query i on, whose scores are so many rows: the next block's q and y, and this one's
 * share of the next head's k and v. */
static void look_ahead(const struct run *r, const struct attention_part *h, int64_t i, int64_t rows, struct desk *t)
{
    const struct attention_attr *a = r->a;
    void *const *in = r->step->in;
    const int64_t step = h->parts * QUERIES, first = h->part * QUERIES;
    const struct attention_part *n = i + step < a->queries ? h : h->next;
    t->n_ahead = 0;
    if (n) {
        const int64_t from = n == h ? i + step : n->part * QUERIES, m = least(QUERIES, a->queries - from);
        plan_ahead(t, rows_of(n, in[0], a->queries, a->c, r->c, from), a->c, m, r->c);
        plan_ahead(t, rows_of(n, r->step->out[0], a->queries, a->v, r->v, from), a->v, m, r->v);
    }
    if (h->next && h->next->part == 0) {
        const int64_t share = ceil_div(a->keys, ceil_div(a->queries - first, step)), from = (i - first) / step * share,
                      m = least(share, a->keys - from);
        plan_ahead(t, rows_of(h->next, in[1], a->keys, a->c, r->c, from), a->c, m, r->c);
        plan_ahead(t, rows_of(h->next, in[2], a->keys, a->v, r->v, from), a->v, m, r->v);
    }
    t->ask = 0;
    for (int k = 0; k < t->n_ahead; k++) t->ask += t->ahead[k].rows;
    t->ask = ceil_div(t->ask, rows);
}

static void ask(struct desk *t, int64_t rows)
{
    while (rows-- > 0 && t->n_ahead > 0) {
        struct rows_ahead *a = &t->ahead[t->n_ahead - 1];
        for (int64_t e = 0; e < a->d; e += LINE) __builtin_prefetch(a->at + e, 0, 2);
        a->at += a->row;
        if (--a->rows == 0) t->n_ahead--;
    }
}

/* ---- products ---- */

static const float *floats(const uint32_t *words)
{
    return (const float *)(const void *)words;
}

/* A block's queries (or dy) times its keys (or v), up to a whole panel. */
static void multiply_scores(const struct run *r, const struct block *o, const struct parts *x, int64_t words,
                            const struct parts *turned, float *s)
{
    const int64_t a_at[] = {0, x->low}, b_at[] = {0, turned->low};
    r->leaves->panels_bf16x3(&(struct gemm_f32){.m = o->m,
                                                .n = round_up(o->n, PANEL),
                                                .k = words,
                                                .batch = 1,
                                                .a = floats(x->words),
                                                .a_row = words,
                                                .a_col = 1,
                                                .a_at = a_at,
                                                .b = floats(turned->words + o->j * words),
                                                .b_row = words,
                                                .b_at = b_at,
                                                .c = s,
                                                .c_row = SCORE_ROW});
}

/* The weights of a block times its rows of v, or ds times those of k: an entry for 32 keys. */
static void multiply_weights(const struct run *r, const struct block *o, int64_t d, const float *weights,
                             const struct parts *rows, float *to, int64_t width, bool accumulate)
{
    int64_t a_at[MOST_ENTRIES], b_at[MOST_ENTRIES], n = 0;
    for (int64_t j = 0; j < o->n; j += PANEL) {
        a_at[n] = j;
        b_at[n++] = j / 2 * d;
    }
    a_at[n] = LINE;
    b_at[n] = rows->low;
    r->leaves->gemm_bf16x3(&(struct gemm_f32){.m = o->m,
                                              .n = d,
                                              .k = LINE,
                                              .batch = n,
                                              .a = weights,
                                              .a_row = SCORE_ROW,
                                              .a_col = 1,
                                              .a_at = a_at,
                                              .b = floats(rows->words + o->j / 2 * d),
                                              .b_row = d,
                                              .b_at = b_at,
                                              .c = to,
                                              .c_row = width,
                                              .accumulate = accumulate});
}

/* `to`, turned, += the queries' columns times what p or ds has for them. */
static void multiply_queries(const struct run *r, const struct block *o, int64_t d, const struct parts *turned,
                             const float *pairs, float *to)
{
    const int64_t a_at[] = {0, turned->low}, b_at[] = {0, SCORE_ROW};
    r->leaves->gemm_bf16x3(&(struct gemm_f32){.m = d,
                                              .n = round_up(o->n, PANEL),
                                              .k = words_of(o->m),
                                              .batch = 1,
                                              .a = floats(turned->words),
                                              .a_row = PAIRS,
                                              .a_col = 1,
                                              .a_at = a_at,
                                              .b = pairs,
                                              .b_row = (int64_t)2 * SCORE_ROW,
                                              .b_at = b_at,
                                              .c = to + o->j,
                                              .c_row = r->key_row,
                                              .accumulate = true});
}

/* ---- scores into weights ---- */

/* What the leaf must know of rows [g, g + rows) of a block. */
static struct attention_f32 group_of(const struct run *r, const struct attention_part *h, const struct block *o,
                                     int64_t g)
{
    const struct attention_attr *a = r->a;
    const float *bias = r->step->in[3];
    const int64_t i = o->i + g;
    return (struct attention_f32){
        .rows = least(GROUP, o->m - g),
        .n = o->n,
        .row = SCORE_ROW,
        .see = a->causal ? i + 1 + a->keys - a->queries - o->j : a->keys,
        .scale = (float)a->scale,
        .bias = bias ? bias + h->sample * a->bias_n + h->head * a->bias_heads + i * a->keys + o->j : NULL,
        .bias_row = a->keys};
}

static void weigh(const struct run *r, const struct attention_part *h, const struct block *o, struct desk *t)
{
    for (int64_t g = 0; g < o->m; g += GROUP) {
        const struct attention_f32 leaf = group_of(r, h, o, g);
        ask(t, t->ask * leaf.rows);
        r->leaves->attention_scores_bf16x3(&leaf, t->s + g * SCORE_ROW, t->max + g, t->sum + g, t->shrink + g);
    }
}

static void weigh_back(const struct run *r, const struct attention_part *h, const struct block *o, const float *lse,
                       float *dbias, struct desk *t)
{
    for (int64_t g = 0; g < o->m; g += GROUP) {
        const struct attention_f32 leaf = group_of(r, h, o, g);
        const int64_t at = g * SCORE_ROW;
        r->leaves->attention_grad_bf16x3(&leaf, lse + g, t->delta + g, t->s + at, t->dp + at,
                                         dbias ? dbias + (leaf.bias - (const float *)r->step->in[3]) : NULL,
                                         t->ds + at);
    }
    for (int64_t i = round_up(o->m, 2); i < 2 * words_of(o->m); i++) {
        memset(t->s + i * SCORE_ROW, 0, SCORE_ROW * sizeof *t->s);
        memset(t->dp + i * SCORE_ROW, 0, SCORE_ROW * sizeof *t->dp);
    }
}

/* ---- forward ---- */

/* y /= sum, and the logarithm of each row's sum for the way back. */
static void forward_end(const struct run *r, const struct attention_part *h, int64_t i, int64_t m, float *y,
                        const struct desk *t)
{
    const struct attention_attr *a = r->a;
    for (int64_t q = 0; q < m; q++) {
        const float share = t->sum[q] != 0 ? 1 / t->sum[q] : 1;
        float *row = y + q * a->v;
        r->leaves->pointwise(PW_affine, r->v, row, row, NULL, NULL, (const double[]){(double)share, 0});
    }
    if (!r->step->out[1]) return;
    float *lse = (float *)r->step->out[1] + (h->sample * a->heads + h->head) * a->queries + i;
    r->leaves->pointwise(PW_log, m, t->log, t->sum, NULL, NULL, NULL);
    for (int64_t q = 0; q < m; q++) lse[q] = t->sum[q] != 0 ? t->max[q] + t->log[q] : -INFINITY;
}

static void forward_block(const struct run *r, const struct attention_part *h, int64_t i, int64_t m, struct desk *t)
{
    const struct attention_attr *a = r->a;
    const int64_t seen = attention_keys_seen(a, i, m);
    float *y = rows_of(h, r->step->out[0], a->queries, a->v, r->v, i);
    for (int64_t q = 0; q < m; q++) {
        t->max[q] = -INFINITY;
        t->sum[q] = 0;
    }
    pack_rows(r, m, r->c, rows_of(h, r->step->in[0], a->queries, a->c, r->c, i), a->c, r->c_words, &t->q);
    look_ahead(r, h, i, m * ceil_div(most(seen, 1), KEYS), t);
    for (int64_t j = 0; j < seen; j += KEYS) {
        const struct block o = {i, m, j, least(KEYS, seen - j)};
        multiply_scores(r, &o, &t->q, r->c_words, &t->k_turned, t->s);
        weigh(r, h, &o, t);
        for (int64_t q = 0; q < m && j > 0; q++)
            for (int64_t e = 0; e < r->v; e++) y[q * a->v + e] *= t->shrink[q];
        multiply_weights(r, &o, r->v, t->s, &t->by_keys, y, a->v, j > 0);
    }
    for (int64_t q = 0; q < m && seen <= 0; q++) memset(y + q * a->v, 0, (size_t)r->v * sizeof *y);
    forward_end(r, h, i, m, y, t);
}

static void forward_part(void *arg, int64_t thread, const struct attention_part *h)
{
    const struct run *r = arg;
    const struct attention_attr *a = r->a;
    void *const *in = r->step->in;
    struct desk t;
    const int64_t bytes = lay_out(r, NULL, &t);
    lay_out(r, (char *)r->step->workspace + thread * bytes, &t);
    pack_turned(r, r->c, rows_of(h, in[1], a->keys, a->c, r->c, 0), a->c, r->c_words, &t.k_turned);
    pack_pairs(r, r->v, rows_of(h, in[2], a->keys, a->v, r->v, 0), a->v, &t.by_keys);
    for (int64_t i = h->part * QUERIES; i < a->queries; i += h->parts * QUERIES)
        forward_block(r, h, i, least(QUERIES, a->queries - i), &t);
}

/* ---- back ---- */

/* delta = the sum over the head's channels of y dy, which the softmax takes off. */
static void sum_y_dy(const struct run *r, int64_t m, const float *y, const float *dy, struct desk *t)
{
    for (int64_t i = 0; i < m; i++)
        r->leaves->pointwise(PW_mul, r->v, t->work + i * r->v, y + i * r->a->v, dy + i * r->a->v, NULL, NULL);
    r->leaves->reduce(REDUCE_SUM, m, r->v, 1, t->work, t->delta);
}

static void backward_block(const struct run *r, const struct attention_part *h, int64_t i, int64_t m, struct desk *t)
{
    const struct attention_attr *a = r->a;
    void *const *in = r->step->in, *const *out = r->step->out;
    const float *lse = (const float *)in[5] + (h->sample * a->heads + h->head) * a->queries + i,
                *q = rows_of(h, in[0], a->queries, a->c, r->c, i),
                *dy = rows_of(h, in[6], a->queries, a->v, r->v, i);
    float *dq = out[0] ? rows_of(h, out[0], a->queries, a->c, r->c, i) : NULL;
    const int64_t seen = attention_keys_seen(a, i, m);
    sum_y_dy(r, m, rows_of(h, in[4], a->queries, a->v, r->v, i), dy, t);
    pack_rows(r, m, r->c, q, a->c, r->c_words, &t->q);
    pack_rows(r, m, r->v, dy, a->v, r->v_words, &t->dy);
    pack_queries(r, m, r->c, q, a->c, &t->q_turned);
    pack_queries(r, m, r->v, dy, a->v, &t->dy_turned);
    for (int64_t j = 0; j < seen; j += KEYS) {
        const struct block o = {i, m, j, least(KEYS, seen - j)};
        multiply_scores(r, &o, &t->q, r->c_words, &t->k_turned, t->s);
        multiply_scores(r, &o, &t->dy, r->v_words, &t->v_turned, t->dp);
        weigh_back(r, h, &o, lse, in[3] ? out[3] : NULL, t);
        if (out[2]) multiply_queries(r, &o, r->v, &t->dy_turned, t->s, t->dv);
        if (out[1]) multiply_queries(r, &o, r->c, &t->q_turned, t->dp, t->dk);
        if (dq) multiply_weights(r, &o, r->c, t->ds, &t->by_keys, dq, a->c, j > 0);
    }
    for (int64_t e = 0; e < m && dq && seen <= 0; e++) memset(dq + e * a->c, 0, (size_t)r->c * sizeof *dq);
}

/* What has grown turned, to rows of a result. */
static void turn_back(const struct run *r, const struct attention_part *h, int64_t d, const float *x, void *to,
                      int64_t width)
{
    if (to) r->leaves->transpose(d, r->a->keys, x, r->key_row, rows_of(h, to, r->a->keys, width, d, 0), width);
}

static void backward_part(void *arg, int64_t thread, const struct attention_part *h)
{
    const struct run *r = arg;
    const struct attention_attr *a = r->a;
    void *const *in = r->step->in, *const *out = r->step->out;
    const float *k = rows_of(h, in[1], a->keys, a->c, r->c, 0);
    struct desk t;
    const int64_t bytes = lay_out(r, NULL, &t);
    lay_out(r, (char *)r->step->workspace + thread * bytes, &t);
    pack_turned(r, r->c, k, a->c, r->c_words, &t.k_turned);
    pack_turned(r, r->v, rows_of(h, in[2], a->keys, a->v, r->v, 0), a->v, r->v_words, &t.v_turned);
    pack_pairs(r, r->c, k, a->c, &t.by_keys);
    memset(t.dk, 0, (size_t)(r->c * r->key_row) * sizeof *t.dk);
    memset(t.dv, 0, (size_t)(r->v * r->key_row) * sizeof *t.dv);
    for (int64_t i = 0; i < a->queries; i += QUERIES) backward_block(r, h, i, least(QUERIES, a->queries - i), &t);
    turn_back(r, h, r->c, t.dk, out[1], a->c);
    turn_back(r, h, r->v, t.dv, out[2], a->v);
}

/* ---- steps ---- */

static sunup_status run_forward(const struct step *s, const sunup_random_key *key)
{
    (void)key;
    struct run r = run_of(s->node, s->device, false);
    r.step = s;
    sunup__attention_forward(r.a, s->device->threads, QUERIES, forward_part, &r);
    return SUNUP_OK;
}

static sunup_status run_backward(const struct step *s, const sunup_random_key *key)
{
    (void)key;
    struct run r = run_of(s->node, s->device, true);
    r.step = s;
    float *dbias = s->out[3];
    if (dbias) memset(dbias, 0, (size_t)sunup__elements(&s->node->out[3]->shape) * sizeof *dbias);
    sunup__attention_backward(r.a, s->device->threads, s->in[3] && dbias, backward_part, &r);
    return SUNUP_OK;
}

static void ask_workspace(struct device *d, const struct node *n, bool back, struct step *s)
{
    const struct run r = run_of(n, d, back);
    struct desk t;
    s->workspace_bytes = d->threads * lay_out(&r, NULL, &t);
}

sunup_status sunup__make_attention_bf16x3(struct device *d, const struct node *n, struct step *s)
{
    s->run = run_forward;
    ask_workspace(d, n, false, s);
    return SUNUP_OK;
}

sunup_status sunup__make_attention_grad_bf16x3(struct device *d, const struct node *n, struct step *s)
{
    s->run = run_backward;
    ask_workspace(d, n, true, s);
    return SUNUP_OK;
}

/* Below these packing and waiting for stores cost more than the products save (two threads of a Xeon with AMX, Granite
 * Rapids class, 2026-11-30, time over f32's): heads of 32 channels with 64 tokens 0.96 forward and 1.04 back, with 32
 * tokens 1.3 and 1.8; of 16 channels with 128 tokens 1.1 and 1.1. Of 64 channels with 256 tokens 0.62 and 0.80, with
 * 1024 0.53 and 0.52. */
bool sunup__attention_bf16x3_can(const struct device *d, const struct node *n)
{
    enum { CHANNELS = 32, LENGTH = 128 };
    const struct attention_attr *a = n->attr;
    return sunup_context_numerics(d->ctx) != SUNUP_NUMERICS_EXACT && d->kernels->tiles_bf16 &&
           n->in[0]->dtype == SUNUP_F32 && a->n > 0 && a->c / a->heads >= CHANNELS && a->v / a->heads >= CHANNELS &&
           a->queries >= LENGTH && a->keys >= LENGTH;
}
