/* npz.c - a member of a zip archive of npy files, unpacked into memory by libzip.
 *
 * The archive's directory is not believed: a stored member cannot be longer than the file, a deflated one not longer
 * than 1032 times its packed bytes. libzip verifies the checksum when the last byte is read.
 */
#include <stdio.h>

#include "base/memory.h"
#include "data/array.h"

#ifdef SUNUP_HAVE_ZIP

#include <zip.h>

enum { MOST_GROWTH = 1032, MESSAGE = 256 };

struct archive {
    sunup_context *ctx;
    const char *name;
    size_t bytes; /* of the file */
    zip_t *zip;
};

/* "a.npy, b.npy, ..." for messages */
static void list_members(const struct archive *a, char room[MESSAGE])
{
    const zip_int64_t n = zip_get_num_entries(a->zip, 0);
    size_t at = 0;
    room[0] = '\0';
    for (zip_int64_t i = 0; i < n && at < MESSAGE; i++) {
        const char *name = zip_get_name(a->zip, (zip_uint64_t)i, ZIP_FL_ENC_GUESS);
        const int more =
            snprintf(room + at, MESSAGE - at, "%s%s", i > 0 ? ", " : "", name != NULL ? name : "?");
        at += more > 0 ? (size_t)more : MESSAGE;
    }
}

/* Member `x` is the entry "x.npy", or "x" as it stands; NULL is the only entry. */
static sunup_status find_member(const struct archive *a, const char *member, zip_uint64_t *index)
{
    char all[MESSAGE];
    list_members(a, all);
    if (member == NULL) {
        const long long n = zip_get_num_entries(a->zip, 0);
        CHECK(n == 1, a->ctx, E_ARGUMENT, "%s: holds %lld arrays; say which: %s", a->name, n, all);
        *index = 0;
        return SUNUP_OK;
    }
    struct text file = {0};
    sunup__text(&file, "%s.npy", member);
    CHECK(file.s != NULL, a->ctx, E_MEMORY, "%s: no memory to find '%s'", a->name, member);
    zip_int64_t at = zip_name_locate(a->zip, file.s, 0);
    if (at < 0) at = zip_name_locate(a->zip, member, 0);
    sunup__free(file.s);
    CHECK(at >= 0, a->ctx, E_ARGUMENT, "%s: holds no array '%s'; it holds: %s", a->name, member,
          all);
    *index = (zip_uint64_t)at;
    return SUNUP_OK;
}

/* Bytes of the member once unpacked, if that can be true. */
static sunup_status member_bytes(const struct archive *a, zip_uint64_t index, size_t *bytes)
{
    enum { KNOWN = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD };
    zip_stat_t st;
    CHECK(zip_stat_index(a->zip, index, 0, &st) == 0 && (st.valid & KNOWN) == KNOWN, a->ctx,
          E_FORMAT, "%s: the archive's directory does not tell the size of entry %llu", a->name,
          (unsigned long long)index);
    const bool deflated = st.comp_method == ZIP_CM_DEFLATE;
    CHECK(deflated || st.comp_method == ZIP_CM_STORE, a->ctx, E_UNSUPPORTED,
          "%s: entry '%s' is packed by method %d; stored and deflated can be read", a->name,
          st.name, st.comp_method);
    const bool credible =
        deflated ? st.size / MOST_GROWTH <= st.comp_size : st.size == st.comp_size;
    CHECK(st.comp_size <= a->bytes && credible, a->ctx, E_FORMAT,
          "%s: entry '%s' claims %llu bytes, packed %llu, in a file of %zu", a->name, st.name,
          (unsigned long long)st.size, (unsigned long long)st.comp_size, a->bytes);
    *bytes = (size_t)st.size;
    return SUNUP_OK;
}

/* One byte more than expected is asked for: the end must be seen for the checksum to be verified. */
static sunup_status unpack(const struct archive *a, zip_uint64_t index, char *out, size_t bytes)
{
    zip_file_t *f = zip_fopen_index(a->zip, index, 0);
    CHECK(f != NULL, a->ctx, E_FORMAT, "%s: entry %llu cannot be opened: %s", a->name,
          (unsigned long long)index, zip_strerror(a->zip));
    size_t at = 0;
    zip_int64_t n = 0;
    while (at <= bytes && (n = zip_fread(f, out + at, bytes + 1 - at)) > 0) at += (size_t)n;
    char why[MESSAGE];
    (void)snprintf(why, sizeof why, "%s",
                   n < 0 ? zip_file_strerror(f) : "its length is not what the directory says");
    (void)zip_fclose(f);
    CHECK(n == 0 && at == bytes, a->ctx, E_FORMAT, "%s: entry %llu: byte %zu of %zu: %s", a->name,
          (unsigned long long)index, at, bytes, why);
    return SUNUP_OK;
}

static sunup_status unpack_member(const struct archive *a, const char *member, void **out,
                                  size_t *out_bytes)
{
    zip_uint64_t index = 0;
    size_t bytes = 0;
    TRY(find_member(a, member, &index));
    TRY(member_bytes(a, index, &bytes));
    TRY(sunup__room_for(a->ctx, a->name, (int64_t)bytes));
    void *p = sunup__alloc_aligned(bytes + 1);
    CHECK(p != NULL, a->ctx, E_MEMORY, "%s: no memory for %zu bytes", a->name, bytes);
    const sunup_status status = unpack(a, index, p, bytes);
    if (status != SUNUP_OK) {
        sunup__free(p);
        return status;
    }
    *out = p;
    *out_bytes = bytes;
    return SUNUP_OK;
}

sunup_status sunup__unzip(sunup_context *ctx, const void *data, size_t bytes, const char *name,
                          const char *member, void **out, size_t *out_bytes)
{
    *out = NULL;
    zip_error_t error;
    zip_error_init(&error);
    zip_source_t *source = zip_source_buffer_create(data, bytes, 0, &error);
    zip_t *zip = source != NULL ? zip_open_from_source(source, ZIP_RDONLY, &error) : NULL;
    if (zip == NULL) {
        (void)sunup__raise(ctx, SUNUP_E_FORMAT, "%s: is damaged as a zip archive: %s", name,
                           zip_error_strerror(&error));
        if (source != NULL) zip_source_free(source);
        zip_error_fini(&error);
        return SUNUP_E_FORMAT;
    }
    const struct archive a = {ctx, name, bytes, zip};
    const sunup_status status = unpack_member(&a, member, out, out_bytes);
    zip_discard(zip); /* ends the source too */
    zip_error_fini(&error);
    return status;
}

#else

sunup_status sunup__unzip(sunup_context *ctx, const void *data, size_t bytes, const char *name,
                          const char *member, void **out, size_t *out_bytes)
{
    (void)data;
    (void)member;
    *out = NULL;
    *out_bytes = bytes;
    RAISE(ctx, E_UNSUPPORTED,
          "%s: npz files need libzip, which this build lacks; unzip it and read the npy files",
          name);
}

#endif

sunup_status sunup__read_npz(sunup_context *ctx, const void *data, size_t bytes, const char *name,
                             const char *member, struct array *a)
{
    void *npy = NULL;
    size_t npy_bytes = 0;
    struct source s;
    *a = (struct array){0};
    TRY(sunup__unzip(ctx, data, bytes, name, member, &npy, &npy_bytes));
    sunup_status status = sunup__parse_npy(ctx, npy, npy_bytes, name, &s);
    if (status == SUNUP_OK) status = sunup__array_adopt(ctx, &s, &npy, a);
    sunup__free(npy);
    return status;
}
