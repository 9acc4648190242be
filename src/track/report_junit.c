/* report_junit.c - JUnit XML as GitLab and Jenkins read it: a test suite a suite, a test case a
 * case and gate.
 *
 * A case and gate is there whenever the newest run of its suite on its machine measured it, so that
 * a list of tests compares from pipeline to pipeline; it fails by what is newly worse, or by an
 * outcome that failed. What is worse about several quantities of one case is one failure: its
 * message the first sentence, its text all of them.
 */
#include <stdlib.h>
#include <string.h>

#include "track/page.h"

struct test {
    const struct track_series *s;
    enum track_gate gate;
    bool failed_now;                   /* an outcome that failed, whether new or not */
    const struct track_finding *found; /* newly worse; NULL: nothing */
};
struct tests {
    int n;
    struct test *all;
};

/* -------------------------------------------------------------------------- gathering --- */

static enum track_gate gate_of(const struct track_series *s)
{
    static const enum track_gate gates[TRACK_KINDS] = {[TRACK_SAMPLES] = TRACK_GATE_POINT,
                                                       [TRACK_PAIRS] = TRACK_GATE_PAIRS,
                                                       [TRACK_COUNT] = TRACK_GATE_COUNT,
                                                       [TRACK_WORD] = TRACK_GATE_COUNT,
                                                       [TRACK_OUTCOME] = TRACK_GATE_OUTCOME};
    return gates[s->key->kind];
}

static int newest_run(const struct track_series *s)
{
    return s->n > 0 ? s->points[s->n - 1].run : -1;
}

/* The order of the file; equal: one test. */
static int order(const struct test *a, const struct test *b)
{
    const struct track_row *x = a->s->key, *y = b->s->key;
    const int suite = strcmp(x->suite, y->suite),
              name = suite != 0 ? suite : strcmp(x->name, y->name);
    if (name != 0) return name;
    if (x->ranks != y->ranks) return x->ranks < y->ranks ? -1 : 1;
    const int machine = strcmp(a->s->machine, b->s->machine);
    return machine != 0 ? machine : (int)a->gate - (int)b->gate;
}

/* What is found before what is not, in the order of the findings. */
static int by_order(const void *a, const void *b)
{
    const struct test *x = a, *y = b;
    const int o = order(x, y);
    if (o != 0) return o;
    if ((x->found != NULL) != (y->found != NULL)) return x->found != NULL ? -1 : 1;
    return x->found < y->found ? -1 : x->found > y->found;
}

/* The newest run of each suite on each machine: what only older ones have is not measured any more.
 */
struct place {
    const char *suite, *machine;
    int newest;
};
struct places {
    int n;
    struct place *all; /* room for one a series */
};

static struct place *place_of(struct places *p, const struct track_series *s)
{
    for (int i = p->n - 1; i >= 0; i--)
        if (strcmp(p->all[i].suite, s->key->suite) == 0 &&
            strcmp(p->all[i].machine, s->machine) == 0)
            return &p->all[i];
    p->all[p->n] = (struct place){s->key->suite, s->machine, -1};
    return &p->all[p->n++];
}

static void note_places(struct places *p, const struct track_table *table)
{
    for (int i = 0; i < table->n; i++) {
        struct place *at = place_of(p, &table->series[i]);
        if (newest_run(&table->series[i]) > at->newest) at->newest = newest_run(&table->series[i]);
    }
}

static void add_measured(struct tests *t, struct places *p, const struct track_table *table)
{
    for (int i = 0; i < table->n; i++) {
        const struct track_series *s = &table->series[i];
        if (s->n == 0 || newest_run(s) < place_of(p, s)->newest) continue;
        const bool ended_badly =
            s->key->kind == TRACK_OUTCOME && s->points[s->n - 1].row->outcome >= TRACK_CRASH;
        t->all[t->n++] = (struct test){s, gate_of(s), ended_badly, NULL};
    }
}

static bool gather(struct tests *t, const struct track_report *r)
{
    const struct track_verdict *v = r->verdict;
    const size_t series = (size_t)v->table.n + (size_t)v->outcomes.n + 1;
    struct places p = {.all = sunup__alloc(series * sizeof *p.all)};
    t->all = sunup__alloc((series + (size_t)v->n) * sizeof *t->all);
    if (t->all != NULL && p.all != NULL) {
        note_places(&p, &v->table);
        note_places(&p, &v->outcomes);
        add_measured(t, &p, &v->table);
        add_measured(t, &p, &v->outcomes);
    }
    const bool room = t->all != NULL && p.all != NULL;
    sunup__free(p.all);
    if (!room) return false;
    for (int i = 0; i < v->n; i++) {
        const struct track_finding *f = &v->findings[i];
        if (f->is_new && f->worse) t->all[t->n++] = (struct test){f->series, f->gate, false, f};
    }
    qsort(t->all, (size_t)t->n, sizeof *t->all, by_order);
    return true;
}

/* One past the entries of the test that begins at i. */
static int test_end(const struct tests *t, int i)
{
    int j = i;
    while (j < t->n && order(&t->all[j], &t->all[i]) == 0) j++;
    return j;
}

static int suite_end(const struct tests *t, int i)
{
    int j = i;
    while (j < t->n && strcmp(t->all[j].s->key->suite, t->all[i].s->key->suite) == 0) j++;
    return j;
}

static bool failed(const struct tests *t, int from, int to)
{
    for (int i = from; i < to; i++)
        if (t->all[i].found != NULL || t->all[i].failed_now) return true;
    return false;
}

/* ---------------------------------------------------------------------------- writing --- */

static const struct track_row *outcome_of(const struct tests *t, int from, int to)
{
    for (int i = from; i < to; i++)
        if (t->all[i].s->key->kind == TRACK_OUTCOME)
            return t->all[i].s->points[t->all[i].s->n - 1].row;
    return NULL;
}

static void put_sentences(struct text *out, const struct tests *t, int from, int to,
                          const struct track_row *row)
{
    for (int i = from; i < to; i++) {
        if (t->all[i].found == NULL) continue;
        sunup__put_short(out, t->all[i].found->text, 1000);
        sunup__text(out, "\n");
    }
    if (row == NULL) return;
    sunup__text(out, "%s, rank %d of %d, signal %d, step %lld, %d of %d tries failed\n",
                sunup__track_outcome_name(row->outcome), row->rank, row->ranks, row->signal,
                (long long)row->step, row->failures, row->tries);
    sunup__put_short(out, row->layer, 200);
    sunup__text(out, " ");
    sunup__put_short(out, row->collective, 200);
    sunup__text(out, "\n");
    sunup__put_short(out, row->message, 8000);
    sunup__text(out, "\n");
}

static void put_failure(struct text *out, const struct tests *t, int from, int to)
{
    const struct test *first = &t->all[from];
    const struct track_row *row = outcome_of(t, from, to);
    sunup__text(out, "      <failure type=\"%s\" message=\"", sunup__track_gate_name(first->gate));
    if (first->found != NULL)
        sunup__put_short(out, first->found->text, 500);
    else
        sunup__text(out, "%s", row != NULL ? sunup__track_outcome_name(row->outcome) : "failed");
    if (to - from > 1 && t->all[from + 1].found != NULL) sunup__text(out, " (and more)");
    sunup__text(out, "\">");
    put_sentences(out, t, from, to, row);
    sunup__text(out, "</failure>\n");
}

static double seconds_of(const struct tests *t, int from, int to)
{
    const struct track_row *row = outcome_of(t, from, to);
    return row != NULL && row->seconds > 0 && row->seconds < 1e9 ? row->seconds : 0;
}

static void put_test(struct text *out, const struct tests *t, int from, int to)
{
    const struct track_series *s = t->all[from].s;
    sunup__text(out, "    <testcase classname=\"");
    sunup__put_short(out, s->key->suite, 200);
    sunup__text(out, "\" name=\"");
    sunup__put_short(out, s->key->name, 1000);
    if (s->key->ranks != 1) sunup__text(out, ", %d ranks", s->key->ranks);
    if (s->machine[0] != '\0') sunup__text(out, ", ");
    sunup__put_short(out, s->machine, 200);
    sunup__text(out, ": %s\" time=\"%.3f\"", sunup__track_gate_name(t->all[from].gate),
                seconds_of(t, from, to));
    if (!failed(t, from, to)) {
        sunup__text(out, "/>\n");
        return;
    }
    sunup__text(out, ">\n");
    put_failure(out, t, from, to);
    sunup__text(out, "    </testcase>\n");
}

struct sum {
    int tests, failures;
    double seconds;
};

static struct sum sum_of(const struct tests *t, int from, int to)
{
    struct sum s = {0};
    for (int i = from; i < to; i = test_end(t, i)) {
        s.tests++;
        s.failures += failed(t, i, test_end(t, i));
        s.seconds += seconds_of(t, i, test_end(t, i));
    }
    return s;
}

static void put_suite(struct text *out, const struct tests *t, int from, int to)
{
    const struct sum s = sum_of(t, from, to);
    sunup__text(out, "  <testsuite name=\"");
    sunup__put_short(out, t->all[from].s->key->suite, 200);
    sunup__text(out, "\" tests=\"%d\" failures=\"%d\" errors=\"0\" skipped=\"0\" time=\"%.3f\">\n",
                s.tests, s.failures, s.seconds);
    for (int i = from; i < to; i = test_end(t, i)) put_test(out, t, i, test_end(t, i));
    sunup__text(out, "  </testsuite>\n");
}

void sunup__track_junit(struct text *out, const struct track_report *r)
{
    struct tests t = {0};
    if (!gather(&t, r)) {
        sunup__text_fail(out);
        sunup__free(t.all);
        return;
    }
    const struct sum all = sum_of(&t, 0, t.n);
    sunup__text(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"");
    sunup__put_short(out, r->title, 200);
    sunup__text(out, "\" tests=\"%d\" failures=\"%d\" errors=\"0\" time=\"%.3f\">\n", all.tests,
                all.failures, all.seconds);
    for (int i = 0; i < t.n; i = suite_end(&t, i)) put_suite(out, &t, i, suite_end(&t, i));
    sunup__text(out, "</testsuites>\n");
    sunup__free(t.all);
}
