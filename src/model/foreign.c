/* foreign.c - see foreign.h. What a tensor is follows from the node that reads it: a
 * convolution's weight has its axes reversed but for the taps, a linear one's is transposed, all
 * others are the same.
 *
 * A linear layer sees pixels before channels where PyTorch sees channels before pixels, if what
 * it reads was a picture: its input is followed back through what works element by element to a
 * flattening, and further to a convolution or pool. Names are the model's: PyTorch's own for
 * networks by name and for ONNX files.
 */
#include "model/foreign.h"

#include <string.h>

#include "base/words.h"
#include "tensor/tensor.h"

/* -------------------------------------------------------------------------- orders --- */

static bool is_op(const struct node *n, const char *name)
{
    return strcmp(n->op->name, name) == 0;
}

/* What an element of v is computed from, element by element. */
static const sunup_value *behind(const sunup_value *v)
{
    for (;;) {
        const struct node *n = v->node;
        const bool same = (n->op->flags & OP_POINTWISE) || is_op(n, "dropout") ||
                          is_op(n, "batch_norm") || is_op(n, "group_norm");
        if (!same || n->n_in < 1 || !n->in[0] || !sunup__same_shape(&n->in[0]->shape, &v->shape))
            return v;
        v = n->in[0];
    }
}

/* The picture that was flattened into x; NULL: none. */
static const sunup_value *picture(const sunup_value *x)
{
    const sunup_value *flat = behind(x);
    if (!is_op(flat->node, "reshape") || flat->shape.n != 2) return NULL;
    const sunup_value *v = flat->node->in[0];
    if (v->shape.n < 3 || v->shape.d[0] != flat->shape.d[0]) return NULL;
    const struct node *n = behind(v)->node;
    const bool spatial = is_op(n, "conv") || is_op(n, "conv_data_grad") || is_op(n, "max_pool") ||
                         is_op(n, "avg_pool");
    return spatial ? v : NULL;
}

static void linear_order(const sunup_value *x, const sunup_value *w, struct foreign *f)
{
    const sunup_value *p = picture(x);
    const int space = p ? p->shape.n - 2 : 0; /* [space.., C, out] and [out, C, space..] */
    f->mine.n = p ? space + 2 : 2;
    for (int i = 0; p && i <= space; i++) f->mine.d[i] = p->shape.d[i + 1];
    if (!p) f->mine.d[0] = w->shape.d[0];
    f->mine.d[f->mine.n - 1] = w->shape.d[1];
    f->shape = SUNUP_SHAPE(w->shape.d[1], w->shape.d[0]);
    for (int i = 0; i < space; i++) f->order[i] = i + 2;
    f->order[f->mine.n - 2] = 1;
    f->order[f->mine.n - 1] = 0;
}

static void conv_order(const sunup_value *w, struct foreign *f)
{
    const int n = w->shape.n;
    for (int i = 0; i < n; i++) f->order[i] = i < n - 2 ? i + 2 : n - 1 - i;
    for (int i = 0; i < n; i++) f->shape.d[f->order[i]] = w->shape.d[i];
}

static void see(const struct node *n, const sunup_value *w, struct foreign *f)
{
    if (is_op(n, "linear") && n->in[1] == w && w->shape.n == 2) linear_order(n->in[0], w, f);
    if (is_op(n, "conv") && n->in[1] == w) conv_order(w, f);
    if (is_op(n, "conv_data_grad") && n->in[0] == w) conv_order(w, f);
}

struct foreign *sunup__foreign(sunup_model *m)
{
    const int n = m->n_parameters + m->n_states;
    struct foreign *f = sunup__alloc((size_t)(n + 1) * sizeof *f);
    sunup_graph *g = NULL;
    if (!f || sunup__model_graph(m, 2, false, &g) != SUNUP_OK) {
        sunup__free(f);
        return NULL;
    }
    for (int i = 0; i < n; i++) {
        f[i].mine = f[i].shape = m->tensors[i].t.shape;
        for (int a = 0; a < SUNUP_MAX_DIMS; a++) f[i].order[a] = a;
    }
    for (int k = 0; k < g->n_nodes; k++)
        for (int j = 0; j < g->nodes[k]->n_in; j++) {
            const sunup_value *v = g->nodes[k]->in[j];
            const struct model_tensor *t =
                v && sunup__source(v) ? sunup__model_find(m, v->name) : NULL;
            if (t && !t->state) see(g->nodes[k], v, &f[t - m->tensors]);
        }
    sunup_graph_destroy(&g);
    return f;
}

/* Where element i of ours lies there. */
static int64_t place(const struct foreign *f, int64_t i)
{
    sunup_shape there = f->mine;
    int64_t stride[SUNUP_MAX_DIMS], at = 0;
    for (int a = 0; a < f->mine.n; a++) there.d[f->order[a]] = f->mine.d[a];
    sunup__strides(&there, stride);
    for (int a = f->mine.n - 1; a >= 0; a--) {
        at += i % f->mine.d[a] * stride[f->order[a]];
        i /= f->mine.d[a];
    }
    return at;
}

/* -------------------------------------------------------------------------- giving --- */

static sunup_status turn_out(sunup_model *m, const struct foreign *f, sunup_tensor *t,
                             struct tensors *all)
{
    const int64_t n = sunup__elements(&t->shape), width = sunup_dtype_bytes(t->dtype);
    char *data = sunup__arena_alloc(&all->arena, (size_t)(n * width) + 1);
    CHECK(data, m->ctx, E_MEMORY, "no memory for '%s'", t->name);
    for (int64_t i = 0; i < n; i++)
        memcpy(data + place(f, i) * width, (const char *)t->data + i * width, (size_t)width);
    t->data = data;
    t->shape = f->shape;
    return SUNUP_OK;
}

sunup_status sunup__weights_give(sunup_model *m, bool pytorch, struct tensors *t)
{
    const int n = m->n_parameters + m->n_states;
    *t = (struct tensors){.n = n};
    t->t = sunup__arena_alloc(&t->arena, (size_t)(n + 1) * sizeof *t->t);
    CHECK(t->t, m->ctx, E_MEMORY, "no memory for a list of %d tensors", n);
    for (int i = 0; i < n; i++) t->t[i] = m->tensors[i].t;
    if (!pytorch) return SUNUP_OK;
    struct foreign *f = sunup__foreign(m);
    sunup_status status = f ? SUNUP_OK : SUNUP_E_MEMORY;
    for (int i = 0; i < n && status == SUNUP_OK; i++) status = turn_out(m, &f[i], &t->t[i], t);
    sunup__free(f);
    return status;
}

/* -------------------------------------------------------------------------- taking --- */

static const sunup_tensor *find(const struct tensors *t, const char *name)
{
    for (int i = 0; i < t->n; i++)
        if (strcmp(t->t[i].name, name) == 0) return &t->t[i];
    return NULL;
}

static bool passed_over(const char *name)
{
    static const char counter[] = "num_batches_tracked";
    const size_t n = strlen(name), k = sizeof counter - 1;
    return strncmp(name, "optimizer.", 10) == 0 || (n >= k && strcmp(name + n - k, counter) == 0);
}

static const char *nearest_there(const struct tensors *t, const char *name)
{
    const char **names = sunup__alloc((size_t)(t->n + 1) * sizeof *names);
    for (int i = 0; names && i < t->n; i++) names[i] = t->t[i].name;
    const char *nearest = names ? sunup__nearest(name, t->n, names) : NULL;
    sunup__free(names);
    return nearest ? nearest : "-";
}

static const char *nearest_here(const sunup_model *m, const char *name)
{
    const int n = m->n_parameters + m->n_states;
    const char **names = sunup__alloc((size_t)(n + 1) * sizeof *names);
    for (int i = 0; names && i < n; i++) names[i] = m->tensors[i].t.name;
    const char *nearest = names ? sunup__nearest(name, n, names) : NULL;
    sunup__free(names);
    return nearest ? nearest : "-";
}

/* A row for every tensor that one side lacks, or that has another shape; their number. */
static int mismatches(const sunup_model *m, const struct tensors *t, const struct foreign *f,
                      struct text *table)
{
    char mine[SHAPE_TEXT], theirs[SHAPE_TEXT];
    int wrong = 0;
    for (int i = 0; i < m->n_parameters + m->n_states; i++) {
        const sunup_tensor *ours = &m->tensors[i].t, *there = find(t, ours->name);
        const sunup_shape *want = f ? &f[i].shape : &ours->shape;
        if (there && sunup__same_shape(&there->shape, want) && sunup__is_float(there->dtype))
            continue;
        wrong++;
        if (there)
            sunup__text(table, "  %-40s model %s, file %s %s\n", ours->name,
                        sunup__shape_text(want, mine), sunup_dtype_name(there->dtype),
                        sunup__shape_text(&there->shape, theirs));
        else
            sunup__text(table, "  %-40s model only, nearest in the file: %s\n", ours->name,
                        nearest_there(t, ours->name));
    }
    for (int i = 0; i < t->n; i++) {
        if (passed_over(t->t[i].name) || sunup__model_find(m, t->t[i].name)) continue;
        wrong++;
        sunup__text(table, "  %-40s file only, nearest in the model: %s\n", t->t[i].name,
                    nearest_here(m, t->t[i].name));
    }
    return wrong;
}

static double number(const sunup_tensor *t, int64_t i)
{
    return t->dtype == SUNUP_F64 ? ((const double *)t->data)[i]
                                 : (double)((const float *)t->data)[i];
}

static void turn_in(const struct foreign *f, const sunup_tensor *from, sunup_tensor *to)
{
    const int64_t n = sunup__elements(&to->shape);
    for (int64_t i = 0; i < n; i++) {
        const double x = number(from, f ? place(f, i) : i);
        if (to->dtype == SUNUP_F64)
            ((double *)to->data)[i] = x;
        else
            ((float *)to->data)[i] = (float)x;
    }
}

sunup_status sunup__weights_take(sunup_model *m, const struct tensors *t, const char *path,
                                 bool pytorch)
{
    struct foreign *f = pytorch ? sunup__foreign(m) : NULL;
    if (pytorch && !f) return SUNUP_E_MEMORY;
    struct text table = {0};
    const int wrong = mismatches(m, t, f, &table);
    sunup_status status = SUNUP_OK;
    if (wrong > 0)
        status = sunup__raise(m->ctx, SUNUP_E_SHAPE,
                              "%s: %d tensors do not match those of the model%s\n%s", path, wrong,
                              pytorch ? "" : " (--from pytorch takes PyTorch's order of axes)",
                              table.s ? table.s : "");
    for (int i = 0; i < m->n_parameters + m->n_states && status == SUNUP_OK; i++)
        turn_in(f ? &f[i] : NULL, find(t, m->tensors[i].t.name), &m->tensors[i].t);
    sunup__free(table.s);
    sunup__free(f);
    return status;
}
