/* fixed.c - a sum of block-scaled integers: exact, so in any order, whoever adds.
 *
 * The n elements are cut in blocks of FIXED_BLOCK at fixed places. A term x adds x * 2^s, rounded,
 * to an int32; the total is the sum times 2^-s, rounded once. The block's exponent s is chosen
 * before the terms are known, from a bound on |x|, such that S terms of 2^MARGIN times the bound
 * still fit; within a part of the caller's (a tensor) at least for terms as large as its largest bound.
 * The largest |x| decides afterwards whether they did: if not, in some block of some
 * rank, all repeat the step with bounds that fit.
 *
 * Owes: bits that depend on the terms of this step and earlier ones only, block by block. Leaves
 * the maxima of other ranks to the caller. Not finite in, NaN out in all of the block, whose bound
 * stays.
 *
 * Precision: a term is rounded to 28 - log2 S bits, or one more, of its block's (its part's) bound, never finer
 * than 2^-126. Right for elements like their neighbours; those far below them lose more than in
 * float. Source: docs/decisions/004-same-bits.md.
 */
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/integers.h"
#include "base/memory.h"
#include "base/system.h"
#include "comm/inside.h"

enum { MARGIN = 2, FINEST = 126, SHARDS_MOST = 1 << 16, NOT_FINITE = 0xff };
enum { BLOCKS_AT_ONCE = SUM_CHUNK / FIXED_BLOCK };

struct fixed_sum {
    struct sum sum;
    int32_t *row; /* [n] the own terms' sum, the caller's memory */
    float *most;  /* [blocks] their largest |x|, likewise        */
    int64_t blocks;
    float limit;  /* of a scaled term: S of them fit             */
    float *bound; /* [blocks] of |x|                             */
    float *scale; /* [blocks] 2^s of this step                   */
    float *back;  /* [blocks] the largest |x| of all ranks, then 2^-s of the step decided last; NaN */
    bool first;   /* no term yet                                 */
    int parts;
    int64_t *part_at; /* [parts + 1] blocks; NULL: each block is by itself */
    _Atomic bool over;
};

/* --- numbers --- */

static uint32_t bits_of(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static float power_of_2(int n) /* -126 <= n <= 127 */
{
    const uint32_t u = (uint32_t)(n + 127) << 23;
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static int exponent_field(float x)
{
    return (int)(bits_of(x) >> 23);
}

/* 2^(s + MARGIN) bound <= limit, s as large as can be; a bound of 0 gives an infinite quotient. */
static int scale_exponent(const struct fixed_sum *f, float bound)
{
    const int s = exponent_field(f->limit / bound) - 127 - MARGIN;
    return s < FINEST ? s : FINEST;
}


static int64_t chunk_end(const struct fixed_sum *f, int64_t chunk)
{
    return least(f->blocks, (chunk + 1) * BLOCKS_AT_ONCE);
}

static void scale_blocks(struct fixed_sum *f, int64_t from, int64_t to, float least_bound)
{
    for (int64_t b = from; b < to; b++)
        f->scale[b] = power_of_2(scale_exponent(f, fmaxf(f->bound[b], least_bound)));
}

static void scale_chunk(void *arg, int64_t i)
{
    scale_blocks(arg, i * BLOCKS_AT_ONCE, chunk_end(arg, i), 0);
}

/* A row of a table of classes or words is small, or zero, until its word comes: then it is as large as the others of
 * its part that came before. All of the part foresees that. */
static void scale_part(void *arg, int64_t i)
{
    struct fixed_sum *f = arg;
    float most = 0;
    for (int64_t b = f->part_at[i]; b < f->part_at[i + 1]; b++) most = fmaxf(most, f->bound[b]);
    scale_blocks(f, f->part_at[i], f->part_at[i + 1], most);
}

static void set_scales(struct fixed_sum *f)
{
    if (f->part_at != NULL)
        sunup__parallel(f->sum.threads, f->parts, scale_part, f);
    else
        sunup__parallel(f->sum.threads, sunup__sum_chunks(f->sum.n), scale_chunk, f);
}

/* --- create and destroy --- */

int64_t sunup__fixed_blocks(int64_t n)
{
    return ceil_div(n, FIXED_BLOCK);
}

/* The largest float that is no more than (2^31 - 1) / shards. */
static float limit_of(int shards)
{
    const int32_t limit = INT32_MAX / shards;
    const float f = (float)limit;
    return (double)f > limit ? nextafterf(f, 0) : f;
}

sunup_status sunup__fixed_check(sunup_context *ctx, int shards, bool f64)
{
    CHECK(!f64, ctx, E_UNSUPPORTED,
          "sums of int32 are of f32 gradients; these are f64: sum them "
          "along the tree (sum: tree)");
    CHECK(
        shards <= SHARDS_MOST, ctx, E_UNSUPPORTED,
        "%d shards leave too few of 32 bits to each; at most %d, or sum along the tree (sum: tree)",
        shards, SHARDS_MOST);
    return SUNUP_OK;
}

sunup_status sunup__fixed_create(sunup_context *ctx, const struct sum *s, int32_t *row, float *most,
                                 struct fixed_sum **out)
{
    *out = NULL;
    TRY(sunup__fixed_check(ctx, s->shards, s->f64));
    struct fixed_sum *f = sunup__alloc(sizeof *f);
    const size_t blocks = (size_t)sunup__fixed_blocks(s->n);
    if (f) *f = (struct fixed_sum){*s, row, most, (int64_t)blocks, .first = true};
    if (f) f->bound = sunup__alloc(blocks * sizeof *f->bound);
    if (f) f->scale = sunup__alloc(blocks * sizeof *f->scale);
    if (f) f->back = sunup__alloc(blocks * sizeof *f->back);
    *out = f;
    if (!f || !f->bound || !f->scale || !f->back) {
        sunup__fixed_destroy(out);
        RAISE(ctx, E_MEMORY, "no memory for the exponents of %lld blocks", (long long)blocks);
    }
    f->limit = limit_of(s->shards);
    set_scales(f);
    return SUNUP_OK;
}

sunup_status sunup__fixed_parts(sunup_context *ctx, struct fixed_sum *f, int n, const int64_t *at)
{
    f->part_at = sunup__alloc((size_t)(n + 1) * sizeof *f->part_at);
    CHECK(f->part_at, ctx, E_MEMORY, "no memory for the %d parts of a sum", n);
    for (int i = 1; i < n; i++) f->part_at[i] = sunup__fixed_blocks(at[i]);
    f->part_at[n] = f->blocks;
    f->parts = n;
    set_scales(f);
    return SUNUP_OK;
}

int64_t sunup__fixed_bytes(int64_t n)
{
    return 3 * sunup__fixed_blocks(n) * (int64_t)sizeof(float);
}

void sunup__fixed_destroy(struct fixed_sum **f)
{
    if (!*f) return;
    sunup__free((*f)->part_at);
    sunup__free((*f)->bound);
    sunup__free((*f)->scale);
    sunup__free((*f)->back);
    sunup__free(*f);
    *f = NULL;
}

const float *sunup__fixed_bounds(const struct fixed_sum *f)
{
    return f->bound;
}

sunup_status sunup__fixed_restore(sunup_context *ctx, struct fixed_sum *f, const float *bounds)
{
    for (int64_t b = 0; b < f->blocks; b++)
        CHECK(exponent_field(bounds[b]) < NOT_FINITE, ctx, E_ARGUMENT,
              "the bound of block %lld of the gradients is %g; the checkpoint is damaged",
              (long long)b, (double)bounds[b]);
    memcpy(f->bound, bounds, (size_t)f->blocks * sizeof *bounds);
    set_scales(f);
    return SUNUP_OK;
}

/* --- terms --- */

struct term_work {
    struct fixed_sum *f;
    const float *x, *z;
};

static void add_chunk(void *arg, int64_t i)
{
    const struct term_work *w = arg;
    struct fixed_sum *f = w->f;
    for (int64_t b = i * BLOCKS_AT_ONCE; b < chunk_end(f, i); b++) {
        const int64_t at = b * FIXED_BLOCK, n = least(FIXED_BLOCK, f->sum.n - at);
        if (f->first) f->most[b] = 0;
        f->sum.k->f32.fixed_add(n, w->x + at, w->z != NULL ? w->z + at : NULL, f->scale[b],
                                f->first, f->row + at, &f->most[b]);
    }
}

void sunup__fixed_add(struct fixed_sum *f, const float *x, const float *z)
{
    sunup__parallel(f->sum.threads, sunup__sum_chunks(f->sum.n), add_chunk,
                    &(struct term_work){f, x, z});
    f->first = false;
}

/* --- the decision --- */

struct largest_work {
    struct fixed_sum *f;
    const float *const *most;
    int ranks;
};

/* In the order of bits, where NaN is the largest. */
static float largest(const struct largest_work *w, int64_t block)
{
    float most = w->most[0][block];
    for (int r = 1; r < w->ranks; r++)
        if (bits_of(w->most[r][block]) > bits_of(most)) most = w->most[r][block];
    return most;
}

/* Other ranks read f->most meanwhile: what is combined goes where this step's factors will be. */
static void combine_chunk(void *arg, int64_t i)
{
    const struct largest_work *w = arg;
    for (int64_t b = i * BLOCKS_AT_ONCE; b < chunk_end(w->f, i); b++) w->f->back[b] = largest(w, b);
}

float *sunup__fixed_largest(struct fixed_sum *f, const float *const *most, int ranks)
{
    struct largest_work w = {f, most, ranks};
    sunup__parallel(f->sum.threads, sunup__sum_chunks(f->sum.n), combine_chunk, &w);
    return f->back;
}

static bool fits(const struct fixed_sum *f, int64_t block, float most)
{
    return exponent_field(most) == NOT_FINITE || most * f->scale[block] <= f->limit;
}

static void judge_chunk(void *arg, int64_t i)
{
    struct fixed_sum *f = arg;
    bool over = false;
    for (int64_t b = i * BLOCKS_AT_ONCE; b < chunk_end(f, i); b++)
        over = over || !fits(f, b, f->back[b]);
    if (over) atomic_store(&f->over, true);
}

static void widen_chunk(void *arg, int64_t i)
{
    struct fixed_sum *f = arg;
    for (int64_t b = i * BLOCKS_AT_ONCE; b < chunk_end(f, i); b++)
        if (!fits(f, b, f->back[b])) f->bound[b] = f->back[b];
}

/* Follows the largest |x|: upwards at once, downwards by a sixteenth a step, but no more than 16
 * times above. A repetition costs a whole step, and a block's largest gradients come and go: if
 * their logarithms vary by 0.5 from step to step, one of 1000 blocks exceeds 4 to 8 times its last
 * at nearly every step, and its bound at one of ten. */
static float next_bound(float bound, float most)
{
    const float fallen = fminf(bound - bound / 16, 16 * most);
    return fmaxf(fallen, most);
}

/* A block of zeros tells nothing: it keeps its bound. */
static void accept_chunk(void *arg, int64_t i)
{
    struct fixed_sum *f = arg;
    for (int64_t b = i * BLOCKS_AT_ONCE; b < chunk_end(f, i); b++) {
        const float most = f->back[b];
        const bool finite = exponent_field(most) < NOT_FINITE;
        f->back[b] = finite ? 1 / f->scale[b] : most - most;
        if (finite && most > 0) f->bound[b] = next_bound(f->bound[b], most);
    }
}

bool sunup__fixed_decide(struct fixed_sum *f)
{
    const int64_t chunks = sunup__sum_chunks(f->sum.n);
    atomic_store(&f->over, false);
    sunup__parallel(f->sum.threads, chunks, judge_chunk, f);
    const bool again = atomic_load(&f->over);
    sunup__parallel(f->sum.threads, chunks, again ? widen_chunk : accept_chunk, f);
    set_scales(f);
    f->first = true;
    return again;
}

/* --- totals --- */

struct value_work {
    const struct fixed_sum *f;
    const struct fixed_rows *rows;
    struct slice slice;
    float *total;
};

/* The part of one block that lies in the slice. */
static void value_block(const struct value_work *w, int64_t block)
{
    const struct leaves_f32 *k = &w->f->sum.k->f32;
    const int64_t at = most(w->slice.at, block * FIXED_BLOCK);
    const int64_t n = least(w->slice.at + w->slice.n, (block + 1) * FIXED_BLOCK) - at;
    const int32_t *const *row = w->rows->row;
    const int last = w->rows->n - 1;
    int32_t room[FIXED_BLOCK];
    const int32_t *sum = row[0] + at; /* of all rows but the last */
    if (last > 1) sum = memcpy(room, sum, (size_t)n * sizeof *room);
    for (int r = 1; r < last; r++) k->fixed_sum(n, row[r] + at, room);
    k->fixed_value(n, sum, last > 0 ? row[last] + at : NULL, w->f->back[block], w->total + at);
}

static void value_chunk(void *arg, int64_t i)
{
    const struct value_work *w = arg;
    const int64_t first = w->slice.at / FIXED_BLOCK + i * BLOCKS_AT_ONCE;
    const int64_t end = sunup__fixed_blocks(w->slice.at + w->slice.n);
    for (int64_t b = first; b < least(end, first + BLOCKS_AT_ONCE); b++) value_block(w, b);
}

void sunup__fixed_value(const struct fixed_sum *f, const struct fixed_rows *rows,
                        struct slice slice, float *total)
{
    struct value_work w = {f, rows, slice, total};
    const int64_t first = slice.at / FIXED_BLOCK;
    const int64_t blocks = sunup__fixed_blocks(slice.at + slice.n) - first;
    if (slice.n > 0)
        sunup__parallel(f->sum.threads, ceil_div(blocks, BLOCKS_AT_ONCE), value_chunk, &w);
}
