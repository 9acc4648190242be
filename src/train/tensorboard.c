/* tensorboard.c - scalars as a TensorBoard event file.
 *
 * The file is a row of records: length (u64), masked CRC-32C of it, bytes, masked CRC-32C of them, little-endian.
 * The bytes are one Event message in protocol-buffer wire format; only the fields below are needed, so they are put
 * together by hand: wall_time 1, step 2, file_version 3, summary 5 { value 1 { tag 1, simple_value 2 } }.
 * Source  the formats as documented by TensorFlow (TFRecord, event.proto, summary.proto).
 */
#include <math.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/system.h"
#include "train/record.h"

enum { MESSAGE = 512 };

struct events {
    sunup_context *ctx;
    const char *run_dir; /* the trainer's */
    FILE *file;
    bool failed;
};

struct message {
    unsigned char bytes[MESSAGE];
    size_t n;
};

static void put(struct message *m, const void *bytes, size_t n)
{
    if (n > MESSAGE - m->n) n = MESSAGE - m->n;
    memcpy(m->bytes + m->n, bytes, n);
    m->n += n;
}

static void varint(struct message *m, uint64_t x)
{
    for (; x >= 128; x >>= 7) put(m, &(unsigned char){(unsigned char)(x | 128)}, 1);
    put(m, &(unsigned char){(unsigned char)x}, 1);
}

enum wire { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

static void tag(struct message *m, unsigned field, enum wire wire)
{
    varint(m, field << 3 | wire);
}

static void bytes_field(struct message *m, unsigned field, const void *bytes, size_t n)
{
    tag(m, field, WIRE_BYTES);
    varint(m, n);
    put(m, bytes, n);
}

static uint32_t masked_crc(const void *bytes, size_t n)
{
    const uint32_t crc = sunup__crc32c(bytes, n, 0);
    return ((crc >> 15) | (crc << 17)) + 0xa282ead8U;
}

static void write_record(struct events *e, const struct message *m)
{
    const uint64_t n = m->n;
    const uint32_t of_length = masked_crc(&n, sizeof n), of_bytes = masked_crc(m->bytes, m->n);
    (void)fwrite(&n, sizeof n, 1, e->file);
    (void)fwrite(&of_length, sizeof of_length, 1, e->file);
    (void)fwrite(m->bytes, 1, m->n, e->file);
    (void)fwrite(&of_bytes, sizeof of_bytes, 1, e->file);
}

static void start_event(struct message *m, int64_t step)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    const double wall_s = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    tag(m, 1, WIRE_64);
    put(m, &wall_s, sizeof wall_s);
    tag(m, 2, WIRE_VARINT);
    varint(m, (uint64_t)step);
}

static void add_scalar(struct events *e, int64_t step, const char *name, double x)
{
    if (!isfinite(x)) return;
    const float f = (float)x;
    struct message value = {0}, summary = {0}, event = {0};
    bytes_field(&value, 1, name, strlen(name));
    tag(&value, 2, WIRE_32);
    put(&value, &f, sizeof f);
    bytes_field(&summary, 1, value.bytes, value.n);
    start_event(&event, step);
    bytes_field(&event, 5, summary.bytes, summary.n);
    write_record(e, &event);
}

/* The file begins with its first scalars: a process that only evaluates leaves none behind. */
static void open_file(struct events *e)
{
    static const char version[] = "brain.Event:2";
    struct text path = {0};
    sunup__text(&path, "%s/events.out.tfevents.%lld.sunup", e->run_dir, (long long)time(NULL));
    e->file = path.s != NULL ? sunup__file_open(path.s, "wb") : NULL;
    e->failed = e->file == NULL;
    if (e->failed)
        sunup__log(e->ctx, SUNUP_LOG_WARN, "%s: no event file can be written there", e->run_dir);
    sunup__free(path.s);
    if (e->failed) return;
    struct message first = {0};
    start_event(&first, 0);
    bytes_field(&first, 3, version, sizeof version - 1);
    write_record(e, &first);
}

void sunup__events_add(struct events *e, const sunup_metrics *m, bool eval)
{
    if (e == NULL) return;
    if (e->file == NULL && !e->failed) open_file(e);
    if (e->file == NULL) return;
    add_scalar(e, m->step, eval ? "loss/eval" : "loss/train", m->loss);
    add_scalar(e, m->step, eval ? "accuracy/eval" : "accuracy/train", m->accuracy);
    if (!eval) {
        add_scalar(e, m->step, "train/lr", m->lr);
        add_scalar(e, m->step, "train/grad_norm", m->grad_norm);
        add_scalar(e, m->step, "train/step_s", m->step_s);
    }
    (void)fflush(e->file);
}

sunup_status sunup__events_create(sunup_context *ctx, const char *run_dir, struct events **e)
{
    *e = sunup__alloc(sizeof **e);
    CHECK(*e != NULL, ctx, E_MEMORY, "no memory for an event file");
    (*e)->ctx = ctx;
    (*e)->run_dir = run_dir;
    return SUNUP_OK;
}

void sunup__events_destroy(struct events **e)
{
    if (*e == NULL) return;
    if ((*e)->file != NULL) (void)fclose((*e)->file);
    sunup__free(*e);
    *e = NULL;
}
