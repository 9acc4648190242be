/* onnx_nodes.c - runs single operators as ONNX files and compares with the outputs that lie
 * beside them.
 *
 * Standard input: a line for each test, "FOLDER relative absolute"; the folder holds model.onnx,
 * input_I.pb and output_I.pb (tensors as messages). Standard output: "pass", "fail" or "scope"
 * (not supported, with the reason), the folder, and what happened. One process for all, so that
 * hundreds take seconds. Exit status 1: something failed.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/system.h"
#include "model/onnx/onnx.h"
#include "tensor/tensor.h"

struct trial {
    sunup_context *ctx;
    const char *folder;
    double relative, absolute;
    struct onnx_model *m;
    sunup_graph *g;
    sunup_plan *plan;
};

/* A tensor of the test; free with onnx__tensor_proto__free_unpacked. */
static sunup_status read_tensor(const struct trial *t, const char *kind, int i,
                                Onnx__TensorProto **p)
{
    char path[4096];
    void *data;
    size_t bytes;
    (void)snprintf(path, sizeof path, "%s/%s_%d.pb", t->folder, kind, i);
    TRY(sunup__file_read(t->ctx, path, &data, &bytes));
    *p = onnx__tensor_proto__unpack(NULL, bytes, data);
    sunup__free(data);
    CHECK(*p, t->ctx, E_UNSUPPORTED, "%s: no plain tensor", path);
    return SUNUP_OK;
}

static double number_at(const void *p, sunup_dtype dtype, int64_t i)
{
    return dtype == SUNUP_F64   ? ((const double *)p)[i]
           : dtype == SUNUP_F32 ? (double)((const float *)p)[i]
                                : (double)((const int32_t *)p)[i];
}

static void set_number(void *p, sunup_dtype dtype, int64_t i, double x)
{
    if (dtype == SUNUP_F64) ((double *)p)[i] = x;
    if (dtype == SUNUP_F32) ((float *)p)[i] = (float)x;
    if (dtype == SUNUP_I32) ((int32_t *)p)[i] = (int32_t)fmax(fmin(x, INT32_MAX), INT32_MIN);
}

/* Write the tensor's numbers into a value of the plan. */
static sunup_status feed(struct trial *t, sunup_value *v, const Onnx__TensorProto *p)
{
    sunup_shape s;
    TRY(sunup__onnx_tensor_check(t->m, p, &s));
    const sunup_shape want = sunup_value_shape(v);
    CHECK(sunup__elements(&s) == sunup__elements(&want), t->ctx, E_SHAPE,
          "an input of another size");
    const int64_t n = sunup__elements(&s), bytes = n * sunup_dtype_bytes(sunup_value_dtype(v));
    double *x = sunup__alloc((size_t)n * sizeof *x);
    void *data = sunup__alloc((size_t)bytes);
    CHECK(x && data, t->ctx, E_MEMORY, "no memory for an input");
    sunup__onnx_tensor_read(p, n, x);
    for (int64_t i = 0; i < n; i++) set_number(data, sunup_value_dtype(v), i, x[i]);
    const sunup_status status = sunup_plan_set(t->plan, v, data, bytes);
    sunup__free(x);
    sunup__free(data);
    return status;
}

static bool close_enough(const struct trial *t, double got, double want)
{
    if (isnan(want) || isinf(want)) return isnan(want) ? isnan(got) : got == want;
    return fabs(got - want) <= t->absolute + t->relative * fabs(want);
}

static sunup_status compare(struct trial *t, sunup_value *v, const Onnx__TensorProto *p)
{
    sunup_shape s;
    char got[SHAPE_TEXT], want[SHAPE_TEXT];
    TRY(sunup__onnx_tensor_check(t->m, p, &s));
    const sunup_shape mine = sunup_value_shape(v);
    CHECK(sunup__same_shape(&s, &mine), t->ctx, E_INTERNAL, "'%s' is %s, not %s",
          p->name ? p->name : "", sunup__shape_text(&mine, got), sunup__shape_text(&s, want));
    const sunup_dtype dtype = sunup_value_dtype(v);
    const int64_t n = sunup__elements(&s), bytes = n * sunup_dtype_bytes(dtype);
    double *x = sunup__alloc((size_t)n * sizeof *x);
    void *data = sunup__alloc((size_t)bytes);
    CHECK(x && data, t->ctx, E_MEMORY, "no memory for an output");
    sunup__onnx_tensor_read(p, n, x);
    sunup_status status = sunup_plan_get(t->plan, v, data, bytes);
    for (int64_t i = 0; i < n && status == SUNUP_OK; i++)
        if (!close_enough(t, number_at(data, dtype, i), x[i]))
            status =
                sunup__raise(t->ctx, SUNUP_E_INTERNAL, "'%s', element %lld of %lld: %.9g, not %.9g",
                             p->name ? p->name : "", (long long)i, (long long)n,
                             number_at(data, dtype, i), x[i]);
    sunup__free(x);
    sunup__free(data);
    return status;
}

static bool is_needed(const sunup_value *v, int n, sunup_value *const *outputs)
{
    bool yes = false;
    for (int i = 0; i < n && !yes; i++) {
        bool *needed = sunup__needed(outputs[i]);
        yes = needed && needed[v->node->id];
        sunup__free(needed);
    }
    return yes;
}

/* The inputs that some output depends on (a shape does not, on the numbers). */
static sunup_status feed_all(struct trial *t, int n, sunup_value *const *outputs)
{
    for (int i = 0; i < t->m->n_inputs; i++) {
        Onnx__TensorProto *p;
        sunup_value *v = sunup_graph_find(t->g, t->m->names[t->m->inputs[i]]);
        if (!is_needed(v, n, outputs)) continue;
        TRY(read_tensor(t, "input", i, &p));
        const sunup_status status = feed(t, v, p);
        onnx__tensor_proto__free_unpacked(p, NULL);
        TRY(status);
    }
    return SUNUP_OK;
}

/* The file's own weights. */
static sunup_status set_weights(struct trial *t, int n, sunup_value *const *outputs)
{
    for (int i = 0; i < t->m->n_weights; i++) {
        const struct onnx_weight *w = &t->m->weights[i];
        sunup_value *v = w->kind == ONNX_CONSTANT ? NULL : sunup_graph_find(t->g, w->p->name);
        if (!v || !is_needed(v, n, outputs)) continue;
        sunup_tensor x = {w->p->name, sunup_value_dtype(v), sunup_value_shape(v), NULL};
        const int64_t bytes = sunup__elements(&x.shape) * sunup_dtype_bytes(x.dtype);
        x.data = sunup__alloc((size_t)bytes);
        CHECK(x.data && sunup__onnx_weight_read(w, &x), t->ctx, E_MEMORY, "no memory for a weight");
        const sunup_status status = sunup_plan_set(t->plan, v, x.data, bytes);
        sunup__free(x.data);
        TRY(status);
    }
    return SUNUP_OK;
}

static sunup_status run(struct trial *t)
{
    enum { MAX_OUTPUTS = 64 };
    sunup_value *outputs[MAX_OUTPUTS];
    char path[4096];
    void *data;
    size_t bytes;
    (void)snprintf(path, sizeof path, "%s/model.onnx", t->folder);
    TRY(sunup__file_read(t->ctx, path, &data, &bytes));
    const struct onnx_file file = {data, bytes, path, {.as_is = true}};
    const sunup_status opened = sunup__onnx_open(t->ctx, &file, &t->m);
    sunup__free(data);
    TRY(opened);
    sunup_graph_options o = sunup_graph_defaults();
    TRY(sunup_graph_create(t->ctx, &o, &t->g));
    TRY(sunup__onnx_build(t->g, t->m));
    const int n = t->m->n_outputs < MAX_OUTPUTS ? t->m->n_outputs : MAX_OUTPUTS;
    for (int i = 0; i < n; i++) {
        const char *name = t->m->names[t->m->outputs[i]];
        outputs[i] = sunup_graph_find(t->g, name);
        CHECK(outputs[i], t->ctx, E_INTERNAL, "no output '%s'", name);
    }
    TRY(sunup_plan_create(t->g, n, outputs, &t->plan));
    TRY(set_weights(t, n, outputs));
    TRY(feed_all(t, n, outputs));
    TRY(sunup_plan_run(t->plan, (sunup_random_key){0, 0, 0}));
    for (int i = 0; i < n; i++) {
        Onnx__TensorProto *p;
        TRY(read_tensor(t, "output", i, &p));
        const sunup_status status = compare(t, outputs[i], p);
        onnx__tensor_proto__free_unpacked(p, NULL);
        TRY(status);
    }
    return SUNUP_OK;
}

int main(void)
{
    char folder[2048];
    double relative, absolute;
    int failed = 0;
    while (scanf("%2047s %lf %lf", folder, &relative, &absolute) == 3) {
        struct trial t = {.folder = folder, .relative = relative, .absolute = absolute};
        if (sunup_context_create(NULL, &t.ctx) != SUNUP_OK) return 1;
        const sunup_status status = run(&t);
        const char *said = status == SUNUP_OK ? "" : sunup_error(t.ctx);
        const char *word = status == SUNUP_OK              ? "pass"
                           : status == SUNUP_E_UNSUPPORTED ? "scope"
                                                           : "fail";
        (void)printf("%s\t%s\t%s\n", word, folder, said);
        (void)fflush(stdout);
        failed += status != SUNUP_OK && status != SUNUP_E_UNSUPPORTED;
        sunup_plan_destroy(&t.plan);
        sunup_graph_destroy(&t.g);
        sunup__onnx_close(&t.m);
        sunup_context_destroy(&t.ctx);
    }
    return failed > 0;
}
