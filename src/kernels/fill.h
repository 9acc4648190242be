/* fill.h - FILL(file): the name of the one function that a .c file of simd/ or of an ISA folder
 * exports, void FILL(softmax)(struct kernels *k); it stores the file's leaves into the table.
 * `file` is the file's own name without .c. All else in such a file is static. ISA comes from the
 * build (layer.cmake).
 */
#ifndef SUNUP_KERNELS_FILL_H
#define SUNUP_KERNELS_FILL_H

#include "kernels/kernels.h"

#define FILL_PASTE(file, isa)  sunup__fill_##file##_##isa
#define FILL_EXPAND(file, isa) FILL_PASTE(file, isa)
#define FILL(file)             FILL_EXPAND(file, ISA)

/* Every fill function of this instruction set, so that no file needs a prototype of its own. */
#define FILES(file) void FILL(file)(struct kernels * k);
#include FILL_LIST
#undef FILES

#endif
