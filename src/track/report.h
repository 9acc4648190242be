/* report.h - a verdict for people and machines: one HTML file, JUnit XML, OpenMetrics text, a badge.
 *
 * Each is text in memory; the caller writes it. The HTML needs nothing else and no JavaScript to be read; with it there
 * are a filter and tooltips. Everything that comes from a record is escaped.
 */
#ifndef SUNUP_TRACK_REPORT_H
#define SUNUP_TRACK_REPORT_H

#include "track/judge.h"

struct track_report {
    const struct track_history *history;
    const struct track_verdict *verdict;
    const char *title;
};

void sunup__track_html(struct text *t, const struct track_report *r);
void sunup__track_junit(struct text *t, const struct track_report *r);       /* a test case a case and gate */
void sunup__track_openmetrics(struct text *t, const struct track_report *r); /* newest values and outcomes */
void sunup__track_badge(struct text *t, const struct track_report *r);       /* SVG */

#endif
