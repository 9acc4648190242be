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
 * Tasks are heads: each writes its own part of every result. Forward, if there are few heads for
 * the threads, a head is several tasks, which take its blocks of queries in turn; a block's result
 * does not depend on it. Back, heads that share a bias which needs a gradient are one task, in
 * order. So no bit depends on the number of threads.
 */
#include <math.h>
#include <string.h>

#include "graph/ops/attention.h"
#include "graph/ops/op.h"

enum { QUERIES = 64, KEYS = 256, LINE = 16, SCORE_ROW = KEYS + LINE, TASKS_A_THREAD = 4 };

struct run {
    const struct exec *e;
    const struct attention_attr *a;
    sunup_dtype dtype;
};
struct block { /* queries [i, i + m), keys [j, j + n) */
    int64_t i, m, j, n;
};

/* Elements from one row of transposed keys to the next: an odd number of lines. */
static int64_t key_row(const struct attention_attr *a)
{
    const int64_t lines = (a->keys + LINE - 1) / LINE;
    return (lines | 1) * LINE;
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

/* ---- tasks: a desk for each thread ---- */

static int64_t desk_bytes(const struct attention_attr *a, bool back, sunup_dtype dtype)
{
    const int64_t n = dtype == SUNUP_F64 ? lay_out_f64(a, back, NULL, &(struct desk_f64){0})
                                         : lay_out_f32(a, back, NULL, &(struct desk_f32){0});
    return n * sunup_dtype_bytes(dtype);
}

static void *desk_of(const struct run *r, bool back, int64_t thread)
{
    return (char *)r->e->workspace + thread * desk_bytes(r->a, back, r->dtype);
}

static void forward_part(void *arg, int64_t thread, const struct attention_part *p)
{
    const struct run *r = arg;
    if (r->dtype == SUNUP_F64)
        forward_head_f64(r, p, desk_of(r, false, thread));
    else
        forward_head_f32(r, p, desk_of(r, false, thread));
}

static void backward_part(void *arg, int64_t thread, const struct attention_part *p)
{
    const struct run *r = arg;
    if (r->dtype == SUNUP_F64)
        backward_head_f64(r, p, desk_of(r, true, thread));
    else
        backward_head_f32(r, p, desk_of(r, true, thread));
}

struct tasks {
    const struct attention_attr *a;
    int threads;
    attention_task *task;
    void *arg;
    int64_t parts;                    /* forward: of a head */
    int64_t sharing_n, sharing_heads; /* back: samples and heads of one task */
    int64_t count;
};

static struct attention_part forward_part_of(const struct tasks *t, int64_t i)
{
    const int64_t at = i / t->parts;
    return (struct attention_part){at / t->a->heads, at % t->a->heads, i % t->parts, t->parts, NULL};
}

static void forward_thread(void *arg, int64_t thread)
{
    const struct tasks *t = arg;
    for (int64_t i = thread; i < t->count; i += t->threads) {
        const struct attention_part next = forward_part_of(t, i + t->threads);
        struct attention_part part = forward_part_of(t, i);
        if (i + t->threads < t->count) part.next = &next;
        t->task(t->arg, thread, &part);
    }
}

/* Head number i of those of a task, one after the other. */
static struct attention_part backward_part_of(const struct tasks *t, int64_t task, int64_t i)
{
    const int64_t across = t->a->heads / t->sharing_heads;
    return (struct attention_part){task / across * t->sharing_n + i / t->sharing_heads,
                                   task % across * t->sharing_heads + i % t->sharing_heads, 0, 1, NULL};
}

static void backward_thread(void *arg, int64_t thread)
{
    const struct tasks *t = arg;
    const int64_t sharing = t->sharing_n * t->sharing_heads;
    const int64_t all = thread < t->count ? ((t->count - 1 - thread) / t->threads + 1) * sharing : 0;
    for (int64_t i = 0; i < all; i++) {
        const int64_t at = i + 1;
        const struct attention_part next =
            backward_part_of(t, thread + at / sharing * t->threads, at % sharing);
        struct attention_part part = backward_part_of(t, thread + i / sharing * t->threads, i % sharing);
        if (at < all) part.next = &next;
        t->task(t->arg, thread, &part);
    }
}

void sunup__attention_forward(const struct attention_attr *a, int threads, int64_t queries,
                              attention_task *task, void *arg)
{
    const int64_t heads = a->n * a->heads, blocks = (a->queries + queries - 1) / queries;
    const int64_t wanted = heads > 0 ? (threads * TASKS_A_THREAD + heads - 1) / heads : 1;
    struct tasks t = {.a = a, .threads = threads, .task = task, .arg = arg};
    t.parts = wanted < blocks ? wanted : blocks > 0 ? blocks : 1;
    t.count = heads * t.parts;
    sunup__parallel(threads, threads, forward_thread, &t);
}

void sunup__attention_backward(const struct attention_attr *a, int threads, bool bias_gradient,
                               attention_task *task, void *arg)
{
    struct tasks t = {.a = a, .threads = threads, .task = task, .arg = arg};
    t.sharing_n = bias_gradient && a->bias_n == 0 ? a->n : 1;
    t.sharing_heads = bias_gradient && a->bias_heads == 0 ? a->heads : 1;
    t.count = a->n / t.sharing_n * (a->heads / t.sharing_heads);
    sunup__parallel(threads, threads, backward_thread, &t);
}

/* ---- runs ---- */

int64_t sunup__attention_workspace(const struct node *n, int threads)
{
    return threads * desk_bytes(n->attr, false, n->out[0]->dtype);
}

int64_t sunup__attention_grad_workspace(const struct node *n, int threads)
{
    return threads * desk_bytes(n->attr, true, n->out[0]->dtype);
}

sunup_status sunup__attention_run(const struct node *n, const struct exec *e)
{
    struct run r = {.e = e, .a = n->attr, .dtype = n->out[0]->dtype};
    sunup__attention_forward(r.a, e->threads, QUERIES, forward_part, &r);
    return SUNUP_OK;
}

sunup_status sunup__attention_grad_run(const struct node *n, const struct exec *e)
{
    struct run r = {.e = e, .a = n->attr, .dtype = n->out[0]->dtype};
    if (e->out[3]) sunup__zero(e->out[3], r.dtype, sunup__elements(&n->out[3]->shape));
    sunup__attention_backward(r.a, e->threads, e->in[3] && e->out[3], backward_part, &r);
    return SUNUP_OK;
}
