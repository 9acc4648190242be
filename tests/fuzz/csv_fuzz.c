/* csv_fuzz.c - any bytes as a table: all columns, and a list of columns that begins the file up to a NUL. */
#include <string.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct array all, some;
    const sunup_status status = sunup__read_csv(fuzz_context(), data, size, "fuzz", NULL, &all);
    (void)fuzz_array(status, &all);
    const uint8_t *nul = size > 0 ? memchr(data, '\0', size) : NULL;
    if (nul == NULL) return 0;
    const size_t rest = size - (size_t)(nul + 1 - data);
    const sunup_status picked =
        sunup__read_csv(fuzz_context(), nul + 1, rest, "fuzz", (const char *)data, &some);
    return fuzz_array(picked, &some);
}
