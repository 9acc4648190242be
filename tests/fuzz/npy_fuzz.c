/* npy_fuzz.c - any bytes as an npy file. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct array a;
    const sunup_status status = sunup__read_npy(fuzz_context(), data, size, "fuzz", &a);
    return fuzz_array(status, &a);
}
