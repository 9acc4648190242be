/* import_hostile_test.c - what is no file of other people's results, or a damaged one, and maps
 * that are wrong: a sentence each, and nothing left behind.
 */
#include "track/import.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

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

/* Refused with this status and these words, and nothing is left behind. */
static void refused(const struct track_import *o, const char *text, size_t bytes, sunup_status status,
                    const char *says)
{
    struct track_history h = {0};
    assert_int_equal(sunup__track_import(ctx, "f", text, bytes, o, 1000, &h), status);
    if (strstr(sunup_error(ctx), says) == NULL) fail_msg("'%s' does not say '%s'", sunup_error(ctx), says);
    assert_int_equal(h.n_runs, 0);
    sunup__track_end(&h);
}

static void bad(const char *format, const char *text, const char *says)
{
    refused(&(struct track_import){.format = format}, text, strlen(text), SUNUP_E_FORMAT, says);
}

/* ------------------------------------------------------------------- maps and tables --- */

static void wrong_maps(void **state)
{
    (void)state;
    static const struct {
        const char *columns, *says;
    } maps[] = {
        {"time=t:s", "name=COLUMN"},
        {"name=n", "nothing is measured"},
        {"name=n,t", "'t' is no FIELD=COLUMN"},
        {"name=n,time=", "no column is given for 'time'"},
        {"name=\"n,time=t", "never closed"},
        {"name=n,time=t:s:les", "did you mean 'less'?"},
        {"name=n:s,time=t", "no unit"},
        {"name=n,value=v", "go together"},
        {"name=n,time=t,time=u", "twice"},
        {"name=n,time=t:s:less:x", "where a comma is expected"},
        {"name=n,fact.=t", "fact"},
        {"name={n,time=t", "brace"},
        {"", "nothing is measured"},
    };
    for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++)
        refused(&(struct track_import){.columns = maps[i].columns}, "n,t,u\na,1,2\n", 12, SUNUP_E_ARGUMENT,
                maps[i].says);
}

static void wrong_tables(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } tables[] = {
        {"name,tim\na,1\n", "f:1: there is no column 'time' in the head of the table; did you mean 'tim'?"},
        {"name,time\na,1\nb,2,3\n", "f:3: the line has 3 cells, the head of the table 2"},
        {"name,time\na,\"1\n", "never closed"},
        {"name,time\na,\"1\"x\n", "follows the end of a quote"},
        {"name,time\na,fast\n", "f:2: 'fast' in the column 'time' is no number"},
        {"name,time\na,inf\n", "no number"},
        {"name,time\na,0x10\n", "no number"},
        {"name,time\na,1e999\n", "no number"},
        {"name,time\na,-1\n", "is -1"},
        {"name,time\n,1\n", "f:2: a line without the name"},
        {"name,time\na,\n", "no measurement"},
        {"name,time,time\na,1,2\n", "twice"},
        {"# only a remark\n", "no head"},
        {"", "no head"},
    };
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        refused(&(struct track_import){.columns = "name=name,time=time:s"}, tables[i].text,
                strlen(tables[i].text), SUNUP_E_FORMAT, tables[i].says);
    refused(&(struct track_import){.columns = "name=n,t=t,fact.host=h"}, "n,t,h\na,1,x\na,2,y\n", 18,
            SUNUP_E_FORMAT, "a file is one run");
    refused(&(struct track_import){.columns = "name=n,t=t,bytes=b"}, "n,t,b\na,1,-5\n", 13, SUNUP_E_FORMAT,
            "bytes are -5");
}

static void wrong_options(void **state)
{
    (void)state;
    refused(&(struct track_import){.format = "ocu"}, "x", 1, SUNUP_E_ARGUMENT, "did you mean 'osu'?");
    refused(&(struct track_import){.format = "csv"}, "x", 1, SUNUP_E_ARGUMENT, "map of its columns");
    refused(&(struct track_import){.format = "osu", .columns = "name=x"}, "x", 1, SUNUP_E_ARGUMENT, "csv");
    refused(&(struct track_import){0}, "what is this\n", 13, SUNUP_E_FORMAT, "benchdnn");
    struct track_history h = {0};
    const struct track_import o = {0};
    static const char text[] = "# OSU MPI Latency Test v7.5\n# Size Latency (us)\n1 2.5\n";
    assert_int_equal(sunup__track_import(ctx, "f", text, strlen(text), &o, 0, &h), SUNUP_E_FORMAT);
    assert_non_null(strstr(sunup_error(ctx), "no time of its own"));
    assert_int_equal(h.n_runs, 0);
    int n = 0;
    for (const char *const *f = sunup__track_formats(); *f != NULL; f++) n++;
    assert_int_equal(n, 9);
    sunup__track_end(&h);
}

/* --------------------------------------------------------------------------- hostile --- */

static void hostile_text(void **state)
{
    (void)state;
    const struct track_import osu_ = {.format = "osu"};
    refused(&osu_, "# OSU MPI Latency Test v7\n\xff\n", 28, SUNUP_E_FORMAT, "f:2: byte 0xff is not UTF-8");
    refused(&osu_, "# OSU MPI\0Latency Test v7\n", 26, SUNUP_E_FORMAT, "byte 0x00");
    refused(&osu_, "\xed\xa0\x80\n", 4, SUNUP_E_FORMAT, "not UTF-8");
    refused(&osu_, "\xc0\xaf\n", 3, SUNUP_E_FORMAT, "not UTF-8");
    refused(&osu_, "\xe2\x82", 2, SUNUP_E_FORMAT, "not UTF-8");
    bad("osu", "# OSU MPI Latency Test v7\n# Size Latency (us)\n-1 2\n", "no measurement");
    bad("osu", "# OSU MPI Latency Test v7\n# Size Latency (us)\n1 -2\n", "is -2e-06");
    bad("osu", "# OSU MPI Latency Test v7\n# Size Latency (us)\n1\n",
        "f:3: 1 numbers stand in a table of 2 columns");
    bad("osu", "# OSU MPI Latency Test v7\n# Size Latency (us)\n1 2 3\n", "table of 2 columns");
    bad("osu", "# OSU MPI Latency Test v7\n# Size Latency (us)\n1 nan\n", "'nan' is no number");
    bad("osu", "# OSU MPI Latency Test v7\n# Size Latancy(us)\n",
        "f:2: the column 'Latancy(us)' is unknown; did you mean");
    bad("osu", "# OSU MPI Latency Test v7\n# Size Latency (us)\n1 2", "no end");
    bad("oneccl", "#ranks,collective,t_avg[usec],#elements/buffer\n4,allreduce,1e400,4\n", "no number");
    bad("oneccl", "#ranks,collective,t_avg[usec],#elements/buffer\n4,allreduce,1\n", "3 cells");
    bad("oneccl", "#ranks,collective,#elements/buffer\n", "t_avg[usec] is missing");
    bad("oneccl", "4,allreduce,1\n", "cut off");
    bad("benchdnn", "Output template: perf,%prb%,%0time%\nperf,a,b\n", "f:2: the report does not match");
    bad("benchdnn", "Output template: perf,%prb%,%0tine%\n", "did you mean 'time'?");
    bad("benchdnn", "Output template: perf,%prb%%0time%\n", "nothing stands between");
    bad("benchdnn", "Output template: perf,%0time%\n", "names no problem");
    bad("benchdnn", "Output template: perf,%prb\n", "no second %");
    bad("benchdnn", "perf,cpu,a,1\n", "before its template");
    bad("benchdnn", "Output template: %prb%,%0time%\nx,-3\n", "is -0.003");
    bad("benchdnn", "Output template: %prb%,%Gops%,%0time%\nx,-3,1\n", "operations of x are -3e+09");
    bad("benchdnn", "Output template: %prb%,%ibytes%,%0time%\nx,-3,1\n", "bytes of x are -3");
    bad("mllog", ":::MLLOG {\"key\": \"run_stop\", \"time_ms\": 5}\n", "without a run_start");
    bad("mllog", ":::MLLOG {\"key\": \"run_start\", \"time_ms\": 5}\n", "no run_stop");
    bad("mllog", ":::MLLOG {\"key\": \"run_start\", \"time_ms\": 5\n", "f:1: no whole JSON");
    bad("mllog", "none\n", "no run_start");
}

static void hostile_json(void **state)
{
    (void)state;
    enum { DEEP = 100000 };
    char *deep = sunup__alloc(2 * DEEP);
    memset(deep, '[', DEEP);
    refused(&(struct track_import){.format = "reframe"}, deep, DEEP, SUNUP_E_FORMAT, "depth");
    sunup__free(deep);
    bad("google-benchmark", "[1]", "an object");
    bad("google-benchmark", "{\"context\": {}, \"context\": {}, \"benchmarks\": []}", "duplicate");
    bad("google-benchmark", "{\"context\": {}, \"benchmarks\": 5}", "no list");
    bad("google-benchmark", "{\"context\": {}, \"benchmarks\": []}", "no measurement");
    bad("google-benchmark", "{\"benchmarks\": [{\"name\": \"a\", \"real_time\": 1e999}]}",
        "f:1: no whole JSON");
    bad("google-benchmark", "{\"benchmarks\": [{\"name\": \"a\", \"real_time\": NaN}]}", "no whole JSON");
    bad("google-benchmark", "{\"benchmarks\": [{\"name\": \"a\", \"real_time\": \"1\"}]}",
        "a number is expected");
    bad("google-benchmark", "{\"benchmarks\": [{\"name\": \"a\", \"real_time\": -1, \"cpu_time\": 1}]}",
        "is -1e-09");
    bad("google-benchmark", "{\"benchmarks\": [{\"name\": \"a\", \"real_time\": 1, \"time_unit\": \"B\"}]}",
        "unit of time");
    bad("google-benchmark", "{\"context\": {\"date\": \"yesterday\"}, \"benchmarks\": []}", "is no time");
    bad("google-benchmark", "{\"benchmarks\": [7, null, {}]}", "no name");
    bad("pytest-benchmark", "{\"benchmarks\": [{\"name\": \"a\", \"stats\": {\"data\": [1, null]}}]}",
        "no times");
    bad("pytest-benchmark", "{\"benchmarks\": [{\"name\": \"a\", \"stats\": {}}]}",
        "neither data nor a median");
    bad("nccl-tests", "{\"results\": [{}]}", "args[0]");
    bad("nccl-tests", "{\"args\": [\"x\"], \"results\": [{\"size\": -4}]}", "not -4 bytes");
    bad("nccl-tests", "{\"args\": [\"x\"], \"results\": [{\"size\": 4, \"in_place\": {\"time\": \"nan\"}}]}",
        "a number");
    bad("nccl-tests",
        "{\"args\": [\"x\"], \"config\": {\"ngpus\": 1e300}, \"devices\": [1], \"results\": [1]}", "ranks");
    bad("reframe", "{\"runs\": [{\"testcases\": [{\"name\": \"a\", \"result\": \"passd\"}]}]}",
        "did you mean 'pass'?");
    bad("reframe", "{\"runs\": [{\"testcases\": [{\"name\": \"a\", \"num_tasks\": -7}]}]}", "-7 tasks");
    bad("reframe", "{\"runs\": [{\"testcases\": [{\"name\": \"a\", \"perfvalues\": {\"x\": [1]}}]}]}",
        "list of five");
    bad("reframe", "{\"runs\": [{}]}", "no list");
}

/* Ten megabytes in one line of each text format: a sentence, or rows, and soon. */
static void long_lines(void **state)
{
    (void)state;
    enum { BYTES = 10 << 20 };
    static const struct {
        const char *format, *columns, *begin;
    } lines[] = {
        {"osu", NULL, "# OSU MPI Latency Test v7\n# Size Latency (us)\n1"},
        {"oneccl", NULL, "#ranks,collective,t_avg[usec],#elements/buffer\n4,"},
        {"benchdnn", NULL, "Output template: %prb%,%0time%\n"},
        {"benchdnn", NULL, "Output template: %prb%"},
        {"mllog", NULL, ":::MLLOG {\"key\": \""},
        {"csv", "name=a,b=b", "a,b\n"},
        {"csv", "name=a,b=b", "\"a,b"},
    };
    char *text = sunup__alloc(BYTES);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        memset(text, '7', BYTES);
        memcpy(text, lines[i].begin, strlen(lines[i].begin));
        text[BYTES - 1] = '\n';
        refused(&(struct track_import){.format = lines[i].format, .columns = lines[i].columns}, text, BYTES,
                SUNUP_E_FORMAT, "f:");
    }
    sunup__free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_maps),   cmocka_unit_test(wrong_tables), cmocka_unit_test(wrong_options),
        cmocka_unit_test(hostile_text), cmocka_unit_test(hostile_json), cmocka_unit_test(long_lines),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
