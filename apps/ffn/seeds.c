/* seeds.c - where objects are started: voxels that lie farthest from edges of the image, in raster
 * order.
 *
 * Gradients by Sobel's filter; an edge is where the gradient exceeds its own blurred copy (sigma
 * 49/6); Euclidean distance to the nearest edge; maxima of this within 7x7x7, where numbers of the
 * Mersenne Twister, below 1e-4, part what is equal. Every step rounds as the published program's
 * does, so that its seeds are found. Costs some 3 s of one core and 270 MB for 250 x 250 x 250.
 * Sources: google/ffn (the policy and its numbers); Felzenszwalb and Huttenlocher, Theory of
 * Computing 8, 415 (2012); Matsumoto and Nishimura, ACM TOMACS 8, 3 (1998).
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ffn.h"

enum { BLUR = 33, LONGEST = 4096, NEAR = 3 };
static const double sigma = 49.0 / 6.0;

/* y[0..n-1] from x[0..n-1]; x may be read BLUR beyond its ends, where the line is mirrored. */
typedef void (*line_fn)(int64_t n, const float *x, float *y);

static void mirror(int64_t n, float *x)
{
    for (int64_t i = 1; i <= BLUR; i++) {
        int64_t k = (i - 1) % (2 * n); /* the line, then the line backwards, and again */
        if (k >= n) k = 2 * n - 1 - k;
        x[-i] = x[k];
        x[n - 1 + i] = x[n - 1 - k];
    }
}

static void along(const struct volume *v, int axis, line_fn fn, const float *from, float *to)
{
    static const int others[3][2] = {{1, 2}, {0, 2}, {0, 1}};
    const int64_t step[3] = {v->size[1] * v->size[2], v->size[2], 1};
    const int a = others[axis][0], b = others[axis][1];
    const int64_t n = v->size[axis], s = step[axis];
    float x[LONGEST + 2 * BLUR], y[LONGEST];
    for (int64_t i = 0; i < v->size[a]; i++)
        for (int64_t k = 0; k < v->size[b]; k++) {
            const int64_t at = i * step[a] + k * step[b];
            for (int64_t j = 0; j < n; j++) x[BLUR + j] = from[at + j * s];
            mirror(n, x + BLUR);
            fn(n, x + BLUR, y);
            for (int64_t j = 0; j < n; j++) to[at + j * s] = y[j];
        }
}

static void difference(int64_t n, const float *x, float *y)
{
    for (int64_t i = 0; i < n; i++) y[i] = (float)((double)x[i + 1] - (double)x[i - 1]);
}

static void smooth(int64_t n, const float *x, float *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = (float)(2 * (double)x[i] + ((double)x[i - 1] + (double)x[i + 1]));
}

static void blur(int64_t n, const float *x, float *y)
{
    double weight[BLUR + 1], sum = 0;
    for (int k = 0; k <= BLUR; k++) {
        weight[k] = exp(-0.5 / (sigma * sigma) * k * k);
        sum += k == 0 ? weight[k] : 2 * weight[k];
    }
    for (int64_t i = 0; i < n; i++) {
        double t = (double)x[i] * (weight[0] / sum);
        for (int k = BLUR; k >= 1; k--)
            t += ((double)x[i - k] + (double)x[i + k]) * (weight[k] / sum);
        y[i] = (float)t;
    }
}

/* f[i] -> min over k of f[k] + (i - k)^2, by the lower envelope of parabolas; exact, for f are
 * whole numbers. */
static void parabolas(int64_t n, const float *f, float *y)
{
    int64_t at[LONGEST], k = 0;
    double from[LONGEST + 1];
    at[0] = 0;
    from[0] = -INFINITY;
    for (int64_t q = 1; q < n; q++) {
        double s;
        for (;; k--) {
            const int64_t p = at[k];
            s = ((double)f[q] - (double)f[p] + (double)(q * q - p * p)) / (double)(2 * (q - p));
            if (s > from[k] || k == 0) break;
        }
        if (s > from[k]) k++;
        at[k] = q;
        from[k] = k == 0 ? -INFINITY : s;
    }
    const int64_t last = k;
    k = 0;
    for (int64_t i = 0; i < n; i++) {
        while (k < last && from[k + 1] < (double)i) k++;
        y[i] = f[at[k]] + (float)((i - at[k]) * (i - at[k]));
    }
}

/* The length of the gradient of the image into g; t: room. */
static void gradient(const struct volume *v, float *g, float *t, float *image)
{
    for (int axis = 0; axis < 3; axis++) {
        for (int64_t i = 0; i < v->voxels; i++) image[i] = ffn_image(v->gray[i]);
        along(v, axis, difference, image, t);
        for (int other = 0; other < 3; other++)
            if (other != axis) along(v, other, smooth, t, t);
        for (int64_t i = 0; i < v->voxels; i++) g[i] = axis == 0 ? t[i] * t[i] : g[i] + t[i] * t[i];
    }
    for (int64_t i = 0; i < v->voxels; i++) g[i] = sqrtf(g[i]);
}

/* Distance of each voxel to the nearest edge, in g. */
static void distances(const struct volume *v, float *g, float *t)
{
    along(v, 0, blur, g, t);
    along(v, 1, blur, t, t);
    along(v, 2, blur, t, t);
    const float far = 1 << 22;
    for (int64_t i = 0; i < v->voxels; i++) g[i] = g[i] > t[i] ? 0 : far;
    for (int axis = 0; axis < 3; axis++) along(v, axis, parabolas, g, g);
    for (int64_t i = 0; i < v->voxels; i++) g[i] = (float)sqrt((double)g[i]);
}

/* ---- the Mersenne Twister, 32 bits ---- */

enum { WORDS = 624, SHIFT = 397 };
struct twister {
    uint32_t word[WORDS];
    int at;
};

static void twister_seed(struct twister *t, uint32_t seed)
{
    t->word[0] = seed;
    for (uint32_t i = 1; i < WORDS; i++)
        t->word[i] = 1812433253U * (t->word[i - 1] ^ (t->word[i - 1] >> 30)) + i;
    t->at = WORDS;
}

static void twister_turn(struct twister *t)
{
    for (int i = 0; i < WORDS; i++) {
        const uint32_t y = (t->word[i] & 0x80000000U) | (t->word[(i + 1) % WORDS] & 0x7fffffffU);
        t->word[i] = t->word[(i + SHIFT) % WORDS] ^ (y >> 1) ^ ((y & 1) != 0 ? 0x9908b0dfU : 0);
    }
    t->at = 0;
}

static uint32_t twister_next(struct twister *t)
{
    if (t->at == WORDS) twister_turn(t);
    uint32_t y = t->word[t->at++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680U;
    y ^= (y << 15) & 0xefc60000U;
    return y ^ (y >> 18);
}

/* In [0, 1), of 53 bits. */
static double twister_unit(struct twister *t)
{
    const double high = twister_next(t) >> 5, low = twister_next(t) >> 6;
    return (high * 67108864 + low) / 9007199254740992.0;
}

/* ---- peaks ---- */

static bool is_peak(const struct volume *v, const double *x, const int64_t at[3])
{
    const int64_t sy = v->size[2], sz = v->size[1] * sy;
    const double *p = x + at[0] * sz + at[1] * sy + at[2];
    if (!(*p > 0)) return false;
    for (int64_t z = -NEAR; z <= NEAR; z++)
        for (int64_t y = -NEAR; y <= NEAR; y++)
            for (int64_t i = -NEAR; i <= NEAR; i++)
                if (p[z * sz + y * sy + i] > *p) return false;
    return true;
}

/* Whose window lies inside; at most `room`. */
static int64_t find_peaks(const struct volume *v, const double *x, int64_t room,
                          int64_t (*seeds)[3])
{
    const int64_t half = FFN_WINDOW / 2;
    int64_t n = 0;
    for (int64_t z = half; z < v->size[0] - half; z++)
        for (int64_t y = half; y < v->size[1] - half; y++)
            for (int64_t i = half; i < v->size[2] - half && n < room; i++) {
                const int64_t at[3] = {z, y, i};
                if (is_peak(v, x, at)) memcpy(seeds[n++], at, sizeof at);
            }
    return n;
}

static void find(const struct volume *v, float *g, float *t, double *x)
{
    gradient(v, g, t, (float *)x); /* x is not needed yet */
    distances(v, g, t);
    static struct twister random;
    twister_seed(&random, 42);
    for (int64_t i = 0; i < v->voxels; i++) x[i] = (double)g[i] + twister_unit(&random) * 1e-4;
}

sunup_status ffn_seeds(sunup_context *ctx, const struct volume *v, int64_t (**seeds)[3], int64_t *n)
{
    const size_t voxels = (size_t)v->voxels;
    const int64_t room = v->voxels / 64 + 1; /* no two within a cube of 4 */
    float *g = malloc(voxels * sizeof *g), *t = malloc(voxels * sizeof *t);
    double *x = malloc(voxels * sizeof *x);
    *seeds = malloc((size_t)room * sizeof **seeds);
    *n = 0;
    bool good = g != NULL && t != NULL && x != NULL && *seeds != NULL;
    for (int i = 0; i < 3; i++) good = good && v->size[i] <= LONGEST;
    if (good) {
        find(v, g, t, x);
        *n = find_peaks(v, x, room, *seeds);
    }
    free(g);
    free(t);
    free(x);
    return good ? SUNUP_OK
                : app_error(ctx, SUNUP_E_MEMORY,
                            "no memory to look for seeds in %lld voxels, or an axis "
                            "longer than %d",
                            (long long)v->voxels, LONGEST);
}
