/* ops.c - the table of operators, from ops.def, and how one is found by its name. */
#include <stdlib.h>
#include <string.h>

#include "model/onnx/ops.h"

static const struct onnx_op ops[] = {
#define ONNX_OP(operator, function, roles, kind) {#operator, sunup__onnx_##function, roles, kind},
#include "model/onnx/ops.def"
#undef ONNX_OP
};
enum { N_OPS = sizeof ops / sizeof ops[0] };

const struct onnx_op *sunup__onnx_op(const char *name)
{
    for (int i = 0; i < N_OPS; i++)
        if (strcmp(ops[i].name, name) == 0) return &ops[i];
    return NULL;
}

const char *sunup__onnx_op_name(int i)
{
    return i >= 0 && i < N_OPS ? ops[i].name : NULL;
}

struct onnx_tensor *sunup__onnx_need(struct onnx_call *c, int i)
{
    struct onnx_tensor *t = sunup__onnx_in(c, i);
    if (!t) FAIL(c, E_FORMAT, "its operand %d is absent", i);
    return t;
}
