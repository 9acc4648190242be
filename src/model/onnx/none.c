/* none.c - a build without protobuf-c or onnx.proto: ONNX files are known as such, and refused
 * with the reason. */
#include <string.h>

#include "model/model.h"

static sunup_status none(sunup_context *ctx, const char *name)
{
    RAISE(
        ctx, E_UNSUPPORTED,
        "%s: this sunup was built without ONNX: install libprotobuf-c-dev, protobuf-c-compiler and "
        "libonnx-dev, and build it again",
        name);
}

bool sunup__onnx_is(const void *data, size_t bytes, const char *path)
{
    const unsigned char *p = data;
    const size_t n = strlen(path);
    return (n > 5 && strcmp(path + n - 5, ".onnx") == 0) ||
           (bytes > 2 && p[0] == 0x08 && p[1] < 0x20);
}

sunup_status sunup__onnx_model(sunup_context *ctx, const struct onnx_file *file, uint64_t seed,
                               sunup_model **model)
{
    (void)seed;
    *model = NULL;
    return none(ctx, file->name);
}

bool sunup__onnx_made(const sunup_model *model)
{
    (void)model;
    return false;
}

sunup_status sunup__onnx_write_back(const sunup_model *model, const char *path)
{
    return none(model->ctx, path);
}

sunup_status sunup__onnx_export(sunup_model *model, const char *path)
{
    return none(model->ctx, path);
}
