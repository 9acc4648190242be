/* import_test.c - other people's files: every number of the samples, every beginning of them.
 *
 * The samples are in tests/golden/track/import; its README tells which are real.
 */
#include "track/import.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/system.h"
#include "plan/plan.h"
#include "track/import_read.h"

static sunup_context *ctx;

static int begin(void **state)
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

/* --------------------------------------------------------------------------- helpers --- */

static const char *const table_columns = "name=\"matmul:m{M}n{N}k{K}:f32\",time=\"t, \"\"best\"\" [us]\":us,"
                                         "speed=GFLOPS:GFLOPS,ranks=nodes,at=date,fact.site=site";

static const struct sample {
    const char *file, *format, *columns;
    int64_t at; /* 0: its own */
    int rows;
} samples[] = {
    {"benchdnn.txt", "benchdnn", NULL, 1000, 16},
    {"benchdnn_custom.txt", "benchdnn", NULL, 1000, 6},
    {"nccl.json", "nccl-tests", NULL, 0, 7},
    {"oneccl.csv", "oneccl", NULL, 1000, 12},
    {"oneccl.txt", "oneccl", NULL, 1000, 8},
    {"osu.txt", "osu", NULL, 1000, 17},
    {"google.json", "google-benchmark", NULL, 0, 11},
    {"google_aggregates.json", "google-benchmark", NULL, 0, 9},
    {"pytest.json", "pytest-benchmark", NULL, 0, 2},
    {"reframe.json", "reframe", NULL, 0, 6},
    {"reframe_old.json", "reframe", NULL, 0, 2},
    {"mllog_success.log", "mllog", NULL, 0, 6},
    {"mllog_aborted.log", "mllog", NULL, 0, 5},
    {"table.csv", "csv", table_columns, 0, 3},
};
enum { SAMPLES = sizeof samples / sizeof samples[0] };

static char *load(const char *file, size_t *bytes)
{
    char path[512];
    void *data;
    (void)snprintf(path, sizeof path, "%s/tests/golden/track/import/%s", SOURCE_DIR, file);
    if (sunup__file_read(ctx, path, &data, bytes) != SUNUP_OK) fail_msg("%s", sunup_error(ctx));
    return data;
}

static const struct sample *sample(const char *file)
{
    for (int i = 0; i < SAMPLES; i++)
        if (strcmp(samples[i].file, file) == 0) return &samples[i];
    fail_msg("no sample %s", file);
    return NULL;
}

/* A whole sample, recognised by what is in it. */
static void read_sample(const char *file, struct track_history *h)
{
    size_t bytes;
    const struct sample *s = sample(file);
    const struct track_import o = {.columns = s->columns};
    char *text = load(file, &bytes);
    if (sunup__track_import(ctx, file, text, bytes, &o, s->at, h) != SUNUP_OK)
        fail_msg("%s", sunup_error(ctx));
    sunup__free(text);
    assert_int_equal(h->n_runs, 1);
    assert_string_equal(sunup__track_fact(&h->runs[0], "format"), s->format);
    assert_string_equal(h->runs[0].path, file);
    assert_int_equal(h->runs[0].n_rows, s->rows);
}

static const struct track_row *row(const struct track_history *h, const char *name, const char *quantity)
{
    for (int i = 0; i < h->runs[0].n_rows; i++) {
        const struct track_row *r = &h->runs[0].rows[i];
        if (strcmp(r->name, name) == 0 && strcmp(r->quantity, quantity) == 0) return r;
    }
    fail_msg("no row %s, %s", name, quantity);
    return NULL;
}

static void same(double x, double y)
{
    if (!(fabs(x - y) <= 1e-12 * fabs(y))) fail_msg("%.17g instead of %.17g", x, y);
}

/* One sample of a vendor. */
static void holds(const struct track_history *h, const char *name, const char *quantity, const char *unit,
                  double value)
{
    const struct track_row *r = row(h, name, quantity);
    assert_int_equal(r->kind, TRACK_SAMPLES);
    assert_int_equal(r->n, 1);
    same(r->values[0], value);
    assert_string_equal(r->unit, unit);
    assert_string_equal(r->source, "vendor");
    const bool rate = strstr(unit, "/s") != NULL;
    if (unit[0] != '\0' && strcmp(quantity, "compute_time") != 0)
        assert_int_equal(r->better, rate ? TRACK_MORE : TRACK_LESS);
}

static void ended(const struct track_history *h, const char *name, enum track_outcome o, int failures,
                  int tries)
{
    const struct track_row *r = row(h, name, "outcome");
    assert_int_equal(r->kind, TRACK_OUTCOME);
    assert_int_equal(r->outcome, o);
    assert_int_equal(r->failures, failures);
    assert_int_equal(r->tries, tries);
}

static void fact(const struct track_history *h, const char *key, const char *value)
{
    assert_string_equal(sunup__track_fact(&h->runs[0], key), value);
}

/* --------------------------------------------------------------------------- samples --- */

static void benchdnn(void **state)
{
    (void)state;
    static const char conv[] = "conv:n16h56w56c64k64r3s3:pad1x1:to56x56:f32";
    static const char with_relu[] = "--conv --mode=P --attr-post-ops=sum:0.5,relu mb16ic64ih56oc64oh56kh3ph1";
    struct track_history h = {0};
    read_sample("benchdnn.txt", &h);
    holds(&h, conv, "time", "s", 1.625e-3);
    holds(&h, conv, "time_min", "s", 1.5e-3);
    holds(&h, conv, "create_time", "s", 2.25e-3);
    same(row(&h, conv, "time")->flops, 3.69885e9);
    assert_string_equal(row(&h, conv, "implementation")->word, "brgconv:avx512_core");
    assert_string_equal(row(&h, conv, "time")->engine, "oneDNN");
    assert_string_equal(row(&h, conv, "time")->suite, "benchdnn");
    ended(&h, conv, TRACK_OK, 0, 1);
    holds(&h, "matmul:m64n48k300:tb:f32", "time", "s", 0.03125e-3);
    holds(&h, with_relu, "time", "s", 2e-3); /* a comma of its own, and no problem of sunup */
    ended(&h, "--conv --mode=P --dt=f16 mb1ic3ih8oc4kh3", TRACK_CRASH, 1, 1);
    fact(&h, "device", "cpu");
    sunup__track_end(&h);
}

static void benchdnn_by_another_template(void **state)
{
    (void)state;
    struct track_history h = {0};
    read_sample("benchdnn_custom.txt", &h);
    holds(&h, "linear:m512n10k1000:f32", "time", "s", 0.5e-3);
    same(row(&h, "linear:m512n10k1000:f32", "time")->flops, 10.24e6);
    same(row(&h, "linear:m512n10k1000:f32", "time")->bytes, 2088960);
    holds(&h, "--eltwise --alg=gelu_erf 4096x3072", "time", "s", 1.25e-3);
    assert_string_equal(row(&h, "--eltwise --alg=gelu_erf 4096x3072", "implementation")->word, "jit:avx2");
    sunup__track_end(&h);
}

static void nccl(void **state)
{
    (void)state;
    struct track_history h = {0};
    read_sample("nccl.json", &h);
    const struct track_row *r = row(&h, "allreduce:f32:1MiB", "time");
    assert_int_equal(r->n, 3); /* every iteration */
    same(r->values[0], 30e-6);
    same(r->values[2], 32.5e-6);
    assert_int_equal(r->ranks, 8); /* two processes of four */
    same(r->bytes, 1048576);
    assert_string_equal(r->engine, "NCCL");
    holds(&h, "allreduce:f32:1MiB", "bus_bandwidth", "B/s", 58.720256e9);
    holds(&h, "allreduce:f32:1MiB:inplace", "time", "s", 32.5e-6);
    holds(&h, "allreduce:f32:1MiB:inplace", "bus_bandwidth", "B/s", 56.461785e9);
    holds(&h, "allreduce:bf16:2MiB:max:inplace", "time", "s", 50e-6);
    holds(&h, "allreduce:bf16:2MiB:max:inplace", "bus_bandwidth", "B/s", 73.40032e9);
    ended(&h, "allreduce", TRACK_OK, 0, 1);
    fact(&h, "machine", "NVIDIA H100 80GB HBM3");
    fact(&h, "host", "node17");
    fact(&h, "nccl", "22703");
    assert_int_equal(h.runs[0].at, 1772366400); /* 2026-03-01 12:00:00 */
    sunup__track_end(&h);
}

static void oneccl(void **state)
{
    (void)state;
    struct track_history h = {0};
    read_sample("oneccl.csv", &h);
    holds(&h, "allreduce:f32:1MiB", "time", "s", 101.25e-6);
    holds(&h, "allreduce:f32:1MiB", "time_min", "s", 100.5e-6);
    holds(&h, "allreduce:f32:1MiB", "time_max", "s", 102.5e-6);
    holds(&h, "allreduce:f32:1MiB", "bus_bandwidth", "B/s", 15.534e9);
    assert_int_equal(row(&h, "allreduce:f32:1MiB", "time")->ranks, 4);
    holds(&h, "allreduce:bf16:2KiB:max", "time", "s", 11e-6); /* two buffers */
    holds(&h, "broadcast:i8:1KiB", "time", "s", 5e-6);
    sunup__track_end(&h);
    read_sample("oneccl.txt", &h);
    holds(&h, "allreduce:f32:1KiB", "time", "s", 2.5e-6);
    holds(&h, "allreduce:f32:1MiB", "time_max", "s", 151e-6);
    holds(&h, "allreduce:f32:1MiB", "bus_bandwidth", "B/s", 6.97e9);
    assert_int_equal(row(&h, "allreduce:f32:1MiB", "time")->ranks, 2);
    same(row(&h, "allreduce:f32:1MiB", "time")->bytes, 1048576);
    sunup__track_end(&h);
}

static void osu(void **state)
{
    (void)state;
    struct track_history h = {0};
    read_sample("osu.txt", &h);
    holds(&h, "allreduce:f32:4B", "time", "s", 10.5e-6);
    holds(&h, "allreduce:f32:1MiB", "time", "s", 1064e-6);
    holds(&h, "allreduce:f32:1MiB", "time_min", "s", 1060.5e-6);
    holds(&h, "allreduce:f32:1MiB", "time_max", "s", 1070.25e-6);
    ended(&h, "allreduce:f32:4B", TRACK_OK, 0, 1);
    ended(&h, "allreduce:f32:1MiB", TRACK_MISMATCH, 1, 1);
    assert_int_equal(row(&h, "allreduce:f32:1MiB", "time")->ranks, 0); /* OSU does not tell */
    holds(&h, "bandwidth:u8:4MiB", "bandwidth", "B/s", 23012.5e6);
    assert_int_equal(row(&h, "bandwidth:u8:4MiB", "bandwidth")->ranks, 2);
    holds(&h, "multiple_bandwidth_message_rate:1B", "bandwidth", "B/s", 6.25e6);
    holds(&h, "multiple_bandwidth_message_rate:1B", "message_rate", "1/s", 6.25e6);
    assert_int_equal(row(&h, "multiple_bandwidth_message_rate:1B", "bandwidth")->ranks, 30);
    holds(&h, "barrier", "time", "s", 1.5e-6);
    holds(&h, "iallreduce:8B", "time", "s", 8.75e-6);
    holds(&h, "iallreduce:8B", "compute_time", "s", 4.5e-6);
    holds(&h, "iallreduce:8B", "communication_time", "s", 4e-6);
    holds(&h, "iallreduce:8B", "overlap", "", 0.25);
    fact(&h, "osu", "7.5");
    sunup__track_end(&h);
}

static void google(void **state)
{
    (void)state;
    struct track_history h = {0};
    read_sample("google.json", &h);
    const struct track_row *r = row(&h, "Sum/64", "time");
    assert_int_equal(r->n, 3); /* repetitions, and no aggregate of them */
    assert_string_equal(r->unit, "s");
    assert_true(r->values[0] > 1e-9 && r->values[0] < 1e-4);
    assert_string_equal(r->engine, "sums");
    assert_int_equal(row(&h, "Sum/1024", "bandwidth")->n, 3);
    assert_string_equal(row(&h, "Sum/1024", "bandwidth")->unit, "B/s");
    assert_int_equal(row(&h, "Sum/1024", "bandwidth")->better, TRACK_MORE);
    same(row(&h, "Sum/1024", "residual")->values[2], 0.25);
    assert_int_equal(row(&h, "Sum/1024", "cpu_time")->n, 3);
    ended(&h, "Sum/64", TRACK_OK, 0, 3);
    ended(&h, "Device", TRACK_CRASH, 3, 3);
    assert_string_equal(row(&h, "Device", "outcome")->message, "no such device");
    fact(&h, "host", "node17");
    assert_true(h.runs[0].at > 1795800000);
    sunup__track_end(&h);
    read_sample("google_aggregates.json", &h);
    assert_int_equal(row(&h, "Sum/64", "time")->n, 1); /* the median */
    sunup__track_end(&h);
}

static void pytest(void **state)
{
    (void)state;
    struct track_history h = {0};
    read_sample("pytest.json", &h);
    assert_int_equal(row(&h, "test_b.py::test_sum", "time")->n, 5);
    assert_int_equal(row(&h, "test_b.py::test_join", "time")->n, 3);
    assert_string_equal(row(&h, "test_b.py::test_sum", "time")->engine, "sums");
    fact(&h, "commit", "47d1650c40e69c507520a013f09baf98c350a09a");
    fact(&h, "dirty", "no");
    fact(&h, "machine", "AMD EPYC");
    fact(&h, "pytest_benchmark", "5.3.1");
    sunup__track_end(&h);
    static const char saved[] =
        "{\"machine_info\": {\"node\": \"n\"}, \"datetime\": \"2016-01-02T03:04:05.678\", "
        "\"benchmarks\": [{\"name\": \"a\", \"stats\": {\"median\": 2.5}}]}";
    const struct track_import o = {0};
    assert_int_equal(sunup__track_import(ctx, "f", saved, strlen(saved), &o, 0, &h), SUNUP_OK);
    holds(&h, "a", "time", "s", 2.5);
    assert_int_equal(h.runs[0].at, 1451703845);
    sunup__track_end(&h);
}

static void reframe(void **state)
{
    (void)state;
    struct track_history h = {0};
    read_sample("reframe.json", &h);
    holds(&h, "stream @generic:default+builtin", "copy", "B/s", 123.5e6);
    holds(&h, "stream @generic:default+builtin", "latency", "s", 99.25e-6);
    assert_int_equal(row(&h, "stream @generic:default+builtin", "copy")->ranks, 4);
    same(row(&h, "flaky @generic:default+builtin", "score")->values[0], 7);
    assert_string_equal(row(&h, "flaky @generic:default+builtin", "score")->unit, "points");
    ended(&h, "stream @generic:default+builtin", TRACK_OK, 0, 1);
    ended(&h, "broken @generic:default+builtin", TRACK_MISMATCH, 2, 2);
    ended(&h, "flaky @generic:default+builtin", TRACK_FLAKY, 1, 2);
    assert_non_null(strstr(row(&h, "broken @generic:default+builtin", "outcome")->message, "pattern 'copy'"));
    assert_true(row(&h, "broken @generic:default+builtin", "outcome")->seconds > 0);
    fact(&h, "reframe", "4.10.4");
    fact(&h, "machine", "generic");
    sunup__track_end(&h);
    read_sample("reframe_old.json", &h);
    holds(&h, "stream @cluster:cpu+gnu", "triad", "B/s", 101.5e9);
    assert_int_equal(h.runs[0].at, 1682928000); /* 10:00 two hours east of Greenwich */
    sunup__track_end(&h);
}

static void mllog(void **state)
{
    (void)state;
    struct track_history h = {0};
    read_sample("mllog_success.log", &h);
    same(row(&h, "deepcam:epoch1", "accuracy")->values[0], 0.625);
    same(row(&h, "deepcam:epoch2", "accuracy")->values[0], 0.75);
    same(row(&h, "deepcam", "accuracy")->values[0], 0.75);
    assert_int_equal(row(&h, "deepcam", "accuracy")->better, TRACK_MORE);
    const double seconds = row(&h, "deepcam", "time_to_train")->values[0];
    assert_true(seconds >= 0.25 && seconds < 1);
    same(row(&h, "deepcam", "epochs")->count, 2);
    ended(&h, "deepcam", TRACK_OK, 0, 1);
    assert_string_equal(row(&h, "deepcam", "epochs")->engine, "Example");
    fact(&h, "machine", "64xNode");
    fact(&h, "global_batch_size", "512");
    sunup__track_end(&h);
    read_sample("mllog_aborted.log", &h); /* no time to train: it did not get there */
    ended(&h, "deepcam", TRACK_DIVERGED, 1, 1);
    sunup__track_end(&h);
}

static void table(void **state)
{
    (void)state;
    struct track_history h = {0};
    read_sample("table.csv", &h);
    const struct track_row *r = row(&h, "matmul:m64n48k300:f32", "time");
    assert_int_equal(r->n, 2);
    same(r->values[0], 15.5e-6);
    same(r->values[1], 16.5e-6);
    assert_int_equal(r->ranks, 2);
    assert_int_equal(r->better, TRACK_LESS);
    same(row(&h, "matmul:m64n48k300:f32", "speed")->values[1], 111.7e9);
    holds(&h, "matmul:m128n128k128:f32", "speed", "flop/s", 20e9);
    fact(&h, "site", "A");
    assert_int_equal(h.runs[0].at, 1772445599); /* the earliest */
    sunup__track_end(&h);
}

/* --------------------------------------------------------------------- maps and names --- */

static void tables_of_other_kinds(void **state)
{
    (void)state;
    static const char text[] =
        "what,metric,unit,val,state\na,lat,ms,2.5,ok\na,lat,ms,3.5,ok\nb,bw,Gbit/s,8,timeout\n"
        "b,\"multi\nline\",,-1,\n";
    struct track_history h = {0};
    const struct track_import o = {.columns =
                                       "name=what, quantity=metric, unit=unit, value=val, outcome=state",
                                   .suite = "s",
                                   .engine = "e",
                                   .source = "ours"};
    if (sunup__track_import(ctx, "f", text, strlen(text), &o, 7, &h) != SUNUP_OK)
        fail_msg("%s", sunup_error(ctx));
    assert_int_equal(row(&h, "a", "lat")->n, 2);
    same(row(&h, "a", "lat")->values[1], 3.5e-3);
    assert_string_equal(row(&h, "a", "lat")->suite, "s");
    assert_string_equal(row(&h, "a", "lat")->engine, "e");
    assert_string_equal(row(&h, "a", "lat")->source, "ours");
    same(row(&h, "b", "bw")->values[0], 1e9);
    assert_int_equal(row(&h, "b", "bw")->better, TRACK_MORE);
    same(row(&h, "b", "multi\nline")->values[0], -1);
    ended(&h, "a", TRACK_OK, 0, 2);
    ended(&h, "b", TRACK_CRASH, 1, 1);
    assert_int_equal(h.runs[0].at, 7);
    sunup__track_end(&h);
    static const char head[] = "# remark, with, commas and a \"\n#problem,loss\nx,2.5\n";
    const struct track_import p = {.columns = "name=problem,loss=loss::less"};
    if (sunup__track_import(ctx, "f", head, strlen(head), &p, 7, &h) != SUNUP_OK)
        fail_msg("%s", sunup_error(ctx));
    same(row(&h, "x", "loss")->values[0], 2.5);
    assert_int_equal(row(&h, "x", "loss")->better, TRACK_LESS);
    sunup__track_end(&h);
}

/* The same file is the same record, another file of the same second is not. */
static void runs_are_named_by_content(void **state)
{
    (void)state;
    struct track_history h = {0};
    const struct track_import o = {0};
    static const char a[] = "# OSU MPI Latency Test v7.5\n# Size Latency (us)\n1 2.5\n";
    static const char b[] = "# OSU MPI Latency Test v7.5\n# Size Latency (us)\n1 2.6\n";
    assert_int_equal(sunup__track_import(ctx, "f", a, strlen(a), &o, 1000, &h), SUNUP_OK);
    assert_int_equal(sunup__track_import(ctx, "g", a, strlen(a), &o, 1000, &h), SUNUP_OK);
    assert_int_equal(sunup__track_import(ctx, "h", b, strlen(b), &o, 1000, &h), SUNUP_OK);
    assert_int_equal(h.n_runs, 3);
    assert_string_equal(h.runs[0].id, h.runs[1].id);
    assert_string_not_equal(h.runs[0].id, h.runs[2].id);
    assert_memory_equal(h.runs[0].id, "19700101T001640Z-osu-", 21);
    assert_null(strchr(h.runs[0].id, '/'));
    sunup__track_end(&h);
}

/* Names of benchdnn's problems are those that sunup itself gives. */
static void problems_are_those_of_sunup(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"--conv --dir=FWD_D g1mb2ic4iw16oc8ow16kw3pw1", "conv:n2w16c4k8s3:pad1:to16:f32"},
        {"--conv --dir=FWD_B mb2ic4ih9iw16oc8kh3kw3", "conv:n2h9w16c4k8r3s3:bias:f32"},
        {"--conv --dir=BWD_D mb2_ic4ih17_oc8oh9_kh3sh2ph1n\"x\"",
         "conv_data_grad:n2h17w17c4k8r3s3:stride2x2:pad1x1:to9x9:f32"},
        {"--conv --engine=cpu --dir=BWD_W g2mb2ic4id8oc8kd3dd1",
         "conv_weight_grad:n2d8h8w8c4k8t3r3s3:dilation2x2x2:groups2:f32"},
        {"--conv --dir=FWD_I --dt=f32:f32:f32 mb1ic8ih10oc8oh10kh5",
         "conv:n1h10w10c8k8r5s5:pad2x2:to10x10:f32"},
        {"--ip --dir=FWD_B mb32ic100oc10", "linear:m32n10k100:bias:f32"},
        {"--ip --dir=BWD_D mb32ic100oc10", "matmul:m32n100k10:tb:f32"},
        {"--ip --dir=BWD_W mb32ic100oc10", "matmul:m100n10k32:ta:f32"},
        {"--matmul 64x300:300x48", "matmul:m64n48k300:f32"},
        {"--matmul --stag=ba --wtag=ba 64x300:300x48n\"name\"", "matmul:m64n48k300:ta:tb:f32"},
        {"--matmul --stag=abc 12x64x30:12x30x48:12x64x48", "matmul:m64n48k30:batch12:f32"},
        {"--matmul 1x64x30:12x30x48", "matmul:m64n48k30:batch12:one_a:f32"},
        {"--matmul 12x64x30:1x30x48", "matmul:m768n48k30:f32"},
    };
    static const char *const others[] = {
        "--conv --dir=BWD_WB mb1ic8ih10oc8kh5",
        "--conv --dt=bf16 mb1ic8ih10oc8kh5",
        "--conv mb1ic8ih10oc8",
        "--conv mb1ic8ih10oc8kh5q3",
        "--conv mb1ic8ih9999999999oc8kh5",
        "--conv mb1ic8ih3oc8kh5 mb1",
        "--matmul 64x300:301x48",
        "--matmul --wtag=cab 64x300:300x48",
        "--matmul 2x64x3:3x3x4",
        "--matmul --bia-dt=f32 64x300:300x48",
        "--pool mb1ic8ih10kh2",
        "--conv mb0ic8ih10oc8kh5",
    };
    char line[256], text[PROBLEM_TEXT];
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0] + sizeof others / sizeof others[0]; i++) {
        const size_t n = sizeof pairs / sizeof pairs[0];
        const char *given = i < n ? pairs[i][0] : others[i - n],
                   *wanted = i < n ? pairs[i][1] : others[i - n];
        struct track_history h = {0};
        const struct track_import o = {0};
        (void)snprintf(line, sizeof line, "Output template: p,%%prb%%,%%0time%%\np,%s,1\n", given);
        if (sunup__track_import(ctx, "f", line, strlen(line), &o, 1, &h) != SUNUP_OK)
            fail_msg("%s", sunup_error(ctx));
        assert_string_equal(h.runs[0].rows[0].name, wanted);
        sunup__track_end(&h);
        if (i >= n) continue;
        sunup_graph *g;
        const struct node *node;
        if (sunup__problem_read(ctx, wanted, &g, &node) != SUNUP_OK) fail_msg("%s", sunup_error(ctx));
        sunup__problem_text(node, text, sizeof text);
        sunup_graph_destroy(&g);
        assert_string_equal(text, wanted);
    }
}

static void times(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t at; /* 0: none */
    } cases[] = {
        {"1970-01-01T00:00:01Z", 1},
        {"2000-02-29T12:00:00", 951825600},
        {"2026-11-28 20:07:18.166349+00:00", 1795896438},
        {"2026-11-28T21:07:18+01:00", 1795896438},
        {"2026-11-28T14:37:18-0530", 1795896438},
        {"2026-11-28", 1795824000},
        {"2026-11-28T20:07", 0},
        {"2026-13-28T20:07:18Z", 0},
        {"2026-11-28T24:07:18Z", 0},
        {"2026-11-28T20:07:18 CET", 0},
        {"2026-11-28T20:07:18+1", 0},
        {"28.11.2026", 0},
        {"-026-11-28", 0},
        {"", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t at = 0;
        const bool read = sunup__import_time(cases[i].text, &at);
        if (read != (cases[i].at > 0) || (read && at != cases[i].at))
            fail_msg("'%s' is read as %lld", cases[i].text, (long long)at);
    }
}

static void units(void **state)
{
    (void)state;
    static const struct {
        const char *text, *si;
        double factor;
    } cases[] = {
        {"us", "s", 1e-6},       {"\xc2\xb5s", "s", 1e-6},  {"min", "s", 60},
        {"GB/s", "B/s", 1e9},    {"GiB/s", "B/s", 1 << 30}, {"Gbit/s", "B/s", 1.25e8},
        {"Mbps", "B/s", 1.25e5}, {"kB", "B", 1e3},          {"MiB", "B", 1 << 20},
        {"bytes", "B", 1},       {"GFLOPS", "flop/s", 1e9}, {"Tflop/s", "flop/s", 1e12},
        {"Gflop", "flop", 1e9},  {"%", "", 1e-2},           {"furlong", "furlong", 1},
        {"Gs", "Gs", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct import_unit u = sunup__import_unit(cases[i].text);
        assert_string_equal(u.si, cases[i].si);
        same(u.factor, cases[i].factor);
    }
}

/* --------------------------------------------------------------------------- hostile --- */

/* Cut at every byte: the file is refused with a sentence, or its whole lines are there; nothing is
 * left of a refused one. */
static void every_beginning(void **state)
{
    (void)state;
    for (int i = 0; i < SAMPLES; i++) {
        size_t bytes;
        const struct track_import o = {.format = samples[i].format, .columns = samples[i].columns};
        char *text = load(samples[i].file, &bytes);
        int most = 0;
        struct track_history h = {0};
        for (size_t n = 0; n <= bytes; n++) {
            const sunup_status status = sunup__track_import(ctx, "f", text, n, &o, 5, &h);
            assert_true(status == SUNUP_OK || status == SUNUP_E_FORMAT);
            assert_int_equal(h.n_runs, status == SUNUP_OK);
            if (status != SUNUP_OK) {
                assert_memory_equal(sunup_error(ctx), "f:", 2);
                continue;
            }
            assert_true(h.runs[0].n_rows >= most); /* a longer beginning tells no less */
            most = h.runs[0].n_rows;
            sunup__track_end(&h);
        }
        assert_int_equal(most, samples[i].rows);
        sunup__track_end(&h);
        sunup__free(text);
    }
}

/* What has an end of its own is whole or nothing. */
static void beginnings_of_whole_files(void **state)
{
    (void)state;
    static const char *const whole[] = {"nccl.json",        "oneccl.txt",   "google.json",
                                        "pytest.json",      "reframe.json", "mllog_success.log",
                                        "mllog_aborted.log"};
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++) {
        size_t bytes;
        const struct track_import o = {.format = sample(whole[i])->format};
        char *text = load(whole[i], &bytes);
        struct track_history h = {0};
        for (size_t n = 0; n + 2 < bytes; n += 7)
            assert_int_equal(sunup__track_import(ctx, "f", text, n, &o, 5, &h), SUNUP_E_FORMAT);
        sunup__track_end(&h);
        sunup__free(text);
    }
}

/* A history that has runs already keeps them as they are. */
static void a_failed_import_leaves_no_trace(void **state)
{
    (void)state;
    struct track_history h = {0};
    read_sample("osu.txt", &h);
    static const char text[] = "# OSU MPI Latency Test v7.5\n# Size Latency (us)\n1 2.5\n2 x\n";
    const struct track_import o = {0};
    assert_int_equal(sunup__track_import(ctx, "f", text, strlen(text), &o, 1, &h), SUNUP_E_FORMAT);
    assert_string_equal(sunup_error(ctx), "f:4: 'x' is no number (Latency (us))");
    assert_int_equal(h.n_runs, 1);
    assert_int_equal(h.runs[0].n_rows, sample("osu.txt")->rows);
    holds(&h, "allreduce:f32:4B", "time", "s", 10.5e-6);
    sunup__track_end(&h);
}

/* Many lines of many cases: each finds its row. */
static void large_tables(void **state)
{
    (void)state;
    enum { LINES = 20000, CASES = 4000 };
    struct text t = {0};
    struct track_history h = {0};
    sunup__text(&t, "n,t\n");
    for (int i = 0; i < LINES; i++) sunup__text(&t, "case%d,%d\n", i % CASES, i);
    const struct track_import o = {.columns = "name=n,time=t:s"};
    assert_int_equal(sunup__track_import(ctx, "f", t.s, t.n, &o, 1, &h), SUNUP_OK);
    assert_int_equal(h.runs[0].n_rows, CASES);
    for (int i = 0; i < CASES; i++) {
        const struct track_row *r = &h.runs[0].rows[i];
        assert_int_equal(r->n, LINES / CASES);
        for (int k = 0; k < r->n; k++) same(r->values[k], i + (double)k * CASES);
    }
    sunup__track_end(&h);
    sunup__free(t.s);
}

static void without_memory(void **state)
{
    (void)state;
    static const char *const files[] = {"benchdnn.txt", "nccl.json", "reframe.json", "table.csv"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        size_t bytes;
        const struct sample *s = sample(files[i]);
        const struct track_import o = {.columns = s->columns};
        char *text = load(files[i], &bytes);
        sunup_status status = SUNUP_E_MEMORY;
        for (int n = 1; status != SUNUP_OK; n++) {
            struct track_history h = {0};
            sunup__fail_allocation(n);
            status = sunup__track_import(ctx, "f", text, bytes, &o, 5, &h);
            sunup__fail_allocation(-1);
            assert_true(status == SUNUP_OK || status == SUNUP_E_MEMORY);
            assert_int_equal(h.n_runs, status == SUNUP_OK);
            sunup__track_end(&h);
        }
        sunup__free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(benchdnn),
        cmocka_unit_test(benchdnn_by_another_template),
        cmocka_unit_test(nccl),
        cmocka_unit_test(oneccl),
        cmocka_unit_test(osu),
        cmocka_unit_test(google),
        cmocka_unit_test(pytest),
        cmocka_unit_test(reframe),
        cmocka_unit_test(mllog),
        cmocka_unit_test(table),
        cmocka_unit_test(tables_of_other_kinds),
        cmocka_unit_test(runs_are_named_by_content),
        cmocka_unit_test(problems_are_those_of_sunup),
        cmocka_unit_test(times),
        cmocka_unit_test(units),
        cmocka_unit_test(every_beginning),
        cmocka_unit_test(beginnings_of_whole_files),
        cmocka_unit_test(a_failed_import_leaves_no_trace),
        cmocka_unit_test(large_tables),
        cmocka_unit_test(without_memory),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
