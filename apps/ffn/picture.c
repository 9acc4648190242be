/* picture.c - a slice: grey, bodies, published objects, own objects; each label has a colour of
 * its own. */
#include <stdlib.h>

#include "ffn.h"

enum { PANELS = 4, GAP = 4 };

/* A fixed colour of middle brightness; 0 is black. */
static void colour(int32_t label, uint8_t rgb[3])
{
    uint32_t h = (uint32_t)label * 2654435761U;
    h ^= h >> 15;
    h *= 2246822519U;
    h ^= h >> 13;
    for (int i = 0; i < 3; i++)
        rgb[i] = label == 0 ? 0 : (uint8_t)(56 + (h >> (8 * i) & 255) * 199 / 255);
}

static void panel(const struct volume *v, int64_t z, const int32_t *labels, int64_t width,
                  uint8_t *rgb)
{
    for (int64_t y = 0; y < v->size[1]; y++)
        for (int64_t x = 0; x < v->size[2]; x++) {
            const int64_t i = (z * v->size[1] + y) * v->size[2] + x;
            uint8_t *p = rgb + 3 * (y * width + x);
            if (labels != NULL)
                colour(labels[i], p);
            else
                p[0] = p[1] = p[2] = v->gray[i];
        }
}

static int64_t fullest_slice(const struct volume *v, const int32_t *own)
{
    const int64_t n = v->size[1] * v->size[2];
    int64_t best = v->size[0] / 2, most = 0;
    for (int64_t z = 0; z < v->size[0]; z++) {
        int64_t count = 0;
        for (int64_t i = z * n; i < (z + 1) * n; i++) count += own[i] > 0;
        if (count <= most) continue;
        most = count;
        best = z;
    }
    return best;
}

sunup_status ffn_picture(const struct app_run *r, const struct volume *v, const int32_t *published,
                         const int32_t *own)
{
    const int64_t z = fullest_slice(v, own), height = v->size[1], step = v->size[2] + GAP,
                  width = PANELS * step - GAP;
    uint8_t *rgb = malloc((size_t)(3 * height * width));
    if (rgb == NULL) return app_error(r->ctx, SUNUP_E_MEMORY, "no memory for a picture");
    for (int64_t i = 0; i < 3 * height * width; i++) rgb[i] = 255;
    const int32_t *labels[PANELS] = {NULL, v->body, published, own};
    for (int i = 0; i < PANELS; i++) panel(v, z, labels[i], width, rgb + 3 * i * step);
    const sunup_status status = app_png(r, "segmentation.png", height, width, rgb);
    free(rgb);
    return status;
}
