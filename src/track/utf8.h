/* utf8.h - one code point of a text, as RFC 3629 has it: no overlong forms, no surrogates. */
#ifndef SUNUP_TRACK_UTF8_H
#define SUNUP_TRACK_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of the code point that begins the n bytes at s, and it; 0: none does. Of a text that ends with 0 n may be
 * large: the 0 is a code point of its own and no continuation, so nothing is read past it. */
int sunup__utf8(const char *s, size_t n, uint32_t *point);

#endif
