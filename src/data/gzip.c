/* gzip.c - undo gzip in memory: one or more members, checksum verified, growth bounded.
 *
 * Deflate grows data at most 1032 times, so a length at the end of the file that claims more is not believed.
 * Source: RFC 1952 (gzip), RFC 1951 (deflate).
 */
#include <string.h>
#include <zlib.h>

#include "base/memory.h"
#include "data/array.h"

enum { MOST_GROWTH = 1032, FIRST_ROOM = 64 << 10, PIECE = 1 << 30 };

struct unpack {
    sunup_context *ctx;
    const char *name;
    const unsigned char *in;
    size_t in_bytes, in_at;
    unsigned char *out;
    size_t out_room, out_at, limit;
};

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The last 4 bytes of a gzip file: its length unpacked, modulo 2^32; right unless there are several members. */
static size_t first_room(const struct unpack *u)
{
    const unsigned char *end = u->in + u->in_bytes;
    size_t length = FIRST_ROOM;
    if (u->in_bytes >= 4)
        length =
            (size_t)end[-4] | (size_t)end[-3] << 8 | (size_t)end[-2] << 16 | (size_t)end[-1] << 24;
    if (length / MOST_GROWTH > u->in_bytes || length == 0) length = FIRST_ROOM;
    return least(length, u->limit);
}

static sunup_status grow(struct unpack *u)
{
    if (u->out_at < u->out_room) return SUNUP_OK;
    CHECK(u->out_room < u->limit, u->ctx, E_MEMORY,
          "%s: unpacked it is larger than %.1f MB, the most that is read", u->name,
          1e-6 * (double)u->limit);
    const size_t room = least(2 * u->out_room, u->limit);
    TRY(sunup__room_for(u->ctx, u->name, (int64_t)room));
    void *out = sunup__realloc(u->out, room);
    CHECK(out != NULL, u->ctx, E_MEMORY, "%s: no memory for %.1f MB unpacked", u->name,
          1e-6 * (double)room);
    u->out = out;
    u->out_room = room;
    return SUNUP_OK;
}

/* zlib counts in 32 bits: feed at most 1 GiB a call. */
static sunup_status piece(struct unpack *u, z_stream *z, int *result)
{
    const uInt in = (uInt)least(u->in_bytes - u->in_at, PIECE);
    const uInt out = (uInt)least(u->out_room - u->out_at, PIECE);
    z->next_in = (Bytef *)(uintptr_t)(u->in + u->in_at);
    z->next_out = u->out + u->out_at;
    z->avail_in = in;
    z->avail_out = out;
    *result = inflate(z, Z_NO_FLUSH);
    u->in_at += in - z->avail_in;
    u->out_at += out - z->avail_out;
    const bool hungry = *result == Z_BUF_ERROR && u->in_at == u->in_bytes;
    CHECK(*result == Z_OK || *result == Z_STREAM_END || hungry, u->ctx, E_FORMAT,
          "%s: byte %zu: gzip data is damaged (%s)", u->name, u->in_at,
          z->msg != NULL ? z->msg : "no end found");
    CHECK(*result == Z_STREAM_END || u->in_at < u->in_bytes || z->avail_out == 0, u->ctx, E_FORMAT,
          "%s: byte %zu: the file ends inside gzip data; it was cut short", u->name, u->in_bytes);
    return SUNUP_OK;
}

static sunup_status members(struct unpack *u, z_stream *z)
{
    int result = Z_OK;
    while (result != Z_STREAM_END || u->in_at < u->in_bytes) {
        if (result == Z_STREAM_END) (void)inflateReset(z); /* another member follows */
        TRY(grow(u));
        TRY(piece(u, z, &result));
    }
    return SUNUP_OK;
}

sunup_status sunup__gunzip(sunup_context *ctx, const void *data, size_t bytes, const char *name,
                           size_t limit, void **out, size_t *out_bytes)
{
    *out = NULL;
    *out_bytes = 0;
    if (bytes < 2 || memcmp(data, "\x1f\x8b", 2) != 0) return SUNUP_OK;
    struct unpack u = {
        .ctx = ctx, .name = name, .in = data, .in_bytes = bytes, .limit = limit > 0 ? limit : 1};
    u.out_room = first_room(&u);
    TRY(sunup__room_for(ctx, name, (int64_t)u.out_room));
    u.out = sunup__alloc_aligned(u.out_room);
    CHECK(u.out != NULL, ctx, E_MEMORY, "%s: no memory for %zu bytes unpacked", name, u.out_room);
    z_stream z = {0};
    sunup_status status = SUNUP_OK;
    enum { GZIP_ONLY = 16 + MAX_WBITS };
    if (inflateInit2(&z, GZIP_ONLY) != Z_OK)
        status = sunup__raise(ctx, SUNUP_E_MEMORY, "%s: no memory to unpack it", name);
    if (status == SUNUP_OK) {
        status = members(&u, &z);
        (void)inflateEnd(&z);
    }
    if (status != SUNUP_OK) {
        sunup__free(u.out);
        return status;
    }
    *out = u.out;
    *out_bytes = u.out_at;
    return SUNUP_OK;
}
