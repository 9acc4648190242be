/* problem.c - what a node is called in tuning files, tables and benchmarks: a function of op, sizes
 * and type only. problem_read.c is the way back.
 *
 *   conv:n16h56w56c64k64r3s3:f32           stride, dilation, padding, groups, bias follow where they
 *   are not plain:
 *   conv:n16h56w56c64k64r3s3:stride2x2:pad1x1:to28x28:f32
 *   max_pool:n16h112w112c64r3s3:stride2x2:pad1x1:to56x56:f32
 *   matmul:m64n48k300:tb:f32, linear:m64n10k128:bias:f32
 *   any other op: softmax:64x10:f32, with all operands' shapes, "-" for one that is absent
 *   chain:64x10,10:add.0.1+relu.2:f32      steps over registers: operands first, then results
 *
 * Two nodes with one text may differ in what no choice depends on (a layer's name, a constant),
 * never in size. A text that does not fit its room ends in the CRC-32 of the whole.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "graph/ops/attention.h"
#include "graph/ops/channel_norm.h"
#include "graph/ops/conv.h"
#include "graph/ops/layer_norm.h"
#include "graph/ops/matmul.h"
#include "graph/ops/pointwise.h"
#include "graph/ops/pool.h"
#include "plan/stages.h"

enum { LONGEST = 4096 }; /* of any text before it is cut */

struct room {
    char s[LONGEST];
    size_t n;
};

__attribute__((format(printf, 2, 3))) static void put(struct room *r, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(r->s + r->n, sizeof r->s - r->n, format, args);
    va_end(args);
    if (n > 0) r->n += (size_t)n;
    if (r->n >= sizeof r->s) r->n = sizeof r->s - 1;
}

/* "h56w56": letters for the space axes in use, which are the last of D H W. */
static void put_axes(struct room *r, const char *letters, const int64_t size[3], int space)
{
    for (int i = 3 - space; i < 3; i++) put(r, "%c%lld", letters[i], (long long)size[i]);
}

static void put_each(struct room *r, const char *word, const int64_t x[3], int space)
{
    for (int i = 3 - space; i < 3; i++)
        put(r, "%s%lld", i == 3 - space ? word : "x", (long long)x[i]);
}

static bool all(const int64_t x[3], int64_t value)
{
    return x[0] == value && x[1] == value && x[2] == value;
}

/* What follows the sizes. */
static void put_geometry(struct room *r, const struct window *w, int space)
{
    if (!all(w->stride, 1)) put_each(r, ":stride", w->stride, space);
    if (!all(w->dilation, 1)) put_each(r, ":dilation", w->dilation, space);
    if (!all(w->before, 0)) put_each(r, ":pad", w->before, space);
    bool plain = true;
    for (int i = 0; i < 3; i++)
        plain = plain && w->out[i] == w->in[i] - w->dilation[i] * (w->taps[i] - 1);
    if (!plain) put_each(r, ":to", w->out, space);
}

static void put_conv(struct room *r, const struct node *n)
{
    const struct conv_attr *a = n->attr;
    const struct window *w = &a->w;
    const sunup_value *image = n->op == &sunup__op_conv_data_grad ? n->in[1] : n->in[0];
    put(r, ":n%lld", (long long)image->shape.d[0]);
    put_axes(r, "dhw", w->in, a->space);
    put(r, "c%lldk%lld", (long long)w->c, (long long)w->k);
    put_axes(r, "trs", w->taps, a->space);
    put_geometry(r, w, a->space);
    if (w->groups > 1) put(r, ":groups%lld", (long long)w->groups);
    if (w->circular) put(r, ":circular");
    if (n->op == &sunup__op_conv && n->n_in > 2 && n->in[2] != NULL) put(r, ":bias");
}

static void put_pool(struct room *r, const struct node *n)
{
    const struct pool_attr *a = n->attr;
    put(r, ":n%lld", (long long)n->in[0]->shape.d[0]);
    put_axes(r, "dhw", a->w.in, a->space);
    put(r, "c%lld", (long long)a->w.c);
    put_axes(r, "trs", a->w.taps, a->space);
    put_geometry(r, &a->w, a->space);
    const bool mean = n->op == &sunup__op_avg_pool || n->op == &sunup__op_avg_pool_grad;
    if (mean && a->w.count_pad) put(r, ":count");
}

static void put_product(struct room *r, int64_t m, int64_t n, int64_t k)
{
    put(r, ":m%lldn%lldk%lld", (long long)m, (long long)n, (long long)k);
}

static void put_linear(struct room *r, const struct node *n)
{
    const sunup_shape *w = &n->in[1]->shape;
    const int64_t m = w->d[1] > 0 ? sunup__elements(&n->out[0]->shape) / w->d[1] : 0;
    put_product(r, m, w->d[1], w->d[0]);
    if (n->n_in > 2 && n->in[2] != NULL) put(r, ":bias");
}

static void put_matmul(struct room *r, const struct node *n)
{
    const struct matmul_attr *a = n->attr;
    put_product(r, a->m, a->n, a->k);
    if (a->batch != 1) put(r, ":batch%lld", (long long)a->batch);
    if (a->batch != 1 && a->a_step == 0) put(r, ":one_a");
    if (a->batch != 1 && a->b_step == 0) put(r, ":one_b");
    if (a->flags & SUNUP_TRANSPOSE_A) put(r, ":ta");
    if (a->flags & SUNUP_TRANSPOSE_B) put(r, ":tb");
}

static void put_chain(struct room *r, const struct chain_attr *a, int n_in)
{
    for (int t = 0; t < a->n_steps; t++) {
        const struct chain_step *s = &a->steps[t];
        put(r, "%c%s", t == 0 ? ':' : '+', sunup__pointwise_op(s->code)->name);
        const int reads[3] = {s->a, s->b, s->c};
        for (int k = 0; k < 3; k++)
            if (reads[k] >= 0) put(r, ".%d", reads[k]);
    }
    const bool last_only = a->n_out == 1 && a->out[0] == n_in + a->n_steps - 1;
    for (int o = 0; o < a->n_out && !last_only; o++)
        put(r, "%s%d", o == 0 ? ":out" : ".", a->out[o]);
}

/* Passes of a norm say it only where a group has several channels. */
static void put_groups(struct room *r, const struct node *n)
{
    const struct channel_norm_attr *a = n->attr; /* the sums' begins with it */
    const bool norm = n->op == &sunup__op_group_norm || n->op == &sunup__op_group_norm_grad,
               pass =
                   n->op == &sunup__op_batch_norm_statistics || n->op == &sunup__op_batch_norm_sums;
    if (norm || (pass && a->groups < a->c)) put(r, ":groups%lld", (long long)a->groups);
}

static void put_shapes(struct room *r, const struct node *n)
{
    for (int i = 0; i < n->n_in; i++) {
        put(r, i == 0 ? ":" : ",");
        if (n->in[i] == NULL) put(r, "-");
        if (n->in[i] != NULL && n->in[i]->shape.n == 0) put(r, "scalar");
        for (int k = 0; n->in[i] != NULL && k < n->in[i]->shape.n; k++)
            put(r, k == 0 ? "%lld" : "x%lld", (long long)n->in[i]->shape.d[k]);
    }
    if (n->op == &sunup__op_chain) put_chain(r, n->attr, n->n_in);
    if (n->op == &sunup__op_batch_norm_sums)
        put_chain(r, &((const struct channel_sums_attr *)n->attr)->before, n->n_in - SUMS_OPERANDS);
    if (n->op == &sunup__op_layer_norm || n->op == &sunup__op_layer_norm_grad) {
        const int axes = ((const struct layer_norm_attr *)n->attr)->axes;
        if (axes != 1) put(r, ":axes%d", axes);
    }
    if (n->op == &sunup__op_attention || n->op == &sunup__op_attention_grad) {
        const struct attention_attr *a = n->attr;
        if (a->heads != 1) put(r, ":heads%lld", (long long)a->heads);
        if (a->causal) put(r, ":causal");
    }
    put_groups(r, n);
}

static const struct {
    const struct op *op;
    void (*put)(struct room *r, const struct node *n);
} special[] = {
    {&sunup__op_conv, put_conv},
    {&sunup__op_conv_data_grad, put_conv},
    {&sunup__op_conv_weight_grad, put_conv},
    {&sunup__op_max_pool, put_pool},
    {&sunup__op_max_pool_grad, put_pool},
    {&sunup__op_avg_pool, put_pool},
    {&sunup__op_avg_pool_grad, put_pool},
    {&sunup__op_linear, put_linear},
    {&sunup__op_matmul, put_matmul},
};

void sunup__problem_text(const struct node *n, char *room, size_t room_bytes)
{
    struct room r = {.n = 0};
    put(&r, "%s", n->op->name);
    size_t i = 0;
    while (i < sizeof special / sizeof *special && special[i].op != n->op) i++;
    (i < sizeof special / sizeof *special ? special[i].put : put_shapes)(&r, n);
    put(&r, ":%s", sunup_dtype_name(n->out[0]->dtype));
    snprintf(room, room_bytes, "%s", r.s);
    enum { MARK = 10 }; /* "#1a2b3c4d" and the end */
    if (r.n < room_bytes || room_bytes < 2 * MARK) return;
    snprintf(room + room_bytes - MARK, MARK, "#%08x", sunup__crc32(r.s, r.n, 0));
}
