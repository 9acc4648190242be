/* page.h - what the parts of the HTML page share.
 *
 * report_html.c       head, verdict, facts, and the order of the parts
 * report_findings.c   what was found: sentence, evidence, what changed, what moved
 * report_stability.c  calendar of outcomes, failure rates
 * report_series.c     every series beside other engines' of the same case
 * report_curves.c     the roofline, and curves over ranks and bytes
 * report_spark.c      a small picture of series over time
 *
 * The page is well-formed XML as well as HTML, so that a test can tell at once whether something
 * slipped out of its element. What a picture or a colour says stands in words beside it or in a
 * <title>.
 */
#ifndef SUNUP_TRACK_PAGE_H
#define SUNUP_TRACK_PAGE_H

#include "track/draw.h"
#include "track/report.h"

struct page {
    struct text *t;
    const struct track_report *r;
    const struct track_history *h;
    const struct track_verdict *v;
    int *first, *next; /* findings of a series of v->table: first[series], next[finding]; -1 ends */
    int *newest;       /* of each run: the newest run of the same machine */
    bool many_machines;
};

/* Of all reports, not of the page alone. */
struct report_state {
    int failed;        /* cases that failed in the newest run of their suite on their machine */
    int worse, better; /* new findings of gates other than that of outcomes */
    int recovered;     /* new findings of outcomes that are for the better */
};
struct report_state sunup__report_state(const struct track_report *r);
bool sunup__report_failed(const struct track_report *r, const struct track_series *outcomes);
/* "3 cases failed and 2 things got worse"; room bytes. */
void sunup__report_sentence(const struct report_state *s, char *text, size_t room);

void sunup__page_findings(const struct page *p, bool are_new);
void sunup__page_stability(const struct page *p);
void sunup__page_series(const struct page *p);
void sunup__page_roofline(const struct page *p);
void sunup__page_curves(const struct page *p);

/* Number of the series in v->table, -1 if it is of outcomes. */
int sunup__page_series_number(const struct page *p, const struct track_series *s);
/* "2 ranks, aurora", escaped: the ranks unless 1, the machine if there are several. */
void sunup__page_where(const struct page *p, const struct track_series *s);
/* A value as it is shown: of pairs "+1.2 %", of others with its unit. Not escaped. Returns room. */
const char *sunup__page_value(char *room, const struct track_series *s, double value);
double sunup__page_newest(const struct track_series *s); /* NaN: none */

enum { SPARK_LINES = 6 };
struct spark {
    int width, height;
    bool axes; /* values at the left, days below */
    int n;     /* ours first: a thick line with what was found marked */
    const struct track_series *series[SPARK_LINES];
};
void sunup__page_spark(const struct page *p, const struct spark *s);
/* Newest outcomes of a case, a letter each. */
void sunup__page_outcomes(const struct page *p, const struct track_series *s);

#endif
