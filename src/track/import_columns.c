/* import_columns.c - reads the map of a table's columns, and finds them in its head. */
#include "track/import_columns.h"

#include <stdio.h>

#include "base/words.h"

static const char *const words[COLUMN_WORDS] = {"name", "suite",   "engine",   "ranks", "bytes", "flops",
                                                "at",   "outcome", "quantity", "unit",  "value"};

/* ------------------------------------------------------------------------- the text --- */

static bool is_text(enum column_field f)
{
    return f == COLUMN_NAME || f == COLUMN_SUITE || f == COLUMN_ENGINE;
}

static bool is_number(enum column_field f)
{
    return f == COLUMN_BYTES || f == COLUMN_FLOPS || f == COLUMN_VALUE || f == COLUMN_MEASURED;
}

static void set_field(struct column_entry *e, struct slice word)
{
    for (int i = 0; i < COLUMN_WORDS; i++)
        if (sunup__slice_is(word, words[i])) e->field = (enum column_field)i;
}

/* "fact.host", "time", "name" before '='. */
static sunup_status read_field(struct import *im, const char **s, struct column_entry *e)
{
    const size_t n = strcspn(*s, "=,");
    const struct slice whole = sunup__slice_trim((struct slice){*s, n});
    struct slice word = whole;
    CHECK((*s)[n] == '=' && word.n > 0, im->ctx, E_ARGUMENT,
          "columns: '%.40s' is no FIELD=COLUMN, such as name=problem or time=seconds:s", *s);
    e->field = COLUMN_MEASURED;
    set_field(e, word);
    if (sunup__slice_begins(word, "fact.")) {
        e->field = COLUMN_FACT;
        word = sunup__slice_after(word, word.s + strlen("fact."));
    }
    CHECK(word.n > 0, im->ctx, E_ARGUMENT, "columns: 'fact.' is followed by the fact's name");
    *s += n + 1;
    return sunup__import_intern(im, word.s, word.n, &e->word);
}

/* Behind the first quote; "" inside is one quote. */
static sunup_status read_quoted(struct import *im, const char **s, struct text *t)
{
    const char *from = *s;
    for (;; (*s)++) {
        CHECK(**s != '\0', im->ctx, E_ARGUMENT, "columns: the quote of '%.40s' is never closed", from);
        if (**s == '"' && *++*s != '"') return SUNUP_OK;
        sunup__text(t, "%c", **s);
    }
}

static sunup_status read_source(struct import *im, const char **s, struct column_entry *e)
{
    struct text t = {0};
    sunup_status status = SUNUP_OK;
    sunup__text(&t, "%s", "");
    if (**s == '"') {
        (*s)++;
        status = read_quoted(im, s, &t);
    } else {
        const struct slice name = sunup__slice_trim((struct slice){*s, strcspn(*s, ",:")});
        sunup__text(&t, "%.*s", (int)name.n, name.s);
        *s += strcspn(*s, ",:");
    }
    if (status == SUNUP_OK) status = sunup__import_intern(im, t.s, t.n, &e->source);
    sunup__free(t.s);
    TRY(status);
    CHECK(e->source[0] != '\0', im->ctx, E_ARGUMENT, "columns: no column is given for '%s'", e->word);
    return SUNUP_OK;
}

/* ":us:less", each part of it if there is any. */
static sunup_status read_unit(struct import *im, const char **s, struct column_entry *e)
{
    static const char *const better[] = {"less", "more", "neither"};
    char hint[HINT_TEXT], word[16];
    e->unit = "";
    if (**s == ':') {
        const size_t n = strcspn(++*s, ",:");
        TRY(sunup__import_intern(im, *s, n, &e->unit));
        *s += n;
    }
    e->better = sunup__import_unit(e->unit).better;
    if (**s != ':') return SUNUP_OK;
    const size_t n = strcspn(++*s, ",:");
    (void)snprintf(word, sizeof word, "%.*s", (int)(n < 15 ? n : 15), *s);
    *s += n;
    for (int i = 0; i < 3; i++) {
        if (strcmp(better[i], word) != 0) continue;
        e->better = (enum track_better)i;
        return SUNUP_OK;
    }
    RAISE(im->ctx, E_ARGUMENT, "columns: '%s' of '%s' is none of less, more and neither%s", word, e->word,
          sunup__hint(hint, word, 3, better));
}

static sunup_status read_entry(struct import *im, const char **s, struct column_entry *e)
{
    *e = (struct column_entry){.column = -1};
    TRY(read_field(im, s, e));
    TRY(read_source(im, s, e));
    TRY(read_unit(im, s, e));
    CHECK(e->unit[0] == '\0' || is_number(e->field), im->ctx, E_ARGUMENT,
          "columns: '%s' has no unit; a text with ':' in it stands in \"quotes\"", e->word);
    CHECK(**s == '\0' || **s == ',', im->ctx, E_ARGUMENT,
          "columns: '%.40s' follows where a comma is expected", *s);
    *s += **s == ',';
    return SUNUP_OK;
}

static sunup_status check_map(const struct import *im, const struct column_map *map)
{
    bool measured =
        sunup__columns_find(map, COLUMN_MEASURED) != NULL || sunup__columns_find(map, COLUMN_OUTCOME) != NULL;
    const bool value = sunup__columns_find(map, COLUMN_VALUE) != NULL;
    CHECK(value == (sunup__columns_find(map, COLUMN_QUANTITY) != NULL), im->ctx, E_ARGUMENT,
          "columns: 'value' and 'quantity' go together; to name one quantity write time=COLUMN");
    CHECK(measured || value, im->ctx, E_ARGUMENT, "columns: nothing is measured; add such as time=COLUMN:us");
    CHECK(sunup__columns_find(map, COLUMN_NAME) != NULL, im->ctx, E_ARGUMENT,
          "columns: name=COLUMN, the name of a case, is missing");
    for (int i = 0; i < map->n; i++)
        for (int k = 0; k < i; k++)
            CHECK(map->entry[i].word != map->entry[k].word || map->entry[i].field != map->entry[k].field,
                  im->ctx, E_ARGUMENT, "columns: '%s' is there twice", map->entry[i].word);
    return SUNUP_OK;
}

sunup_status sunup__columns_read(struct import *im, const char *text, struct column_map *map)
{
    for (map->n = 0; *text != '\0'; map->n++) {
        CHECK(map->n < MAP_ENTRIES, im->ctx, E_ARGUMENT, "columns: there are more than %d", MAP_ENTRIES);
        TRY(read_entry(im, &text, &map->entry[map->n]));
    }
    return check_map(im, map);
}

const struct column_entry *sunup__columns_find(const struct column_map *map, enum column_field field)
{
    for (int i = 0; i < map->n; i++)
        if (map->entry[i].field == field) return &map->entry[i];
    return NULL;
}

/* ------------------------------------------------------------------------- the head --- */

/* missing: see the header. A title that is there twice tells nothing. */
static sunup_status find_title(const struct import *im, struct slice word, int n, char *const *titles,
                               bool *missing, int *column)
{
    char text[128], hint[HINT_TEXT];
    *column = -1;
    (void)snprintf(text, sizeof text, "%.*s", (int)(word.n < 127 ? word.n : 127), word.s);
    for (int i = 0; i < n; i++) {
        if (!sunup__slice_is(word, titles[i])) continue;
        EXPECT(*column < 0, im, "the column '%s' is there twice", text);
        *column = i;
    }
    if (*column >= 0) return SUNUP_OK;
    EXPECT(missing != NULL, im, "there is no column '%s' in the head of the table%s", text,
           sunup__hint(hint, text, n, (const char *const *)titles));
    *missing = true;
    return SUNUP_OK;
}

static sunup_status place_template(const struct import *im, struct column_entry *e, int n,
                                   char *const *titles, bool *missing)
{
    e->n_parts = 0;
    for (const char *open = strchr(e->source, '{'); open != NULL; open = strchr(open + 1, '{')) {
        const char *close = strchr(open, '}');
        CHECK(close != NULL, im->ctx, E_ARGUMENT, "columns: the brace of '%.60s' is never closed", open);
        CHECK(e->n_parts < TEMPLATE_PARTS, im->ctx, E_ARGUMENT, "columns: '%s' has more than %d columns",
              e->word, TEMPLATE_PARTS);
        const struct slice word = {open + 1, (size_t)(close - open) - 1};
        TRY(find_title(im, word, n, titles, missing, &e->parts[e->n_parts++]));
        open = close;
    }
    return SUNUP_OK;
}

sunup_status sunup__columns_place(const struct import *im, struct column_map *map, int n, char *const *titles,
                                  bool *missing)
{
    if (missing != NULL) *missing = false;
    for (int i = 0; i < map->n; i++) {
        struct column_entry *e = &map->entry[i];
        if (is_text(e->field) && strchr(e->source, '{') != NULL)
            TRY(place_template(im, e, n, titles, missing));
        else
            TRY(find_title(im, sunup__slice(e->source), n, titles, missing, &e->column));
    }
    return SUNUP_OK;
}

/* ------------------------------------------------------------------------- the lines --- */

void sunup__columns_text(const struct column_entry *e, char *const *cells, struct text *t)
{
    if (e->column >= 0) {
        sunup__text(t, "%s", cells[e->column]);
        return;
    }
    const char *at = e->source;
    for (int i = 0; i < e->n_parts; i++) {
        const char *open = strchr(at, '{');
        sunup__text(t, "%.*s%s", (int)(open - at), at, cells[e->parts[i]]);
        at = strchr(open, '}') + 1;
    }
    sunup__text(t, "%s", at);
}
