/* safetensors_fuzz.c - any bytes as a file of tensors: tensors that may be read to their ends, or a sentence. */
#include "model/model.h"
#include "tensor/tensor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sunup_context *ctx;
    if (sunup_context_create(NULL, &ctx) != SUNUP_OK) return 0;
    struct tensors t;
    const sunup_status status = sunup__tensors_parse(ctx, data, size, "fuzz", &t);
    if (status != SUNUP_OK && sunup_error(ctx)[0] == '\0') __builtin_trap();
    unsigned sum = 0;
    for (int i = 0; i < t.n; i++) {
        const int64_t bytes = sunup__elements(&t.t[i].shape) * sunup_dtype_bytes(t.t[i].dtype);
        for (int64_t b = 0; b < bytes; b++) sum += ((const uint8_t *)t.t[i].data)[b];
    }
    sunup__tensors_end(&t);
    sunup_context_destroy(&ctx);
    return sum == 0xFFFFFFFF; /* so that the reads stay */
}
