/* npz_fuzz.c - any bytes as an npz archive: its only member, and the one called x. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct array only, x;
    const sunup_status status = sunup__read_npz(fuzz_context(), data, size, "fuzz", NULL, &only);
    (void)fuzz_array(status, &only);
    const sunup_status named = sunup__read_npz(fuzz_context(), data, size, "fuzz", "x", &x);
    return fuzz_array(named, &x);
}
