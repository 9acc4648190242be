/* flood.c - an object grown from a seed by a window that moves to where the network sees more of
 * it.
 *
 * The canvas holds logits of "belongs to the object", unknown outside what was visited. After each
 * evaluation the best voxel of each of the six faces at +-8 is queued, best first, if it reaches
 * the move threshold; each cell of a grid of 8 round the seed is visited once. Where a window
 * shows the object, what was below one half stays at most what it was: two objects that were once
 * seen apart are not joined later. Voxels with an owner keep it. Invariant: only the box that was
 * visited differs from unknown, so clearing costs what growing did. Source: Januszewski et al.,
 * Nature Methods 15, 605 (2018), with the settings published for FIB-25.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ffn.h"

enum { HALF = FFN_WINDOW / 2, DELTA = 8, FACES = 6, FEWEST = 1000, APART = 1 };

struct move {
    float score;
    int64_t at[3];
};

struct flood {
    sunup_context *ctx;
    const struct volume *v;
    struct net *net;
    float *canvas; /* [voxels], NaN: not visited */
    float move_threshold, object_threshold, start, elsewhere;
    int64_t cells[3]; /* of the grid, with the seed's cell in the middle */
    uint8_t *visited; /* [cells] */
    struct move *queue;
    int64_t head, tail;
    int64_t low[3], high[3]; /* visited windows, inclusive */
};

static float logit(double p)
{
    return (float)log(p / (1 - p));
}

static int64_t voxel(const struct flood *f, const int64_t at[3])
{
    return (at[0] * f->v->size[1] + at[1]) * f->v->size[2] + at[2];
}

static int64_t cell(const struct flood *f, const int64_t seed[3], const int64_t at[3])
{
    int64_t c[3];
    for (int i = 0; i < 3; i++) {
        const int64_t shifted = at[i] - seed[i] + DELTA / 2 + f->cells[i] / 2 * DELTA;
        c[i] = shifted / DELTA; /* not negative, so this rounds down */
    }
    return (c[0] * f->cells[1] + c[1]) * f->cells[2] + c[2];
}

void ffn_flood_destroy(struct flood **flood)
{
    if (*flood == NULL) return;
    free((*flood)->canvas);
    free((*flood)->visited);
    free((*flood)->queue);
    free(*flood);
    *flood = NULL;
}

static int64_t grid_size(const struct flood *f)
{
    return f->cells[0] * f->cells[1] * f->cells[2];
}

static bool reserve(struct flood *f)
{
    for (int i = 0; i < 3; i++) f->cells[i] = 2 * (f->v->size[i] / DELTA + 2);
    /* Each visited cell queues at most one move a face. */
    f->canvas = malloc((size_t)f->v->voxels * sizeof *f->canvas);
    f->visited = malloc((size_t)grid_size(f));
    f->queue = malloc((size_t)(FACES * grid_size(f) + 1) * sizeof *f->queue);
    if (f->canvas == NULL || f->visited == NULL || f->queue == NULL) return false;
    for (int64_t i = 0; i < f->v->voxels; i++) f->canvas[i] = NAN;
    return true;
}

sunup_status ffn_flood_create(sunup_context *ctx, const struct volume *v, struct net *net,
                              struct flood **flood)
{
    struct flood *f = *flood = calloc(1, sizeof *f);
    if (f != NULL) {
        *f = (struct flood){.ctx = ctx,
                            .v = v,
                            .net = net,
                            .move_threshold = logit(0.9),
                            .object_threshold = logit(0.6),
                            .start = logit(0.95),
                            .elsewhere = logit(0.05)};
        if (reserve(f)) return SUNUP_OK;
    }
    ffn_flood_destroy(flood);
    return app_error(ctx, SUNUP_E_MEMORY, "no memory to fill a volume of %lld voxels",
                     (long long)v->voxels);
}

/* ---- one window ---- */

static void load(const struct flood *f, const int64_t at[3])
{
    float *x = f->net->x;
    for (int64_t z = -HALF; z <= HALF; z++)
        for (int64_t y = -HALF; y <= HALF; y++) {
            const int64_t from = voxel(f, (int64_t[]){at[0] + z, at[1] + y, at[2] - HALF});
            for (int64_t i = from; i < from + FFN_WINDOW; i++) {
                *x++ = ffn_image(f->v->gray[i]);
                *x++ = isnan(f->canvas[i]) ? f->elsewhere : f->canvas[i];
            }
        }
}

static bool shows_object(const struct flood *f)
{
    for (int i = 0; i < FFN_CUBE; i++)
        if (f->net->y[i] >= f->move_threshold) return true;
    return false;
}

/* Onto the canvas, and back into y what the canvas kept. */
static void paste(struct flood *f, const int64_t at[3])
{
    const bool keep = shows_object(f);
    float *p = f->net->y;
    for (int64_t z = -HALF; z <= HALF; z++)
        for (int64_t y = -HALF; y <= HALF; y++) {
            float *old = f->canvas + voxel(f, (int64_t[]){at[0] + z, at[1] + y, at[2] - HALF});
            for (int64_t i = 0; i < FFN_WINDOW; i++, p++) {
                if (keep && old[i] < 0 && *p > old[i]) *p = old[i];
                old[i] = *p;
            }
        }
    for (int i = 0; i < 3; i++) {
        if (at[i] - HALF < f->low[i]) f->low[i] = at[i] - HALF;
        if (at[i] + HALF > f->high[i]) f->high[i] = at[i] + HALF;
    }
}

/* The first of the largest logits on the face `side` of axis; offsets from the window's centre. */
static struct move best_of_face(const float *y, int axis, int64_t side)
{
    struct move best = {.score = -INFINITY};
    const int a = axis == 0 ? 1 : 0, b = axis == 2 ? 1 : 2;
    for (int64_t i = -DELTA; i <= DELTA; i++)
        for (int64_t k = -DELTA; k <= DELTA; k++) {
            int64_t o[3];
            o[axis] = side;
            o[a] = i;
            o[b] = k;
            const int64_t w = FFN_WINDOW;
            const float score = y[((o[0] + HALF) * w + o[1] + HALF) * w + o[2] + HALF];
            if (score <= best.score) continue;
            best.score = score;
            memcpy(best.at, o, sizeof o);
        }
    return best;
}

/* Descending score, then descending offset. */
static int best_first(const void *a, const void *b)
{
    const struct move *x = a, *y = b;
    if (x->score != y->score) return x->score < y->score ? 1 : -1;
    for (int i = 0; i < 3; i++)
        if (x->at[i] != y->at[i]) return x->at[i] < y->at[i] ? 1 : -1;
    return 0;
}

static void queue_moves(struct flood *f, const int64_t at[3])
{
    struct move faces[FACES];
    int n = 0;
    for (int axis = 0; axis < 3; axis++)
        for (int64_t side = -DELTA; side <= DELTA; side += 2 * DELTA) {
            faces[n] = best_of_face(f->net->y, axis, side);
            n += faces[n].score >= f->move_threshold;
        }
    qsort(faces, (size_t)n, sizeof faces[0], best_first);
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < 3; k++) faces[i].at[k] += at[k];
        f->queue[f->tail++] = faces[i];
    }
}

/* ---- an object ---- */

static bool inside(const struct flood *f, const int64_t at[3])
{
    for (int i = 0; i < 3; i++)
        if (at[i] < HALF || at[i] + HALF >= f->v->size[i]) return false;
    return true;
}

bool ffn_flood_may_start(const struct flood *f, const int64_t seed[3], const int32_t *owner)
{
    if (!inside(f, seed)) return false;
    for (int64_t z = -APART; z <= APART; z++)
        for (int64_t y = -APART; y <= APART; y++)
            for (int64_t x = -APART; x <= APART; x++) {
                const int64_t at[3] = {seed[0] + z, seed[1] + y, seed[2] + x};
                if (owner[voxel(f, at)] > 0) return false;
            }
    return true;
}

static bool may_move(const struct flood *f, const int64_t seed[3], const int64_t at[3],
                     const int32_t *owner)
{
    return inside(f, at) && !f->visited[cell(f, seed, at)] &&
           f->canvas[voxel(f, at)] >= f->move_threshold && owner[voxel(f, at)] <= 0;
}

static sunup_status fill(struct flood *f, const int64_t seed[3], const int32_t *owner,
                         struct grown *grown)
{
    while (f->head < f->tail) {
        const struct move *next = &f->queue[f->head++];
        if (!may_move(f, seed, next->at, owner)) continue;
        if (f->canvas[voxel(f, seed)] < f->move_threshold) break; /* the network gave it up */
        load(f, next->at);
        const sunup_status status = ffn_net_run(f->net);
        if (status != SUNUP_OK) return status;
        paste(f, next->at);
        f->visited[cell(f, seed, next->at)] = 1;
        queue_moves(f, next->at);
        grown->evaluations++;
    }
    return SUNUP_OK;
}

/* Free voxels of the object in the visited box; given to id if it is not 0. */
static int64_t give(const struct flood *f, int32_t id, int32_t *owner)
{
    int64_t n = 0;
    for (int64_t z = f->low[0]; z <= f->high[0]; z++)
        for (int64_t y = f->low[1]; y <= f->high[1]; y++)
            for (int64_t x = f->low[2]; x <= f->high[2]; x++) {
                const int64_t i = voxel(f, (int64_t[]){z, y, x});
                if (!(f->canvas[i] >= f->object_threshold) || owner[i] > 0) continue;
                if (id != 0) owner[i] = id;
                n++;
            }
    return n;
}

static void clear(struct flood *f)
{
    for (int64_t z = f->low[0]; z <= f->high[0]; z++)
        for (int64_t y = f->low[1]; y <= f->high[1]; y++)
            for (int64_t x = f->low[2]; x <= f->high[2]; x++)
                f->canvas[voxel(f, (int64_t[]){z, y, x})] = NAN;
}

sunup_status ffn_flood_grow(struct flood *f, const int64_t seed[3], int32_t id, int32_t *owner,
                            struct grown *grown)
{
    *grown = (struct grown){0};
    if (!inside(f, seed))
        return app_error(
            f->ctx, SUNUP_E_ARGUMENT,
            "no object can start at %lld %lld %lld: the window of %d does not fit there",
            (long long)seed[0], (long long)seed[1], (long long)seed[2], FFN_WINDOW);
    memset(f->visited, 0, (size_t)grid_size(f));
    f->head = f->tail = 0;
    memcpy(f->low, seed, sizeof f->low);
    memcpy(f->high, seed, sizeof f->high);
    f->canvas[voxel(f, seed)] = f->start;
    f->queue[f->tail++] = (struct move){f->start, {seed[0], seed[1], seed[2]}};
    const sunup_status status = fill(f, seed, owner, grown);
    const bool weak = f->canvas[voxel(f, seed)] < f->move_threshold;
    if (status == SUNUP_OK && !weak) {
        grown->voxels = give(f, 0, owner);
        grown->kept = grown->voxels >= FEWEST;
        if (grown->kept) (void)give(f, id, owner);
    }
    clear(f);
    return status;
}
