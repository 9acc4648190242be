/* array.c - element types of files to those of sunup, any byte order, any axis order, any alignment.
 *
 * Rule: nothing is lost that sunup can hold. Small integers become i32 (u8 and bool stay u8), f16 becomes f32; u32,
 * i64 and u64 become i32 if every number fits, else f64, exact up to 2^53.
 */
#include "data/array.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/system.h"

/* y[0..n-1] from n file elements, `step` bytes apart (negative never; 0 bytes never). */
typedef void (*row_fn)(void *y, const unsigned char *x, int64_t n, int64_t step, bool swap);

#define DEFINE_LOAD(bits, swapped)                                                                 \
    static uint##bits##_t load##bits(const unsigned char *p, bool swap)                            \
    {                                                                                              \
        uint##bits##_t v;                                                                          \
        memcpy(&v, p, sizeof v);                                                                   \
        return swap ? swapped : v;                                                                 \
    }
DEFINE_LOAD(8, v)
DEFINE_LOAD(16, __builtin_bswap16(v))
DEFINE_LOAD(32, __builtin_bswap32(v))
DEFINE_LOAD(64, __builtin_bswap64(v))

#define DEFINE_ROW(name, bits, type, to)                                                           \
    static void row_##name(void *out, const unsigned char *x, int64_t n, int64_t step, bool swap)  \
    {                                                                                              \
        to *y = out;                                                                               \
        for (int64_t i = 0; i < n; i++) {                                                          \
            const uint##bits##_t word = load##bits(x + i * step, swap);                            \
            type v;                                                                                \
            memcpy(&v, &word, sizeof v);                                                           \
            y[i] = (to)v;                                                                          \
        }                                                                                          \
    }
DEFINE_ROW(u8, 8, uint8_t, uint8_t)
DEFINE_ROW(i8, 8, int8_t, int32_t)
DEFINE_ROW(u16, 16, uint16_t, int32_t)
DEFINE_ROW(i16, 16, int16_t, int32_t)
DEFINE_ROW(u32, 32, uint32_t, double)
DEFINE_ROW(i32, 32, int32_t, int32_t)
DEFINE_ROW(u64, 64, uint64_t, double)
DEFINE_ROW(i64, 64, int64_t, double)
DEFINE_ROW(f32, 32, float, float)
DEFINE_ROW(f64, 64, double, double)

static void row_bool(void *out, const unsigned char *x, int64_t n, int64_t step, bool swap)
{
    (void)swap;
    uint8_t *y = out;
    for (int64_t i = 0; i < n; i++) y[i] = x[i * step] != 0;
}

/* IEEE 754 binary16: 1 sign, 5 exponent, 10 fraction bits; every value is an f32. */
static float half(uint16_t h)
{
    const int exponent = h >> 10 & 31;
    const int fraction = h & 1023;
    float v;
    if (exponent == 31)
        v = fraction != 0 ? NAN : INFINITY;
    else if (exponent == 0)
        v = ldexpf((float)fraction, -24);
    else
        v = ldexpf((float)(fraction + 1024), exponent - 25);
    return h >> 15 ? -v : v;
}

static void row_f16(void *out, const unsigned char *x, int64_t n, int64_t step, bool swap)
{
    float *y = out;
    for (int64_t i = 0; i < n; i++) y[i] = half(load16(x + i * step, swap));
}

static const struct {
    int bytes;
    bool same; /* in memory as in the file, but for byte order */
    bool wide; /* whole numbers passing through f64            */
    sunup_dtype dtype;
    row_fn row;
} element_table[ELEMENTS] = {
    [ELEMENT_BOOL] = {1, false, false, SUNUP_U8, row_bool},
    [ELEMENT_U8] = {1, true, false, SUNUP_U8, row_u8},
    [ELEMENT_I8] = {1, false, false, SUNUP_I32, row_i8},
    [ELEMENT_U16] = {2, false, false, SUNUP_I32, row_u16},
    [ELEMENT_I16] = {2, false, false, SUNUP_I32, row_i16},
    [ELEMENT_U32] = {4, false, true, SUNUP_F64, row_u32},
    [ELEMENT_I32] = {4, true, false, SUNUP_I32, row_i32},
    [ELEMENT_U64] = {8, false, true, SUNUP_F64, row_u64},
    [ELEMENT_I64] = {8, false, true, SUNUP_F64, row_i64},
    [ELEMENT_F16] = {2, false, false, SUNUP_F32, row_f16},
    [ELEMENT_F32] = {4, true, false, SUNUP_F32, row_f32},
    [ELEMENT_F64] = {8, true, false, SUNUP_F64, row_f64},
};

int64_t sunup__element_bytes(enum element e)
{
    return element_table[e].bytes;
}

bool sunup__big_endian(void)
{
    return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
}

void sunup__array_end(struct array *a)
{
    sunup__free(a->data);
    *a = (struct array){0};
}

sunup_status sunup__room_for(sunup_context *ctx, const char *name, int64_t bytes)
{
    enum { SMALL = 1 << 20 }; /* not worth asking the system */
    if (bytes <= SMALL) return SUNUP_OK;
    const int64_t available = sunup__memory_available();
    CHECK(bytes <= available, ctx, E_MEMORY,
          "%s: its numbers need %.1f MB of memory and %.1f MB are free; train on a part of the "
          "file, or on a node with more memory",
          name, 1e-6 * (double)bytes, 1e-6 * (double)available);
    return SUNUP_OK;
}

sunup_status sunup__array_begin(sunup_context *ctx, const char *name, sunup_dtype dtype,
                                const sunup_shape *shape, struct array *a)
{
    char text[SHAPE_TEXT];
    *a = (struct array){.dtype = dtype, .shape = *shape};
    CHECK(sunup__shape_ok(shape), ctx, E_FORMAT, "%s: the shape %s is not possible", name,
          sunup__shape_text(shape, text));
    const int64_t bytes = sunup__elements(shape) * sunup_dtype_bytes(dtype);
    TRY(sunup__room_for(ctx, name, bytes));
    a->data = sunup__alloc_aligned((size_t)bytes);
    CHECK(a->data != NULL, ctx, E_MEMORY, "%s: no memory for %.1f MB of shape %s", name,
          1e-6 * (double)bytes, sunup__shape_text(shape, text));
    return SUNUP_OK;
}

/* Strides in bytes of a column-major array: the first axis is fastest. */
static void column_strides(const struct source *s, int64_t stride[SUNUP_MAX_DIMS])
{
    int64_t bytes = element_table[s->element].bytes;
    for (int i = 0; i < s->shape.n; i++) {
        stride[i] = bytes;
        bytes *= s->shape.d[i];
    }
}

/* Rows of the last axis, in row-major order of the others, each with the source's stride. */
static void convert_columns(const struct source *s, bool swap, struct array *a)
{
    const int last = s->shape.n - 1;
    const int64_t length = s->shape.d[last];
    const int64_t row_bytes = length * sunup_dtype_bytes(a->dtype);
    const int64_t rows = length > 0 ? sunup__elements(&s->shape) / length : 0;
    int64_t stride[SUNUP_MAX_DIMS], index[SUNUP_MAX_DIMS] = {0};
    column_strides(s, stride);
    for (int64_t r = 0; r < rows; r++) {
        int64_t from = 0;
        for (int i = 0; i < last; i++) from += index[i] * stride[i];
        element_table[s->element].row((char *)a->data + r * row_bytes, s->bytes + from, length,
                                      stride[last], swap);
        for (int i = last - 1; i >= 0 && ++index[i] == s->shape.d[i]; i--) index[i] = 0;
    }
}

static bool needs_swap(const struct source *s)
{
    return s->big_endian != sunup__big_endian() && element_table[s->element].bytes > 1;
}

sunup_status sunup__array_copy(sunup_context *ctx, const struct source *s, struct array *a)
{
    const enum element e = s->element;
    TRY(sunup__array_begin(ctx, s->name, element_table[e].dtype, &s->shape, a));
    const int64_t n = sunup__elements(&s->shape);
    if (s->column_major && s->shape.n > 1)
        convert_columns(s, needs_swap(s), a);
    else if (element_table[e].same && !needs_swap(s))
        memcpy(a->data, s->bytes, (size_t)(n * element_table[e].bytes));
    else
        element_table[e].row(a->data, s->bytes, n, element_table[e].bytes, needs_swap(s));
    if (!element_table[e].wide) return SUNUP_OK;
    const sunup_status status = sunup__array_narrow(ctx, s->name, a);
    if (status != SUNUP_OK) sunup__array_end(a);
    return status;
}

sunup_status sunup__array_adopt(sunup_context *ctx, const struct source *s, void **owned,
                                struct array *a)
{
    const bool as_is = element_table[s->element].same && !needs_swap(s) &&
                       !(s->column_major && s->shape.n > 1) && sunup__shape_ok(&s->shape);
    sunup_status status = SUNUP_OK;
    if (as_is) {
        const int64_t bytes = sunup__elements(&s->shape) * element_table[s->element].bytes;
        memmove(*owned, s->bytes, (size_t)bytes);
        *a = (struct array){element_table[s->element].dtype, s->shape, *owned};
    } else {
        status = sunup__array_copy(ctx, s, a);
        sunup__free(*owned);
    }
    *owned = NULL;
    return status;
}

static bool fits_i32(const double *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!(x[i] >= INT32_MIN && x[i] <= INT32_MAX && x[i] == nearbyint(x[i]))) return false;
    return true;
}

sunup_status sunup__array_narrow(sunup_context *ctx, const char *name, struct array *a)
{
    const int64_t n = sunup__elements(&a->shape);
    const double *x = a->data;
    if (a->dtype != SUNUP_F64 || !fits_i32(x, n)) return SUNUP_OK;
    struct array b;
    TRY(sunup__array_begin(ctx, name, SUNUP_I32, &a->shape, &b));
    int32_t *y = b.data;
    for (int64_t i = 0; i < n; i++) y[i] = (int32_t)x[i];
    sunup__array_end(a);
    *a = b;
    return SUNUP_OK;
}

sunup_status sunup__source_at(sunup_context *ctx, const void *data, size_t bytes, size_t at,
                              struct source *s)
{
    char text[SHAPE_TEXT];
    CHECK(sunup__shape_ok(&s->shape), ctx, E_FORMAT, "%s: byte %zu: the shape %s is not possible",
          s->name, at, sunup__shape_text(&s->shape, text));
    const int64_t want = sunup__elements(&s->shape) * element_table[s->element].bytes;
    const int64_t have = (int64_t)(bytes - at);
    CHECK(want <= have, ctx, E_FORMAT,
          "%s: byte %zu: the file ends here, but shape %s needs %lld bytes more; it was cut short",
          s->name, bytes, sunup__shape_text(&s->shape, text), (long long)(want - have));
    CHECK(want == have, ctx, E_FORMAT,
          "%s: byte %lld: %lld bytes follow the last number of shape %s; the header or the file is "
          "damaged",
          s->name, (long long)at + (long long)want, (long long)(have - want),
          sunup__shape_text(&s->shape, text));
    s->bytes = (const unsigned char *)data + at;
    return SUNUP_OK;
}

double sunup__array_number(const struct array *a, int64_t i)
{
    switch (a->dtype) {
    case SUNUP_F32:
        return (double)((const float *)a->data)[i];
    case SUNUP_F64:
        return ((const double *)a->data)[i];
    case SUNUP_I32:
        return (double)((const int32_t *)a->data)[i];
    case SUNUP_U8:
        return (double)((const uint8_t *)a->data)[i];
    }
    return NAN;
}
