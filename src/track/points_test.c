/* points_test.c - the change points that Apache Otava finds, index by index, in its own series and in others
 * (tests/golden/track/points.txt, made by make_points.py there, which describes the format); what is missing, huge,
 * tiny, short or refused; the time of a year's worth of series, printed only.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/system.h"
#include "track/points.h"

enum { MOST = 500 };

static sunup_context *ctx;

static int find(const double *x, int n, struct track_point_options o, struct track_change *to)
{
    struct track_change *changes;
    int n_changes;
    assert_int_equal(sunup__track_changes(ctx, x, n, &o, &changes, &n_changes), SUNUP_OK);
    assert_true(n_changes <= MOST);
    if (n_changes > 0) memcpy(to, changes, (size_t)n_changes * sizeof *to);
    sunup__free(changes);
    return n_changes;
}

/* ------------------------------------------------------------------------- Otava --- */

struct golden {
    char name[40];
    double x[MOST];
    int n, compared, points, loose;
};

static void read_series(struct golden *g, const char *line)
{
    int used = 0;
    assert_int_equal(sscanf(line, "series %39s%n", g->name, &used), 1);
    g->n = 0;
    for (char *end, *p = (char *)line + used;; p = end) {
        const double v = strtod(p, &end);
        if (end == p) break;
        assert_true(g->n < MOST);
        g->x[g->n++] = v;
    }
}

static void mean_and_sd(const double *x, int n, double *mean, double *sd)
{
    double sum = 0, squares = 0;
    for (int i = 0; i < n; i++) sum += x[i];
    *mean = sum / n;
    for (int i = 0; i < n; i++) squares += (x[i] - *mean) * (x[i] - *mean);
    *sd = sqrt(squares / n);
}

/* What is said of a change is true of the segments beside it. */
static void check_sides(const struct golden *g, const struct track_change *c, int k, int n_changes)
{
    const int begin = k > 0 ? c[k - 1].at : 0, end = k + 1 < n_changes ? c[k + 1].at : g->n;
    double mean[2], sd[2];
    mean_and_sd(g->x + begin, c[k].at - begin, &mean[0], &sd[0]);
    mean_and_sd(g->x + c[k].at, end - c[k].at, &mean[1], &sd[1]);
    const double size = fabs(mean[0]) + fabs(mean[1]);
    assert_true(fabs(c[k].before - mean[0]) <= 1e-12 * size &&
                fabs(c[k].after - mean[1]) <= 1e-12 * size);
    assert_true(fabs(c[k].sd_before - sd[0]) <= 1e-7 * size &&
                fabs(c[k].sd_after - sd[1]) <= 1e-7 * size);
}

static bool holds(const struct track_change *c, const struct track_point_options *o)
{
    const double up = c->before == 0 ? 0 : fabs(c->after / c->before - 1);
    const double down = c->after == 0 ? 0 : fabs(c->before / c->after - 1);
    return c->p < o->max_p && fmax(up, down) > o->least;
}

/* Without Otava's older numbers every change that is left holds. */
static void check_all_hold(const struct golden *g, struct track_point_options o)
{
    struct track_change c[MOST];
    o.as_otava = false;
    const int n = find(g->x, g->n, o, c);
    for (int k = 0; k < n; k++) {
        assert_true(holds(&c[k], &o));
        check_sides(g, c, k, n);
    }
}

static void check_points(struct golden *g, const char *line)
{
    struct track_point_options o = {.as_otava = true};
    int used = 0;
    assert_int_equal(sscanf(line, "points %d %lf %lf :%n", &o.window, &o.max_p, &o.least, &used),
                     3);
    struct track_change c[MOST];
    const int n = find(g->x, g->n, o, c);
    char *p = (char *)line + used, *end;
    for (int k = 0; k < n; k++, p = end) {
        const long expected = strtol(p, &end, 10);
        if (end == p || expected != c[k].at)
            fail_msg("%s: %.60s: found %d", g->name, line, c[k].at);
        check_sides(g, c, k, n);
        g->loose += !holds(&c[k], &o);
    }
    strtol(p, &end, 10);
    if (end != p) fail_msg("%s: %.60s: found nothing after %d points", g->name, line, n);
    check_all_hold(g, o);
    g->compared++;
    g->points += n;
}

static void test_otava(void **state)
{
    (void)state;
    const char *other = getenv("SUNUP_POINTS"); /* what make_points.py --many has printed */
    FILE *f = fopen(other != NULL ? other : SOURCE_DIR "/tests/golden/track/points.txt", "r");
    assert_non_null(f);
    struct golden g = {.n = 0};
    char line[8192];
    while (fgets(line, sizeof line, f) != NULL) {
        assert_non_null(strchr(line, '\n'));
        if (strncmp(line, "series", 6) == 0) read_series(&g, line);
        if (strncmp(line, "points", 6) == 0) check_points(&g, line);
    }
    fclose(f);
    printf("%d sets of change points as Otava's: %d points, of which %d do not hold in the end\n",
           g.compared, g.points, g.loose);
    assert_true(g.compared > 600 && g.points > 600);
}

/* ------------------------------------------------------------------------- edges --- */

static const double steps[24] = {10, 11, 10, 12, 11, 10, 11, 12, 10, 11, 12, 10,
                                 20, 21, 22, 20, 21, 20, 22, 21, 20, 21, 22, 21};

static void test_missing_are_passed_over(void **state)
{
    (void)state;
    double x[30];
    int n = 0;
    for (int i = 0; i < 24; i++) {
        if (i % 5 == 2) x[n++] = i % 2 == 0 ? NAN : INFINITY;
        x[n++] = steps[i];
    }
    struct track_change c[MOST], plain[MOST];
    assert_int_equal(find(steps, 24, sunup__track_point_defaults(), plain), 1);
    assert_int_equal(find(x, n, sunup__track_point_defaults(), c), 1);
    assert_int_equal(plain[0].at, 12);
    assert_int_equal(c[0].at, 15); /* i = 12 stands behind three missing ones */
    assert_true(c[0].p == plain[0].p && c[0].before == plain[0].before);
}

static void test_any_unit(void **state)
{
    (void)state;
    struct track_change c[MOST], plain[MOST];
    assert_int_equal(find(steps, 24, sunup__track_point_defaults(), plain), 1);
    for (int exponent = -1060; exponent <= 1018; exponent += 2078) {
        double x[24];
        for (int i = 0; i < 24; i++) x[i] = ldexp(steps[i], exponent);
        assert_int_equal(find(x, 24, sunup__track_point_defaults(), c), 1);
        assert_int_equal(c[0].at, 12);
        assert_true(c[0].p == plain[0].p);
        assert_true(fabs(c[0].after / ldexp(plain[0].after, exponent) - 1) < 1e-3);
    }
}

static void test_short_and_equal(void **state)
{
    (void)state;
    const double x[60] = {0}, nothing[3] = {NAN, NAN, NAN};
    struct track_change c[MOST];
    assert_int_equal(find(NULL, 0, sunup__track_point_defaults(), c), 0);
    for (int n = 1; n <= 60; n++) assert_int_equal(find(x, n, sunup__track_point_defaults(), c), 0);
    assert_int_equal(find(steps, 1, sunup__track_point_defaults(), c), 0);
    assert_int_equal(find(steps, 2, sunup__track_point_defaults(), c), 0);
    assert_int_equal(find(nothing, 3, sunup__track_point_defaults(), c), 0);
}

static void test_least_change(void **state)
{
    (void)state;
    struct track_change c[MOST];
    struct track_point_options o = sunup__track_point_defaults();
    o.least = 0.9;
    assert_int_equal(find(steps, 24, o, c), 1); /* 10.8 to 20.9: 0.93 */
    o.least = 0.95;
    assert_int_equal(find(steps, 24, o, c), 0);
}

static void test_refused(void **state)
{
    (void)state;
    struct track_change *c;
    int n;
    const struct track_point_options wrong[] = {{.window = 1, .max_p = 0.001},
                                                {.window = 50, .max_p = 1.5},
                                                {.window = 50, .max_p = NAN},
                                                {.window = 50, .max_p = 0.001, .least = -1}};
    for (int i = 0; i < 4; i++)
        assert_int_equal(sunup__track_changes(ctx, steps, 24, &wrong[i], &c, &n), SUNUP_E_ARGUMENT);
    const struct track_point_options o = sunup__track_point_defaults();
    assert_int_equal(sunup__track_changes(ctx, steps, -1, &o, &c, &n), SUNUP_E_ARGUMENT);
    assert_non_null(strstr(sunup_error(ctx), "-1"));
}

static void test_no_memory(void **state)
{
    (void)state;
    const struct track_point_options o = sunup__track_point_defaults();
    struct track_change *c = NULL;
    int n, failed = 0;
    for (sunup_status status = SUNUP_E_MEMORY; status != SUNUP_OK; failed++) {
        sunup__fail_allocation(failed);
        status = sunup__track_changes(ctx, steps, 24, &o, &c, &n);
        sunup__fail_allocation(-1);
        assert_true(status == SUNUP_OK || (status == SUNUP_E_MEMORY && c == NULL));
        sunup__free(c);
    }
    assert_true(failed > 5);
}

/* 1,000 series of five years of weeks, each with three steps */
static void test_time(void **state)
{
    (void)state;
    double x[260], seconds = sunup__now_s();
    struct track_change c[MOST];
    int found = 0;
    for (int s = 0; s < 1000; s++) {
        const struct random_stream stream = {7, RANDOM_TEST, (uint32_t)s, 0};
        for (int i = 0; i < 260; i++)
            x[i] = 100 + 5 * (i / 65) + 2 * sunup__random_normal(&stream, (uint64_t)i);
        found += find(x, 260, sunup__track_point_defaults(), c);
    }
    seconds = sunup__now_s() - seconds;
    printf("1,000 series of 260 points: %d changes in %.2f s\n", found, seconds);
    assert_in_range(found, 2700, 3300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_otava),        cmocka_unit_test(test_missing_are_passed_over),
        cmocka_unit_test(test_any_unit),     cmocka_unit_test(test_short_and_equal),
        cmocka_unit_test(test_least_change), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_no_memory),    cmocka_unit_test(test_time),
    };
    if (sunup_context_create(NULL, &ctx) != SUNUP_OK) return 1;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    sunup_context_destroy(&ctx);
    return failed;
}
