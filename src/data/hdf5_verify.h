/* hdf5_verify.h - what hdf5.c, hdf5_memory.c and hdf5_verify.c share. */
#ifndef SUNUP_DATA_HDF5_VERIFY_H
#define SUNUP_DATA_HDF5_VERIFY_H

#include "data/array.h"

#ifdef SUNUP_HAVE_HDF5

#define H5_USE_110_API /* the same calls with any library from 1.10 on */
#include <hdf5.h>

enum { HDF5_TEXT = 256 };

/* The data sets of a file: how many, the first, as many names as fit. */
struct listing {
    int n;
    size_t at;
    char only[HDF5_TEXT], all[HDF5_TEXT];
};

struct hdf5 {
    sunup_context *ctx;
    const char *name;
    const void *data; /* the file */
    size_t bytes;
    hid_t file;
    const char *path, *field; /* of the data set; of its records, NULL: it holds plain numbers */
    char split[HDF5_TEXT];    /* "path\0field" of a member "path:field" */
    struct listing sets;
    char why[HDF5_TEXT]; /* innermost reason of HDF5's last failure */
};

/* RAISE E_FORMAT, with HDF5's own reason at the end. */
sunup_status sunup__hdf5_complain(const struct hdf5 *h, const char *what);
/* The file in h->data opened for reading, negative if it cannot be. */
hid_t sunup__hdf5_open(const struct hdf5 *h);
/* SUNUP_OK if the file is as long as it says. */
sunup_status sunup__hdf5_verify_superblock(const struct hdf5 *h);
/* SUNUP_OK if the bytes stored for the data set are exactly those that the shape needs. */
sunup_status sunup__hdf5_verify(const struct hdf5 *h, hid_t set, const sunup_shape *shape);

#endif
#endif
