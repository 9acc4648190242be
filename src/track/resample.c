/* resample.c - the test of spreads: it deals the data anew instead of assuming their distribution.
 *
 * Draws are numbered: draw i takes the random numbers of counter i under a fixed key, so equal data have equal p-values
 * on every machine. The observed arrangement counts as one of the drawn ones (Phipson and Smyth, 2010): no p is 0.
 * Cost: one pass over n + m a draw, ended after a few hundred draws where nothing is found (Besag and Clifford,
 * Biometrika 78, 1991).
 */
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/random.h"
#include "track/stats.h"

enum { DRAWS = 65536, ENOUGH = 50 };

static const struct random_stream spread_stream = {0x73756e7570, RANDOM_TRACK, 2, 0};

/* Distances from both medians, pooled and sorted; which of them were x's. */
struct far {
    double distance;
    bool of_x;
};
struct pool {
    struct far *far;
    int n, m; /* x's and y's */
};

static int nearer(const void *a, const void *b)
{
    const double x = ((const struct far *)a)->distance, y = ((const struct far *)b)->distance;
    return (x > y) - (x < y);
}

/* Of an odd number of samples one is the median: its distance is 0 by construction, says nothing, and is left out. */
static int add_far(struct far *to, const double *x, int n, bool of_x)
{
    const double median = sunup__median(x, n);
    int count = 0;
    bool drop = n % 2 == 1;
    for (int i = 0; i < n; i++) {
        const double d = fabs(x[i] - median);
        if (drop && d == 0)
            drop = false;
        else
            to[count++] = (struct far){d, of_x};
    }
    return count;
}

/* The two middle distances of a side are met on the way through the sorted pool. */
struct side {
    int n, seen;
    double twice; /* the median */
};

static void meet(struct side *s, double distance)
{
    if (s->seen == (s->n - 1) / 2) s->twice += distance;
    if (s->seen == s->n / 2) s->twice += distance;
    s->seen++;
}

static double unevenness(const struct side *x, const struct side *y)
{
    const double a = fmin(x->twice, y->twice), b = fmax(x->twice, y->twice);
    return a == b ? 1 : b / a;
}

static double observed_unevenness(const struct pool *p)
{
    struct side x = {.n = p->n}, y = {.n = p->m};
    for (int i = 0; i < p->n + p->m; i++) meet(p->far[i].of_x ? &x : &y, p->far[i].distance);
    return unevenness(&x, &y);
}

/* Draw number `draw` deals the distances anew: in their order, each to x with the share of x's places still free. */
static double drawn_unevenness(const struct pool *p, uint64_t draw)
{
    struct side x = {.n = p->n}, y = {.n = p->m};
    const int all = p->n + p->m;
    const uint64_t calls = ((uint64_t)all + 3) / 4;
    uint32_t word[4] = {0};
    for (int i = 0; i < all; i++) {
        if (i % 4 == 0) sunup__random4(&spread_stream, draw * calls + (uint64_t)i / 4, word);
        const uint64_t place = (word[i % 4] * (uint64_t)(all - i)) >> 32;
        meet(place < (uint64_t)(x.n - x.seen) ? &x : &y, p->far[i].distance);
    }
    return unevenness(&x, &y);
}

static double permuted_p(const struct pool *p)
{
    const double least = observed_unevenness(p) * (1 - 1e-12);
    int extreme = 0;
    for (int draw = 0; draw < DRAWS; draw++) {
        extreme += drawn_unevenness(p, (uint64_t)draw) >= least;
        if (extreme == ENOUGH) return (double)extreme / (draw + 1);
    }
    return (extreme + 1.0) / (DRAWS + 1);
}

double sunup__spread_p(const double *x, int n, const double *y, int m, double *ratio)
{
    const double before = sunup__mad(x, n), after = sunup__mad(y, m);
    const bool known = isfinite(before) && isfinite(after) && (before > 0 || after > 0);
    if (ratio != NULL) *ratio = known ? after / before : NAN;
    struct pool p = {0};
    if (known) p.far = sunup__alloc(((size_t)n + (size_t)m) * sizeof *p.far);
    if (p.far == NULL || n < 2 || m < 2) {
        sunup__free(p.far);
        return NAN;
    }
    p.n = add_far(p.far, x, n, true);
    p.m = add_far(p.far + p.n, y, m, false);
    qsort(p.far, (size_t)p.n + (size_t)p.m, sizeof *p.far, nearer);
    const double found = permuted_p(&p);
    sunup__free(p.far);
    return found;
}
