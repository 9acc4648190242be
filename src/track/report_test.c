/* report_test.c - what the four reports say, that they are well-formed whatever stands in a record,
 * and that a page of 1,000 series over five years stays small.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/system.h"
#include "track/draw.h"
#include "track/report.h"

static sunup_context *ctx;
static struct track_history h;
static struct track_verdict v;
static struct track_finding findings[8];

enum { HTML, JUNIT, METRICS, BADGE, REPORTS };
static struct text made[REPORTS];

/* ------------------------------------------------------------------- small histories --- */

static int begin(void **state)
{
    (void)state;
    v = (struct track_verdict){.findings = findings};
    return sunup_context_create(NULL, &ctx) != SUNUP_OK;
}

static int end(void **state)
{
    (void)state;
    for (int i = 0; i < REPORTS; i++) sunup__free(made[i].s);
    memset(made, 0, sizeof made);
    v.findings = NULL;
    sunup__track_table_end(&v.table);
    sunup__track_table_end(&v.outcomes);
    sunup__track_end(&h);
    sunup_context_destroy(&ctx);
    return 0;
}

static struct track_run *add_run(int64_t week, const char *machine)
{
    char id[32];
    (void)snprintf(id, sizeof id, "week-%d", (int)week);
    struct track_run *r = sunup__track_add_run(&h, id, 1764547200 + week * 7 * 86400);
    assert_non_null(r);
    assert_int_equal(sunup__track_add_fact(ctx, &h, r, "machine", machine), SUNUP_OK);
    assert_int_equal(sunup__track_add_fact(ctx, &h, r, "commit", week % 2 ? "3f2a" : "77b1"),
                     SUNUP_OK);
    return r;
}

static struct track_row *add_row(struct track_run *run, enum track_kind kind, const char *name,
                                 const char *quantity)
{
    struct track_row *r = sunup__track_add_row(&h, run, kind);
    assert_non_null(r);
    *r = sunup__track_row(kind, "kernels", name, "sunup", quantity);
    return r;
}

static struct track_row *add_time(struct track_run *run, const char *name, double seconds)
{
    struct track_row *r = add_row(run, TRACK_SAMPLES, name, "time");
    r->unit = "s";
    r->n = 1;
    r->values = sunup__arena_alloc(&h.arena, sizeof *r->values);
    assert_non_null(r->values);
    r->values[0] = seconds;
    return r;
}

static struct track_row *add_outcome(struct track_run *run, const char *name,
                                     enum track_outcome outcome)
{
    struct track_row *r = add_row(run, TRACK_OUTCOME, name, "outcome");
    r->outcome = outcome;
    r->seconds = 1800;
    r->failures = outcome == TRACK_OK ? 0 : 2;
    r->tries = 2;
    return r;
}

static void tabulate(void)
{
    assert_int_equal(sunup__track_tabulate(ctx, &h, &v.table), SUNUP_OK);
    assert_int_equal(sunup__track_outcomes(ctx, &h, &v.outcomes), SUNUP_OK);
}

/* Of the newest point of series i. */
static struct track_finding *add_finding(const struct track_series *s, enum track_gate gate,
                                         bool worse, const char *text)
{
    struct track_finding *f = &findings[v.n++];
    const struct track_point *last = &s->points[s->n - 1];
    *f = (struct track_finding){.gate = gate,
                                .worse = worse,
                                .is_new = true,
                                .series = s,
                                .run = last->run,
                                .before = s->n > 1 ? s->points[s->n - 2].run : -1,
                                .change = worse ? 0.05 : -0.05,
                                .interval = {NAN, NAN},
                                .p = NAN,
                                .row = last->row,
                                .text = text};
    return f;
}

static void (*const reports[REPORTS])(struct text *, const struct track_report *) = {
    sunup__track_html, sunup__track_junit, sunup__track_openmetrics, sunup__track_badge};

static void make(const char *title)
{
    const struct track_report r = {&h, &v, title};
    for (int i = 0; i < REPORTS; i++) {
        sunup__free(made[i].s);
        made[i] = (struct text){0};
        reports[i](&made[i], &r);
    }
}

static int count(const char *text, const char *what)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, what)) != NULL; at += strlen(what)) n++;
    return n;
}

#define HAS(report, what) assert_true(strstr(made[report].s, what) != NULL)

/* ------------------------------------------------------------------- well-formed? --- */

static bool utf8(const char *text)
{
    for (const unsigned char *s = (const unsigned char *)text; *s != '\0';) {
        int more = *s < 0x80                 ? 0
                   : *s >= 0xc2 && *s < 0xe0 ? 1
                   : *s >= 0xe0 && *s < 0xf0 ? 2
                   : *s >= 0xf0 && *s < 0xf5 ? 3
                                             : -1;
        if (more < 0 || (*s < 0x20 && *s != '\n') || *s == 0x7f) return false;
        for (s++; more > 0; more--, s++)
            if (*s >> 6 != 2) return false;
    }
    return true;
}

static const char *after_entity(const char *s)
{
    static const char *const known[] = {"&amp;", "&lt;",  "&gt;", "&quot;",
                                        "&#39;", "&#10;", "&#9;"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strncmp(s, known[i], strlen(known[i])) == 0) return s + strlen(known[i]);
    return NULL;
}

/* name="value" ... up to '>' or '/'; NULL: not so. */
static const char *after_attributes(const char *s)
{
    while (*s == ' ' || *s == '\n') {
        s++;
        s += strcspn(s, "=\"<>& ");
        if (s[0] != '=' || s[1] != '"') return NULL;
        for (s += 2; s != NULL && *s != '"';) {
            if (*s == '\0' || *s == '<') return NULL;
            s = *s == '&' ? after_entity(s) : s + 1;
        }
        if (s == NULL) return NULL;
        s++;
    }
    return s;
}

struct nest {
    const char *name[32];
    size_t length[32], depth;
};

/* Past the tag at s, or past the whole of a script; NULL: it does not fit. */
static const char *after_tag(const char *s, struct nest *e)
{
    const bool closes = s[1] == '/';
    const char *name = s + 1 + closes;
    const size_t n = strcspn(name, " \n/>");
    if (closes) {
        if (e->depth-- == 0 || e->length[e->depth] != n || strncmp(e->name[e->depth], name, n) != 0)
            return NULL;
        return name[n] == '>' ? name + n + 1 : NULL;
    }
    if (e->depth == 32) return NULL;
    s = after_attributes(name + n);
    if (s == NULL) return NULL;
    if (s[0] == '/') return s[1] == '>' ? s + 2 : NULL;
    e->name[e->depth] = name;
    e->length[e->depth++] = n;
    if (n == 6 && strncmp(name, "script", n) == 0) return strstr(s, "</script>");
    return *s == '>' ? s + 1 : NULL;
}

/* Elements nest, attributes are quoted, nothing stands unescaped. Returns where it is not so, NULL
 * if all is well. */
static const char *malformed(const char *text)
{
    struct nest e = {.depth = 0};
    if (!utf8(text)) return "no UTF-8";
    for (const char *s = text, *at; *s != '\0';) {
        at = s;
        if (*s == '&')
            s = after_entity(s);
        else if (*s == '<' && (s[1] == '!' || s[1] == '?'))
            s = strchr(s, '>') + 1;
        else if (*s == '<')
            s = after_tag(s, &e);
        else
            s++;
        if (s == NULL) return at;
    }
    return e.depth == 0 ? NULL : "not closed";
}

/* name{label="...",...} value, or a comment; ends with # EOF. */
static const char *bad_metrics(const char *text)
{
    if (!utf8(text)) return "no UTF-8";
    for (const char *s = text; *s != '\0'; s = strchr(s, '\n') + 1) {
        if (strcmp(s, "# EOF\n") == 0) return NULL;
        if (*s == '#') continue;
        const char *at = s;
        s += strcspn(s, "{\n");
        if (*s != '{') return at;
        do {
            s += 1 + strcspn(s + 1, "=\n");
            if (s[0] != '=' || s[1] != '"') return at;
            for (s += 2; *s != '"'; s += 1 + (*s == '\\'))
                if (*s == '\n' || *s == '\0' || (*s == '\\' && strchr("\\n\"", s[1]) == NULL))
                    return at;
        } while (*++s == ',');
        if (s[0] != '}' || s[1] != ' ') return at;
    }
    return "no EOF";
}

static void all_valid(void)
{
    for (int i = 0; i < REPORTS; i++) {
        assert_non_null(made[i].s);
        assert_int_equal(strlen(made[i].s), made[i].n);
        const char *wrong = i == METRICS ? bad_metrics(made[i].s) : malformed(made[i].s);
        if (wrong != NULL) fail_msg("report %d: %.300s", i, wrong);
    }
}

/* -------------------------------------------------------------------------- tests --- */

static void the_checks_can_fail(void **state)
{
    (void)state;
    static const char *const bad[] = {"<p>",           "<p></q>",      "<p a=b></p>",
                                      "<p>&nbsp;</p>", "<p a=\"<\"/>", "<p>\001</p>",
                                      "<p>\303</p>",   "</p>",         "<p a=\"b></p>"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) assert_non_null(malformed(bad[i]));
    assert_null(malformed("<!DOCTYPE html>\n<p a=\"b &lt;\"><br/>c<script>a=>b</script></p>\n"));
    static const char *const metrics[] = {"a 1\n", "a{b=\"c\"} 1\n", "a{b=\"c\\x\"} 1\n# EOF\n",
                                          "a{b=\"c\n\"} 1\n# EOF\n"};
    for (size_t i = 0; i < sizeof metrics / sizeof metrics[0]; i++)
        assert_non_null(bad_metrics(metrics[i]));
}

static const char *escaped(void (*put)(struct text *, const char *), const char *s)
{
    static char room[256];
    struct text t = {0};
    put(&t, s);
    (void)snprintf(room, sizeof room, "%s", t.s);
    sunup__free(t.s);
    return room;
}

static void escaping(void **state)
{
    (void)state;
    static const char *const xml[][2] = {
        {"", ""},
        {"plain", "plain"},
        {"<a b=\"c\" d='e'>&amp;", "&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp;amp;"},
        {"tab\tline\nend", "tab&#9;line&#10;end"},
        {"\001\033[0m\177", "\\x01\\x1B[0m\\x7F"},
        {"\303\244 \342\202\254 \360\237\230\200", "\303\244 \342\202\254 \360\237\230\200"},
        {"\377\300\257", "\\xFF\\xC0\\xAF"},       /* never in UTF-8; '/' in too many bytes */
        {"\355\240\200", "\\xED\\xA0\\x80"},       /* half of a surrogate pair */
        {"\342\200\256abc", "\\xE2\\x80\\xAEabc"}, /* right to left from here */
        {"\302\205\357\277\277", "\\xC2\\x85\\xEF\\xBF\\xBF"},
        {"cut \342\202", "cut \\xE2\\x82"},
        {"\364\220\200\200", "\\xF4\\x90\\x80\\x80"}, /* beyond the last code point */
    };
    for (size_t i = 0; i < sizeof xml / sizeof xml[0]; i++)
        assert_string_equal(escaped(sunup__put_escaped, xml[i][0]), xml[i][1]);
    assert_string_equal(escaped(sunup__put_label, "a\"b\\c\nd\001<"), "a\\\"b\\\\c\\nd\\\\x01<");
    struct text t = {0};
    sunup__put_short(&t, "\303\244\303\244\303\244", 3); /* never half a letter */
    sunup__put_short(&t, "abc", 3);
    assert_string_equal(t.s, "\303\244\303\244...abc");
    sunup__free(t.s);
}

static void numbers_for_people(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *unit, *text;
    } cases[] = {{1.234e-3, "s", "1.23 ms"},
                 {45.12e9, "B/s", "45.1 GB/s"},
                 {3.2e12, "flop/s", "3.20 TFLOP/s"},
                 {12e6, "B", "12.0 MB"},
                 {999.6e-6, "s", "1.00 ms"},
                 {0, "s", "0 s"},
                 {150, "s", "2.50 min"},
                 {7200, "s", "2.00 h"},
                 {4e-9, "s", "4.00 ns"},
                 {512, "B", "512 B"},
                 {3, "", "3"},
                 {0.12345, "", "0.1235"},
                 {17, "samples/s", "17 samples/s"},
                 {-0.5e-3, "s", "-500 \302\265s"},
                 {1e300, "", "1e+300"},
                 {NAN, "s", "no value"},
                 {-INFINITY, "s", "minus infinite"}};
    char room[HUMAN_TEXT];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(sunup__human(room, cases[i].value, cases[i].unit), cases[i].text);
    assert_string_equal(sunup__percent(room, 0.0512), "+5.12 %");
    assert_string_equal(sunup__percent(room, -0.25), "-25.0 %");
    assert_string_equal(sunup__day(room, 1764547200), "2025-12-01");
    assert_true(strlen(sunup__day(room, INT64_MAX)) > 0);
}

static void an_empty_history(void **state)
{
    (void)state;
    tabulate();
    make("nothing yet");
    all_valid();
    HAS(HTML, "There is no run yet.");
    HAS(JUNIT, "tests=\"0\"");
    HAS(METRICS, "sunup_track_findings{what=\"worse\"} 0\n");
    HAS(BADGE, "no run yet");
}

static void one_run(void **state)
{
    (void)state;
    struct track_run *r = add_run(0, "aurora");
    struct track_row *row = add_time(r, "conv:n1", 2e-3);
    row->flops = 3e8;
    row->bytes = 1e7;
    row->bound_s = 1e-3;
    add_outcome(r, "conv:n1", TRACK_OK);
    tabulate();
    make("one");
    all_valid();
    HAS(HTML, "Nothing got worse.");
    HAS(HTML, "<b>2.00 ms</b>");
    HAS(HTML, "50 % of the bound");
    HAS(HTML, "highest bound 300 GFLOP/s");
    HAS(HTML, "class=\"ours\"");
    HAS(HTML, "0 of 1</td>");
    HAS(JUNIT, "tests=\"2\" failures=\"0\"");
    HAS(METRICS, "sunup_track_time_seconds{suite=\"kernels\",case=\"conv:n1\",quantity=\"time\","
                 "engine=\"sunup\",source=\"sunup\","
                 "machine=\"aurora\",ranks=\"1\"} 0.002\n");
    HAS(METRICS, "sunup_track_outcome=\"ok\",suite=\"kernels\",case=\"conv:n1\",engine=\"sunup\","
                 "source=\"sunup\",machine=\"aurora\","
                 "ranks=\"1\"} 1\n");
    HAS(BADGE, "nothing got worse");
}

static void what_was_found_is_in_all_of_them(void **state)
{
    (void)state;
    static struct track_moved moved[] = {{"conv:n16 (layer 3)", 1.2e-3, 0.001},
                                         {"relu (layer 4)", -2e-4, NAN}};
    static double pairs[] = {0.05, 0.049, 0.051, NAN}, again[] = {0.05, 0.052};
    for (int week = 0; week < 12; week++) {
        struct track_run *r = add_run(week, "aurora");
        add_time(r, "conv", week < 11 ? 1e-3 : 1.05e-3);
        struct track_row *row = add_row(r, TRACK_PAIRS, "lenet", "time");
        row->n = 4;
        row->values = pairs;
        row->n_confirm = 2;
        row->confirm = again;
        row->baseline = "v1.0";
        row->n_moved = 2;
        row->moved = moved;
        add_row(r, TRACK_WORD, "conv", "maker")->word = week < 11 ? "direct" : "winograd";
        add_outcome(r, "gone", TRACK_HANG)->suite = "other";
        if (week < 11) add_outcome(r, "old", TRACK_CRASH); /* no longer run: not failed now */
        row = add_outcome(r, "gw", week < 11 ? TRACK_OK : TRACK_HANG);
        row->message = "rank 3 is silent";
        row->rank = 3;
    }
    tabulate();
    add_finding(&v.outcomes.series[0], TRACK_GATE_OUTCOME, true, "kernels gw: hang, rank 3")->row =
        v.outcomes.series[0].key;
    struct track_finding *f =
        add_finding(&v.table.series[2], TRACK_GATE_PAIRS, true, "kernels lenet: time grew by 5 %");
    f->interval.low = 0.049;
    f->interval.high = 0.052;
    f->p = 3e-5;
    add_finding(&v.table.series[1], TRACK_GATE_POINT, true, "kernels conv: time grew by 5.0 %");
    add_finding(&v.table.series[0], TRACK_GATE_COUNT, false, "kernels conv: maker changed");
    f = add_finding(&v.table.series[1], TRACK_GATE_POINT, true, "kernels conv: an old story");
    f->is_new = false;
    make("weekly");
    all_valid();
    HAS(HTML, "2 cases failed and 2 things got worse.");
    HAS(HTML, "1 thing got better.");
    assert_int_equal(count(made[HTML].s, "<article class=\"bad\""), 3);
    assert_int_equal(count(made[HTML].s, "<article class=\"good\""), 1);
    HAS(HTML, "interval of the change +4.90 % to +5.20 %; p = 3e-05; baseline v1.0");
    HAS(HTML, "conv:n16 (layer 3)</th><td class=\"num\">+1.20 ms");
    HAS(HTML, "commit 77b1 -&gt; 3f2a");
    HAS(HTML, "title=\"hang 2026-02-16, rank 3: rank 3 is silent\">H</td>");
    HAS(HTML, "an old story");
    HAS(HTML, "<td class=\"num\">12 of 12</td>");
    assert_int_equal(count(made[JUNIT].s, "<failure "), 4);
    HAS(JUNIT, "<failure type=\"pairs\" message=\"kernels lenet: time grew by 5 %\">");
    HAS(JUNIT, "<testsuite name=\"other\" tests=\"1\" failures=\"1\"");
    HAS(METRICS,
        "sunup_track_findings{what=\"failed\"} 2\nsunup_track_findings{what=\"worse\"} 2\n");
    HAS(METRICS, "sunup_track_word_info{word=\"winograd\"");
    HAS(BADGE, "2 failed, 2 worse");
}

static void others_are_on_the_same_axis(void **state)
{
    (void)state;
    for (int week = 0; week < 3; week++) {
        struct track_run *r = add_run(week, "aurora");
        for (int ranks = 2; ranks <= 8; ranks *= 2) {
            static const char *const engines[] = {"sunup", "MPI", "oneCCL"};
            for (int e = 0; e < 3; e++) {
                struct track_row *row =
                    add_time(r, "allreduce:f32:1MiB", (1 + 0.25 * e) * ranks * 1e-5);
                row->engine = engines[e];
                row->ranks = ranks;
                row->bytes = 1 << 20;
                if (e == 2) row->source = "vendor", row->suite = "published";
            }
        }
        add_time(r, "allreduce:f32:4MiB", 8e-5)->bytes = 4 << 20;
        add_time(r, "allreduce:f32:1MiB", 3e-5)->bytes = 1 << 20;
    }
    tabulate();
    make("beside");
    all_valid();
    assert_int_equal(count(made[HTML].s, "MPI 25.0 \302\265s, ours 1.25\303\227 faster"), 1);
    assert_int_equal(
        count(made[HTML].s, "oneCCL (vendor) 30.0 \302\265s, ours 1.50\303\227 faster"), 1);
    assert_int_equal(count(made[HTML].s, "<details class=\"g\""),
                     1); /* the vendor's have joined ours */
    HAS(HTML, "<figcaption>time of allreduce:f32:1MiB</figcaption>");
    HAS(HTML, "<figcaption>time of allreduce:f32</figcaption>");
    HAS(HTML, ">4 MiB</text>");
}

static void values_that_are_none(void **state)
{
    (void)state;
    static const double odd[] = {NAN, INFINITY, -INFINITY, 0, -1, 1e308, -1e308, 5e-324};
    for (int week = 0; week < 8; week++) {
        struct track_run *r = add_run(week, "");
        struct track_row *row = add_time(r, "all", odd[week]);
        row->flops = row->bytes = row->bound_s = odd[7 - week];
        add_time(r, "nan", NAN);
        row = add_row(r, TRACK_PAIRS, "pairs", "time");
        row->n = 1;
        row->values = sunup__arena_alloc(&h.arena, sizeof *row->values);
        row->values[0] = odd[week];
        add_row(r, TRACK_COUNT, "count", "bytes")->count = odd[week];
        row = add_outcome(r, "case", TRACK_NAN);
        row->seconds = odd[week];
    }
    tabulate();
    for (int i = 0; i < v.table.n; i++) {
        struct track_finding *f = add_finding(&v.table.series[i], TRACK_GATE_POINT, true, "odd");
        f->change = f->from = f->to = f->interval.low = odd[i];
    }
    make("odd");
    all_valid();
    HAS(HTML, "no value");
    HAS(METRICS, "} NaN\n");
}

static void hostile_strings(void **state)
{
    (void)state;
    enum { LONG = 100000 };
    char *giant = sunup__alloc(LONG + 1);
    memset(giant, '<', LONG);
    const char *const bad[] = {"<script>alert(1)</script>",
                               "\"'&]]>-->",
                               "\001\002\033[31m\b",
                               "\377\376\300\200",
                               giant,
                               "line\nbreak\r\n# EOF\n",
                               "\\",
                               "%s%n%d"};
    enum { BAD = sizeof bad / sizeof bad[0] };
    static struct track_moved moved = {"", 1, NAN};
    for (int week = 0; week < BAD; week++) {
        const char *const x = bad[week];
        struct track_run *r = add_run(week, x);
        r->id = x;
        assert_int_equal(sunup__track_add_fact(ctx, &h, r, x, x), SUNUP_OK);
        for (int kind = 0; kind < TRACK_KINDS; kind++) {
            static double one = 1;
            struct track_row *row = sunup__track_add_row(&h, r, (enum track_kind)kind);
            *row = sunup__track_row((enum track_kind)kind, x, x, x, x);
            row->unit = row->source = row->word = row->layer = row->collective = row->message =
                row->baseline = x;
            row->n = row->n_moved = row->n_confirm = kind <= TRACK_PAIRS;
            row->values = row->confirm = &one;
            moved.what = giant;
            row->moved = &moved;
            row->outcome = TRACK_CRASH;
            row->flops = row->bytes = 1;
        }
    }
    tabulate();
    for (int i = 0; i < 7; i++)
        add_finding(&v.table.series[3 * i], (enum track_gate)(i % TRACK_GATES), true, bad[i]);
    add_finding(&v.outcomes.series[0], TRACK_GATE_OUTCOME, true, giant);
    for (int i = 0; i < BAD; i++) {
        make(bad[i]);
        all_valid();
        assert_int_equal(count(made[HTML].s, "<script>"), 1);
        assert_int_equal(count(made[METRICS].s, "\n# EOF\n"), 1);
    }
    HAS(HTML, "\\xFF\\xFE\\xC0\\x80");
    assert_true(made[BADGE].n < 2000);
    sunup__free(giant);
}

static void five_years_of_a_thousand_metrics(void **state)
{
    (void)state;
    for (int week = 0; week < 260; week++) {
        struct track_run *r = add_run(week, "aurora");
        for (int i = 0; i < 1000; i++) {
            char text[48];
            (void)snprintf(text, sizeof text, "conv:n16c%dh56w56k64r3s3", i);
            const char *name = sunup__track_intern(&h, text);
            const double noise = 1 + 0.02 * ((week * 7919 + i * 104729) % 101) / 101;
            add_time(r, name, 1e-3 * (1 + i % 17) * noise)->bound_s = 8e-4;
            add_outcome(r, name, (week * 31 + i) % 97 == 0 ? TRACK_CRASH : TRACK_OK);
        }
    }
    tabulate();
    const double start = sunup__now_s();
    make("large");
    print_message("page of %.2f MB and the other reports in %.2f s\n", 1e-6 * (double)made[HTML].n,
                  sunup__now_s() - start);
    assert_true(made[HTML].n < 8000000);
    assert_true(made[HTML].n > 500000);
    assert_int_equal(count(made[HTML].s, "<div class=\"m\""), 1000);
}

/* Every allocation fails once: a report is whole or it is not there. */
static void no_memory(void **state)
{
    (void)state;
    for (int week = 0; week < 2; week++) {
        struct track_run *r = add_run(week, "aurora");
        add_time(r, "conv:64", 1e-3)->bytes = 64;
        add_outcome(r, "conv:64", TRACK_CRASH);
    }
    tabulate();
    add_finding(&v.table.series[0], TRACK_GATE_POINT, true, "grew");
    const struct track_report r = {&h, &v, "t"};
    for (int i = 0; i < REPORTS; i++) {
        struct text whole = {0};
        reports[i](&whole, &r);
        bool failed = true;
        for (int nth = 0; failed; nth++) {
            struct text t = {0};
            sunup__fail_allocation(nth);
            reports[i](&t, &r);
            sunup__fail_allocation(-1);
            failed = t.s == NULL;
            if (!failed) assert_string_equal(t.s, whole.s);
            sunup__free(t.s);
            assert_true(nth < 200);
        }
        sunup__free(whole.s);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_checks_can_fail),
        cmocka_unit_test(escaping),
        cmocka_unit_test(numbers_for_people),
        TEST(an_empty_history),
        TEST(one_run),
        TEST(what_was_found_is_in_all_of_them),
        TEST(others_are_on_the_same_axis),
        TEST(values_that_are_none),
        TEST(hostile_strings),
        TEST(five_years_of_a_thousand_metrics),
        TEST(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
