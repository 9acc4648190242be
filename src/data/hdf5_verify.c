/* hdf5_verify.c - what the HDF5 library takes on trust, checked before it reads.
 *
 * The length of the file and of its driver's block: the library makes up zeros for what a longer one claims, gigabytes
 * of them.
 *
 * The length of chunks: H5Dread copies a whole chunk out of what unpacking gave, however short that is (with 1.10.8 a
 * changed chunk length in the header is a crash). So every chunk is unpacked here first and its length compared. It
 * costs a second unpacking at load time, once a run. Only the filters whose lengths are known are let through.
 */
#include "data/hdf5_verify.h"

#ifdef SUNUP_HAVE_HDF5

#include <string.h>
#include <zlib.h>

#include "base/memory.h"

enum { MOST_GROWTH = 1032, MOST_FILTERS = 8, CHECKSUM_BYTES = 4 };

/* Little-endian number of n bytes. */
static uint64_t number(const unsigned char *p, unsigned n)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < n && i < 8; i++) v |= (uint64_t)p[i] << 8 * i;
    return v;
}

/* Source: HDF5 File Format Specification 3.0, II.A: addresses begin at byte 24, 28 or 12 of the superblock; the third
 * is that of the file's end, the fourth before version 2 that of a block for the driver of a file in several parts. */
sunup_status sunup__hdf5_verify_superblock(const struct hdf5 *h)
{
    static const size_t addresses[] = {24, 28, 12, 12}, widths[] = {13, 13, 9, 9};
    size_t at = 0;
    const unsigned char *p = h->data;
    while (h->bytes > at + 48 && memcmp(p + at, "\x89HDF\r\n\x1a\n", 8) != 0)
        at = at == 0 ? 512 : 2 * at; /* a user block may come first */
    CHECK(h->bytes > at + 48, h->ctx, E_FORMAT,
          "%s: byte 0: does not begin as an HDF5 file, or is cut short", h->name);
    p += at;
    const unsigned version = p[8];
    CHECK(version <= 3, h->ctx, E_UNSUPPORTED, "%s: byte %zu: superblock version %u is not known",
          h->name, at + 8, version);
    const unsigned width = p[widths[version]];
    CHECK(width == 2 || width == 4 || width == 8, h->ctx, E_FORMAT,
          "%s: byte %zu: addresses of %u bytes are not possible", h->name, at + widths[version],
          width);
    const size_t where = addresses[version] + 2 * width;
    CHECK(h->bytes - at >= where + 2 * width, h->ctx, E_FORMAT,
          "%s: byte %zu: the file ends inside its superblock", h->name, h->bytes);
    const uint64_t end = number(p + where, width);
    CHECK(end <= h->bytes, h->ctx, E_FORMAT,
          "%s: byte %zu: the file says it has %llu bytes, but it has %zu; it was cut short",
          h->name, at + where, (unsigned long long)end, h->bytes);
    const uint64_t none = UINT64_MAX >> (64 - 8 * width);
    CHECK(version > 1 || number(p + where + width, width) == none, h->ctx, E_UNSUPPORTED,
          "%s: byte %zu: is one part of a file in several parts; join them with h5repart", h->name,
          at + where + width);
    return SUNUP_OK;
}

struct chunks {
    const struct hdf5 *h;
    hid_t set;
    uint64_t bytes; /* of a chunk, unpacked */
    int n_filters;
    H5Z_filter_t filters[MOST_FILTERS]; /* in the order of writing */
    unsigned char *packed, *unpacked;
    size_t packed_room, unpacked_room;
};

static bool known_filter(H5Z_filter_t f)
{
    return f == H5Z_FILTER_DEFLATE || f == H5Z_FILTER_SHUFFLE || f == H5Z_FILTER_FLETCHER32;
}

static sunup_status list_filters(struct chunks *c, hid_t how)
{
    const struct hdf5 *h = c->h;
    c->n_filters = H5Pget_nfilters(how);
    if (c->n_filters < 0) return sunup__hdf5_complain(h, "its filters cannot be listed");
    int deflates = 0;
    for (int i = 0; i < c->n_filters; i++) {
        char name[64] = "";
        size_t none = 0;
        const H5Z_filter_t f =
            H5Pget_filter2(how, (unsigned)i, NULL, &none, NULL, sizeof name, name, NULL);
        deflates += f == H5Z_FILTER_DEFLATE;
        CHECK(i < MOST_FILTERS && known_filter(f) && deflates <= 1, h->ctx, E_UNSUPPORTED,
              "%s: %s: is packed by filter %d '%.63s'; one deflate (gzip), shuffle and Fletcher-32 "
              "can "
              "be read",
              h->name, h->path, (int)f, name);
        c->filters[i] = f;
    }
    return SUNUP_OK;
}

static sunup_status room(const struct hdf5 *h, unsigned char **p, size_t *has, size_t needs)
{
    if (needs <= *has) return SUNUP_OK;
    TRY(sunup__room_for(h->ctx, h->name, (int64_t)needs));
    sunup__free(*p);
    *has = 0;
    *p = sunup__alloc_aligned(needs);
    CHECK(*p != NULL, h->ctx, E_MEMORY, "%s: %s: no memory for a chunk of %zu bytes", h->name,
          h->path, needs);
    *has = needs;
    return SUNUP_OK;
}

/* Walks the filters backwards, as reading does: n is what is left of the stored bytes. */
static sunup_status unpacks_to(struct chunks *c, unsigned skipped, uint64_t n, bool *good)
{
    const unsigned char *from = c->packed;
    for (int i = c->n_filters - 1; i >= 0; i--) {
        if (skipped >> i & 1) continue;
        if (c->filters[i] == H5Z_FILTER_FLETCHER32) {
            if (n < CHECKSUM_BYTES) return SUNUP_OK;
            n -= CHECKSUM_BYTES;
        } else if (c->filters[i] == H5Z_FILTER_DEFLATE) {
            /* at most a checksum more than the chunk, and one byte more to see that it is too long */
            const uint64_t most = c->bytes + MOST_FILTERS * CHECKSUM_BYTES + 1;
            if (c->bytes / MOST_GROWTH > n) return SUNUP_OK;
            TRY(room(c->h, &c->unpacked, &c->unpacked_room, (size_t)most));
            uLongf length = (uLongf)most;
            if (uncompress(c->unpacked, &length, from, (uLong)n) != Z_OK) return SUNUP_OK;
            n = length;
        }
    }
    *good = n == c->bytes;
    return SUNUP_OK;
}

/* The chunk whose first number is at index `at`. */
static sunup_status verify_chunk(struct chunks *c, const hsize_t *at)
{
    const struct hdf5 *h = c->h;
    unsigned skipped = 0;
    uint32_t mask = 0;
    haddr_t where = 0;
    hsize_t stored = 0;
    if (H5Dget_chunk_info_by_coord(c->set, at, &skipped, &where, &stored) < 0)
        return sunup__hdf5_complain(h, "a chunk cannot be found");
    CHECK(where != HADDR_UNDEF && stored <= h->bytes && where <= h->bytes - stored, h->ctx,
          E_FORMAT, "%s: byte %llu: a chunk of %s claims %llu bytes, the file has %zu", h->name,
          (unsigned long long)where, h->path, (unsigned long long)stored, h->bytes);
    TRY(room(h, &c->packed, &c->packed_room, (size_t)stored));
    if (H5Dread_chunk(c->set, H5P_DEFAULT, at, &mask, c->packed) < 0)
        return sunup__hdf5_complain(h, "a chunk cannot be read");
    bool good = false;
    TRY(unpacks_to(c, skipped, stored, &good));
    CHECK(good, h->ctx, E_FORMAT,
          "%s: byte %llu: a chunk of %s does not unpack to the %llu bytes of a chunk", h->name,
          (unsigned long long)where, h->path, (unsigned long long)c->bytes);
    return SUNUP_OK;
}

/* Every chunk of the grid, in row-major order. The grid is verified to have as many as are stored. */
static sunup_status verify_grid(struct chunks *c, const sunup_shape *shape, const hsize_t *chunk)
{
    hsize_t at[SUNUP_MAX_DIMS] = {0};
    for (;;) {
        TRY(verify_chunk(c, at));
        int i = shape->n - 1;
        while (i >= 0 && (at[i] += chunk[i]) >= (hsize_t)shape->d[i]) at[i--] = 0;
        if (i < 0) return SUNUP_OK;
    }
}

static sunup_status verify_chunks(struct chunks *c, hid_t how, size_t type_bytes,
                                  const sunup_shape *shape)
{
    const struct hdf5 *h = c->h;
    hsize_t chunk[H5S_MAX_RANK] = {0}, n = 0;
    const int dims = H5Pget_chunk(how, H5S_MAX_RANK, chunk);
    const hid_t space = H5Dget_space(c->set);
    const bool counted = space >= 0 && H5Dget_num_chunks(c->set, space, &n) >= 0;
    if (space >= 0) (void)H5Sclose(space);
    if (dims < 0 || !counted) return sunup__hdf5_complain(h, "its chunks cannot be listed");
    double bytes = (double)type_bytes, grid = 1;
    for (int i = 0; i < dims && i < shape->n; i++) {
        bytes *= (double)chunk[i];
        if (chunk[i] > 0) grid *= (double)((shape->d[i] - 1) / (int64_t)chunk[i] + 1);
    }
    CHECK(dims == shape->n && bytes >= 1 && bytes < 0x1p32, h->ctx, E_FORMAT,
          "%s: %s: chunks of %.0f bytes and %d axes are not possible", h->name, h->path, bytes,
          dims);
    CHECK(grid == (double)n, h->ctx, E_FORMAT,
          "%s: %s: of its %.0f chunks %llu are stored; was it ever written?", h->name, h->path,
          grid, (unsigned long long)n);
    c->bytes = (uint64_t)bytes;
    TRY(list_filters(c, how));
    return verify_grid(c, shape, chunk);
}

static sunup_status verify_layout(const struct hdf5 *h, hid_t set, hid_t how, size_t type_bytes,
                                  const sunup_shape *shape)
{
    const H5D_layout_t layout = H5Pget_layout(how);
    const double need = (double)sunup__elements(shape) * (double)type_bytes;
    const hsize_t stored = H5Dget_storage_size(set);
    CHECK(layout == H5D_COMPACT || layout == H5D_CONTIGUOUS || layout == H5D_CHUNKED, h->ctx,
          E_UNSUPPORTED, "%s: %s: its numbers are in other files, which is not followed", h->name,
          h->path);
    CHECK(H5Pget_external_count(how) == 0, h->ctx, E_UNSUPPORTED,
          "%s: %s: its numbers are in other files, which is not followed", h->name, h->path);
    if (layout == H5D_CHUNKED) {
        struct chunks c = {.h = h, .set = set};
        const sunup_status status = verify_chunks(&c, how, type_bytes, shape);
        sunup__free(c.packed);
        sunup__free(c.unpacked);
        return status;
    }
    CHECK(stored <= h->bytes && need <= (double)stored, h->ctx, E_FORMAT,
          "%s: %s: %.0f bytes of numbers cannot be in the %llu bytes stored for them in a file of "
          "%zu; was it ever written?",
          h->name, h->path, need, (unsigned long long)stored, h->bytes);
    return SUNUP_OK;
}

sunup_status sunup__hdf5_verify(const struct hdf5 *h, hid_t set, const sunup_shape *shape)
{
    if (sunup__elements(shape) == 0) return SUNUP_OK;
    const hid_t type = H5Dget_type(set);
    const size_t type_bytes = type >= 0 ? H5Tget_size(type) : 0;
    if (type >= 0) (void)H5Tclose(type);
    const hid_t how = H5Dget_create_plist(set);
    if (how < 0 || type_bytes == 0) return sunup__hdf5_complain(h, "its layout cannot be read");
    const sunup_status status = verify_layout(h, set, how, type_bytes, shape);
    (void)H5Pclose(how);
    return status;
}

#endif
