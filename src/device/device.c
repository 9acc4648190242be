/* device.c - opening the context's device and finding its makers.
 *
 * Owes: one device and one table of leaf functions a context, made at the first call and ended with
 * the context; entries that a device leaves NULL are taken from the device it inherits from, so
 * that a new device states only what it does otherwise. Leaves: what a device does to its folder;
 * which maker is used to src/plan/choose.c. Invariant: a device that was opened has alloc, free and
 * a maker for every op of ops.def.
 */
#include "device/device.h"

#include <string.h>

#include "base/system.h"

static const struct device_ops *const devices[] = {
#define DEVICE(name) &sunup__device_##name,
#include "device/devices.def"
#undef DEVICE
};
enum { N_DEVICES = sizeof devices / sizeof devices[0] };

/* The device of the context with its table after inheritance. */
struct opened {
    struct device device;
    struct device_ops ops;
};

double sunup__product_error(const struct maker *m)
{
    return strstr(m->name, "_bf16x3") != NULL ? 0x1.0002p-15 : 0;
}

static const struct device_ops *find(const char *name)
{
    if (name == NULL) return NULL;
    for (int i = 0; i < N_DEVICES; i++)
        if (strcmp(devices[i]->name, name) == 0) return devices[i];
    return NULL;
}

#define INHERIT(entry)                                                                             \
    if (o->entry == NULL) o->entry = from->entry

static void inherit(struct device_ops *o, const struct device_ops *from)
{
    INHERIT(open);
    INHERIT(close);
    INHERIT(makers);
    INHERIT(alloc);
    INHERIT(free);
    INHERIT(begin);
    INHERIT(before);
    INHERIT(after);
}

static void end_kernels(void *p)
{
    sunup__free(p);
}

sunup_status sunup__kernels(sunup_context *ctx, const struct kernels **kernels)
{
    struct kept *kept = &ctx->kept[KEPT_KERNELS];
    if (kept->p == NULL) {
        struct kernels *k = sunup__alloc(sizeof *k);
        CHECK(k != NULL, ctx, E_MEMORY, "no memory for the table of kernels");
        if (!sunup__kernels_init(k, sunup__cpu_flags(), ctx->options.isa)) {
            sunup__free(k);
            char cpu[128];
            sunup__cpu_name(cpu, sizeof cpu);
            RAISE(ctx, E_UNSUPPORTED,
                  "instruction set '%s' is not one that this build and this processor (%s) have; "
                  "leave isa (SUNUP_ISA) unset for the best one, or use \"ref\"",
                  ctx->options.isa, cpu);
        }
        *kept = (struct kept){k, end_kernels};
    }
    *kernels = kept->p;
    return SUNUP_OK;
}

static void end_device(void *p)
{
    struct opened *o = p;
    if (o->ops.close != NULL) o->ops.close(&o->device);
    sunup__free(o);
}

static sunup_status unknown_device(sunup_context *ctx, const char *name)
{
    struct text known = {0};
    for (int i = 0; i < N_DEVICES; i++)
        sunup__text(&known, "%s%s", i > 0 ? ", " : "", devices[i]->name);
    const sunup_status status =
        sunup__raise(ctx, SUNUP_E_ARGUMENT, "no device is called '%s'; this build has: %s", name,
                     known.s != NULL ? known.s : "?");
    sunup__free(known.s);
    return status;
}

sunup_status sunup__device(sunup_context *ctx, struct device **device)
{
    struct kept *kept = &ctx->kept[KEPT_DEVICE];
    if (kept->p == NULL) {
        const char *name = ctx->options.device != NULL ? ctx->options.device : "cpu";
        const struct device_ops *ops = find(name);
        if (ops == NULL) return unknown_device(ctx, name);
        const struct kernels *kernels;
        TRY(sunup__kernels(ctx, &kernels));
        struct opened *o = sunup__alloc(sizeof *o);
        CHECK(o != NULL, ctx, E_MEMORY, "no memory to open the device '%s'", name);
        o->ops = *ops;
        for (const struct device_ops *from = find(ops->inherits); from != NULL;
             from = find(from->inherits))
            inherit(&o->ops, from);
        o->device = (struct device){
            .ops = &o->ops, .ctx = ctx, .kernels = kernels, .threads = ctx->threads};
        const sunup_status status = o->ops.open != NULL ? o->ops.open(ctx, &o->device) : SUNUP_OK;
        if (status != SUNUP_OK) {
            sunup__free(o);
            return status;
        }
        *kept = (struct kept){o, end_device};
    }
    *device = &((struct opened *)kept->p)->device;
    return SUNUP_OK;
}

const char *sunup_context_isa(const sunup_context *ctx)
{
    const struct kernels *k = ctx->kept[KEPT_KERNELS].p;
    struct kernels fresh = {0};
    if (k == NULL && sunup__kernels_init(&fresh, sunup__cpu_flags(), ctx->options.isa)) k = &fresh;
    return k != NULL ? k->isa : "none";
}

/* Makers of one device's lists that can do the node, appended from list[n_found]. */
static int own_makers(const struct device *d, const struct device_ops *ops, const struct node *n,
                      const struct maker **list, int room)
{
    int found = 0;
    for (const struct maker *const *lists = ops->makers; lists != NULL && *lists != NULL; lists++)
        for (const struct maker *m = *lists; m->name != NULL && found < room; m++)
            if ((m->op == NULL || strcmp(m->op, n->op->name) == 0) &&
                (m->can == NULL || m->can(d, n)))
                list[found++] = m;
    return found;
}

int sunup__makers(const struct device *d, const struct node *n, const struct maker **list, int room)
{
    int found = 0;
    for (const struct device_ops *ops = find(d->ops->name); ops != NULL; ops = find(ops->inherits))
        found += own_makers(d, ops, n, list + found, room - found);
    return found;
}
