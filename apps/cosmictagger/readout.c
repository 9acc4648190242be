/* readout.c - what the wires show of free charge: drift, diffusion, shaping, noise, a threshold, and coarser pixels.
 *
 * A cloud is a Gauss curve along wires and ticks whose width grows as the root of its drift; the electronics widens the
 * charge along ticks, not the truth, so a hit beside a track may have no label, as in the official events. Noise: white
 * on the quiet halves of the wire planes, correlated along ticks on the noisy half of each induction plane; it is drawn
 * once for many wires, and an event takes its wires from there, turned to another first tick.
 * Cost: some 10 ms of a core for an event (Zen 4). Numbers: see README.md, "The simulator".
 */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "lartpc.h"

enum { PIXELS = WIRES * TICKS, HALF = TICKS / 2, BANK = 2048 };
enum { REACH = 4 }; /* pixels that the widest curve meets: 5 of its hypot(0.3, 0.5), and one */
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

struct pixel {
    float charge, truth[2]; /* of the cosmic rays, of the neutrino */
    int32_t id;
};
/* Room for one plane. Few of its pixels are touched: these lie together, where a cache holds them. */
struct work {
    struct work *next;
    int32_t *number; /* [PIXELS] of a pixel among the touched, from 1 on; 0: it is none */
    struct pixel *touched;
    int32_t n_touched;
    int32_t *hit_id; /* of hits, as are charge and label */
    float *hit_charge;
    uint8_t *labels;
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

/* A pixel that something is added to. */
static struct pixel *touch(struct work *w, int32_t id)
{
    if (w->number[id] == 0) {
        w->touched[w->n_touched] = (struct pixel){.id = id};
        w->number[id] = ++w->n_touched;
    }
    return &w->touched[w->number[id] - 1];
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
            const int32_t turn = (int32_t)(draw % HALF), row = wire * TICKS + half * HALF;
            for (int64_t k = b->first[from]; k < b->first[from + 1]; k++) {
                const int32_t tick = b->hits[k].tick + turn;
                touch(w, row + (tick < HALF ? tick : tick - HALF))->charge += b->hits[k].charge;
            }
        }
    }
}

static float cdf(const struct readout *r, double x)
{
    const double at = (x + 4) * (CDF / 8.0);
    return r->cdf[at <= 0 ? 0 : at >= CDF ? CDF : (int)(at + 0.5)];
}

/* Shares of a Gauss curve in the pixels from .. from + n - 1. */
struct shares {
    int32_t from, n;
    float of[REACH];
};

/* floor is a call */
static int32_t floor_of(double x)
{
    const int32_t whole = (int32_t)x;
    return whole - (x < whole);
}

static void spread(const struct readout *r, double at, double sd, struct shares *s)
{
    const int32_t low = floor_of(at - 2.5 * sd), high = floor_of(at + 2.5 * sd);
    float before = 0;
    s->from = low;
    s->n = high - low + 1 < REACH ? high - low + 1 : REACH;
    for (int i = 0; i < s->n; i++) {
        const float now = i == s->n - 1 ? 1 : cdf(r, (low + i + 1 - at) / sd);
        s->of[i] = now - before;
        before = now;
    }
}

static bool within(const struct shares *s, int32_t low, int32_t high)
{
    return s->from >= low && s->from + s->n <= high;
}

/* A deposit that arrives while the wires are read: what is the same on all planes. */
struct arrival {
    const struct deposit *d;
    double wide; /* sd along wires */
    struct shares ticks;
    float truth[REACH]; /* of the same pixels: shares before the electronics */
};

static bool drift(const struct readout *r, const struct deposit *d, struct arrival *a)
{
    const double way = HALF_X - fabs((double)d->x), seen = way + (double)d->shift;
    if (seen < 0 || seen >= HALF_X) return false;
    const double along = seen / TICK_CM, tick = d->x < 0 ? along : TICKS - along;
    const double grown = r->how.plain ? 0 : sqrt(way / HALF_X);
    const double narrow = DIFFUSION_TICKS * grown + 0.05, shaping = r->how.plain ? 0 : SHAPING;
    a->d = d;
    a->wide = DIFFUSION_WIRES * grown + 0.05;
    struct shares truth;
    spread(r, tick, narrow, &truth);
    spread(r, tick, sqrt(narrow * narrow + shaping * shaping), &a->ticks);
    for (int k = 0; k < a->ticks.n; k++) {
        const int32_t at = a->ticks.from + k - truth.from;
        a->truth[k] = at >= 0 && at < truth.n ? truth.of[at] : 0;
    }
    const int32_t half = d->x < 0 ? 0 : HALF; /* no charge appears on the other side */
    return within(&a->ticks, half, half + HALF);
}

/* Returns how many of the deposits arrive. */
static int64_t drift_all(const struct readout *r, const struct deposits *d, struct arrival *a)
{
    int64_t n = 0;
    for (int64_t i = 0; i < d->n; i++) n += drift(r, &d->d[i], &a[n]);
    return n;
}

static void add_cloud(const struct readout *r, const struct arrival *a, int plane, struct work *w)
{
    const double side[PLANES] = {-0.866025, 0.866025, 0}, z = (double)a->d->z - LENGTH_Z / 2;
    const double u = (plane == 2 ? z : z / 2) + side[plane] * (double)a->d->y;
    const int kind = a->d->label == NEUTRINO;
    struct shares wires;
    spread(r, WIRES / 2 + u / WIRE_CM, a->wide, &wires);
    if (!within(&wires, 0, WIRES)) return;
    for (int i = 0; i < wires.n; i++) {
        const float q = a->d->charge * wires.of[i];
        const int32_t row = (wires.from + i) * TICKS;
        for (int k = 0; k < a->ticks.n; k++) {
            const float more = q * a->ticks.of[k];
            if (more <= 0) continue;
            struct pixel *p = touch(w, row + a->ticks.from + k);
            p->charge += more;
            p->truth[kind] += q * a->truth[k];
        }
    }
}

static uint8_t label_of(const struct pixel *p)
{
    const float cosmic = p->truth[0], neutrino = p->truth[1];
    if (fmaxf(cosmic, neutrino) < (float)TRUTH) return NOISE;
    return neutrino >= cosmic ? NEUTRINO : COSMIC;
}

/* The hits among what was touched; nothing is, afterwards. */
static int64_t take_hits(struct work *w, struct app_random *random, double noise)
{
    int64_t n = 0;
    for (int32_t i = 0; i < w->n_touched; i++) {
        const struct pixel *p = &w->touched[i];
        double q = (double)p->charge;
        const uint8_t label = label_of(p);
        if (label != NOISE) q += noise * app_normal(random);
        if (q >= THRESHOLD) {
            w->hit_id[n] = p->id;
            w->hit_charge[n] = (float)q;
            w->labels[n++] = label;
        }
        w->number[p->id] = 0;
    }
    w->n_touched = 0;
    return n;
}

void lartpc_pool(const struct hits *h, int plane, int pool, float *x, int32_t *label)
{
    const int32_t columns = WIRES / pool, rows = TICKS / pool;
    x += (int64_t)plane * rows * columns;
    label += (int64_t)plane * rows * columns;
    for (int64_t i = 0; i < h->n; i++) {
        const int32_t wire = h->id[i] / TICKS, tick = h->id[i] % TICKS;
        const int32_t at = tick / pool * columns + wire / pool;
        if (h->charge[i] > x[at]) x[at] = h->charge[i];
        if (h->label[i] > label[at]) label[at] = h->label[i];
    }
    for (int32_t at = 0; at < rows * columns; at++)
        if (x[at] > 0) x[at] = log1pf(x[at]) / 4;
}

/* ---- room ---- */

static void work_end(struct work *w)
{
    if (w == NULL) return;
    free(w->number);
    free(w->touched);
    free(w->hit_id);
    free(w->hit_charge);
    free(w->labels);
    free(w);
}

static struct work *work_create(void)
{
    struct work *w = calloc(1, sizeof *w);
    if (w == NULL) return NULL;
    w->number = calloc(PIXELS, sizeof *w->number);
    w->touched = malloc(PIXELS * sizeof *w->touched);
    w->hit_id = malloc(PIXELS * sizeof *w->hit_id);
    w->hit_charge = malloc(PIXELS * sizeof *w->hit_charge);
    w->labels = malloc(PIXELS);
    if (w->number && w->touched && w->hit_id && w->hit_charge && w->labels) return w;
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
    struct arrival *arrivals = malloc((size_t)(d->n + 1) * sizeof *arrivals);
    if (w == NULL || arrivals == NULL) {
        if (w != NULL) give_back(r, w);
        free(arrivals);
        return false;
    }
    const int64_t arrive = drift_all(r, d, arrivals);
    const int64_t pixels = (int64_t)PLANES * (TICKS / pool) * (WIRES / pool);
    memset(x, 0, (size_t)pixels * sizeof *x);
    memset(label, 0, (size_t)pixels * sizeof *label);
    for (int plane = 0; plane < PLANES; plane++) {
        for (int64_t i = 0; i < arrive; i++) add_cloud(r, &arrivals[i], plane, w);
        add_noise(r, random, plane, w);
        const int64_t n = take_hits(w, random, PIXEL_NOISE * r->how.noise);
        const struct hits h = {n, w->hit_id, w->hit_charge, w->labels};
        lartpc_pool(&h, plane, pool, x, label);
    }
    free(arrivals);
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
