/* memcheck.c - a cpu that distrusts every step: for tests of ops, makers and of the planner itself.
 *
 * Owes: an error that names step, op, layer, value and offset when a step
 *   - writes outside a value (guard bytes before and after each one are compared after every step),
 *   - changes an operand (hashed before and after),
 *   - has prepared weights that are not those of its operand any more,
 *   - leaves an element of an output unwritten, or computes it from memory that may not be read:
 *     whatever is not written yet, or dead, holds a signalling NaN of its own kind, which survives
 *     copying and, quieted, arithmetic.
 * Leaves: computing to the cpu's makers; giving every value memory of its own to the planner
 * (share = false).
 * Limits: u8 outputs are not searched for poison (every byte is a legal value); bound memory has no
 * guards.
 */
#include <string.h>

#include "device/device.h"

/* The planner leaves GUARD bytes around a value; NEAR of them are the value's own, so that the
 * value named is the one the stray byte is nearer to. */
enum { GUARD = 128, NEAR = GUARD / 2 };

#define POISON_F32 UINT32_C(0x7FA0DEAD)         /* signalling: bit 22 is clear      */
#define QUIET_F32  UINT32_C(0x00400000)         /* set by the processor when read   */
#define POISON_F64 UINT64_C(0x7FF4DEADBEEFDEAD) /* signalling: bit 51 is clear      */
#define QUIET_F64  UINT64_C(0x0008000000000000)
#define POISON_I32 UINT32_C(0xA5A5A5A5) /* far outside any index            */
#define TWICE(x)   ((uint64_t)(x) << 32 | (x))

struct watch {
    const struct region *regions;
    int n;
    uint64_t *hash; /* of the operands of the step that runs */
    int room;
};

static uint64_t poison(sunup_dtype dtype)
{
    switch (dtype) {
    case SUNUP_F32:
        return TWICE(POISON_F32);
    case SUNUP_F64:
        return POISON_F64;
    case SUNUP_I32:
    case SUNUP_U8:
        break;
    }
    return TWICE(POISON_I32);
}

/* p[from, to) with the pattern that starts at p; a value starts 8-byte aligned. */
static void fill(unsigned char *p, int64_t from, int64_t to, uint64_t pattern)
{
    unsigned char byte[8];
    memcpy(byte, &pattern, 8);
    int64_t i = from;
    for (; i < to && (i & 7) != 0; i++) p[i] = byte[i & 7];
    for (; i + 8 <= to; i += 8) memcpy(p + i, byte, 8);
    for (; i < to; i++) p[i] = byte[i & 7];
}

/* Offset of the first byte of p[from, to) that is not the pattern's; -1 if there is none. */
static int64_t first_other(const unsigned char *p, int64_t from, int64_t to, uint64_t pattern)
{
    unsigned char expect[8];
    memcpy(expect, &pattern, 8);
    for (int64_t i = from; i < to; i++)
        if (p[i] != expect[i & 7]) return i;
    return -1;
}

static int64_t padded(int64_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

static int64_t bytes_of(const sunup_value *v)
{
    return sunup__elements(&v->shape) * sunup_dtype_bytes(v->dtype);
}

static sunup_status memcheck_open(sunup_context *ctx, struct device *d)
{
    d->state = sunup__alloc(sizeof(struct watch));
    CHECK(d->state != NULL, ctx, E_MEMORY, "no memory to open the device 'memcheck'");
    return SUNUP_OK;
}

static void memcheck_close(struct device *d)
{
    sunup__free(((struct watch *)d->state)->hash);
    sunup__free(d->state);
}

/* Guards share one pattern: between two values they belong to both. */
static sunup_status memcheck_begin(struct device *d, const struct region *regions, int n)
{
    struct watch *w = d->state;
    w->regions = regions;
    w->n = n;
    for (int i = 0; i < n; i++) {
        const struct region *r = &regions[i];
        if (r->guarded) {
            fill(r->memory - NEAR, 0, NEAR, TWICE(POISON_F32));
            fill(r->memory, r->bytes, padded(r->bytes) + NEAR, TWICE(POISON_F32));
        }
        if (!r->kept)
            fill(r->memory, 0, r->bytes, poison(r->value != NULL ? r->value->dtype : SUNUP_F32));
    }
    return SUNUP_OK;
}

#define TRAP(d, s, format, ...)                                                                    \
    RAISE((d)->ctx, E_INTERNAL, "memcheck: step %d (%s '%s', maker %s) " format, (s)->number,      \
          (s)->node->op->name, (s)->node->layer, (s)->maker->name, __VA_ARGS__)

/* Who writes weights behind the plan's back leaves prepared ones that are not theirs. */
static sunup_status prepared_anew(struct device *d, const struct step *s)
{
    if (s->prepared == NULL) return SUNUP_OK;
    const size_t bytes = (size_t)s->prepared_bytes;
    const uint64_t before = sunup__hash(s->prepared, bytes, 0);
    s->prepare(s);
    if (sunup__hash(s->prepared, bytes, 0) != before)
        TRAP(d, s, "has prepared weights (%lld bytes) of other numbers than its operand has now",
             (long long)bytes);
    return SUNUP_OK;
}

static sunup_status memcheck_before(struct device *d, const struct step *s)
{
    struct watch *w = d->state;
    const struct node *n = s->node;
    TRY(prepared_anew(d, s));
    if (n->n_in > w->room) {
        uint64_t *hash = sunup__realloc(w->hash, (size_t)n->n_in * sizeof *hash);
        CHECK(hash != NULL, d->ctx, E_MEMORY, "no memory to watch %d operands", n->n_in);
        w->hash = hash;
        w->room = n->n_in;
    }
    for (int i = 0; i < n->n_in; i++)
        if (s->in[i] != NULL) w->hash[i] = sunup__hash(s->in[i], (size_t)bytes_of(n->in[i]), 0);
    return SUNUP_OK;
}

static sunup_status guards_intact(struct device *d, const struct step *s)
{
    const struct watch *w = d->state;
    for (int i = 0; i < w->n; i++) {
        const struct region *r = &w->regions[i];
        if (!r->guarded) continue;
        const char *name = r->value != NULL ? r->value->name
                           : r->prepared    ? "prepared weights"
                                            : "a workspace";
        int64_t at = first_other(r->memory - NEAR, 0, NEAR, TWICE(POISON_F32));
        if (at >= 0)
            TRAP(d, s, "wrote outside: byte %lld before the start of '%s' (%lld bytes)",
                 (long long)(NEAR - at), name, (long long)r->bytes);
        at = first_other(r->memory, r->bytes, padded(r->bytes) + NEAR, TWICE(POISON_F32));
        if (at >= 0)
            TRAP(d, s, "wrote outside: byte %lld from the start of '%s', which has %lld bytes",
                 (long long)at, name, (long long)r->bytes);
    }
    return SUNUP_OK;
}

static sunup_status operands_intact(struct device *d, const struct step *s)
{
    const struct watch *w = d->state;
    const struct node *n = s->node;
    for (int i = 0; i < n->n_in; i++)
        if (s->in[i] != NULL && w->hash[i] != sunup__hash(s->in[i], (size_t)bytes_of(n->in[i]), 0))
            TRAP(d, s, "changed its operand %d, '%s' (%lld bytes)", i, n->in[i]->name,
                 (long long)bytes_of(n->in[i]));
    return SUNUP_OK;
}

enum finding { CLEAN, UNWRITTEN, TAINTED };

static enum finding judge(const unsigned char *p, sunup_dtype dtype)
{
    if (dtype == SUNUP_F64) {
        uint64_t x;
        memcpy(&x, p, 8);
        return x == POISON_F64 ? UNWRITTEN : x == (POISON_F64 | QUIET_F64) ? TAINTED : CLEAN;
    }
    uint32_t x;
    memcpy(&x, p, 4);
    if (dtype == SUNUP_I32) return x == POISON_I32 ? UNWRITTEN : CLEAN;
    return x == POISON_F32 ? UNWRITTEN : x == (POISON_F32 | QUIET_F32) ? TAINTED : CLEAN;
}

static sunup_status output_clean(struct device *d, const struct step *s, int o)
{
    const sunup_value *y = s->node->out[o];
    if (s->out[o] == NULL || y->dtype == SUNUP_U8) return SUNUP_OK;
    const int64_t width = sunup_dtype_bytes(y->dtype), n = sunup__elements(&y->shape);
    const unsigned char *p = s->out[o];
    for (int64_t i = 0; i < n; i++) {
        const enum finding found = judge(p + i * width, y->dtype);
        if (found == UNWRITTEN)
            TRAP(d, s, "did not write element %lld (of %lld) of its output %d", (long long)i,
                 (long long)n, o);
        if (found == TAINTED)
            TRAP(d, s,
                 "computed element %lld (of %lld) of its output %d from memory that nobody wrote",
                 (long long)i, (long long)n, o);
    }
    return SUNUP_OK;
}

static sunup_status memcheck_after(struct device *d, const struct step *s)
{
    const struct node *n = s->node;
    TRY(guards_intact(d, s));
    TRY(operands_intact(d, s));
    for (int o = 0; o < n->n_out; o++) TRY(output_clean(d, s, o));
    for (int i = 0; i < n->n_in; i++)
        if (s->in[i] != NULL && s->dies[i])
            fill(s->in[i], 0, bytes_of(n->in[i]), poison(n->in[i]->dtype));
    return SUNUP_OK;
}

const struct device_ops sunup__device_memcheck = {.name = "memcheck",
                                                  .inherits = "cpu",
                                                  .open = memcheck_open,
                                                  .close = memcheck_close,
                                                  .begin = memcheck_begin,
                                                  .before = memcheck_before,
                                                  .after = memcheck_after,
                                                  .guard_bytes = GUARD};
