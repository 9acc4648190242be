/* simd.h - for plain-C loops that the compiler turns into vectors, once for each instruction set.
 *
 * A file here is f32, compiled with each level's flags (../layer.cmake), and exports FILL(<file>) only. Sums use an
 * array of partial sums of fixed length, so that their order does not depend on the instruction set's width. Float
 * contraction is off: write FMA where one is meant.
 */
#ifndef SUNUP_KERNELS_SIMD_H
#define SUNUP_KERNELS_SIMD_H

#include "kernels/fill.h"

#define FMA(a, b, c) __builtin_fmaf(a, b, c)

#endif
