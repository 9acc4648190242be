/* exact.h - the exact sum of doubles: the same whatever the order and the grouping of its terms.
 *
 * A fixed point number over the whole range of double, in digits of 32 bits that lie in 64: carries are put off.
 * Merging sums is adding their words as integers, so whoever adds integers over ranks adds exact sums, in any order.
 * Terms that are not finite are counted apart.
 * Invariant: up to 2^30 terms between carries, and up to 2^15 carried sums merged, overflow no word.
 * Cost: 552 bytes; a term costs three additions.
 * Source: Kulisch's long accumulator, with carries put off as in Neal, "Fast exact summation using small and large
 * superaccumulators" (2015).
 */
#ifndef SUNUP_BASE_EXACT_H
#define SUNUP_BASE_EXACT_H

#include <stdint.h>

enum {
    EXACT_DIGITS = 66, /* digit i counts 2^(32 i - 1074) */
    EXACT_NAN = EXACT_DIGITS,
    EXACT_UP,   /* terms +infinity */
    EXACT_DOWN, /* terms -infinity */
    EXACT_WORDS
};

/* All zero: the empty sum. */
struct exact {
    int64_t word[EXACT_WORDS];
};

void sunup__exact_add(struct exact *sum, double x);
/* The same sum in small digits: before another 2^30 terms, and before words are merged. */
void sunup__exact_carry(struct exact *sum);
void sunup__exact_merge(struct exact *sum, const struct exact *other); /* both carried */
/* Rounded once, to nearest, ties to even; a sum beyond the range is infinite. */
double sunup__exact_value(const struct exact *sum);

#endif
