/* copy.c - see copy.h. */
#include "graph/ops/copy.h"
#include "base/system.h"
#include "graph/ops/op.h"

#include <string.h>

enum { GRAIN = 32768 }; /* elements a task: some 10 us, well above what a task costs */

struct copy sunup__copy_of(const sunup_shape *shape, sunup_dtype dtype)
{
    struct copy c = {.n = shape->n, .bytes = sunup_dtype_bytes(dtype)};
    memcpy(c.extent, shape->d, sizeof c.extent);
    sunup__strides(shape, c.from_stride);
    sunup__strides(shape, c.to_stride);
    return c;
}

void sunup__copy_merge(struct copy *c)
{
    int n = 0;
    for (int i = 0; i < c->n; i++) {
        const int64_t d = c->extent[i], from = c->from_stride[i], to = c->to_stride[i];
        if (d == 1) continue;
        const bool one =
            n > 0 && c->from_stride[n - 1] == d * from && c->to_stride[n - 1] == d * to;
        if (!one) n++;
        c->extent[n - 1] = one ? c->extent[n - 1] * d : d;
        c->from_stride[n - 1] = from;
        c->to_stride[n - 1] = to;
    }
    if (n == 0) {
        c->extent[0] = 1;
        c->from_stride[0] = c->to_stride[0] = 1;
        n = 1;
    }
    c->n = n;
}

#define COPY_ROW(type)                                                                             \
    {                                                                                              \
        const type *f = from;                                                                      \
        type *t = to;                                                                              \
        if (from_stride == 0 && to_stride == 1)                                                    \
            for (int64_t i = 0; i < n; i++) t[i] = f[0];                                           \
        else                                                                                       \
            for (int64_t i = 0; i < n; i++) t[i * to_stride] = f[i * from_stride];                 \
    }

static void copy_row(int64_t bytes, int64_t n, const void *from, int64_t from_stride, void *to,
                     int64_t to_stride)
{
    if (from_stride == 1 && to_stride == 1)
        memcpy(to, from, (size_t)(n * bytes));
    else if (bytes == 4)
        COPY_ROW(uint32_t)
    else if (bytes == 8)
        COPY_ROW(uint64_t)
    else
        COPY_ROW(uint8_t)
}

/* A place in the iteration: index of each axis, and the offsets in elements that follow from them.
 * */
struct cursor {
    int64_t at[SUNUP_MAX_DIMS];
    int64_t from, to;
};

static struct cursor cursor_at(const struct copy *c, int64_t first)
{
    struct cursor p = {.from = 0};
    for (int i = c->n - 1; i >= 0; i--) {
        p.at[i] = first % c->extent[i];
        first /= c->extent[i];
        p.from += p.at[i] * c->from_stride[i];
        p.to += p.at[i] * c->to_stride[i];
    }
    return p;
}

/* Moves n elements ahead within the inner axis and carries into the outer ones. */
static void advance(const struct copy *c, struct cursor *p, int64_t n)
{
    int i = c->n - 1;
    p->at[i] += n;
    p->from += n * c->from_stride[i];
    p->to += n * c->to_stride[i];
    for (; i > 0 && p->at[i] == c->extent[i]; i--) {
        p->from += c->from_stride[i - 1] - c->extent[i] * c->from_stride[i];
        p->to += c->to_stride[i - 1] - c->extent[i] * c->to_stride[i];
        p->at[i] = 0;
        p->at[i - 1]++;
    }
}

/* Elements [first, first + count), element i to `to` + (its offset - origin). */
static void copy_from(const struct copy *c, int64_t first, int64_t count, void *to, int64_t origin)
{
    const int inner = c->n - 1;
    struct cursor p = cursor_at(c, first);
    while (count > 0) {
        const int64_t left = c->extent[inner] - p.at[inner], n = left < count ? left : count;
        copy_row(c->bytes, n, (const char *)c->from + p.from * c->bytes, c->from_stride[inner],
                 (char *)to + (p.to - origin) * c->bytes, c->to_stride[inner]);
        advance(c, &p, n);
        count -= n;
    }
}

void sunup__copy_range(const struct copy *c, int64_t first, int64_t count, void *to)
{
    copy_from(c, first, count, to, first);
}

struct task {
    const struct copy *copy;
    struct pieces pieces;
};

static void run_piece(void *arg, int64_t i)
{
    const struct task *t = arg;
    copy_from(t->copy, piece_from(&t->pieces, i), piece_length(&t->pieces, i), t->copy->to, 0);
}

void sunup__copy(struct copy c, int threads)
{
    int64_t n = 1;
    sunup__copy_merge(&c);
    for (int i = 0; i < c.n; i++) n *= c.extent[i];
    struct task t = {&c, sunup__pieces(n, 1, GRAIN, 0)};
    sunup__parallel(threads, t.pieces.count, run_piece, &t);
}
