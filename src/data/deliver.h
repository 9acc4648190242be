/* deliver.h - one sample of a field, from the file's numbers to those the network gets.
 *
 *   y[i] = x[i] * a[c] + b[c],   a = scale / std[c],   b = (offset - mean[c]) / std[c],   c = i mod channels
 *
 * in one loop with the check that y is finite (or, for i32, a whole number). Computed in f64 and rounded once, so y
 * does not depend on the element type x is kept in. Moves (flip, shift, crop) act on samples of shape [H, W, C] only;
 * what comes in from outside is x = 0, as if the file had been padded. All fields of a sample move alike.
 */
#ifndef SUNUP_DATA_DELIVER_H
#define SUNUP_DATA_DELIVER_H

#include "data/data.h"

/* dy, dx: y[h][w] = x[h + dy][w + dx]; flip: then mirrored along W. */
struct move {
    int64_t dy, dx;
    bool flip;
};

/* True if all of n numbers could be delivered. */
typedef bool (*convert_fn)(void *y, const void *x, int64_t n, const double *a, const double *b);

struct delivery {
    const struct field *field;
    convert_fn convert;
    double *a, *b; /* [period], a multiple of the channels */
    void *zeros;   /* [period] as in the file: what lies outside a sample */
    int64_t period;
    int64_t x_bytes, y_bytes;        /* of an element */
    int64_t elements;                /* of a sample   */
    int64_t height, width, channels; /* height 0: never moved */
};

sunup_status sunup__delivery_create(sunup_context *ctx, const struct field *f, struct delivery *d);
void sunup__delivery_end(struct delivery *d);
/* The move of a sample in an epoch: a function of the three only. */
struct move sunup__draw_move(const sunup_augment *o, uint64_t seed, int64_t epoch, int64_t sample);
/* y: [elements]. False if a number cannot be delivered. */
bool sunup__deliver(const struct delivery *d, int64_t sample, const struct move *m, void *y);
/* The same for a sample that a sampler has put into y. */
bool sunup__deliver_made(const struct delivery *d, const void *y);
/* Fetch that sample's first bytes, to be delivered next: samples come from anywhere in memory. */
void sunup__deliver_soon(const struct delivery *d, int64_t sample);
/* After a false: which number and why, as a sentence; E_NAN or E_FORMAT. made: the sampler's sample, or NULL. */
sunup_status sunup__deliver_error(const struct delivery *d, int64_t sample, const void *made,
                                  char *room, size_t room_bytes);

#endif
