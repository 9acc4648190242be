/* upsample.h - where the points of a finer axis lie between those of a coarse one.
 *
 * Each of n points covers `factor` new ones. Linear: new point o stands at (o + 1/2) / factor - 1/2 of
 * the old axis, ends held (PyTorch's align_corners=false). So the factor/2 first are the first old
 * point, then come `factor` between each pair, and the rest are the last old point.
 */
#ifndef SUNUP_KERNELS_UPSAMPLE_H
#define SUNUP_KERNELS_UPSAMPLE_H

#include <stdbool.h>
#include <stdint.h>

/* Share of the right one of a pair in the k-th new point between them. */
static inline double upsample_share(int64_t k, int64_t factor)
{
    return ((double)k + (factor % 2 ? 0 : 0.5)) / (double)factor;
}

/* New point o is (1 - right) old[at] + right old[at + 1]; right is 0 where there is no at + 1. */
struct upsample_place {
    int64_t at;
    double right;
};

static inline struct upsample_place upsample_place(int64_t o, int64_t n, int64_t factor,
                                                   bool linear)
{
    const int64_t j = o - factor / 2;
    if (!linear) return (struct upsample_place){o / factor, 0};
    if (j < 0) return (struct upsample_place){0, 0};
    if (j / factor >= n - 1) return (struct upsample_place){n - 1, 0};
    return (struct upsample_place){j / factor, upsample_share(j % factor, factor)};
}

/* Old point i is seen by the new points [from, to). */
static inline int64_t upsample_from(int64_t i, int64_t factor, bool linear)
{
    return linear && i > 0 ? i * factor - factor / 2 : i * factor;
}
static inline int64_t upsample_to(int64_t i, int64_t n, int64_t factor, bool linear)
{
    return linear && i < n - 1 ? (i + 1) * factor + factor / 2 : (i + 1) * factor;
}
/* What old point i counts in new point o. */
static inline double upsample_weight(int64_t o, int64_t i, int64_t n, int64_t factor, bool linear)
{
    const struct upsample_place p = upsample_place(o, n, factor, linear);
    return p.at == i ? 1 - p.right : p.at + 1 == i ? p.right : 0;
}

#endif
