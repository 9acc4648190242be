/* tensor_test.c - shapes, strides and broadcasting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tensor/tensor.h"

static void elements_and_text(void **state)
{
    (void)state;
    char room[SHAPE_TEXT];
    const sunup_shape scalar = SUNUP_SCALAR, s = SUNUP_SHAPE(2, 3, 5);
    assert_int_equal(sunup__elements(&scalar), 1);
    assert_int_equal(sunup__elements(&s), 30);
    assert_string_equal(sunup__shape_text(&s, room), "[2, 3, 5]");
    assert_string_equal(sunup__shape_text(&scalar, room), "[]");
    int64_t stride[SUNUP_MAX_DIMS];
    sunup__strides(&s, stride);
    assert_int_equal(stride[0], 15);
    assert_int_equal(stride[1], 5);
    assert_int_equal(stride[2], 1);
}

static void broadcasting(void **state)
{
    (void)state;
    const sunup_shape a = SUNUP_SHAPE(4, 1, 3), b = SUNUP_SHAPE(5, 1), c = SUNUP_SHAPE(2),
                      zero = SUNUP_SHAPE(0, 3);
    sunup_shape out;
    assert_true(sunup__broadcast_shapes(&a, &b, &out));
    assert_true(sunup__same_shape(&out, &SUNUP_SHAPE(4, 5, 3)));
    assert_false(sunup__broadcast_shapes(&a, &c, &out));
    assert_true(sunup__broadcast_shapes(&zero, &a, &out) == false || out.d[1] == 0);
    int64_t stride[SUNUP_MAX_DIMS];
    const sunup_shape as = SUNUP_SHAPE(4, 5, 3);
    sunup__broadcast_strides(&a, &as, stride);
    assert_int_equal(stride[0], 3);
    assert_int_equal(stride[1], 0);
    assert_int_equal(stride[2], 1);
    sunup__broadcast_strides(&b, &as, stride);
    assert_int_equal(stride[0], 0);
    assert_int_equal(stride[1], 1);
    assert_int_equal(stride[2], 0);
}

static void limits(void **state)
{
    (void)state;
    assert_true(sunup__shape_ok(&SUNUP_SHAPE(0, 5)));
    assert_false(sunup__shape_ok(&SUNUP_SHAPE(-1)));
    assert_false(sunup__shape_ok(&SUNUP_SHAPE((int64_t)1 << 40, (int64_t)1 << 40)));
    assert_int_equal(sunup__axis(-1, 3), 2);
    assert_int_equal(sunup__axis(3, 3), -1);
    assert_int_equal(sunup__axis(-4, 3), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(elements_and_text),
                                       cmocka_unit_test(broadcasting), cmocka_unit_test(limits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
