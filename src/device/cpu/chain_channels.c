/* chain_channels.c - chains of a batch norm and its neighbours, each as one leaf instead of a leaf
 * a step:
 *
 *   y = relu(scale x + shift + r)              with or without relu and r; r may be scaled likewise
 *   dx = a dy + (b x + d)                      dy as it is, or where scale x + shift > 0 only
 *
 * and with leaky relu for relu,
 *
 * where x, r and dy are tensors and the rest numbers of their channels (the last axis). These are
 * most of what training a residual network does besides products. The leaves round as the steps do,
 * so the bits are those of the chain. Bound by memory: a tensor is read or written once. A large
 * result, unless it takes an operand's place, goes past the caches, as in chain.c; the rows of
 * others go from the last to the first in each thread's part: the norm's sums have just read them in order, and a
 * second level that holds only some of them has the last ones.
 */
#include "base/system.h"
#include "device/cpu/makers.h"

enum { TASK_ELEMENTS = 65536 };

/* Operands of the chain, -1: none. */
struct form {
    bool back;           /* dx rather than y */
    double slope;        /* of what is below 0: 0 relu, 1 nothing */
    int x, scale, shift; /* back: of the mask */
    int r, r_scale, r_shift;
    int dy, a, b, d;
};

/* --------------------------------------------------------------------- recognising --- */

struct reading {
    const struct node *n;
    const struct chain_step *steps;
    int n_steps;
    int used; /* steps that the form has taken */
};

static bool is_tensor(const struct reading *t, int reg)
{
    return reg >= 0 && reg < t->n->n_in &&
           sunup__same_shape(&t->n->in[reg]->shape, &t->n->out[0]->shape);
}

static bool is_vector(const struct reading *t, int reg)
{
    if (reg < 0 || reg >= t->n->n_in) return false;
    const sunup_shape *s = &t->n->in[reg]->shape, *y = &t->n->out[0]->shape;
    return s->n == 1 && s->d[0] == y->d[y->n - 1];
}

/* The step that made a register, if it is of this code. */
static const struct chain_step *made_by(struct reading *t, int reg, int code)
{
    const int step = reg - t->n->n_in;
    if (step < 0 || t->steps[step].code != code) return NULL;
    t->used++;
    return &t->steps[step];
}

/* The step that bends, and its slope where its operand is below 0. A leaky one of slope 0 has other
 * bits than relu, one beyond 1 is not the larger of x and slope x. */
static const struct chain_step *bend_of(struct reading *t, int reg, int relu, int leaky,
                                        double *slope)
{
    const struct chain_step *s = made_by(t, reg, relu);
    *slope = 0;
    if (s) return s;
    s = made_by(t, reg, leaky);
    *slope = s ? s->imm[0] : 1;
    if (!s || (*slope > 0 && *slope <= 1)) return s;
    t->used--;
    return NULL;
}

/* reg = tensor * vector + vector */
static bool is_affine(struct reading *t, int reg, int *x, int *scale, int *shift)
{
    const struct chain_step *s = made_by(t, reg, PW_fma);
    if (!s || !is_tensor(t, s->a) || !is_vector(t, s->b) || !is_vector(t, s->c)) return false;
    *x = s->a;
    *scale = s->b;
    *shift = s->c;
    return true;
}

static bool is_summand(struct reading *t, int reg, struct form *f)
{
    f->r = reg;
    return is_tensor(t, reg) || is_affine(t, reg, &f->r, &f->r_scale, &f->r_shift);
}

static bool read_forward(struct reading *t, struct form *f)
{
    int reg = t->n->n_in + t->n_steps - 1;
    const struct chain_step *bend = bend_of(t, reg, PW_relu, PW_leaky_relu, &f->slope);
    if (bend) reg = bend->a;
    const struct chain_step *sum = made_by(t, reg, PW_add);
    if (!sum) return is_affine(t, reg, &f->x, &f->scale, &f->shift);
    int affine = sum->a, other = sum->b;
    if (is_tensor(t, affine)) {
        affine = sum->b;
        other = sum->a;
    }
    return is_affine(t, affine, &f->x, &f->scale, &f->shift) && is_summand(t, other, f);
}

static bool read_back(struct reading *t, struct form *f)
{
    const struct chain_step *dx = made_by(t, t->n->n_in + t->n_steps - 1, PW_fma);
    f->back = true;
    if (!dx || !is_vector(t, dx->b) || !is_affine(t, dx->c, &f->x, &f->b, &f->d)) return false;
    f->a = dx->b;
    f->dy = dx->a;
    if (is_tensor(t, f->dy)) return true;
    const struct chain_step *mask = bend_of(t, f->dy, PW_relu_grad, PW_leaky_relu_grad, &f->slope);
    if (!mask || !is_tensor(t, mask->b)) return false;
    f->dy = mask->b;
    int x = -1;
    return is_affine(t, mask->a, &x, &f->scale, &f->shift) && x == f->x;
}

static const struct form nothing = {
    .scale = -1, .shift = -1, .r = -1, .r_scale = -1, .r_shift = -1};

static bool read_form(const struct node *n, struct form *f)
{
    static const struct chain_step one = {PW_fma, 0, 1, 2, {0, 0}};
    const bool single = n->op == &sunup__op_fma;
    const struct chain_attr *attr = n->attr;
    struct reading forward = {n, single ? &one : attr->steps, single ? 1 : attr->n_steps, 0},
                   back = forward;
    const sunup_shape *y = &n->out[0]->shape;
    if (n->n_out != 1 || n->out[0]->dtype != SUNUP_F32 || y->n < 2 || sunup__elements(y) == 0)
        return false;
    *f = nothing;
    if (read_back(&back, f) && back.used == back.n_steps) return true;
    *f = nothing;
    return read_forward(&forward, f) && forward.used == forward.n_steps;
}

bool sunup__chain_channels_can(const struct device *d, const struct node *n)
{
    (void)d;
    struct form f;
    return read_form(n, &f);
}

/* ------------------------------------------------------------------------- running --- */

struct work {
    const struct form *f;
    const struct step *s;
    int64_t rows, c, task_rows;
    bool stream;
};

static const float *operand(const struct work *w, int i, int64_t first)
{
    return i < 0 ? NULL : (const float *)w->s->in[i] + first;
}

static void run_rows(const struct work *w, int64_t row, int64_t rows, float *y)
{
    const struct form *f = w->f;
    const struct kernels *k = w->s->device->kernels;
    const int64_t first = row * w->c;
    const float *x = operand(w, f->x, first), *scale = operand(w, f->scale, 0),
                *shift = operand(w, f->shift, 0);
    if (f->back)
        k->f32.channel_grad(rows, w->c, x, operand(w, f->dy, first), scale, shift, (float)f->slope,
                            operand(w, f->a, 0), operand(w, f->b, 0), operand(w, f->d, 0),
                            w->stream, y);
    else
        k->f32.channel_affine(rows, w->c, x, scale, shift, operand(w, f->r, first),
                              operand(w, f->r_scale, 0), operand(w, f->r_shift, 0), (float)f->slope,
                              w->stream, y);
}

/* Rows of about n elements: whole cache lines, however many channels. */
static int64_t rows_of(int64_t n, int64_t c)
{
    enum { LINE = 16 };
    const int64_t rows = n / c;
    return rows >= LINE ? rows / LINE * LINE : rows > 1 ? rows : 1;
}

static void run_task(void *arg, int64_t task)
{
    const struct work *w = arg;
    const int64_t from = task * w->task_rows, left = w->rows - from;
    run_rows(w, from, left < w->task_rows ? left : w->task_rows,
             (float *)w->s->out[0] + from * w->c);
}

/* What lies in an operand's place is in the cache already. */
static bool streamed(const struct step *s, int64_t n)
{
    if (!sunup__outgrows_caches(n * (int64_t)sizeof(float))) return false;
    for (int i = 0; i < s->node->n_in; i++)
        if (s->in[i] == s->out[0]) return false;
    return true;
}

static sunup_status run(const struct step *s, const sunup_random_key *key)
{
    (void)key;
    const sunup_shape *y = &s->node->out[0]->shape;
    struct work w = {.f = s->data, .s = s, .c = y->d[y->n - 1]};
    w.rows = sunup__elements(y) / w.c;
    w.stream = streamed(s, w.rows * w.c);
    w.task_rows = rows_of(TASK_ELEMENTS, w.c);
    (w.stream ? sunup__parallel : sunup__parallel_back)(s->device->threads,
                                                        (w.rows + w.task_rows - 1) / w.task_rows, run_task, &w);
    return SUNUP_OK;
}

static void end(struct step *s)
{
    sunup__free(s->data);
}

sunup_status sunup__make_chain_channels(struct device *d, const struct node *n, struct step *s)
{
    struct form *f = sunup__alloc(sizeof *f);
    CHECK(f, d->ctx, E_MEMORY, "no memory for the step '%s'", n->layer);
    (void)read_form(n, f);
    s->data = f;
    s->end = end;
    s->run = run;
    return SUNUP_OK;
}
