/* utf8.c - see utf8.h. */
#include "track/utf8.h"

#include <stdbool.h>

int sunup__utf8(const char *s, size_t n, uint32_t *point)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *c = (const unsigned char *)s;
    if (n == 0) return 0;
    const int bytes = c[0] < 0x80       ? 1
                      : c[0] >> 5 == 6  ? 2
                      : c[0] >> 4 == 14 ? 3
                      : c[0] >> 3 == 30 ? 4
                                        : 0;
    if ((size_t)bytes > n) return 0;
    *point = bytes < 2 ? c[0] : c[0] & (0x7fu >> bytes);
    for (int i = 1; i < bytes; i++) {
        if (c[i] >> 6 != 2) return 0;
        *point = *point << 6 | (c[i] & 0x3f);
    }
    const bool surrogate = *point >= 0xd800 && *point < 0xe000;
    return *point < least[bytes] || *point > 0x10ffff || surrogate ? 0 : bytes;
}
