/* attention_run.c - attention without its matrix of scores, forward and back.
 *
 * Forward (Dao et al., "FlashAttention", 2022; Rabe and Staats, "Self-attention does not need
 * O(n^2) memory", 2021): a block of queries meets one block of keys after another; maximum and sum
 * are carried along, what was added up before is rescaled. Kept for the way back: the logarithm of
 * each query's sum. Back: scores are computed once more, block by block.
 *
 * Ceiling: 2 (C + V) Lq Lk flops a sample forward, (6 C + 4 V) Lq Lk back, at the gemm leaf's speed
 * for products as deep as a head is wide, beside one exponential a score.
 *
 * Tasks are blocks of queries of one head forward, heads back: each writes its own part of every
 * result. Heads that share a bias which needs a gradient are one task, in order. So no bit depends
 * on the number of threads.
 */
#include <math.h>
#include <string.h>

#include "graph/ops/attention.h"
#include "graph/ops/op.h"

enum { QUERIES = 64, KEYS = 256, TRANSPOSE_KEYS = 64 };

struct run {
    const struct exec *e;
    const struct attention_attr *a;
    sunup_dtype dtype;
    void *k_transposed, *v_transposed; /* [N][heads][channels of a head][keys] */
    void *scratch;                     /* [threads] */
    int64_t tasks, blocks;             /* blocks of queries in a head */
    int64_t sharing_n, sharing_heads;  /* backward: samples and heads in one task */
};
struct head {
    int64_t sample, head;
};
struct block { /* queries [i, i + m), keys [j, j + n) */
    int64_t i, m, j, n;
};

/* No query of the block sees a key of it or behind it. */
static bool unseen(const struct attention_attr *a, const struct block *o)
{
    return a->causal && o->i + o->m + a->keys - a->queries <= o->j;
}

#define REAL    float
#define TABLE   f32
#define BITS(x) x##_f32
#include "graph/ops/attention_head.h"
#undef REAL
#undef TABLE
#undef BITS
#define REAL    double
#define TABLE   f64
#define BITS(x) x##_f64
#include "graph/ops/attention_head.h"

/* ---- transposed copies ---- */

struct transposing {
    const void *x;
    void *y;
    int64_t keys, heads, d, bytes, blocks;
};

static void transpose_block(void *arg, int64_t i)
{
    const struct transposing *t = arg;
    const int64_t head = i / t->blocks % t->heads, sample = i / t->blocks / t->heads;
    const int64_t from = i % t->blocks * TRANSPOSE_KEYS, left = t->keys - from;
    const int64_t n = left < TRANSPOSE_KEYS ? left : TRANSPOSE_KEYS, width = t->heads * t->d;
    const int64_t x_at = (sample * t->keys + from) * width + head * t->d;
    const int64_t y_at = (sample * t->heads + head) * t->d * t->keys + from;
    for (int64_t c = 0; c < t->d; c++)
        for (int64_t k = 0; k < n; k++)
            if (t->bytes == 4)
                ((float *)t->y)[y_at + c * t->keys + k] =
                    ((const float *)t->x)[x_at + k * width + c];
            else
                ((double *)t->y)[y_at + c * t->keys + k] =
                    ((const double *)t->x)[x_at + k * width + c];
}

static void transpose(const struct run *r, const void *x, int64_t width, void *y)
{
    const struct attention_attr *a = r->a;
    struct transposing t = {x,
                            y,
                            a->keys,
                            a->heads,
                            width / a->heads,
                            sunup_dtype_bytes(r->dtype),
                            (a->keys + TRANSPOSE_KEYS - 1) / TRANSPOSE_KEYS};
    sunup__parallel(r->e->threads, a->n * a->heads * t.blocks, transpose_block, &t);
}

/* ---- tasks: thread t does every tasks-th one, with scratch of its own ---- */

static int64_t scratch_bytes(sunup_dtype dtype)
{
    const size_t bytes =
        dtype == SUNUP_F64 ? sizeof(struct scratch_f64) : sizeof(struct scratch_f32);
    return ((int64_t)bytes + 63) / 64 * 64;
}

static void forward_task(const struct run *r, int64_t task, void *scratch)
{
    const struct attention_attr *a = r->a;
    const int64_t i = task % r->blocks * QUERIES, left = a->queries - i,
                  m = left < QUERIES ? left : QUERIES, at = task / r->blocks;
    const struct head h = {at / a->heads, at % a->heads};
    if (r->dtype == SUNUP_F64)
        forward_block_f64(r, &h, i, m, scratch);
    else
        forward_block_f32(r, &h, i, m, scratch);
}

static void backward_head(const struct run *r, const struct head *h, void *scratch)
{
    for (int64_t i = 0; i < r->a->queries; i += QUERIES) {
        const int64_t left = r->a->queries - i, m = left < QUERIES ? left : QUERIES;
        if (r->dtype == SUNUP_F64)
            backward_block_f64(r, h, i, m, scratch);
        else
            backward_block_f32(r, h, i, m, scratch);
    }
}

static void backward_task(const struct run *r, int64_t task, void *scratch)
{
    const int64_t across = r->a->heads / r->sharing_heads;
    const int64_t sample = task / across * r->sharing_n, head = task % across * r->sharing_heads;
    for (int64_t s = 0; s < r->sharing_n; s++)
        for (int64_t g = 0; g < r->sharing_heads; g++)
            backward_head(r, &(struct head){sample + s, head + g}, scratch);
}

static void forward_thread(void *arg, int64_t thread)
{
    const struct run *r = arg;
    for (int64_t task = thread; task < r->tasks; task += r->e->threads)
        forward_task(r, task, (char *)r->scratch + thread * scratch_bytes(r->dtype));
}

static void backward_thread(void *arg, int64_t thread)
{
    const struct run *r = arg;
    for (int64_t task = thread; task < r->tasks; task += r->e->threads)
        backward_task(r, task, (char *)r->scratch + thread * scratch_bytes(r->dtype));
}

/* ---- runs ---- */

static int64_t copy_bytes(const struct node *n, const struct attention_attr *a, int64_t width)
{
    const int64_t bytes = a->n * a->keys * width * sunup_dtype_bytes(n->out[0]->dtype);
    return (bytes + 63) / 64 * 64;
}

int64_t sunup__attention_workspace(const struct node *n, int threads)
{
    const struct attention_attr *a = n->attr;
    return copy_bytes(n, a, a->c) + threads * scratch_bytes(n->out[0]->dtype);
}

int64_t sunup__attention_grad_workspace(const struct node *n, int threads)
{
    const struct attention_attr *a = n->attr;
    return sunup__attention_workspace(n, threads) + copy_bytes(n, a, a->v);
}

sunup_status sunup__attention_run(const struct node *n, const struct exec *e)
{
    struct run r = {.e = e, .a = n->attr, .dtype = n->out[0]->dtype, .k_transposed = e->workspace};
    r.scratch = (char *)e->workspace + copy_bytes(n, r.a, r.a->c);
    r.blocks = (r.a->queries + QUERIES - 1) / QUERIES;
    r.tasks = r.a->n * r.a->heads * r.blocks;
    transpose(&r, e->in[1], r.a->c, r.k_transposed);
    sunup__parallel(e->threads, e->threads, forward_thread, &r);
    return SUNUP_OK;
}

sunup_status sunup__attention_grad_run(const struct node *n, const struct exec *e)
{
    const struct attention_attr *a = n->attr;
    struct run r = {.e = e, .a = a, .dtype = n->out[0]->dtype, .k_transposed = e->workspace};
    r.v_transposed = (char *)e->workspace + copy_bytes(n, a, a->c);
    r.scratch = (char *)r.v_transposed + copy_bytes(n, a, a->v);
    const bool shared = e->in[3] && e->out[3];
    r.sharing_n = shared && a->bias_n == 0 ? a->n : 1;
    r.sharing_heads = shared && a->bias_heads == 0 ? a->heads : 1;
    r.tasks = a->n / r.sharing_n * (a->heads / r.sharing_heads);
    for (int i = 0; i < 4; i++)
        if (e->out[i]) sunup__zero(e->out[i], r.dtype, sunup__elements(&n->out[i]->shape));
    transpose(&r, e->in[1], a->c, r.k_transposed);
    transpose(&r, e->in[2], a->v, r.v_transposed);
    sunup__parallel(e->threads, e->threads, backward_thread, &r);
    return SUNUP_OK;
}
