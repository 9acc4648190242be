/* array.h - from the numbers of a file to struct array: what all readers share.
 *
 * A reader checks its format and describes the numbers it found as a struct source: which type, which byte order,
 * which shape, where in memory. This part converts them. Invariant: a source is handed on only after the reader has
 * verified that all its bytes are there.
 */
#ifndef SUNUP_DATA_ARRAY_H
#define SUNUP_DATA_ARRAY_H

#include "data/data.h"

enum element {
    ELEMENT_BOOL,
    ELEMENT_U8,
    ELEMENT_I8,
    ELEMENT_U16,
    ELEMENT_I16,
    ELEMENT_U32,
    ELEMENT_I32,
    ELEMENT_U64,
    ELEMENT_I64,
    ELEMENT_F16,
    ELEMENT_F32,
    ELEMENT_F64,
    ELEMENTS
};
int64_t sunup__element_bytes(enum element e);

struct source {
    const char *name; /* of the file, for messages */
    enum element element;
    bool big_endian;
    bool column_major; /* first axis fastest (Fortran order) */
    sunup_shape shape;
    const unsigned char *bytes; /* at any alignment */
};
bool sunup__big_endian(void); /* of this machine */

/* A new array of room for shape; E_FORMAT if the shape is absurd, E_MEMORY with numbers if it does not fit. */
sunup_status sunup__array_begin(sunup_context *ctx, const char *name, sunup_dtype dtype,
                                const sunup_shape *shape, struct array *a);
/* E_MEMORY with numbers unless `bytes` more fit into memory. */
sunup_status sunup__room_for(sunup_context *ctx, const char *name, int64_t bytes);
/* Convert into a new array. */
sunup_status sunup__array_copy(sunup_context *ctx, const struct source *s, struct array *a);
/* The same where s->bytes lies in *owned (sunup__alloc_aligned): numbers that need no conversion stay where they are,
 * so that a file is in memory once. The array or this call ends *owned, also on failure; it is NULL afterwards. */
sunup_status sunup__array_adopt(sunup_context *ctx, const struct source *s, void **owned,
                                struct array *a);
/* f64 that are all whole numbers of 32 bits become i32; others stay. */
sunup_status sunup__array_narrow(sunup_context *ctx, const char *name, struct array *a);

/* Formats that are headers before plain numbers: describe what `bytes` of `data` hold. */
sunup_status sunup__parse_idx(sunup_context *ctx, const void *data, size_t bytes, const char *name,
                              struct source *s);
sunup_status sunup__parse_npy(sunup_context *ctx, const void *data, size_t bytes, const char *name,
                              struct source *s);
/* The last check of both: from byte `at` to the end there are exactly the numbers that the header announces. */
sunup_status sunup__source_at(sunup_context *ctx, const void *data, size_t bytes, size_t at,
                              struct source *s);

/* A member of an npz archive, unpacked: *out is sunup__alloc_aligned memory. */
sunup_status sunup__unzip(sunup_context *ctx, const void *data, size_t bytes, const char *name,
                          const char *member, void **out, size_t *out_bytes);

#endif
