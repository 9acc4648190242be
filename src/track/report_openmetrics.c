/* report_openmetrics.c - the newest values as OpenMetrics 1.0 text, for Prometheus, Grafana, and
 * GitLab's metrics.
 *
 * A family a unit, for a name ends with its unit there: sunup_track_time_seconds, ..._size_bytes
 * and so on; series of other units are sunup_track_value with the unit as a label. Words and
 * outcomes are an info and a state set. Samples carry no time of their own (collectors of text
 * files refuse it); sunup_track_run_timestamp_seconds says how old they are. Labels tell series
 * apart by all that tells them apart in series.h.
 */
#include <math.h>
#include <string.h>

#include "track/page.h"

struct family {
    const char *name, *unit, *of, *help; /* of: the rows' unit; NULL: any other */
    enum track_kind kind;                /* SAMPLES: counts as well */
};
static const struct family families[] = {
    {"sunup_track_time_seconds", "seconds", "s", "Newest median time.", TRACK_SAMPLES},
    {"sunup_track_rate_bytes_per_second", "bytes_per_second", "B/s", "Newest median rate.",
     TRACK_SAMPLES},
    {"sunup_track_rate_flops_per_second", "flops_per_second", "flop/s", "Newest median rate.",
     TRACK_SAMPLES},
    {"sunup_track_size_bytes", "bytes", "B", "Newest size.", TRACK_SAMPLES},
    {"sunup_track_value", NULL, NULL, "Newest value of a quantity in another unit, or without one.",
     TRACK_SAMPLES},
    {"sunup_track_pairs_ratio", "ratio", NULL, "Candidate over baseline, newest median.",
     TRACK_PAIRS},
    {"sunup_track_word", NULL, NULL, "Newest word, such as a maker or a hash.", TRACK_WORD},
};
enum { FAMILIES = sizeof families / sizeof families[0] };

/* The facts that tell series apart. */
static const char *const places[] = {"machine", "threads", "isa", "numerics"};

static bool counted(const struct track_series *s)
{
    return s->key->kind == TRACK_SAMPLES || s->key->kind == TRACK_COUNT;
}

static const struct family *family_of(const struct track_series *s)
{
    for (int i = 0; i < FAMILIES; i++) {
        const struct family *f = &families[i];
        const bool kind = f->kind == TRACK_SAMPLES ? counted(s) : s->key->kind == f->kind;
        if (kind && (f->of == NULL || strcmp(f->of, s->key->unit) == 0)) return f;
    }
    return NULL;
}

static void put_family(struct text *t, const char *name, const char *type, const char *unit,
                       const char *help)
{
    sunup__text(t, "# TYPE %s %s\n", name, type);
    if (unit != NULL) sunup__text(t, "# UNIT %s %s\n", name, unit);
    sunup__text(t, "# HELP %s %s\n", name, help);
}

static void put_one(struct text *t, const char *key, const char *value)
{
    sunup__text(t, "%s=\"", key);
    sunup__put_label(t, value);
    sunup__text(t, "\",");
}

/* Without braces. A comma stands at the end of each but the last. */
static void put_labels(struct text *t, const struct track_report *r, const struct track_series *s)
{
    const struct track_row *k = s->key;
    const struct track_run *run = &r->history->runs[s->points[s->n - 1].run];
    put_one(t, "suite", k->suite);
    put_one(t, "case", k->name);
    if (k->kind != TRACK_OUTCOME) put_one(t, "quantity", k->quantity);
    put_one(t, "engine", k->engine);
    put_one(t, "source", k->source);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        const char *fact = sunup__track_fact(run, places[i]);
        if (fact[0] != '\0') put_one(t, places[i], fact);
    }
    sunup__text(t, "ranks=\"%d\"", k->ranks);
}

static void put_number(struct text *t, double x)
{
    if (isfinite(x))
        sunup__text(t, "%.15g\n", x);
    else
        sunup__text(t, "%s\n", isnan(x) ? "NaN" : x > 0 ? "+Inf" : "-Inf");
}

static void put_sample(struct text *t, const struct track_report *r, const struct family *f,
                       const struct track_series *s)
{
    const struct track_point *last = &s->points[s->n - 1];
    sunup__text(t, "%s%s{", f->name, f->kind == TRACK_WORD ? "_info" : "");
    if (f->of == NULL && f->kind == TRACK_SAMPLES) put_one(t, "unit", s->key->unit);
    if (f->kind == TRACK_WORD) put_one(t, "word", last->row->word);
    put_labels(t, r, s);
    sunup__text(t, "} ");
    put_number(t, f->kind == TRACK_WORD    ? 1
                  : f->kind == TRACK_PAIRS ? exp(last->value)
                                           : last->value);
}

static void put_values(struct text *t, const struct track_report *r)
{
    const struct track_table *all = &r->verdict->table;
    for (int i = 0; i < FAMILIES; i++) {
        bool any = false;
        for (int j = 0; j < all->n; j++) {
            const struct family *f = &families[i];
            if (all->series[j].n == 0 || family_of(&all->series[j]) != f) continue;
            if (!any)
                put_family(t, f->name, f->kind == TRACK_WORD ? "info" : "gauge", f->unit, f->help);
            any = true;
            put_sample(t, r, f, &all->series[j]);
        }
    }
}

static void put_outcomes(struct text *t, const struct track_report *r)
{
    const struct track_table *all = &r->verdict->outcomes;
    if (all->n > 0)
        put_family(t, "sunup_track_outcome", "stateset", NULL,
                   "How the case ended in its newest run.");
    for (int i = 0; i < all->n; i++) {
        const struct track_series *s = &all->series[i];
        for (int o = 0; s->n > 0 && o < TRACK_OUTCOMES; o++) {
            sunup__text(t, "sunup_track_outcome{sunup_track_outcome=\"%s\",",
                        sunup__track_outcome_name((enum track_outcome)o));
            put_labels(t, r, s);
            sunup__text(t, "} %d\n", s->points[s->n - 1].row->outcome == (enum track_outcome)o);
        }
    }
}

static void put_verdict(struct text *t, const struct track_report *r)
{
    const struct report_state s = sunup__report_state(r);
    put_family(t, "sunup_track_findings", "gauge", NULL,
               "What is new: failed cases, and quantities that changed.");
    sunup__text(
        t,
        "sunup_track_findings{what=\"failed\"} %d\nsunup_track_findings{what=\"worse\"} %d\n"
        "sunup_track_findings{what=\"better\"} %d\n",
        s.failed, s.worse, s.better);
}

/* One sample a machine: its newest run's, which is met first from the back. */
static void put_times(struct text *t, const struct track_report *r)
{
    const struct track_history *h = r->history;
    if (h->n_runs > 0)
        put_family(t, "sunup_track_run_timestamp_seconds", "gauge", "seconds",
                   "When the newest run of a machine was made.");
    for (int i = h->n_runs - 1; i >= 0; i--) {
        const char *machine = sunup__track_fact(&h->runs[i], "machine");
        int later = i + 1;
        while (later < h->n_runs &&
               strcmp(sunup__track_fact(&h->runs[later], "machine"), machine) != 0)
            later++;
        if (later < h->n_runs) continue;
        sunup__text(t, "sunup_track_run_timestamp_seconds{machine=\"");
        sunup__put_label(t, machine);
        sunup__text(t, "\"} %lld\n", (long long)h->runs[i].at);
    }
}

void sunup__track_openmetrics(struct text *t, const struct track_report *r)
{
    put_verdict(t, r);
    put_times(t, r);
    put_values(t, r);
    put_outcomes(t, r);
    sunup__text(t, "# EOF\n");
}
