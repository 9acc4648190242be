/* problem_ops.c - what follows an op's name in a problem, op by op: from words to a node on inputs.
 *
 * Owes: every operand is an input of its own; gradients are made as the gradient rule makes them, then
 * put on inputs. Leaves: words and messages to problem_read.c, canonical texts to problem.c.
 */
#include <string.h>

#include "graph/ops/attention.h"
#include "graph/ops/channel_norm.h"
#include "graph/ops/conv.h"
#include "graph/ops/layer_norm.h"
#include "graph/ops/pointwise.h"
#include "graph/ops/pool.h"
#include "graph/ops/window.h"
#include "plan/problem_read.h"

static const int64_t ELEMENTS_MOST = (int64_t)1 << 36;

/* -------------------------------------------------------------------------- nodes --- */

static sunup_value *input(struct reader *r, const char *name, sunup_shape shape)
{
    int64_t n = 1;
    for (int i = 0; i < shape.n; i++) {
        if (n > ELEMENTS_MOST / shape.d[i])
            return sunup__graph_error(r->graph, SUNUP_E_ARGUMENT,
                                      "problem '%s': operand %s has more than 2^36 elements",
                                      r->text, name);
        n *= shape.d[i];
    }
    return sunup_input(r->graph, name, r->dtype, shape);
}

static sunup_value *node(struct reader *r, int n_in, sunup_value *const *in, const void *attr)
{
    return sunup__node(r->graph, r->op, n_in, in, attr, 0, NULL);
}

/* ----------------------------------------------------------------- windows over space --- */

struct geometry {
    struct window w;
    int64_t n, pad[3];
    int space;
    bool same, valid, to, padded, bias;
};

static sunup_status words_of_window(struct reader *r, struct geometry *g, bool conv)
{
    struct window *w = &g->w;
    while (sunup__read_more(r)) {
        const char *from = ++r->at;
        if (sunup__read_word(r, "stride"))
            TRY(sunup__read_each(r, g->space, 1, w->stride));
        else if (sunup__read_word(r, "pad")) {
            g->padded = true;
            TRY(sunup__read_each(r, g->space, 0, w->before));
        } else if (sunup__read_word(r, "to")) {
            g->to = true;
            TRY(sunup__read_each(r, g->space, 1, w->out));
        } else if (sunup__read_word(r, "same"))
            g->same = true;
        else if (sunup__read_word(r, "valid"))
            g->valid = true;
        else if (conv && sunup__read_word(r, "dilation"))
            TRY(sunup__read_each(r, g->space, 1, w->dilation));
        else if (conv && sunup__read_word(r, "groups"))
            TRY(sunup__read_number(r, 1, &w->groups));
        else if (conv && sunup__read_word(r, "circular"))
            w->circular = true;
        else if (r->op == &sunup__op_conv && sunup__read_word(r, "bias"))
            g->bias = true;
        else if (!conv && sunup__read_word(r, "count"))
            w->count_pad = true;
        else
            return sunup__read_wrong(
                r, from,
                conv ? "one of stride, dilation, pad, to, same, valid, groups, circular, "
                       "bias (of conv), or f32, f64 at the end"
                     : "one of stride, pad, to, same, valid, count, or f32, f64 at the end");
        if (!sunup__read_part_ended(r)) return sunup__read_wrong(r, r->at, "the end of this part");
    }
    return SUNUP_OK;
}

/* Output sizes from padding, where `to` does not give them. */
static sunup_status derive(const struct reader *r, struct geometry *g)
{
    struct window *w = &g->w;
    if (g->same + g->valid + (g->to || g->padded) > 1)
        RAISE(r->ctx, E_ARGUMENT, "problem '%s': one of same, valid and pad or to is enough",
              r->text);
    for (int i = 3 - g->space; i < 3; i++) {
        const int64_t reach = w->dilation[i] * (w->taps[i] - 1) + 1;
        if (g->same) {
            w->out[i] = (w->in[i] + w->stride[i] - 1) / w->stride[i];
            const int64_t pad = (w->out[i] - 1) * w->stride[i] + reach - w->in[i];
            w->before[i] = pad > 0 ? pad / 2 : 0;
        } else if (!g->to) {
            const int64_t room = w->in[i] + 2 * w->before[i] - reach;
            w->out[i] = room < 0 ? 0 : room / w->stride[i] + 1;
        }
        if (w->out[i] < 1)
            RAISE(r->ctx, E_ARGUMENT, "problem '%s': %lld taps do not fit into axis %c of %lld",
                  r->text, (long long)w->taps[i], "dhw"[i], (long long)w -> in[i]);
    }
    return SUNUP_OK;
}

/* letters: "ndhwcktrs"; without k for pooling it equals c. */
static sunup_status read_window(struct reader *r, struct geometry *g, bool conv)
{
    enum { N, D, H, W, C, T, R, S, K };
    int64_t size[9];
    *g = (struct geometry){.w = {.in = {1, 1, 1},
                                 .out = {1, 1, 1},
                                 .taps = {1, 1, 1},
                                 .stride = {1, 1, 1},
                                 .dilation = {1, 1, 1},
                                 .groups = 1}};
    const char *from = r->at + 1;
    TRY(sunup__read_sizes(r, conv ? "ndhwctrsk" : "ndhwctrs", size));
    g->space = size[D] > 0 ? 3 : size[H] > 0 ? 2 : 1;
    if (size[N] < 0 || size[C] < 0 || (conv && size[K] < 0))
        return sunup__read_wrong(r, from, conv ? "all of n, c, k" : "n and c");
    for (int i = 0; i < 3; i++) {
        const bool used = i >= 3 - g->space;
        if ((size[D + i] > 0) != used || (size[T + i] > 0) != used)
            return sunup__read_wrong(r, from, "w s, or h w r s, or d h w t r s");
        if (used) g->w.in[i] = size[D + i], g->w.taps[i] = size[T + i];
    }
    g->n = size[N];
    g->w.c = size[C];
    TRY(words_of_window(r, g, conv));
    g->w.k = conv ? size[K] : size[C];
    if (!conv) g->w.groups = size[C];
    if (g->w.c % g->w.groups != 0 || g->w.k % g->w.groups != 0)
        RAISE(r->ctx, E_ARGUMENT, "problem '%s': %lld groups do not divide c%lld and k%lld",
              r->text, (long long)g->w.groups, (long long)g->w.c, (long long)g->w.k);
    return derive(r, g);
}

static sunup_status read_conv(struct reader *r, sunup_value **v)
{
    struct geometry g;
    TRY(read_window(r, &g, true));
    const struct conv_attr attr = {.w = g.w, .space = g.space, .complete = true};
    sunup_shape taps = sunup__window_shape(-1, g.w.taps, g.space, g.w.c / g.w.groups);
    taps.d[taps.n++] = g.w.k;
    const sunup_shape x = sunup__window_shape(g.n, g.w.in, g.space, g.w.c),
                      y = sunup__window_shape(g.n, g.w.out, g.space, g.w.k);
    sunup_value *in[3] = {NULL};
    const bool weight = r->op == &sunup__op_conv_weight_grad, conv = r->op == &sunup__op_conv;
    in[0] = weight || conv ? input(r, "x", x) : input(r, "w", taps);
    in[1] = conv ? input(r, "w", taps) : input(r, "dy", y);
    if (g.bias) in[2] = input(r, "b", SUNUP_SHAPE(g.w.k));
    *v = node(r, conv ? 3 : 2, in, &attr);
    return SUNUP_OK;
}

static sunup_status read_pool(struct reader *r, sunup_value **v)
{
    struct geometry g;
    TRY(read_window(r, &g, false));
    const struct pool_attr attr = {.w = g.w, .space = g.space, .complete = true};
    const sunup_shape x = sunup__window_shape(g.n, g.w.in, g.space, g.w.c),
                      y = sunup__window_shape(g.n, g.w.out, g.space, g.w.c);
    sunup_value *in[2] = {NULL};
    int n = 0;
    if (r->op != &sunup__op_avg_pool_grad) in[n++] = input(r, "x", x);
    if (r->op == &sunup__op_max_pool_grad || r->op == &sunup__op_avg_pool_grad)
        in[n++] = input(r, "dy", y);
    *v = node(r, n, in, &attr);
    return SUNUP_OK;
}

/* ----------------------------------------------------------------------- products --- */

static sunup_status read_linear(struct reader *r, sunup_value **v)
{
    enum { M, N, K };
    int64_t s[3];
    const char *from = r->at + 1;
    TRY(sunup__read_sizes(r, "mnk", s));
    if (s[M] < 0 || s[N] < 0 || s[K] < 0) return sunup__read_wrong(r, from, "all of m, n, k");
    sunup_value *b = NULL;
    if (sunup__read_more(r)) {
        from = ++r->at;
        if (!sunup__read_word(r, "bias") || *r->at != '\0')
            return sunup__read_wrong(r, from, "bias, or f32, f64 at the end");
        b = input(r, "b", SUNUP_SHAPE(s[N]));
    }
    *v = sunup_linear(input(r, "x", SUNUP_SHAPE(s[M], s[K])),
                      input(r, "w", SUNUP_SHAPE(s[K], s[N])), b);
    return SUNUP_OK;
}

static sunup_shape matrix(int64_t batch, int64_t rows, int64_t columns, bool transposed)
{
    const int64_t a = transposed ? columns : rows, b = transposed ? rows : columns;
    return batch > 0 ? SUNUP_SHAPE(batch, a, b) : SUNUP_SHAPE(a, b);
}

static sunup_status read_matmul(struct reader *r, sunup_value **v)
{
    enum { M, N, K };
    int64_t s[3], batch = 0;
    bool one_a = false, one_b = false;
    int flags = 0;
    const char *from = r->at + 1;
    TRY(sunup__read_sizes(r, "mnk", s));
    if (s[M] < 0 || s[N] < 0 || s[K] < 0) return sunup__read_wrong(r, from, "all of m, n, k");
    while (sunup__read_more(r)) {
        from = ++r->at;
        if (sunup__read_word(r, "batch"))
            TRY(sunup__read_number(r, 1, &batch));
        else if (sunup__read_word(r, "one_a"))
            one_a = true;
        else if (sunup__read_word(r, "one_b"))
            one_b = true;
        else if (sunup__read_word(r, "ta"))
            flags |= SUNUP_TRANSPOSE_A;
        else if (sunup__read_word(r, "tb"))
            flags |= SUNUP_TRANSPOSE_B;
        else
            return sunup__read_wrong(r, from,
                                     "one of batch, one_a, one_b, ta, tb, or f32, f64 at the end");
        if (!sunup__read_part_ended(r)) return sunup__read_wrong(r, r->at, "the end of this part");
    }
    *v = sunup_matmul(
        input(r, "a", matrix(one_a ? 0 : batch, s[M], s[K], flags & SUNUP_TRANSPOSE_A)),
        input(r, "b", matrix(one_b ? 0 : batch, s[K], s[N], flags & SUNUP_TRANSPOSE_B)), flags);
    return SUNUP_OK;
}

/* ------------------------------------------------------------------ pointwise, chains --- */

static const char *const operand_names[CHAIN_IN] = {"a", "b", "c", "d", "e", "f", "g", "h",
                                                    "i", "j", "k", "l", "m", "n", "o", "p"};

/* n operands; those without a shape are as the first. */
static void operands(struct reader *r, const sunup_shape *shape, int given, int n, sunup_value **in)
{
    for (int i = 0; i < n; i++) in[i] = input(r, operand_names[i], shape[i < given ? i : 0]);
}

static sunup_status read_pointwise(struct reader *r, sunup_value **v)
{
    int code = 0, given = 0;
    while (sunup__pointwise_op(code) != r->op) code++;
    sunup_shape shape[3];
    sunup_value *in[3];
    TRY(sunup__read_shapes(r, sunup__pointwise_operands(code), shape, &given));
    operands(r, shape, given, sunup__pointwise_operands(code), in);
    const struct pointwise_attr attr = {code, {0.5, 1}};
    *v = node(r, sunup__pointwise_operands(code), in, &attr);
    return SUNUP_OK;
}

struct program {
    struct chain_step steps[CHAIN_STEPS];
    int out[CHAIN_STEPS], n_steps, n_out;
    int n_in; /* operands used */
};

/* "relu_grad" of "relu_grad.3.0+..": its code, or -1. */
static int code_at(struct reader *r)
{
    const size_t n = strcspn(r->at, ".+:");
    for (int code = 0; code < PW_COUNT; code++) {
        const char *name = sunup__pointwise_op(code)->name;
        if (strlen(name) != n || strncmp(r->at, name, n) != 0) continue;
        r->at += n;
        return code;
    }
    return -1;
}

/* Registers as written count from the operands of which `given` have shapes; where none is written
 * results count from CHAIN_IN until the number of operands is known. */
static sunup_status read_step(struct reader *r, struct program *p, bool *written)
{
    const char *from = r->at;
    const int code = p->n_steps < CHAIN_STEPS ? code_at(r) : -1;
    if (code < 0) return sunup__read_wrong(r, from, "a pointwise op, at most 32 of them");
    struct chain_step *s = &p->steps[p->n_steps];
    *s = (struct chain_step){code, -1, -1, -1, {0.5, 1}};
    int *const reads[3] = {&s->a, &s->b, &s->c};
    const bool here = *r->at == '.';
    if (p->n_steps > 0 && here != *written)
        return sunup__read_wrong(r, from,
                                 "as the first step: registers with all steps, or with none");
    *written = here;
    for (int k = 0; k < sunup__pointwise_operands(code); k++) {
        int64_t x = k == 0 && p->n_steps > 0 ? CHAIN_IN + p->n_steps - 1 : p->n_in++;
        if (here) {
            if (*r->at != '.')
                return sunup__read_wrong(r, from, "a step with a register for each operand");
            r->at++;
            TRY(sunup__read_number(r, 0, &x));
            if (x >= CHAIN_IN + CHAIN_STEPS)
                return sunup__read_wrong(r, from, "a step over registers so far");
        }
        *reads[k] = (int)x;
    }
    p->n_steps++;
    return SUNUP_OK;
}

static sunup_status read_outputs(struct reader *r, struct program *p)
{
    if (!sunup__read_more(r)) return SUNUP_OK;
    const char *from = ++r->at;
    if (!sunup__read_word(r, "out"))
        return sunup__read_wrong(r, from, "out and registers, or f32, f64 at the end");
    do {
        int64_t x = 0;
        if (p->n_out > 0) r->at++;
        if (p->n_out == CHAIN_STEPS) return sunup__read_wrong(r, from, "at most 32 outputs");
        TRY(sunup__read_number(r, 0, &x));
        p->out[p->n_out++] = (int)x;
    } while (*r->at == '.');
    return SUNUP_OK;
}

/* The steps without written registers, now that the number of operands is known. */
static void number_results(struct program *p, int n_in)
{
    for (int t = 0; t < p->n_steps; t++)
        if (p->steps[t].a >= CHAIN_IN) p->steps[t].a += n_in - CHAIN_IN;
}

static sunup_status read_program(struct reader *r, struct program *p, int given)
{
    bool written = false;
    if (!sunup__read_more(r)) return sunup__read_wrong(r, r->at, "the steps, such as :add+relu");
    do {
        r->at++;
        TRY(read_step(r, p, &written));
    } while (*r->at == '+');
    TRY(read_outputs(r, p));
    if (written || given > p->n_in) p->n_in = given;
    CHECK(p->n_in <= CHAIN_IN, r->ctx, E_ARGUMENT, "problem '%s': more than 16 operands", r->text);
    if (!written) number_results(p, p->n_in);
    if (p->n_out == 0) p->out[p->n_out++] = p->n_in + p->n_steps - 1;
    return SUNUP_OK;
}

static sunup_status read_chain(struct reader *r, sunup_value **v)
{
    sunup_shape shape[CHAIN_IN];
    sunup_value *in[CHAIN_IN];
    int given = 0;
    struct program *p = sunup__arena_alloc(&r->graph->arena, sizeof *p); /* lives with the node */
    CHECK(p != NULL, r->ctx, E_MEMORY, "no memory for a chain");
    TRY(sunup__read_shapes(r, CHAIN_IN, shape, &given));
    TRY(read_program(r, p, given));
    operands(r, shape, given, p->n_in, in);
    const struct chain_attr attr = {p->n_steps, p->n_out, p->steps, p->out};
    *v = sunup__node(r->graph, r->op, p->n_in, in, &attr, p->n_out, NULL);
    return SUNUP_OK;
}

/* ------------------------------------------------------------------ softmax and norms --- */

enum { ROW_OPERANDS = 5 };

/* The gradient node of the op that made v, on inputs of its own instead of what v's graph has made. */
static sunup_value *gradient(struct reader *r, sunup_value *v)
{
    static const char *const names[MAX_IN] = {"g0", "g1", "g2", "g3", "g4", "g5", "g6", "g7"};
    sunup_value *x = v->node->in[0], *dx, *in[MAX_IN] = {NULL};
    const struct node *n = NULL;
    sunup_gradient_from(v, input(r, "dy", v->shape), 1, &x, &dx);
    for (int i = 0; i < r->graph->n_nodes; i++)
        if (r->graph->nodes[i]->op == r->op) n = r->graph->nodes[i];
    if (n == NULL) return r->graph->poison;
    for (int i = 0; i < n->n_in; i++) {
        if (n->in[i] == NULL) continue;
        const bool made = sunup__source(n->in[i]) == NULL;
        in[i] = sunup__case_range(r->graph, names[i], n->in[i]->dtype, n->in[i]->shape,
                                  made ? 0.5 : -1, made ? 1.5 : 1);
    }
    return sunup__node(r->graph, r->op, n->n_in, in, n->attr, 0, NULL);
}

/* Forward op of x; present[1], [2]: gamma and beta are. */
static sunup_value *forward(struct reader *r, const struct op *op, const sunup_shape *shape,
                            const bool *present, const int64_t option)
{
    const sunup_shape *x = &shape[0];
    sunup_value *in[3] = {input(r, "x", *x)};
    const int axes = op == &sunup__op_layer_norm ? (int)option : 1;
    sunup_shape row = {axes, {0}};
    for (int i = 0; i < axes && axes <= x->n; i++) row.d[i] = x->d[x->n - axes + i];
    if (op == &sunup__op_softmax) return sunup_softmax(in[0], -1);
    if (op == &sunup__op_log_softmax) return sunup_log_softmax(in[0], -1);
    if (present[1]) in[1] = input(r, "gamma", row);
    if (present[2]) in[2] = input(r, "beta", row);
    if (op == &sunup__op_layer_norm) return sunup_layer_norm(in[0], in[1], in[2], axes, 1e-5);
    if (op == &sunup__op_group_norm) return sunup_group_norm(in[0], in[1], in[2], option, 1e-5);
    return sunup_batch_norm(in[0], in[1], in[2], NULL, NULL, 0.1, 1e-5);
}

static const struct {
    const struct op *op, *grad;
    const char *option; /* word of a number that belongs to the op */
    int n_in, n_in_grad;
} rows[] = {
    {&sunup__op_softmax, &sunup__op_softmax_grad, NULL, 1, 2},
    {&sunup__op_log_softmax, &sunup__op_log_softmax_grad, NULL, 1, 2},
    {&sunup__op_batch_norm, &sunup__op_batch_norm_grad, NULL, 3, 5},
    {&sunup__op_group_norm, &sunup__op_group_norm_grad, "groups", 3, 5},
    {&sunup__op_layer_norm, &sunup__op_layer_norm_grad, "axes", 3, 5},
};

/* Shapes after the first follow from it; those that are given must be so. */
static sunup_status agree(const struct reader *r, const struct node *n, const sunup_shape *shape,
                          int given)
{
    for (int i = 1; i < given; i++) {
        const bool absent = shape[i].n == 0 && shape[i].d[0] < 0;
        const sunup_value *x = i < n->n_in ? n->in[i] : NULL;
        if (absent ? x == NULL : x != NULL && sunup__same_shape(&x->shape, &shape[i])) continue;
        RAISE(r->ctx, E_ARGUMENT,
              "problem '%s': operand %d of %s does not have this shape; give the first one alone",
              r->text, i + 1, r->op->name);
    }
    return SUNUP_OK;
}

static sunup_status read_rows(struct reader *r, sunup_value **v)
{
    size_t i = 0;
    while (rows[i].op != r->op && rows[i].grad != r->op) i++;
    const bool grad = rows[i].grad == r->op;
    sunup_shape shape[ROW_OPERANDS];
    int given = 0;
    TRY(sunup__read_shapes(r, grad ? rows[i].n_in_grad : rows[i].n_in, shape, &given));
    int64_t option = 1;
    if (sunup__read_more(r)) {
        const char *from = ++r->at;
        if (rows[i].option == NULL || !sunup__read_word(r, rows[i].option))
            return sunup__read_wrong(r, from,
                                     rows[i].option == NULL ? "f32 or f64" : rows[i].option);
        TRY(sunup__read_number(r, 1, &option));
    }
    bool present[ROW_OPERANDS];
    for (int k = 0; k < ROW_OPERANDS; k++)
        present[k] = k >= given || shape[k].n > 0 || shape[k].d[0] >= 0;
    if (grad) present[2] = true; /* beta is no operand of the gradient */
    if (shape[0].n == 0) return sunup__read_wrong(r, strchr(r->cut, ':') + 1, "the shape of x");
    *v = forward(r, rows[i].op, shape, present, option);
    if (grad && !sunup__is_poison(*v)) *v = gradient(r, *v);
    return sunup__is_poison(*v) ? SUNUP_OK : agree(r, (*v)->node, shape, given);
}

/* ------------------------------------------------------------------------- attention --- */

/* "16x256x256:heads8:causal", the shape of q for all, or those of q, k, v and the bias. */
static sunup_status read_attention(struct reader *r, sunup_value **v)
{
    enum { OPERANDS = 7, FORWARD = 4 };
    const bool grad = r->op == &sunup__op_attention_grad;
    sunup_attention_options o = sunup_attention_defaults();
    sunup_shape shape[OPERANDS];
    int given = 0;
    TRY(sunup__read_shapes(r, grad ? OPERANDS : FORWARD, shape, &given));
    while (sunup__read_more(r)) {
        const char *from = ++r->at;
        if (sunup__read_word(r, "heads"))
            TRY(sunup__read_number(r, 1, &o.heads));
        else if (sunup__read_word(r, "causal"))
            o.causal = true;
        else
            return sunup__read_wrong(r, from, "one of heads, causal, or f32, f64 at the end");
    }
    sunup_value *in[FORWARD] = {NULL};
    static const char *const names[FORWARD] = {"q", "k", "v", "bias"};
    for (int i = 0; i < FORWARD; i++)
        if (i < given ? shape[i].n > 0 : i < 3)
            in[i] = input(r, names[i], shape[i < given ? i : 0]);
    *v = sunup_attention(in[0], in[1], in[2], in[3], &o);
    if (grad && !sunup__is_poison(*v)) *v = gradient(r, *v);
    return sunup__is_poison(*v) ? SUNUP_OK : agree(r, (*v)->node, shape, given);
}

/* --------------------------------------------------------------------------- all --- */

static const struct {
    const struct op *op;
    read_fn read;
} families[] = {
    {&sunup__op_conv, read_conv},
    {&sunup__op_conv_data_grad, read_conv},
    {&sunup__op_conv_weight_grad, read_conv},
    {&sunup__op_max_pool, read_pool},
    {&sunup__op_max_pool_grad, read_pool},
    {&sunup__op_avg_pool, read_pool},
    {&sunup__op_avg_pool_grad, read_pool},
    {&sunup__op_linear, read_linear},
    {&sunup__op_matmul, read_matmul},
    {&sunup__op_chain, read_chain},
    {&sunup__op_attention, read_attention},
    {&sunup__op_attention_grad, read_attention},
    {&sunup__op_softmax, read_rows},
    {&sunup__op_softmax_grad, read_rows},
    {&sunup__op_log_softmax, read_rows},
    {&sunup__op_log_softmax_grad, read_rows},
    {&sunup__op_batch_norm, read_rows},
    {&sunup__op_batch_norm_grad, read_rows},
    {&sunup__op_group_norm, read_rows},
    {&sunup__op_group_norm_grad, read_rows},
    {&sunup__op_layer_norm, read_rows},
    {&sunup__op_layer_norm_grad, read_rows},
};

read_fn sunup__problem_reader(const struct op *op)
{
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (families[i].op == op) return families[i].read;
    return op->flags & OP_POINTWISE ? read_pointwise : NULL;
}
