/* read.c - a whole file as an array, its kind recognised by its first bytes, and only then by its ending.
 *
 * The file's bytes become the array's where nothing has to be converted, so that 47 MB of images are 47 MB in memory.
 */
#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "base/system.h"
#include "data/array.h"

enum kind { KIND_UNKNOWN, KIND_IDX, KIND_NPY, KIND_NPZ, KIND_HDF5, KIND_CSV };

/* The file as it is being unwrapped: owned bytes, and the name without .gz where that is undone. */
struct file {
    sunup_context *ctx;
    const char *path;
    void *data;
    size_t bytes;
};

static bool begins(const struct file *f, size_t at, const char *magic, size_t n)
{
    return f->bytes >= at + n && memcmp((const char *)f->data + at, magic, n) == 0;
}

/* HDF5 allows a user block of 512, 1024, 2048 ... bytes before its signature. */
static bool is_hdf5(const struct file *f)
{
    if (begins(f, 0, "\x89HDF\r\n\x1a\n", 8)) return true;
    for (size_t at = 512; at < f->bytes && at <= 1 << 20; at *= 2)
        if (begins(f, at, "\x89HDF\r\n\x1a\n", 8)) return true;
    return false;
}

static bool is_idx(const struct file *f)
{
    const unsigned char *p = f->data;
    return f->bytes >= 4 && p[0] == 0 && p[1] == 0 && p[2] >= 0x08 && p[2] <= 0x0E && p[3] >= 1;
}

static bool ends_with(const char *path, const char *ending)
{
    const size_t n = strlen(path), m = strlen(ending);
    return n >= m && strcasecmp(path + n - m, ending) == 0;
}

static enum kind kind_of(const struct file *f)
{
    static const struct {
        const char *ending;
        enum kind kind;
    } endings[] = {{".csv", KIND_CSV},    {".tsv", KIND_CSV},    {".txt", KIND_CSV},
                   {".csv.gz", KIND_CSV}, {".tsv.gz", KIND_CSV}, {".txt.gz", KIND_CSV},
                   {".idx", KIND_IDX},    {".idx.gz", KIND_IDX}, {".npy", KIND_NPY},
                   {".npy.gz", KIND_NPY}, {".npz", KIND_NPZ},    {".h5", KIND_HDF5},
                   {".hdf5", KIND_HDF5},  {".hdf", KIND_HDF5}};
    if (begins(f, 0, "\x93NUMPY", 6)) return KIND_NPY;
    if (begins(f, 0, "PK\3\4", 4) || begins(f, 0, "PK\5\6", 4)) return KIND_NPZ;
    if (is_hdf5(f)) return KIND_HDF5;
    if (is_idx(f)) return KIND_IDX;
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++)
        if (ends_with(f->path, endings[i].ending)) return endings[i].kind;
    return KIND_UNKNOWN;
}

static sunup_status unwrap_gzip(struct file *f)
{
    void *unpacked = NULL;
    size_t bytes = 0;
    TRY(sunup__gunzip(f->ctx, f->data, f->bytes, f->path, (size_t)sunup__memory_available(),
                      &unpacked, &bytes));
    if (unpacked == NULL) return SUNUP_OK;
    sunup__free(f->data);
    f->data = unpacked;
    f->bytes = bytes;
    return SUNUP_OK;
}

static sunup_status adopt(struct file *f, sunup_status parsed, const struct source *s,
                          struct array *a)
{
    TRY(parsed);
    return sunup__array_adopt(f->ctx, s, &f->data, a);
}

static sunup_status read_kind(struct file *f, enum kind kind, const char *member, struct array *a)
{
    sunup_context *ctx = f->ctx;
    struct source s;
    CHECK((kind != KIND_IDX && kind != KIND_NPY) || member == NULL, ctx, E_ARGUMENT,
          "%s: holds one array without a name, yet '%s' of it is asked for", f->path, member);
    switch (kind) {
    case KIND_IDX:
        return adopt(f, sunup__parse_idx(ctx, f->data, f->bytes, f->path, &s), &s, a);
    case KIND_NPY:
        return adopt(f, sunup__parse_npy(ctx, f->data, f->bytes, f->path, &s), &s, a);
    case KIND_NPZ:
        return sunup__read_npz(ctx, f->data, f->bytes, f->path, member, a);
    case KIND_HDF5:
        return sunup__read_hdf5(ctx, f->data, f->bytes, f->path, member, a);
    case KIND_CSV:
        return sunup__read_csv(ctx, f->data, f->bytes, f->path, member, a);
    case KIND_UNKNOWN:
        break;
    }
    RAISE(
        ctx, E_FORMAT,
        "%s: byte 0: not a file that can be read: idx, npy, npz and HDF5 are known by their first "
        "bytes, tables by the ending .csv, .tsv or .txt",
        f->path);
}

sunup_status sunup__read_array(sunup_context *ctx, const char *path, const char *member,
                               struct array *a)
{
    struct file f = {.ctx = ctx, .path = path};
    *a = (struct array){0};
    TRY(sunup__file_read(ctx, path, &f.data, &f.bytes));
    sunup_status status = unwrap_gzip(&f);
    if (status == SUNUP_OK) status = read_kind(&f, kind_of(&f), member, a);
    sunup__free(f.data);
    return status;
}
