/* init.c - the numbers that a parameter or state starts with.
 *
 * Element i is drawn from the stream (seed, hash of the name) at i and from nothing else, so adding, removing or
 * reordering layers changes no other layer's start, and an f64 network starts where its f32 twin does, but for
 * rounding.
 */
#include <string.h>

#include "graph/graph.h"

static double draw(sunup_init init, const struct random_stream *s, int64_t i)
{
    switch (init.kind) {
    case SUNUP_INIT_UNIFORM:
        return init.a * (2 * sunup__random_unit(s, (uint64_t)i) - 1);
    case SUNUP_INIT_NORMAL:
        return init.a * sunup__random_normal(s, (uint64_t)i);
    case SUNUP_INIT_CONSTANT:
        break;
    }
    return init.a;
}

void sunup__init_fill(sunup_init init, const char *name, uint64_t seed, sunup_dtype dtype,
                      int64_t n, void *data)
{
    const struct random_stream s = {
        .seed = seed, .purpose = RANDOM_INIT, .a = (uint32_t)sunup__hash(name, strlen(name), 0)};
    for (int64_t i = 0; i < n; i++) {
        const double x = draw(init, &s, i);
        if (dtype == SUNUP_F64)
            ((double *)data)[i] = x;
        else
            ((float *)data)[i] = (float)x;
    }
}
