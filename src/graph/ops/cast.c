/* cast.c - copy to another element type.
 *
 * Floats become integers by rounding to nearest, ties to even, and end at the limits of the type;
 * NaN becomes 0. The gradient passes between f32 and f64 only.
 */
#include "graph/ops/op.h"

#include <math.h>

enum { GRAIN = 32768 };

struct cast_attr {
    sunup_dtype dtype;
};

static sunup_status infer(struct node *n)
{
    const struct cast_attr *a = n->attr;
    sunup__set_out(n, 0, a->dtype, n->in[0]->shape);
    return SUNUP_OK;
}

static void grad(struct node *n, sunup_value *const *dy, const bool *want, sunup_value **dx)
{
    if (want[0]) dx[0] = sunup_cast(dy[0], n->in[0]->dtype);
}

static double limited(double x, double low, double high)
{
    if (isnan(x)) return 0;
    const double r = rint(x);
    return r < low ? low : r > high ? high : r;
}

static float to_f32(double x)
{
    return (float)x;
}

static double to_f64(double x)
{
    return x;
}

static int32_t to_i32(double x)
{
    return (int32_t)limited(x, INT32_MIN, INT32_MAX);
}

static uint8_t to_u8(double x)
{
    return (uint8_t)limited(x, 0, UINT8_MAX);
}

/* Every type goes through f64, which holds f32, i32 and u8 exactly. */
#define FROM(type, to)                                                                             \
    for (int64_t i = 0; i < n; i++) y[i] = to((double)((const type *)from)[i]);                    \
    break
#define CAST_TO(name, type)                                                                        \
    static void cast_##name(int64_t n, sunup_dtype dtype, const void *from, void *result)          \
    {                                                                                              \
        type *y = result;                                                                          \
        switch (dtype) {                                                                           \
        case SUNUP_F32:                                                                            \
            FROM(float, to_##name);                                                                \
        case SUNUP_F64:                                                                            \
            FROM(double, to_##name);                                                               \
        case SUNUP_I32:                                                                            \
            FROM(int32_t, to_##name);                                                              \
        case SUNUP_U8:                                                                             \
            FROM(uint8_t, to_##name);                                                              \
        }                                                                                          \
    }
CAST_TO(f32, float)
CAST_TO(f64, double)
CAST_TO(i32, int32_t)
CAST_TO(u8, uint8_t)

struct task {
    struct pieces pieces;
    sunup_dtype from, to;
    const void *x;
    void *y;
};

static void run_piece(void *arg, int64_t i)
{
    static void (*const cast[])(int64_t, sunup_dtype, const void *, void *) = {cast_f32, cast_f64,
                                                                               cast_i32, cast_u8};
    const struct task *t = arg;
    const int64_t at = piece_from(&t->pieces, i);
    cast[t->to](piece_length(&t->pieces, i), t->from, element_at(t->x, t->from, at),
                element_at(t->y, t->to, at));
}

static sunup_status run(const struct node *n, const struct exec *e)
{
    struct task t = {sunup__pieces(sunup__elements(&n->out[0]->shape), 1, GRAIN, 0),
                     n->in[0]->dtype, n->out[0]->dtype, e->in[0], e->out[0]};
    sunup__parallel(e->threads, t.pieces.count, run_piece, &t);
    return SUNUP_OK;
}

sunup_value *sunup_cast(sunup_value *x, sunup_dtype dtype)
{
    if (!x || sunup__is_poison(x) || x->dtype == dtype) return x;
    if ((unsigned)dtype > SUNUP_U8)
        return sunup__graph_error(x->node->graph, SUNUP_E_ARGUMENT,
                                  "cast of '%s': element type %d does not exist", x->name,
                                  (int)dtype);
    const struct cast_attr attr = {dtype};
    return sunup__node(x->node->graph, &sunup__op_cast, 1, &x, &attr, 0, NULL);
}

/* ---------------------------------------------------------------------- cases --- */

/* Through f64 and back: exact, so that differences see no rounding. */
static sunup_value *floats(sunup_graph *g)
{
    const sunup_dtype dtype = sunup_graph_dtype(g);
    sunup_value *x = sunup_input(g, "x", dtype, SUNUP_SHAPE(5, 7));
    return sunup_square(sunup_cast(sunup_square(sunup_cast(x, SUNUP_F64)), SUNUP_F64));
}

static sunup_value *integers(sunup_graph *g)
{
    sunup_value *x = sunup__case_range(g, "x", SUNUP_I32, SUNUP_SHAPE(40009), -1000, 1000);
    return sunup_square(sunup_cast(x, sunup_graph_dtype(g)));
}

static sunup_value *rounds(sunup_graph *g)
{
    sunup_value *x = sunup__case_range(g, "x", sunup_graph_dtype(g), SUNUP_SHAPE(3, 11), -300, 300);
    return sunup_cast(x, SUNUP_U8);
}

static const struct op_case cases[] = {
    {"cast:f64:5x7", floats},
    {"cast:i32:40009", integers},
    {"cast:u8:3x11", rounds},
};

const struct op sunup__op_cast = {
    .name = "cast",
    .attr_bytes = sizeof(struct cast_attr),
    .n_out = 1,
    .infer = infer,
    .grad = grad,
    .run = run,
    .cases = cases,
    .n_cases = sizeof cases / sizeof *cases,
};
