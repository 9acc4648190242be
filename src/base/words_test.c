/* words_test.c - misspelt words find their meaning, strangers find nothing. */
#include "base/words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char *const words[] = {"relu", "kernel_size",    NULL, "out_channels",
                                    "conv", "conv_transpose", "lr"};
enum { WORDS = sizeof words / sizeof words[0] };

static void finds_the_nearest(void **state)
{
    (void)state;
    assert_string_equal(sunup__nearest("rleu", WORDS, words), "relu");
    assert_string_equal(sunup__nearest("RELU", WORDS, words), "relu");
    assert_string_equal(sunup__nearest("kernel", WORDS, words), "kernel_size");
    assert_string_equal(sunup__nearest("kernal_size", WORDS, words), "kernel_size");
    assert_string_equal(sunup__nearest("channels", WORDS, words), "out_channels");
    assert_string_equal(sunup__nearest("conv2", WORDS, words), "conv");
    assert_string_equal(sunup__nearest("convtranspose", WORDS, words), "conv_transpose");
    assert_string_equal(sunup__nearest("l", WORDS, words), "lr");
}

static void strangers_find_nothing(void **state)
{
    (void)state;
    char longest[200];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_null(sunup__nearest("zebra", WORDS, words));
    assert_null(sunup__nearest("", 2, words));
    assert_null(sunup__nearest(longest, WORDS, words));
    assert_null(sunup__nearest("relu", 0, words));
}

static void hints_in_a_sentence(void **state)
{
    (void)state;
    char room[HINT_TEXT];
    assert_string_equal(sunup__hint(room, "reluu", WORDS, words), "; did you mean 'relu'?");
    assert_string_equal(sunup__hint(room, "zebra", WORDS, words), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_nearest),
        cmocka_unit_test(strangers_find_nothing),
        cmocka_unit_test(hints_in_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
