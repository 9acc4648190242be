/* attention_head.h - one head of attention, forward and back; included once for each element type
 * with REAL and BITS(x) defined (attention_run.c).
 *
 * A thread has a desk: the head's k and v laid out densely, transposed for the products that need
 * their columns as rows, the block of queries, and the block of QUERIES x KEYS scores, the only
 * ones that exist. In q, k and v themselves the rows of a head are often a power of two of bytes
 * apart and would share few sets of the first cache; on the desk they are dense, or an odd number
 * of cache lines apart where products go down their columns (key_row, SCORE_ROW).
 *
 * With 256 keys and heads of 32 channels, scores and what belongs to the head take 64 + 64 KB
 * forward and 128 + 160 KB back: within the second cache of Zen 4 as of Sapphire Rapids. There, 16
 * samples of 256 tokens in 8 heads took 7.4 and 16.9 ms with products on q, k and v in place and
 * four passes a row of scores; now 4.5 and 10.1.
 *
 * Tried on one thread of a Xeon (Granite Rapids class), old and new in turn in one process, 16 samples
 * of 256 tokens in 8 heads: forward in blocks of 14 queries, so that scores stay in the first cache,
 * with the next head's k and v and the next block's q asked for between the leaves, took 0.98 to 1.00
 * of the time (the packing got cheaper by what the products lost); back, y times dy row by row from
 * where y lies, 1.03.
 */

struct BITS(desk) {
    REAL *k_turned, *v_turned;              /* [channels of a head][keys], rows key_row apart */
    REAL *k, *v, *dk, *dv;                  /* [keys][channels of a head]                     */
    REAL *q, *dy, *work;                    /* [QUERIES][channels of a head]                  */
    REAL *s, *dp;                           /* [QUERIES][KEYS], rows SCORE_ROW apart          */
    REAL *max, *sum, *shrink, *log, *delta; /* [QUERIES] */
};

/* Lays the desk out in memory, from byte 0 on if that is NULL; the number of elements. */
static int64_t BITS(lay_out)(const struct attention_attr *a, bool back, REAL *memory,
                             struct BITS(desk) * t)
{
    const int64_t c = a->c / a->heads, v = a->v / a->heads, most = c > v ? c : v;
    const int64_t row = key_row(a), back_keys = back ? a->keys : 0;
    const struct {
        REAL **place;
        int64_t n;
    } parts[] = {{&t->k_turned, c * row},
                 {&t->v_turned, back ? v * row : 0},
                 {&t->k, back_keys * c},
                 {&t->v, back ? 0 : a->keys * v},
                 {&t->dk, back_keys * c},
                 {&t->dv, back_keys * v},
                 {&t->q, QUERIES * c},
                 {&t->dy, back ? QUERIES * v : 0},
                 {&t->work, QUERIES * most},
                 {&t->s, QUERIES * SCORE_ROW},
                 {&t->dp, back ? QUERIES * SCORE_ROW : 0},
                 {&t->max, QUERIES},
                 {&t->sum, QUERIES},
                 {&t->shrink, QUERIES},
                 {&t->log, QUERIES},
                 {&t->delta, QUERIES}};
    int64_t used = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        *parts[i].place = memory ? memory + used : NULL;
        used += (parts[i].n + LINE - 1) / LINE * LINE;
    }
    return used;
}

/* Where a head's row `from` begins in x [samples][length][width]; its rows are `width` apart. */
static REAL *BITS(rows_of)(const struct attention_part *h, const void *x, int64_t length, int64_t width,
                           int64_t d, int64_t from)
{
    return (REAL *)(uintptr_t)x + (h->sample * length + from) * width + h->head * d;
}

/* Rows of d from and to x, dense on the other side. */
static void BITS(pack)(int64_t n, int64_t d, const REAL *x, int64_t width, REAL *to)
{
    for (int64_t i = 0; i < n; i++) memcpy(to + i * d, x + i * width, (size_t)d * sizeof *to);
}

static void BITS(unpack)(int64_t n, int64_t d, const REAL *x, REAL *to, int64_t width)
{
    for (int64_t i = 0; i < n; i++) memcpy(to + i * width, x + i * d, (size_t)d * sizeof *to);
}

/* c[m][n] (+)= a b; a is read down its columns if `turned`. */
struct BITS(product) {
    int64_t m, n, k;
    const REAL *a;
    int64_t a_pitch;
    bool turned;
    const REAL *b;
    int64_t b_row;
    REAL *c;
    int64_t c_row;
    bool accumulate;
};

static void BITS(multiply)(const struct run *r, const struct BITS(product) * p)
{
    const struct BITS(gemm) g = {.m = p->m,
                                 .n = p->n,
                                 .k = p->k,
                                 .batch = 1,
                                 .a = p->a,
                                 .a_row = p->turned ? 1 : p->a_pitch,
                                 .a_col = p->turned ? p->a_pitch : 1,
                                 .b = p->b,
                                 .b_row = p->b_row,
                                 .c = p->c,
                                 .c_row = p->c_row,
                                 .accumulate = p->accumulate};
    r->e->kernels->TABLE.gemm(&g);
}

/* A block's queries (or dy) times the keys (or v) of the block: rows of scores. */
static void BITS(scores)(const struct run *r, const struct block *o, const REAL *x, int64_t d,
                         const REAL *turned, REAL *s)
{
    BITS(multiply)
    (r, &(struct BITS(product)){.m = o->m,
                                .n = o->n,
                                .k = d,
                                .a = x,
                                .a_pitch = d,
                                .b = turned + o->j,
                                .b_row = key_row(r->a),
                                .c = s,
                                .c_row = SCORE_ROW});
}

/* What the leaf must know of a block: the first key that row o->i does not see, from o->j on. */
static struct BITS(attention)
    BITS(block_of)(const struct run *r, const struct attention_part *h, const struct block *o)
{
    const struct attention_attr *a = r->a;
    const REAL *bias = r->e->in[3];
    return (struct BITS(attention)){
        .rows = o->m,
        .n = o->n,
        .row = SCORE_ROW,
        .see = a->causal ? o->i + 1 + a->keys - a->queries - o->j : a->keys,
        .scale = (REAL)a->scale,
        .bias = bias
                    ? bias + h->sample * a->bias_n + h->head * a->bias_heads + o->i * a->keys + o->j
                    : NULL,
        .bias_row = a->keys};
}

/* ---- forward ---- */

static void BITS(forward_begin)(const struct run *r, const struct attention_part *h, struct BITS(desk) * t)
{
    const struct attention_attr *a = r->a;
    const int64_t c = a->c / a->heads, v = a->v / a->heads;
    r->e->kernels->TABLE.transpose(a->keys, c, BITS(rows_of)(h, r->e->in[1], a->keys, a->c, c, 0),
                                   a->c, t->k_turned, key_row(a));
    BITS(pack)(a->keys, v, BITS(rows_of)(h, r->e->in[2], a->keys, a->v, v, 0), a->v, t->v);
}

/* y /= sum, and the logarithm of each row's sum for the way back. */
static void BITS(forward_end)(const struct run *r, const struct attention_part *h, int64_t i, int64_t m,
                              REAL *y, const struct BITS(desk) * t)
{
    const struct attention_attr *a = r->a;
    const int64_t d = a->v / a->heads;
    for (int64_t q = 0; q < m; q++) {
        const REAL share = t->sum[q] != 0 ? 1 / t->sum[q] : 1;
        for (int64_t c = 0; c < d; c++) y[q * a->v + c] *= share;
    }
    if (!r->e->out[1]) return;
    REAL *lse = (REAL *)r->e->out[1] + (h->sample * a->heads + h->head) * a->queries + i;
    r->e->kernels->TABLE.pointwise(PW_log, m, t->log, t->sum, NULL, NULL, NULL);
    for (int64_t q = 0; q < m; q++)
        lse[q] = t->sum[q] != 0 ? t->max[q] + t->log[q] : (REAL)-INFINITY;
}

static void BITS(forward_block)(const struct run *r, const struct attention_part *h, int64_t i, int64_t m,
                                struct BITS(desk) * t)
{
    const struct attention_attr *a = r->a;
    const int64_t width = a->v, d = width / a->heads, c = a->c / a->heads;
    REAL *y = BITS(rows_of)(h, r->e->out[0], a->queries, width, d, i);
    for (int64_t q = 0; q < m; q++) {
        t->max[q] = (REAL)-INFINITY;
        t->sum[q] = 0;
    }
    BITS(pack)(m, c, BITS(rows_of)(h, r->e->in[0], a->queries, a->c, c, i), a->c, t->q);
    const int64_t seen = attention_keys_seen(a, i, m);
    bool some = false;
    for (int64_t j = 0; j < seen; j += KEYS) {
        const struct block o = {i, m, j, seen - j < KEYS ? seen - j : KEYS};
        const struct BITS(attention) leaf = BITS(block_of)(r, h, &o);
        BITS(scores)(r, &o, t->q, c, t->k_turned, t->s);
        r->e->kernels->TABLE.attention_scores(&leaf, t->s, t->max, t->sum, t->shrink);
        for (int64_t q = 0; q < m && some; q++)
            for (int64_t e = 0; e < d; e++) y[q * width + e] *= t->shrink[q];
        BITS(multiply)
        (r, &(struct BITS(product)){.m = m,
                                    .n = d,
                                    .k = o.n,
                                    .a = t->s,
                                    .a_pitch = SCORE_ROW,
                                    .b = t->v + j * d,
                                    .b_row = d,
                                    .c = y,
                                    .c_row = width,
                                    .accumulate = some});
        some = true;
    }
    for (int64_t q = 0; q < m && !some; q++) memset(y + q * width, 0, (size_t)d * sizeof *y);
    BITS(forward_end)(r, h, i, m, y, t);
}

static void BITS(forward_head)(const struct run *r, const struct attention_part *h, REAL *memory)
{
    struct BITS(desk) t;
    BITS(lay_out)(r->a, false, memory, &t);
    BITS(forward_begin)(r, h, &t);
    for (int64_t i = h->part * QUERIES; i < r->a->queries; i += h->parts * QUERIES) {
        const int64_t left = r->a->queries - i;
        BITS(forward_block)(r, h, i, left < QUERIES ? left : QUERIES, &t);
    }
}

/* ---- back ---- */

static void BITS(backward_begin)(const struct run *r, const struct attention_part *h, struct BITS(desk) * t)
{
    const struct attention_attr *a = r->a;
    const int64_t c = a->c / a->heads, v = a->v / a->heads;
    const REAL *k = BITS(rows_of)(h, r->e->in[1], a->keys, a->c, c, 0);
    r->e->kernels->TABLE.transpose(a->keys, c, k, a->c, t->k_turned, key_row(a));
    r->e->kernels->TABLE.transpose(a->keys, v, BITS(rows_of)(h, r->e->in[2], a->keys, a->v, v, 0),
                                   a->v, t->v_turned, key_row(a));
    BITS(pack)(a->keys, c, k, a->c, t->k);
    memset(t->dk, 0, (size_t)(a->keys * c) * sizeof *t->dk);
    memset(t->dv, 0, (size_t)(a->keys * v) * sizeof *t->dv);
}

static void BITS(backward_end)(const struct run *r, const struct attention_part *h,
                               const struct BITS(desk) * t)
{
    const struct attention_attr *a = r->a;
    const int64_t c = a->c / a->heads, v = a->v / a->heads;
    void *dk = r->e->out[1], *dv = r->e->out[2];
    if (dk) BITS(unpack)(a->keys, c, t->dk, BITS(rows_of)(h, dk, a->keys, a->c, c, 0), a->c);
    if (dv) BITS(unpack)(a->keys, v, t->dv, BITS(rows_of)(h, dv, a->keys, a->v, v, 0), a->v);
}

/* dy to the desk, and delta = the sum over the head's channels of y dy, which the softmax takes
 * off. */
static void BITS(take_dy)(const struct run *r, const struct attention_part *h, int64_t i, int64_t m,
                          struct BITS(desk) * t)
{
    const struct attention_attr *a = r->a;
    const int64_t d = a->v / a->heads;
    const REAL *y = BITS(rows_of)(h, r->e->in[4], a->queries, a->v, d, i);
    BITS(pack)(m, d, BITS(rows_of)(h, r->e->in[6], a->queries, a->v, d, i), a->v, t->dy);
    BITS(pack)(m, d, y, a->v, t->work);
    r->e->kernels->TABLE.pointwise(PW_mul, m * d, t->work, t->work, t->dy, NULL, NULL);
    r->e->kernels->TABLE.reduce(REDUCE_SUM, m, d, 1, t->work, t->delta);
}

/* Rows of `to` [keys][d] += the block's scores turned times its queries' rows of x. */
static void BITS(add_keys)(const struct run *r, const struct block *o, const REAL *s, const REAL *x,
                           int64_t d, REAL *to)
{
    BITS(multiply)
    (r, &(struct BITS(product)){.m = o->n,
                                .n = d,
                                .k = o->m,
                                .a = s,
                                .a_pitch = SCORE_ROW,
                                .turned = true,
                                .b = x,
                                .b_row = d,
                                .c = to + o->j * d,
                                .c_row = d,
                                .accumulate = true});
}

static void BITS(backward_block)(const struct run *r, const struct attention_part *h, int64_t i, int64_t m,
                                 struct BITS(desk) * t)
{
    const struct attention_attr *a = r->a;
    void *const *in = r->e->in, *const *out = r->e->out;
    const REAL *lse = (const REAL *)in[5] + (h->sample * a->heads + h->head) * a->queries + i;
    const int64_t c = a->c / a->heads, v = a->v / a->heads;
    REAL *dq = out[0] ? BITS(rows_of)(h, out[0], a->queries, a->c, c, i) : t->work;
    const int64_t dq_row = out[0] ? a->c : c;
    BITS(take_dy)(r, h, i, m, t);
    BITS(pack)(m, c, BITS(rows_of)(h, in[0], a->queries, a->c, c, i), a->c, t->q);
    const int64_t seen = attention_keys_seen(a, i, m);
    bool some = false;
    for (int64_t j = 0; j < seen; j += KEYS) {
        const struct block o = {i, m, j, seen - j < KEYS ? seen - j : KEYS};
        const struct BITS(attention) leaf = BITS(block_of)(r, h, &o);
        REAL *dbias = NULL;
        if (out[3] && leaf.bias) dbias = (REAL *)out[3] + (leaf.bias - (const REAL *)in[3]);
        BITS(scores)(r, &o, t->q, c, t->k_turned, t->s);
        BITS(scores)(r, &o, t->dy, v, t->v_turned, t->dp);
        r->e->kernels->TABLE.attention_grad(&leaf, lse, t->delta, t->s, t->dp, dbias);
        if (out[2]) BITS(add_keys)(r, &o, t->s, t->dy, v, t->dv);
        if (out[1]) BITS(add_keys)(r, &o, t->dp, t->q, c, t->dk);
        BITS(multiply)
        (r, &(struct BITS(product)){.m = m,
                                    .n = c,
                                    .k = o.n,
                                    .a = t->dp,
                                    .a_pitch = SCORE_ROW,
                                    .b = t->k + j * c,
                                    .b_row = c,
                                    .c = dq,
                                    .c_row = dq_row,
                                    .accumulate = some});
        some = true;
    }
    for (int64_t q = 0; q < m && !some; q++) memset(dq + q * dq_row, 0, (size_t)c * sizeof *dq);
}

static void BITS(backward_head)(const struct run *r, const struct attention_part *h, REAL *memory)
{
    struct BITS(desk) t;
    BITS(lay_out)(r->a, true, memory, &t);
    BITS(backward_begin)(r, h, &t);
    for (int64_t i = 0; i < r->a->queries; i += QUERIES) {
        const int64_t left = r->a->queries - i;
        BITS(backward_block)(r, h, i, left < QUERIES ? left : QUERIES, &t);
    }
    BITS(backward_end)(r, h, &t);
}
