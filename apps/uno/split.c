/* split.c - the fixed split. It is made of (line, molecule), over all tables: a pair measured twice, or a molecule under two
 * names, never lies on both sides. A tenth of the lines is blind, then a fifth of the pairs of the others; the validation
 * part, on which a recipe is chosen, is cut from what is left, in the same two ways. */
#include "uno.h"

static const double lines = 0.1, pairs = 0.2, validation_pairs = 0.1;

enum part part_of(int64_t line, int64_t molecule, uint64_t split, bool validation)
{
    struct app_random of_line = app_random(split, "uno line", 0, line);
    struct app_random of_pair = app_random(split, "uno pair", line, molecule);
    const double u = app_uniform(&of_line, 0, 1), v = app_uniform(&of_pair, 0, 1);
    const enum part part = u < lines ? PART_LINES : v < pairs ? PART_PAIRS : PART_TRAIN;
    if (!validation) return part;
    if (part != PART_TRAIN) return PART_OUT;
    return u < 2 * lines ? PART_LINES : v < pairs + validation_pairs ? PART_PAIRS : PART_TRAIN;
}
