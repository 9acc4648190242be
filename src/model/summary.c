/* summary.c - what a network is made of, before anything is run: layers, shapes, parameters, work, memory.
 *
 * Rows are the layers of the training graph that the output (or the loss) depends on; nodes in a row of one layer
 * make one row. Work is the ops' own cost rule; activation bytes are what forward makes and backward may need, before
 * the plan lets values share memory.
 */
#include <stdio.h>
#include <string.h>

#include "model/model.h"
#include "tensor/tensor.h"

static double value_bytes(const sunup_value *v)
{
    return (double)sunup__elements(&v->shape) * (double)sunup_dtype_bytes(v->dtype);
}

static double activation_bytes(const struct node *n)
{
    if (n->op->flags & (OP_VIEW | OP_SOURCE)) return 0;
    double bytes = 0;
    for (int i = 0; i < n->n_out; i++) bytes += value_bytes(n->out[i]);
    return bytes;
}

/* Parameters of which n is the first user: no earlier needed node has them as operand. */
static int64_t own_parameters(const struct node *n, bool *counted)
{
    int64_t elements = 0;
    for (int i = 0; i < n->n_in; i++) {
        const struct source_attr *s = sunup__source(n->in[i]);
        if (!s || s->kind != SOURCE_PARAMETER || counted[n->in[i]->node->id]) continue;
        counted[n->in[i]->node->id] = true;
        elements += sunup__elements(&n->in[i]->shape);
    }
    return elements;
}

static bool is_row(const struct node *n)
{
    const struct source_attr *s = sunup__source(n->out[0]);
    return !s || s->kind == SOURCE_INPUT;
}

/* most: work of the op that gave the row its name so far. */
static void add_node(struct summary_row *row, const struct node *n, bool *counted, double *most)
{
    const double flops = sunup__node_cost(n).flops;
    if (!row->op || flops > *most) {
        row->op = sunup__source(n->out[0]) ? "input" : n->op->name;
        *most = flops;
    }
    row->shape = n->out[0]->shape;
    row->dtype = n->out[0]->dtype;
    row->parameters += own_parameters(n, counted);
    row->flops += flops;
    row->activation_bytes += activation_bytes(n);
}

static bool fill_rows(const sunup_graph *g, const bool *needed, struct summary *s)
{
    bool *counted = sunup__arena_alloc(&s->arena, (size_t)g->n_nodes * sizeof *counted);
    s->rows = sunup__arena_alloc(&s->arena, (size_t)g->n_nodes * sizeof *s->rows);
    if (!counted || !s->rows) return false;
    double most = 0;
    for (int i = 0; i < g->n_nodes; i++) {
        const struct node *n = g->nodes[i];
        if (!needed[i] || !is_row(n)) continue;
        struct summary_row *row = s->n > 0 ? &s->rows[s->n - 1] : NULL;
        if (!row || strcmp(row->layer, n->layer) != 0) {
            row = &s->rows[s->n++];
            row->layer = sunup__arena_strdup(&s->arena, n->layer);
            if (!row->layer) return false;
        }
        add_node(row, n, counted, &most);
    }
    return true;
}

static void add_up(const sunup_model *m, int64_t batch, struct summary *s)
{
    s->batch = batch;
    for (int i = 0; i < s->n; i++) {
        s->flops += s->rows[i].flops;
        s->activation_bytes += s->rows[i].activation_bytes;
    }
    for (int i = 0; i < m->n_parameters + m->n_states; i++) {
        const sunup_tensor *t = &m->tensors[i].t;
        const int64_t n = sunup__elements(&t->shape);
        *(m->tensors[i].state ? &s->states : &s->parameters) += n;
        s->weight_bytes += (double)(n * sunup_dtype_bytes(t->dtype));
    }
}

sunup_status sunup__model_summarize(sunup_model *m, int64_t batch, struct summary *s)
{
    *s = (struct summary){0};
    sunup_graph *g;
    TRY(sunup__model_graph(m, batch, true, &g));
    const sunup_value *y = sunup_graph_find(g, "output");
    bool *needed = sunup__needed(y ? y : sunup_graph_find(g, "loss"));
    const bool filled = needed && fill_rows(g, needed, s);
    sunup__free(needed);
    sunup_graph_destroy(&g);
    if (!filled) {
        sunup__summary_end(s);
        RAISE(m->ctx, E_MEMORY, "%s: no memory for its summary", m->source);
    }
    add_up(m, batch, s);
    return SUNUP_OK;
}

void sunup__summary_end(struct summary *s)
{
    sunup__arena_end(&s->arena);
    *s = (struct summary){0};
}

/* ---------------------------------------------------------------------------- text --- */

enum { QUANTITY_TEXT = 24 };

/* 1234567 as "1.23 M", with binary prefixes for bytes: three digits say enough in a table. */
static const char *quantity(double x, bool bytes, char *room)
{
    static const char *const decimal[] = {"", " k", " M", " G", " T", " P", " E"};
    static const char *const binary[] = {" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"};
    const double step = bytes ? 1024 : 1000;
    int i = 0;
    while (x >= 999.5 && i < 6) {
        x /= step;
        i++;
    }
    const int digits = i == 0 || x >= 99.95 ? 0 : x >= 9.995 ? 1 : 2;
    snprintf(room, QUANTITY_TEXT, "%.*f%s", digits, x, bytes ? binary[i] : decimal[i]);
    return room;
}

/* 1,234,567 */
static const char *grouped(int64_t n, char *room)
{
    char digits[QUANTITY_TEXT];
    const int length = snprintf(digits, sizeof digits, "%lld", (long long)n);
    int at = 0;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0) room[at++] = ',';
        room[at++] = digits[i];
    }
    room[at] = '\0';
    return room;
}

enum { GROUPED_TEXT = 32 };

static int widest_layer(const struct summary *s)
{
    int width = (int)sizeof "layer" - 1;
    for (int i = 0; i < s->n; i++) {
        const int n = (int)strlen(s->rows[i].layer);
        width = n > width ? n : width;
    }
    return width < 40 ? width : 40;
}

static void print_row(struct text *t, int width, const struct summary_row *r)
{
    char shape[SHAPE_TEXT], parameters[GROUPED_TEXT], flops[QUANTITY_TEXT], bytes[QUANTITY_TEXT];
    sunup__text(t, "%-*s  %-14s  %-20s  %12s  %9s  %9s\n", width, r->layer, r->op,
                sunup__shape_text(&r->shape, shape), grouped(r->parameters, parameters),
                quantity(r->flops, false, flops), quantity(r->activation_bytes, true, bytes));
}

static void print_totals(struct text *t, const struct summary *s)
{
    char parameters[GROUPED_TEXT], states[GROUPED_TEXT], weights[QUANTITY_TEXT];
    char flops[QUANTITY_TEXT], bytes[QUANTITY_TEXT];
    sunup__text(t,
                "parameters %s, states %s (%s); forward %s FLOPs, activations %s at batch %lld\n",
                grouped(s->parameters, parameters), grouped(s->states, states),
                quantity(s->weight_bytes, true, weights), quantity(s->flops, false, flops),
                quantity(s->activation_bytes, true, bytes), (long long)s->batch);
}

char *sunup_model_summary(sunup_model *model, int64_t batch)
{
    struct summary s;
    if (sunup__model_summarize(model, batch, &s) != SUNUP_OK) return NULL;
    struct text t = {0};
    const int width = widest_layer(&s);
    sunup__text(&t, "%-*s  %-14s  %-20s  %12s  %9s  %9s\n", width, "layer", "op", "output",
                "parameters", "FLOPs", "bytes");
    for (int i = 0; i < s.n; i++) print_row(&t, width, &s.rows[i]);
    print_totals(&t, &s);
    sunup__summary_end(&s);
    return t.s;
}
