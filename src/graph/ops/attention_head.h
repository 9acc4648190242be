/* attention_head.h - one head of attention, forward and back; included once for each element type
 * with REAL and BITS(x) defined (attention_run.c).
 *
 * Scores exist for one block of QUERIES x KEYS at a time, in the task's own scratch: 64 x 256 floats
 * and the block of k and v fit into a 1 MB L2 beside it. k and v come transposed by head for the
 * products that need their columns as rows.
 */

struct BITS(scratch) {
    REAL s[QUERIES * KEYS], dp[QUERIES * KEYS];
    REAL max[QUERIES], sum[QUERIES], shrink[QUERIES], delta[QUERIES];
};

static void BITS(gemm)(const struct run *r, const struct BITS(gemm) * g)
{
    r->e->kernels->TABLE.gemm(g);
}

/* Rows [i, i + m) of q times k of block [j, j + n), from the transposed copy. */
static void BITS(scores)(const struct run *r, const struct head *h, const struct block *o,
                         const void *a, const void *transposed, int64_t width, REAL *s)
{
    const int64_t d = width / r->a->heads, keys = r->a->keys;
    BITS(gemm)
    (r, &(struct BITS(gemm)){
            .m = o->m,
            .n = o->n,
            .k = d,
            .batch = 1,
            .a = (const REAL *)a + (h->sample * r->a->queries + o->i) * width + h->head * d,
            .a_row = width,
            .a_col = 1,
            .b = (const REAL *)transposed + (h->sample * r->a->heads + h->head) * d * keys + o->j,
            .b_row = keys,
            .c = s,
            .c_row = o->n});
}

/* What the leaf must know of a block: the first key that row o->i does not see, relative to o->j. */
static struct BITS(attention)
    BITS(block_of)(const struct run *r, const struct head *h, const struct block *o)
{
    const struct attention_attr *a = r->a;
    const REAL *bias = r->e->in[3];
    return (struct BITS(attention)){
        .rows = o->m,
        .n = o->n,
        .see = a->causal ? o->i + 1 + a->keys - a->queries - o->j : a->keys,
        .scale = (REAL)a->scale,
        .bias = bias
                    ? bias + h->sample * a->bias_n + h->head * a->bias_heads + o->i * a->keys + o->j
                    : NULL,
        .bias_row = a->keys};
}

static void BITS(forward_block)(const struct run *r, const struct head *h, int64_t i, int64_t m,
                                struct BITS(scratch) * t)
{
    const struct attention_attr *a = r->a;
    const int64_t width = a->v, d = width / a->heads;
    REAL *y = (REAL *)r->e->out[0] + (h->sample * a->queries + i) * width + h->head * d;
    for (int64_t q = 0; q < m; q++) {
        t->max[q] = (REAL)-INFINITY;
        t->sum[q] = 0;
        for (int64_t c = 0; c < d; c++) y[q * width + c] = 0;
    }
    for (int64_t j = 0; j < a->keys; j += KEYS) {
        const struct block o = {i, m, j, a->keys - j < KEYS ? a->keys - j : KEYS};
        if (unseen(a, &o)) break;
        const struct BITS(attention) leaf = BITS(block_of)(r, h, &o);
        BITS(scores)(r, h, &o, r->e->in[0], r->k_transposed, a->c, t->s);
        r->e->kernels->TABLE.attention_scores(&leaf, t->s, t->max, t->sum, t->shrink);
        for (int64_t q = 0; q < m && j > 0; q++)
            for (int64_t c = 0; c < d; c++) y[q * width + c] *= t->shrink[q];
        BITS(gemm)
        (r, &(struct BITS(gemm)){.m = m,
                                 .n = d,
                                 .k = o.n,
                                 .batch = 1,
                                 .a = t->s,
                                 .a_row = o.n,
                                 .a_col = 1,
                                 .b = (const REAL *)r->e->in[2] +
                                      (h->sample * a->keys + j) * width + h->head * d,
                                 .b_row = width,
                                 .c = y,
                                 .c_row = width,
                                 .accumulate = true});
    }
    REAL *lse = (REAL *)r->e->out[1] + (h->sample * a->heads + h->head) * a->queries + i;
    for (int64_t q = 0; q < m; q++) {
        const REAL sum = t->sum[q];
        for (int64_t c = 0; c < d && sum != 0; c++) y[q * width + c] /= sum;
        if (r->e->out[1])
            lse[q] = sum != 0 ? (REAL)(t->max[q] + (REAL)log((double)sum)) : (REAL)-INFINITY;
    }
}

/* C (+)= A' B for a block: rows of C are its keys (transposed scores) or its queries. */
static void BITS(add_keys)(const struct run *r, const struct head *h, const struct block *o,
                           const REAL *s, const void *from, void *to, int64_t width)
{
    const int64_t d = width / r->a->heads;
    BITS(gemm)
    (r, &(struct BITS(gemm)){
            .m = o->n,
            .n = d,
            .k = o->m,
            .batch = 1,
            .a = s,
            .a_row = 1,
            .a_col = o->n,
            .b = (const REAL *)from + (h->sample * r->a->queries + o->i) * width + h->head * d,
            .b_row = width,
            .c = (REAL *)to + (h->sample * r->a->keys + o->j) * width + h->head * d,
            .c_row = width,
            .accumulate = true});
}

/* delta = sum over the head's channels of y dy: what the softmax takes off. */
static void BITS(fill_delta)(const struct run *r, const struct head *h, int64_t i, int64_t m,
                             REAL *delta)
{
    const int64_t width = r->a->v, d = width / r->a->heads;
    const int64_t at = (h->sample * r->a->queries + i) * width + h->head * d;
    const REAL *y = (const REAL *)r->e->in[4] + at, *dy = (const REAL *)r->e->in[6] + at;
    for (int64_t q = 0; q < m; q++) {
        double sum = 0;
        for (int64_t c = 0; c < d; c++) sum += (double)y[q * width + c] * (double)dy[q * width + c];
        delta[q] = (REAL)sum;
    }
}

static void BITS(backward_block)(const struct run *r, const struct head *h, int64_t i, int64_t m,
                                 struct BITS(scratch) * t)
{
    const struct attention_attr *a = r->a;
    void *const *in = r->e->in, *const *out = r->e->out;
    const REAL *lse = (const REAL *)in[5] + (h->sample * a->heads + h->head) * a->queries + i;
    const int64_t d = a->c / a->heads;
    BITS(fill_delta)(r, h, i, m, t->delta);
    for (int64_t j = 0; j < a->keys; j += KEYS) {
        const struct block o = {i, m, j, a->keys - j < KEYS ? a->keys - j : KEYS};
        if (unseen(a, &o)) break;
        const struct BITS(attention) leaf = BITS(block_of)(r, h, &o);
        REAL *dbias = NULL;
        if (out[3] && leaf.bias) dbias = (REAL *)out[3] + (leaf.bias - (const REAL *)in[3]);
        BITS(scores)(r, h, &o, in[0], r->k_transposed, a->c, t->s);
        BITS(scores)(r, h, &o, in[6], r->v_transposed, a->v, t->dp);
        r->e->kernels->TABLE.attention_grad(&leaf, lse, t->delta, t->s, t->dp, dbias);
        if (out[2]) BITS(add_keys)(r, h, &o, t->s, in[6], out[2], a->v);
        if (out[1]) BITS(add_keys)(r, h, &o, t->dp, in[0], out[1], a->c);
        BITS(gemm)
        (r, &(struct BITS(gemm)){
                .m = m,
                .n = d,
                .k = o.n,
                .batch = 1,
                .a = t->dp,
                .a_row = o.n,
                .a_col = 1,
                .b = (const REAL *)in[1] + (h->sample * a->keys + j) * a->c + h->head * d,
                .b_row = a->c,
                .c = (REAL *)out[0] + (h->sample * a->queries + i) * a->c + h->head * d,
                .c_row = a->c,
                .accumulate = true});
    }
}
