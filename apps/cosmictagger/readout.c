/* readout.c - what the wires show of free charge: drift, diffusion, shaping, noise, a threshold, and coarser pixels.
 *
 * A cloud is a Gauss curve along wires and ticks whose width grows as the root of its drift; the electronics widens the
 * charge along ticks, not the truth, so a hit beside a track may have no label, as in the official events. Noise: white
 * on the quiet halves of the wire planes, correlated along ticks on the noisy half of each induction plane; it is drawn
 * once for many wires, and an event takes its wires from there, turned to another first tick.
 * Cost: some 16 ms of a core for an event. Numbers: see README.md, "The simulator".
 */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "lartpc.h"

enum { PIXELS = WIRES * TICKS, HALF = TICKS / 2, BANK = 2048, REACH = 4 };
enum { NOISY, QUIET, COLLECTION, NOISES };
enum { CDF = 1024 };
#define DIFFUSION_WIRES 0.50 /* pixels, of charge that drifted HALF_X */
#define DIFFUSION_TICKS 0.25
#define SHAPING         0.50 /* pixels */
#define PIXEL_NOISE     1.5  /* on hits of particles */
#define TRUTH           2.0  /* charge from which a pixel is called a particle's */

struct noise_hit {
    int32_t tick;
    float charge;
};
struct bank {
    int64_t first[BANK + 1];
    struct noise_hit *hits;
};

/* Room for one plane: all zeros but for what touched lists. */
struct work {
    struct work *next;
    float *charge, *truth[2];
    uint8_t *labels;
    int32_t *touched, n_touched;
    float *hit_charge;
};

struct readout {
    pthread_mutex_t lock;
    struct work *idle;
    struct recipe how;
    struct bank banks[NOISES];
    float cdf[CDF + 1]; /* of the normal distribution over -4 .. 4 */
};

/* ---- noise ---- */

static const struct {
    double sd, slow; /* of all; share of the variance that is correlated */
} kinds[NOISES] = {{2.10, 0.72}, {1.57, 0}, {1.40, 0}};
#define SLOW_TICKS 10.0

static int64_t noise_wire(struct app_random *r, int kind, double scale, struct noise_hit *hits)
{
    const double slow = scale * kinds[kind].sd * sqrt(kinds[kind].slow);
    const double fast = scale * kinds[kind].sd * sqrt(1 - kinds[kind].slow),
                 keep = exp(-1 / SLOW_TICKS);
    double low = slow * app_normal(r);
    int64_t n = 0;
    for (int t = 0; t < HALF; t++) {
        if (slow > 0) low = keep * low + sqrt(1 - keep * keep) * slow * app_normal(r);
        const double q = low + fast * app_normal(r);
        if (q >= THRESHOLD) hits[n++] = (struct noise_hit){t, (float)q};
    }
    return n;
}

static bool draw_bank(struct bank *b, uint64_t seed, int kind, double scale)
{
    struct noise_hit wire[HALF];
    int64_t n = 0, room = 0;
    for (int w = 0; w < BANK; w++) {
        struct app_random r = app_random(seed, "noise", kind, w);
        const int64_t more = noise_wire(&r, kind, scale, wire);
        if (n + more > room) {
            room = 2 * room + HALF;
            struct noise_hit *grown = realloc(b->hits, (size_t)room * sizeof *grown);
            if (grown == NULL) return false;
            b->hits = grown;
        }
        if (more > 0) memcpy(b->hits + n, wire, (size_t)more * sizeof *wire);
        b->first[w] = n;
        n += more;
    }
    b->first[BANK] = n;
    return true;
}

/* ---- one plane ---- */

/* Nothing is added as nothing, so that a pixel is listed once. */
static void add(struct work *w, float *to, int32_t id, float q)
{
    if (!(q > 0)) return;
    if (w->charge[id] == 0 && w->truth[0][id] == 0 && w->truth[1][id] == 0)
        w->touched[w->n_touched++] = id;
    to[id] += q;
}

static void first_wire(int plane, int32_t *first, int32_t *n)
{
    *n = plane == 2 ? 1666 : 1986;
    *first = (WIRES - *n) / 2;
}

static int kind_of(const struct readout *r, int plane, int half)
{
    if (r->how.plain) return QUIET;
    return plane == 2 ? COLLECTION : (plane == 0) == (half == 1) ? NOISY : QUIET;
}

static void add_noise(struct readout *r, struct app_random *random, int plane, struct work *w)
{
    int32_t first, n;
    first_wire(plane, &first, &n);
    for (int half = 0; half < 2; half++) {
        const int kind = kind_of(r, plane, half);
        const struct bank *b = &r->banks[kind];
        for (int32_t wire = first; wire < first + n; wire++) {
            const int64_t draw = app_below(random, (int64_t)BANK * HALF);
            const int64_t from = draw / HALF;
            for (int64_t k = b->first[from]; k < b->first[from + 1]; k++) {
                const int32_t tick = half * HALF + (int32_t)((b->hits[k].tick + draw) % HALF);
                add(w, w->charge, wire * TICKS + tick, b->hits[k].charge);
            }
        }
    }
}

static float cdf(const struct readout *r, double x)
{
    const double at = (x + 4) * (CDF / 8.0);
    return r->cdf[at <= 0 ? 0 : at >= CDF ? CDF : (int)(at + 0.5)];
}

/* Shares of a Gauss curve in the pixels from .. to - 1; returns how many. */
static int spread(const struct readout *r, double at, double sd, int32_t *from, float *share)
{
    const int32_t low = (int32_t)floor(at - 2.5 * sd), high = (int32_t)floor(at + 2.5 * sd);
    const int n = high - low + 1 < 2 * REACH ? high - low + 1 : 2 * REACH;
    float before = 0;
    for (int i = 0; i < n; i++) {
        const float now = i == n - 1 ? 1 : cdf(r, (low + i + 1 - at) / sd);
        share[i] = now - before;
        before = now;
    }
    *from = low;
    return n;
}

struct cloud {
    int32_t wire, tick, truth_tick;
    int wires, ticks, truth_ticks;
    float along_wires[2 * REACH], along_ticks[2 * REACH], truth_along_ticks[2 * REACH];
};

/* Where a deposit appears; false: not in the picture. */
static bool project(const struct readout *r, const struct deposit *d, int plane, struct cloud *c)
{
    const double drift = HALF_X - fabs((double)d->x), seen = drift + (double)d->shift;
    if (seen < 0 || seen >= HALF_X) return false;
    const double side[PLANES] = {-0.866025, 0.866025, 0}, z = (double)d->z - LENGTH_Z / 2;
    const double u = (plane == 2 ? z : z / 2) + side[plane] * (double)d->y;
    const double wire = WIRES / 2 + u / WIRE_CM, along = seen / TICK_CM;
    const double tick = d->x < 0 ? along : TICKS - along,
                 grown = r->how.plain ? 0 : sqrt(drift / HALF_X);
    const double wide = DIFFUSION_WIRES * grown + 0.05, narrow = DIFFUSION_TICKS * grown + 0.05;
    const double shaping = r->how.plain ? 0 : SHAPING;
    c->wires = spread(r, wire, wide, &c->wire, c->along_wires);
    c->truth_ticks = spread(r, tick, narrow, &c->truth_tick, c->truth_along_ticks);
    c->ticks = spread(r, tick, hypot(narrow, shaping), &c->tick, c->along_ticks);
    const int32_t half = d->x < 0 ? 0 : HALF; /* no charge appears on the other side */
    return c->wire >= 0 && c->wire + c->wires <= WIRES && c->tick >= half &&
           c->tick + c->ticks <= half + HALF && c->truth_tick >= half &&
           c->truth_tick + c->truth_ticks <= half + HALF;
}

static void add_cloud(struct work *w, const struct deposit *d, const struct cloud *c)
{
    float *truth = w->truth[d->label == NEUTRINO];
    for (int i = 0; i < c->wires; i++) {
        const float q = d->charge * c->along_wires[i];
        const int32_t row = (c->wire + i) * TICKS;
        for (int k = 0; k < c->ticks; k++)
            add(w, w->charge, row + c->tick + k, q * c->along_ticks[k]);
        for (int k = 0; k < c->truth_ticks; k++)
            add(w, truth, row + c->truth_tick + k, q * c->truth_along_ticks[k]);
    }
}

static uint8_t label_of(const struct work *w, int32_t id)
{
    const float cosmic = w->truth[0][id], neutrino = w->truth[1][id];
    if (fmaxf(cosmic, neutrino) < (float)TRUTH) return NOISE;
    return neutrino >= cosmic ? NEUTRINO : COSMIC;
}

/* The hits among what was touched; leaves zeros behind. */
static int64_t take_hits(struct work *w, struct app_random *random, double noise)
{
    int64_t n = 0;
    for (int32_t i = 0; i < w->n_touched; i++) {
        const int32_t id = w->touched[i];
        double q = (double)w->charge[id];
        const uint8_t label = label_of(w, id);
        if (label != NOISE) q += noise * app_normal(random);
        if (q >= THRESHOLD) {
            w->touched[n] = id;
            w->hit_charge[n] = (float)q;
            w->labels[n++] = label;
        }
        w->charge[id] = w->truth[0][id] = w->truth[1][id] = 0;
    }
    w->n_touched = 0;
    return n;
}

void lartpc_pool(const struct hits *h, int plane, int pool, float *x, int32_t *label)
{
    const int32_t columns = WIRES / pool, rows = TICKS / pool;
    for (int64_t i = 0; i < h->n; i++) {
        const int32_t wire = h->id[i] / TICKS, tick = h->id[i] % TICKS;
        const int64_t at = ((int64_t)plane * rows + tick / pool) * columns + wire / pool;
        const float q = log1pf(h->charge[i]) / 4;
        if (q > x[at]) x[at] = q;
        if (h->label[i] > label[at]) label[at] = h->label[i];
    }
}

/* ---- room ---- */

static void work_end(struct work *w)
{
    if (w == NULL) return;
    free(w->charge);
    free(w->truth[0]);
    free(w->truth[1]);
    free(w->labels);
    free(w->touched);
    free(w->hit_charge);
    free(w);
}

static struct work *work_create(void)
{
    struct work *w = calloc(1, sizeof *w);
    if (w == NULL) return NULL;
    w->charge = calloc(PIXELS, sizeof(float));
    w->truth[0] = calloc(PIXELS, sizeof(float));
    w->truth[1] = calloc(PIXELS, sizeof(float));
    w->labels = malloc(PIXELS);
    w->touched = malloc(PIXELS * sizeof(int32_t));
    w->hit_charge = malloc(PIXELS * sizeof(float));
    if (w->charge && w->truth[0] && w->truth[1] && w->labels && w->touched && w->hit_charge)
        return w;
    work_end(w);
    return NULL;
}

static struct work *borrow(struct readout *r)
{
    (void)pthread_mutex_lock(&r->lock);
    struct work *w = r->idle;
    if (w != NULL) r->idle = w->next;
    (void)pthread_mutex_unlock(&r->lock);
    return w != NULL ? w : work_create();
}

static void give_back(struct readout *r, struct work *w)
{
    (void)pthread_mutex_lock(&r->lock);
    w->next = r->idle;
    r->idle = w;
    (void)pthread_mutex_unlock(&r->lock);
}

bool lartpc_image(struct readout *r, struct app_random *random, const struct deposits *d, int pool,
                  float *x, int32_t *label)
{
    struct work *w = borrow(r);
    if (w == NULL) return false;
    const int64_t pixels = (int64_t)PLANES * (TICKS / pool) * (WIRES / pool);
    memset(x, 0, (size_t)pixels * sizeof *x);
    memset(label, 0, (size_t)pixels * sizeof *label);
    for (int plane = 0; plane < PLANES; plane++) {
        struct cloud c;
        for (int64_t i = 0; i < d->n; i++)
            if (project(r, &d->d[i], plane, &c)) add_cloud(w, &d->d[i], &c);
        add_noise(r, random, plane, w);
        const int64_t n = take_hits(w, random, PIXEL_NOISE * r->how.noise);
        const struct hits h = {n, w->touched, w->hit_charge, w->labels};
        lartpc_pool(&h, plane, pool, x, label);
    }
    give_back(r, w);
    return true;
}

void lartpc_readout_end(struct readout *r)
{
    if (r == NULL) return;
    while (r->idle != NULL) {
        struct work *w = r->idle;
        r->idle = w->next;
        work_end(w);
    }
    for (int i = 0; i < NOISES; i++) free(r->banks[i].hits);
    (void)pthread_mutex_destroy(&r->lock);
    free(r);
}

sunup_status lartpc_readout(sunup_context *ctx, uint64_t seed, const struct recipe *how,
                            struct readout **out)
{
    struct readout *r = calloc(1, sizeof *r);
    *out = r;
    if (r == NULL) return app_error(ctx, SUNUP_E_MEMORY, "no memory for the readout of a chamber");
    (void)pthread_mutex_init(&r->lock, NULL);
    r->how = *how;
    for (int i = 0; i <= CDF; i++) r->cdf[i] = (float)(0.5 * erfc(-(i * 8.0 / CDF - 4) / M_SQRT2));
    for (int i = 0; i < NOISES; i++)
        if (!draw_bank(&r->banks[i], seed, i, how->noise)) {
            lartpc_readout_end(r);
            *out = NULL;
            return app_error(ctx, SUNUP_E_MEMORY, "no memory for the noise of a chamber");
        }
    return SUNUP_OK;
}
