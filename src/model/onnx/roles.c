/* roles.c - which initializers are trained, which are statistics, which stay as they are; and
 * what a user should know.
 *
 * ONNX says only that an initializer is a tensor. What it is follows from who reads it: ops.def
 * has a letter for each operand of an operator.
 *   p  trained            m  trained unless it is a scalar        c  trained, kept with axes [2.., 1, 0]
 *   g  trained, kept as [in, out] (Gemm with transB turns it)     s  a running statistic
 *   v  what its reader makes of it is looked at                   -  a constant
 * A tensor with several readers takes the strongest, and keeps the file's order unless all agree
 * on another. Constants are: whole numbers, what only '-' reads, (for m) what is not finite,
 * which is a mask, and what holds one number only under a name that an exporter made up (val_12):
 * a scale or an absent affine map.
 */
#include <math.h>
#include <string.h>

#include "model/onnx/onnx.h"
#include "tensor/tensor.h"

enum {
    MAX_STEPS = 8,
    MAX_READERS = 10000
}; /* operators a weight is followed through; asked in all */

/* Who reads which value: value v's readers are the uses from head[v] on, each naming the next; -1
 * ends. */
struct use {
    int node, operand, next;
};
struct readers {
    const struct onnx_model *m;
    int *head;
    struct use *uses;
};

/* What the readers of a value say. */
struct verdict {
    enum onnx_kind kind;
    bool strict; /* a reader that has nothing but weights there */
    int readers,
        reordered; /* readers in all, and those that want the order of 'c' or a turned 'g' */
};

static bool turns(const struct onnx_node *n)
{
    for (size_t i = 0; i < n->p->n_attribute; i++)
        if (n->p->attribute[i]->name && strcmp(n->p->attribute[i]->name, "transB") == 0)
            return n->p->attribute[i]->i != 0;
    return false;
}

static char letter(const struct onnx_node *n, int operand)
{
    const char *roles = n->op->roles;
    const int last = (int)strlen(roles) - 1;
    return last < 0 ? '-' : roles[operand < last ? operand : last];
}

/* Names as exporters make them up: "val_12", "onnx::Mul_7", "/layer/Constant_output_0", "123". */
static bool made_up(const char *name)
{
    if (strncmp(name, "val_", 4) == 0) name += 4;
    return name[0] == '/' || strstr(name, "::") || strspn(name, "0123456789") == strlen(name);
}

/* What its numbers say against training it, whatever reads it (one for all) or where it is added
 * (not finite). */
struct numbers {
    bool uniform, finite;
};

static struct numbers look(const struct onnx_weight *w)
{
    const int64_t n = sunup__elements(&w->shape);
    double *x = sunup__alloc_aligned((size_t)n * sizeof *x);
    struct numbers s = {x != NULL, x != NULL};
    if (x) sunup__onnx_tensor_read(w->p, n, x);
    for (int64_t i = 0; i < n && (s.uniform || s.finite); i++) {
        s.uniform = s.uniform && x[i] == x[0];
        s.finite = s.finite && isfinite(x[i]);
    }
    sunup__free(x);
    return s;
}

static void ask(const struct readers *r, const struct onnx_weight *w, int value, int steps,
                struct verdict *v);

static void ask_node(const struct readers *r, const struct onnx_weight *w, const struct use *u,
                     int steps, struct verdict *v)
{
    const struct onnx_node *n = &r->m->nodes[u->node];
    const char role = letter(n, u->operand);
    v->readers++;
    if (role == 'v') {
        if (steps > 0 && n->n_out > 0 && n->out[0] >= 0) ask(r, w, n->out[0], steps - 1, v);
        return;
    }
    if (role == 's' && v->kind == ONNX_CONSTANT) v->kind = ONNX_STATE;
    if (strchr("pcg", role) || (role == 'm' && w->shape.n > 0)) v->kind = ONNX_PARAMETER;
    v->strict = v->strict || strchr("pcg", role);
    v->reordered += (role == 'c' && w->shape.n > 2) || (role == 'g' && w->shape.n == 2 && turns(n));
}

static void ask(const struct readers *r, const struct onnx_weight *w, int value, int steps,
                struct verdict *v)
{
    for (int i = r->head[value]; i >= 0 && v->readers < MAX_READERS; i = r->uses[i].next)
        ask_node(r, w, &r->uses[i], steps, v);
}

static void decide(const struct readers *r, int value, struct onnx_weight *w)
{
    const int type = w->p->data_type;
    const bool real = type == ONNX(FLOAT) || type == ONNX(DOUBLE);
    struct verdict v = {0};
    if (real && sunup__elements(&w->shape) > 0) ask(r, w, value, MAX_STEPS, &v);
    if (v.kind == ONNX_PARAMETER) {
        const struct numbers s = look(w);
        if ((s.uniform && made_up(w->p->name)) || (!s.finite && !v.strict)) v.kind = ONNX_CONSTANT;
    }
    w->kind = v.kind;
    w->reordered = v.kind == ONNX_PARAMETER && v.reordered > 0 && v.reordered == v.readers;
    const int n = w->shape.n;
    for (int i = 0; i < n; i++) w->order[i] = !w->reordered ? i : i < n - 2 ? i + 2 : n - 1 - i;
}

static bool list_readers(const struct onnx_model *m, struct readers *r)
{
    int n = 0;
    for (int i = 0; i < m->n_nodes; i++) n += m->nodes[i].n_in;
    *r = (struct readers){.m = m,
                          .head = sunup__alloc((size_t)m->n_values * sizeof *r->head),
                          .uses = sunup__alloc((size_t)n * sizeof *r->uses)};
    if (!r->head || !r->uses) return false;
    for (int i = 0; i < m->n_values; i++) r->head[i] = -1;
    for (int i = m->n_nodes - 1; i >= 0; i--)
        for (int k = m->nodes[i].n_in - 1; k >= 0; k--) {
            const int value = m->nodes[i].in[k];
            if (value < 0) continue;
            r->uses[--n] = (struct use){i, k, r->head[value]};
            r->head[value] = n;
        }
    return true;
}

/* -------------------------------------------------------------------------- the note --- */

static int count(const struct onnx_model *m, const char *name)
{
    int n = 0;
    for (int i = 0; i < m->n_nodes; i++) n += strcmp(m->nodes[i].op->name, name) == 0;
    return n;
}

static void write_note(struct onnx_model *m)
{
    const int norms = count(m, "BatchNormalization"), dropouts = count(m, "Dropout");
    if (norms > 0 && !m->o.train_bn)
        sunup__text(&m->note,
                    "%d batch norms are frozen: trained with their running statistics, as the file "
                    "is for inference; --train-bn (model.train_bn in a run file) trains with those of "
                    "the batch\n",
                    norms);
    if (dropouts == 0)
        sunup__text(&m->note,
                    "the file has no Dropout%s: what the network had of that when it was trained "
                    "was lost when it was exported for inference\n",
                    norms == 0 ? " and no BatchNormalization" : "");
    const struct onnx_node *last = m->n_nodes > 0 ? &m->nodes[m->n_nodes - 1] : NULL;
    if (last && strcmp(last->op->name, "Softmax") == 0)
        sunup__text(&m->note, "its last operator is Softmax, but the loss cross_entropy takes "
                              "scores from before it\n");
}

sunup_status sunup__onnx_roles(struct onnx_model *m)
{
    struct readers r;
    const bool listed = list_readers(m, &r);
    int of_type[2] = {0};
    for (int i = 0; i < m->n_values && listed; i++) {
        struct onnx_weight *w = m->weight_of[i];
        if (!w) continue;
        decide(&r, i, w);
        if (w->kind != ONNX_CONSTANT) of_type[w->p->data_type == ONNX(DOUBLE)]++;
    }
    sunup__free(r.head);
    sunup__free(r.uses);
    CHECK(listed, m->ctx, E_MEMORY, "%s: no memory for the readers of its values", m->source);
    CHECK(of_type[0] == 0 || of_type[1] == 0, m->ctx, E_UNSUPPORTED,
          "%s: %d trained tensors are float32 and %d float64; all must be of one type", m->source,
          of_type[0], of_type[1]);
    m->dtype = of_type[1] > 0 ? SUNUP_F64 : SUNUP_F32;
    write_note(m);
    return SUNUP_OK;
}
