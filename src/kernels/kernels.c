/* kernels.c - fills the table of leaves: plain C first, then each instruction set that the
 * processor has.
 *
 * Invariant: no entry is NULL. The order of isa.def is the order of strength, so a later level
 * overwrites.
 */
#include "kernels/kernels.h"

#include <string.h>

#include "base/system.h"

#define ISA(name, needs) void sunup__kernels_##name(struct kernels *k);
#include "kernels/isa.def"
#undef ISA

struct level {
    const char *name;
    unsigned needs;
    void (*fill)(struct kernels *k);
};

static void fill_ref(struct kernels *k)
{
#define LEAF(name, ...)                                                                            \
    k->f32.name = ref_##name##_f32;                                                                \
    k->f64.name = ref_##name##_f64;
#include "kernels/leaves.def"
#undef LEAF
    k->fma_loop = sunup__fma_loop;
}

static const struct level levels[] = {
    {"ref", 0, fill_ref},
#define ISA(name, needs) {#name, needs, sunup__kernels_##name},
#include "kernels/isa.def"
#undef ISA
};
enum { LEVELS = sizeof levels / sizeof levels[0] };

const char *sunup__isa_name(int i)
{
    return i >= 0 && i < LEVELS ? levels[i].name : NULL;
}

bool sunup__isa_runs(int i, unsigned flags)
{
    return i >= 0 && i < LEVELS && (flags & levels[i].needs) == levels[i].needs;
}

static int level_named(const char *isa)
{
    for (int i = 0; i < LEVELS; i++) {
        if (strcmp(levels[i].name, isa) == 0) return i;
    }
    return -1;
}

bool sunup__kernels_init(struct kernels *k, unsigned flags, const char *isa)
{
    const int last = isa ? level_named(isa) : LEVELS - 1;
    if (last < 0 || (isa && !sunup__isa_runs(last, flags))) return false;
    for (int i = 0; i <= last; i++) {
        if (!sunup__isa_runs(i, flags)) continue;
        levels[i].fill(k);
        k->isa = levels[i].name;
    }
    return true;
}
