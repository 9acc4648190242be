/* random.c - random numbers for simulators: a stream for each (seed, name, epoch, sample), counted from 0. */
#include <math.h>
#include <string.h>

#include "base/random.h"
#include "inside.h"

struct app_random app_random(uint64_t seed, const char *name, int64_t epoch, int64_t sample)
{
    const int64_t key[2] = {epoch, sample};
    return (struct app_random){.seed = seed,
                               .name = (uint32_t)sunup__hash(name, strlen(name), 0),
                               .a = sunup__hash(key, sizeof key, 0)};
}

static struct random_stream stream_of(const struct app_random *r)
{
    return (struct random_stream){r->seed, RANDOM_USER, r->name, r->a};
}

double app_uniform(struct app_random *r, double low, double high)
{
    const struct random_stream s = stream_of(r);
    return low + (high - low) * sunup__random_unit(&s, r->i++);
}

double app_normal(struct app_random *r)
{
    const struct random_stream s = stream_of(r);
    return sunup__random_normal(&s, r->i++);
}

int64_t app_below(struct app_random *r, int64_t n)
{
    const struct random_stream s = stream_of(r);
    return (int64_t)sunup__random_below(&s, r->i++, (uint64_t)n);
}

double app_exponential(struct app_random *r, double mean)
{
    return -mean * log(1 - app_uniform(r, 0, 1));
}

/* Marsaglia and Tsang (2000): a cubed normal, most times accepted by its squeeze, without
 * logarithms; shapes below 1 by a power of a uniform. */
double app_gamma(struct app_random *r, double shape)
{
    if (shape < 1) return app_gamma(r, shape + 1) * pow(1 - app_uniform(r, 0, 1), 1 / shape);
    const double d = shape - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        const double x = app_normal(r), t = 1 + c * x, v = t * t * t, u = 1 - app_uniform(r, 0, 1);
        if (v <= 0) continue;
        if (u < 1 - 0.0331 * (x * x) * (x * x) || log(u) < 0.5 * x * x + d - d * v + d * log(v))
            return d * v;
    }
}

/* By products of uniforms; means above 30 by halves, since a sum of Poisson numbers is one: the median order of a
 * Poisson process is gamma distributed (Devroye 1986, X.3), so the work grows as the logarithm of the mean. */
int64_t app_poisson(struct app_random *r, double mean)
{
    int64_t n = 0;
    while (mean > 30) {
        const int64_t k = (int64_t)(0.875 * mean);
        const double x = app_gamma(r, (double)k);
        if (x > mean) {
            /* k-th point beyond the end: of the k - 1 before it each lies inside with probability mean / x */
            for (int64_t i = 1; i < k; i++) n += app_uniform(r, 0, 1) < mean / x;
            return n;
        }
        n += k;
        mean -= x;
    }
    const double end = exp(-mean);
    for (double p = app_uniform(r, 0, 1); p > end; p *= app_uniform(r, 0, 1)) n++;
    return n;
}
