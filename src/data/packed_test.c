/* packed_test.c - gzip, npz and HDF5 files: right numbers from good ones, a sentence from bad ones. */
#include "data/reader_test.h"

#ifdef SUNUP_HAVE_ZIP
#include <zip.h>
#endif
#ifdef SUNUP_HAVE_HDF5
#include <hdf5.h>
#endif

/* The HDF5 library loses memory of its own when it gives up on a damaged file. */
/* Seen by a sanitizer that is a library of its own, too. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libhdf5";
}

static sunup_status gzip(const void *data, size_t n, const char *member, struct array *a)
{
    (void)member;
    size_t bytes = 0;
    *a = (struct array){0};
    return sunup__gunzip(ctx, data, n, "file", 1 << 20, &a->data, &bytes);
}

static sunup_status npz(const void *data, size_t n, const char *member, struct array *a)
{
    return sunup__read_npz(ctx, data, n, "file", member, a);
}

static sunup_status hdf5(const void *data, size_t n, const char *member, struct array *a)
{
    return sunup__read_hdf5(ctx, data, n, "file", member, a);
}

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
    put(&f, one.b, one.n);          /* two members, longer than the last length says */
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
    struct bytes a =
        npy_file(1, "{'descr': '<u2', 'fortran_order': False, 'shape': (2,)}", "\1\0\2\0", 4);
    struct bytes b =
        npy_file(1, "{'descr': '|u1', 'fortran_order': False, 'shape': (900,)}", "", 0);
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
    if (packed)
        assert_true(H5Pset_chunk(how, 2, (hsize_t[]){2, 2}) >= 0 && H5Pset_deflate(how, 6) >= 0);
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
    refuse(hdf5, &f, NULL, SUNUP_E_FORMAT, "it was cut short");

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

/* One field of a set of records. */
static void test_hdf5_records(void **state)
{
    (void)state;
#ifdef SUNUP_HAVE_HDF5
    const struct {
        uint64_t id;
        float value;
    } rows[2] = {{5, 0.5F}, {1ULL << 40, -2}};
    const hsize_t n = 2;
    const hid_t file = hdf5_begin(), type = H5Tcreate(H5T_COMPOUND, sizeof rows[0]);
    assert_true(H5Tinsert(type, "id", 0, H5T_NATIVE_UINT64) >= 0);
    assert_true(H5Tinsert(type, "value", sizeof(uint64_t), H5T_NATIVE_FLOAT) >= 0);
    const hid_t space = H5Screate_simple(1, &n, NULL);
    const hid_t set =
        H5Dcreate2(file, "voxels", type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, rows) >= 0);
    assert_true(H5Dclose(set) >= 0 && H5Sclose(space) >= 0 && H5Tclose(type) >= 0);
    const struct bytes f = hdf5_finish(file);
    expect(hdf5, &f, "voxels:id", SUNUP_F64, SUNUP_SHAPE(2), (double[]){5, 1099511627776.0});
    expect(hdf5, &f, "voxels:value", SUNUP_F32, SUNUP_SHAPE(2), (double[]){0.5, -2});
    refuse(hdf5, &f, "voxels", SUNUP_E_UNSUPPORTED, "of records a field, as voxels:FIELD");
    refuse(hdf5, &f, "voxels:weight", SUNUP_E_UNSUPPORTED, "voxels:weight: holds no plain numbers");
    refuse(hdf5, &f, "nowhere:id", SUNUP_E_ARGUMENT, "it holds: voxels");
#else
    skip();
#endif
}

/* Chunks are written packed as they are: the library does not look into them. */
static void test_hdf5_chunks(void **state)
{
    (void)state;
#ifdef SUNUP_HAVE_HDF5
    for (uLong length = 3; length <= 5; length++) { /* 4 is right */
        unsigned char packed[64];
        uLongf n = sizeof packed;
        assert_int_equal(compress(packed, &n, (const Bytef *)"\1\2\3\4\5", length), Z_OK);
        hid_t file = hdf5_begin();
        hdf5_set(file, "packed", H5T_STD_U8LE, 0, NULL);
        const hid_t set = H5Dopen2(file, "packed", H5P_DEFAULT);
        assert_true(H5Dwrite_chunk(set, H5P_DEFAULT, 0, (hsize_t[]){0, 0}, n, packed) >= 0);
        if (length != 5)
            assert_true(H5Dwrite_chunk(set, H5P_DEFAULT, 0, (hsize_t[]){2, 0}, n, packed) >= 0);
        (void)H5Dclose(set);
        const struct bytes f = hdf5_finish(file);
        if (length == 3) refuse(hdf5, &f, NULL, SUNUP_E_FORMAT, "does not unpack to the 4 bytes");
        if (length == 4)
            expect(hdf5, &f, NULL, SUNUP_U8, SUNUP_SHAPE(3, 2), (double[]){1, 2, 3, 4, 1, 2});
        if (length == 5) refuse(hdf5, &f, NULL, SUNUP_E_FORMAT, "of its 2 chunks 1 are stored");
    }
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gzip),         cmocka_unit_test(test_npz),
        cmocka_unit_test(test_hdf5),         cmocka_unit_test(test_hdf5_chunks),
        cmocka_unit_test(test_hdf5_records), cmocka_unit_test(test_hdf5_hostile),
    };
    return cmocka_run_group_tests(tests, start, end);
}
