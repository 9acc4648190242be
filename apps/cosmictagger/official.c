/* official.c - the 5 events that come with the benchmark: official SBND simulation in larcv3's form, lists of hits with
 * their labels. They are looked at, never trained on. */
#include <stdlib.h>

#include "lartpc.h"

#define FILE_NAME    "cosmictagger/cosmic_tagging_light.h5"
#define WIRES_GROUP  "Data/sparse2d_sbndwire_group/"
#define LABELS_GROUP "Data/sparse2d_sbnd_cosmicseg_group/"

struct official {
    int64_t planes, hits; /* planes: of all events, event * PLANES + plane */
    int64_t *first;       /* [planes + 1] */
    int32_t *id;
    float *charge;
    uint8_t *label;
};

static sunup_status complain(sunup_context *ctx, const char *what)
{
    return app_error(ctx, SUNUP_E_FORMAT,
                     "%s: %s; it is not the file that apps/cosmictagger/README.md names", FILE_NAME,
                     what);
}

void official_end(struct official *o)
{
    if (o == NULL) return;
    free(o->first);
    free(o->id);
    free(o->charge);
    free(o->label);
    free(o);
}

int64_t official_events(const struct official *o)
{
    return o->planes / PLANES;
}

void official_hits(const struct official *o, int64_t event, int plane, struct hits *h)
{
    const int64_t p = event * PLANES + plane, first = o->first[p];
    *h = (struct hits){o->first[p + 1] - first, o->id + first, o->charge + first, o->label + first};
}

/* The columns of the file as f32: ids are below 2^24. */
enum { EXTENT, ID, CHARGE, LABEL_ID, LABEL, COLUMNS };
static const char *const columns[COLUMNS] = {WIRES_GROUP "voxel_extents:N", WIRES_GROUP "voxels:id",
                                             WIRES_GROUP "voxels:value", LABELS_GROUP "voxels:id",
                                             LABELS_GROUP "voxels:value"};

static sunup_status take(sunup_context *ctx, struct official *o, const sunup_tensor *t)
{
    const float *n = t[EXTENT].data, *id = t[ID].data, *charge = t[CHARGE].data,
                *label = t[LABEL].data;
    o->planes = t[EXTENT].shape.d[0];
    o->hits = t[ID].shape.d[0];
    for (int c = ID; c < COLUMNS; c++)
        if (t[c].shape.d[0] != o->hits) return complain(ctx, "hits and labels differ in number");
    o->first = calloc((size_t)o->planes + 1, sizeof *o->first);
    o->id = malloc((size_t)o->hits * sizeof *o->id);
    o->charge = malloc((size_t)o->hits * sizeof *o->charge);
    o->label = malloc((size_t)o->hits);
    if (o->first == NULL || o->id == NULL || o->charge == NULL || o->label == NULL)
        return app_error(ctx, SUNUP_E_MEMORY, "no memory for %lld hits", (long long)o->hits);
    for (int64_t p = 0; p < o->planes; p++) o->first[p + 1] = o->first[p] + (int64_t)n[p];
    if (o->planes % PLANES != 0 || o->first[o->planes] != o->hits)
        return complain(ctx, "its planes do not add up");
    for (int64_t i = 0; i < o->hits; i++) {
        if (!(id[i] >= 0 && id[i] < WIRES * TICKS) ||
            id[i] != ((const float *)t[LABEL_ID].data)[i] ||
            !(label[i] >= 0 && label[i] < CLASSES) || !(charge[i] >= 0))
            return complain(ctx, "a hit has an impossible pixel, charge or label");
        o->id[i] = (int32_t)id[i];
        o->charge[i] = charge[i];
        o->label[i] = (uint8_t)label[i];
    }
    return SUNUP_OK;
}

sunup_status official_open(sunup_context *ctx, struct official **out)
{
    sunup_tensor t[COLUMNS] = {{0}};
    sunup_status status = SUNUP_OK;
    struct official *o = calloc(1, sizeof *o);
    if (o == NULL) return app_error(ctx, SUNUP_E_MEMORY, "no memory for events");
    for (int c = 0; c < COLUMNS && status == SUNUP_OK; c++)
        status = app_read_f32(ctx, FILE_NAME, columns[c], &t[c]);
    if (status == SUNUP_OK) status = take(ctx, o, t);
    for (int c = 0; c < COLUMNS; c++) sunup_free(t[c].data);
    *out = o;
    if (status != SUNUP_OK) {
        official_end(o);
        *out = NULL;
    }
    return status;
}
