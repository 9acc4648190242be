/* yaml_fuzz.c - any bytes as a model file: a description or a sentence, never a crash. Reading alone: what is built
 * from a description is bounded by memory, not by the reader. */
#include "base/memory.h"
#include "model/description.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sunup_context *ctx;
    if (sunup_context_create(NULL, &ctx) != SUNUP_OK) return 0;
    struct description d = {0};
    const sunup_status status =
        sunup__description_read(ctx, (const char *)data, size, "fuzz.yaml", &d);
    if (status != SUNUP_OK && sunup_error(ctx)[0] == '\0') __builtin_trap();
    sunup__description_end(&d);
    sunup_context_destroy(&ctx);
    return 0;
}
