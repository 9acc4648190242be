/* real.h - makes one source serve float and double: each file of ref/ is compiled twice, see
 * ../layer.cmake.
 *
 *   REAL          float or double
 *   NAME(x)       x_f32 or x_f64; a leaf's reference is NAME(ref_<leaf>)
 *   RC(x)         a constant or a conversion to REAL
 *   EXP(x) ...    the math library's function of that precision
 */
#ifndef SUNUP_KERNELS_REF_REAL_H
#define SUNUP_KERNELS_REF_REAL_H

#include <math.h>

#include "kernels/kernels.h"

#ifdef REAL_F64
#define REAL     double
#define NAME(x)  x##_f64
#define MATH(fn) fn
#else
#define REAL     float
#define NAME(x)  x##_f32
#define MATH(fn) fn##f
#endif

#define RC(x)          ((REAL)(x))
#define ABS(x)         MATH(fabs)(x)
#define SQRT(x)        MATH(sqrt)(x)
#define EXP(x)         MATH(exp)(x)
#define EXPM1(x)       MATH(expm1)(x)
#define LOG(x)         MATH(log)(x)
#define LOG1P(x)       MATH(log1p)(x)
#define SIN(x)         MATH(sin)(x)
#define COS(x)         MATH(cos)(x)
#define TANH(x)        MATH(tanh)(x)
#define ERF(x)         MATH(erf)(x)
#define FLOOR(x)       MATH(floor)(x)
#define ATAN2(y, x)    MATH(atan2)(y, x)
#define FMOD(a, b)     MATH(fmod)(a, b)
#define POW(a, b)      MATH(pow)(a, b)
#define COPYSIGN(a, b) MATH(copysign)(a, b)
#define FMA(a, b, c)   MATH(fma)(a, b, c)

#endif
