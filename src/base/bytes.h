/* bytes.h - numbers of bytes as people and problems write them: "64K", "4MiB", "1000", "8B". */
#ifndef SUNUP_BASE_BYTES_H
#define SUNUP_BASE_BYTES_H

#include <stdint.h>

/* From 1 to 1e11 bytes at the beginning of text; returns what follows, NULL if there are none. */
const char *sunup__bytes_read(const char *text, int64_t *bytes);

enum { BYTES_TEXT = 24 };
/* In the largest unit that needs no fraction ("97MiB", "1000B"), into room; returns room. */
char *sunup__bytes_text(int64_t bytes, char *room);

#endif
