/* hdf5_memory.c - a driver for the HDF5 library that reads a file from the caller's memory.
 *
 * HDF5's own driver for files in memory copies them, makes up zeros behind their end, and keeps a cache of metadata
 * that a damaged file can bring to a crash (1.10.8). This one does none of that: it copies what lies inside the file
 * and refuses the rest. Source: "HDF5 Virtual File Layer", The HDF Group.
 */
#include "data/hdf5_verify.h"

#ifdef SUNUP_HAVE_HDF5

#include <string.h>
#if H5_VERSION_GE(1, 13, 0)
#include <H5FDdevelop.h> /* where the table of a driver moved */
#endif

#include "base/memory.h"

/* What an open call is given through its access list. */
struct image {
    const unsigned char *data;
    size_t bytes;
};

struct memory_file {
    H5FD_t hdf5; /* first: HDF5 sees this part */
    struct image image;
    haddr_t allocated; /* HDF5's idea of the end */
};

static H5FD_t *memory_open(const char *name, unsigned flags, hid_t access, haddr_t most)
{
    (void)name;
    (void)most;
    const struct image *image = H5Pget_driver_info(access);
    if (image == NULL || (flags & H5F_ACC_RDWR) != 0) return NULL;
    struct memory_file *f = sunup__alloc(sizeof *f);
    if (f == NULL) return NULL;
    f->image = *image;
    return &f->hdf5;
}

static herr_t memory_close(H5FD_t *file)
{
    sunup__free(file);
    return 0;
}

static herr_t memory_query(const H5FD_t *file, unsigned long *features)
{
    (void)file;
    *features = 0; /* above all no cache of metadata */
    return 0;
}

static haddr_t memory_get_eoa(const H5FD_t *file, H5FD_mem_t type)
{
    (void)type;
    return ((const struct memory_file *)file)->allocated;
}

static herr_t memory_set_eoa(H5FD_t *file, H5FD_mem_t type, haddr_t address)
{
    (void)type;
    ((struct memory_file *)file)->allocated = address;
    return 0;
}

static haddr_t memory_get_eof(const H5FD_t *file, H5FD_mem_t type)
{
    (void)type;
    return ((const struct memory_file *)file)->image.bytes;
}

static herr_t memory_read(H5FD_t *file, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t n,
                          void *to)
{
    (void)type;
    (void)transfer;
    const struct image *image = &((const struct memory_file *)file)->image;
    if (at > image->bytes || n > image->bytes - at) {
        (void)H5Epush2(H5E_DEFAULT, __FILE__, __func__, __LINE__, H5E_ERR_CLS, H5E_IO,
                       H5E_READERROR, "%llu bytes at byte %llu lie outside the file",
                       (unsigned long long)n, (unsigned long long)at);
        return -1;
    }
    memcpy(to, image->data + at, n);
    return 0;
}

static herr_t memory_write(H5FD_t *file, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t n,
                           const void *from)
{
    (void)file;
    (void)type;
    (void)transfer;
    (void)at;
    (void)n;
    (void)from;
    return -1; /* opened for reading only; HDF5 demands the entry */
}

static const H5FD_class_t memory_driver = {
#ifdef H5FD_CLASS_VERSION /* from 1.13 on */
    .version = H5FD_CLASS_VERSION,
    .value = (H5FD_class_value_t)600, /* outside those reserved for The HDF Group's */
#endif
    .name = "sunup_memory",
    .maxaddr = HADDR_MAX,
    .fc_degree = H5F_CLOSE_STRONG,
    .fapl_size = sizeof(struct image),
    .open = memory_open,
    .close = memory_close,
    .query = memory_query,
    .get_eoa = memory_get_eoa,
    .set_eoa = memory_set_eoa,
    .get_eof = memory_get_eof,
    .read = memory_read,
    .write = memory_write,
    .fl_map = H5FD_FLMAP_SINGLE,
};

hid_t sunup__hdf5_open(const struct hdf5 *h)
{
    const struct image image = {h->data, h->bytes};
    const hid_t driver = H5FDregister(&memory_driver);
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    hid_t file = -1;
    if (driver >= 0 && access >= 0 && H5Pset_driver(access, driver, &image) >= 0 &&
        H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) >= 0)
        file = H5Fopen(h->name, H5F_ACC_RDONLY, access);
    if (access >= 0) (void)H5Pclose(access);
    if (driver >= 0) (void)H5FDunregister(driver); /* an open file keeps it */
    return file;
}

#endif
