/* chunks.c - how the flat arrays are cut: tensors into chunks, chunks into the slices of ranks.
 *
 * Owes: the places where a slice may end, which follow from the tensors alone, and a rank's own chunks.
 * Invariant: a chunk lies within one slice, or the optimizer is refused. Chunks begin at multiples of CHUNK from their
 * tensor's start, so they are aligned if tensors are, in the flat arrays and in the memory of the slices.
 */
#include <string.h>

#include "base/integers.h"
#include "base/memory.h"
#include "optim/optimizer.h"

int64_t sunup__optimizer_cut(const void *job, int64_t at)
{
    const struct optimizer_job *j = job;
    const struct segment whole = {.n = j->n};
    const struct segment *s = j->n_segments > 0 ? j->segments : &whole;
    if (at >= j->n) return j->n;
    int before = 0,
        end = j->n_segments > 0 ? j->n_segments : 1; /* segments that begin at or before at */
    while (before < end) {
        const int middle = before + (end - before) / 2;
        if (s[middle].at <= at)
            before = middle + 1;
        else
            end = middle;
    }
    if (before == 0) return 0;
    s += before - 1;
    return s->at + least(at - s->at, s->n) / CHUNK * CHUNK;
}

static sunup_status check_segments(sunup_context *ctx, const struct optimizer_job *job)
{
    int64_t end = 0;
    for (int i = 0; i < job->n_segments; i++) {
        const struct segment *s = &job->segments[i];
        CHECK(s->at >= end && s->n >= 0 && s->n <= job->n - s->at, ctx, E_ARGUMENT,
              "optimizer: tensor '%s' takes [%lld, +%lld) of %lld elements, the one before ends at "
              "%lld",
              s->name, (long long)s->at, (long long)s->n, (long long)job->n, (long long)end);
        const struct factors *f = s->factors;
        CHECK(f == NULL || (f->terms >= 1 && f->rows * f->columns == s->n), ctx, E_ARGUMENT,
              "optimizer: tensor '%s' has %lld elements, its factors [%lld][%lld] and [%lld][%lld]", s->name,
              (long long)s->n, (long long)f->terms, (long long)f->rows, (long long)f->terms, (long long)f->columns);
        end = s->at + s->n;
    }
    return SUNUP_OK;
}

static sunup_status check_slices(sunup_context *ctx, const struct optimizer_job *job)
{
    int64_t end = 0;
    for (int i = 0; job->slices != NULL && i < job->n_slices; i++) {
        const struct slice *s = &job->slices[i];
        CHECK(s->at >= end && s->n >= 0 && s->n <= job->n - s->at, ctx, E_ARGUMENT,
              "optimizer: slice %d is [%lld, +%lld) of %lld elements, the one before ends at %lld",
              i, (long long)s->at, (long long)s->n, (long long)job->n, (long long)end);
        end = s->at + s->n;
    }
    return SUNUP_OK;
}

/* The segments given, or one that spans everything. */
static bool copy_segments(struct optimizer *opt, const struct optimizer_job *job)
{
    const struct segment whole = {.name = "all weights", .n = job->n};
    const struct segment *from = job->n_segments > 0 ? job->segments : &whole;
    opt->n_segments = job->n_segments > 0 ? job->n_segments : 1;
    opt->segments = sunup__alloc((size_t)opt->n_segments * sizeof *opt->segments);
    for (int s = 0; opt->segments && s < opt->n_segments; s++) {
        char *name = sunup__strdup(from[s].name);
        if (!name) return false;
        opt->segments[s] = from[s];
        opt->segments[s].name = name;
    }
    return opt->segments != NULL;
}

static bool copy_slices(struct optimizer *opt, const struct optimizer_job *job)
{
    const struct slice whole = {0, job->n};
    const struct slice *from = job->slices ? job->slices : &whole;
    opt->n_slices = job->slices ? job->n_slices : 1;
    const size_t bytes = (size_t)opt->n_slices * sizeof *opt->slices;
    opt->slices = sunup__alloc(bytes);
    if (!opt->slices) return false;
    memcpy(opt->slices, from, bytes);
    for (int i = 0; i < opt->n_slices; i++) opt->n_own += opt->slices[i].n;
    return true;
}

/* The slices while segments ascend: which one may hold the next chunk, and what lies before it in the own memory. */
struct walk {
    int slice;
    int64_t own;
};

/* Chunks of segment s that begin in own slices go to `to` (NULL: they are counted only); how many. -1: one is cut. */
static int64_t walk_segment(const struct optimizer *opt, int s, struct walk *w, struct chunk *to)
{
    const struct segment *segment = &opt->segments[s];
    int64_t n = 0;
    for (int64_t i = 0; i < segment->n; i += CHUNK) {
        struct chunk c = {s, segment->at + i, 0, least(segment->n - i, CHUNK)};
        while (w->slice < opt->n_slices &&
               opt->slices[w->slice].at + opt->slices[w->slice].n <= c.at)
            w->own += opt->slices[w->slice++].n;
        if (w->slice == opt->n_slices) return n;
        const struct slice *slice = &opt->slices[w->slice];
        if (slice->at >= c.at + c.n) continue;
        if (slice->at > c.at || slice->at + slice->n < c.at + c.n) return -1;
        c.own = w->own + c.at - slice->at;
        if (to) to[n] = c;
        n++;
    }
    return n;
}

/* Own chunks of all segments, as walk_segment has them. */
static int64_t walk_all(const struct optimizer *opt, struct chunk *to)
{
    struct walk w = {0};
    int64_t all = 0;
    for (int s = 0; s < opt->n_segments; s++) {
        const int64_t n = walk_segment(opt, s, &w, to ? to + all : NULL);
        if (n < 0) return -1;
        all += n;
    }
    return all;
}

sunup_status sunup__optimizer_chunks(struct optimizer *opt, const struct optimizer_job *job)
{
    TRY(check_segments(opt->ctx, job));
    TRY(check_slices(opt->ctx, job));
    if (!copy_segments(opt, job) || !copy_slices(opt, job)) return SUNUP_E_MEMORY;
    opt->n_chunks = walk_all(opt, NULL);
    CHECK(opt->n_chunks >= 0, opt->ctx, E_ARGUMENT,
          "optimizer: a slice ends within a chunk of %d elements; end it where "
          "sunup__optimizer_cut allows",
          CHUNK);
    opt->chunks = sunup__alloc((size_t)opt->n_chunks * sizeof *opt->chunks);
    if (!opt->chunks) return SUNUP_E_MEMORY;
    (void)walk_all(opt, opt->chunks);
    return SUNUP_OK;
}
