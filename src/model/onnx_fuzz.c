/* onnx_fuzz.c - any bytes as an ONNX file: a graph or a sentence, never a crash. Read, resolved
 * and built for a batch of two; nothing is run but what is computed while building, which is
 * bounded. */
#include "model/onnx/onnx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static sunup_context *ctx;
    if (ctx == NULL && sunup_context_create(NULL, &ctx) != SUNUP_OK) return 0;
    const struct onnx_file file = {data, size, "fuzz.onnx", {.train_bn = size % 2 != 0}};
    struct onnx_model *m;
    sunup_graph *g = NULL;
    sunup_status status = sunup__onnx_open(ctx, &file, &m);
    sunup_graph_options o = sunup_graph_defaults();
    o.batch = 2;
    o.training = size % 3 != 0;
    if (status == SUNUP_OK) status = sunup_graph_create(ctx, &o, &g);
    if (status == SUNUP_OK) status = sunup__onnx_build(g, m);
    if (status != SUNUP_OK && sunup_error(ctx)[0] == '\0') __builtin_trap();
    sunup_graph_destroy(&g);
    sunup__onnx_close(&m);
    return 0;
}
