/* placeholder */
#include "model/onnx/onnx.h"
sunup_status sunup__onnx_export(sunup_model *model, const char *path)
{
    RAISE(model->ctx, E_UNSUPPORTED, "%s", path);
}
