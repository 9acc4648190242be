/* ffn.h - what the files of this workload share: a volume, the network, and the flood filling of
 * one object.
 *
 * Axes are z, y, x everywhere; a voxel's index is (z * size[1] + y) * size[2] + x.
 */
#ifndef FFN_H
#define FFN_H

#include "app.h"

double ffn_now_s(void); /* a clock in seconds */

/* ---- volume.c ---- */

struct volume {
    int64_t size[3], voxels;
    uint8_t *gray;
    int32_t *body; /* 0: none */
};
sunup_status ffn_volume_read(sunup_context *ctx, struct volume *v);
void ffn_volume_end(struct volume *v);
/* What the network sees of a grey value. */
static inline float ffn_image(uint8_t gray)
{
    return ((float)gray - 128) / 33;
}
/* A label image as i32; its voxels must be those of v. */
sunup_status ffn_labels_read(sunup_context *ctx, const struct volume *v, const char *file,
                             const char *member, int32_t **labels);

/* ---- net.c: the published network and its plan ---- */

enum { FFN_WINDOW = 33, FFN_CUBE = FFN_WINDOW * FFN_WINDOW * FFN_WINDOW };

sunup_status ffn_build(sunup_graph *g, void *arg);

struct net {
    sunup_graph *graph;
    sunup_plan *plan;
    float *x, *y;   /* bound: [33][33][33][image, seed logit]; [33][33][33] logits */
    double seconds; /* in runs */
    int64_t runs;
};
/* A published weight into a model's tensor of that name. */
sunup_status ffn_take_weight(sunup_context *ctx, const sunup_tensor *to);
/* With the published weights. */
sunup_status ffn_net_create(sunup_context *ctx, struct net *net);
void ffn_net_destroy(struct net *net);
sunup_status ffn_net_run(struct net *net);

/* ---- flood.c: an object grown from a seed ---- */

struct flood; /* canvas of logits, queue of positions */
sunup_status ffn_flood_create(sunup_context *ctx, const struct volume *v, struct net *net,
                              struct flood **flood);
void ffn_flood_destroy(struct flood **flood);
/* owner: [voxels], 0 where free. The voxels of the new object that are free get `id`, unless they
 * are too few: then *voxels is their number, and none is given. */
struct grown {
    int64_t evaluations, voxels;
    bool kept;
};
sunup_status ffn_flood_grow(struct flood *f, const int64_t seed[3], int32_t id, int32_t *owner,
                            struct grown *grown);
/* Whether an object may start here at all: image all round, and no neighbour. */
bool ffn_flood_may_start(const struct flood *f, const int64_t seed[3], const int32_t *owner);

/* ---- seeds.c ---- */

/* Places far from edges, in raster order: seeds [n][3], freed by free. */
sunup_status ffn_seeds(sunup_context *ctx, const struct volume *v, int64_t (**seeds)[3],
                       int64_t *n);

/* ---- measures.c ---- */

/* Of segments against bodies, over voxels whose body is not 0; covered: only where the segment is
 * not 0 either. */
struct agreement {
    double rand_error;   /* adapted: 1 - F score of pairs of voxels */
    double split, merge; /* variation of information, bits: H(segment | body), H(body | segment) */
    int64_t voxels;
};
sunup_status ffn_compare(sunup_context *ctx, int64_t n, const int32_t *segment, const int32_t *body,
                         bool covered, struct agreement *a);

/* ---- tasks.c ---- */

sunup_status ffn_task(struct app_run *r, const char *word);

/* ---- picture.c ---- */

/* Grey, bodies, published objects, own ones, side by side, in the slice of which most is grown. */
sunup_status ffn_picture(const struct app_run *r, const struct volume *v, const int32_t *published,
                         const int32_t *own);

/* ---- ffn.c ---- */

sunup_status ffn_score(struct app_run *r);

/* ---- examples.c ---- */

sunup_status ffn_open(struct app_data *d, sunup_data **data);

struct ffn_tally {                        /* of voxels */
    double right, both, either, yes, all; /* yes: inside in truth */
};
void ffn_count(struct ffn_tally *t, bool guess, bool truth);
/* The network of r over all windows of an example that it moves to; cube: that field of the
 * evaluation's data. All voxels of the example are counted. */
sunup_status ffn_walk(const struct app_run *r, const struct volume *v, int64_t window,
                      const int32_t cube[3], struct ffn_tally *t);

#endif
