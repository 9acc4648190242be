/* check.h - how a leaf is checked and timed; `sunup check gemm` and `sunup bench kernel
 * gemm:m64n48k300` end here.
 *
 * Every leaf of leaves.def has one `const struct leaf_check sunup__check_<leaf>` in
 * ref/<file>_check.c (a missing one fails the link). It lists problems and a function that runs any
 * of them:
 *
 *     static void run(struct check *c)
 *     {
 *         const int64_t n = sunup__check_number(c, "n", 1);  // "n48": 48; absent: 1
 *         const struct operand x = sunup__check_in(c, "x", n, FILL_ANY);
 *         const struct operand y = sunup__check_out(c, "y", n, FILL_ANY); // += wants contents
 *         sunup__check_cost(c, (double)n, 12.0 * (double)n);    // flops, bytes
 *         CHECK_RUN(c) c->f32->add_to(n, x.f32, y.f32);         // the leaf under test
 *         if (!sunup__check_wanted(c)) return;                  // bench: no reference
 *         c->f64->add_to(n, x.f64, y.f64);                      // on the same inputs
 *         sunup__check_close(c, &y, NULL, 1);
 *     }
 *     static const char *const problems[] = {"n0", "n1", "n17", "n1003", NULL};
 *     const struct leaf_check sunup__check_add_to = {"add_to", problems, run};
 *
 * Each problem runs at several seeds; the seed decides all: values, which end of each buffer
 * touches an unreadable page (so reading or writing one byte too far is a crash with a name) and
 * hence its alignment, and the mood, one of: plain numbers; awkward ones (zeros, denormals, powers
 * of two, tiny, large); with NaN and Inf among them. The other end of a buffer is guard bytes,
 * verified. Inputs are verified to be unchanged. A level of isa.def, weakest first, runs the checks
 * of the f32 pointers that it changed; "ref" runs all.
 *
 * Bounds are never magic numbers: |got - want| <= terms * (2^-24 * size + 2^-149), where `size` is
 * the sum of the absolute values of what was added up for that element (a reference run on absolute
 * values, usually) and `terms` counts the roundings on the way. NaN must meet NaN, Inf meet Inf of
 * the same sign or an overflow of the bound's own size.
 */
#ifndef SUNUP_KERNELS_CHECK_H
#define SUNUP_KERNELS_CHECK_H

#include "base/context.h"
#include "kernels/kernels.h"

struct check; /* one run of one problem */

struct leaf_check {
    const char *leaf;
    const char *const *problems; /* without "leaf:"; ends with NULL */
    void (*run)(struct check *c);
};

enum fill {
    FILL_ANY,      /* by mood; plain: uniform in [-1, 1)                             */
    FILL_POSITIVE, /* by mood but > 0 and no Inf: variances, moments, divisors       */
    FILL_FINITE,   /* as FILL_ANY without NaN and Inf in any mood                    */
    FILL_UNIT,     /* uniform in [0, 1) in every mood: probabilities                 */
    FILL_ZERO,     /* +0 everywhere                                                  */
    FILL_TIES      /* one of -1, -0.5, 0, 0.5, 1, and NaN by mood: equal maxima      */
};

/* The same values twice: f32 for the leaf under test, f64 for the reference. Pointers live until
 * the run ends. */
struct operand {
    const char *name;
    int64_t n;
    float *f32;
    double *f64;
    int32_t *i32, *i32_want; /* integer operands: under test, reference */
};

struct check {
    const struct leaves_f32 *f32; /* under test                                */
    const struct leaves_f64 *f64; /* the reference                             */
    const char *problem;
    uint64_t seed;
    struct check_state *state; /* check.c's own                             */
};

/* The number after `key` in the problem; a key without number counts as 1; absent: otherwise. Keys
 * are runs of letters or _; ':' and ',' may separate. A key that nobody asked for is a mistake in
 * the problem. */
int64_t sunup__check_number(struct check *c, const char *key, int64_t otherwise);

struct operand sunup__check_in(struct check *c, const char *name, int64_t n, enum fill fill);
struct operand sunup__check_out(struct check *c, const char *name, int64_t n, enum fill fill);
/* int32 in [low, high). */
struct operand sunup__check_ints(struct check *c, const char *name, int64_t n, int64_t low,
                                 int64_t high);
struct operand sunup__check_ints_out(struct check *c, const char *name, int64_t n);
/* Zeroed f64 memory of the run: sizes of bounds, references'
 * scratch. absolute: |x|, for size by reference. */
double *sunup__check_scratch(struct check *c, int64_t n);
double *sunup__check_absolute(struct check *c, const struct operand *x);

/* Runs the statement that follows: once for a check, many times for a bench. */
#define CHECK_RUN(c) while (sunup__check_again(c))
bool sunup__check_again(struct check *c);
bool sunup__check_wanted(struct check *c); /* after CHECK_RUN: is a comparison wanted? */
void sunup__check_cost(struct check *c, double flops, double bytes);

/* Compare o->f32 with o->f64 by the bound above. size [n] or NULL: |want|. terms 0: equal to the
 * reference rounded to f32, NaN meeting any NaN. */
void sunup__check_close(struct check *c, const struct operand *o, const double *size, double terms);
void sunup__check_same_ints(struct check *c, const struct operand *o);
void sunup__check_value(struct check *c, const char *name, double got, double want, double size,
                        double terms);
/* Anything else: a sentence. Only the first failure of a run is kept. */
void sunup__check_fail(struct check *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- for the program ---- */

struct check_result {
    const char *leaf, *problem, *isa; /* problem without "leaf:"                              */
    uint64_t seed;                    /* of the first failure                                 */
    int runs;                         /* seeds tried                                          */
    double worst;                     /* largest error as a share of its bound; <= 1 is right */
    const char *failure;              /* NULL: good; else a sentence that names all of it     */
};
struct check_report {
    int seeds; /* 0: 6, each mood at each end of the buffers           */
    uint64_t first_seed;
    const char *isa; /* NULL: every level that runs here                     */
    void (*each)(void *arg, const struct check_result *r); /* or NULL                         */
    void *arg;
    int64_t results, failures; /* out                                                  */
};
/* filter: NULL all leaves, "gemm" one leaf, "gemm:m64n48k300" one problem, listed or not.
 * E_ARGUMENT: no such leaf or level. A leaf that fails its check is no error of the call: see
 * report->failures. */
sunup_status sunup__kernels_check(sunup_context *ctx, const char *filter,
                                  struct check_report *report);

struct bench_result {
    double median_s, min_s, spread_s; /* of one call; spread: between the quartiles           */
    int64_t calls;
    double flops, bytes; /* of one call, as the leaf's check counts them         */
};
/* problem "gemm:m64n48k300"; isa NULL: the strongest; runs
 * for about `seconds` on the calling thread. */
sunup_status sunup__kernels_bench(sunup_context *ctx, const char *problem, const char *isa,
                                  double seconds, struct bench_result *result);

/* Ceilings of one thread, measured now (about 0.1 s). */
struct peak {
    double flops_per_s;      /* f32 fused multiply-adds in registers, 2 flops each            */
    double copy_bytes_per_s; /* memcpy of 64 MiB: bytes read + bytes written                  */
};
struct peak sunup__kernels_peak(const struct kernels *k);

/* The table, in the order of leaves.def. */
enum leaf {
#define LEAF(name, ...) LEAF_##name,
#include "kernels/leaves.def"
#undef LEAF
    LEAVES
};
const struct leaf_check *sunup__leaf_check(int leaf);

#define LEAF(name, ...) extern const struct leaf_check sunup__check_##name;
#include "kernels/leaves.def"
#undef LEAF

#endif
