/* uno.h - measured responses of cell lines to drugs: which rows a run may see (split.c), as samples (response.c), and
 * what a network made of them (uno.c). */
#ifndef SUNUP_APP_UNO_H
#define SUNUP_APP_UNO_H

#include "app.h"

/* Where a pair of line and molecule belongs, whatever the table, the row and the run's seed. */
enum part {
    PART_TRAIN,
    PART_PAIRS, /* held out: a new pair of a line and a molecule that were trained on */
    PART_LINES, /* held out: a line that was never trained on */
    PART_OUT    /* seen by nobody: the final test, while something is chosen on the validation part */
};
enum part part_of(int64_t line, int64_t molecule, uint64_t split, bool validation);

/* Samples: `cell` and `drug`, features; `response`, what was measured; `place`, i32: line, drug, part. */
enum { FIELD_CELL, FIELD_DRUG, FIELD_RESPONSE, FIELD_PLACE, FIELDS };
sunup_status response_open(struct app_data *d, sunup_data **data);

/* Rows as they were visited, in order. */
struct rows {
    int64_t n;
    int32_t *place;      /* [n][3] */
    float *truth, *said; /* [n] */
};
sunup_status rows_create(sunup_context *ctx, int64_t room, struct rows *a);
void rows_end(struct rows *a);

#endif
