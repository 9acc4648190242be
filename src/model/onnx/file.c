/* file.c - an ONNX file: protocol buffers read by protobuf-c from the definitions that the
 * distribution installs.
 *
 * Owes: a message whose nesting is bounded before it is unpacked (the unpacker calls itself), and
 * tensors whose numbers are as many as their shapes say. Fields that the definitions do not know
 * are skipped, and kept when the message is written again. Source: onnx.proto of libonnx-dev;
 * protobuf.dev/programming-guides/encoding for the wire format.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/system.h"
#include "model/onnx/onnx.h"
#include "tensor/tensor.h"

enum { MAX_DEPTH = 32 };

/* --------------------------------------------------------------------- wire format --- */

static bool varint(const unsigned char **p, const unsigned char *end, uint64_t *v)
{
    *v = 0;
    for (int shift = 0; shift < 70 && *p < end; shift += 7) {
        const unsigned char byte = *(*p)++;
        if (shift < 64) *v |= (uint64_t)(byte & 0x7F) << shift;
        if (!(byte & 0x80)) return true;
    }
    return false;
}

/* The bytes of one field's value; NULL: it does not end inside. */
static const unsigned char *skip(const unsigned char *p, const unsigned char *end, int wire,
                                 uint64_t *length)
{
    *length = wire == 1 ? 8 : wire == 5 ? 4 : 0;
    const unsigned char *from = p;
    if (wire == 0 && !varint(&p, end, length)) return NULL;
    if (wire == 0) *length = (uint64_t)(p - from);
    if (wire == 2 && !varint(&p, end, length)) return NULL;
    if (wire == 3 || wire == 4 || wire > 5) return NULL; /* groups are not in these definitions */
    if (wire == 0) return from;
    return *length <= (uint64_t)(end - p) ? p : NULL;
}

/* Messages inside messages lie at most MAX_DEPTH deep. */
static bool shallow(const ProtobufCMessageDescriptor *d, const unsigned char *p,
                    const unsigned char *end, int depth)
{
    while (p < end) {
        uint64_t tag, length;
        if (!varint(&p, end, &tag)) return false;
        const unsigned char *value = skip(p, end, (int)(tag & 7), &length);
        if (!value) return false;
        p = value + length;
        const ProtobufCFieldDescriptor *f =
            tag >> 3 <= UINT32_MAX
                ? protobuf_c_message_descriptor_get_field(d, (unsigned)(tag >> 3))
                : NULL;
        if ((tag & 7) != 2 || !f || f->type != PROTOBUF_C_TYPE_MESSAGE) continue;
        if (depth == MAX_DEPTH || !shallow(f->descriptor, value, p, depth + 1)) return false;
    }
    return true;
}

/* --------------------------------------------------------------------- tensors' types --- */

static const struct {
    const char *name;
    int bytes;
} types[] = {
    [ONNX(FLOAT)] = {"float32", 4},
    [ONNX(UINT8)] = {"uint8", 1},
    [ONNX(INT8)] = {"int8", 1},
    [ONNX(UINT16)] = {"uint16", 2},
    [ONNX(INT16)] = {"int16", 2},
    [ONNX(INT32)] = {"int32", 4},
    [ONNX(INT64)] = {"int64", 8},
    [ONNX(STRING)] = {"string", 0},
    [ONNX(BOOL)] = {"bool", 1},
    [ONNX(FLOAT16)] = {"float16", 2},
    [ONNX(DOUBLE)] = {"float64", 8},
    [ONNX(UINT32)] = {"uint32", 4},
    [ONNX(UINT64)] = {"uint64", 8},
    [ONNX(COMPLEX64)] = {"complex64", 0},
    [ONNX(COMPLEX128)] = {"complex128", 0},
    [ONNX(BFLOAT16)] = {"bfloat16", 2},
};
enum { TYPES = sizeof types / sizeof types[0] };

const char *sunup__onnx_type_name(int type)
{
    const bool known = type > 0 && type < TYPES && types[type].name;
    return known ? types[type].name : "a type that is not known here";
}

static int type_bytes(int type)
{
    return type > 0 && type < TYPES ? types[type].bytes : 0;
}

/* How many numbers lie in the field that is meant for the type. */
static size_t stored(const Onnx__TensorProto *p)
{
    switch (p->data_type) {
    case ONNX(FLOAT):
        return p->n_float_data;
    case ONNX(DOUBLE):
        return p->n_double_data;
    case ONNX(INT64):
        return p->n_int64_data;
    case ONNX(UINT32):
    case ONNX(UINT64):
        return p->n_uint64_data;
    default:
        return p->n_int32_data;
    }
}

sunup_status sunup__onnx_tensor_check(const struct onnx_model *m, const Onnx__TensorProto *p,
                                      sunup_shape *shape)
{
    const char *name = p->name ? p->name : "";
    CHECK(type_bytes(p->data_type) > 0, m->ctx, E_UNSUPPORTED, "%s: tensor '%s' holds %s",
          m->source, name, sunup__onnx_type_name(p->data_type));
    CHECK(p->n_dims <= SUNUP_MAX_DIMS, m->ctx, E_UNSUPPORTED,
          "%s: tensor '%s' has %zu axes; at most %d can be", m->source, name, p->n_dims,
          SUNUP_MAX_DIMS);
    *shape = (sunup_shape){.n = (int)p->n_dims};
    for (int i = 0; i < shape->n; i++) shape->d[i] = p->dims[i];
    CHECK(sunup__onnx_shape_ok(shape), m->ctx, E_FORMAT, "%s: tensor '%s' has an impossible shape",
          m->source, name);
    const uint64_t n = (uint64_t)sunup__elements(shape);
    const uint64_t width = p->has_raw_data ? (uint64_t)type_bytes(p->data_type) : 1;
    const uint64_t have = p->has_raw_data ? p->raw_data.len : stored(p);
    CHECK(have == n * width, m->ctx, E_FORMAT, "%s: tensor '%s' of %llu numbers (%s) has %llu %s",
          m->source, name, (unsigned long long)n, sunup__onnx_type_name(p->data_type),
          (unsigned long long)have, p->has_raw_data ? "bytes" : "numbers");
    return SUNUP_OK;
}

/* --------------------------------------------------------------------- numbers --- */

static double half(unsigned bits)
{
    const int exponent = (int)(bits >> 10 & 31);
    const double fraction = (double)(bits & 1023), sign = bits >> 15 & 1 ? -1 : 1;
    double x = exponent == 0 ? fraction * 0x1p-24 : (1024 + fraction) * 0x1p-25;
    for (int i = 1; i <= exponent && exponent < 31; i++) x *= 2;
    if (exponent == 31) x = fraction != 0 ? (double)NAN : (double)INFINITY;
    return sign * x;
}

static double brain(unsigned bits)
{
    const uint32_t wide = (uint32_t)bits << 16;
    float x;
    memcpy(&x, &wide, sizeof x);
    return (double)x;
}

#define READ(type, convert)                                                                        \
    for (int64_t i = 0; i < n; i++) {                                                              \
        type v;                                                                                    \
        memcpy(&v, raw + (size_t)i * sizeof v, sizeof v);                                          \
        x[i] = convert(v);                                                                         \
    }                                                                                              \
    break
#define PLAIN (double)

static void read_raw(const Onnx__TensorProto *p, int64_t n, double *x)
{
    const unsigned char *raw = p->raw_data.data;
    switch (p->data_type) {
    case ONNX(FLOAT):
        READ(float, PLAIN);
    case ONNX(DOUBLE):
        READ(double, PLAIN);
    case ONNX(INT64):
        READ(int64_t, PLAIN);
    case ONNX(INT32):
        READ(int32_t, PLAIN);
    case ONNX(INT16):
        READ(int16_t, PLAIN);
    case ONNX(INT8):
        READ(int8_t, PLAIN);
    case ONNX(UINT64):
        READ(uint64_t, PLAIN);
    case ONNX(UINT32):
        READ(uint32_t, PLAIN);
    case ONNX(UINT16):
        READ(uint16_t, PLAIN);
    case ONNX(FLOAT16):
        READ(uint16_t, half);
    case ONNX(BFLOAT16):
        READ(uint16_t, brain);
    default:
        READ(uint8_t, PLAIN);
    }
}

void sunup__onnx_tensor_read(const Onnx__TensorProto *p, int64_t n, double *x)
{
    if (p->has_raw_data) {
        read_raw(p, n, x);
        return;
    }
    for (int64_t i = 0; i < n; i++) switch (p->data_type) {
        case ONNX(FLOAT):
            x[i] = (double)p->float_data[i];
            break;
        case ONNX(DOUBLE):
            x[i] = p->double_data[i];
            break;
        case ONNX(INT64):
            x[i] = (double)p->int64_data[i];
            break;
        case ONNX(UINT32):
        case ONNX(UINT64):
            x[i] = (double)p->uint64_data[i];
            break;
        case ONNX(FLOAT16):
            x[i] = half((unsigned)p->int32_data[i]);
            break;
        case ONNX(BFLOAT16):
            x[i] = brain((unsigned)p->int32_data[i]);
            break;
        default:
            x[i] = (double)p->int32_data[i];
        }
}

bool sunup__onnx_tensor_write(Onnx__TensorProto *p, int64_t n, const double *x)
{
    const bool wide = p->data_type == ONNX(DOUBLE);
    if (!wide && p->data_type != ONNX(FLOAT)) return false;
    const size_t width = wide ? sizeof(double) : sizeof(float);
    unsigned char *raw = malloc((size_t)n * width + 1); /* protobuf-c frees it */
    if (!raw) return false;
    for (int64_t i = 0; i < n; i++) {
        const float narrow = (float)x[i];
        memcpy(raw + (size_t)i * width, wide ? (const void *)&x[i] : (const void *)&narrow, width);
    }
    free(p->has_raw_data ? p->raw_data.data : NULL);
    p->has_raw_data = true;
    p->raw_data = (ProtobufCBinaryData){.len = (size_t)n * width, .data = raw};
    p->n_float_data = p->n_double_data = 0; /* their memory is freed with the message */
    return true;
}

/* --------------------------------------------------------------------- numbers beside the file
 * --- */

static const char *entry(const Onnx__TensorProto *p, const char *key)
{
    for (size_t i = 0; i < p->n_external_data; i++)
        if (p->external_data[i]->key && strcmp(p->external_data[i]->key, key) == 0)
            return p->external_data[i]->value;
    return NULL;
}

static bool safe_name(const char *name)
{
    return name && name[0] != '\0' && name[0] != '/' && !strstr(name, "..");
}

static sunup_status read_beside(struct onnx_model *m, Onnx__TensorProto *p)
{
    const char *name = entry(p, "location"), *slash = strrchr(m->source, '/');
    const char *tensor = p->name ? p->name : "";
    CHECK(safe_name(name), m->ctx, E_FORMAT,
          "%s: the numbers of '%s' lie in no file beside this one", m->source, tensor);
    struct text path = {0};
    sunup__text(&path, "%.*s%s", slash ? (int)(slash + 1 - m->source) : 0, m->source, name);
    CHECK(path.s, m->ctx, E_MEMORY, "%s: no memory for a path", m->source);
    FILE *f = sunup__file_open(path.s, "rb");
    sunup__free(path.s);
    CHECK(f, m->ctx, E_FILE, "%s: the numbers of '%s' lie in '%s', which cannot be opened",
          m->source, tensor, name);
    const char *offset = entry(p, "offset"), *length = entry(p, "length");
    uint64_t bytes = (uint64_t)type_bytes(p->data_type);
    for (size_t i = 0; i < p->n_dims; i++)
        bytes = p->dims[i] < 0 || p->dims[i] > INT32_MAX || bytes > INT64_MAX / 8
                    ? UINT64_MAX
                    : bytes * (uint64_t)p->dims[i];
    const bool fits = bytes < (uint64_t)sunup__memory_available() &&
                      (!length || strtoull(length, NULL, 10) == bytes);
    unsigned char *raw = fits ? malloc((size_t)bytes + 1) : NULL;
    const bool read = raw && fseek(f, offset ? strtol(offset, NULL, 10) : 0, SEEK_SET) == 0 &&
                      fread(raw, 1, (size_t)bytes, f) == bytes;
    (void)fclose(f);
    if (!read) free(raw);
    CHECK(read, m->ctx, E_FORMAT, "%s: '%s' does not hold the numbers of '%s'", m->source, name,
          tensor);
    free(p->has_raw_data ? p->raw_data.data : NULL);
    p->has_raw_data = true;
    p->raw_data = (ProtobufCBinaryData){.len = (size_t)bytes, .data = raw};
    p->has_data_location = false;
    p->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__DEFAULT;
    return SUNUP_OK;
}

/* --------------------------------------------------------------------- files --- */

sunup_status sunup__onnx_parse(struct onnx_model *m, const void *data, size_t bytes)
{
    const unsigned char *p = data;
    CHECK(shallow(&onnx__model_proto__descriptor, p, p + bytes, 0), m->ctx, E_FORMAT,
          "%s: not a whole ONNX file (its fields do not end, or lie too deep)", m->source);
    m->proto = onnx__model_proto__unpack(NULL, bytes, p);
    CHECK(m->proto, m->ctx, E_FORMAT, "%s: not an ONNX file, or no memory for it", m->source);
    CHECK(m->proto->graph, m->ctx, E_FORMAT, "%s: an ONNX file without a graph", m->source);
    const Onnx__GraphProto *g = m->proto->graph;
    for (size_t i = 0; i < g->n_initializer; i++)
        if (g->initializer[i]->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL)
            TRY(read_beside(m, g->initializer[i]));
    return SUNUP_OK;
}

sunup_status sunup__onnx_pack(struct onnx_model *m, const char *path)
{
    const size_t bytes = onnx__model_proto__get_packed_size(m->proto);
    CHECK(bytes < INT32_MAX, m->ctx, E_UNSUPPORTED,
          "%s: %zu bytes; one ONNX file holds at most 2 GB", path, bytes);
    unsigned char *file = sunup__alloc_aligned(bytes);
    CHECK(file, m->ctx, E_MEMORY, "%s: no memory for %zu bytes", path, bytes);
    (void)onnx__model_proto__pack(m->proto, file);
    const sunup_status status = sunup__file_write(m->ctx, path, file, bytes);
    sunup__free(file);
    return status;
}
