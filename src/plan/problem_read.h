/* problem_read.h - the two halves of reading a problem: words (problem_read.c) and ops (problem_ops.c).
 *
 * Every function that reads leaves `at` behind what it read, or reports with the position what it
 * expected there.
 */
#ifndef SUNUP_PLAN_PROBLEM_READ_H
#define SUNUP_PLAN_PROBLEM_READ_H

#include "plan/plan.h"

struct reader {
    sunup_context *ctx;
    sunup_graph *graph;
    const struct op *op;
    const char *text; /* as it came                             */
    char *cut;        /* without its type                       */
    const char *at;   /* in cut; between parts it points to ':' */
    sunup_dtype dtype;
};

/* "problem '..': 'q3' (character 12) is not <expected>". */
sunup_status sunup__read_wrong(const struct reader *r, const char *at, const char *expected);
bool sunup__read_more(const struct reader *r); /* another part follows           */
bool sunup__read_part_ended(const struct reader *r);
sunup_status sunup__read_number(struct reader *r, int64_t least, int64_t *x);
/* The part starts with this word, and a digit or the part's end follows. */
bool sunup__read_word(struct reader *r, const char *word);
/* "16" or "2x3" into the last `space` of x[3]; one number counts for all axes. */
sunup_status sunup__read_each(struct reader *r, int space, int64_t least, int64_t x[3]);
/* "n16h56w56": each letter of `letters` at most once; -1 where it does not stand. */
sunup_status sunup__read_sizes(struct reader *r, const char *letters, int64_t *size);
/* "64x10,-,scalar": shapes of operands; n 0 and d[0] -1: absent. Adds to *n. */
sunup_status sunup__read_shapes(struct reader *r, int room, sunup_shape *shape, int *n);

typedef sunup_status (*read_fn)(struct reader *r, sunup_value **v);
/* What reads the parts of this op's problems after its name; NULL: they are not read. */
read_fn sunup__problem_reader(const struct op *op);

#endif
