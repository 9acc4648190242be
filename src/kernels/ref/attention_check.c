/* attention_check.c - problems of the leaves of attention: rows, n, see (keys of the first row;
 * absent: all), bias, blind (most rows see nothing), apart (elements between rows).
 *
 * exp(t - m) has condition 1 + |t - m|, and t itself is rounded, so an exponential's error counts
 * as many roundings as |t| + |m| + 3.
 *
 * Weights in two parts of bf16 are put together again and held to the same reference, within 2^-17 more: a part has
 * 8 bits, so what is left is at most 2^-8, and rounded by 2^-9 of that. Denormal parts may be 0.
 */
#include <math.h>
#include <string.h>

#include "base/integers.h"
#include "kernels/check.h"

struct problem {
    struct attention_f32 f32;
    struct attention_f64 f64;
    int64_t all;
    bool biased;
};

enum { PANEL = 32, HALF = PANEL / 2 };

/* parts: rows of whole panels, an even number of them. */
static struct problem read_problem(struct check *c, double flops, double moved, bool parts)
{
    const int64_t rows = sunup__check_number(c, "rows", 1), n = sunup__check_number(c, "n", 1);
    const int64_t see =
        sunup__check_number(c, "see", n + rows) - 2 * (n + 1) * sunup__check_number(c, "blind", 0);
    const int64_t apart = n + sunup__check_number(c, "apart", 0),
                  row = parts ? round_up(apart, PANEL) : apart;
    struct problem p = {.all = (parts ? round_up(rows, 2) : rows) * row, .biased = sunup__check_number(c, "bias", 0)};
    p.f32 = (struct attention_f32){rows, n, row, see, 0.3F, NULL, n + 3};
    p.f64 = (struct attention_f64){rows, n, row, see, (double)0.3F, NULL, n + 3};
    sunup__check_cost(c, flops * (double)p.all, moved * 4.0 * (double)p.all);
    if (p.biased) {
        const struct operand b = sunup__check_in(c, "bias", rows * (n + 3), FILL_ANY);
        p.f32.bias = b.f32;
        p.f64.bias = b.f64;
    }
    return p;
}

static float number(uint32_t half)
{
    const uint32_t u = half << 16;
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* What is left of an infinity is NaN. */
static float sum(uint32_t half, uint32_t left)
{
    return isinf(number(half)) ? number(half) : number(half) + number(left);
}

/* Of n numbers: words of neighbours, and behind each 16 what is left, become what they stand for; the reference of
 * those from n on is 0. */
static void join_row(int64_t n, float *x, double *want)
{
    for (int64_t j = 0; j < n; j += PANEL) {
        uint32_t words[PANEL];
        memcpy(words, x + j, sizeof words);
        for (int64_t i = 0; i < PANEL; i++) {
            const int64_t shift = i % 2 * 16;
            x[j + i] = sum(words[i / 2] >> shift & 0xffff, words[HALF + i / 2] >> shift & 0xffff);
            if (j + i >= n) want[j + i] = 0;
        }
    }
}

/* The same of words of two rows. */
static void join_rows(const struct problem *p, int64_t r, float *x, double *want)
{
    const int64_t n = p->f32.n, row = p->f32.row;
    for (int64_t j = 0; j < round_up(n, PANEL); j++) {
        uint32_t word, left;
        memcpy(&word, x + r * row + j, sizeof word);
        memcpy(&left, x + (r + 1) * row + j, sizeof left);
        for (int64_t i = 0; i < 2; i++) {
            x[(r + i) * row + j] = sum(word >> (16 * i) & 0xffff, left >> (16 * i) & 0xffff);
            if (j >= n || r + i >= p->f32.rows) want[(r + i) * row + j] = 0;
        }
    }
}

/* What two parts add to a bound. */
static double parts_error(double x)
{
    return 65 * fabs(x) + 0x1p-101;
}

/* Largest |t| and |m| of a row, of what is finite. */
static double reach(const struct problem *p, int64_t r, const double *s, double m)
{
    double most = isfinite(m) ? fabs(m) : 0;
    for (int64_t j = 0; j < p->f64.n; j++) {
        const double b = p->biased ? p->f64.bias[r * p->f64.bias_row + j] : 0;
        const double t = fabs(p->f64.scale * s[r * p->f64.row + j]) + fabs(b);
        if (isfinite(t) && t > most) most = t;
    }
    return most;
}

static void run_scores_of(struct check *c, bool parts)
{
    const struct problem p = read_problem(c, 14, 2, parts);
    const int64_t rows = p.f32.rows, n = p.f32.n, row = p.f32.row;
    const struct operand raw = sunup__check_in(c, "raw", p.all, FILL_ANY);
    const struct operand before = sunup__check_in(c, "before", rows, FILL_ANY);
    const struct operand s = sunup__check_out(c, "s", p.all, FILL_ZERO),
                         max = sunup__check_out(c, "max", rows, FILL_ZERO),
                         sum = sunup__check_out(c, "sum", rows, FILL_UNIT),
                         shrink = sunup__check_out(c, "shrink", rows, FILL_ZERO);
    double *was = sunup__check_scratch(c, rows);
    for (int64_t i = 0; i < rows && sum.f64; i++) was[i] = sum.f64[i];
    CHECK_RUN(c)
    {
        for (int64_t i = 0; i < p.all; i++) s.f32[i] = raw.f32[i];
        for (int64_t i = 0; i < rows; i++) max.f32[i] = i % 3 ? before.f32[i] : -INFINITY;
        for (int64_t i = 0; i < rows; i++) sum.f32[i] = (float)was[i];
        (parts ? c->f32->attention_scores_bf16x3 : c->f32->attention_scores)(&p.f32, s.f32, max.f32, sum.f32,
                                                                             shrink.f32);
    }
    if (!sunup__check_wanted(c)) return;
    for (int64_t i = 0; i < p.all; i++) s.f64[i] = raw.f64[i];
    for (int64_t i = 0; i < rows; i++) max.f64[i] = i % 3 ? before.f64[i] : -INFINITY;
    c->f64->attention_scores(&p.f64, s.f64, max.f64, sum.f64, shrink.f64);
    double *size = sunup__check_scratch(c, p.all), *of_row = sunup__check_scratch(c, rows),
           *of_sum = sunup__check_scratch(c, rows), *of_max = sunup__check_scratch(c, rows);
    for (int64_t r = 0; r < rows; r++) {
        const double roundings = 3 + 2 * reach(&p, r, raw.f64, max.f64[r]);
        double total = was[r] * shrink.f64[r];
        if (parts) join_row(n, s.f32 + r * row, s.f64 + r * row);
        for (int64_t j = 0; j < n; j++) {
            size[r * row + j] = roundings * s.f64[r * row + j] + (parts ? parts_error(s.f64[r * row + j]) : 0);
            total += s.f64[r * row + j];
        }
        of_row[r] = roundings * shrink.f64[r];
        of_sum[r] = roundings * total;
        of_max[r] = roundings;
    }
    sunup__check_close(c, &s, size, 2);
    sunup__check_close(c, &max, of_max, 2);
    sunup__check_close(c, &shrink, of_row, 2);
    sunup__check_close(c, &sum, of_sum, 2 + (double)(n < 40 ? n : 40));
}

static void run_scores(struct check *c)
{
    run_scores_of(c, false);
}

static void run_scores_parts(struct check *c)
{
    run_scores_of(c, true);
}

/* log sum exp of each row of scores, as a forward pass leaves it: then no weight is above 1. */
static void fill_lse(const struct problem *p, const struct operand *raw, const struct operand *lse)
{
    for (int64_t r = 0; r < p->f32.rows && lse->f32; r++) {
        double sum = 0, m = reach(p, r, raw->f64, 0);
        for (int64_t j = 0; j < p->f64.n; j++) {
            const double b = p->biased ? p->f64.bias[r * p->f64.bias_row + j] : 0;
            sum += exp(p->f64.scale * raw->f64[r * p->f64.row + j] + b - m);
        }
        const double found = sum > 0 ? m + log(sum) : (double)-INFINITY;
        lse->f32[r] = (float)(r % 3 == 2 ? (double)-INFINITY : found);
        lse->f64[r] = (double)lse->f32[r];
    }
}

static void run_grad_of(struct check *c, bool parts)
{
    const struct problem p = read_problem(c, 16, 4, parts);
    const int64_t rows = p.f32.rows, n = p.f32.n;
    const struct operand raw = sunup__check_in(c, "raw", p.all, FILL_UNIT),
                         dy = sunup__check_in(c, "dy", p.all, FILL_ANY),
                         lse = sunup__check_in(c, "lse", rows, FILL_ANY),
                         delta = sunup__check_in(c, "delta", rows, FILL_ANY);
    const struct operand s = sunup__check_out(c, "s", p.all, FILL_ZERO),
                         dp = sunup__check_out(c, "dp", p.all, FILL_ZERO),
                         ds = sunup__check_out(c, "ds", parts ? rows * p.f32.row : 0, FILL_ZERO),
                         dbias =
                             sunup__check_out(c, "dbias", p.biased ? rows * (n + 3) : 0, FILL_ZERO);
    fill_lse(&p, &raw, &lse);
    CHECK_RUN(c)
    {
        for (int64_t i = 0; i < p.all; i++) s.f32[i] = raw.f32[i];
        for (int64_t i = 0; i < p.all; i++) dp.f32[i] = dy.f32[i];
        for (int64_t i = 0; i < dbias.n; i++) dbias.f32[i] = 0;
        if (parts)
            c->f32->attention_grad_bf16x3(&p.f32, lse.f32, delta.f32, s.f32, dp.f32,
                                          p.biased ? dbias.f32 : NULL, ds.f32);
        else
            c->f32->attention_grad(&p.f32, lse.f32, delta.f32, s.f32, dp.f32,
                                   p.biased ? dbias.f32 : NULL);
    }
    if (!sunup__check_wanted(c)) return;
    for (int64_t i = 0; i < p.all; i++) s.f64[i] = raw.f64[i];
    for (int64_t i = 0; i < p.all; i++) dp.f64[i] = dy.f64[i];
    c->f64->attention_grad(&p.f64, lse.f64, delta.f64, s.f64, dp.f64, p.biased ? dbias.f64 : NULL);
    double *size = sunup__check_scratch(c, p.all), *of_dp = sunup__check_scratch(c, p.all),
           *of_bias = sunup__check_scratch(c, rows * (n + 3));
    for (int64_t r = 0; parts && r < rows; r++) {
        memcpy(ds.f64 + r * p.f32.row, dp.f64 + r * p.f32.row, (size_t)p.f32.row * sizeof(double));
        for (int64_t j = round_up(n, PANEL); j < p.f32.row; j++) ds.f64[r * p.f32.row + j] = 0;
        join_row(n, ds.f32 + r * p.f32.row, ds.f64 + r * p.f32.row);
    }
    for (int64_t r = 0; parts && r < rows; r += 2) {
        join_rows(&p, r, s.f32, s.f64);
        join_rows(&p, r, dp.f32, dp.f64);
    }
    for (int64_t r = 0; r < rows; r++) {
        const double roundings = 3 + 2 * reach(&p, r, raw.f64, lse.f64[r]);
        for (int64_t j = 0; j < n; j++) {
            const int64_t i = r * p.f32.row + j;
            size[i] = roundings * s.f64[i];
            /* a denormal weight is wrong by 2^-150 at most, before it is multiplied */
            of_bias[r * (n + 3) + j] =
                (size[i] + 0x1p-125) * (fabs(dy.f64[i]) + fabs(delta.f64[r]));
            of_dp[i] = of_bias[r * (n + 3) + j];
            if (parts) {
                size[i] += parts_error(s.f64[i]);
                of_dp[i] += parts_error(dp.f64[i]);
            }
        }
    }
    sunup__check_close(c, &s, size, 2);
    sunup__check_close(c, &dp, of_dp, 4);
    if (parts) sunup__check_close(c, &ds, of_dp, 4);
    if (p.biased) sunup__check_close(c, &dbias, of_bias, 4);
}

static void run_grad(struct check *c)
{
    run_grad_of(c, false);
}

static void run_grad_parts(struct check *c)
{
    run_grad_of(c, true);
}

static const char *const problems[] = {"rows0n5",
                                       "rows5n0",
                                       "rows3n1",
                                       "rows7n10,bias",
                                       "rows5n33,see3",
                                       "rows4n70,blind",
                                       "rows3n17,see2bias",
                                       "rows2n257,bias1",
                                       "rows64n256,see64",
                                       "rows5n19,apart7see17bias",
                                       NULL};
const struct leaf_check sunup__check_attention_scores = {"attention_scores", problems, run_scores};
const struct leaf_check sunup__check_attention_grad = {"attention_grad", problems, run_grad};
const struct leaf_check sunup__check_attention_scores_bf16x3 = {"attention_scores_bf16x3", problems, run_scores_parts};
const struct leaf_check sunup__check_attention_grad_bf16x3 = {"attention_grad_bf16x3", problems, run_grad_parts};
