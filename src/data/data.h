/* data.h - arrays in files or samples made by a function, and the stream of batches made from them.
 *
 * A reader turns a file into struct array (dense, in memory); a sampler has none. The stream owns order (a
 * permutation of samples keyed by seed and epoch), conversion, augmentation (keyed by seed, epoch and sample) and who
 * prepares batches: a background thread the next one, or the consumer's threads some together. What sample i of batch b
 * holds depends on (seed, b, i) only: not on ranks or threads.
 */
#ifndef SUNUP_DATA_H
#define SUNUP_DATA_H

#include "base/context.h"
#include "tensor/tensor.h"

/* dtype codes of files beyond sunup_dtype are converted on reading: i8 i16 u16 u32 i64 u64 f16 -> f32 or i32 or f64
 * as fits without loss, else f64; bool -> u8. */
struct array {
    sunup_dtype dtype;
    sunup_shape shape; /* first axis: samples */
    void *data;        /* sunup__alloc_aligned; owned */
};
void sunup__array_end(struct array *a);
double sunup__array_number(const struct array *a, int64_t i); /* element i, whatever the type */

/* Each reader parses bytes in memory (so that a fuzz target needs no file); name is for messages:
 * "train.idx: byte 12: ...". Sizes are checked against the bytes there before anything is allocated. */
sunup_status sunup__read_idx(sunup_context *ctx, const void *data, size_t bytes, const char *name,
                             struct array *a);
sunup_status sunup__read_npy(sunup_context *ctx, const void *data, size_t bytes, const char *name,
                             struct array *a);
sunup_status sunup__read_npz(sunup_context *ctx, const void *data, size_t bytes, const char *name,
                             const char *member, struct array *a);
sunup_status sunup__read_hdf5(sunup_context *ctx, const void *data, size_t bytes, const char *name,
                              const char *member, struct array *a);
sunup_status sunup__read_csv(sunup_context *ctx, const void *data, size_t bytes, const char *name,
                             const char *columns, struct array *a);
/* Undo gzip if the bytes are gzip (else *out = NULL); limit: most bytes it may grow to. */
sunup_status sunup__gunzip(sunup_context *ctx, const void *data, size_t bytes, const char *name,
                           size_t limit, void **out, size_t *out_bytes);
/* Whole file, kind by content, then ending. */
sunup_status sunup__read_array(sunup_context *ctx, const char *path, const char *member,
                               struct array *a);
/* Made-up numbers instead of a file's; see sunup_field_options.random. */
sunup_status sunup__random_array(sunup_context *ctx, const sunup_field_options *o, struct array *a);

struct field {
    char *name;
    struct array array; /* raw, as read; no data where a sampler makes the samples */
    sunup_shape shape;  /* of one sample    */
    sunup_dtype dtype;  /* delivered: f32, f64 or i32 */
    double scale, offset;
    double *mean, *std;
    int n_channels;
};
enum { MAX_MADE = 16 }; /* fields that a function makes */
struct sunup_data {
    sunup_context *ctx;
    struct field *fields;
    int n_fields;
    int64_t samples;
    sunup_sampler sampler; /* fill NULL: arrays in memory, or live */
    sunup_live live;       /* fill NULL: samples wait for no output */
};
int sunup__data_field(const sunup_data *d, const char *name); /* -1: none */

struct stream_options {
    int64_t batch; /* samples a batch (global)                              */
    int shards;    /* a batch is `shards` equal runs of samples             */
    int from, to;  /* shards of this rank: only these are prepared          */
    uint64_t seed;
    bool shuffle;
    bool training; /* last batch dropped if incomplete, augmented, endless; else one plain pass */
    sunup_augment augment;
    int64_t first; /* number of the first batch (resume); counts over epochs */
};
struct stream;
/* One shard's samples: field f at data[f], [count, shape] of field f's dtype. Valid until two more batches. The last
 * batch of an evaluation may be short: then its samples are spread over the shards evenly, in order. */
struct batch {
    int64_t number; /* of the batch over all epochs */
    int64_t epoch;
    int64_t count;            /* samples a shard has room for: batch / shards */
    int n_shards;             /* to - from */
    const int64_t *counts;    /* [n_shards] samples there are; zeros follow them */
    void *const *const *data; /* data[shard - from][field] */
};
sunup_status sunup__stream_create(sunup_data *d, const struct stream_options *o, struct stream **s);
void sunup__stream_destroy(struct stream **s);
/* A pass: samples / batch, rounded down if training, else up. */
int64_t sunup__stream_batches(const struct stream *s);
/* Next batch; training: endless; else E_END after the last. A number that is not finite in the data: E_NAN naming
 * field and sample. */
sunup_status sunup__stream_next(struct stream *s, const struct batch **b);

#endif
