/* integers.h - the sizes' arithmetic that all layers need. */
#ifndef SUNUP_BASE_INTEGERS_H
#define SUNUP_BASE_INTEGERS_H

#include <stdint.h>

static inline int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* How many parts of size b hold a; a >= 0, b > 0. */
static inline int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* The next multiple of b, a itself if it is one. */
static inline int64_t round_up(int64_t a, int64_t b)
{
    return ceil_div(a, b) * b;
}

/* Of 0 .. n - 1, the one that is i modulo n; without a division where that is i. */
static inline int64_t wrapped(int64_t i, int64_t n)
{
    return i >= 0 && i < n ? i : (i % n + n) % n;
}

#endif
