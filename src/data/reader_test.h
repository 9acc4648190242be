/* reader_test.h - files made in memory, and what is expected of a reader of them.
 *
 * refuse: a status and a sentence. torture: the file cut at every length and with every byte changed; the reader must
 * come back with a status, and under AddressSanitizer without touching a byte outside.
 */
#ifndef SUNUP_READER_TEST_H
#define SUNUP_READER_TEST_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

#include "base/memory.h"
#include "data/data.h"
#include "tensor/tensor.h"

static sunup_context *ctx;

static inline int start(void **state)
{
    (void)state;
    return sunup_context_create(NULL, &ctx) == SUNUP_OK ? 0 : -1;
}

static inline int end(void **state)
{
    (void)state;
    sunup_context_destroy(&ctx);
    return 0;
}

/* ---- files in memory ---- */

enum { ROOM = 8192 };
struct bytes {
    size_t n;
    unsigned char b[ROOM];
};

static inline void put(struct bytes *f, const void *data, size_t n)
{
    assert_true(f->n + n <= ROOM);
    memcpy(f->b + f->n, data, n);
    f->n += n;
}

static inline struct bytes idx_file(unsigned type, int dims, const unsigned *d)
{
    struct bytes f = {4, {0, 0, (unsigned char)type, (unsigned char)dims}};
    for (int i = 0; i < dims; i++) put(&f, (unsigned char[]){0, 0, 0, (unsigned char)d[i]}, 4);
    return f;
}

static inline struct bytes npy_file(int version, const char *header, const void *numbers, size_t n)
{
    struct bytes f = {0};
    const size_t length = strlen(header);
    const unsigned char start_bytes[12] = {
        0x93, 'N', 'U', 'M', 'P', 'Y', (unsigned char)version, 0, (unsigned char)length};
    put(&f, start_bytes, version == 1 ? 10 : 12);
    put(&f, header, length);
    put(&f, numbers, n);
    return f;
}

static inline struct bytes gzip_file(const struct bytes *in)
{
    struct bytes f = {0};
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)in->b;
    z.avail_in = (uInt)in->n;
    z.next_out = f.b;
    z.avail_out = ROOM;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    f.n = ROOM - z.avail_out;
    (void)deflateEnd(&z);
    return f;
}

static inline struct bytes text(const char *s)
{
    struct bytes f = {0};
    put(&f, s, strlen(s));
    return f;
}

/* ---- readers behind one signature ---- */

typedef sunup_status (*reader)(const void *data, size_t n, const char *member, struct array *a);

static inline double number(const struct array *a, int64_t i)
{
    switch (a->dtype) {
    case SUNUP_F32:
        return (double)((float *)a->data)[i];
    case SUNUP_F64:
        return ((double *)a->data)[i];
    case SUNUP_I32:
        return ((int32_t *)a->data)[i];
    case SUNUP_U8:
        return ((uint8_t *)a->data)[i];
    }
    return NAN;
}

static inline void expect(reader read, const struct bytes *f, const char *member, sunup_dtype dtype,
                          sunup_shape shape, const double *want)
{
    struct array a;
    if (read(f->b, f->n, member, &a) != SUNUP_OK) fail_msg("%s", sunup_error(ctx));
    assert_int_equal(a.dtype, dtype);
    assert_true(sunup__same_shape(&a.shape, &shape));
    for (int64_t i = 0; i < sunup__elements(&shape); i++)
        if (!isnan(want[i]) || !isnan(number(&a, i))) assert_true(number(&a, i) == want[i]);
    sunup__array_end(&a);
}

/* The status, and a word that the sentence must contain. */
static inline void refuse(reader read, const struct bytes *f, const char *member,
                          sunup_status status, const char *word)
{
    struct array a;
    assert_int_equal(read(f->b, f->n, member, &a), status);
    assert_null(a.data);
    assert_non_null(strstr(sunup_error(ctx), "file: "));
    if (strstr(sunup_error(ctx), word) == NULL)
        fail_msg("'%s' is not in: %s", word, sunup_error(ctx));
}

/* In memory of exactly n bytes, so that a sanitizer sees the first byte read too far. */
static inline sunup_status attempt(reader read, const unsigned char *data, size_t n,
                                   const char *member)
{
    unsigned char *copy = malloc(n > 0 ? n : 1);
    struct array a;
    assert_non_null(copy);
    memcpy(copy, data, n);
    const sunup_status status = read(copy, n, member, &a);
    if (status == SUNUP_OK) sunup__free(a.data);
    free(copy);
    return status;
}

static inline void torture(reader read, const struct bytes *f, const char *member,
                           bool cut_must_fail)
{
    struct bytes bad = *f;
    for (size_t n = 0; n < f->n; n++) {
        const sunup_status status = attempt(read, f->b, n, member);
        if (cut_must_fail) assert_int_not_equal(status, SUNUP_OK);
    }
    static const unsigned char flips[] = {0xff, 0x01, 0x80};
    for (size_t i = 0; i < f->n; i++)
        for (size_t k = 0; k < sizeof flips; k++) {
            bad.b[i] = (unsigned char)(f->b[i] ^ flips[k]);
            (void)attempt(read, bad.b, bad.n, member);
            bad.b[i] = f->b[i];
        }
}

#endif
