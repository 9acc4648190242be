/* bytes_test.c - numbers of bytes are read as they are written, and nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"

static void written_and_read_back(void **state)
{
    (void)state;
    const struct {
        int64_t bytes;
        const char *text;
    } cases[] = {{1, "1B"},           {1000, "1000B"},      {1024, "1KiB"},
                 {1025, "1025B"},     {98 << 20, "98MiB"},  {102228128, "102228128B"},
                 {3LL << 30, "3GiB"}, {64LL << 30, "64GiB"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char room[BYTES_TEXT];
        int64_t bytes = 0;
        assert_string_equal(sunup__bytes_text(cases[i].bytes, room), cases[i].text);
        assert_string_equal(sunup__bytes_read(room, &bytes), "");
        assert_int_equal(bytes, cases[i].bytes);
    }
}

static void reads_what_people_write(void **state)
{
    (void)state;
    int64_t bytes;
    assert_string_equal(sunup__bytes_read("64K", &bytes), "");
    assert_int_equal(bytes, 65536);
    assert_string_equal(sunup__bytes_read("1.5M:f32", &bytes), ":f32");
    assert_int_equal(bytes, 3 << 19);
    assert_string_equal(sunup__bytes_read("4X", &bytes), "X");
    const char *const no[] = {"",    "K",   "0",     "-1",   "+1", " 1", "nan",
                              "inf", "0.5", "1e300", "1e12", "0x", ":"};
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        if (sunup__bytes_read(no[i], &bytes) != NULL) fail_msg("'%s' was read", no[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_and_read_back),
        cmocka_unit_test(reads_what_people_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
