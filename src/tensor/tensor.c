/* tensor.c - arithmetic on shapes and strides. */
#include "tensor/tensor.h"

#include <stdio.h>
#include <string.h>

const char *sunup_dtype_name(sunup_dtype dtype)
{
    static const char *const names[] = {"f32", "f64", "i32", "u8"};
    return (unsigned)dtype < 4 ? names[dtype] : "?";
}

int64_t sunup_dtype_bytes(sunup_dtype dtype)
{
    static const int64_t bytes[] = {4, 8, 4, 1};
    return (unsigned)dtype < 4 ? bytes[dtype] : 0;
}

int64_t sunup__elements(const sunup_shape *s)
{
    int64_t n = 1;
    for (int i = 0; i < s->n; i++) n *= s->d[i];
    return n;
}

bool sunup__same_shape(const sunup_shape *a, const sunup_shape *b)
{
    if (a->n != b->n) return false;
    for (int i = 0; i < a->n; i++)
        if (a->d[i] != b->d[i]) return false;
    return true;
}

bool sunup__is_float(sunup_dtype dtype)
{
    return dtype == SUNUP_F32 || dtype == SUNUP_F64;
}

char *sunup__shape_text(const sunup_shape *s, char *room)
{
    size_t at = (size_t)snprintf(room, SHAPE_TEXT, "[");
    for (int i = 0; i < s->n; i++)
        at += (size_t)snprintf(room + at, SHAPE_TEXT - at, "%s%lld", i > 0 ? ", " : "",
                               (long long)s->d[i]);
    (void)snprintf(room + at, SHAPE_TEXT - at, "]");
    return room;
}

void sunup__strides(const sunup_shape *s, int64_t stride[SUNUP_MAX_DIMS])
{
    int64_t step = 1;
    for (int i = s->n - 1; i >= 0; i--) {
        stride[i] = step;
        step *= s->d[i];
    }
}

bool sunup__broadcast_shapes(const sunup_shape *a, const sunup_shape *b, sunup_shape *out)
{
    sunup_shape r = {.n = a->n > b->n ? a->n : b->n};
    for (int i = 1; i <= r.n; i++) {
        const int64_t x = i <= a->n ? a->d[a->n - i] : 1;
        const int64_t y = i <= b->n ? b->d[b->n - i] : 1;
        if (x != y && x != 1 && y != 1) return false;
        r.d[r.n - i] = x == 1 ? y : x;
    }
    *out = r;
    return true;
}

void sunup__broadcast_strides(const sunup_shape *s, const sunup_shape *as,
                              int64_t stride[SUNUP_MAX_DIMS])
{
    int64_t own[SUNUP_MAX_DIMS];
    sunup__strides(s, own);
    for (int i = 1; i <= as->n; i++) {
        const bool read = i <= s->n && s->d[s->n - i] != 1;
        stride[as->n - i] = read ? own[s->n - i] : 0;
    }
}

int sunup__axis(int axis, int n_dims)
{
    if (axis < 0) axis += n_dims;
    return axis >= 0 && axis < n_dims ? axis : -1;
}

bool sunup__shape_ok(const sunup_shape *s)
{
    if (s->n < 0 || s->n > SUNUP_MAX_DIMS) return false;
    const int64_t limit = (int64_t)1 << 48;
    int64_t n = 1;
    for (int i = 0; i < s->n; i++) {
        if (s->d[i] < 0 || s->d[i] > limit) return false;
        if (s->d[i] > 0 && n > limit / s->d[i]) return false;
        n *= s->d[i];
    }
    return true;
}
