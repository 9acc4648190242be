/* measures.c - how well segments agree with bodies: adapted Rand error and variation of
 * information.
 *
 * Both follow from the table of counts p[segment][body]. Rand error: 1 - F, the harmonic mean of
 * the fractions of pairs of voxels in one segment that share a body, and of pairs in one body that
 * share a segment. Information in bits: split = H(segment | body), merge = H(body | segment).
 * Voxels without a body are left out. Source: Arganda-Carreras et al., Front. Neuroanat. 9, 142
 * (2015).
 */
#include <math.h>
#include <stdlib.h>

#include "ffn.h"

enum { MOST_CELLS = 1 << 27 };

struct table {
    int64_t segments, bodies, n;
    int64_t *count;          /* [segments][bodies] */
    int64_t *segment, *body; /* sums over the other */
};

static int64_t labels(int64_t n, const int32_t *x)
{
    int64_t most = 0;
    for (int64_t i = 0; i < n; i++)
        if (x[i] > most) most = x[i];
    return most + 1;
}

static void fill(struct table *t, int64_t n, const int32_t *segment, const int32_t *body,
                 bool covered)
{
    for (int64_t i = 0; i < n; i++) {
        const int32_t s = segment[i] > 0 ? segment[i] : 0;
        if (body[i] <= 0 || (covered && s == 0)) continue;
        t->count[s * t->bodies + body[i]]++;
        t->segment[s]++;
        t->body[body[i]]++;
        t->n++;
    }
}

static double pairs(int64_t n, const int64_t *count)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)count[i] * (double)(count[i] - 1);
    return sum;
}

static double entropy(int64_t n, const int64_t *count, double all)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        if (count[i] > 0) sum -= (double)count[i] / all * log2((double)count[i] / all);
    return sum;
}

static void measure(const struct table *t, struct agreement *a)
{
    const int64_t cells = t->segments * t->bodies;
    const double both = pairs(cells, t->count);
    const double mean = 0.5 * (pairs(t->segments, t->segment) + pairs(t->bodies, t->body));
    const double joint = entropy(cells, t->count, (double)t->n);
    a->voxels = t->n;
    a->rand_error = t->n == 0 ? NAN : mean > 0 ? 1 - both / mean : 0;
    a->split = t->n == 0 ? NAN : joint - entropy(t->bodies, t->body, (double)t->n);
    a->merge = t->n == 0 ? NAN : joint - entropy(t->segments, t->segment, (double)t->n);
}

sunup_status ffn_compare(sunup_context *ctx, int64_t n, const int32_t *segment, const int32_t *body,
                         bool covered, struct agreement *a)
{
    struct table t = {.segments = labels(n, segment), .bodies = labels(n, body)};
    if (t.segments > MOST_CELLS / t.bodies)
        return app_error(ctx, SUNUP_E_UNSUPPORTED,
                         "%lld segments and %lld bodies make a table of more than %d cells; number "
                         "them without gaps",
                         (long long)t.segments, (long long)t.bodies, MOST_CELLS);
    t.count = calloc((size_t)(t.segments * t.bodies), sizeof *t.count);
    t.segment = calloc((size_t)t.segments, sizeof *t.segment);
    t.body = calloc((size_t)t.bodies, sizeof *t.body);
    const bool room = t.count != NULL && t.segment != NULL && t.body != NULL;
    if (room) {
        fill(&t, n, segment, body, covered);
        measure(&t, a);
    }
    free(t.count);
    free(t.segment);
    free(t.body);
    return room ? SUNUP_OK : app_error(ctx, SUNUP_E_MEMORY, "no memory to compare segments");
}
