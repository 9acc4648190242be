/* safetensors_test.c - files come back as they were, and a damaged file is refused: cut at each byte, flipped at each
 * byte, and headers that lie.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/system.h"
#include "model/model.h"
#include "tensor/tensor.h"

static sunup_context *ctx;
static char folder[] = "/tmp/sunup-safetensors-XXXXXX", path[64];

static float f32[6] = {1, -2, 3.5F, 0, 1e-30F, 6};
static double f64[2] = {3.141592653589793, -1};
static int32_t i32[3] = {1, -2, 3};
static uint8_t u8[3] = {0, 128, 255};
static sunup_tensor some[] = {
    {"bytes", SUNUP_U8, {1, {3}}, u8},
    {"conv.weight", SUNUP_F32, {3, {1, 2, 3}}, f32},
    {"\303\244 \"quoted\"", SUNUP_I32, {1, {3}}, i32},
    {"wide", SUNUP_F64, {2, {2, 1}}, f64},
    {"empty", SUNUP_F32, {2, {0, 4}}, NULL},
    {"scalar", SUNUP_F64, {0, {0}}, f64},
};
enum { SOME = sizeof some / sizeof some[0] };
static const char *keys[] = {"step", "note"}, *values[] = {"12", "\"sunup.crc32\":\"deadbeef"};

static void write_some(void)
{
    const struct tensors t = {
        .n = SOME, .t = some, .n_meta = 2, .meta_key = keys, .meta_value = values};
    assert_int_equal(sunup__tensors_write(ctx, path, &t), SUNUP_OK);
}

static const sunup_tensor *find(const struct tensors *t, const char *name)
{
    for (int i = 0; i < t->n; i++)
        if (strcmp(t->t[i].name, name) == 0) return &t->t[i];
    return NULL;
}

static void round_trip(void **state)
{
    (void)state;
    struct tensors t;
    write_some();
    assert_int_equal(sunup__tensors_read(ctx, path, &t), SUNUP_OK);
    assert_int_equal(t.n, SOME);
    for (int i = 0; i < SOME; i++) {
        const sunup_tensor *back = find(&t, some[i].name);
        const int64_t bytes = sunup__elements(&some[i].shape) * sunup_dtype_bytes(some[i].dtype);
        assert_non_null(back);
        assert_int_equal(back->dtype, some[i].dtype);
        assert_true(sunup__same_shape(&back->shape, &some[i].shape));
        if (bytes > 0) assert_memory_equal(back->data, some[i].data, (size_t)bytes);
        assert_int_equal((uintptr_t)back->data % (size_t)sunup_dtype_bytes(back->dtype), 0);
    }
    assert_string_equal(sunup__tensors_meta(&t, "step"), "12");
    assert_string_equal(sunup__tensors_meta(&t, "note"), values[1]);
    assert_non_null(sunup__tensors_meta(&t, "sunup.crc32"));
    assert_null(sunup__tensors_meta(&t, "absent"));
    sunup__tensors_end(&t);
}

static void no_tensors_is_a_file(void **state)
{
    (void)state;
    const struct tensors none = {0};
    struct tensors t;
    assert_int_equal(sunup__tensors_write(ctx, path, &none), SUNUP_OK);
    assert_int_equal(sunup__tensors_read(ctx, path, &t), SUNUP_OK);
    assert_int_equal(t.n, 0);
    sunup__tensors_end(&t);
}

static void refuses_what_is_cut(void **state)
{
    (void)state;
    void *data;
    size_t bytes;
    struct tensors t;
    write_some();
    assert_int_equal(sunup__file_read(ctx, path, &data, &bytes), SUNUP_OK);
    assert_int_equal(sunup__tensors_parse(ctx, data, bytes, "whole", &t), SUNUP_OK);
    sunup__tensors_end(&t);
    for (size_t n = 0; n < bytes; n++) {
        char *cut = malloc(n + 1); /* exact size: a sanitizer sees one byte too far */
        memcpy(cut, data, n);
        char *exact = realloc(cut, n ? n : 1);
        assert_int_not_equal(sunup__tensors_parse(ctx, exact, n, "cut", &t), SUNUP_OK);
        assert_null(t.t);
        free(exact);
    }
    sunup__free(data);
}

static void refuses_what_is_flipped(void **state)
{
    (void)state;
    void *data;
    size_t bytes;
    struct tensors t;
    write_some();
    assert_int_equal(sunup__file_read(ctx, path, &data, &bytes), SUNUP_OK);
    for (size_t i = 0; i < bytes; i++) {
        for (int bit = 0; bit < 8; bit += 3) {
            ((unsigned char *)data)[i] ^= (unsigned char)(1 << bit);
            if (sunup__tensors_parse(ctx, data, bytes, "flipped", &t) == SUNUP_OK)
                fail_msg("byte %zu, bit %d was flipped and the file taken", i, bit);
            ((unsigned char *)data)[i] ^= (unsigned char)(1 << bit);
        }
    }
    sunup__free(data);
}

/* A file of this header and so many zero bytes. */
static sunup_status parse_header(const char *header, size_t data_bytes, struct tensors *t)
{
    const size_t n = strlen(header), bytes = 8 + n + data_bytes;
    unsigned char *file = calloc(bytes, 1);
    for (int i = 0; i < 8; i++) file[i] = (unsigned char)((uint64_t)n >> (8 * i));
    memcpy(file + 8, header, n);
    const sunup_status status = sunup__tensors_parse(ctx, file, bytes, "made.safetensors", t);
    sunup__tensors_end(t);
    free(file);
    return status;
}

static void refuses_headers_that_lie(void **state)
{
    (void)state;
    static const struct {
        const char *header, *part;
        sunup_status status;
    } bad[] = {
        {"", "header", SUNUP_E_FORMAT},
        {"[]", "no map", SUNUP_E_FORMAT},
        {"{\"a\":1}", "no map", SUNUP_E_FORMAT},
        {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", "no dtype", SUNUP_E_FORMAT},
        {"{\"a\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[0,4]}}", "BF16",
         SUNUP_E_UNSUPPORTED},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", "needs 8",
         SUNUP_E_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", "[4, 8) of 4",
         SUNUP_E_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", "[4, 0)",
         SUNUP_E_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", "impossible",
         SUNUP_E_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,4]}}",
         "impossible", SUNUP_E_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}",
         "8 axes", SUNUP_E_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]}}", "whole number",
         SUNUP_E_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", "data_offsets", SUNUP_E_FORMAT},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[1,4]}}",
         "overlaps", SUNUP_E_FORMAT},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[3,4]}}",
         "hole", SUNUP_E_FORMAT},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]}}", "1 bytes after",
         SUNUP_E_FORMAT},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
         "\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}",
         "duplicate", SUNUP_E_FORMAT},
        {"{\"__metadata__\":{\"a\":1},\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}"
         "}",
         "no text", SUNUP_E_FORMAT},
        {"{\"__metadata__\":{\"sunup.crc32\":\"01234567\"},\"a\":{\"dtype\":\"U8\",\"shape\":[4],"
         "\"data_offsets\":[0,4]}}",
         "checksum is 01234567", SUNUP_E_FORMAT},
        {"{\"__metadata__\":{\"sunup.version\":\"1\"},\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_"
         "offsets\":[0,4]}}",
         "checksum is gone", SUNUP_E_FORMAT},
    };
    struct tensors t;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(parse_header(bad[i].header, 4, &t), bad[i].status);
        if (!strstr(sunup_error(ctx), bad[i].part))
            fail_msg("'%s' lacks '%s'", sunup_error(ctx), bad[i].part);
        assert_non_null(strstr(sunup_error(ctx), "made.safetensors"));
    }
    static const char longest[8] = {-1, -1, -1, -1, -1, -1, -1, -1};
    assert_int_equal(sunup__tensors_parse(ctx, longest, 8, "long", &t), SUNUP_E_FORMAT);
}

static void takes_files_of_others(void **state)
{
    (void)state;
    struct tensors t;
    /* no checksum, a tensor that is not aligned to its type, and blanks behind the header */
    static const char header[] =
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
        "\"b\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[1,9]}}   ";
    assert_int_equal(parse_header(header, 9, &t), SUNUP_OK);
}

static void refuses_names_that_are_no_text(void **state)
{
    (void)state;
    sunup_tensor odd = {"\xff\xfe", SUNUP_U8, {1, {3}}, u8};
    const struct tensors t = {.n = 1, .t = &odd};
    assert_int_equal(sunup__tensors_write(ctx, path, &t), SUNUP_E_ARGUMENT);
    assert_int_equal(sunup__tensors_read(ctx, "/nowhere/x", &(struct tensors){0}), SUNUP_E_FILE);
}

static int open_context(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/t.safetensors", folder);
    return sunup_context_create(NULL, &ctx);
}

static int close_context(void **state)
{
    (void)state;
    sunup_context_destroy(&ctx);
    unlink(path);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(no_tensors_is_a_file),
        cmocka_unit_test(refuses_what_is_cut),
        cmocka_unit_test(refuses_what_is_flipped),
        cmocka_unit_test(refuses_headers_that_lie),
        cmocka_unit_test(takes_files_of_others),
        cmocka_unit_test(refuses_names_that_are_no_text),
    };
    return cmocka_run_group_tests(tests, open_context, close_context);
}
