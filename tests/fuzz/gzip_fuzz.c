/* gzip_fuzz.c - any bytes as gzip, unpacked to 1 MiB at most. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    void *out = NULL;
    size_t bytes = 0;
    const sunup_status status =
        sunup__gunzip(fuzz_context(), data, size, "fuzz", 1 << 20, &out, &bytes);
    const int result = fuzz_bytes(status, out, (int64_t)bytes);
    sunup__free(out);
    return result;
}
