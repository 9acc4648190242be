/* unroll.h - UNROLL before a loop of a constant count: tiles are registers only if their loops are gone. */
#ifndef SUNUP_KERNELS_UNROLL_H
#define SUNUP_KERNELS_UNROLL_H

#ifndef __clang__
#define UNROLL _Pragma("GCC unroll 32")
#elif __has_feature(address_sanitizer) || __has_feature(undefined_behavior_sanitizer)
#define UNROLL /* with a check at every access, clang would take minutes */
#else
#define UNROLL _Pragma("clang loop unroll(full)")
#endif

#endif
