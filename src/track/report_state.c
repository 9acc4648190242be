/* report_state.c - the verdict as three numbers and one sentence, for the page, the badge and the
 * metrics. */
#include <stdio.h>
#include <string.h>

#include "track/page.h"

static int newest_run(const struct track_series *s)
{
    return s->n > 0 ? s->points[s->n - 1].run : -1;
}

static bool same_place(const struct track_series *a, const struct track_series *b)
{
    return strcmp(a->key->suite, b->key->suite) == 0 && strcmp(a->machine, b->machine) == 0;
}

/* A case that failed and was then taken out of its suite fails no more. */
bool sunup__report_failed(const struct track_report *r, const struct track_series *s)
{
    const struct track_table *all = &r->verdict->outcomes;
    if (s->n == 0 || s->points[s->n - 1].row->outcome < TRACK_CRASH) return false;
    for (int i = 0; i < all->n; i++)
        if (newest_run(&all->series[i]) > newest_run(s) && same_place(&all->series[i], s))
            return false;
    return true;
}

struct report_state sunup__report_state(const struct track_report *r)
{
    struct report_state s = {0};
    const struct track_verdict *v = r->verdict;
    for (int i = 0; i < v->outcomes.n; i++)
        s.failed += sunup__report_failed(r, &v->outcomes.series[i]);
    for (int i = 0; i < v->n; i++) {
        const struct track_finding *f = &v->findings[i];
        if (!f->is_new) continue;
        const bool outcome = f->gate == TRACK_GATE_OUTCOME;
        s.worse += f->worse && !outcome;
        s.better += !f->worse && !outcome;
        s.recovered += !f->worse && outcome;
    }
    return s;
}

void sunup__report_sentence(const struct report_state *s, char *text, size_t room)
{
    char failed[48] = "", worse[48] = "";
    if (s->failed > 0)
        (void)snprintf(failed, sizeof failed, "%d case%s failed", s->failed,
                       s->failed > 1 ? "s" : "");
    if (s->worse > 0)
        (void)snprintf(worse, sizeof worse, "%d thing%s got worse", s->worse,
                       s->worse > 1 ? "s" : "");
    const bool both = s->failed > 0 && s->worse > 0, none = s->failed + s->worse == 0;
    (void)snprintf(text, room, "%s%s%s", none ? "nothing got worse" : failed, both ? " and " : "",
                   worse);
}
