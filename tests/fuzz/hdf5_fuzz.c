/* hdf5_fuzz.c - any bytes as an HDF5 file: its only data set. */
#include "fuzz.h"

/* The HDF5 library loses memory of its own when it gives up on a damaged file. */
/* Seen by a sanitizer that is a library of its own, too. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libhdf5";
}

/* It also asks for what a damaged file says, and copes with being refused. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct array a;
    const sunup_status status = sunup__read_hdf5(fuzz_context(), data, size, "fuzz", NULL, &a);
    return fuzz_array(status, &a);
}
