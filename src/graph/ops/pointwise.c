/* pointwise.c - all ops that compute an element from the same element of one to three operands.
 *
 * Owes: one op for each code of kernels/pointwise.def, with its row of pointwise_rules.def, and
 * their public functions. Operands broadcast as in NumPy: they are read by broadcast strides, never
 * copied whole.
 * Leaves: the evaluation to chain.c (a single op is a chain of one step), the arithmetic to the
 * pointwise leaf.
 */
#include "graph/ops/pointwise.h"
#include "graph/ops/op.h"

/* ---------------------------------------------------------------------- rules --- */

struct site {
    sunup_value *a, *b, *c, *y, *dy;
    double i, j;
};

#define NONE        NULL
#define ZERO        sunup_scalar(y->node->graph, y->dtype, 0)
#define POSITIVE(x) sunup_compare(x, ZERO, SUNUP_GT)
#define NORM        sunup_add(sunup_square(a), sunup_square(b))
/* A gradient code with the same immediates: first operand as given, second dy. */
#define GRAD(code, x) sunup__pointwise(PW_##code, x, dy, NULL, i, j)

/* dy where a beats b, half of it where they are equal. */
static sunup_value *chosen(const struct site *s, sunup_compare_kind beats, sunup_value *a,
                           sunup_value *b)
{
    sunup_value *zero = sunup_scalar(s->y->node->graph, s->y->dtype, 0);
    sunup_value *half = sunup_scale(s->dy, 0.5, 0);
    return sunup_where(sunup_compare(a, b, beats), s->dy,
                       sunup_where(sunup_compare(a, b, SUNUP_EQ), half, zero));
}

#define RULE(name, flops, low, high, da, db, dc)                                                   \
    static sunup_value *name##_rule(const struct site *s, int operand)                             \
    {                                                                                              \
        sunup_value *a = s->a, *b = s->b, *c = s->c, *y = s->y, *dy = s->dy;                       \
        const double i = s->i, j = s->j;                                                           \
        (void)a, (void)b, (void)c, (void)y, (void)dy, (void)i, (void)j;                            \
        switch (operand) {                                                                         \
        case 0:                                                                                    \
            return da;                                                                             \
        case 1:                                                                                    \
            return db;                                                                             \
        default:                                                                                   \
            return dc;                                                                             \
        }                                                                                          \
    }
#define FLAT(name, flops, low, high)
#include "graph/ops/pointwise_rules.def"
#undef RULE
#undef FLAT

struct row {
    sunup_value *(*rule)(const struct site *s, int operand); /* NULL: flat */
    double flops, low, high;
};
static const struct row rows[PW_COUNT] = {
#define RULE(name, flops, low, high, da, db, dc) [PW_##name] = {name##_rule, flops, low, high},
#define FLAT(name, flops, low, high)             [PW_##name] = {NULL, flops, low, high},
#include "graph/ops/pointwise_rules.def"
#undef RULE
#undef FLAT
};
static const int operands[PW_COUNT] = {
#define POINTWISE(name, n_operands, n_immediates) [PW_##name] = n_operands,
#include "kernels/pointwise.def"
#undef POINTWISE
};
static const struct op *const ops[PW_COUNT] = {
#define POINTWISE(name, n_operands, n_immediates) [PW_##name] = &sunup__op_##name,
#include "kernels/pointwise.def"
#undef POINTWISE
};

int sunup__pointwise_operands(int code)
{
    return operands[code];
}

double sunup__pointwise_flops(int code)
{
    return rows[code].flops;
}

const struct op *sunup__pointwise_op(int code)
{
    return ops[code];
}

/* -------------------------------------------------------------------- methods --- */

sunup_status sunup__broadcast_operands(struct node *n)
{
    sunup_shape shape = n->in[0]->shape;
    for (int i = 1; i < n->n_in; i++) {
        const sunup_shape *s = &n->in[i]->shape, so_far = shape;
        char one[SHAPE_TEXT], two[SHAPE_TEXT];
        if (!sunup__broadcast_shapes(&so_far, s, &shape))
            return sunup__op_error(
                n, SUNUP_E_SHAPE,
                "shapes %s and %s do not broadcast: aligned at the last axis, lengths "
                "must be equal or 1",
                sunup__shape_text(&so_far, one), sunup__shape_text(s, two));
    }
    for (int o = 0; o < n->n_out; o++) sunup__set_out(n, o, n->in[0]->dtype, shape);
    return SUNUP_OK;
}

static sunup_status infer(struct node *n)
{
    TRY(sunup__floats(n, n->n_in));
    return sunup__broadcast_operands(n);
}

static void grad(struct node *n, sunup_value *const *dy, const bool *want, sunup_value **dx)
{
    const struct pointwise_attr *p = n->attr;
    const struct site s = {n->in[0],
                           n->n_in > 1 ? n->in[1] : NULL,
                           n->n_in > 2 ? n->in[2] : NULL,
                           n->out[0],
                           dy[0],
                           p->imm[0],
                           p->imm[1]};
    for (int k = 0; k < n->n_in; k++) {
        sunup_value *d = want[k] ? rows[p->code].rule(&s, k) : NULL;
        if (d) dx[k] = sunup__sum_to(d, n->in[k]->shape);
    }
}

static struct cost cost(const struct node *n)
{
    const struct pointwise_attr *p = n->attr;
    const double elements = (double)sunup__elements(&n->out[0]->shape);
    return (struct cost){rows[p->code].flops * elements, sunup__moved_bytes(n)};
}

struct single {
    struct chain_attr attr;
    struct chain_step step;
    int out;
};

static void as_chain(const struct node *n, struct single *s)
{
    const struct pointwise_attr *p = n->attr;
    s->step = (struct chain_step){
        p->code, 0, n->n_in > 1 ? 1 : -1, n->n_in > 2 ? 2 : -1, {p->imm[0], p->imm[1]}};
    s->out = n->n_in;
    s->attr = (struct chain_attr){1, 1, &s->step, &s->out};
}

static int64_t workspace(const struct node *n, int threads)
{
    struct single s;
    as_chain(n, &s);
    return sunup__chain_workspace(n, &s.attr, threads);
}

static sunup_status run(const struct node *n, const struct exec *e)
{
    struct single s;
    as_chain(n, &s);
    return sunup__chain_run(n, &s.attr, e);
}

/* ---------------------------------------------------------------------- cases --- */

/* Shapes of the operands of each case: all equal; last axis stretched over the others; both
 * stretched. */
enum { N_CASES = 6 };
static const sunup_shape shapes[N_CASES][3] = {
    {{1, {611}}, {1, {611}}, {1, {611}}},
    {{3, {3, 5, 7}}, {1, {7}}, {0, {0}}},
    {{3, {4, 1, 3}}, {2, {2, 1}}, {3, {1, 2, 3}}},
    {{2, {1, 5}}, {3, {3, 2, 1}}, {1, {1}}},
    {{0, {0}}, {0, {0}}, {0, {0}}},
    {{2, {0, 3}}, {1, {3}}, {2, {1, 3}}},
};

static sunup_value *build(sunup_graph *g, int code, int which)
{
    static const char *const names[3] = {"a", "b", "c"};
    sunup_value *x[3] = {NULL, NULL, NULL};
    for (int k = 0; k < operands[code]; k++)
        x[k] = sunup__case_range(g, names[k], sunup_graph_dtype(g), shapes[which][k],
                                 rows[code].low, rows[code].high);
    return sunup__pointwise(code, x[0], x[1], x[2], -0.7, 1.1);
}

#define BUILD(name, which)                                                                         \
    static sunup_value *name##_##which(sunup_graph *g)                                             \
    {                                                                                              \
        return build(g, PW_##name, which);                                                         \
    }
#define POINTWISE(name, n_operands, n_immediates)                                                  \
    BUILD(name, 0)                                                                                 \
    BUILD(name, 1)                                                                                 \
    BUILD(name, 2)                                                                                 \
    BUILD(name, 3)                                                                                 \
    BUILD(name, 4)                                                                                 \
    BUILD(name, 5)                                                                                 \
    static const struct op_case name##_cases[N_CASES] = {                                          \
        {#name ":611", name##_0},       {#name ":3x5x7,7,scalar", name##_1},                       \
        {#name ":4x1x3,2x1", name##_2}, {#name ":1x5,3x2x1,1", name##_3},                          \
        {#name ":scalars", name##_4},   {#name ":empty", name##_5},                                \
    };
#include "kernels/pointwise.def"
#undef POINTWISE

#define OP_OF(name_, flags_, grad_)                                                                \
    const struct op sunup__op_##name_ = {                                                          \
        .name = #name_,                                                                            \
        .attr_bytes = sizeof(struct pointwise_attr),                                               \
        .flags = OP_POINTWISE | (flags_),                                                          \
        .n_out = 1,                                                                                \
        .infer = infer,                                                                            \
        .grad = grad_,                                                                             \
        .cost = cost,                                                                              \
        .workspace = workspace,                                                                    \
        .run = run,                                                                                \
        .cases = name_##_cases,                                                                    \
        .n_cases = N_CASES,                                                                        \
    };
#define RULE(name, flops, low, high, da, db, dc) OP_OF(name, 0, grad)
#define FLAT(name, flops, low, high)             OP_OF(name, OP_FLAT, NULL)
#include "graph/ops/pointwise_rules.def"
#undef RULE
#undef FLAT

/* ----------------------------------------------------------- public functions --- */

sunup_value *sunup__pointwise(int code, sunup_value *a, sunup_value *b, sunup_value *c, double i,
                              double j)
{
    sunup_value *in[3] = {a, b, c};
    const struct pointwise_attr attr = {code, {i, j}};
    return sunup__node(sunup__graph_of(3, in), ops[code], operands[code], in, &attr, 0, NULL);
}

#define UNARY(name)                                                                                \
    sunup_value *sunup_##name(sunup_value *x)                                                      \
    {                                                                                              \
        return sunup__pointwise(PW_##name, x, NULL, NULL, 0, 0);                                   \
    }
#define BINARY(name)                                                                               \
    sunup_value *sunup_##name(sunup_value *a, sunup_value *b)                                      \
    {                                                                                              \
        return sunup__pointwise(PW_##name, a, b, NULL, 0, 0);                                      \
    }
BINARY(add)
BINARY(sub)
BINARY(mul)
BINARY(div)
UNARY(neg)
UNARY(exp)
UNARY(log)
UNARY(sqrt)
UNARY(square)
UNARY(abs)
UNARY(sin)
UNARY(cos)
UNARY(relu)
UNARY(gelu)
UNARY(sigmoid)
UNARY(tanh)
UNARY(softplus)
UNARY(floor)
UNARY(erf)
BINARY(atan2)
BINARY(mod)
BINARY(minimum)
BINARY(maximum)
BINARY(pow)

sunup_value *sunup_scale(sunup_value *x, double factor, double offset)
{
    return sunup__pointwise(PW_affine, x, NULL, NULL, factor, offset);
}

sunup_value *sunup_clamp(sunup_value *x, double low, double high)
{
    if (x && !(low <= high))
        return sunup__graph_error(x->node->graph, SUNUP_E_ARGUMENT,
                                  "clamp of '%s': low %g must not be above high %g", x->name, low,
                                  high);
    return sunup__pointwise(PW_clamp, x, NULL, NULL, low, high);
}

sunup_value *sunup_leaky_relu(sunup_value *x, double slope)
{
    return sunup__pointwise(PW_leaky_relu, x, NULL, NULL, slope, 0);
}

sunup_value *sunup_elu(sunup_value *x, double alpha)
{
    return sunup__pointwise(PW_elu, x, NULL, NULL, alpha, 0);
}

sunup_value *sunup_compare(sunup_value *a, sunup_value *b, sunup_compare_kind kind)
{
    static const int code[] = {PW_lt, PW_le, PW_gt, PW_ge, PW_eq, PW_ne};
    if (a && (unsigned)kind > SUNUP_NE)
        return sunup__graph_error(a->node->graph, SUNUP_E_ARGUMENT,
                                  "compare: kind %d does not exist", (int)kind);
    return sunup__pointwise(code[kind], a, b, NULL, 0, 0);
}

sunup_value *sunup_where(sunup_value *cond, sunup_value *a, sunup_value *b)
{
    return sunup__pointwise(PW_where, cond, a, b, 0, 0);
}
