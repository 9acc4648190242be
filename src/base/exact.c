/* exact.c - the exact sum of doubles: a term into three digits, carries, and one rounding.
 *
 * The top digit keeps its 64 bits and the sign of all: |x| < 2^1024 is below 2^18 there, which leaves room for 2^45
 * terms. All other digits are in [0, 2^32) after a carry.
 */
#include "base/exact.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define DIGIT_MASK INT64_C(0xffffffff)

enum { LEAST_EXPONENT = -1074 };

static void count_not_finite(struct exact *sum, double x)
{
    sum->word[isnan(x) ? EXACT_NAN : x > 0 ? EXACT_UP : EXACT_DOWN]++;
}

void sunup__exact_add(struct exact *sum, double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    const int exponent = (int)(bits >> 52 & 0x7ff);
    if (exponent == 0x7ff) {
        count_not_finite(sum, x);
        return;
    }
    int64_t m = (int64_t)(bits & ((UINT64_C(1) << 52) - 1));
    if (exponent > 0) m += INT64_C(1) << 52;
    const int shift = exponent > 0 ? exponent - 1 : 0; /* |x| = m 2^(shift - 1074) */
    const int64_t low = (m & DIGIT_MASK) << shift % 32;
    const int64_t high = (low >> 32) + ((m >> 32) << shift % 32);
    const int64_t sign = bits >> 63 ? -1 : 1;
    int64_t *digit = sum->word + shift / 32;
    digit[0] += sign * (low & DIGIT_MASK);
    digit[1] += sign * (high & DIGIT_MASK);
    digit[2] += sign * (high >> 32);
}

/* What is beyond the lowest 32 bits, rounded down. */
static int64_t carry_of(int64_t digit)
{
    return (digit - (digit & DIGIT_MASK)) / (DIGIT_MASK + 1);
}

void sunup__exact_carry(struct exact *sum)
{
    for (int i = 0; i < EXACT_DIGITS - 1; i++) {
        sum->word[i + 1] += carry_of(sum->word[i]);
        sum->word[i] &= DIGIT_MASK;
    }
}

void sunup__exact_merge(struct exact *sum, const struct exact *other)
{
    for (int i = 0; i < EXACT_WORDS; i++) sum->word[i] += other->word[i];
}

/* The value of a carried sum that is not negative. digit: two zeros, then EXACT_DIGITS + 1 of 32 bits. A result below
 * the normal range has all its bits in the window, so nothing is rounded twice. */
static double round_once(const int64_t *digit)
{
    int top = EXACT_DIGITS + 2;
    while (top > 2 && digit[top] == 0) top--;
    uint64_t window = (uint64_t)digit[top] << 32 | (uint64_t)digit[top - 1];
    uint64_t below = (uint64_t)digit[top - 2];
    int shift = 0;
    while (window != 0 && window >> 63 == 0) {
        window = window << 1 | (below >> 31 & 1);
        below = below << 1 & DIGIT_MASK;
        shift++;
    }
    for (int i = 0; i < top - 2; i++) below |= (uint64_t)digit[i];
    window |= below != 0; /* far below the rounding bit, it only breaks ties */
    return ldexp((double)window, 32 * (top - 3) - shift + LEAST_EXPONENT);
}

double sunup__exact_value(const struct exact *sum)
{
    const bool up = sum->word[EXACT_UP] != 0, down = sum->word[EXACT_DOWN] != 0;
    if (sum->word[EXACT_NAN] != 0 || (up && down)) return NAN;
    if (up || down) return up ? INFINITY : -INFINITY;
    struct exact carried = *sum;
    sunup__exact_carry(&carried);
    const bool negative = carried.word[EXACT_DIGITS - 1] < 0;
    for (int i = 0; i < EXACT_DIGITS && negative; i++) carried.word[i] = -carried.word[i];
    sunup__exact_carry(&carried);
    int64_t digit[EXACT_DIGITS + 3] = {0};
    memcpy(digit + 2, carried.word, EXACT_DIGITS * sizeof *digit);
    digit[EXACT_DIGITS + 2] = carry_of(digit[EXACT_DIGITS + 1]);
    digit[EXACT_DIGITS + 1] &= DIGIT_MASK;
    return negative ? -round_once(digit) : round_once(digit);
}
