/* draw.h - what all reports write: text that cannot hurt, numbers and dates for people.
 *
 * Strings of records come from anywhere. Bytes that are no UTF-8, control characters and those that
 * turn the direction of writing are shown as \xNN, so that different strings stay different and
 * every output is valid.
 */
#ifndef SUNUP_TRACK_DRAW_H
#define SUNUP_TRACK_DRAW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"

/* For text and attributes in double quotes of XML and HTML. */
void sunup__put_escaped(struct text *t, const char *s);
/* The same; of more than `bytes` the first ones and "...". */
void sunup__put_short(struct text *t, const char *s, int bytes);
/* For a label's value in OpenMetrics, between double quotes. */
void sunup__put_label(struct text *t, const char *s);
/* As if no memory had been found: for scratch memory that was missing. */
void sunup__text_fail(struct text *t);

enum { HUMAN_TEXT = 64, DAY_TEXT = 32 };
/* "1.23 ms", "45.1 GB/s", "3.2 TFLOP/s", "12 MB"; other units follow the number. Not escaped.
 * Returns room. */
const char *sunup__human(char *room, double value, const char *unit);
/* "+5.1 %"; of less than 10 % with two digits after the point. */
const char *sunup__percent(char *room, double fraction);
/* 2026-11-23, UTC. */
const char *sunup__day(char *room, int64_t at);

#endif
