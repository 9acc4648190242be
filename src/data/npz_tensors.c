/* npz_tensors.c - named tensors as NumPy's archive of arrays, both ways: numpy.load and
 * numpy.savez read and write it.
 *
 * Written stored, not deflated (numbers hardly shrink), under a temporary name that becomes the
 * file's. Reading goes through npz.c, which believes nothing.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/counters.h"
#include "base/memory.h"
#include "base/system.h"
#include "data/array.h"
#include "data/tensors.h"

sunup_status sunup__npy_bytes(sunup_context *ctx, const sunup_tensor *t, char **file, size_t *bytes)
{
    static const char *const types[] = {
        [SUNUP_F32] = "<f4", [SUNUP_F64] = "<f8", [SUNUP_I32] = "<i4", [SUNUP_U8] = "|u1"};
    struct text head = {0};
    sunup__text(&head, "{'descr': '%s', 'fortran_order': False, 'shape': (", types[t->dtype]);
    for (int i = 0; i < t->shape.n; i++)
        sunup__text(&head, "%lld,%s", (long long)t->shape.d[i], i + 1 < t->shape.n ? " " : "");
    sunup__text(&head, "), }");
    while (head.s != NULL && (10 + head.n + 1) % 64 != 0) sunup__text(&head, " ");
    sunup__text(&head, "\n");
    const size_t numbers = (size_t)(sunup__elements(&t->shape) * sunup_dtype_bytes(t->dtype));
    *bytes = 10 + head.n + numbers;
    *file = head.s != NULL ? sunup__alloc_aligned(*bytes) : NULL;
    if (*file != NULL) {
        const unsigned char start[10] = {0x93,
                                         'N',
                                         'U',
                                         'M',
                                         'P',
                                         'Y',
                                         1,
                                         0,
                                         (unsigned char)head.n,
                                         (unsigned char)(head.n >> 8)};
        memcpy(*file, start, sizeof start);
        memcpy(*file + 10, head.s, head.n);
        if (numbers > 0) memcpy(*file + 10 + head.n, t->data, numbers);
    }
    sunup__free(head.s);
    CHECK(*file != NULL, ctx, E_MEMORY, "no memory for the %zu bytes of '%s'", numbers, t->name);
    return SUNUP_OK;
}

#ifdef SUNUP_HAVE_ZIP

#include <zip.h>

/* -------------------------------------------------------------------------- writing --- */

static sunup_status add(sunup_context *ctx, zip_t *zip, const sunup_tensor *t, char **file)
{
    size_t bytes;
    struct text name = {0};
    TRY(sunup__npy_bytes(ctx, t, file, &bytes));
    sunup__text(&name, "%s.npy", t->name);
    zip_source_t *source = zip_source_buffer(zip, *file, bytes, 0);
    const zip_int64_t at =
        source != NULL && name.s != NULL ? zip_file_add(zip, name.s, source, ZIP_FL_ENC_UTF_8) : -1;
    if (at < 0 && source != NULL) zip_source_free(source);
    sunup__free(name.s);
    CHECK(at >= 0 && zip_set_file_compression(zip, (zip_uint64_t)at, ZIP_CM_STORE, 0) == 0, ctx,
          E_FILE, "'%s' cannot be added to an archive: %s", t->name, zip_strerror(zip));
    return SUNUP_OK;
}

static sunup_status write_all(sunup_context *ctx, const char *path, const struct tensors *t,
                              char **files)
{
    struct text temporary = {0};
    sunup__text(&temporary, "%s.partial", path);
    int why = 0;
    sunup__count(COUNT_FILES, 1);
    zip_t *zip =
        temporary.s != NULL ? zip_open(temporary.s, ZIP_CREATE | ZIP_TRUNCATE, &why) : NULL;
    sunup_status status = SUNUP_OK;
    if (zip == NULL) status = sunup__raise(ctx, SUNUP_E_FILE, "%s: cannot be created", path);
    for (int i = 0; i < t->n && status == SUNUP_OK; i++)
        status = add(ctx, zip, &t->t[i], &files[i]);
    if (status != SUNUP_OK && zip != NULL) zip_discard(zip);
    if (status == SUNUP_OK && zip_close(zip) != 0) {
        status =
            sunup__raise(ctx, SUNUP_E_FILE, "%s: cannot be written: %s", path, zip_strerror(zip));
        zip_discard(zip);
    }
    if (status == SUNUP_OK && t->n > 0 && rename(temporary.s, path) != 0)
        status = sunup__raise(ctx, SUNUP_E_FILE, "%s: cannot be written", path);
    if (status != SUNUP_OK && temporary.s != NULL) (void)unlink(temporary.s);
    sunup__free(temporary.s);
    return status;
}

sunup_status sunup__npz_write(sunup_context *ctx, const char *path, const struct tensors *t)
{
    char **files = sunup__alloc((size_t)(t->n + 1) * sizeof *files);
    CHECK(files != NULL, ctx, E_MEMORY, "%s: no memory", path);
    const sunup_status status = write_all(ctx, path, t, files);
    for (int i = 0; i < t->n; i++) sunup__free(files[i]);
    sunup__free(files);
    return status;
}

/* -------------------------------------------------------------------------- reading --- */

/* "fc.weight" of "fc.weight.npy", in the arena. */
static const char *name_of(struct tensors *t, const char *entry)
{
    char *name = entry != NULL ? sunup__arena_strdup(&t->arena, entry) : NULL;
    const size_t n = name != NULL ? strlen(name) : 0;
    if (n > 4 && strcmp(name + n - 4, ".npy") == 0) name[n - 4] = '\0';
    return name;
}

static sunup_status list(sunup_context *ctx, const void *data, size_t bytes, const char *path,
                         struct tensors *t)
{
    zip_error_t error;
    zip_error_init(&error);
    zip_source_t *source = zip_source_buffer_create(data, bytes, 0, &error);
    zip_t *zip = source != NULL ? zip_open_from_source(source, ZIP_RDONLY, &error) : NULL;
    if (zip == NULL && source != NULL) zip_source_free(source);
    zip_error_fini(&error);
    CHECK(zip != NULL, ctx, E_FORMAT, "%s: is no zip archive", path);
    const zip_int64_t n = zip_get_num_entries(zip, 0);
    t->t = sunup__arena_alloc(&t->arena, (size_t)(n + 1) * sizeof *t->t);
    bool good = t->t != NULL && n <= INT32_MAX;
    for (zip_int64_t i = 0; i < n && good; i++) {
        t->t[t->n].name = name_of(t, zip_get_name(zip, (zip_uint64_t)i, ZIP_FL_ENC_GUESS));
        good = t->t[t->n++].name != NULL;
    }
    zip_discard(zip);
    CHECK(good, ctx, E_MEMORY, "%s: no memory for a list of %lld arrays", path, (long long)n);
    return SUNUP_OK;
}

static sunup_status take(sunup_context *ctx, const void *data, size_t bytes, const char *path,
                         struct tensors *t)
{
    TRY(list(ctx, data, bytes, path, t));
    for (int i = 0; i < t->n; i++) {
        struct array a;
        TRY(sunup__read_npz(ctx, data, bytes, path, t->t[i].name, &a));
        const size_t n = (size_t)(sunup__elements(&a.shape) * sunup_dtype_bytes(a.dtype));
        t->t[i].dtype = a.dtype;
        t->t[i].shape = a.shape;
        t->t[i].data = sunup__arena_alloc(&t->arena, n + 1);
        if (t->t[i].data != NULL) memcpy(t->t[i].data, a.data, n);
        sunup__array_end(&a);
        CHECK(t->t[i].data != NULL, ctx, E_MEMORY, "%s: no memory for '%s'", path, t->t[i].name);
    }
    return SUNUP_OK;
}

sunup_status sunup__npz_read(sunup_context *ctx, const char *path, struct tensors *t)
{
    void *data;
    size_t bytes;
    *t = (struct tensors){0};
    TRY(sunup__file_read(ctx, path, &data, &bytes));
    const sunup_status status = take(ctx, data, bytes, path, t);
    sunup__free(data);
    if (status != SUNUP_OK) sunup__tensors_end(t);
    return status;
}

#else

static sunup_status none(sunup_context *ctx, const char *path)
{
    RAISE(ctx, E_UNSUPPORTED, "%s: npz files need libzip, which this build lacks", path);
}

sunup_status sunup__npz_write(sunup_context *ctx, const char *path, const struct tensors *t)
{
    (void)t;
    return none(ctx, path);
}

sunup_status sunup__npz_read(sunup_context *ctx, const char *path, struct tensors *t)
{
    *t = (struct tensors){0};
    return none(ctx, path);
}

#endif
