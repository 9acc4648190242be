/* draw.c - escaping, and numbers as people write them. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "track/draw.h"
#include "track/utf8.h"

/* ------------------------------------------------------------------------- escaping --- */

/* Not to be shown as it is: control, direction of writing, no character. */
static bool unfit(uint32_t p)
{
    return (p < 0x20 && p != '\n' && p != '\t') || (p >= 0x7f && p < 0xa0) ||
           (p >= 0x202a && p <= 0x202e) || (p >= 0x2066 && p <= 0x2069) || p == 0xfeff ||
           (p & 0xfffe) == 0xfffe;
}

static const char *in_xml(unsigned char c)
{
    switch (c) {
    case '&': return "&amp;";
    case '<': return "&lt;";
    case '>': return "&gt;";
    case '"': return "&quot;";
    case '\'': return "&#39;";
    case '\n': return "&#10;";
    case '\t': return "&#9;";
    default: return NULL;
    }
}

static const char *in_label(unsigned char c)
{
    return c == '\\' ? "\\\\" : c == '"' ? "\\\"" : c == '\n' ? "\\n" : NULL;
}

struct escape {
    const char *(*instead)(unsigned char c); /* NULL: it stands for itself */
    const char *backslash;
    size_t bytes; /* what is longer is cut */
};

static void put(struct text *t, const char *text, const struct escape *e)
{
    const unsigned char *s = (const unsigned char *)text, *clean = s;
    const size_t all = strlen(text);
    for (const unsigned char *const start = s; *s != '\0';) {
        if (all > e->bytes && (size_t)(s - start) >= e->bytes) break;
        uint32_t point;
        const int n = sunup__utf8((const char *)s, SIZE_MAX, &point);
        const bool bad = n == 0 || unfit(point);
        const char *instead = n == 1 ? e->instead(*s) : NULL;
        if (!bad && instead == NULL) {
            s += n;
            continue;
        }
        sunup__text(t, "%.*s", (int)(s - clean), (const char *)clean);
        if (instead != NULL) sunup__text(t, "%s", instead);
        for (int i = 0; bad && i < (n > 0 ? n : 1); i++)
            sunup__text(t, "%sx%02X", e->backslash, s[i]);
        s += n > 0 ? n : 1;
        clean = s;
    }
    sunup__text(t, "%.*s%s", (int)(s - clean), (const char *)clean, *s != '\0' ? "..." : "");
}

void sunup__put_escaped(struct text *t, const char *s)
{
    put(t, s, &(struct escape){in_xml, "\\", SIZE_MAX});
}

void sunup__put_short(struct text *t, const char *s, int bytes)
{
    put(t, s, &(struct escape){in_xml, "\\", (size_t)bytes});
}

void sunup__put_label(struct text *t, const char *s)
{
    put(t, s, &(struct escape){in_label, "\\\\", SIZE_MAX});
}

void sunup__text_fail(struct text *t)
{
    sunup__free(t->s);
    *t = (struct text){.room = 1};
}

/* -------------------------------------------------------------------------- numbers --- */

struct scale {
    double from; /* values of this size and more */
    const char *name;
};

/* Three digits: 1.23, 45.1, 678. */
static void three_digits(char *room, double x, const char *unit)
{
    const double size = fabs(x);
    const int digits = size >= 99.95 || size == 0 ? 0 : size >= 9.995 ? 1 : 2;
    (void)snprintf(room, HUMAN_TEXT, "%.*f %s", digits, x, unit);
}

static void scaled(char *room, double x, const struct scale *s)
{
    while (s[1].name != NULL && fabs(x) < 0.9995 * s->from) s++;
    three_digits(room, x / s->from, s->name);
}

static void seconds(char *room, double x)
{
    static const struct scale small[] = {
        {1, "s"}, {1e-3, "ms"}, {1e-6, "µs"}, {1e-9, "ns"}, {0, NULL}};
    if (fabs(x) < 120 || !isfinite(x))
        scaled(room, x, x == 0 ? small + 3 : small);
    else
        three_digits(room, fabs(x) < 7200 ? x / 60 : x / 3600, fabs(x) < 7200 ? "min" : "h");
    if (x == 0) (void)snprintf(room, HUMAN_TEXT, "0 s");
}

/* Powers of thousand. */
static void thousands(char *room, double x, const char *unit)
{
    static const char prefix[] = "EPTGMk";
    double power = 1e18;
    for (int i = 0; prefix[i] != '\0'; i++, power /= 1e3) {
        char name[16];
        (void)snprintf(name, sizeof name, "%c%s", prefix[i], unit);
        if (fabs(x) >= 0.9995 * power) {
            three_digits(room, x / power, name);
            return;
        }
    }
    three_digits(room, x, unit);
}

const char *sunup__human(char *room, double value, const char *unit)
{
    if (isnan(value))
        (void)snprintf(room, HUMAN_TEXT, "no value");
    else if (isinf(value))
        (void)snprintf(room, HUMAN_TEXT, "%sinfinite", value < 0 ? "minus " : "");
    else if (strcmp(unit, "s") == 0)
        seconds(room, value);
    else if (strcmp(unit, "flop/s") == 0)
        thousands(room, value, "FLOP/s");
    else if (strcmp(unit, "B/s") == 0 || strcmp(unit, "B") == 0)
        thousands(room, value, unit);
    else if (value == rint(value) && fabs(value) < 1e15)
        (void)snprintf(room, HUMAN_TEXT, "%.0f %.32s", value, unit);
    else
        (void)snprintf(room, HUMAN_TEXT, "%.4g %.32s", value, unit);
    const size_t n = strlen(room);
    if (n > 0 && room[n - 1] == ' ') room[n - 1] = '\0';
    return room;
}

const char *sunup__percent(char *room, double fraction)
{
    const double x = 100 * fraction, size = fabs(x);
    (void)snprintf(room, HUMAN_TEXT, "%+.*f %%", size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2, x);
    return room;
}

const char *sunup__day(char *room, int64_t at)
{
    const time_t then = (time_t)at;
    struct tm utc;
    if (gmtime_r(&then, &utc) == NULL || strftime(room, DAY_TEXT, "%Y-%m-%d", &utc) == 0)
        (void)snprintf(room, DAY_TEXT, "no date");
    return room;
}
