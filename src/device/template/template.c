/* template.c - a device to copy: what a new one must say, and nothing else.
 *
 * To add a device `gpu`: copy this folder to src/device/gpu/, replace `template` by `gpu`, add
 * DEVICE(gpu) to devices.def. Then SUNUP_DEVICE=gpu runs every test and example on it.
 *
 * What a device owes (device.h):
 *   makers   how a node becomes a step: can() looks at op, shapes and types, make() fills run (and
 *            data with end, and workspace_bytes if the step needs scratch memory). The planner
 *            takes the first maker that can; a tuning file may name another.
 *   alloc    memory for values, 64-byte aligned, and free.
 *   inherits whose entries and makers serve where this device has none: with "cpu" every op works
 *            from the first day, and fast makers can be added one at a time. Needs memory that the
 *            host can read and write.
 * What it may leave to others: open, close, begin, before, after (NULL here).
 *
 * This one computes sums of two f32 values of one shape by itself, as an example, and inherits the
 * rest.
 */
#include "device/device.h"

/* Asked when a plan is made, so it may be slow; the answer must depend on node and device alone. */
static bool template_can_add(const struct device *d, const struct node *n)
{
    (void)d;
    const sunup_value *a = n->in[0], *b = n->in[1];
    return a->dtype == SUNUP_F32 && sunup__same_shape(&a->shape, &b->shape);
}

/* Runs once for every run of the plan: neither allocates nor checks. s->in and s->out hold
 * addresses, in the order of the node's operands and results; a result that nobody reads has
 * none. The result may lie in an operand. */
static sunup_status template_run_add(const struct step *s, const sunup_random_key *key)
{
    (void)key;
    const int64_t n = sunup__elements(&s->node->out[0]->shape);
    const float *a = s->in[0], *b = s->in[1];
    float *y = s->out[0];
    for (int64_t i = 0; i < n; i++) y[i] = a[i] + b[i];
    return SUNUP_OK;
}

static sunup_status template_make_add(struct device *d, const struct node *n, struct step *s)
{
    (void)d;
    (void)n;
    s->run = template_run_add;
    return SUNUP_OK;
}

static const struct maker template_makers[] = {
    {"template_add", "add", template_can_add, template_make_add}, {NULL, NULL, NULL, NULL}};

static const struct maker *const template_lists[] = {template_makers, NULL};

const struct device_ops sunup__device_template = {
    .name = "template", .inherits = "cpu", .makers = template_lists, .share = true};
