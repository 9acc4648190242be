/* fuzz.h - what every fuzz target of a reader of arrays demands: numbers that may be read to their end, or a sentence.
 *
 * A target is one call of a reader. Built with -fsanitize=fuzzer,address,undefined; see CMakeLists.txt.
 */
#ifndef SUNUP_FUZZ_H
#define SUNUP_FUZZ_H

#include "base/memory.h"
#include "data/data.h"
#include "tensor/tensor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One context for all inputs: making one is no part of what is tested. */
static inline sunup_context *fuzz_context(void)
{
    static sunup_context *ctx;
    if (ctx == NULL && sunup_context_create(NULL, &ctx) != SUNUP_OK) __builtin_trap();
    return ctx;
}

static inline int fuzz_bytes(sunup_status status, const void *data, int64_t bytes)
{
    if (status != SUNUP_OK) {
        if (data != NULL || sunup_error(fuzz_context())[0] == '\0') __builtin_trap();
        return 0;
    }
    unsigned sum = 0;
    for (int64_t i = 0; i < bytes; i++) sum += ((const uint8_t *)data)[i];
    return sum == 0xFFFFFFFF ? -1 : 0; /* so that the reads stay */
}

static inline int fuzz_array(sunup_status status, struct array *a)
{
    const int64_t bytes =
        status == SUNUP_OK ? sunup__elements(&a->shape) * sunup_dtype_bytes(a->dtype) : 0;
    const int result = fuzz_bytes(status, a->data, bytes);
    sunup__array_end(a);
    return result;
}

#endif
