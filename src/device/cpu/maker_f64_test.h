/* maker_f64_test.h - what a maker gives in f32 beside the op's plain way in f64 on the same numbers,
 * and beside the sums of |products| that bounds are made of. Included after cmocka.h. */
#ifndef SUNUP_MAKER_F64_TEST_H
#define SUNUP_MAKER_F64_TEST_H

#include <math.h>

#include "base/random.h"
#include "device/cpu/maker_run_test.h"

enum { OPERANDS = 3 };

static inline sunup_graph *graph_of(sunup_context *ctx, sunup_dtype dtype)
{
    sunup_graph_options o = sunup_graph_defaults();
    o.dtype = dtype;
    sunup_graph *g;
    assert_int_equal(sunup_graph_create(ctx, &o, &g), SUNUP_OK);
    return g;
}

static inline const struct node *node_of(const sunup_graph *g, const sunup_value *v)
{
    if (sunup__is_poison(v)) fail_msg("%s", g->message);
    return v->node;
}

/* Normal numbers: the same in f32, in f64 and in f64 without signs. */
struct operands {
    void *f32[OPERANDS], *f64[OPERANDS], *absolute[OPERANDS];
};

static inline struct operands draw_operands(const struct node *n)
{
    struct operands o = {{NULL}, {NULL}, {NULL}};
    assert_true(n->n_in <= OPERANDS);
    for (int i = 0; i < n->n_in; i++) {
        if (!n->in[i]) continue;
        const size_t count = (size_t)sunup__elements(&n->in[i]->shape);
        float *x = o.f32[i] = sunup__alloc_aligned(count * sizeof *x);
        double *x64 = o.f64[i] = sunup__alloc_aligned(count * sizeof *x64);
        double *size = o.absolute[i] = sunup__alloc_aligned(count * sizeof *size);
        const struct random_stream s = {7, RANDOM_TEST, 1, (uint64_t)i};
        for (size_t j = 0; j < count; j++) {
            x[j] = (float)sunup__random_normal(&s, j);
            x64[j] = (double)x[j];
            size[j] = fabs(x64[j]);
        }
    }
    return o;
}

static inline void drop_operands(struct operands *o)
{
    for (int i = 0; i < OPERANDS; i++) {
        sunup__free(o->f32[i]);
        sunup__free(o->f64[i]);
        sunup__free(o->absolute[i]);
    }
}

/* By the plain way, which no maker and no level changes: computed once a problem. */
struct known {
    double *want, *size; /* NULL: not yet; sums of |products| */
};

static inline void know(struct known *k, const struct device *d, const struct node *n64,
                        struct operands *in)
{
    if (k->want) return;
    k->want = run_plain(d, n64, in->f64);
    k->size = run_plain(d, n64, in->absolute);
}

static inline void forget(struct known *k)
{
    sunup__free(k->want);
    sunup__free(k->size);
    *k = (struct known){NULL, NULL};
}

/* Each element within terms * 2^-24 * sum of |products| of it, and what products themselves err by; borders have up to
 * four times fewer terms than others. */
static inline void check_sums(const struct maker *m, const struct node *n, const char *problem, const float *got,
                              const struct known *k)
{
    const int64_t count = sunup__elements(&n->out[0]->shape);
    const double terms = sunup__node_cost(n).flops / 2 / (double)count * 4 + 20;
    for (int64_t i = 0; i < count; i++) {
        const double bound = (terms * 0x1p-24 + sunup__product_error(m)) * k->size[i];
        if (fabs((double)got[i] - k->want[i]) <= bound) continue;
        fail_msg("%s of '%s': element %lld of %lld is %g, must be %g, bound %g", n->op->name,
                 problem, (long long)i, (long long)count, (double)got[i], k->want[i], bound);
    }
}

/* Over all elements, where errors are in proportion to whole tiles of them. */
struct largest {
    double error, result, sum; /* sum of |products| */
};

static inline struct largest largest_of(int64_t n, const float *got, const struct known *k)
{
    struct largest l = {0, 0, 0};
    for (int64_t i = 0; i < n; i++) {
        const double error = fabs((double)got[i] - k->want[i]);
        if (!(error <= l.error)) l.error = error; /* NaN too */
        l.result = fmax(l.result, fabs(k->want[i]));
        l.sum = fmax(l.sum, k->size[i]);
    }
    return l;
}

#endif
