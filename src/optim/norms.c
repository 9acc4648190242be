/* norms.c - sums of squares over tensors that many ranks own: chunks by the leaf, chunks and ranks exactly.
 *
 * A chunk's sum is the leaf's, whoever computes it; all further additions are exact, so a norm has the same bits
 * on all ranks, and whatever the ranks and slices. Ranks meet once for the gradient (lars: with the weights' squares in
 * the same words), once more for lamb. Words: 552 bytes, for lars and lamb twice that a tensor.
 */
#include <math.h>
#include <string.h>

#include "base/system.h"
#include "optim/optimizer.h"

static void square_task(void *arg, int64_t i)
{
    const struct step_job *job = arg;
    const struct optimizer *opt = job->opt;
    const struct chunk *c = &opt->chunks[i];
    const int64_t at = job->x_own ? c->own : c->at;
    _Alignas(64) double room[CHUNK];
    const void *x = job->x == job->g ? sunup__chunk_gradient(job, c, room) : sunup__element(opt, job->x, at);
    if (opt->f64)
        opt->kernels->f64.sum_squares(c->n, x, &opt->partial[i]);
    else
        opt->kernels->f32.sum_squares(c->n, x, &opt->partial[i]);
}

static void squares(struct step_job *job, const void *x, bool own)
{
    const bool seen = job->opt->seen && x == job->g;
    job->opt->seen = false;
    if (seen) return;
    job->x = x;
    job->x_own = own;
    sunup__parallel(job->opt->threads, job->opt->n_chunks, square_task, job);
}

/* The first own chunk that begins at or after `at`. */
static int64_t first_chunk(const struct optimizer *opt, int64_t at)
{
    int64_t before = 0, end = opt->n_chunks;
    while (before < end) {
        const int64_t middle = before + (end - before) / 2;
        if (opt->chunks[middle].at < at)
            before = middle + 1;
        else
            end = middle;
    }
    return before;
}

void sunup__optimizer_see(struct optimizer *opt, const void *g, struct slice piece)
{
    struct step_job job = {.opt = opt, .g = g, .x = g};
    int64_t i = first_chunk(opt, piece.at);
    for (; i < opt->n_chunks && opt->chunks[i].at < piece.at + piece.n; i++) square_task(&job, i);
}

void sunup__optimizer_seen(struct optimizer *opt)
{
    opt->seen = true;
}

void sunup__squares_by_tensor(struct step_job *job, const void *x, bool own, struct exact *sums)
{
    const struct optimizer *opt = job->opt;
    squares(job, x, own);
    memset(sums, 0, (size_t)opt->n_segments * sizeof *sums);
    for (int64_t i = 0; i < opt->n_chunks; i++)
        sunup__exact_add(&sums[opt->chunks[i].segment], opt->partial[i]);
    for (int s = 0; s < opt->n_segments; s++) sunup__exact_carry(&sums[s]);
}

void sunup__squares_of_all(struct step_job *job, const void *x, struct exact *sum)
{
    const struct optimizer *opt = job->opt;
    squares(job, x, false);
    *sum = (struct exact){0};
    for (int64_t i = 0; i < opt->n_chunks; i++) sunup__exact_add(sum, opt->partial[i]);
    sunup__exact_carry(sum);
}

sunup_status sunup__combine_squares(struct step_job *job, int n)
{
    struct optimizer *opt = job->opt;
    if (job->ranks != NULL)
        TRY(job->ranks->combine(job->ranks->arg, (int64_t)n * EXACT_WORDS, opt->sums->word));
    for (int i = 0; i < n; i++) opt->square[i] = sunup__exact_value(&opt->sums[i]);
    return SUNUP_OK;
}

sunup_status sunup__gradient_squares(struct step_job *job, double *sum)
{
    struct optimizer *opt = job->opt;
    if (opt->type != OPT_LARS) {
        sunup__squares_of_all(job, job->g, opt->sums);
        TRY(sunup__combine_squares(job, 1));
        *sum = opt->square[0];
        return SUNUP_OK;
    }
    sunup__squares_by_tensor(job, job->g, false, opt->sums);
    sunup__squares_by_tensor(job, job->w, false, opt->sums + opt->n_segments);
    TRY(sunup__combine_squares(job, 2 * opt->n_segments));
    struct exact all = {0};
    for (int s = 0; s < opt->n_segments; s++) {
        sunup__exact_carry(&opt->sums[s]);
        sunup__exact_merge(&all, &opt->sums[s]);
    }
    *sum = sunup__exact_value(&all);
    return SUNUP_OK;
}

/* Chunks of the gradient that are not finite, by tensor, over all ranks. */
static sunup_status count_bad(struct step_job *job)
{
    struct optimizer *opt = job->opt;
    squares(job, job->g, false);
    memset(opt->bad, 0, (size_t)opt->n_segments * sizeof *opt->bad);
    for (int64_t i = 0; i < opt->n_chunks; i++)
        opt->bad[opt->chunks[i].segment] += !isfinite(opt->partial[i]);
    if (job->ranks == NULL) return SUNUP_OK;
    return job->ranks->combine(job->ranks->arg, opt->n_segments, opt->bad);
}

sunup_status sunup__gradient_not_finite(struct step_job *job)
{
    const struct optimizer *opt = job->opt;
    TRY(count_bad(job));
    int s = 0;
    while (s < opt->n_segments - 1 && opt->bad[s] == 0) s++;
    RAISE(opt->ctx, E_NAN,
          "the gradient of '%s' is not finite at update %lld; no weight was changed. Try a lower "
          "lr, a longer warm-up or clip_norm, and look for log(0) or a division by 0",
          opt->segments[s].name, (long long)opt->t);
}
