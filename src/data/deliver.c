/* deliver.c - see deliver.h. One loop per pair of element types, all from one macro. */
#include "data/deliver.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"

/* Factors are repeated to about this many, so that the loop over channels is one long vector loop. */
enum { PERIOD = 256 };

/* v - v is 0 for finite numbers and NaN else; the or over all of them leaves the loop free of branches. */
#define DEFINE_TO_FLOAT(name, from, to)                                                            \
    static bool name(void *out, const void *in, int64_t n, const double *a, const double *b)       \
    {                                                                                              \
        const from *restrict x = in;                                                               \
        to *restrict y = out;                                                                      \
        int bad = 0;                                                                               \
        for (int64_t i = 0; i < n; i++) {                                                          \
            const to v = (to)((double)x[i] * a[i] + b[i]);                                         \
            y[i] = v;                                                                              \
            bad |= v - v != 0;                                                                     \
        }                                                                                          \
        return !bad;                                                                               \
    }
#define DEFINE_TO_I32(name, from)                                                                  \
    static bool name(void *out, const void *in, int64_t n, const double *a, const double *b)       \
    {                                                                                              \
        const from *x = in;                                                                        \
        int32_t *y = out;                                                                          \
        int bad = 0;                                                                               \
        for (int64_t i = 0; i < n; i++) {                                                          \
            const double v = (double)x[i] * a[i] + b[i];                                           \
            const bool inside = v >= INT32_MIN && v <= INT32_MAX;                                  \
            y[i] = inside ? (int32_t)v : 0;                                                        \
            bad |= !inside || y[i] != v;                                                           \
        }                                                                                          \
        return !bad;                                                                               \
    }
DEFINE_TO_FLOAT(f32_from_f32, float, float)

/* The same by a = 1 and b = 0 in half the instructions; the sum makes a 0 of -0, as theirs does. */
static bool f32_as_it_is(void *out, const void *in, int64_t n, const double *a, const double *b)
{
    (void)a, (void)b;
    const float *restrict x = in;
    float *restrict y = out;
    int bad = 0;
    for (int64_t i = 0; i < n; i++) {
        const float v = x[i] + 0.0F;
        y[i] = v;
        bad |= v - v != 0;
    }
    return !bad;
}

DEFINE_TO_FLOAT(f32_from_f64, double, float)
DEFINE_TO_FLOAT(f32_from_i32, int32_t, float)
DEFINE_TO_FLOAT(f32_from_u8, uint8_t, float)
DEFINE_TO_FLOAT(f64_from_f32, float, double)
DEFINE_TO_FLOAT(f64_from_f64, double, double)
DEFINE_TO_FLOAT(f64_from_i32, int32_t, double)
DEFINE_TO_FLOAT(f64_from_u8, uint8_t, double)
DEFINE_TO_I32(i32_from_f32, float)
DEFINE_TO_I32(i32_from_f64, double)
DEFINE_TO_I32(i32_from_i32, int32_t)
DEFINE_TO_I32(i32_from_u8, uint8_t)

static const convert_fn converters[][4] = {
    [SUNUP_F32] = {[SUNUP_F32] = f32_from_f32,
                   [SUNUP_F64] = f32_from_f64,
                   [SUNUP_I32] = f32_from_i32,
                   [SUNUP_U8] = f32_from_u8},
    [SUNUP_F64] = {[SUNUP_F32] = f64_from_f32,
                   [SUNUP_F64] = f64_from_f64,
                   [SUNUP_I32] = f64_from_i32,
                   [SUNUP_U8] = f64_from_u8},
    [SUNUP_I32] = {[SUNUP_F32] = i32_from_f32,
                   [SUNUP_F64] = i32_from_f64,
                   [SUNUP_I32] = i32_from_i32,
                   [SUNUP_U8] = i32_from_u8},
};

sunup_status sunup__delivery_create(sunup_context *ctx, const struct field *f, struct delivery *d)
{
    const sunup_shape *s = &f->shape;
    const int64_t channels = f->n_channels > 0 ? f->n_channels : 1;
    *d = (struct delivery){.field = f, .elements = sunup__elements(s)};
    CHECK(f->dtype != SUNUP_U8, ctx, E_UNSUPPORTED, "field '%s': u8 cannot be delivered", f->name);
    d->convert = converters[f->dtype][f->array.dtype];
    d->x_bytes = sunup_dtype_bytes(f->array.dtype);
    d->y_bytes = sunup_dtype_bytes(f->dtype);
    d->period = (PERIOD + channels - 1) / channels * channels;
    if (s->n == 3) {
        d->height = s->d[0];
        d->width = s->d[1];
        d->channels = s->d[2];
    }
    d->a = sunup__alloc((size_t)(2 * d->period) * sizeof *d->a);
    d->zeros = sunup__alloc((size_t)(d->period * d->x_bytes));
    if (d->a == NULL || d->zeros == NULL) {
        sunup__delivery_end(d);
        RAISE(ctx, E_MEMORY, "field '%s': no memory to deliver it", f->name);
    }
    d->b = d->a + d->period;
    bool as_it_is = true;
    for (int64_t i = 0; i < d->period; i++) {
        const double mean = f->n_channels > 0 ? f->mean[i % channels] : 0;
        const double std = f->n_channels > 0 ? f->std[i % channels] : 1;
        d->a[i] = f->scale / std;
        d->b[i] = (f->offset - mean) / std;
        as_it_is = as_it_is && d->a[i] == 1 && d->b[i] == 0;
    }
    if (as_it_is && d->convert == f32_from_f32) d->convert = f32_as_it_is;
    return SUNUP_OK;
}

void sunup__delivery_end(struct delivery *d)
{
    sunup__free(d->a);
    sunup__free(d->zeros);
    *d = (struct delivery){0};
}

struct move sunup__draw_move(const sunup_augment *o, uint64_t seed, int64_t epoch, int64_t sample)
{
    if (o->shift == 0 && o->crop == 0 && !o->flip) return (struct move){0};
    const int64_t key[2] = {epoch, sample};
    const struct random_stream s = {seed, RANDOM_AUGMENT, 0, sunup__hash(key, sizeof key, 0)};
    const int64_t reach[2] = {o->shift, o->crop};
    int64_t by[2] = {0, 0}; /* dy, dx */
    for (uint64_t i = 0; i < 4; i++) {
        const int64_t r = reach[i / 2];
        by[i % 2] += (int64_t)sunup__random_below(&s, i, (uint64_t)(2 * r + 1)) - r;
    }
    return (struct move){by[0], by[1], o->flip && sunup__random_below(&s, 4, 2) == 1};
}

/* n elements that begin at a channel 0; x NULL: zeros of the file. */
static bool run(const struct delivery *d, char *y, const char *x, int64_t n)
{
    bool good = true;
    for (int64_t at = 0; at < n; at += d->period) {
        const int64_t m = n - at < d->period ? n - at : d->period;
        const void *from = x != NULL ? x + at * d->x_bytes : d->zeros;
        good &= d->convert(y + at * d->y_bytes, from, m, d->a, d->b);
    }
    return good;
}

#define DEFINE_MIRROR(bits)                                                                        \
    static void mirror##bits(void *row, int64_t width, int64_t channels)                           \
    {                                                                                              \
        uint##bits##_t *left = row, *right = left + (width - 1) * channels;                        \
        for (; left < right; left += channels, right -= channels)                                  \
            for (int64_t c = 0; c < channels; c++) {                                               \
                const uint##bits##_t kept = left[c];                                               \
                left[c] = right[c];                                                                \
                right[c] = kept;                                                                   \
            }                                                                                      \
    }
DEFINE_MIRROR(32)
DEFINE_MIRROR(64)

static int64_t clamp(int64_t v, int64_t low, int64_t high)
{
    return v < low ? low : v > high ? high : v;
}

/* One row of [W, C]: zeros, what is left of the row, zeros. x NULL: the whole row lies outside. */
static bool moved_row(const struct delivery *d, const struct move *m, char *y, const char *x)
{
    const int64_t w = d->width, c = d->channels;
    const int64_t dx = clamp(m->dx, -w, w);
    const int64_t left = x == NULL ? w : clamp(-dx, 0, w), right = x == NULL ? 0 : clamp(dx, 0, w);
    const int64_t middle = w - left - right;
    bool good = run(d, y, NULL, left * c);
    if (middle > 0)
        good &= run(d, y + left * c * d->y_bytes, x + (left + dx) * c * d->x_bytes, middle * c);
    good &= run(d, y + (w - right) * c * d->y_bytes, NULL, right * c);
    if (m->flip) (d->y_bytes == 4 ? mirror32 : mirror64)(y, w, c);
    return good;
}

/* What a page holds: from there on the processor sees the run itself. */
void sunup__deliver_soon(const struct delivery *d, int64_t sample)
{
    enum { LINE = 64, PAGE = 4096 };
    const int64_t bytes = d->elements * d->x_bytes, some = bytes < PAGE ? bytes : PAGE;
    const char *x = (const char *)d->field->array.data + sample * bytes;
    for (int64_t i = 0; i < some; i += LINE) __builtin_prefetch(x + i);
}

bool sunup__deliver(const struct delivery *d, int64_t sample, const struct move *m, void *y)
{
    const char *x = (const char *)d->field->array.data + sample * d->elements * d->x_bytes;
    const bool still = m->dy == 0 && m->dx == 0 && !m->flip;
    if (still || d->height == 0) return run(d, y, x, d->elements);
    bool good = true;
    for (int64_t h = 0; h < d->height; h++) {
        const int64_t from = h + m->dy, row = d->width * d->channels;
        const bool inside = from >= 0 && from < d->height;
        good &= moved_row(d, m, (char *)y + h * row * d->y_bytes,
                          inside ? x + from * row * d->x_bytes : NULL);
    }
    return good;
}

bool sunup__deliver_made(const struct delivery *d, const void *y)
{
    int bad = 0;
    for (int64_t i = 0; i < d->elements && d->field->dtype == SUNUP_F32; i++) {
        const float v = ((const float *)y)[i];
        bad |= v - v != 0;
    }
    for (int64_t i = 0; i < d->elements && d->field->dtype == SUNUP_F64; i++) {
        const double v = ((const double *)y)[i];
        bad |= v - v != 0;
    }
    return !bad;
}

sunup_status sunup__deliver_error(const struct delivery *d, int64_t sample, const void *made,
                                  char *room, size_t room_bytes)
{
    const struct field *f = d->field;
    const bool label = f->dtype == SUNUP_I32;
    const struct array in_room = {.dtype = f->dtype, .data = (void *)(uintptr_t)made};
    const struct array *from = made != NULL ? &in_room : &f->array;
    const int64_t first = made != NULL ? 0 : sample * d->elements;
    (void)snprintf(room, room_bytes, "field '%s': sample %lld cannot be delivered", f->name,
                   (long long)sample);
    for (int64_t i = 0; i < d->elements; i++) {
        const double x = sunup__array_number(from, first + i);
        const double v = x * d->a[i % d->period] + d->b[i % d->period];
        const bool finite = f->dtype == SUNUP_F32 ? isfinite((float)v) : isfinite(v);
        if (!finite) {
            (void)snprintf(room, room_bytes, "field '%s': sample %lld (from 0): its number %lld is %g%s%s",
                           f->name, (long long)sample, (long long)i, x,
                           isfinite(x) ? ", too large once scaled" : "",
                           made != NULL ? ", as its sampler made it"
                                        : "; remove or replace it in the file");
            return SUNUP_E_NAN;
        }
        if (label && (v != nearbyint(v) || fabs(v) > INT32_MAX)) {
            (void)snprintf(
                room, room_bytes,
                "field '%s': sample %lld (from 0): the label %g is not a whole number of "
                "32 bits",
                f->name, (long long)sample, v);
            return SUNUP_E_FORMAT;
        }
    }
    return SUNUP_E_INTERNAL;
}
