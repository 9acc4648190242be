/* hdf5.c - a data set of numbers in an HDF5 file that lies in memory.
 *
 * The HDF5 library reads the bytes through a driver of ours (hdf5_memory.c) after what it would take on trust has been
 * verified (hdf5_verify.c). It is one per process and not safe for threads, so one lock guards it; its habit of
 * printing errors is off while we are inside, and its innermost reason goes into our sentence. Integers and floats of
 * any size and byte order are converted by HDF5 to this machine's. Of a set of records, one field is read: "set:field".
 */
#include "data/hdf5_verify.h"

#ifdef SUNUP_HAVE_HDF5

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"

/* The lock is the only changeable object of this folder: it guards another library's globals. */
static pthread_mutex_t hdf5_lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- reasons: HDF5 calls note at each failure, instead of printing ---- */

static herr_t innermost(unsigned depth, const H5E_error2_t *e, void *arg)
{
    struct hdf5 *h = arg;
    if (depth == 0 && e->desc != NULL) (void)snprintf(h->why, HDF5_TEXT, "%s", e->desc);
    return 0;
}

static herr_t note(hid_t stack, void *arg)
{
    return H5Ewalk2(stack, H5E_WALK_UPWARD, innermost, arg);
}

sunup_status sunup__hdf5_complain(const struct hdf5 *h, const char *what)
{
    RAISE(h->ctx, E_FORMAT, "%s: %s%s%s: HDF5 says: %s", h->name, h->path != NULL ? h->path : "",
          h->path != NULL ? ": " : "", what, h->why[0] != '\0' ? h->why : "nothing");
}

/* ---- which data set ---- */

static herr_t list_one(hid_t at, const char *name, const H5O_info_t *info, void *arg)
{
    (void)at;
    struct listing *l = arg;
    if (info->type != H5O_TYPE_DATASET) return 0;
    if (l->n++ == 0) (void)snprintf(l->only, HDF5_TEXT, "%s", name);
    if (l->at < HDF5_TEXT) {
        const int more =
            snprintf(l->all + l->at, HDF5_TEXT - l->at, "%s%s", l->at > 0 ? ", " : "", name);
        l->at += more > 0 ? (size_t)more : HDF5_TEXT;
    }
    return 0;
}

/* "set:field", where no set has that name as a whole: h->path and h->field; else member. */
static const char *split(struct hdf5 *h, const char *member)
{
    const char *colon = strrchr(member, ':');
    if (colon == NULL || strlen(member) >= HDF5_TEXT) return member;
    if (H5Oexists_by_name(h->file, member, H5P_DEFAULT) > 0) return member;
    (void)snprintf(h->split, HDF5_TEXT, "%s", member);
    h->split[colon - member] = '\0';
    h->field = h->split + (colon - member) + 1;
    return h->split;
}

static sunup_status choose(struct hdf5 *h, const char *member)
{
    struct listing *l = &h->sets;
    /* Only what kind an object is: counting its metadata goes round for ever in a damaged tree. */
    if (H5Ovisit2(h->file, H5_INDEX_NAME, H5_ITER_INC, list_one, l, H5O_INFO_BASIC) < 0)
        return sunup__hdf5_complain(h, "its groups cannot be listed");
    if (member == NULL) {
        CHECK(l->n == 1, h->ctx, E_ARGUMENT, "%s: holds %d data sets; say which: %s", h->name, l->n,
              l->all);
        h->path = l->only;
        return SUNUP_OK;
    }
    member = split(h, member);
    const htri_t there = H5Oexists_by_name(h->file, member, H5P_DEFAULT);
    CHECK(there > 0, h->ctx, E_ARGUMENT, "%s: holds no data set '%s'; it holds: %s", h->name,
          member, l->all);
    h->path = member;
    return SUNUP_OK;
}

/* ---- what it holds ---- */

/* The element type to read a file type as, and the memory type that asks HDF5 for it; -1 if it is no number. */
static hid_t memory_type(hid_t type, enum element *e)
{
    const H5T_class_t class = H5Tget_class(type);
    const size_t bytes = H5Tget_size(type);
    if (class == H5T_FLOAT) {
        *e = bytes <= 4 ? ELEMENT_F32 : ELEMENT_F64;
        return bytes <= 4 ? H5T_NATIVE_FLOAT : H5T_NATIVE_DOUBLE;
    }
    if (class == H5T_ENUM && bytes <= 4) { /* how h5py stores bool */
        *e = ELEMENT_I32;
        return H5T_NATIVE_INT32;
    }
    if (class != H5T_INTEGER || bytes > 8) return -1;
    const bool has_sign = H5Tget_sign(type) == H5T_SGN_2;
    if (bytes == 1 && !has_sign) {
        *e = ELEMENT_U8;
        return H5T_NATIVE_UINT8;
    }
    if (bytes < 4 || (bytes == 4 && has_sign)) {
        *e = ELEMENT_I32;
        return H5T_NATIVE_INT32;
    }
    *e = has_sign || bytes == 4 ? ELEMENT_I64 : ELEMENT_U64;
    return *e == ELEMENT_I64 ? H5T_NATIVE_INT64 : H5T_NATIVE_UINT64;
}

static sunup_status describe_shape(const struct hdf5 *h, hid_t set, sunup_shape *shape)
{
    const hid_t space = H5Dget_space(set);
    hsize_t d[H5S_MAX_RANK] = {0};
    const int n = space >= 0 ? H5Sget_simple_extent_dims(space, d, NULL) : -1;
    const H5S_class_t class = space >= 0 ? H5Sget_simple_extent_type(space) : H5S_NO_CLASS;
    if (space >= 0) (void)H5Sclose(space);
    if (n < 0) return sunup__hdf5_complain(h, "its shape cannot be read");
    CHECK(class != H5S_NULL, h->ctx, E_FORMAT, "%s: %s: holds nothing", h->name, h->path);
    CHECK(n <= SUNUP_MAX_DIMS, h->ctx, E_UNSUPPORTED, "%s: %s: %d axes; at most %d can be read",
          h->name, h->path, n, SUNUP_MAX_DIMS);
    *shape = (sunup_shape){.n = n};
    for (int i = 0; i < n; i++) shape->d[i] = d[i] <= INT64_MAX ? (int64_t)d[i] : INT64_MAX;
    char text[SHAPE_TEXT];
    CHECK(sunup__shape_ok(shape), h->ctx, E_FORMAT, "%s: %s: the shape %s is not possible", h->name,
          h->path, sunup__shape_text(shape, text));
    return SUNUP_OK;
}

/* The same for one field of records: a record of that field alone, which HDF5 picks by its name. */
static hid_t field_type(hid_t type, const char *field, enum element *e)
{
    const int i = H5Tget_class(type) == H5T_COMPOUND ? H5Tget_member_index(type, field) : -1;
    const hid_t member = i >= 0 ? H5Tget_member_type(type, (unsigned)i) : -1;
    const hid_t number = member >= 0 ? memory_type(member, e) : -1;
    if (member >= 0) (void)H5Tclose(member);
    if (number < 0) return -1;
    const hid_t record = H5Tcreate(H5T_COMPOUND, H5Tget_size(number));
    if (record >= 0) (void)H5Tinsert(record, field, 0, number);
    return record;
}

static sunup_status choose_type(const struct hdf5 *h, hid_t set, enum element *e, hid_t *as)
{
    const hid_t type = H5Dget_type(set);
    *as = type < 0 ? -1 : h->field != NULL ? field_type(type, h->field, e) : memory_type(type, e);
    if (type >= 0) (void)H5Tclose(type);
    CHECK(*as >= 0, h->ctx, E_UNSUPPORTED,
          "%s: %s%s%s: holds no plain numbers (a record, a text or a list?); integers and floats "
          "can be "
          "read, and of records a field, as %s:FIELD",
          h->name, h->path, h->field != NULL ? ":" : "", h->field != NULL ? h->field : "", h->path);
    return SUNUP_OK;
}

static sunup_status read_as(const struct hdf5 *h, hid_t set, hid_t as, struct source *s,
                            struct array *a)
{
    TRY(describe_shape(h, set, &s->shape));
    TRY(sunup__hdf5_verify(h, set, &s->shape));
    const int64_t bytes = sunup__elements(&s->shape) * sunup__element_bytes(s->element);
    TRY(sunup__room_for(h->ctx, h->name, bytes));
    void *numbers = sunup__alloc((size_t)bytes);
    CHECK(numbers != NULL, h->ctx, E_MEMORY, "%s: %s: no memory for %.1f MB", h->name, h->path,
          1e-6 * (double)bytes);
    if (bytes > 0 && H5Dread(set, as, H5S_ALL, H5S_ALL, H5P_DEFAULT, numbers) < 0) {
        sunup__free(numbers);
        return sunup__hdf5_complain(h, "its numbers cannot be read");
    }
    s->bytes = numbers;
    return sunup__array_adopt(h->ctx, s, &numbers, a);
}

static sunup_status read_numbers(const struct hdf5 *h, hid_t set, struct array *a)
{
    struct source s = {.name = h->name, .big_endian = sunup__big_endian()};
    hid_t as;
    TRY(choose_type(h, set, &s.element, &as));
    const sunup_status status = read_as(h, set, as, &s, a);
    if (h->field != NULL) (void)H5Tclose(as);
    return status;
}

/* ---- opening and closing ---- */

static sunup_status read_open(struct hdf5 *h, const char *member, struct array *a)
{
    TRY(choose(h, member));
    const hid_t set = H5Dopen2(h->file, h->path, H5P_DEFAULT);
    if (set < 0) return sunup__hdf5_complain(h, "cannot be opened as a data set");
    const sunup_status status = read_numbers(h, set, a);
    (void)H5Dclose(set);
    return status;
}

static sunup_status read_quietly(struct hdf5 *h, const char *member, struct array *a)
{
    H5E_auto2_t print = NULL;
    void *print_arg = NULL;
    (void)H5Eget_auto2(H5E_DEFAULT, &print, &print_arg);
    (void)H5Eset_auto2(H5E_DEFAULT, note, h);
    sunup_status status;
    h->file = sunup__hdf5_open(h);
    if (h->file < 0) {
        status = sunup__hdf5_complain(h, "cannot be opened");
    } else {
        status = read_open(h, member, a);
        (void)H5Fclose(h->file);
    }
    (void)H5Eset_auto2(H5E_DEFAULT, print, print_arg);
    return status;
}

sunup_status sunup__read_hdf5(sunup_context *ctx, const void *data, size_t bytes, const char *name,
                              const char *member, struct array *a)
{
    struct hdf5 h = {.ctx = ctx, .name = name, .data = data, .bytes = bytes, .file = -1};
    *a = (struct array){0};
    TRY(sunup__hdf5_verify_superblock(&h));
    (void)pthread_mutex_lock(&hdf5_lock);
    const sunup_status status = read_quietly(&h, member, a);
    (void)pthread_mutex_unlock(&hdf5_lock);
    return status;
}

#else

sunup_status sunup__read_hdf5(sunup_context *ctx, const void *data, size_t bytes, const char *name,
                              const char *member, struct array *a)
{
    (void)data;
    (void)bytes;
    (void)member;
    *a = (struct array){0};
    RAISE(ctx, E_UNSUPPORTED,
          "%s: this build lacks HDF5; build sunup with libhdf5, or convert the file to npz", name);
}

#endif
