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
    int64_t tasks, parts;             /* forward: tasks of a head */
    int64_t sharing_n, sharing_heads; /* back: samples and heads in one task */
};
struct head {
    int64_t sample, head;
};
struct block { /* queries [i, i + m), keys [j, j + n) */
    int64_t i, m, j, n;
};

/* Keys that the last of queries [i, i + m) sees, and so all that any of them does. */
static int64_t keys_seen(const struct attention_attr *a, int64_t i, int64_t m)
{
    const int64_t n = a->causal ? i + m + a->keys - a->queries : a->keys;
    return n < 0 ? 0 : n < a->keys ? n : a->keys;
}

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

/* ---- tasks: thread t does every threads-th one, at a desk of its own ---- */

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

static void forward_task(const struct run *r, int64_t task, void *memory)
{
    const int64_t at = task / r->parts, part = task % r->parts;
    const struct head h = {at / r->a->heads, at % r->a->heads};
    if (r->dtype == SUNUP_F64)
        forward_head_f64(r, &h, part, memory);
    else
        forward_head_f32(r, &h, part, memory);
}

static void backward_task(const struct run *r, int64_t task, void *memory)
{
    const int64_t across = r->a->heads / r->sharing_heads;
    const int64_t sample = task / across * r->sharing_n, head = task % across * r->sharing_heads;
    for (int64_t s = 0; s < r->sharing_n; s++) {
        for (int64_t g = 0; g < r->sharing_heads; g++) {
            const struct head h = {sample + s, head + g};
            if (r->dtype == SUNUP_F64)
                backward_head_f64(r, &h, memory);
            else
                backward_head_f32(r, &h, memory);
        }
    }
}

static void forward_thread(void *arg, int64_t thread)
{
    const struct run *r = arg;
    for (int64_t task = thread; task < r->tasks; task += r->e->threads)
        forward_task(r, task, desk_of(r, false, thread));
}

static void backward_thread(void *arg, int64_t thread)
{
    const struct run *r = arg;
    for (int64_t task = thread; task < r->tasks; task += r->e->threads)
        backward_task(r, task, desk_of(r, true, thread));
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
    const struct attention_attr *a = n->attr;
    struct run r = {.e = e, .a = a, .dtype = n->out[0]->dtype};
    const int64_t heads = a->n * a->heads, blocks = (a->queries + QUERIES - 1) / QUERIES;
    const int64_t wanted = heads > 0 ? (e->threads * TASKS_A_THREAD + heads - 1) / heads : 1;
    r.parts = wanted < blocks ? wanted : blocks > 0 ? blocks : 1;
    r.tasks = heads * r.parts;
    sunup__parallel(e->threads, e->threads, forward_thread, &r);
    return SUNUP_OK;
}

sunup_status sunup__attention_grad_run(const struct node *n, const struct exec *e)
{
    const struct attention_attr *a = n->attr;
    struct run r = {.e = e, .a = a, .dtype = n->out[0]->dtype};
    const bool shared = e->in[3] && e->out[3];
    r.sharing_n = shared && a->bias_n == 0 ? a->n : 1;
    r.sharing_heads = shared && a->bias_heads == 0 ? a->heads : 1;
    r.tasks = a->n / r.sharing_n * (a->heads / r.sharing_heads);
    if (e->out[3]) sunup__zero(e->out[3], r.dtype, sunup__elements(&n->out[3]->shape));
    sunup__parallel(e->threads, e->threads, backward_thread, &r);
    return SUNUP_OK;
}
