/* data.c - named fields with one sample count: checked here, so that the stream has nothing left to ask.
 *
 * Fields keep the file's own element type in memory (60,000 images of 28x28 bytes are 47 MB, not 188); the stream
 * converts batch by batch.
 */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "data/data.h"

sunup_field_options sunup_field_defaults(void)
{
    return (sunup_field_options){.size = sizeof(sunup_field_options), .scale = 1};
}

static sunup_status data_create(sunup_context *ctx, int n, sunup_data **data)
{
    CHECK(n >= 1, ctx, E_ARGUMENT, "data need at least one field, not %d", n);
    sunup_data *d = sunup__alloc(sizeof *d);
    struct field *fields = sunup__alloc((size_t)n * sizeof *fields);
    if (d == NULL || fields == NULL) {
        sunup__free(d);
        sunup__free(fields);
        RAISE(ctx, E_MEMORY, "no memory for %d data fields", n);
    }
    d->ctx = ctx;
    d->fields = fields;
    *data = d;
    return SUNUP_OK;
}

void sunup_data_destroy(sunup_data **data)
{
    if (data == NULL || *data == NULL) return;
    sunup_data *d = *data;
    for (int i = 0; i < d->n_fields; i++) {
        sunup__array_end(&d->fields[i].array);
        sunup__free(d->fields[i].name);
        sunup__free(d->fields[i].mean);
        sunup__free(d->fields[i].std);
    }
    if (d->sampler.end != NULL) d->sampler.end(d->sampler.arg);
    if (d->live.end != NULL) d->live.end(d->live.arg);
    sunup__free(d->fields);
    sunup__free(d);
    *data = NULL;
}

int64_t sunup_data_samples(const sunup_data *data)
{
    return data->samples;
}

int sunup__data_field(const sunup_data *d, const char *name)
{
    for (int i = 0; i < d->n_fields; i++)
        if (strcmp(d->fields[i].name, name) == 0) return i;
    return -1;
}

/* The next field, named; its arrays are ended with the data, whatever fails later. */
static sunup_status add_field(sunup_data *d, const char *name, struct field **field)
{
    CHECK(name != NULL && name[0] != '\0', d->ctx, E_ARGUMENT, "data field %d has no name",
          d->n_fields);
    CHECK(sunup__data_field(d, name) < 0, d->ctx, E_ARGUMENT, "two data fields are named '%s'",
          name);
    struct field *f = &d->fields[d->n_fields];
    f->name = sunup__strdup(name);
    CHECK(f->name != NULL, d->ctx, E_MEMORY, "no memory for the data field '%s'", name);
    f->scale = 1;
    d->n_fields++;
    *field = f;
    return SUNUP_OK;
}

static sunup_shape sample_of(const sunup_shape *s)
{
    sunup_shape sample = {.n = s->n - 1};
    for (int i = 0; i < sample.n; i++) sample.d[i] = s->d[i + 1];
    return sample;
}

/* Sample counts agree; the shape asked for holds what a sample has. */
static sunup_status settle_shape(sunup_data *d, struct field *f, const sunup_shape *asked)
{
    char has[SHAPE_TEXT], wants[SHAPE_TEXT];
    const sunup_shape *shape = &f->array.shape;
    CHECK(shape->n >= 1, d->ctx, E_SHAPE,
          "field '%s' is a single number; it needs an axis of samples", f->name);
    CHECK(shape->d[0] >= 1, d->ctx, E_SHAPE, "field '%s' holds no sample", f->name);
    if (d->n_fields == 1) d->samples = shape->d[0];
    CHECK(shape->d[0] == d->samples, d->ctx, E_SHAPE,
          "field '%s' has %lld samples, but field '%s' has %lld", f->name, (long long)shape->d[0],
          d->fields[0].name, (long long)d->samples);
    f->shape = sample_of(shape);
    if (asked->n > 0) {
        CHECK(sunup__shape_ok(asked) && sunup__elements(asked) == sunup__elements(&f->shape),
              d->ctx, E_SHAPE,
              "field '%s': a sample of the file has shape %s, which cannot be read as %s", f->name,
              sunup__shape_text(&f->shape, has), sunup__shape_text(asked, wants));
        f->shape = *asked;
    }
    CHECK(sunup__elements(&f->shape) >= 1, d->ctx, E_SHAPE,
          "field '%s': a sample of shape %s is empty", f->name, sunup__shape_text(&f->shape, has));
    return SUNUP_OK;
}

static sunup_status settle_channels(sunup_data *d, struct field *f, const sunup_field_options *o)
{
    const int n = o->n_channels;
    const int64_t last = f->shape.n > 0 ? f->shape.d[f->shape.n - 1] : 1;
    CHECK(n == 1 || n == last, d->ctx, E_SHAPE,
          "field '%s': mean and std are given for %d channels, but the last axis has %lld", f->name,
          n, (long long)last);
    CHECK(o->mean != NULL && o->std != NULL, d->ctx, E_ARGUMENT,
          "field '%s': %d channels are announced, but mean or std is missing", f->name, n);
    CHECK(!o->label, d->ctx, E_ARGUMENT, "field '%s': a label has no mean and std", f->name);
    f->mean = sunup__alloc((size_t)n * sizeof *f->mean);
    f->std = sunup__alloc((size_t)n * sizeof *f->std);
    CHECK(f->mean != NULL && f->std != NULL, d->ctx, E_MEMORY, "no memory for field '%s'", f->name);
    for (int i = 0; i < n; i++) {
        CHECK(isfinite(o->mean[i]) && isfinite(o->std[i]) && o->std[i] > 0, d->ctx, E_ARGUMENT,
              "field '%s': channel %d has mean %g and std %g; std must be above 0", f->name, i,
              o->mean[i], o->std[i]);
        f->mean[i] = o->mean[i];
        f->std[i] = o->std[i];
    }
    f->n_channels = n;
    return SUNUP_OK;
}

static sunup_status open_field(sunup_data *d, const sunup_field_options *o)
{
    struct field *f = NULL;
    CHECK(o->size == sizeof *o, d->ctx, E_ARGUMENT,
          "data field %d: its options do not come from sunup_field_defaults of this version",
          d->n_fields);
    TRY(add_field(d, o->name, &f));
    CHECK(o->path != NULL || o->random > 0, d->ctx, E_ARGUMENT, "field '%s' has no path", o->name);
    CHECK(o->random >= 0 && o->classes >= 0, d->ctx, E_ARGUMENT,
          "field '%s': random is %lld and classes %lld; they must not be negative", o->name,
          (long long)o->random, (long long)o->classes);
    CHECK(
        isfinite(o->scale) && isfinite(o->offset) && o->n_channels >= 0, d->ctx, E_ARGUMENT,
        "field '%s': scale is %g, offset %g and n_channels %d; they must be finite, and 0 or more",
        o->name, o->scale, o->offset, o->n_channels);
    if (o->random > 0)
        TRY(sunup__random_array(d->ctx, o, &f->array));
    else
        TRY(sunup__read_array(d->ctx, o->path, o->member, &f->array));
    TRY(settle_shape(d, f, &o->shape));
    f->dtype = o->label ? SUNUP_I32 : SUNUP_F32;
    f->scale = o->scale;
    f->offset = o->offset;
    return o->n_channels > 0 ? settle_channels(d, f, o) : SUNUP_OK;
}

sunup_status sunup_data_open(sunup_context *ctx, int n, const sunup_field_options *fields,
                             sunup_data **data)
{
    *data = NULL;
    TRY(data_create(ctx, n, data));
    for (int i = 0; i < n; i++) {
        const sunup_status status = open_field(*data, &fields[i]);
        if (status == SUNUP_OK) continue;
        sunup_data_destroy(data);
        return status;
    }
    return SUNUP_OK;
}

static sunup_status copy_field(sunup_data *d, const sunup_tensor *t)
{
    struct field *f = NULL;
    TRY(add_field(d, t->name, &f));
    CHECK(t->data != NULL, d->ctx, E_ARGUMENT, "field '%s' has no data", t->name);
    CHECK(sunup__shape_ok(&t->shape), d->ctx, E_SHAPE, "field '%s' has an impossible shape",
          t->name);
    const int64_t bytes = sunup__elements(&t->shape) * sunup_dtype_bytes(t->dtype);
    f->array = (struct array){t->dtype, t->shape, sunup__alloc_aligned((size_t)bytes)};
    CHECK(f->array.data != NULL, d->ctx, E_MEMORY, "field '%s': no memory for %.1f MB", t->name,
          1e-6 * (double)bytes);
    memcpy(f->array.data, t->data, (size_t)bytes);
    f->dtype = t->dtype == SUNUP_U8 ? SUNUP_F32 : t->dtype;
    return settle_shape(d, f, &SUNUP_SCALAR);
}

sunup_status sunup_data_from_memory(sunup_context *ctx, int n, const sunup_tensor *fields,
                                    sunup_data **data)
{
    *data = NULL;
    TRY(data_create(ctx, n, data));
    for (int i = 0; i < n; i++) {
        const sunup_status status = copy_field(*data, &fields[i]);
        if (status == SUNUP_OK) continue;
        sunup_data_destroy(data);
        return status;
    }
    return SUNUP_OK;
}

static sunup_status describe_field(sunup_data *d, const sunup_tensor *t)
{
    struct field *f = NULL;
    TRY(add_field(d, t->name, &f));
    CHECK(sunup__shape_ok(&t->shape) && sunup__elements(&t->shape) >= 1, d->ctx, E_SHAPE,
          "field '%s': its samples have no element or an impossible shape", t->name);
    CHECK(t->dtype != SUNUP_U8, d->ctx, E_UNSUPPORTED, "field '%s': u8 cannot be delivered",
          t->name);
    f->array.dtype = f->dtype = t->dtype;
    f->shape = t->shape;
    return SUNUP_OK;
}

static sunup_status describe_fields(sunup_data *d, int n, const sunup_tensor *fields,
                                    int64_t samples)
{
    CHECK(n <= MAX_MADE, d->ctx, E_UNSUPPORTED, "samples of %d fields; at most %d are possible", n,
          MAX_MADE);
    CHECK(samples >= 1, d->ctx, E_ARGUMENT, "a sampler of %lld samples; it must have at least one",
          (long long)samples);
    d->samples = samples;
    for (int i = 0; i < n; i++) TRY(describe_field(d, &fields[i]));
    return SUNUP_OK;
}

sunup_status sunup_data_from_sampler(sunup_context *ctx, int n, const sunup_tensor *fields,
                                     int64_t samples, const sunup_sampler *sampler,
                                     sunup_data **data)
{
    *data = NULL;
    sunup_status status = data_create(ctx, n, data);
    if (*data == NULL && sampler->end != NULL) sampler->end(sampler->arg);
    if (status != SUNUP_OK) return status;
    (*data)->sampler = *sampler;
    if (sampler->fill == NULL)
        status = sunup__raise(ctx, SUNUP_E_ARGUMENT, "the sampler has no function");
    if (status == SUNUP_OK) status = describe_fields(*data, n, fields, samples);
    if (status != SUNUP_OK) sunup_data_destroy(data);
    return status;
}

static sunup_status check_live(const sunup_data *d)
{
    const sunup_live *live = &d->live;
    CHECK(live->fill != NULL && live->seen != NULL, d->ctx, E_ARGUMENT,
          "live samples need both functions, fill and seen");
    CHECK(live->state_bytes >= 0, d->ctx, E_ARGUMENT, "a place has a state of %lld bytes",
          (long long)live->state_bytes);
    return SUNUP_OK;
}

sunup_status sunup_data_from_live(sunup_context *ctx, int n, const sunup_tensor *fields,
                                  int64_t samples, const sunup_live *live, sunup_data **data)
{
    *data = NULL;
    sunup_status status = data_create(ctx, n, data);
    if (*data == NULL && live->end != NULL) live->end(live->arg);
    if (status != SUNUP_OK) return status;
    (*data)->live = *live;
    status = check_live(*data);
    if (status == SUNUP_OK) status = describe_fields(*data, n, fields, samples);
    if (status != SUNUP_OK) sunup_data_destroy(data);
    return status;
}
