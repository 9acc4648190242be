/* data_test.c - every reader on files made here: right numbers from good files, a sentence from bad ones.
 *
 * Each good file is also cut at every length and has every byte changed: the reader must come back with a status, and
 * under AddressSanitizer without touching a byte outside. The real image set is read where it is installed.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/system.h"
#include "data/data.h"

#ifdef SUNUP_HAVE_ZIP
#include <zip.h>
#endif
#ifdef SUNUP_HAVE_HDF5
#include <hdf5.h>
#endif

static sunup_context *ctx;

static int start(void **state)
{
    (void)state;
    return sunup_context_create(NULL, &ctx) == SUNUP_OK ? 0 : -1;
}

static int end(void **state)
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

static void put(struct bytes *f, const void *data, size_t n)
{
    assert_true(f->n + n <= ROOM);
    memcpy(f->b + f->n, data, n);
    f->n += n;
}

static struct bytes idx_file(unsigned type, int dims, const unsigned *d)
{
    struct bytes f = {4, {0, 0, (unsigned char)type, (unsigned char)dims}};
    for (int i = 0; i < dims; i++) put(&f, (unsigned char[]){0, 0, 0, (unsigned char)d[i]}, 4);
    return f;
}

static struct bytes npy_file(int version, const char *header, const void *numbers, size_t n)
{
    struct bytes f = {0};
    const size_t length = strlen(header);
    const unsigned char start_bytes[12] = {0x93, 'N', 'U', 'M', 'P', 'Y', (unsigned char)version, 0,
                                     (unsigned char)length};
    put(&f, start_bytes, version == 1 ? 10 : 12);
    put(&f, header, length);
    put(&f, numbers, n);
    return f;
}

static struct bytes gzip_file(const struct bytes *in)
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

/* ---- readers behind one signature ---- */

typedef sunup_status (*reader)(const void *data, size_t n, const char *member, struct array *a);

static sunup_status idx(const void *data, size_t n, const char *member, struct array *a)
{
    (void)member;
    return sunup__read_idx(ctx, data, n, "file", a);
}

static sunup_status npy(const void *data, size_t n, const char *member, struct array *a)
{
    (void)member;
    return sunup__read_npy(ctx, data, n, "file", a);
}

static sunup_status npz(const void *data, size_t n, const char *member, struct array *a)
{
    return sunup__read_npz(ctx, data, n, "file", member, a);
}

static sunup_status hdf5(const void *data, size_t n, const char *member, struct array *a)
{
    return sunup__read_hdf5(ctx, data, n, "file", member, a);
}

static sunup_status csv(const void *data, size_t n, const char *member, struct array *a)
{
    return sunup__read_csv(ctx, data, n, "file", member, a);
}

static sunup_status gzip(const void *data, size_t n, const char *member, struct array *a)
{
    (void)member;
    size_t bytes = 0;
    *a = (struct array){0};
    return sunup__gunzip(ctx, data, n, "file", 1 << 20, &a->data, &bytes);
}

static double number(const struct array *a, int64_t i)
{
    switch (a->dtype) {
    case SUNUP_F32: return (double)((float *)a->data)[i];
    case SUNUP_F64: return ((double *)a->data)[i];
    case SUNUP_I32: return ((int32_t *)a->data)[i];
    case SUNUP_U8: return ((uint8_t *)a->data)[i];
    }
    return NAN;
}

static void expect(reader read, const struct bytes *f, const char *member, sunup_dtype dtype,
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
static void refuse(reader read, const struct bytes *f, const char *member, sunup_status status,
                   const char *word)
{
    struct array a;
    assert_int_equal(read(f->b, f->n, member, &a), status);
    assert_null(a.data);
    assert_non_null(strstr(sunup_error(ctx), "file: "));
    if (strstr(sunup_error(ctx), word) == NULL)
        fail_msg("'%s' is not in: %s", word, sunup_error(ctx));
}

/* In memory of exactly n bytes, so that a sanitizer sees the first byte read too far. */
static sunup_status attempt(reader read, const unsigned char *data, size_t n, const char *member)
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

static void torture(reader read, const struct bytes *f, const char *member, bool cut_must_fail)
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

/* ---- idx ---- */

static void test_idx(void **state)
{
    (void)state;
    struct bytes f = idx_file(0x08, 2, (unsigned[]){2, 3});
    put(&f, "\1\2\3\4\5\xff", 6);
    expect(idx, &f, NULL, SUNUP_U8, SUNUP_SHAPE(2, 3), (double[]){1, 2, 3, 4, 5, 255});
    torture(idx, &f, NULL, true);
    put(&f, "x", 1);
    refuse(idx, &f, NULL, SUNUP_E_FORMAT, "byte 18: 1 bytes follow");

    f = idx_file(0x09, 1, (unsigned[]){2});
    put(&f, "\xfe\x7f", 2);
    expect(idx, &f, NULL, SUNUP_I32, SUNUP_SHAPE(2), (double[]){-2, 127});
    f = idx_file(0x0B, 1, (unsigned[]){2});
    put(&f, "\xff\xfe\x01\x00", 4);
    expect(idx, &f, NULL, SUNUP_I32, SUNUP_SHAPE(2), (double[]){-2, 256});
    f = idx_file(0x0C, 1, (unsigned[]){1});
    put(&f, "\x80\0\0\1", 4);
    expect(idx, &f, NULL, SUNUP_I32, SUNUP_SHAPE(1), (double[]){-2147483647.0});
    f = idx_file(0x0D, 1, (unsigned[]){1});
    put(&f, "\x3f\xc0\0\0", 4);
    expect(idx, &f, NULL, SUNUP_F32, SUNUP_SHAPE(1), (double[]){1.5});
    f = idx_file(0x0E, 1, (unsigned[]){1});
    put(&f, "\xbf\xf8\0\0\0\0\0\0", 8);
    expect(idx, &f, NULL, SUNUP_F64, SUNUP_SHAPE(1), (double[]){-1.5});
    f = idx_file(0x08, 3, (unsigned[]){0, 5, 5});
    expect(idx, &f, NULL, SUNUP_U8, SUNUP_SHAPE(0, 5, 5), NULL);
}

static void test_idx_hostile(void **state)
{
    (void)state;
    struct bytes f = idx_file(0x0A, 1, (unsigned[]){1});
    refuse(idx, &f, NULL, SUNUP_E_FORMAT, "byte 2: element type 0x0a");
    f = idx_file(0x08, 9, (unsigned[]){1, 1, 1, 1, 1, 1, 1, 1, 1});
    refuse(idx, &f, NULL, SUNUP_E_FORMAT, "byte 3: 9 dimensions");
    f = idx_file(0x08, 3, (unsigned[]){1, 1, 1});
    memset(f.b + 4, 0xff, 12); /* (2^32-1)^3 numbers */
    refuse(idx, &f, NULL, SUNUP_E_FORMAT, "not possible");
    f.n = 3;
    refuse(idx, &f, NULL, SUNUP_E_FORMAT, "byte 3: the file ends");
}

/* ---- npy ---- */

static void npy_element(const char *descr, const char *bytes, size_t n, sunup_dtype dtype,
                        const double want[2])
{
    char header[128];
    (void)snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': (2,), }\n",
                   descr);
    const struct bytes f = npy_file(1, header, bytes, n);
    expect(npy, &f, NULL, dtype, SUNUP_SHAPE(2), want);
}

static void test_npy_elements(void **state)
{
    (void)state;
    npy_element("|b1", "\1\0", 2, SUNUP_U8, (double[]){1, 0});
    npy_element("|u1", "\1\xff", 2, SUNUP_U8, (double[]){1, 255});
    npy_element("|i1", "\1\xff", 2, SUNUP_I32, (double[]){1, -1});
    npy_element("<u2", "\1\0\xff\xff", 4, SUNUP_I32, (double[]){1, 65535});
    npy_element(">u2", "\0\1\xff\xfe", 4, SUNUP_I32, (double[]){1, 65534});
    npy_element("<i2", "\1\0\xff\xff", 4, SUNUP_I32, (double[]){1, -1});
    npy_element("<u4", "\1\0\0\0\xff\xff\xff\x7f", 8, SUNUP_I32, (double[]){1, 2147483647.0});
    npy_element("<u4", "\1\0\0\0\xff\xff\xff\xff", 8, SUNUP_F64, (double[]){1, 4294967295.0});
    npy_element(">i4", "\0\0\0\1\xff\xff\xff\xff", 8, SUNUP_I32, (double[]){1, -1});
    npy_element("<i8", "\1\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", 16, SUNUP_I32,
                (double[]){1, -1});
    npy_element(">u8", "\0\0\0\0\0\0\0\1\0\0\0\1\0\0\0\0", 16, SUNUP_F64,
                (double[]){1, 4294967296.0});
    npy_element("<f4", "\0\0\x80\x3f\0\0\x20\xc0", 8, SUNUP_F32, (double[]){1, -2.5});
    npy_element(">f4", "\x3f\x80\0\0\xc0\x20\0\0", 8, SUNUP_F32, (double[]){1, -2.5});
    npy_element("<f8", "\0\0\0\0\0\0\xf0\x3f\0\0\0\0\0\0\xf8\x7f", 16, SUNUP_F64,
                (double[]){1, NAN});
    /* halves: the smallest above 0, the largest, infinity, NaN */
    npy_element("<f2", "\x01\x00\xff\xfb", 4, SUNUP_F32, (double[]){0x1p-24, -65504});
    npy_element(">f2", "\x7c\x00\x7e\x00", 4, SUNUP_F32, (double[]){INFINITY, NAN});
}

static void test_npy_orders(void **state)
{
    (void)state;
    const double rows[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    const char columns[] = {0, 6, 2, 8, 4, 10, 1, 7, 3, 9, 5, 11};
    const struct bytes f = npy_file(
        2, "{\"shape\": (2, 3,2), 'fortran_order': True, 'descr': '|u1'}", columns, sizeof columns);
    expect(npy, &f, NULL, SUNUP_U8, SUNUP_SHAPE(2, 3, 2), rows);
    torture(npy, &f, NULL, true);
    const struct bytes empty =
        npy_file(3, "{'descr': '<f8', 'fortran_order': True, 'shape': (4, 0), }", "", 0);
    expect(npy, &empty, NULL, SUNUP_F64, SUNUP_SHAPE(4, 0), NULL);
    const struct bytes scalar =
        npy_file(1, "{'descr': '|u1', 'fortran_order': False, 'shape': (), }", "\7", 1);
    expect(npy, &scalar, NULL, SUNUP_U8, SUNUP_SCALAR, (double[]){7});
}

static void test_npy_hostile(void **state)
{
    (void)state;
    static const struct {
        const char *header, *word;
        sunup_status status;
    } bad[] = {
        {"{'descr': 'O', 'fortran_order': False, 'shape': (1,), }", "'O'", SUNUP_E_UNSUPPORTED},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", "records",
         SUNUP_E_UNSUPPORTED},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999999999,)}", "not possible",
         SUNUP_E_FORMAT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (999999999999999999999,)}", "length",
         SUNUP_E_FORMAT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (9999999,0,9999999,99999999)}", "byte",
         SUNUP_E_FORMAT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", "length", SUNUP_E_FORMAT},
        {"{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}", "True or False", SUNUP_E_FORMAT},
        {"{'descr': '<f4', 'shape': (1,)}", "lacks", SUNUP_E_FORMAT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 1}", "'x'", SUNUP_E_FORMAT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} 1", "after", SUNUP_E_FORMAT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1, 1, 1, 1, 1, 1, 1)}", "axes",
         SUNUP_E_UNSUPPORTED},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", "4 bytes more", SUNUP_E_FORMAT},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const struct bytes f = npy_file(1, bad[i].header, "1234", 4);
        refuse(npy, &f, NULL, bad[i].status, bad[i].word);
    }
}

/* ---- gzip, npz, hdf5 ---- */

static void test_gzip(void **state)
{
    (void)state;
    struct bytes in = {3000, {0}};
    for (size_t i = 0; i < in.n; i++) in.b[i] = (unsigned char)(i * i >> 5);
    struct bytes f = gzip_file(&in);
    const struct bytes one = f;
    void *out = NULL;
    size_t n = 0;
    assert_int_equal(sunup__gunzip(ctx, f.b, f.n, "file", 1 << 20, &out, &n), SUNUP_OK);
    assert_int_equal(n, in.n);
    assert_memory_equal(out, in.b, n);
    sunup__free(out);
    torture(gzip, &f, NULL, false); /* 0 and 1 bytes are no gzip, so no error */
    put(&f, one.b, one.n); /* two members, longer than the last length says */
    assert_int_equal(sunup__gunzip(ctx, f.b, f.n, "file", 1 << 20, &out, &n), SUNUP_OK);
    assert_int_equal(n, 2 * in.n);
    assert_memory_equal((char *)out + in.n, in.b, in.n);
    sunup__free(out);
    assert_int_equal(sunup__gunzip(ctx, f.b, f.n, "file", 4000, &out, &n), SUNUP_E_MEMORY);
    assert_int_equal(sunup__gunzip(ctx, f.b, one.n - 1, "file", 4000, &out, &n), SUNUP_E_FORMAT);
    assert_non_null(strstr(sunup_error(ctx), "cut short"));
    assert_int_equal(sunup__gunzip(ctx, "ab", 2, "file", 4000, &out, &n), SUNUP_OK);
    assert_null(out);
}

static void test_npz(void **state)
{
    (void)state;
#ifdef SUNUP_HAVE_ZIP
    struct bytes a = npy_file(1, "{'descr': '<u2', 'fortran_order': False, 'shape': (2,)}", "\1\0\2\0", 4);
    struct bytes b = npy_file(1, "{'descr': '|u1', 'fortran_order': False, 'shape': (900,)}", "", 0);
    b.n += 900; /* zeros: packs well */
    struct bytes f = {0};
    zip_source_t *file = zip_source_buffer_create(NULL, 0, 0, NULL);
    zip_source_keep(file);
    zip_t *zip = zip_open_from_source(file, ZIP_TRUNCATE, NULL);
    assert_non_null(zip);
    const zip_int64_t i = zip_file_add(zip, "a.npy", zip_source_buffer(zip, a.b, a.n, 0), 0);
    assert_int_equal(zip_set_file_compression(zip, (zip_uint64_t)i, ZIP_CM_STORE, 0), 0);
    assert_int_equal(zip_file_add(zip, "b.npy", zip_source_buffer(zip, b.b, b.n, 0), 0), 1);
    assert_int_equal(zip_close(zip), 0);
    assert_int_equal(zip_source_open(file), 0);
    f.n = (size_t)zip_source_read(file, f.b, ROOM);
    (void)zip_source_close(file);
    zip_source_free(file);
    static const double zeros[900];
    expect(npz, &f, "a", SUNUP_I32, SUNUP_SHAPE(2), (double[]){1, 2});
    expect(npz, &f, "b.npy", SUNUP_U8, SUNUP_SHAPE(900), zeros);
    refuse(npz, &f, "c", SUNUP_E_ARGUMENT, "it holds: a.npy, b.npy");
    refuse(npz, &f, NULL, SUNUP_E_ARGUMENT, "holds 2 arrays");
    torture(npz, &f, "a", true);
    torture(npz, &f, "b", true);
#else
    skip();
#endif
}

#ifdef SUNUP_HAVE_HDF5
static void hdf5_set(hid_t at, const char *name, hid_t type, hid_t memory, const void *numbers)
{
    const hid_t space = H5Screate_simple(2, (hsize_t[]){3, 2}, NULL);
    const hid_t how = H5Pcreate(H5P_DATASET_CREATE);
    const bool packed = strcmp(name, "packed") == 0;
    if (packed) assert_true(H5Pset_chunk(how, 2, (hsize_t[]){2, 2}) >= 0 && H5Pset_deflate(how, 6) >= 0);
    const hid_t set = H5Dcreate2(at, name, type, space, H5P_DEFAULT, how, H5P_DEFAULT);
    assert_true(set >= 0);
    if (numbers != NULL)
        assert_true(H5Dwrite(set, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, numbers) >= 0);
    (void)H5Dclose(set);
    (void)H5Pclose(how);
    (void)H5Sclose(space);
}

static hid_t hdf5_begin(void)
{
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    assert_true(H5Pset_fapl_core(access, 1024, 0) >= 0);
    const hid_t file = H5Fcreate("test.h5", H5F_ACC_TRUNC, H5P_DEFAULT, access);
    assert_true(file >= 0);
    (void)H5Pclose(access);
    return file;
}

static struct bytes hdf5_finish(hid_t file)
{
    struct bytes f = {0};
    (void)H5Fflush(file, H5F_SCOPE_GLOBAL);
    f.n = (size_t)H5Fget_file_image(file, f.b, ROOM);
    assert_true(f.n > 0 && f.n <= ROOM);
    (void)H5Fclose(file);
    return f;
}
#endif

static void test_hdf5(void **state)
{
    (void)state;
#ifdef SUNUP_HAVE_HDF5
    const double x[] = {1, 2, 3, -4, 5, 6}, half[] = {0.5, 1, -1.5, 2, 2.5, 3};
    const double large[] = {1, 2, 3, 4, 5, 1e12};
    hid_t file = hdf5_begin();
    hdf5_set(file, "packed", H5T_STD_I16BE, H5T_NATIVE_DOUBLE, x);
    struct bytes f = hdf5_finish(file);
    expect(hdf5, &f, NULL, SUNUP_I32, SUNUP_SHAPE(3, 2), x);
    refuse(hdf5, &f, "nowhere", SUNUP_E_ARGUMENT, "it holds: packed");
    f.n = 100;
    refuse(hdf5, &f, NULL, SUNUP_E_FORMAT, "HDF5 says");

    file = hdf5_begin();
    const hid_t group = H5Gcreate2(file, "g", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    hdf5_set(group, "be", H5T_IEEE_F32BE, H5T_NATIVE_DOUBLE, half);
    hdf5_set(group, "f8", H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, half);
    hdf5_set(group, "i8", H5T_STD_I64LE, H5T_NATIVE_DOUBLE, large);
    hdf5_set(group, "empty", H5T_STD_I64LE, H5T_NATIVE_DOUBLE, NULL);
    (void)H5Gclose(group);
    f = hdf5_finish(file);
    expect(hdf5, &f, "g/be", SUNUP_F32, SUNUP_SHAPE(3, 2), half);
    expect(hdf5, &f, "/g/f8", SUNUP_F64, SUNUP_SHAPE(3, 2), half);
    expect(hdf5, &f, "g/i8", SUNUP_F64, SUNUP_SHAPE(3, 2), large);
    refuse(hdf5, &f, "g/empty", SUNUP_E_FORMAT, "was it ever written");
    refuse(hdf5, &f, "g", SUNUP_E_FORMAT, "cannot be opened as a data set");
    refuse(hdf5, &f, NULL, SUNUP_E_ARGUMENT, "holds 4 data sets");
#else
    skip();
#endif
}

static void test_hdf5_hostile(void **state)
{
    (void)state;
#ifdef SUNUP_HAVE_HDF5
    const double x[] = {1, 2, 3, 4, 5, 6};
    const hid_t file = hdf5_begin();
    hdf5_set(file, "packed", H5T_STD_U8LE, H5T_NATIVE_DOUBLE, x);
    const struct bytes f = hdf5_finish(file);
    torture(hdf5, &f, NULL, true);
#else
    skip();
#endif
}

/* ---- csv ---- */

static struct bytes text(const char *s)
{
    struct bytes f = {0};
    put(&f, s, strlen(s));
    return f;
}

static void test_csv(void **state)
{
    (void)state;
    struct bytes f = text("a,b,\"c,d\"\r\n1,2,3\r\n\r\n4,5,6");
    expect(csv, &f, NULL, SUNUP_I32, SUNUP_SHAPE(2, 3), (double[]){1, 2, 3, 4, 5, 6});
    expect(csv, &f, "b", SUNUP_I32, SUNUP_SHAPE(2), (double[]){2, 5});
    expect(csv, &f, "b,a", SUNUP_I32, SUNUP_SHAPE(2, 2), (double[]){2, 1, 5, 4});
    expect(csv, &f, "1:", SUNUP_I32, SUNUP_SHAPE(2, 2), (double[]){2, 3, 5, 6});
    expect(csv, &f, "2:3", SUNUP_I32, SUNUP_SHAPE(2, 1), (double[]){3, 6});
    refuse(csv, &f, "e", SUNUP_E_ARGUMENT, "no column 'e'");
    refuse(csv, &f, "2:7", SUNUP_E_ARGUMENT, "no column '2:7'");
    refuse(csv, &f, "0,a", SUNUP_E_ARGUMENT, "twice");
    torture(csv, &f, "b", false);

    f = text("\xef\xbb\xbf 1 ;2.5;\"-3e2\"\n;NA;?\n");
    expect(csv, &f, NULL, SUNUP_F64, SUNUP_SHAPE(2, 3), (double[]){1, 2.5, -300, NAN, NAN, NAN});
    torture(csv, &f, NULL, false);
    f = text("# x\ty\n1\t\n\t2\n");
    expect(csv, &f, "y", SUNUP_F64, SUNUP_SHAPE(2), (double[]){NAN, 2});
    f = text("\"a \"\"q\"\"\nb\",c\n7,8\n");
    expect(csv, &f, "c", SUNUP_I32, SUNUP_SHAPE(1), (double[]){8});
    f = text("5\n6\n2147483648\n");
    expect(csv, &f, NULL, SUNUP_F64, SUNUP_SHAPE(3), (double[]){5, 6, 2147483648.0});
    f = text("x,y\n");
    expect(csv, &f, NULL, SUNUP_I32, SUNUP_SHAPE(0, 2), NULL);
}

static void test_csv_hostile(void **state)
{
    (void)state;
    struct bytes f = text("a,b\n1,2\n3\n");
    refuse(csv, &f, NULL, SUNUP_E_FORMAT, "line 3: 1 values where the first line has 2");
    f = text("a,b\n1,2\n\n3,x y\n");
    refuse(csv, &f, NULL, SUNUP_E_FORMAT, "line 4: column 1: 'x y' is not a number");
    f = text("a,b\n1,\"2\n");
    refuse(csv, &f, NULL, SUNUP_E_FORMAT, "line 2: a quote is opened");
    f = text("a,b\n1,\"2\"3\n");
    refuse(csv, &f, NULL, SUNUP_E_FORMAT, "line 2: text follows");
    f = text("\n \n");
    refuse(csv, &f, NULL, SUNUP_E_FORMAT, "holds no line");
    f = text("");
    refuse(csv, &f, NULL, SUNUP_E_FORMAT, "holds no line");
}

/* ---- files ---- */

static void write_file(char path[64], const char *ending, const struct bytes *f)
{
    (void)snprintf(path, 64, "data_test_%ld%s", (long)getpid(), ending);
    assert_int_equal(sunup__file_write(ctx, path, f->b, f->n), SUNUP_OK);
}

static void test_kinds(void **state)
{
    (void)state;
    char path[64];
    struct array a;
    struct bytes plain = idx_file(0x08, 1, (unsigned[]){3});
    put(&plain, "\5\6\7", 3);
    const struct bytes packed = gzip_file(&plain);
    write_file(path, ".npy", &packed); /* a wrong ending does no harm */
    assert_int_equal(sunup__read_array(ctx, path, NULL, &a), SUNUP_OK);
    assert_int_equal(a.dtype, SUNUP_U8);
    assert_memory_equal(a.data, "\5\6\7", 3);
    sunup__array_end(&a);
    assert_int_equal(sunup__read_array(ctx, path, "x", &a), SUNUP_E_ARGUMENT);
    (void)unlink(path);

    const struct bytes table = text("1,2\n3,4\n");
    write_file(path, ".csv", &table);
    assert_int_equal(sunup__read_array(ctx, path, "1", &a), SUNUP_OK);
    assert_true(number(&a, 0) == 2 && number(&a, 1) == 4);
    sunup__array_end(&a);
    (void)unlink(path);
    write_file(path, ".weights", &table);
    assert_int_equal(sunup__read_array(ctx, path, NULL, &a), SUNUP_E_FORMAT);
    assert_non_null(strstr(sunup_error(ctx), path));
    (void)unlink(path);
    write_file(path, ".npy", &table);
    assert_int_equal(sunup__read_array(ctx, path, NULL, &a), SUNUP_E_FORMAT);
    (void)unlink(path);
    assert_int_equal(sunup__read_array(ctx, path, NULL, &a), SUNUP_E_FILE);
}

static sunup_status open_pair(const char *x, const char *y, sunup_shape shape, sunup_data **d)
{
    sunup_field_options f[2] = {sunup_field_defaults(), sunup_field_defaults()};
    const double mean = 0.3, std = 0.2;
    f[0].name = "x";
    f[0].path = x;
    f[0].shape = shape;
    f[0].n_channels = 1;
    f[0].mean = &mean;
    f[0].std = &std;
    f[1].name = "y";
    f[1].path = y;
    f[1].label = true;
    return sunup_data_open(ctx, 2, f, d);
}

static void test_open(void **state)
{
    (void)state;
    char x[64], y[64];
    sunup_data *d = NULL;
    struct bytes images = idx_file(0x08, 2, (unsigned[]){2, 4}), labels = idx_file(0x08, 1, (unsigned[]){2});
    put(&images, "\1\2\3\4\5\6\7\x8", 8);
    put(&labels, "\0\1", 2);
    write_file(x, ".x", &images);
    write_file(y, ".y", &labels);
    assert_int_equal(open_pair(x, y, SUNUP_SHAPE(2, 2, 1), &d), SUNUP_OK);
    assert_int_equal(sunup_data_samples(d), 2);
    assert_int_equal(sunup__data_field(d, "y"), 1);
    assert_int_equal(sunup__data_field(d, "z"), -1);
    assert_int_equal(d->fields[0].shape.n, 3);
    sunup_data_destroy(&d);
    assert_null(d);
    assert_int_equal(open_pair(x, y, SUNUP_SHAPE(5), &d), SUNUP_E_SHAPE);
    assert_non_null(strstr(sunup_error(ctx), "[5]"));
    assert_null(d);
    assert_int_equal(open_pair(x, x, SUNUP_SCALAR, &d), SUNUP_OK);
    sunup_data_destroy(&d);
    /* any allocation may fail: no crash, no leak, E_MEMORY */
    sunup_status status = SUNUP_E_MEMORY;
    for (int64_t n = 0; status != SUNUP_OK; n++) {
        assert_true(n < 100);
        sunup__fail_allocation(n);
        status = open_pair(x, y, SUNUP_SHAPE(2, 2, 1), &d);
        sunup__fail_allocation(-1);
        assert_true(status == SUNUP_OK || (status == SUNUP_E_MEMORY && d == NULL));
    }
    sunup_data_destroy(&d);
    struct bytes three = idx_file(0x08, 1, (unsigned[]){3});
    put(&three, "\0\1\2", 3);
    write_file(y, ".y", &three);
    assert_int_equal(open_pair(x, y, SUNUP_SCALAR, &d), SUNUP_E_SHAPE);
    assert_non_null(strstr(sunup_error(ctx), "3 samples"));
    (void)unlink(x);
    (void)unlink(y);
}

static void test_fashion_mnist(void **state)
{
    (void)state;
    static const char *const folder = "/usr/share/datasets/fashion-mnist/";
    char path[96];
    struct array a;
    (void)snprintf(path, sizeof path, "%s%s", folder, "t10k-images-idx3-ubyte.gz");
    if (!sunup__file_exists(path)) skip();
    assert_int_equal(sunup__read_array(ctx, path, NULL, &a), SUNUP_OK);
    assert_true(a.dtype == SUNUP_U8 && a.shape.n == 3 && a.shape.d[0] == 10000 &&
                a.shape.d[1] == 28 && a.shape.d[2] == 28);
    double sum = 0;
    for (int64_t i = 0; i < sunup__elements(&a.shape); i++) sum += number(&a, i);
    assert_true(fabs(sum / (255 * 7840000.0) - 0.2868) < 1e-3); /* the published mean */
    sunup__array_end(&a);
    (void)snprintf(path, sizeof path, "%s%s", folder, "t10k-labels-idx1-ubyte.gz");
    assert_int_equal(sunup__read_array(ctx, path, NULL, &a), SUNUP_OK);
    int64_t count[10] = {0};
    for (int64_t i = 0; i < 10000; i++) count[((uint8_t *)a.data)[i] % 10]++;
    for (int i = 0; i < 10; i++) assert_int_equal(count[i], 1000);
    sunup__array_end(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_idx),         cmocka_unit_test(test_idx_hostile),
        cmocka_unit_test(test_npy_elements), cmocka_unit_test(test_npy_orders),
        cmocka_unit_test(test_npy_hostile), cmocka_unit_test(test_gzip),
        cmocka_unit_test(test_npz),         cmocka_unit_test(test_hdf5),
        cmocka_unit_test(test_hdf5_hostile), cmocka_unit_test(test_csv),
        cmocka_unit_test(test_csv_hostile), cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_open),        cmocka_unit_test(test_fashion_mnist),
    };
    return cmocka_run_group_tests(tests, start, end);
}
