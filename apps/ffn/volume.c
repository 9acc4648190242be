/* volume.c - the grey volume and label images of the same size. */
#include <stdlib.h>

#include "ffn.h"

void ffn_volume_end(struct volume *v)
{
    sunup_free(v->gray);
    sunup_free(v->body);
    *v = (struct volume){0};
}

static int64_t count(const sunup_shape *s)
{
    int64_t n = 1;
    for (int i = 0; i < s->n; i++) n *= s->d[i];
    return n;
}

sunup_status ffn_labels_read(sunup_context *ctx, const struct volume *v, const char *file,
                             const char *member, int32_t **labels)
{
    sunup_tensor t;
    const sunup_status status = app_read(ctx, file, member, &t);
    if (status != SUNUP_OK) return status;
    *labels = t.data;
    if (t.dtype == SUNUP_I32 && count(&t.shape) == v->voxels) return SUNUP_OK;
    return app_error(ctx, SUNUP_E_FORMAT,
                     "%s: '%s' holds %lld numbers of type %s; %lld labels of type i32 are needed",
                     file, member, (long long)count(&t.shape), sunup_dtype_name(t.dtype),
                     (long long)v->voxels);
}

sunup_status ffn_volume_read(sunup_context *ctx, struct volume *v)
{
    const char *file = "fib25/volume.npz";
    sunup_tensor t;
    *v = (struct volume){0};
    sunup_status status = app_read(ctx, file, "gray", &t);
    if (status != SUNUP_OK) return status;
    v->gray = t.data;
    v->voxels = count(&t.shape);
    for (int i = 0; i < 3 && t.shape.n == 3; i++) v->size[i] = t.shape.d[i];
    if (t.shape.n != 3 || t.dtype != SUNUP_U8)
        status =
            app_error(ctx, SUNUP_E_FORMAT, "%s: 'gray' must be u8 with three axes, not %s with %d",
                      file, sunup_dtype_name(t.dtype), t.shape.n);
    if (status == SUNUP_OK) status = ffn_labels_read(ctx, v, "fib25/truth.npz", "body", &v->body);
    if (status != SUNUP_OK) ffn_volume_end(v);
    return status;
}
