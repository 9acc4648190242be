/* tensor.h - element types, shapes and strides: arithmetic on descriptions, no data is touched here.
 *
 * Invariant: a dense tensor is row-major (last axis fastest), channels last, and has no gaps.
 */
#ifndef SUNUP_TENSOR_H
#define SUNUP_TENSOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sunup.h>

int64_t sunup__elements(const sunup_shape *s); /* 1 for a scalar; product of d */
bool sunup__same_shape(const sunup_shape *a, const sunup_shape *b);
bool sunup__is_float(sunup_dtype dtype);
/* "[64, 28, 28, 1]" into room (at least 160 bytes); returns room. */
char *sunup__shape_text(const sunup_shape *s, char *room);
enum { SHAPE_TEXT = 192 };
/* Row-major strides in elements. */
void sunup__strides(const sunup_shape *s, int64_t stride[SUNUP_MAX_DIMS]);
/* NumPy broadcasting of a and b; false if they do not fit. */
bool sunup__broadcast_shapes(const sunup_shape *a, const sunup_shape *b, sunup_shape *out);
/* Strides with which `s` is read as if it had shape `as` (0 on stretched axes). */
void sunup__broadcast_strides(const sunup_shape *s, const sunup_shape *as,
                              int64_t stride[SUNUP_MAX_DIMS]);
/* -1 -> last axis ...; returns -1 if outside. */
int sunup__axis(int axis, int n_dims);
/* True if d fits the limits: 0 <= each, product < 2^48 elements. */
bool sunup__shape_ok(const sunup_shape *s);

#endif
