/* cpu.c - the processor this program runs on: memory is the host's, steps run on the context's
 * threads.
 *
 * Owes: the makers that can do every op: `run` of the op's own row (src/graph/ops/), and a copy for
 * a view whose result needs memory of its own. Leaves: faster ways (batch-reduce GEMM drivers) to
 * the lists of makers.h, which are asked first.
 */
#include <string.h>

#include "device/cpu/makers.h"
#include "device/device.h"

static sunup_status cpu_alloc(struct device *d, int64_t bytes, void **memory)
{
    *memory = sunup__alloc_aligned((size_t)bytes);
    CHECK(*memory != NULL, d->ctx, E_MEMORY, "the system gives no %lld bytes of memory",
          (long long)bytes);
    return SUNUP_OK;
}

static void cpu_free(struct device *d, void *memory)
{
    (void)d;
    sunup__free(memory);
}

static bool is_view(const struct device *d, const struct node *n)
{
    (void)d;
    return (n->op->flags & OP_VIEW) != 0;
}

static sunup_status run_copy(const struct step *s, const sunup_random_key *key)
{
    (void)key;
    const sunup_value *y = s->node->out[0];
    const int64_t bytes = sunup__elements(&y->shape) * sunup_dtype_bytes(y->dtype);
    memcpy(s->out[0], s->in[0], (size_t)bytes);
    return SUNUP_OK;
}

static sunup_status make_copy(struct device *d, const struct node *n, struct step *s)
{
    (void)d;
    (void)n;
    s->run = run_copy;
    return SUNUP_OK;
}

static bool has_run(const struct device *d, const struct node *n)
{
    (void)d;
    return n->op->run != NULL;
}

static sunup_status run_op(const struct step *s, const sunup_random_key *key)
{
    const struct device *d = s->device;
    const struct exec e = {.ctx = d->ctx,
                           .kernels = d->kernels,
                           .threads = d->threads,
                           .in = s->in,
                           .out = s->out,
                           .workspace = s->workspace,
                           .key = key};
    return s->node->op->run(s->node, &e);
}

static sunup_status make_op(struct device *d, const struct node *n, struct step *s)
{
    s->run = run_op;
    if (n->op->workspace != NULL) s->workspace_bytes = n->op->workspace(n, d->threads);
    return SUNUP_OK;
}

static const struct maker generic[] = {{"copy", NULL, is_view, make_copy},
                                       {"op_run", NULL, has_run, make_op},
                                       {NULL, NULL, NULL, NULL}};

static const struct maker *const lists[] = {sunup__cpu_makers, generic,
#ifdef SUNUP_HAVE_ONEDNN
                                            sunup__onednn_makers, /* last: chosen by measurement only */
#endif
                                            NULL};

const struct device_ops sunup__device_cpu = {
    .name = "cpu", .makers = lists, .alloc = cpu_alloc, .free = cpu_free, .share = true};
