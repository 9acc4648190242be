/* check_bench.c - times one problem of one leaf, with the same string and the same operands as its
 * check, and measures the ceilings that the result is divided by.
 *
 * Calls are timed in blocks of at least 50 us, so that the clock costs nothing; the result is the
 * median block. Operands stay where they are: caches are warm as far as they reach.
 */
#include <stdlib.h>
#include <string.h>

#include "base/system.h"
#include "kernels/check_state.h"

static const double block_s = 50e-6;

static void next_block(struct check_state *s)
{
    const double now = sunup__now_s(), took = now - s->block_from_s;
    if (s->calls > 0 && took < block_s && s->samples == 0) {
        s->block *= 2;
    } else if (s->calls > 0 && s->samples < CHECK_SAMPLES) {
        s->sample_s[s->samples++] = took / (double)s->block;
    }
    s->left = s->block;
    s->block_from_s = sunup__now_s();
}

bool sunup__check_again(struct check *c)
{
    struct check_state *s = c->state;
    if (!s->bench) {
        const bool first = !s->started;
        s->started = true;
        return first && !s->failure.s;
    }
    if (s->failure.s) return false;
    if (s->left == 0) {
        next_block(s);
        if (s->samples >= 5 && (s->block_from_s > s->until_s || s->samples == CHECK_SAMPLES))
            return false;
    }
    s->left--;
    s->calls++;
    return true;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static const struct leaf_check *leaf_of(const char *problem)
{
    const size_t n = strcspn(problem, ":");
    for (int i = 0; i < LEAVES; i++) {
        const char *leaf = sunup__leaf_check(i)->leaf;
        if (strlen(leaf) == n && strncmp(leaf, problem, n) == 0) return sunup__leaf_check(i);
    }
    return NULL;
}

static sunup_status bench(sunup_context *ctx, const struct leaf_check *leaf, struct check *c,
                          struct bench_result *result)
{
    struct check_state *s = c->state;
    TRY(sunup__check_parse(ctx, c));
    const char *signal = sunup__check_guarded(leaf->run, c);
    if (signal) sunup__check_fail(c, "ended with %s", signal);
    sunup__check_keys(c);
    sunup__check_end(c);
    if (s->failure.s) {
        const sunup_status status =
            sunup__raise(ctx, SUNUP_E_ARGUMENT, "%s:%s: %s", leaf->leaf, c->problem, s->failure.s);
        sunup__free(s->failure.s);
        return status;
    }
    CHECK(s->samples > 0, ctx, E_INTERNAL, "%s:%s was not called", leaf->leaf, c->problem);
    const int64_t n = s->samples;
    qsort(s->sample_s, (size_t)n, sizeof(double), by_size);
    *result = (struct bench_result){.median_s = s->sample_s[n / 2],
                                    .min_s = s->sample_s[0],
                                    .spread_s = s->sample_s[n * 3 / 4] - s->sample_s[n / 4],
                                    .calls = s->calls,
                                    .flops = s->flops,
                                    .bytes = s->bytes};
    return SUNUP_OK;
}

sunup_status sunup__kernels_bench(sunup_context *ctx, const char *problem, const char *isa,
                                  double seconds, struct bench_result *result)
{
    const struct leaf_check *leaf = leaf_of(problem);
    CHECK(leaf, ctx, E_ARGUMENT, "no leaf is named as in '%s'; leaves are listed in leaves.def",
          problem);
    struct kernels kernels;
    CHECK(sunup__kernels_init(&kernels, sunup__cpu_flags(), isa), ctx, E_ARGUMENT,
          "this processor has no instruction set '%s'", isa);
    const char *rest = strchr(problem, ':');
    struct check_state state = {.bench = true, .block = 1, .until_s = sunup__now_s() + seconds};
    struct check c = {&kernels.f32, &kernels.f64, rest ? rest + 1 : "", 0, &state};
    return bench(ctx, leaf, &c, result);
}

/* ---- ceilings ---- */

double sunup__fma_loop(int64_t rounds)
{
    enum { CHAINS = 8 };
    volatile float start = 1e-3F; /* keeps the compiler from doing the loop itself */
    float x[CHAINS], f = start;
    for (int j = 0; j < CHAINS; j++) x[j] = f + (float)j;
    for (int64_t i = 0; i < rounds; i++) {
        for (int j = 0; j < CHAINS; j++) x[j] = x[j] * f + f;
    }
    for (int j = 0; j < CHAINS; j++) start = x[j];
    return 2.0 * CHAINS * (double)rounds;
}

static double best_flops(const struct kernels *k)
{
    double best = 0;
    for (int i = 0; i < 8; i++) {
        const double from = sunup__now_s(), flops = k->fma_loop(500000),
                     took = sunup__now_s() - from;
        if (flops / took > best) best = flops / took;
    }
    return best;
}

static double best_copy(void)
{
    const size_t bytes = (size_t)64 << 20;
    char *a = sunup__alloc_aligned(bytes), *b = sunup__alloc_aligned(bytes);
    double best = 0;
    if (a && b) {
        memset(a, 1, bytes);
        memset(b, 2, bytes);
        for (int i = 0; i < 4; i++) {
            const double from = sunup__now_s();
            memcpy(a, b, bytes);
            const double rate = 2 * (double)bytes / (sunup__now_s() - from);
            if (rate > best) best = rate;
        }
    }
    sunup__free(a);
    sunup__free(b);
    return best;
}

struct peak sunup__kernels_peak(const struct kernels *k)
{
    return (struct peak){.flops_per_s = best_flops(k), .copy_bytes_per_s = best_copy()};
}
