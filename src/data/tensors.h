/* tensors.h - named tensors in NumPy's files. */
#ifndef SUNUP_DATA_TENSORS_H
#define SUNUP_DATA_TENSORS_H

#include "model/model.h"

/* All arrays of an npz file; end with sunup__tensors_end. */
sunup_status sunup__npz_read(sunup_context *ctx, const char *path, struct tensors *t);
sunup_status sunup__npz_write(sunup_context *ctx, const char *path, const struct tensors *t);
/* A tensor as the bytes of an npy file, version 1.0, its numbers at a multiple of 64; sunup__free. */
sunup_status sunup__npy_bytes(sunup_context *ctx, const sunup_tensor *t, char **file,
                              size_t *bytes);

#endif
