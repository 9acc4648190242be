/* fill.c - sunup__kernels_<isa>: lets every file of one instruction set overwrite its leaves.
 *
 * Compiled once for each line of isa.def; the list of files is made by the build, simd/ first
 * (layer.cmake).
 */
#include "kernels/fill.h"

#define KERNELS_PASTE(isa)  sunup__kernels_##isa
#define KERNELS_EXPAND(isa) KERNELS_PASTE(isa)

void KERNELS_EXPAND(ISA)(struct kernels *k);

void KERNELS_EXPAND(ISA)(struct kernels *k)
{
#define FILES(file) FILL(file)(k);
#include FILL_LIST
#undef FILES
}
