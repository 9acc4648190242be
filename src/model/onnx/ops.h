/* ops.h - shorthand for the operators' functions, and the kinds that ops.def names. */
#ifndef SUNUP_MODEL_ONNX_OPS_H
#define SUNUP_MODEL_ONNX_OPS_H

#include "model/onnx/onnx.h"
#include "tensor/tensor.h"

#define FAIL(c, code, ...) sunup__onnx_fail((c), SUNUP_##code, __VA_ARGS__)

enum unary_kind {
#define FORMULA(operator, y) UNARY_##operator,
#include "model/onnx/unary.def"
#undef FORMULA
};
enum many_kind {
    MANY_Add,
    MANY_Sub,
    MANY_Mul,
    MANY_Div,
    MANY_PRelu,
    MANY_Sum,
    MANY_Mean,
    MANY_Max,
    MANY_Min,
    MANY_Mod,
    MANY_Pow,
    MANY_Equal,
    MANY_Greater,
    MANY_GreaterOrEqual,
    MANY_Less,
    MANY_LessOrEqual,
    MANY_And,
    MANY_Or,
    MANY_Xor,
    MANY_Where
};
enum reduce_kind {
    REDUCE_ReduceL1,
    REDUCE_ReduceL2,
    REDUCE_ReduceLogSum,
    REDUCE_ReduceLogSumExp,
    REDUCE_ReduceMax,
    REDUCE_ReduceMean,
    REDUCE_ReduceMin,
    REDUCE_ReduceProd,
    REDUCE_ReduceSum,
    REDUCE_ReduceSumSquare
};

#define ONNX_OP(operator, function, roles, kind) void sunup__onnx_##function(struct onnx_call *c);
#include "model/onnx/ops.def"
#undef ONNX_OP

/* The form of t that is there: last if only that is. */
static inline sunup_value *either(struct onnx_call *c, struct onnx_tensor *t, bool *last)
{
    *last = sunup__onnx_only_last(t);
    return *last ? t->last : sunup__onnx_first(c->b, t);
}

/* Operand i, which an operator cannot do without: a mistake where it is absent. */
struct onnx_tensor *sunup__onnx_need(struct onnx_call *c, int i);

/* Cut towards zero; of no gradient. */
sunup_value *sunup__onnx_trunc(sunup_value *x);

#endif
