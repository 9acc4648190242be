/* tasks.c - inference with the published weights.
 *
 *   parity         six objects, regrown beside the published ones that came before them: with
 * exact products all
 *                  voxels and the number of evaluations must be the published ones
 *   parity:M       all objects so, few evaluations first, for about M minutes; goes on where it
 * was stopped
 *   segment:M      the whole volume from the published seeding, likewise
 *   published      the scores of training, of the published weights (with --full)
 *
 * An object of a parity task sees the published objects before it as taken, so objects do not
 * depend on each other.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "progress.h"

struct work {
    struct app_run *r;
    struct volume v;
    struct net net;
    struct flood *flood;
    struct progress p;
    int32_t *published, *owner;      /* [voxels] */
    sunup_tensor seeds, evaluations; /* published: [objects][3], [objects] */
    int64_t objects;
    double until_s;
};

static const int64_t few[] = {2, 3, 10, 57, 105, 150};
enum { FEW = sizeof few / sizeof few[0] };

#define PUBLISHED "fib25/ffn_published_segmentation.npz"

static void end(struct work *w)
{
    ffn_progress_end(&w->p);
    ffn_flood_destroy(&w->flood);
    ffn_net_destroy(&w->net);
    sunup_free(w->published);
    sunup_free(w->seeds.data);
    sunup_free(w->evaluations.data);
    free(w->owner);
    ffn_volume_end(&w->v);
}

static sunup_status read_published(struct work *w)
{
    sunup_context *ctx = w->r->ctx;
    sunup_status status = ffn_labels_read(ctx, &w->v, PUBLISHED, "segment", &w->published);
    if (status == SUNUP_OK) status = app_read(ctx, PUBLISHED, "seed_zyx", &w->seeds);
    if (status == SUNUP_OK) status = app_read(ctx, PUBLISHED, "iterations", &w->evaluations);
    if (status != SUNUP_OK) return status;
    w->objects = w->evaluations.shape.d[0];
    if (w->seeds.dtype != SUNUP_I32 || w->evaluations.dtype != SUNUP_I32 ||
        w->objects >= FFN_OBJECTS || w->seeds.shape.d[0] != w->objects)
        return app_error(ctx, SUNUP_E_FORMAT, "%s: seeds and iterations do not fit together",
                         PUBLISHED);
    return SUNUP_OK;
}

static sunup_status start(struct work *w, const char *file)
{
    sunup_context *ctx = w->r->ctx;
    sunup_status status = ffn_volume_read(ctx, &w->v);
    if (status == SUNUP_OK) status = read_published(w);
    if (status == SUNUP_OK) status = ffn_progress_open(w->r, file, w->v.voxels, &w->p);
    w->owner = malloc((size_t)w->v.voxels * sizeof *w->owner);
    if (status == SUNUP_OK && w->owner == NULL)
        status = app_error(ctx, SUNUP_E_MEMORY, "no memory for a segmentation");
    return status;
}

static sunup_status make_net(struct work *w)
{
    ffn_flood_destroy(&w->flood);
    ffn_net_destroy(&w->net);
    const sunup_status status = ffn_net_create(w->r->ctx, &w->net);
    return status == SUNUP_OK ? ffn_flood_create(w->r->ctx, &w->v, &w->net, &w->flood) : status;
}

static int64_t published_evaluations(const struct work *w, int64_t object)
{
    return ((const int32_t *)w->evaluations.data)[object - 1];
}

/* ---- parity ---- */

static sunup_status regrow(struct work *w, int64_t object, struct object *result)
{
    const int32_t id = (int32_t)object, *zyx = (const int32_t *)w->seeds.data + 3 * (object - 1);
    for (int64_t i = 0; i < w->v.voxels; i++)
        w->owner[i] = w->published[i] < id ? w->published[i] : 0;
    struct grown g;
    const sunup_status status =
        ffn_flood_grow(w->flood, (int64_t[]){zyx[0], zyx[1], zyx[2]}, id, w->owner, &g);
    if (status != SUNUP_OK) return status;
    *result = (struct object){.evaluations = g.evaluations, .voxels = g.voxels};
    for (int64_t i = 0; i < w->v.voxels; i++) {
        result->differing += (w->owner[i] == id) != (w->published[i] == id);
        if (w->owner[i] == id) w->p.own[i] = id;
    }
    return SUNUP_OK;
}

static bool equal(const struct work *w, int64_t object, const struct object *o)
{
    return o->evaluations == published_evaluations(w, object) && o->differing == 0;
}

static void report_speed(struct work *w, const char *numerics)
{
    char what[64];
    const sunup_plan_info info = sunup_plan_describe(w->net.plan);
    const double each_s = w->net.seconds / (double)w->net.runs;
    (void)snprintf(what, sizeof what, "ms per evaluation, %s", numerics);
    app_score(w->r, what, 1e3 * each_s, APP_REPORT, 0, NULL);
    (void)snprintf(what, sizeof what, "GFLOP/s, %s", numerics);
    app_score(w->r, what, 1e-9 * info.flops / each_s, APP_REPORT, 0,
              "products as they are written");
}

static sunup_status parity_few(struct work *w, sunup_numerics numerics, enum app_goal goal)
{
    sunup_context_set_numerics(w->r->ctx, numerics);
    sunup_status status = make_net(w);
    const char *name = sunup_numerics_name(sunup_context_numerics(w->r->ctx));
    int right = 0;
    for (int i = 0; i < FEW && status == SUNUP_OK; i++) {
        struct object o = {0};
        status = regrow(w, few[i], &o);
        const bool same = equal(w, few[i], &o);
        right += same;
        (void)printf(
            "  %s: object %3lld: %lld evaluations (published %lld), %lld voxels, %lld differ\n",
            name, (long long)few[i], (long long)o.evaluations,
            (long long)published_evaluations(w, few[i]), (long long)o.voxels,
            (long long)o.differing);
    }
    if (status != SUNUP_OK) return status;
    char what[64];
    (void)snprintf(what, sizeof what, "objects equal, %s", name);
    app_score(w->r, what, right, goal, FEW, "2, 3, 10, 57, 105, 150: voxels and evaluations");
    report_speed(w, name);
    return SUNUP_OK;
}

/* Agreement with the bodies, with the published objects beside it on the same voxels: of those
 * that were grown. */
static sunup_status report_agreement(struct work *w, bool whole)
{
    struct agreement own = {0}, theirs = {0};
    sunup_context *ctx = w->r->ctx;
    for (int64_t i = 0; i < w->v.voxels; i++) w->owner[i] = w->p.own[i] > 0 ? w->published[i] : 0;
    sunup_status status = ffn_compare(ctx, w->v.voxels, w->p.own, w->v.body, true, &own);
    if (status == SUNUP_OK)
        status = ffn_compare(ctx, w->v.voxels, w->owner, w->v.body, true, &theirs);
    if (status != SUNUP_OK) return status;
    app_score(w->r, "adapted Rand error", own.rand_error, whole ? APP_AT_MOST : APP_REPORT, 0.06,
              whole ? "covered voxels" : "covered voxels; not all objects are grown");
    app_beside(w->r, "adapted Rand error", "published objects, same voxels", theirs.rand_error);
    app_score(w->r, "information split", own.split, APP_REPORT, 0, "bits");
    app_beside(w->r, "information split", "published objects, same voxels", theirs.split);
    app_score(w->r, "information merge", own.merge, APP_REPORT, 0, "bits");
    app_beside(w->r, "information merge", "published objects, same voxels", theirs.merge);
    app_score(w->r, "voxels covered", (double)own.voxels / (double)w->v.voxels, APP_REPORT, 0,
              NULL);
    return ffn_picture(w->r, &w->v, w->published, w->p.own);
}

/* Each with its published number of evaluations, ascending. */
static int by_evaluations(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return x[0] != y[0] ? (x[0] > y[0]) - (x[0] < y[0]) : (x[1] > y[1]) - (x[1] < y[1]);
}

static sunup_status regrow_next(struct work *w, int64_t object)
{
    struct object *o = &w->p.kept.object[object];
    const double from_s = ffn_now_s();
    const sunup_status status = regrow(w, object, o);
    if (status != SUNUP_OK) return status;
    w->p.kept.n++;
    w->p.kept.seconds += ffn_now_s() - from_s;
    (void)printf("  object %3lld: %5lld evaluations (published %5lld), %8lld voxels, %lld differ\n",
                 (long long)object, (long long)o->evaluations,
                 (long long)published_evaluations(w, object), (long long)o->voxels,
                 (long long)o->differing);
    (void)fflush(stdout);
    return ffn_progress_save(&w->p, false);
}

/* What would end long after the limit is not begun. */
static bool in_time(const struct work *w, int64_t object)
{
    if (w->net.runs == 0) return true;
    const double each_s = w->net.seconds / (double)w->net.runs;
    return ffn_now_s() + each_s * (double)published_evaluations(w, object) <= w->until_s;
}

static void report_objects(struct work *w)
{
    int64_t grown = 0, right = 0, evaluations = 0, all = 0;
    for (int64_t k = 1; k <= w->objects; k++) {
        const struct object *o = &w->p.kept.object[k];
        all += published_evaluations(w, k);
        grown += o->evaluations > 0;
        right += o->evaluations > 0 && equal(w, k, o);
        evaluations += o->evaluations;
    }
    app_score(w->r, "objects grown", (double)grown, APP_REPORT, 0, NULL);
    app_beside(w->r, "objects grown", "published", (double)w->objects);
    app_score(w->r, "objects equal", (double)right, APP_REPORT, 0, "voxels and evaluations");
    app_score(w->r, "evaluations", (double)evaluations, APP_REPORT, 0, NULL);
    app_beside(w->r, "evaluations", "published, all objects", (double)all);
}

static sunup_status parity_all(struct work *w)
{
    int64_t(*order)[2] = malloc((size_t)w->objects * sizeof *order);
    if (order == NULL)
        return app_error(w->r->ctx, SUNUP_E_MEMORY, "no memory for a list of objects");
    for (int64_t k = 0; k < w->objects; k++) {
        order[k][0] = published_evaluations(w, k + 1);
        order[k][1] = k + 1;
    }
    qsort(order, (size_t)w->objects, sizeof *order, by_evaluations);
    sunup_status status = make_net(w);
    for (int64_t i = 0; i < w->objects && status == SUNUP_OK; i++) {
        if (w->p.kept.object[order[i][1]].evaluations > 0) continue;
        if (!in_time(w, order[i][1])) break;
        status = regrow_next(w, order[i][1]);
    }
    free(order);
    if (status == SUNUP_OK) status = ffn_progress_save(&w->p, true);
    if (status != SUNUP_OK) return status;
    report_objects(w);
    if (w->net.runs > 0) report_speed(w, sunup_numerics_name(sunup_context_numerics(w->r->ctx)));
    return report_agreement(w, w->p.kept.n == w->objects);
}

/* ---- the whole volume ---- */

static sunup_status try_seed(struct work *w, const int64_t seed[3])
{
    if (!ffn_flood_may_start(w->flood, seed, w->p.own)) return SUNUP_OK;
    const int64_t id = w->p.kept.n + 1;
    if (id >= FFN_OBJECTS)
        return app_error(w->r->ctx, SUNUP_E_UNSUPPORTED, "more than %d objects", FFN_OBJECTS - 1);
    struct grown g;
    const double from_s = ffn_now_s();
    const sunup_status status = ffn_flood_grow(w->flood, seed, (int32_t)id, w->p.own, &g);
    if (status != SUNUP_OK) return status;
    w->p.kept.seconds += ffn_now_s() - from_s;
    if (!g.kept) {
        w->p.kept.rejected += g.evaluations;
        return SUNUP_OK;
    }
    w->p.kept.object[id] = (struct object){.evaluations = g.evaluations, .voxels = g.voxels};
    w->p.kept.n = id;
    const bool same = id <= w->objects && g.evaluations == published_evaluations(w, id);
    (void)printf("  object %3lld at %3lld %3lld %3lld: %5lld evaluations, %8lld voxels%s\n",
                 (long long)id, (long long)seed[0], (long long)seed[1], (long long)seed[2],
                 (long long)g.evaluations, (long long)g.voxels, same ? ", as published" : "");
    (void)fflush(stdout);
    return SUNUP_OK;
}

static void report_segments(struct work *w)
{
    int64_t evaluations = 0;
    for (int64_t k = 1; k <= w->p.kept.n; k++) evaluations += w->p.kept.object[k].evaluations;
    app_score(w->r, "objects", (double)w->p.kept.n, APP_REPORT, 0, NULL);
    app_beside(w->r, "objects", "published", (double)w->objects);
    app_score(w->r, "evaluations", (double)evaluations, APP_REPORT, 0, "in objects that were kept");
    app_score(w->r, "evaluations for nothing", (double)w->p.kept.rejected, APP_REPORT, 0, NULL);
}

/* How many of the published seeds were found; both lists are in raster order. */
static int64_t found(const struct work *w, int64_t n, int64_t (*seeds)[3])
{
    int64_t count = 0;
    for (int64_t k = 0, i = 0; k < w->objects && i < n; i++) {
        const int32_t *zyx = (const int32_t *)w->seeds.data + 3 * k;
        if (seeds[i][0] != zyx[0] || seeds[i][1] != zyx[1] || seeds[i][2] != zyx[2]) continue;
        count++;
        k++;
    }
    return count;
}

static sunup_status segment(struct work *w)
{
    int64_t(*seeds)[3] = NULL, n = 0;
    sunup_status status = ffn_seeds(w->r->ctx, &w->v, &seeds, &n);
    const int64_t known = status == SUNUP_OK ? found(w, n, seeds) : 0;
    if (status == SUNUP_OK) status = make_net(w);
    int64_t *next = &w->p.kept.next;
    for (; *next < n && status == SUNUP_OK && ffn_now_s() < w->until_s; ++*next) {
        status = try_seed(w, seeds[*next]);
        if (status == SUNUP_OK && w->net.runs > 0) status = ffn_progress_save(&w->p, false);
    }
    free(seeds);
    if (status == SUNUP_OK) status = ffn_progress_save(&w->p, true);
    if (status != SUNUP_OK) return status;
    app_score(w->r, "seeds tried", (double)*next, APP_REPORT, 0, NULL);
    app_beside(w->r, "seeds tried", "seeds found", (double)n);
    app_score(w->r, "published seeds found", (double)known, APP_REPORT, 0, NULL);
    app_beside(w->r, "published seeds found", "published", (double)w->objects);
    report_segments(w);
    return report_agreement(w, *next == n);
}

/* ---- the scores of training ---- */

static sunup_status published(struct app_run *r)
{
    sunup_status status = SUNUP_OK;
    for (int i = 0; i < sunup_model_parameters(r->model) && status == SUNUP_OK; i++) {
        sunup_tensor t;
        status = sunup_model_tensor(r->model, i, &t);
        if (status == SUNUP_OK) status = ffn_take_weight(r->ctx, &t);
    }
    return status == SUNUP_OK ? ffn_score(r) : status;
}

/* ---- words ---- */

/* "name" or "name:minutes". */
static bool is(const char *word, const char *name, double *minutes)
{
    const size_t n = strlen(name);
    if (strncmp(word, name, n) != 0) return false;
    *minutes = 1e6;
    if (word[n] == '\0') return true;
    char *rest;
    if (word[n] != ':') return false;
    *minutes = strtod(word + n + 1, &rest);
    return rest != word + n + 1 && *rest == '\0' && *minutes > 0;
}

sunup_status ffn_task(struct app_run *r, const char *word)
{
    if (strcmp(word, "published") == 0) return published(r);
    struct work w = {.r = r};
    double minutes;
    const bool six = strcmp(word, "parity") == 0, all = is(word, "parity", &minutes),
               whole = !all && is(word, "segment", &minutes);
    if (!all && !whole)
        return app_error(r->ctx, SUNUP_E_ARGUMENT,
                         "ffn has no task '%s'; it has parity, parity:MINUTES, segment, "
                         "segment:MINUTES and published",
                         word);
    w.until_s = ffn_now_s() + 60 * minutes;
    sunup_status status = start(&w, whole ? "segment.state" : six ? "six.state" : "parity.state");
    if (status == SUNUP_OK && six) {
        status = parity_few(&w, SUNUP_NUMERICS_EXACT, APP_AT_LEAST);
        if (status == SUNUP_OK) status = parity_few(&w, SUNUP_NUMERICS_FAST, APP_REPORT);
    } else if (status == SUNUP_OK) {
        status = whole ? segment(&w) : parity_all(&w);
    }
    end(&w);
    return status;
}
