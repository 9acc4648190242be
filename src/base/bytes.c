/* bytes.c - numbers of bytes read and written; units are powers of 1024. */
#include "base/bytes.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char units[] = "KMG";

const char *sunup__bytes_read(const char *text, int64_t *bytes)
{
    char *end;
    const double value = strtod(text, &end);
    const char *unit = *end != '\0' ? strchr(units, *end) : NULL;
    const double scaled = unit != NULL ? ldexp(value, 10 * (int)(unit - units + 1)) : value;
    if (unit != NULL) end++;
    if (unit != NULL && strncmp(end, "iB", 2) == 0) end += 2;
    if (unit == NULL && *end == 'B') end++;
    if (!isdigit((unsigned char)text[0]) || !(scaled >= 1 && scaled <= 1e11)) return NULL;
    *bytes = (int64_t)scaled;
    return end;
}

char *sunup__bytes_text(int64_t bytes, char *room)
{
    int unit = -1;
    while (bytes > 0 && bytes % 1024 == 0 && units[unit + 1] != '\0') {
        bytes /= 1024;
        unit++;
    }
    if (unit < 0)
        (void)snprintf(room, BYTES_TEXT, "%lldB", (long long)bytes);
    else
        (void)snprintf(room, BYTES_TEXT, "%lld%ciB", (long long)bytes, units[unit]);
    return room;
}
