/* stream_test.c - the order and the content of batches: a function of seed, batch number and sample only.
 *
 * Sample i of the data used here holds the number i in its label, so that a batch tells which samples it is made of.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"
#include "data/data.h"

enum { H = 4, W = 5, C = 2, PIXELS = H * W * C, MOST = 64 };

static sunup_context *ctx;

static int start(void **state)
{
    (void)state;
    return sunup_context_create(NULL, &ctx) == SUNUP_OK ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    sunup_context_destroy(&ctx);
    return 0;
}

/* x: [n, H, W, C] u8, all different within a sample and never 0; y: [n] i32, the sample's number. */
static sunup_data *make(int64_t n)
{
    uint8_t x[MOST * PIXELS];
    int32_t y[MOST];
    sunup_data *d = NULL;
    assert_true(n <= MOST);
    for (int64_t i = 0; i < n; i++) {
        y[i] = (int32_t)i;
        for (int k = 0; k < PIXELS; k++) x[i * PIXELS + k] = (uint8_t)(1 + (i + k) % 255);
    }
    const sunup_tensor t[2] = {{"x", SUNUP_U8, SUNUP_SHAPE(n, H, W, C), x},
                               {"y", SUNUP_I32, SUNUP_SHAPE(n), y}};
    if (sunup_data_from_memory(ctx, 2, t, &d) != SUNUP_OK) fail_msg("%s", sunup_error(ctx));
    return d;
}

static struct stream_options options(int64_t batch, int shards)
{
    return (struct stream_options){.batch = batch,
                                   .shards = shards,
                                   .to = shards,
                                   .seed = 7,
                                   .shuffle = true,
                                   .training = true};
}

static struct stream *open_stream(sunup_data *d, const struct stream_options *o)
{
    struct stream *s = NULL;
    if (sunup__stream_create(d, o, &s) != SUNUP_OK) fail_msg("%s", sunup_error(ctx));
    return s;
}

static const struct batch *next(struct stream *s)
{
    const struct batch *b = NULL;
    if (sunup__stream_next(s, &b) != SUNUP_OK) fail_msg("%s", sunup_error(ctx));
    return b;
}

static const int32_t *labels(const struct batch *b, int shard)
{
    return b->data[shard][1];
}

static const float *pixels(const struct batch *b, int shard)
{
    return b->data[shard][0];
}

/* All labels of a batch in order; returns how many. */
static int64_t collect(const struct batch *b, int32_t *to)
{
    int64_t n = 0;
    for (int k = 0; k < b->n_shards; k++)
        for (int64_t i = 0; i < b->counts[k]; i++) to[n++] = labels(b, k)[i];
    return n;
}

static void test_every_sample_once(void **state)
{
    (void)state;
    static const struct {
        int64_t samples, batch;
        int shards;
    } cases[] = {{1, 1, 1},  {2, 1, 1},   {7, 7, 7},   {12, 4, 2},
                 {13, 4, 4}, {64, 16, 8}, {61, 61, 61}};
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        sunup_data *d = make(cases[c].samples);
        const struct stream_options o = options(cases[c].batch, cases[c].shards);
        struct stream *s = open_stream(d, &o);
        const int64_t batches = sunup__stream_batches(s);
        assert_int_equal(batches, cases[c].samples / cases[c].batch);
        int32_t order[3][MOST];
        for (int64_t epoch = 0; epoch < 3; epoch++) {
            int seen[MOST] = {0};
            int64_t n = 0;
            for (int64_t b = 0; b < batches; b++) {
                const struct batch *batch = next(s);
                assert_int_equal(batch->number, epoch * batches + b);
                assert_int_equal(batch->epoch, epoch);
                assert_int_equal(batch->count, cases[c].batch / cases[c].shards);
                n += collect(batch, order[epoch] + n);
            }
            assert_int_equal(n, batches * cases[c].batch);
            for (int64_t i = 0; i < n; i++) assert_int_equal(seen[order[epoch][i]]++, 0);
        }
        if (cases[c].samples > 10) { /* few samples may repeat an order by chance */
            assert_memory_not_equal(order[0], order[1], 10 * sizeof(int32_t));
            assert_memory_not_equal(order[1], order[2], 10 * sizeof(int32_t));
        }
        sunup__stream_destroy(&s);
        assert_null(s);
        sunup_data_destroy(&d);
    }
}

static void test_evaluation(void **state)
{
    (void)state;
    sunup_data *d = make(13);
    struct stream_options o = options(8, 4);
    o.training = o.shuffle = false;
    o.augment = (sunup_augment){true, 2, 2}; /* without effect */
    struct stream *s = open_stream(d, &o);
    assert_int_equal(sunup__stream_batches(s), 2);
    int32_t got[MOST];
    int64_t n = collect(next(s), got);
    const struct batch *b = next(s);
    static const int64_t spread[] = {1, 1, 1, 2};
    assert_memory_equal(b->counts, spread, sizeof spread);
    assert_int_equal(labels(b, 0)[1], 0); /* the rest is zeros */
    assert_true(pixels(b, 0)[PIXELS] == 0.0F && pixels(b, 0)[2 * PIXELS - 1] == 0.0F);
    assert_true(pixels(b, 3)[PIXELS] == 1.0F + 12.0F);
    n += collect(b, got + n);
    assert_int_equal(n, 13);
    for (int i = 0; i < 13; i++) assert_int_equal(got[i], i);
    assert_int_equal(sunup__stream_next(s, &b), SUNUP_E_END);
    assert_int_equal(sunup__stream_next(s, &b), SUNUP_E_END);
    assert_null(b);
    sunup__stream_destroy(&s);
    o.batch = 64; /* more than there are: one batch, some shards empty */
    o.shards = o.to = 32;
    s = open_stream(d, &o);
    assert_int_equal(sunup__stream_batches(s), 1);
    assert_int_equal(collect(next(s), got), 13);
    sunup__stream_destroy(&s);
    sunup_data_destroy(&d);
}

/* Rank r of `ranks` holds shards [r*S/ranks, (r+1)*S/ranks): each must get the bits one rank gets. */
static void test_split_over_ranks(void **state)
{
    (void)state;
    sunup_data *d = make(50);
    struct stream_options o = options(24, 8);
    o.augment = (sunup_augment){true, 1, 1};
    for (int ranks = 1; ranks <= 8; ranks++)
        for (int r = 0; r < ranks; r++) {
            struct stream_options mine = o;
            mine.from = r * o.shards / ranks;
            mine.to = (r + 1) * o.shards / ranks;
            struct stream *whole = open_stream(d, &o), *part = open_stream(d, &mine);
            for (int b = 0; b < 5; b++) {
                const struct batch *x = next(whole), *y = next(part);
                assert_int_equal(y->n_shards, mine.to - mine.from);
                for (int k = 0; k < y->n_shards; k++) {
                    assert_memory_equal(pixels(x, mine.from + k), pixels(y, k),
                                        3 * PIXELS * sizeof(float));
                    assert_memory_equal(labels(x, mine.from + k), labels(y, k),
                                        3 * sizeof(int32_t));
                }
            }
            sunup__stream_destroy(&whole);
            sunup__stream_destroy(&part);
        }
    sunup_data_destroy(&d);
}

static void test_resume(void **state)
{
    (void)state;
    sunup_data *d = make(30);
    struct stream_options o = options(8, 2);
    o.augment = (sunup_augment){true, 2, 0};
    for (int64_t first = 0; first < 9; first++) {
        struct stream *whole = open_stream(d, &o);
        for (int64_t b = 0; b < first; b++) (void)next(whole);
        struct stream_options later = o;
        later.first = first;
        struct stream *resumed = open_stream(d, &later);
        for (int b = 0; b < 4; b++) {
            const struct batch *x = next(whole), *y = next(resumed);
            assert_int_equal(x->number, y->number);
            assert_int_equal(x->epoch, y->epoch);
            for (int k = 0; k < 2; k++) {
                assert_memory_equal(pixels(x, k), pixels(y, k), 4 * PIXELS * sizeof(float));
                assert_memory_equal(labels(x, k), labels(y, k), 4 * sizeof(int32_t));
            }
        }
        sunup__stream_destroy(&whole);
        sunup__stream_destroy(&resumed);
    }
    sunup_data_destroy(&d);
}

/* The move that made y from sample x: dy, dx in [-reach, reach] and a flip; fails if none did. */
static void find_move(const float *y, int sample, int reach, int found[3])
{
    for (int flip = 0; flip < 2; flip++)
        for (int dy = -reach; dy <= reach; dy++)
            for (int dx = -reach; dx <= reach; dx++) {
                bool same = true;
                for (int i = 0; i < PIXELS && same; i++) {
                    const int w = i / C % W, h = i / C / W + dy, v = (flip ? W - 1 - w : w) + dx;
                    const bool inside = h >= 0 && h < H && v >= 0 && v < W;
                    const int k = (h * W + v) * C + i % C;
                    same = y[i] == (inside ? (float)(1 + (sample + k) % 255) : 0.0F);
                }
                if (!same) continue;
                memcpy(found, (int[]){dy, dx, flip}, 3 * sizeof(int));
                return;
            }
    fail_msg("sample %d: no move gives these pixels", sample);
}

static void test_augmentation(void **state)
{
    (void)state;
    sunup_data *d = make(60);
    static const struct {
        sunup_augment augment;
        int reach;
    } cases[] = {{{true, 0, 0}, 0}, {{false, 2, 0}, 2}, {{true, 0, 3}, 3}, {{true, 3, 3}, 6}};
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        struct stream_options o = options(60, 60);
        o.augment = cases[c].augment;
        struct stream *s = open_stream(d, &o);
        int moves[2][60][3] = {{{0}}}, low = 9, high = -9, flips = 0, changed = 0;
        for (int epoch = 0; epoch < 2; epoch++) {
            const struct batch *b = next(s);
            for (int k = 0; k < 60; k++) {
                const int sample = labels(b, k)[0];
                int *m = moves[epoch][sample];
                find_move(pixels(b, k), sample, cases[c].reach, m);
                low = m[1] < low ? m[1] : low;
                high = m[1] > high ? m[1] : high;
                flips += m[2];
            }
        }
        for (int i = 0; i < 60; i++)
            changed += memcmp(moves[0][i], moves[1][i], 3 * sizeof(int)) != 0;
        assert_true(changed > 10); /* epochs differ */
        if (cases[c].reach <= 3) { /* all of the range is drawn */
            assert_int_equal(low, -cases[c].reach);
            assert_int_equal(high, cases[c].reach);
        }
        assert_true(cases[c].augment.flip ? flips > 30 && flips < 90 : flips == 0);
        sunup__stream_destroy(&s);
    }
    sunup_data_destroy(&d);
}

/* One field "x" of the given kind, scaled by hand, as delivered in one evaluation batch of all samples. */
static sunup_status deliver(const sunup_tensor *t, struct field *how, const struct batch **b,
                            struct stream **s, sunup_data **d)
{
    assert_int_equal(sunup_data_from_memory(ctx, 1, t, d), SUNUP_OK);
    struct field *f = &(*d)->fields[0];
    f->dtype = how->dtype;
    f->scale = how->scale;
    f->offset = how->offset;
    f->n_channels = how->n_channels;
    f->mean = f->std = NULL;
    if (how->n_channels > 0) {
        f->mean = sunup__alloc((size_t)how->n_channels * sizeof(double));
        f->std = sunup__alloc((size_t)how->n_channels * sizeof(double));
        memcpy(f->mean, how->mean, (size_t)how->n_channels * sizeof(double));
        memcpy(f->std, how->std, (size_t)how->n_channels * sizeof(double));
    }
    const int64_t n = t->shape.d[0];
    const struct stream_options o = {.batch = n, .shards = 1, .to = 1};
    assert_int_equal(sunup__stream_create(*d, &o, s), SUNUP_OK);
    return sunup__stream_next(*s, b);
}

static void test_conversion(void **state)
{
    (void)state;
    enum { N = 3, LENGTH = 301 }; /* more than one period of factors, and ragged */
    double mean[] = {0.5, -1, 2}, std[] = {0.25, 2, 3};
    struct field how = {
        .scale = 1 / 255.0, .offset = 0.125, .mean = mean, .std = std, .n_channels = 3};
    static uint8_t u8[N * LENGTH * 3];
    static int32_t i32[N * LENGTH * 3];
    static float f32[N * LENGTH * 3];
    static double f64[N * LENGTH * 3];
    for (int i = 0; i < N * LENGTH * 3; i++) {
        u8[i] = (uint8_t)(i * 31 % 256);
        i32[i] = u8[i];
        f32[i] = u8[i];
        f64[i] = u8[i];
    }
    void *const from[] = {[SUNUP_F32] = f32, [SUNUP_F64] = f64, [SUNUP_I32] = i32, [SUNUP_U8] = u8};
    for (int kind = SUNUP_F32; kind <= SUNUP_U8; kind++)
        for (int to = SUNUP_F32; to <= SUNUP_F64; to++) {
            const sunup_tensor t = {"x", (sunup_dtype)kind, SUNUP_SHAPE(N, LENGTH, 3), from[kind]};
            const struct batch *b = NULL;
            struct stream *s = NULL;
            sunup_data *d = NULL;
            how.dtype = (sunup_dtype)to;
            assert_int_equal(deliver(&t, &how, &b, &s, &d), SUNUP_OK);
            for (int i = 0; i < N * LENGTH * 3; i++) {
                const double want = (u8[i] / 255.0 + 0.125 - mean[i % 3]) / std[i % 3];
                const double got = to == SUNUP_F32 ? (double)((const float *)b->data[0][0])[i]
                                                   : ((const double *)b->data[0][0])[i];
                assert_true(fabs(got - want) <= (to == SUNUP_F32 ? 0x1p-23 : 0x1p-50) * 4);
            }
            sunup__stream_destroy(&s);
            sunup_data_destroy(&d);
        }
}

static void test_labels(void **state)
{
    (void)state;
    float good[] = {1, 2, 3}, half[] = {1, 2.5F, 3}, large[] = {1, 2, 3e9F};
    struct field how = {.dtype = SUNUP_I32, .scale = 1, .offset = -1};
    const struct batch *b = NULL;
    struct stream *s = NULL;
    sunup_data *d = NULL;
    sunup_tensor t = {"y", SUNUP_F32, SUNUP_SHAPE(3), good};
    assert_int_equal(deliver(&t, &how, &b, &s, &d), SUNUP_OK);
    for (int i = 0; i < 3; i++) assert_int_equal(((const int32_t *)b->data[0][0])[i], i);
    sunup__stream_destroy(&s);
    sunup_data_destroy(&d);
    t.data = half;
    assert_int_equal(deliver(&t, &how, &b, &s, &d), SUNUP_E_FORMAT);
    assert_non_null(strstr(sunup_error(ctx), "field 'y': sample 1"));
    sunup__stream_destroy(&s);
    sunup_data_destroy(&d);
    t.data = large;
    assert_int_equal(deliver(&t, &how, &b, &s, &d), SUNUP_E_FORMAT);
    assert_non_null(strstr(sunup_error(ctx), "sample 2"));
    sunup__stream_destroy(&s);
    sunup_data_destroy(&d);
}

static void test_not_finite(void **state)
{
    (void)state;
    struct field how = {.dtype = SUNUP_F32, .scale = 1};
    static const double bad[] = {NAN, INFINITY, -INFINITY, 1e300};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        double x[] = {1, 2, 3, bad[i], 5, 6};
        const sunup_tensor t = {"x", SUNUP_F64, SUNUP_SHAPE(3, 2), x};
        const struct batch *b = NULL;
        struct stream *s = NULL;
        sunup_data *d = NULL;
        assert_int_equal(deliver(&t, &how, &b, &s, &d), SUNUP_E_NAN);
        assert_null(b);
        assert_non_null(strstr(sunup_error(ctx), "field 'x': sample 1 (from 0): its number 1 is"));
        assert_int_equal(sunup__stream_next(s, &b), SUNUP_E_NAN); /* and again */
        sunup__stream_destroy(&s);
        sunup_data_destroy(&d);
    }
}

static void test_bad_options(void **state)
{
    (void)state;
    sunup_data *d = make(10);
    struct stream *s = NULL;
    struct stream_options bad[7];
    for (int i = 0; i < 7; i++) bad[i] = options(4, 2);
    bad[0].batch = 11;
    bad[0].shards = bad[0].to = 1;
    bad[1].shards = bad[1].to = 3;
    bad[2].to = 3;
    bad[3].from = -1;
    bad[4].first = -1;
    bad[5].batch = 0;
    bad[6].augment.shift = -1;
    for (int i = 0; i < 7; i++) {
        assert_int_equal(sunup__stream_create(d, &bad[i], &s), SUNUP_E_ARGUMENT);
        assert_null(s);
    }
    assert_int_equal(sunup__stream_create(d, &bad[0], &s), SUNUP_E_ARGUMENT);
    assert_non_null(strstr(sunup_error(ctx), "batch of 11 is larger than the data, which have 10"));
    const struct stream_options good = options(5, 5);
    sunup_status status = SUNUP_E_MEMORY;
    for (int64_t n = 0; status != SUNUP_OK; n++) { /* any allocation may fail */
        assert_true(n < 100);
        sunup__fail_allocation(n);
        status = sunup__stream_create(d, &good, &s);
        sunup__fail_allocation(-1);
        assert_true(status == SUNUP_OK || (status == SUNUP_E_MEMORY && s == NULL));
    }
    sunup__stream_destroy(&s);
    sunup_data_destroy(&d);
}

/* A batch stays as it is until the second next one is asked for; nothing is allocated on the way. */
static void test_slots(void **state)
{
    (void)state;
    sunup_data *d = make(64);
    const struct stream_options o = options(4, 2);
    struct stream *s = open_stream(d, &o);
    const struct batch *before = next(s);
    int32_t kept[2][4];
    (void)collect(before, kept[0]);
    const int64_t allocations = sunup__allocations();
    for (int b = 1; b < 200; b++) {
        const struct batch *now = next(s);
        if (b < 20) (void)usleep(1000); /* time enough to spoil what is not to be touched */
        int32_t again[4];
        (void)collect(before, again);
        assert_memory_equal(again, kept[(b - 1) % 2], sizeof again);
        (void)collect(now, kept[b % 2]);
        assert_int_equal((uintptr_t)now->data[1][0] % 64, 0);
        before = now;
    }
    assert_int_equal(sunup__allocations(), allocations);
    sunup__stream_destroy(&s);
    sunup_data_destroy(&d);
}

/* ---- samples that a function makes ---- */

/* x[k] = 1000 epoch + 10 sample + k; the label is the sample; `bad` cannot be made, `infinite` is not finite. */
struct maker {
    int64_t bad, infinite;
    int ended;
};

static bool fill_made(void *arg, int64_t epoch, int64_t sample, void *const *y)
{
    const struct maker *m = arg;
    float *x = y[0];
    for (int k = 0; k < 3; k++) x[k] = (float)(1000 * epoch + 10 * sample + k);
    if (sample == m->infinite) x[1] = INFINITY;
    *(int32_t *)y[1] = (int32_t)sample;
    return sample != m->bad;
}

static void end_made(void *arg)
{
    ((struct maker *)arg)->ended++;
}

static sunup_status make_from(struct maker *m, int64_t samples, sunup_data **d)
{
    const sunup_tensor fields[2] = {{.name = "x", .dtype = SUNUP_F32, .shape = SUNUP_SHAPE(3)},
                                    {.name = "y", .dtype = SUNUP_I32, .shape = SUNUP_SCALAR}};
    const sunup_sampler sampler = {fill_made, end_made, m};
    return sunup_data_from_sampler(ctx, 2, fields, samples, &sampler, d);
}

static void test_sampler(void **state)
{
    (void)state;
    struct maker m = {.bad = -1, .infinite = -1};
    sunup_data *d;
    assert_int_equal(make_from(&m, 10, &d), SUNUP_OK);
    assert_int_equal(sunup_data_samples(d), 10);
    struct stream *s;
    const struct stream_options o = options(5, 5);
    assert_int_equal(sunup__stream_create(d, &o, &s), SUNUP_OK);
    for (int64_t n = 0; n < 6; n++) {
        const struct batch *b;
        assert_int_equal(sunup__stream_next(s, &b), SUNUP_OK);
        assert_int_equal(b->epoch, n / 2);
        for (int k = 0; k < 5; k++) {
            const int32_t sample = *(const int32_t *)b->data[k][1];
            const float *x = b->data[k][0];
            assert_float_equal(x[2], 1000.0F * (float)b->epoch + 10.0F * (float)sample + 2, 0);
        }
    }
    sunup__stream_destroy(&s);
    assert_int_equal(m.ended, 0);
    sunup_data_destroy(&d);
    assert_int_equal(m.ended, 1);
}

/* The samples of 3 passes or, if not training, of one; the batch before stays as it is. */
static int64_t made_samples(int threads, const struct stream_options *o, int32_t *to)
{
    struct maker m = {.bad = -1, .infinite = -1};
    sunup_data *d;
    struct stream *s;
    const struct batch *b;
    const int before = ctx->threads;
    ctx->threads = threads;
    assert_int_equal(make_from(&m, 10, &d), SUNUP_OK);
    assert_int_equal(sunup__stream_create(d, o, &s), SUNUP_OK);
    const int64_t allocations = sunup__allocations();
    const int32_t *last = NULL;
    int64_t n = 0;
    while (n < 30 && sunup__stream_next(s, &b) == SUNUP_OK) {
        if (last != NULL) assert_int_equal(last[0], to[n - 1]);
        n += collect(b, to + n);
        const int k = b->n_shards - 1;
        last = (const int32_t *)b->data[k][1] + b->counts[k] - 1;
    }
    assert_int_equal(sunup__allocations(), allocations);
    sunup__stream_destroy(&s);
    sunup_data_destroy(&d);
    ctx->threads = before;
    return n;
}

/* One batch at a time or many together, of one sample or of several shards, to the end of a pass or beyond. */
static void test_made_together(void **state)
{
    (void)state;
    const struct stream_options cases[] = {options(1, 1),
                                           options(2, 2),
                                           {.batch = 1, .shards = 1, .to = 1},
                                           {.batch = 4, .shards = 2, .to = 2}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        int32_t one[MOST], many[MOST];
        const int64_t n = made_samples(1, &cases[c], one);
        assert_int_equal(n, cases[c].training ? 30 : 10);
        for (int threads = 2; threads <= 32; threads *= 4) {
            assert_int_equal(made_samples(threads, &cases[c], many), n);
            assert_memory_equal(one, many, (size_t)n * sizeof *one);
        }
    }
}

static void expect_bad_sampler(struct maker m, sunup_status expected, const char *words)
{
    sunup_data *d;
    struct stream *s;
    const struct batch *b;
    assert_int_equal(make_from(&m, 10, &d), SUNUP_OK);
    const struct stream_options o = {.batch = 10, .shards = 1, .to = 1};
    assert_int_equal(sunup__stream_create(d, &o, &s), SUNUP_OK);
    assert_int_equal(sunup__stream_next(s, &b), expected);
    assert_non_null(strstr(sunup_error(ctx), words));
    sunup__stream_destroy(&s);
    sunup_data_destroy(&d);
}

static void test_sampler_errors(void **state)
{
    (void)state;
    expect_bad_sampler((struct maker){.bad = 7, .infinite = -1}, SUNUP_E_ARGUMENT,
                       "cannot make sample 7");
    expect_bad_sampler((struct maker){.bad = -1, .infinite = 3}, SUNUP_E_NAN,
                       "'x': sample 3 (from 0): its number 1 is inf, as its sampler made it");
    struct maker m = {.bad = -1, .infinite = -1};
    sunup_data *d;
    assert_int_equal(make_from(&m, 0, &d), SUNUP_E_ARGUMENT);
    assert_int_equal(m.ended, 1); /* the caller owes nothing after a failure either */
    assert_int_equal(make_from(&m, 10, &d), SUNUP_OK);
    struct stream *s;
    struct stream_options o = options(5, 5);
    o.augment.flip = true;
    assert_int_equal(sunup__stream_create(d, &o, &s), SUNUP_E_UNSUPPORTED);
    sunup_data_destroy(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_sample_once),
        cmocka_unit_test(test_evaluation),
        cmocka_unit_test(test_split_over_ranks),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_augmentation),
        cmocka_unit_test(test_conversion),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_slots),
        cmocka_unit_test(test_sampler),
        cmocka_unit_test(test_made_together),
        cmocka_unit_test(test_sampler_errors),
    };
    return cmocka_run_group_tests(tests, start, end);
}
