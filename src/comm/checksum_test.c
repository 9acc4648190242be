/* checksum_test.c - what the checksum promises: no flipped bit, no two, no two words in each other's place, no part cut
 * off survives it; blocks and addresses do not matter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "comm/checksum.h"

enum { WORDS = 37, BYTES = 4 * WORDS + 3, LONG = 8 * 4096 * 4 * 2 + 100 };

static unsigned char data[LONG + 8];

static int fill(void **state)
{
    (void)state;
    uint32_t x = 1;
    for (int i = 0; i < LONG; i++) data[i] = (unsigned char)((x = x * 1664525 + 1013904223) >> 24);
    return 0;
}

static void flip(int bit)
{
    data[bit / 8] ^= (unsigned char)(1 << bit % 8);
}

static void one_flipped_bit(void **state)
{
    (void)state;
    const uint64_t whole = sunup__checksum(data, BYTES);
    for (int bit = 0; bit < 8 * BYTES; bit++) {
        flip(bit);
        assert_true(sunup__checksum(data, BYTES) != whole);
        flip(bit);
    }
    assert_true(sunup__checksum(data, BYTES) == whole);
}

static void two_flipped_bits(void **state)
{
    (void)state;
    const uint64_t whole = sunup__checksum(data, BYTES);
    for (int first = 0; first < 8 * BYTES; first++) {
        flip(first);
        for (int second = first + 1; second < 8 * BYTES; second++) {
            flip(second);
            if (sunup__checksum(data, BYTES) == whole) fail_msg("bits %d and %d", first, second);
            flip(second);
        }
        flip(first);
    }
}

static void swap(int i, int j)
{
    unsigned char word[4];
    memcpy(word, data + 4 * i, 4);
    memcpy(data + 4 * i, data + 4 * j, 4);
    memcpy(data + 4 * j, word, 4);
}

static void swapped_words(void **state)
{
    (void)state;
    const uint64_t whole = sunup__checksum(data, BYTES);
    for (int i = 0; i < WORDS; i++)
        for (int j = 0; j < i; j++) {
            swap(i, j);
            assert_true(sunup__checksum(data, BYTES) != whole);
            swap(i, j);
        }
}

/* Zeros as well: of a message that came short the rest would be what was there before. */
static void every_length(void **state)
{
    (void)state;
    static const unsigned char zeros[BYTES + 32];
    for (int n = 0; n + 32 <= BYTES; n += 32) {
        assert_true(sunup__checksum(zeros, n) != sunup__checksum(zeros, n + 32));
        assert_true(sunup__checksum(data, n) != sunup__checksum(data, n + 1));
    }
}

/* The definition, word by word. */
static uint64_t plain(const unsigned char *p, int64_t bytes)
{
    const uint64_t prime = UINT64_C(4294967291), n = (uint64_t)(bytes + 31) / 32 * 8;
    uint64_t a = 1, b = n % prime;
    for (uint64_t i = 0; i < n; i++) {
        uint32_t word = 0;
        const int64_t left = bytes - (int64_t)(4 * i);
        if (left > 0) memcpy(&word, p + 4 * i, left < 4 ? (size_t)left : 4);
        a = (a + word) % prime;
        b = (b + (n - i) * word) % prime;
    }
    return b << 32 | a;
}

static void as_defined(void **state)
{
    (void)state;
    const int lengths[] = {0, 1, 31, 32, 33, BYTES, LONG / 2, LONG};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        assert_true(sunup__checksum(data, lengths[i]) == plain(data, lengths[i]));
    memset(data, 0xff, LONG); /* the largest sums */
    assert_true(sunup__checksum(data, LONG) == plain(data, LONG));
}

static void any_address(void **state)
{
    (void)state;
    const uint64_t whole = sunup__checksum(data, BYTES);
    for (int shift = 1; shift < 8; shift++) {
        memmove(data + shift, data + shift - 1, BYTES);
        assert_true(sunup__checksum(data + shift, BYTES) == whole);
    }
}

/* --- of integers --- */

enum { TERMS = 5, N_MOST = 70 };

/* Terms and their sum, which wraps. */
static void fill_terms(int32_t (*x)[N_MOST])
{
    uint32_t seed = 7;
    for (int i = 0; i < N_MOST; i++) {
        uint32_t sum = 0;
        for (int t = 0; t < TERMS; t++) {
            seed = seed * 1664525 + 1013904223;
            x[t][i] = (int32_t)seed;
            sum += seed;
        }
        x[TERMS][i] = (int32_t)sum;
    }
}

static void of_a_sum(void **state)
{
    (void)state;
    static int32_t x[TERMS + 1][N_MOST];
    fill_terms(x);
    for (int n = 0; n <= N_MOST; n++) {
        uint64_t sum = 0;
        for (int t = 0; t < TERMS; t++) sum = sunup__checksum_plus(sum, sunup__checksum_integers(x[t], n));
        assert_true(sum == sunup__checksum_integers(x[TERMS], n));
        for (int bit = 0; bit < 32 * n; bit++) {
            x[TERMS][bit / 32] ^= (int32_t)(UINT32_C(1) << bit % 32);
            assert_true(sum != sunup__checksum_integers(x[TERMS], n));
            x[TERMS][bit / 32] ^= (int32_t)(UINT32_C(1) << bit % 32);
        }
    }
}

static void swapped_integers(void **state)
{
    (void)state;
    int32_t x[20];
    for (int i = 0; i < 20; i++) x[i] = 3 * i * i - 50;
    const uint64_t whole = sunup__checksum_integers(x, 20);
    for (int i = 0; i < 20; i++)
        for (int j = 0; j < i; j++) {
            const int32_t xi = x[i], xj = x[j];
            x[i] = xj, x[j] = xi;
            assert_true(sunup__checksum_integers(x, 20) != whole);
            x[i] = xi, x[j] = xj;
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(one_flipped_bit, fill),
        cmocka_unit_test_setup(two_flipped_bits, fill),
        cmocka_unit_test_setup(swapped_words, fill),
        cmocka_unit_test_setup(every_length, fill),
        cmocka_unit_test_setup(as_defined, fill),
        cmocka_unit_test_setup(any_address, fill),
        cmocka_unit_test(of_a_sum),
        cmocka_unit_test(swapped_integers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
