/* random.c - a field of made-up numbers: to time a network before there are data for it, and to benchmark.
 *
 * Element i is a function of the field's name and i alone. Floats are standard normal, labels uniform below
 * `classes`. What is missing for an array to be described is an error here, not a guess.
 */
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "data/array.h"

static sunup_status check(sunup_context *ctx, const sunup_field_options *o)
{
    CHECK(o->path == NULL && o->member == NULL, ctx, E_ARGUMENT,
          "field '%s' has a path and is random; it is read from a file or made up, not both",
          o->name);
    CHECK(o->shape.n > 0 || o->label, ctx, E_ARGUMENT,
          "field '%s' is random: it needs the shape of a sample", o->name);
    CHECK(o->label == (o->classes > 0), ctx, E_ARGUMENT,
          "field '%s' is random: `classes` must be above 0 for labels and is for nothing else",
          o->name);
    CHECK(o->shape.n < SUNUP_MAX_DIMS && sunup__shape_ok(&o->shape), ctx, E_SHAPE,
          "field '%s' is random and has an impossible shape", o->name);
    return SUNUP_OK;
}

sunup_status sunup__random_array(sunup_context *ctx, const sunup_field_options *o, struct array *a)
{
    *a = (struct array){0};
    TRY(check(ctx, o));
    sunup_shape shape = {.n = o->shape.n + 1, .d = {o->random}};
    for (int i = 0; i < o->shape.n; i++) shape.d[i + 1] = o->shape.d[i];
    TRY(sunup__array_begin(ctx, o->name, o->label ? SUNUP_I32 : SUNUP_F32, &shape, a));
    const struct random_stream stream = {.purpose = RANDOM_USER,
                                         .b = sunup__hash(o->name, strlen(o->name), 0)};
    const int64_t n = sunup__elements(&shape);
    float *x = a->data;
    int32_t *label = a->data;
    for (int64_t i = 0; i < n; i++) {
        if (o->label)
            label[i] = (int32_t)sunup__random_below(&stream, (uint64_t)i, (uint64_t)o->classes);
        else
            x[i] = (float)sunup__random_normal(&stream, (uint64_t)i);
    }
    return SUNUP_OK;
}
