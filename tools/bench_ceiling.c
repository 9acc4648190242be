/* bench_ceiling.c - what all threads of the context reach together: fused multiply-adds, and a copy.
 *
 * A row is judged by these. The rate of multiply-adds hardly changes; that of a copy changes by 1.6 to 2
 * within minutes on a shared machine, so a row limited by memory is compared with a copy of its own,
 * timed in the same rounds; the figure here is only shown.
 */
#include <string.h>

#include "base/system.h"
#include "bench.h"
#include "device/device.h"
#include "kernels/check.h"

struct fma {
    const struct kernels *k;
    double flops[256]; /* of each thread; plenty: what is more counts for nothing */
};

static void fma_task(void *arg, int64_t i)
{
    struct fma *f = arg;
    f->flops[i] = f->k->fma_loop(400000);
}

double bench_fma(sunup_context *ctx, const struct kernels *k)
{
    struct fma f = {.k = k};
    const int threads = sunup_context_threads(ctx);
    const int n = threads < 256 ? threads : 256;
    const double from_s = sunup__now_s();
    sunup__parallel(threads, n, fma_task, &f);
    const double took_s = sunup__now_s() - from_s;
    double flops = 0;
    for (int i = 0; i < n; i++) flops += f.flops[i];
    return flops / took_s;
}

struct copy {
    const char *from;
    char *to;
    int64_t bytes, pieces;
};

static void copy_task(void *arg, int64_t i)
{
    const struct copy *c = arg;
    const int64_t low = c->bytes * i / c->pieces & ~63, high = c->bytes * (i + 1) / c->pieces;
    const int64_t end = i + 1 < c->pieces ? high & ~63 : high;
    memcpy(c->to + low, c->from + low, (size_t)(end - low));
}

double bench_copy(sunup_context *ctx, const void *from, void *to, int64_t bytes)
{
    const int threads = sunup_context_threads(ctx);
    struct copy c = {from, to, bytes, bytes < 64 * 1024 ? 1 : threads};
    const double from_s = sunup__now_s();
    sunup__parallel(threads, c.pieces, copy_task, &c);
    return sunup__now_s() - from_s;
}

static double best_copy(sunup_context *ctx)
{
    const int64_t bytes = 64 << 20;
    char *a = sunup__alloc_aligned((size_t)bytes), *b = sunup__alloc_aligned((size_t)bytes);
    double best = 0;
    if (a != NULL && b != NULL) {
        memset(a, 1, (size_t)bytes);
        memset(b, 2, (size_t)bytes);
        for (int i = 0; i < 5; i++) {
            const double rate = 2 * (double)bytes / bench_copy(ctx, a, b, bytes);
            if (rate > best) best = rate;
        }
    }
    sunup__free(a);
    sunup__free(b);
    return best;
}

sunup_status bench_ceilings(struct bench *b)
{
    struct ceilings *top = &b->top;
    sunup_context *ctx = b->c->ctx;
    if (top->known) return SUNUP_OK;
    const struct kernels *k;
    TRY(sunup__kernels(ctx, &k));
    /* a tenth of a second: just started, both threads may share a core until the scheduler parts them */
    const double from_s = sunup__now_s();
    do {
        const double rate = bench_fma(ctx, k);
        if (rate > top->flops_per_s) top->flops_per_s = rate;
    } while (sunup__now_s() - from_s < 0.1);
    top->copy_bytes_per_s = best_copy(ctx);
    top->known = true;
    if (!b->c->json)
        (void)printf("  ceilings of %d threads, kernels %s: %.1f GFLOP/s f32, copy %.1f GB/s\n",
                     sunup_context_threads(ctx), k->isa, 1e-9 * top->flops_per_s,
                     1e-9 * top->copy_bytes_per_s);
    return SUNUP_OK;
}
