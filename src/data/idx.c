/* idx.c - the format of MNIST: 0 0 type dims, then one big-endian u32 a dimension, then big-endian numbers.
 *
 * Source: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database", file formats at the page's foot.
 */
#include "base/memory.h"
#include "data/array.h"

static int idx_element(unsigned code)
{
    switch (code) {
    case 0x08:
        return ELEMENT_U8;
    case 0x09:
        return ELEMENT_I8;
    case 0x0B:
        return ELEMENT_I16;
    case 0x0C:
        return ELEMENT_I32;
    case 0x0D:
        return ELEMENT_F32;
    case 0x0E:
        return ELEMENT_F64;
    default:
        return -1;
    }
}

static int64_t big_u32(const unsigned char *p)
{
    return (int64_t)p[0] << 24 | (int64_t)p[1] << 16 | (int64_t)p[2] << 8 | (int64_t)p[3];
}

sunup_status sunup__parse_idx(sunup_context *ctx, const void *data, size_t bytes, const char *name,
                              struct source *s)
{
    const unsigned char *p = data;
    CHECK(bytes >= 4, ctx, E_FORMAT, "%s: byte %zu: the file ends inside the 4 bytes of its magic",
          name, bytes);
    CHECK(p[0] == 0 && p[1] == 0, ctx, E_FORMAT,
          "%s: byte 0: an idx file begins with 00 00, this one with %02x %02x", name, p[0], p[1]);
    const int element = idx_element(p[2]);
    CHECK(element >= 0, ctx, E_FORMAT,
          "%s: byte 2: element type 0x%02x is none of idx (08 09 0b 0c 0d 0e)", name, p[2]);
    CHECK(p[3] >= 1 && p[3] <= SUNUP_MAX_DIMS, ctx, E_FORMAT,
          "%s: byte 3: %d dimensions; 1 to %d can be read", name, p[3], SUNUP_MAX_DIMS);
    const size_t at = 4 + 4 * (size_t)p[3];
    CHECK(bytes >= at, ctx, E_FORMAT, "%s: byte %zu: the file ends inside its %d dimensions", name,
          bytes, p[3]);
    *s = (struct source){.name = name, .element = (enum element)element, .big_endian = true};
    s->shape.n = p[3];
    for (int i = 0; i < s->shape.n; i++) s->shape.d[i] = big_u32(p + 4 + 4 * i);
    return sunup__source_at(ctx, data, bytes, at, s);
}

sunup_status sunup__read_idx(sunup_context *ctx, const void *data, size_t bytes, const char *name,
                             struct array *a)
{
    struct source s;
    *a = (struct array){0};
    TRY(sunup__parse_idx(ctx, data, bytes, name, &s));
    return sunup__array_copy(ctx, &s, a);
}
