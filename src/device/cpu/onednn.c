/* onednn.c - steps that run a primitive of Intel's oneDNN, for comparison and, where a tuning file
 * says so, for use.
 *
 * Owes: the list of makers, which stands after all of ours so that none is chosen by default, and
 * one step's life: memory objects, conversions, scratchpad from the workspace. Leaves: which
 * primitive and which descriptors to onednn_conv.c and onednn_rows.c. Built only with
 * -DSUNUP_ONEDNN=PREFIX (docs/benchmarks.md).
 *
 * Threads: the library runs on OpenMP's threads, which are told their number before each call. They
 * are put on one core each, as OMP_PROC_BIND=true would do, without which two threads lose 15 % of a
 * product; that variable itself would bind the calling thread as well, before this program counts
 * its cores.
 */
#include "device/cpu/onednn.h"

#include <omp.h>
#include <sched.h>

#include "base/memory.h"

/* --------------------------------------------------------------------- OpenMP's threads --- */

/* The i-th core of the set. */
static size_t core_of(const cpu_set_t *cores, int i)
{
    size_t core = 0;
    for (int left = i; !CPU_ISSET(core, cores) || left-- > 0;) core++;
    return core;
}

/* Thread i to the i-th of the caller's cores; the caller stays free. */
static void bind_threads(int threads)
{
    cpu_set_t cores;
    if (sched_getaffinity(0, sizeof cores, &cores) != 0 || CPU_COUNT(&cores) < threads) return;
    omp_set_num_threads(threads);
#pragma omp parallel
    {
        const int me = omp_get_thread_num();
        cpu_set_t mine;
        CPU_ZERO(&mine);
        CPU_SET(core_of(&cores, me), &mine);
        if (me > 0) (void)sched_setaffinity(0, sizeof mine, &mine);
    }
}

/* --------------------------------------------------------------------------- making --- */

static void end(struct step *s)
{
    struct onednn *o = s->data;
    if (o == NULL) return;
    for (int i = 0; i < o->n_operands; i++) {
        (void)dnnl_primitive_destroy(o->operands[i].convert);
        (void)dnnl_memory_destroy(o->operands[i].plain);
        (void)dnnl_memory_destroy(o->operands[i].own);
    }
    (void)dnnl_memory_destroy(o->scratch);
    (void)dnnl_primitive_destroy(o->primitive);
    (void)dnnl_primitive_desc_destroy(o->pd);
    (void)dnnl_primitive_desc_destroy(o->forward);
    for (int i = 0; i < o->n_descs; i++) (void)dnnl_memory_desc_destroy(o->descs[i]);
    (void)dnnl_primitive_attr_destroy(o->attr);
    (void)dnnl_stream_destroy(o->stream);
    (void)dnnl_engine_destroy(o->engine);
    sunup__free(o);
    s->data = NULL;
}

sunup_status sunup__onednn_open(struct device *d, struct step *s, struct onednn **opened)
{
    struct onednn *o = sunup__alloc(sizeof *o);
    CHECK(o != NULL, d->ctx, E_MEMORY, "no memory for a step");
    o->d = d;
    o->scratch_at = -1;
    s->data = o;
    s->end = end;
    bind_threads(d->threads);
    ONEDNN(o, dnnl_engine_create(&o->engine, dnnl_cpu, 0));
    ONEDNN(o, dnnl_stream_create(&o->stream, o->engine, dnnl_stream_default_flags));
    ONEDNN(o, dnnl_primitive_attr_create(&o->attr));
    ONEDNN(o, dnnl_primitive_attr_set_scratchpad_mode(o->attr, dnnl_scratchpad_mode_user));
    if (sunup_context_numerics(d->ctx) == SUNUP_NUMERICS_BF16)
        ONEDNN(o, dnnl_primitive_attr_set_fpmath_mode(o->attr, dnnl_fpmath_mode_bf16));
    *opened = o;
    return SUNUP_OK;
}

const_dnnl_memory_desc_t sunup__onednn_desc(struct onednn *o, int n, const int64_t *dims,
                                            const int64_t *strides)
{
    dnnl_memory_desc_t *md = &o->descs[o->n_descs];
    if (o->n_descs == ONEDNN_DESCS) o->status = dnnl_out_of_memory;
    if (o->status != dnnl_success) return NULL;
    dnnl_dims_t size = {0}, step = {0}; /* as long as the library declares them */
    for (int i = 0; i < n; i++) size[i] = dims[i];
    for (int i = 0; i < n && strides != NULL; i++) step[i] = strides[i];
    if (strides != NULL)
        ONEDNN(o, dnnl_memory_desc_create_with_strides(md, n, size, dnnl_f32, step));
    else
        ONEDNN(o, dnnl_memory_desc_create_with_tag(md, n, size, dnnl_f32, dnnl_format_tag_any));
    if (o->status != dnnl_success) return NULL;
    o->n_descs++;
    return *md;
}

const_dnnl_memory_desc_t sunup__onednn_rows(struct onednn *o, int64_t rows, int64_t columns)
{
    return sunup__onednn_desc(o, 2, (const int64_t[]){rows, columns},
                              (const int64_t[]){columns, 1});
}

const_dnnl_memory_desc_t sunup__onednn_vector(struct onednn *o, int64_t n)
{
    return sunup__onednn_desc(o, 1, &n, (const int64_t[]){1});
}

void sunup__onednn_operand(struct onednn *o, int key, enum onednn_place place, int index,
                           const_dnnl_memory_desc_t plain)
{
    if (o->n_operands == ONEDNN_OPERANDS) o->status = dnnl_out_of_memory;
    if (o->status != dnnl_success) return;
    o->operands[o->n_operands++] = (struct onednn_operand){
        .key = key, .place = place, .index = index, .desc = plain, .at = -1, .own_at = -1};
}

static int64_t reserve(int64_t *bytes, const_dnnl_memory_desc_t md)
{
    const int64_t at = *bytes;
    *bytes += ((int64_t)dnnl_memory_desc_get_size(md) + 63) & ~(int64_t)63;
    return at;
}

static void make_conversion(struct onednn *o, struct onednn_operand *p,
                            const_dnnl_memory_desc_t wanted)
{
    const bool out = p->place == OUT;
    dnnl_primitive_desc_t pd = NULL;
    p->own_at = reserve(p->stays ? &o->prepared_bytes : &o->bytes, wanted);
    ONEDNN(o, dnnl_memory_create(&p->own, wanted, o->engine, DNNL_MEMORY_NONE));
    ONEDNN(o, dnnl_reorder_primitive_desc_create(&pd, out ? wanted : p->desc, o->engine,
                                                 out ? p->desc : wanted, o->engine, NULL));
    ONEDNN(o, dnnl_primitive_create(&p->convert, pd));
    (void)dnnl_primitive_desc_destroy(pd);
    p->convert_args[0] = (dnnl_exec_arg_t){DNNL_ARG_FROM, out ? p->own : p->plain};
    p->convert_args[1] = (dnnl_exec_arg_t){DNNL_ARG_TO, out ? p->plain : p->own};
}

static void make_operand(struct onednn *o, const struct step *s, int i)
{
    struct onednn_operand *p = &o->operands[i];
    p->stays = p->place == IN && operand_stays(s, p->index);
    const_dnnl_memory_desc_t wanted =
        dnnl_primitive_desc_query_md(o->pd, dnnl_query_exec_arg_md, p->key);
    ONEDNN(o, dnnl_memory_create(&p->plain, p->desc, o->engine, DNNL_MEMORY_NONE));
    if (p->place == WORK || (p->place == OUT && p->index > 0)) p->at = reserve(&o->bytes, p->desc);
    const bool same = wanted == NULL || dnnl_memory_desc_equal(p->desc, wanted) != 0;
    if (!same && o->status == dnnl_success) make_conversion(o, p, wanted);
    o->args[i] = (dnnl_exec_arg_t){p->key, same ? p->plain : p->own};
}

static void make_scratch(struct onednn *o)
{
    const_dnnl_memory_desc_t md = dnnl_primitive_desc_query_md(o->pd, dnnl_query_scratchpad_md, 0);
    ONEDNN(o, dnnl_memory_create(&o->scratch, md, o->engine, DNNL_MEMORY_NONE));
    if (md != NULL) o->scratch_at = reserve(&o->bytes, md);
    o->args[o->n_operands] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, o->scratch};
}

/* ----------------------------------------------------------------------------- runs --- */

static void *memory(const struct step *s, const struct onednn_operand *p)
{
    void *given = p->place == IN ? s->in[p->index] : p->place == OUT ? s->out[p->index] : NULL;
    return given != NULL || p->at < 0 ? given : (char *)s->workspace + p->at;
}

float *sunup__onednn_memory(const struct step *s, const struct onednn *o, int key)
{
    for (int i = 0; i < o->n_operands; i++)
        if (o->operands[i].key == key) return memory(s, &o->operands[i]);
    return NULL;
}

static void convert(struct onednn *o, enum onednn_place place, bool stay)
{
    for (int i = 0; i < o->n_operands; i++) {
        const struct onednn_operand *p = &o->operands[i];
        if (p->place == place && p->stays == stay && p->convert != NULL)
            ONEDNN(o, dnnl_primitive_execute(p->convert, o->stream, 2, p->convert_args));
    }
}

static void place_memory(const struct step *s, struct onednn *o)
{
    char *workspace = s->workspace, *prepared = s->prepared;
    for (int i = 0; i < o->n_operands; i++) {
        const struct onednn_operand *p = &o->operands[i];
        ONEDNN(o, dnnl_memory_set_data_handle(p->plain, memory(s, p)));
        char *own = p->stays ? prepared : workspace;
        if (p->own != NULL) ONEDNN(o, dnnl_memory_set_data_handle(p->own, own + p->own_at));
    }
    if (o->scratch_at >= 0)
        ONEDNN(o, dnnl_memory_set_data_handle(o->scratch, workspace + o->scratch_at));
}

static void prepare(const struct step *s)
{
    struct onednn *o = s->data;
    omp_set_num_threads(o->d->threads);
    place_memory(s, o);
    convert(o, IN, true);
    ONEDNN(o, dnnl_stream_wait(o->stream));
}

static sunup_status run(const struct step *s, const sunup_random_key *key)
{
    (void)key;
    struct onednn *o = s->data;
    omp_set_num_threads(o->d->threads);
    place_memory(s, o);
    convert(o, IN, false);
    if (o->before != NULL) o->before(s, o);
    ONEDNN(o, dnnl_primitive_execute(o->primitive, o->stream, o->n_operands + 1, o->args));
    if (o->after != NULL) o->after(s, o);
    convert(o, OUT, false);
    ONEDNN(o, dnnl_stream_wait(o->stream));
    CHECK(o->status == dnnl_success, o->d->ctx, E_INTERNAL, "oneDNN failed (status %d) in %s",
          (int)o->status, s->maker->name);
    return SUNUP_OK;
}

sunup_status sunup__onednn_close(struct onednn *o, struct step *s)
{
    ONEDNN(o, dnnl_primitive_create(&o->primitive, o->pd));
    for (int i = 0; i < o->n_operands && o->status == dnnl_success; i++) make_operand(o, s, i);
    if (o->status == dnnl_success) make_scratch(o);
    s->run = run;
    s->workspace_bytes = o->bytes;
    s->prepared_bytes = o->prepared_bytes;
    s->prepare = prepare;
    if (o->status == dnnl_success) return SUNUP_OK;
    const int status = (int)o->status;
    struct device *d = o->d;
    end(s);
    RAISE(d->ctx, E_UNSUPPORTED, "oneDNN has no primitive for %s '%s' (status %d)",
          s->node->op->name, s->node->layer, status);
}

/* ------------------------------------------------------------------------- the list --- */

static bool is_f32(const struct device *d, const struct node *n)
{
    (void)d;
    return n->out[0]->dtype == SUNUP_F32 && sunup__elements(&n->out[0]->shape) > 0;
}

static bool is_f32_product(const struct device *d, const struct node *n)
{
    return is_f32(d, n) && sunup__elements(&n->in[0]->shape) > 0;
}

/* Their gradient makes those of gamma and beta only where gamma is. */
static bool has_gamma(const struct device *d, const struct node *n)
{
    return is_f32(d, n) && n->in[1] != NULL;
}

static bool is_dense(const struct device *d, const struct node *n)
{
    for (int i = 1; i < n->n_in; i++)
        if (!sunup__same_shape(&n->in[i]->shape, &n->in[0]->shape)) return false;
    return is_f32(d, n);
}

const struct maker sunup__onednn_makers[] = {
    {"onednn_conv", "conv", sunup__onednn_conv_can, sunup__make_onednn_conv},
    {"onednn_conv_data_grad", "conv_data_grad", sunup__onednn_conv_can,
     sunup__make_onednn_conv_data_grad},
    {"onednn_conv_weight_grad", "conv_weight_grad", sunup__onednn_conv_can,
     sunup__make_onednn_conv_weight_grad},
    {"onednn_max_pool", "max_pool", sunup__onednn_pool_can, sunup__make_onednn_pool},
    {"onednn_avg_pool", "avg_pool", sunup__onednn_pool_can, sunup__make_onednn_pool},
    {"onednn_linear", "linear", is_f32_product, sunup__make_onednn_linear},
    {"onednn_matmul", "matmul", is_f32_product, sunup__make_onednn_matmul},
    {"onednn_batch_norm", "batch_norm", is_f32, sunup__make_onednn_batch_norm},
    {"onednn_batch_norm_grad", "batch_norm_grad", has_gamma, sunup__make_onednn_batch_norm_grad},
    {"onednn_layer_norm", "layer_norm", is_f32, sunup__make_onednn_layer_norm},
    {"onednn_layer_norm_grad", "layer_norm_grad", has_gamma, sunup__make_onednn_layer_norm_grad},
    {"onednn_softmax", "softmax", is_f32, sunup__make_onednn_softmax},
    {"onednn_log_softmax", "log_softmax", is_f32, sunup__make_onednn_softmax},
    {"onednn_softmax_grad", "softmax_grad", is_f32, sunup__make_onednn_softmax_grad},
    {"onednn_log_softmax_grad", "log_softmax_grad", is_f32, sunup__make_onednn_softmax_grad},
    {"onednn_gelu", "gelu", is_dense, sunup__make_onednn_pointwise},
    {"onednn_gelu_grad", "gelu_grad", is_dense, sunup__make_onednn_pointwise},
    {"onednn_relu", "relu", is_dense, sunup__make_onednn_pointwise},
    {"onednn_relu_grad", "relu_grad", is_dense, sunup__make_onednn_pointwise},
    {"onednn_add", "add", is_dense, sunup__make_onednn_pointwise},
    {NULL, NULL, NULL, NULL}};
