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

#endif
