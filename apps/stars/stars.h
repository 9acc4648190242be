/* stars.h - variable stars of OGLE-III: which of them a run may see (catalogue.c), and how well their kinds are told
 * (stars.c). */
#ifndef SUNUP_APP_STARS_H
#define SUNUP_APP_STARS_H

#include "app.h"

/* What is known of a star, in this order: I, V - I, log10 of the period in days, log10 of the amplitude in I. */
enum { COLOUR = 1, PERIOD = 2, FEATURES = 4, KINDS = 10 };

/* Where a star belongs follows from its own four numbers, so it is the same in any selection of the catalogue. */
enum part {
    PART_TRAIN,
    PART_HELD,
    PART_OUT /* seen by nobody: the final test, while something is chosen on the validation part */
};
struct place {
    enum part part;
    double turn; /* 0 .. 1: the order in which the stars of a kind are taken */
};
struct place place_of(const float star[FEATURES], uint64_t split, bool validation);

/* Samples in random order: `star`, f32 [FEATURES], mean 0 and deviation 1 over the training stars; `label`, i32, the kind;
 * `measured`, f32 [FEATURES], the same numbers in their units. */
enum { FIELD_STAR, FIELD_LABEL, FIELD_MEASURED, FIELDS };
sunup_status catalogue_open(struct app_data *d, sunup_data **data);

#endif
