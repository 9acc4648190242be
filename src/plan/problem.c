/* problem.c - what a node is called in tuning files, tables and benchmarks: a function of op, sizes
 * and type only.
 *
 *   conv:n16h56w56c64k64r3s3:f32           stride, dilation, padding, groups follow where they are
 *   not plain:
 *   conv:n16h56w56c64k64r3s3:stride2x2:pad1x1:to28x28:f32
 *   matmul:m64n48k300:tb:f32, linear:m64n10k128:f32
 *   any other op: softmax:64x10:f32, with all operands' shapes
 *
 * Two nodes with one text may differ in what no choice depends on (a layer's name, a constant),
 * never in size.
 */
#include <stdarg.h>
#include <stdio.h>

#include "graph/ops/conv.h"
#include "graph/ops/matmul.h"
#include "graph/ops/pool.h"
#include "plan/stages.h"

struct room {
    char *s;
    size_t n, room; /* a text that does not fit is cut: still a name, if not a unique one */
};

__attribute__((format(printf, 2, 3))) static void put(struct room *r, const char *format, ...)
{
    if (r->n + 1 >= r->room) return;
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(r->s + r->n, r->room - r->n, format, args);
    va_end(args);
    if (n > 0) r->n += (size_t)n;
    if (r->n >= r->room) r->n = r->room - 1;
}

/* "n16h56w56c64": letters for the space axes in use, which are the last of D H W. */
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

static void put_window(struct room *r, const struct window *w, int space, int64_t n)
{
    put(r, ":n%lld", (long long)n);
    put_axes(r, "dhw", w->in, space);
    put(r, "c%lldk%lld", (long long)w->c, (long long)w->k);
    put_axes(r, "trs", w->taps, space);
    if (!all(w->stride, 1)) put_each(r, ":stride", w->stride, space);
    if (!all(w->dilation, 1)) put_each(r, ":dilation", w->dilation, space);
    if (!all(w->before, 0)) put_each(r, ":pad", w->before, space);
    bool plain = true;
    for (int i = 0; i < 3; i++)
        plain = plain && w->out[i] == w->in[i] - w->dilation[i] * (w->taps[i] - 1);
    if (!plain) put_each(r, ":to", w->out, space);
    if (w->groups > 1) put(r, ":groups%lld", (long long)w->groups);
    if (w->circular) put(r, ":circular");
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

static void put_matmul(struct room *r, const struct matmul_attr *a)
{
    put_product(r, a->m, a->n, a->k);
    if (a->batch != 1) put(r, ":batch%lld", (long long)a->batch);
    if (a->flags & SUNUP_TRANSPOSE_A) put(r, ":ta");
    if (a->flags & SUNUP_TRANSPOSE_B) put(r, ":tb");
}

static void put_shapes(struct room *r, const struct node *n)
{
    for (int i = 0; i < n->n_in; i++) {
        put(r, i == 0 ? ":" : ",");
        if (n->in[i] == NULL) put(r, "-");
        for (int k = 0; n->in[i] != NULL && k < n->in[i]->shape.n; k++)
            put(r, k == 0 ? "%lld" : "x%lld", (long long)n->in[i]->shape.d[k]);
    }
    if (n->op == &sunup__op_chain) put(r, ":%d", ((const struct chain_attr *)n->attr)->n_steps);
}

void sunup__problem_text(const struct node *n, char *room, size_t room_bytes)
{
    struct room r = {room, 0, room_bytes};
    const struct op *op = n->op;
    put(&r, "%s", op->name);
    if (op == &sunup__op_conv || op == &sunup__op_conv_weight_grad ||
        op == &sunup__op_conv_data_grad) {
        const struct conv_attr *a = n->attr;
        const sunup_value *image = op == &sunup__op_conv_data_grad ? n->in[1] : n->in[0];
        put_window(&r, &a->w, a->space, image->shape.d[0]);
    } else if (op == &sunup__op_linear) {
        put_linear(&r, n);
    } else if (op == &sunup__op_matmul) {
        put_matmul(&r, n->attr);
    } else if (op == &sunup__op_max_pool || op == &sunup__op_avg_pool) {
        const struct pool_attr *a = n->attr;
        put_window(&r, &a->w, a->space, n->in[0]->shape.d[0]);
    } else {
        put_shapes(&r, n);
    }
    put(&r, ":%s", sunup_dtype_name(n->out[0]->dtype));
}
