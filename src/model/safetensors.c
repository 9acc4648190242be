/* safetensors.c - tensors in one file: 8 bytes with the header's length, the header in JSON, the numbers.
 *
 * Owes: files that other programs can read, and a reader that trusts nothing: it returns tensors only if every one
 * lies inside the file, none overlaps another, there are no holes, and the checksum holds.
 * Invariant: our files carry the metadata "sunup.crc32", the CRC-32 of the whole file with these 8 digits read as
 * zeros, so one flipped bit anywhere is found. Files of other programs have no checksum and are taken without.
 * Tensors are written widest type first and the header is padded to 64 bytes, so each lies aligned to its type.
 * Source: the format's description at github.com/huggingface/safetensors (version 0.4: no holes, no duplicate keys).
 */
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/system.h"
#include "model/model.h"
#include "tensor/tensor.h"

static const char crc_key[] = "sunup.crc32";
static const char version_key[] = "sunup.version";
static const char crc_text[] =
    "\"sunup.crc32\":\""; /* as it stands in the header, before the digits */
static const char crc_zeros[] = "00000000";
enum { LENGTH_BYTES = 8, CRC_DIGITS = 8, HEADER_ALIGN = 64, MAX_HEADER = 100000000 };

static const struct {
    const char *name;
    sunup_dtype dtype;
} types[] = {{"F32", SUNUP_F32}, {"F64", SUNUP_F64}, {"I32", SUNUP_I32}, {"U8", SUNUP_U8}};
enum { TYPES = sizeof types / sizeof types[0] };

static size_t tensor_bytes(const sunup_tensor *t)
{
    return (size_t)(sunup__elements(&t->shape) * sunup_dtype_bytes(t->dtype));
}

/* -------------------------------------------------------------------------- writing --- */

/* Widest type first, else as given: then no tensor needs padding. */
static void order_by_width(const struct tensors *t, int *order)
{
    int k = 0;
    for (int64_t width = 8; width >= 1; width /= 2)
        for (int i = 0; i < t->n; i++)
            if (sunup_dtype_bytes(t->t[i].dtype) == width) order[k++] = i;
}

static const char *type_name(sunup_dtype dtype)
{
    int i = 0;
    while (i < TYPES - 1 && types[i].dtype != dtype) i++;
    return types[i].name;
}

static json_t *metadata(const struct tensors *t)
{
    json_t *meta = json_object();
    int failed = json_object_set_new(meta, crc_key, json_string(crc_zeros));
    failed |= json_object_set_new(meta, version_key, json_string(sunup_version()));
    for (int i = 0; i < t->n_meta; i++) {
        const char *key = t->meta_key[i];
        if (strcmp(key, crc_key) == 0 || strcmp(key, version_key) == 0) continue;
        failed |= json_object_set_new(meta, key, json_string(t->meta_value[i]));
    }
    if (failed) json_decref(meta);
    return failed ? NULL : meta;
}

static json_t *entry(const sunup_tensor *t, size_t begin, size_t end)
{
    json_t *shape = json_array();
    for (int i = 0; i < t->shape.n; i++)
        json_array_append_new(shape, json_integer((json_int_t)t->shape.d[i]));
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", type_name(t->dtype), "shape", shape,
                     "data_offsets", (json_int_t)begin, (json_int_t)end);
}

/* The header's text (free with free), or NULL where memory lacks or a name is not UTF-8. The first entry is the
 * metadata, so that the checksum's digits are the first match of crc_text. */
static char *header_text(const struct tensors *t, const int *order)
{
    json_t *header = json_object(), *meta = metadata(t);
    int failed = !meta || json_object_set_new(header, "__metadata__", meta);
    size_t at = 0;
    for (int k = 0; k < t->n && !failed; k++) {
        const sunup_tensor *tensor = &t->t[order[k]];
        const size_t bytes = tensor_bytes(tensor);
        failed = json_object_set_new(header, tensor->name, entry(tensor, at, at + bytes));
        at += bytes;
    }
    char *text = failed ? NULL : json_dumps(header, JSON_COMPACT);
    json_decref(header);
    return text;
}

static void put_length(unsigned char *p, uint64_t n)
{
    for (int i = 0; i < LENGTH_BYTES; i++) p[i] = (unsigned char)(n >> (8 * i));
}

static uint64_t get_length(const unsigned char *p)
{
    uint64_t n = 0;
    for (int i = 0; i < LENGTH_BYTES; i++) n |= (uint64_t)p[i] << (8 * i);
    return n;
}

/* The whole file into fresh memory: header padded with blanks, tensors, then the digits of the checksum. */
static unsigned char *file_bytes(const struct tensors *t, const int *order, const char *header,
                                 size_t *bytes)
{
    const size_t length = strlen(header);
    const size_t start = (LENGTH_BYTES + length + HEADER_ALIGN - 1) / HEADER_ALIGN * HEADER_ALIGN;
    *bytes = start;
    for (int i = 0; i < t->n; i++) *bytes += tensor_bytes(&t->t[i]);
    unsigned char *file = sunup__alloc_aligned(*bytes);
    if (!file) return NULL;
    put_length(file, start - LENGTH_BYTES);
    memset(file + LENGTH_BYTES, ' ', start - LENGTH_BYTES);
    memcpy(file + LENGTH_BYTES, header, length);
    size_t at = start;
    for (int k = 0; k < t->n; k++) {
        const size_t n = tensor_bytes(&t->t[order[k]]);
        if (n > 0) memcpy(file + at, t->t[order[k]].data, n);
        at += n;
    }
    char digits[CRC_DIGITS + 1];
    snprintf(digits, sizeof digits, "%08x", (unsigned)sunup__crc32(file, *bytes, 0));
    const size_t place = (size_t)(strstr(header, crc_text) - header) + sizeof crc_text - 1;
    memcpy(file + LENGTH_BYTES + place, digits, CRC_DIGITS);
    return file;
}

sunup_status sunup__tensors_write(sunup_context *ctx, const char *path, const struct tensors *t)
{
    int *order = sunup__alloc((size_t)t->n * sizeof *order);
    CHECK(order, ctx, E_MEMORY, "%s: no memory for a list of %d tensors", path, t->n);
    order_by_width(t, order);
    char *header = header_text(t, order);
    size_t bytes = 0;
    unsigned char *file = header ? file_bytes(t, order, header, &bytes) : NULL;
    sunup_status status;
    if (!header)
        status =
            sunup__raise(ctx, SUNUP_E_ARGUMENT,
                         "%s: a tensor's name or the metadata is not UTF-8, or memory lacks", path);
    else if (!file)
        status = sunup__raise(ctx, SUNUP_E_MEMORY, "%s: no memory to write %zu bytes", path, bytes);
    else
        status = sunup__file_write(ctx, path, file, bytes);
    sunup__free(file);
    free(header);
    sunup__free(order);
    return status;
}

/* -------------------------------------------------------------------------- reading --- */

/* A file being read. */
struct reader {
    sunup_context *ctx;
    const char *name;
    const unsigned char *file;
    size_t bytes, header_bytes; /* of the file; of the JSON text */
    const unsigned char *data;
    size_t data_bytes;
    struct tensors *t;
};

#define DAMAGED(r, ...) return damaged((r), __VA_ARGS__)

static sunup_status damaged(const struct reader *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static sunup_status damaged(const struct reader *r, const char *format, ...)
{
    char what[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    RAISE(r->ctx, E_FORMAT, "%s: not a whole safetensors file: %s", r->name, what);
}

static sunup_status find_parts(struct reader *r)
{
    if (r->bytes < LENGTH_BYTES) DAMAGED(r, "it has only %zu bytes", r->bytes);
    const uint64_t length = get_length(r->file);
    if (length > r->bytes - LENGTH_BYTES || length > MAX_HEADER)
        DAMAGED(r, "byte 0 says a header of %llu bytes, the file has %zu",
                (unsigned long long)length, r->bytes);
    r->header_bytes = (size_t)length;
    r->data = r->file + LENGTH_BYTES + r->header_bytes;
    r->data_bytes = r->bytes - LENGTH_BYTES - r->header_bytes;
    return SUNUP_OK;
}

/* CRC-32 of the file with the digits at `place` of the header as zeros. */
static uint32_t checksum(const struct reader *r, size_t place)
{
    const size_t at = LENGTH_BYTES + place, after = at + CRC_DIGITS;
    uint32_t crc = sunup__crc32(r->file, at, 0);
    crc = sunup__crc32(crc_zeros, CRC_DIGITS, crc);
    return sunup__crc32(r->file + after, r->bytes - after, crc);
}

/* Before JSON is read. True metadata or not: whoever holds our entry must fit it. */
static sunup_status check_sum(const struct reader *r)
{
    const char *header = (const char *)r->file + LENGTH_BYTES;
    const char *found = memmem(header, r->header_bytes, crc_text, sizeof crc_text - 1);
    if (!found) return SUNUP_OK;
    const size_t place = (size_t)(found - header) + sizeof crc_text - 1;
    if (place + CRC_DIGITS > r->header_bytes) DAMAGED(r, "its checksum is cut off");
    char digits[CRC_DIGITS + 1] = "", expected[CRC_DIGITS + 1];
    memcpy(digits, header + place, CRC_DIGITS);
    snprintf(expected, sizeof expected, "%08x", (unsigned)checksum(r, place));
    if (strcmp(digits, expected) != 0)
        DAMAGED(r, "its checksum is %s, but its bytes give %s", digits, expected);
    return SUNUP_OK;
}

static sunup_status read_metadata(struct reader *r, json_t *meta)
{
    struct tensors *t = r->t;
    const char *key;
    json_t *value;
    if (!json_is_object(meta)) DAMAGED(r, "__metadata__ is no map");
    const size_t room = json_object_size(meta) * sizeof(char *);
    t->meta_key = sunup__arena_alloc(&t->arena, room);
    t->meta_value = sunup__arena_alloc(&t->arena, room);
    CHECK(t->meta_key && t->meta_value, r->ctx, E_MEMORY, "%s: no memory", r->name);
    json_object_foreach(meta, key, value)
    {
        if (!json_is_string(value)) DAMAGED(r, "metadata '%s' is no text", key);
        char *k = sunup__arena_strdup(&t->arena, key);
        char *v = sunup__arena_strdup(&t->arena, json_string_value(value));
        CHECK(k && v, r->ctx, E_MEMORY, "%s: no memory", r->name);
        t->meta_key[t->n_meta] = k;
        t->meta_value[t->n_meta++] = v;
    }
    return SUNUP_OK;
}

static sunup_status read_dtype(const struct reader *r, const char *name, const json_t *entry,
                               sunup_dtype *dtype)
{
    const char *text = json_string_value(json_object_get(entry, "dtype"));
    if (!text) DAMAGED(r, "tensor '%s' has no dtype", name);
    for (int i = 0; i < TYPES; i++) {
        if (strcmp(text, types[i].name) != 0) continue;
        *dtype = types[i].dtype;
        return SUNUP_OK;
    }
    RAISE(r->ctx, E_UNSUPPORTED, "%s: tensor '%s' is of type %s; F32 F64 I32 U8 can be read",
          r->name, name, text);
}

static sunup_status read_shape(const struct reader *r, const char *name, const json_t *entry,
                               sunup_shape *shape)
{
    const json_t *list = json_object_get(entry, "shape");
    if (!json_is_array(list) || json_array_size(list) > SUNUP_MAX_DIMS)
        DAMAGED(r, "tensor '%s' has no shape of at most %d axes", name, SUNUP_MAX_DIMS);
    *shape = (sunup_shape){.n = (int)json_array_size(list)};
    for (int i = 0; i < shape->n; i++) {
        const json_t *d = json_array_get(list, (size_t)i);
        if (!json_is_integer(d)) DAMAGED(r, "tensor '%s': axis %d is no whole number", name, i);
        shape->d[i] = json_integer_value(d);
    }
    if (!sunup__shape_ok(shape)) DAMAGED(r, "tensor '%s' has an impossible shape", name);
    return SUNUP_OK;
}

static sunup_status read_place(const struct reader *r, const json_t *entry, sunup_tensor *t)
{
    const json_t *place = json_object_get(entry, "data_offsets");
    const json_t *from = json_array_get(place, 0), *to = json_array_get(place, 1);
    if (json_array_size(place) != 2 || !json_is_integer(from) || !json_is_integer(to))
        DAMAGED(r, "tensor '%s' has no two data_offsets", t->name);
    const json_int_t begin = json_integer_value(from), end = json_integer_value(to);
    if (begin < 0 || end < begin || (uint64_t)end > r->data_bytes)
        DAMAGED(r, "tensor '%s' lies at [%lld, %lld) of %zu bytes", t->name, (long long)begin,
                (long long)end, r->data_bytes);
    if ((size_t)(end - begin) != tensor_bytes(t))
        DAMAGED(r, "tensor '%s' takes %lld bytes, its shape needs %zu", t->name,
                (long long)(end - begin), tensor_bytes(t));
    t->data = (void *)(r->data + begin); /* read only where the caller lent the bytes */
    return SUNUP_OK;
}

static sunup_status read_entry(struct reader *r, const char *name, json_t *entry)
{
    sunup_tensor *t = &r->t->t[r->t->n];
    if (!json_is_object(entry)) DAMAGED(r, "the entry of tensor '%s' is no map", name);
    TRY(read_dtype(r, name, entry, &t->dtype));
    TRY(read_shape(r, name, entry, &t->shape));
    t->name = sunup__arena_strdup(&r->t->arena, name);
    CHECK(t->name, r->ctx, E_MEMORY, "%s: no memory", r->name);
    TRY(read_place(r, entry, t));
    r->t->n++;
    return SUNUP_OK;
}

static sunup_status read_header(struct reader *r, json_t *header)
{
    const char *name;
    json_t *value;
    if (!json_is_object(header)) DAMAGED(r, "its header is no map");
    r->t->t = sunup__arena_alloc(&r->t->arena, json_object_size(header) * sizeof *r->t->t);
    CHECK(r->t->t, r->ctx, E_MEMORY, "%s: no memory for the list of tensors", r->name);
    json_object_foreach(header, name, value)
    {
        if (strcmp(name, "__metadata__") == 0)
            TRY(read_metadata(r, value));
        else
            TRY(read_entry(r, name, value));
    }
    return SUNUP_OK;
}

static int by_place(const void *a, const void *b)
{
    const sunup_tensor *x = *(sunup_tensor *const *)a, *y = *(sunup_tensor *const *)b;
    const uintptr_t ax = (uintptr_t)x->data, ay = (uintptr_t)y->data;
    if (ax != ay) return ax < ay ? -1 : 1;
    return (tensor_bytes(x) > tensor_bytes(y)) - (tensor_bytes(x) < tensor_bytes(y));
}

/* Tensors fill the data exactly, one after the other. */
static sunup_status check_cover(const struct reader *r)
{
    struct tensors *t = r->t;
    sunup_tensor **sorted = sunup__arena_alloc(&t->arena, (size_t)t->n * sizeof *sorted);
    CHECK(sorted, r->ctx, E_MEMORY, "%s: no memory", r->name);
    for (int i = 0; i < t->n; i++) sorted[i] = &t->t[i];
    qsort(sorted, (size_t)t->n, sizeof *sorted, by_place);
    const unsigned char *at = r->data;
    for (int i = 0; i < t->n; i++) {
        if (sorted[i]->data != at)
            DAMAGED(r, "tensor '%s' overlaps another or follows a hole", sorted[i]->name);
        at += tensor_bytes(sorted[i]);
    }
    if (at != r->data + r->data_bytes)
        DAMAGED(r, "%zu bytes after its last tensor", (size_t)(r->data + r->data_bytes - at));
    return SUNUP_OK;
}

/* Foreign files may place a tensor at any byte: copy those that the processor could not read as their type. */
static sunup_status align(struct reader *r)
{
    for (int i = 0; i < r->t->n; i++) {
        sunup_tensor *t = &r->t->t[i];
        if ((uintptr_t)t->data % (size_t)sunup_dtype_bytes(t->dtype) == 0) continue;
        void *copy = sunup__arena_alloc(&r->t->arena, tensor_bytes(t));
        CHECK(copy, r->ctx, E_MEMORY, "%s: no memory for tensor '%s'", r->name, t->name);
        memcpy(copy, t->data, tensor_bytes(t));
        t->data = copy;
    }
    return SUNUP_OK;
}

static sunup_status parse(struct reader *r)
{
    TRY(find_parts(r));
    TRY(check_sum(r));
    json_error_t error;
    json_t *header = json_loadb((const char *)r->file + LENGTH_BYTES, r->header_bytes,
                                JSON_REJECT_DUPLICATES, &error);
    if (!header) DAMAGED(r, "header, byte %d: %s", error.position, error.text);
    const sunup_status status = read_header(r, header);
    json_decref(header);
    TRY(status);
    if (sunup__tensors_meta(r->t, version_key) && !sunup__tensors_meta(r->t, crc_key))
        DAMAGED(r, "sunup wrote it, but its checksum is gone");
    TRY(check_cover(r));
    return align(r);
}

sunup_status sunup__tensors_parse(sunup_context *ctx, const void *data, size_t bytes,
                                  const char *name, struct tensors *t)
{
    *t = (struct tensors){0};
    struct reader r = {.ctx = ctx, .name = name, .file = data, .bytes = bytes, .t = t};
    const sunup_status status = parse(&r);
    if (status != SUNUP_OK) sunup__tensors_end(t);
    return status;
}

sunup_status sunup__tensors_read(sunup_context *ctx, const char *path, struct tensors *t)
{
    void *data;
    size_t bytes;
    *t = (struct tensors){0};
    TRY(sunup__file_read(ctx, path, &data, &bytes));
    const sunup_status status = sunup__tensors_parse(ctx, data, bytes, path, t);
    if (status == SUNUP_OK)
        t->memory = data;
    else
        sunup__free(data);
    return status;
}

void sunup__tensors_end(struct tensors *t)
{
    sunup__arena_end(&t->arena);
    sunup__free(t->memory);
    *t = (struct tensors){0};
}

const char *sunup__tensors_meta(const struct tensors *t, const char *key)
{
    for (int i = 0; i < t->n_meta; i++)
        if (strcmp(t->meta_key[i], key) == 0) return t->meta_value[i];
    return NULL;
}
