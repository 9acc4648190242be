/* plain_test.c - idx, npy and csv files: right numbers from good ones, a sentence from bad ones. */
#include "data/reader_test.h"

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

static sunup_status csv(const void *data, size_t n, const char *member, struct array *a)
{
    return sunup__read_csv(ctx, data, n, "file", member, a);
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
    (void)snprintf(header, sizeof header,
                   "{'descr': '%s', 'fortran_order': False, 'shape': (2,), }\n", descr);
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

/* ---- csv ---- */

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
    f = text("a,b\r\n1,2\r\n\r\n3,z\r\n");
    refuse(csv, &f, NULL, SUNUP_E_FORMAT, "line 4: column 1");
    f = text("a,b\r1,\"\n\n2\"\r3\r");
    refuse(csv, &f, NULL, SUNUP_E_FORMAT, "line 5: 1 values");
    f = text("\n \n");
    refuse(csv, &f, NULL, SUNUP_E_FORMAT, "holds no line");
    f = text("");
    refuse(csv, &f, NULL, SUNUP_E_FORMAT, "holds no line");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_idx),          cmocka_unit_test(test_idx_hostile),
        cmocka_unit_test(test_npy_elements), cmocka_unit_test(test_npy_orders),
        cmocka_unit_test(test_npy_hostile),  cmocka_unit_test(test_csv),
        cmocka_unit_test(test_csv_hostile),
    };
    return cmocka_run_group_tests(tests, start, end);
}
