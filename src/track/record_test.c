/* record_test.c - records come back as they were written; half of one, or another's, is passed over; many writers
 * never meet.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/system.h"
#include "track/record.h"

static sunup_context *ctx;
static char folder[] = "/tmp/sunup-record-XXXXXX";

static double values[] = {1.25e-3, 1.5e-3, NAN, 0.1234567890123}, canary[] = {3e-5, 4e-5};
static struct track_moved moved[] = {{"conv:n1 \"(layer 3)\"", 1e-3, 0.001}, {"relu", -2e-6, 0.5}};
static struct track_fact facts[] = {{"commit", "3f2a"}, {"machine", "a \\ b\n"}};

static void fill(struct track_row row[5])
{
    row[0] = sunup__track_row(TRACK_SAMPLES, "kernels", "conv:n1", "oneDNN", "time");
    row[0].unit = "s";
    row[0].n = 4;
    row[0].values = values;
    row[0].n_canary = 2;
    row[0].canary = canary;
    row[0].flops = 1e9;
    row[0].bound_s = 1e-3;
    row[1] = sunup__track_row(TRACK_PAIRS, "models", "lenet", "sunup", "time");
    row[1].n = 2;
    row[1].values = values;
    row[1].n_confirm = 1;
    row[1].confirm = values + 1;
    row[1].baseline = "0.1.0";
    row[1].n_moved = 2;
    row[1].moved = moved;
    row[2] = sunup__track_row(TRACK_COUNT, "models", "lenet", "sunup", "bytes_sent");
    row[2].count = 9007199254740991;
    row[2].ranks = 4;
    row[2].better = TRACK_NEITHER;
    row[3] = sunup__track_row(TRACK_WORD, "models", "lenet", "sunup", "hash");
    row[3].word = "deadbeef";
    row[3].source = "vendor";
    row[4] = sunup__track_row(TRACK_OUTCOME, "models", "lenet", "sunup", "outcome");
    row[4].outcome = TRACK_HANG;
    row[4].rank = 3;
    row[4].signal = 11;
    row[4].step = 12;
    row[4].layer = "conv1";
    row[4].collective = "sum of gradients";
    row[4].message = "bytes \377\300 and \xed\xa0\x80 that are no UTF-8, and \303\244 that is";
    row[4].seconds = 2.5;
    row[4].failures = row[4].tries = 2;
}

static void same_values(const double *x, int n, const double *y, int m)
{
    assert_int_equal(n, m);
    for (int i = 0; i < n; i++)
        if (isnan(y[i]))
            assert_true(isnan(x[i]));
        else
            assert_true(fabs(x[i] - y[i]) <= 1e-9 * fabs(y[i]));
}

static void same_row(const struct track_row *x, const struct track_row *y)
{
    const char *const words[][2] = {{x->suite, y->suite},   {x->name, y->name},     {x->engine, y->engine},
                                    {x->unit, y->unit},     {x->source, y->source}, {x->word, y->word},
                                    {x->layer, y->layer},   {x->quantity, y->quantity},
                                    {x->baseline, y->baseline}, {x->collective, y->collective}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        assert_string_equal(words[i][0], words[i][1]);
    assert_int_equal(x->kind, y->kind);
    assert_int_equal(x->better, y->better);
    same_values(x->values, x->n, y->values, y->n);
    same_values(x->canary, x->n_canary, y->canary, y->n_canary);
    same_values(x->confirm, x->n_confirm, y->confirm, y->n_confirm);
    assert_true(x->count == y->count && x->flops == y->flops && x->bound_s == y->bound_s);
    assert_int_equal(x->ranks, y->ranks);
    assert_int_equal(x->outcome, y->outcome);
    assert_int_equal(x->rank, y->rank);
    assert_int_equal(x->signal, y->signal);
    assert_int_equal(x->step, y->step);
    assert_int_equal(x->failures, y->failures);
    assert_int_equal(x->tries, y->tries);
    assert_int_equal(x->n_moved, y->n_moved);
    for (int i = 0; i < x->n_moved; i++) {
        assert_string_equal(x->moved[i].what, y->moved[i].what);
        assert_true(x->moved[i].seconds == y->moved[i].seconds && x->moved[i].p == y->moved[i].p);
    }
}

static char *written(size_t *bytes)
{
    struct track_row rows[5];
    struct track_run run = {.id = "a", .at = 1764359582, .n_facts = 2, .facts = facts, .n_rows = 5, .rows = rows};
    char path[96];
    void *data;
    fill(rows);
    assert_int_equal(sunup__track_write(ctx, folder, &run), SUNUP_OK);
    assert_int_equal(sunup__track_write(ctx, folder, &run), SUNUP_E_FILE); /* nothing is overwritten */
    (void)snprintf(path, sizeof path, "%s/a.jsonl", folder);
    assert_int_equal(sunup__file_read(ctx, path, &data, bytes), SUNUP_OK);
    (void)unlink(path);
    return data;
}

static void round_trip(void **state)
{
    (void)state;
    size_t bytes;
    char *text = written(&bytes);
    struct track_history h = {0};
    struct track_row rows[5];
    fill(rows);
    assert_int_equal(sunup__track_parse(ctx, "a", text, bytes, &h), SUNUP_OK);
    assert_int_equal(h.n_runs, 1);
    assert_int_equal(h.runs[0].at, 1764359582);
    assert_string_equal(sunup__track_fact(&h.runs[0], "machine"), "a \\ b\n");
    assert_string_equal(sunup__track_fact(&h.runs[0], "absent"), "");
    assert_int_equal(h.runs[0].n_rows, 5);
    for (int i = 0; i < 5; i++) same_row(&h.runs[0].rows[i], &rows[i]);
    assert_string_equal(h.runs[0].rows[4].message,
                        "bytes ?? and ??? that are no UTF-8, and \303\244 that is");
    sunup__track_end(&h);
    sunup__free(text);
}

static void half_is_nothing(void **state)
{
    (void)state;
    size_t bytes;
    char *text = written(&bytes);
    struct track_history h = {0};
    for (size_t n = 0; n + 1 < bytes; n++) { /* the last line break may be missing */
        assert_int_equal(sunup__track_parse(ctx, "a", text, n, &h), SUNUP_E_FORMAT);
        assert_int_equal(h.n_runs, 0);
    }
    sunup__track_end(&h);
    sunup__free(text);
}

static void others_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "{\"sunup_track\":2,\"id\":\"a\",\"at\":1}\n{\"end\":0}\n",
        "{\"id\":\"a\"}\n",
        "[]\n",
        "{\"sunup_track\":1,\"id\":\"a\",\"at\":-1}\n{\"end\":0}\n",
        "{\"sunup_track\":1,\"id\":\"a\",\"at\":1,\"facts\":{\"x\":1}}\n{\"end\":0}\n",
        "{\"sunup_track\":1,\"id\":\"a\",\"at\":1}\n{\"suite\":\"k\"}\n{\"end\":1}\n",
        "{\"sunup_track\":1,\"id\":\"a\",\"at\":1}\n{\"values\":[\"1\"]}\n{\"end\":1}\n",
        "{\"sunup_track\":1,\"id\":\"a\",\"at\":1}\n{\"values\":[1e999]}\n{\"end\":1}\n",
        "{\"sunup_track\":1,\"id\":\"a\",\"at\":1}\n{\"outcome\":\"fine\"}\n{\"end\":1}\n",
        "{\"sunup_track\":1,\"id\":\"a\",\"at\":1}\n{\"count\":1,\"ranks\":1e300}\n{\"end\":1}\n",
        "{\"sunup_track\":1,\"id\":\"a\",\"at\":1}\n{\"end\":0}\n{\"end\":0}\n",
        "{\"sunup_track\":1,\"id\":\"a\",\"at\":1}\n{\"end\":3}\n",
    };
    struct track_history h = {0};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(sunup__track_parse(ctx, "a", bad[i], strlen(bad[i]), &h), SUNUP_E_FORMAT);
        assert_int_equal(h.n_runs, 0);
    }
    sunup__track_end(&h);
}

/* Processes that write at once, as jobs of many nodes do; a reader meanwhile sees whole files only. */
static void many_writers(void **state)
{
    (void)state;
    enum { WRITERS = 8, EACH = 12 };
    struct track_history h = {0};
    for (int w = 0; w < WRITERS; w++) {
        if (fork() != 0) continue;
        struct track_row row = sunup__track_row(TRACK_COUNT, "s", "n", "e", "q");
        bool ok = true;
        for (int i = 0; i < EACH; i++) {
            struct track_run run = {.at = 1764359582, .n_rows = 1, .rows = &row};
            ok &= sunup__track_write(ctx, folder, &run) == SUNUP_OK;
        }
        _exit(!ok);
    }
    for (int running = WRITERS; running > 0;) {
        int status;
        assert_int_equal(sunup__track_load(ctx, folder, &h), SUNUP_OK);
        assert_int_equal(h.passed_over, 0);
        if (waitpid(-1, &status, WNOHANG) > 0) {
            assert_int_equal(status, 0);
            running--;
        }
        sunup__track_end(&h);
    }
    assert_int_equal(sunup__track_load(ctx, folder, &h), SUNUP_OK);
    assert_int_equal(h.n_runs, WRITERS * EACH);
    sunup__track_end(&h);
}

static void a_missing_folder_is_empty(void **state)
{
    (void)state;
    struct track_history h = {0};
    assert_int_equal(sunup__track_load(ctx, "/tmp/sunup-no-such-folder", &h), SUNUP_OK);
    assert_int_equal(h.n_runs, 0);
    sunup__track_end(&h);
}

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL || sunup_context_create(NULL, &ctx) != SUNUP_OK;
}

static int tear_down(void **state)
{
    (void)state;
    char command[64];
    sunup_context_destroy(&ctx);
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),        cmocka_unit_test(half_is_nothing),
        cmocka_unit_test(others_are_refused), cmocka_unit_test(many_writers),
        cmocka_unit_test(a_missing_folder_is_empty),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
