/* npy.c - NumPy's file of one array: magic, version, length, a Python dictionary as text, then the numbers.
 *
 * Read are versions 1 to 3, both byte orders, both axis orders. Only the three keys that NumPy writes are accepted,
 * and only literals: nothing is evaluated. Pickled objects are refused.
 * Source: NumPy Enhancement Proposal 1, "A simple file format for NumPy arrays" (2007), and numpy.lib.format.
 */
#include <string.h>

#include "base/memory.h"
#include "data/array.h"

enum { MAGIC_BYTES = 6, KEY_BYTES = 32 };

/* The header's text and how far it has been read. */
struct header {
    sunup_context *ctx;
    const char *name;
    const char *start; /* of the file */
    const char *at, *end;
};

static size_t offset(const struct header *h)
{
    return (size_t)(h->at - h->start);
}

static void skip_blanks(struct header *h)
{
    while (h->at < h->end && strchr(" \t\n\r", *h->at) != NULL && *h->at != '\0') h->at++;
}

/* Takes c if it is next. */
static bool take(struct header *h, char c)
{
    skip_blanks(h);
    if (h->at == h->end || *h->at != c) return false;
    h->at++;
    return true;
}

static sunup_status need(struct header *h, char c)
{
    CHECK(take(h, c), h->ctx, E_FORMAT, "%s: byte %zu: the header needs a '%c' here", h->name,
          offset(h), c);
    return SUNUP_OK;
}

static sunup_status string(struct header *h, char room[KEY_BYTES])
{
    skip_blanks(h);
    const char quote = h->at < h->end ? *h->at : '\0';
    CHECK(quote == '\'' || quote == '"', h->ctx, E_FORMAT,
          "%s: byte %zu: the header needs a quoted word here", h->name, offset(h));
    const char *from = ++h->at;
    while (h->at < h->end && *h->at != quote) h->at++;
    const size_t n = (size_t)(h->at - from);
    CHECK(h->at < h->end && n < KEY_BYTES, h->ctx, E_FORMAT,
          "%s: byte %zu: a word in the header does not end", h->name, (size_t)(from - h->start));
    memcpy(room, from, n);
    room[n] = '\0';
    h->at++;
    return SUNUP_OK;
}

static sunup_status boolean(struct header *h, bool *value)
{
    skip_blanks(h);
    const size_t left = (size_t)(h->end - h->at);
    *value = left >= 4 && memcmp(h->at, "True", 4) == 0;
    CHECK(*value || (left >= 5 && memcmp(h->at, "False", 5) == 0), h->ctx, E_FORMAT,
          "%s: byte %zu: the header needs True or False here", h->name, offset(h));
    h->at += *value ? 4 : 5;
    return SUNUP_OK;
}

static sunup_status dimension(struct header *h, int64_t *value)
{
    skip_blanks(h);
    const char *from = h->at;
    *value = 0;
    while (h->at < h->end && *h->at >= '0' && *h->at <= '9' && *value < INT64_MAX / 16)
        *value = 10 * *value + (*h->at++ - '0');
    const bool more = h->at < h->end && *h->at >= '0' && *h->at <= '9';
    CHECK(h->at > from && !more, h->ctx, E_FORMAT,
          "%s: byte %zu: the header needs a length of an axis here", h->name, offset(h));
    return SUNUP_OK;
}

/* "(3, 4)", "(3,)" or "()" */
static sunup_status shape(struct header *h, sunup_shape *s)
{
    TRY(need(h, '('));
    s->n = 0;
    while (!take(h, ')')) {
        CHECK(s->n < SUNUP_MAX_DIMS, h->ctx, E_UNSUPPORTED,
              "%s: byte %zu: more than %d axes cannot be read", h->name, offset(h), SUNUP_MAX_DIMS);
        TRY(dimension(h, &s->d[s->n++]));
        if (take(h, ',')) continue;
        TRY(need(h, ')'));
        break;
    }
    return SUNUP_OK;
}

/* "<f4": order, kind, bytes */
static sunup_status element(struct header *h, struct source *s)
{
    static const struct {
        char text[3];
        enum element element;
    } known[] = {{"b1", ELEMENT_BOOL}, {"u1", ELEMENT_U8},  {"i1", ELEMENT_I8},
                 {"u2", ELEMENT_U16},  {"i2", ELEMENT_I16}, {"u4", ELEMENT_U32},
                 {"i4", ELEMENT_I32},  {"u8", ELEMENT_U64}, {"i8", ELEMENT_I64},
                 {"f2", ELEMENT_F16},  {"f4", ELEMENT_F32}, {"f8", ELEMENT_F64}};
    skip_blanks(h);
    const size_t from = offset(h);
    CHECK(h->at == h->end || *h->at != '[', h->ctx, E_UNSUPPORTED,
          "%s: byte %zu: records of several fields cannot be read; save each field as an array of "
          "its own",
          h->name, from);
    char word[KEY_BYTES];
    TRY(string(h, word));
    const bool ordered = word[0] != '\0' && strchr("<>|=", word[0]) != NULL;
    s->big_endian = word[0] == '>' || (word[0] != '<' && sunup__big_endian());
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(word + ordered, known[i].text) == 0) {
            s->element = known[i].element;
            return SUNUP_OK;
        }
    RAISE(h->ctx, E_UNSUPPORTED,
          "%s: byte %zu: element type '%s' cannot be read; b1, u1..u8, i1..i8, f2, f4 and f8 can",
          h->name, from, word);
}

static sunup_status dictionary(struct header *h, struct source *s)
{
    unsigned seen = 0;
    TRY(need(h, '{'));
    while (!take(h, '}')) {
        char key[KEY_BYTES];
        const size_t from = offset(h);
        TRY(string(h, key));
        TRY(need(h, ':'));
        if (strcmp(key, "descr") == 0) {
            TRY(element(h, s));
            seen |= 1;
        } else if (strcmp(key, "fortran_order") == 0) {
            TRY(boolean(h, &s->column_major));
            seen |= 2;
        } else if (strcmp(key, "shape") == 0) {
            TRY(shape(h, &s->shape));
            seen |= 4;
        } else {
            RAISE(h->ctx, E_FORMAT, "%s: byte %zu: unknown key '%s' in the header", h->name, from,
                  key);
        }
        if (take(h, ',')) continue;
        TRY(need(h, '}'));
        break;
    }
    CHECK(seen == 7, h->ctx, E_FORMAT,
          "%s: byte %zu: the header lacks descr, fortran_order or shape", h->name, offset(h));
    skip_blanks(h);
    CHECK(h->at == h->end, h->ctx, E_FORMAT, "%s: byte %zu: the header goes on after its end",
          h->name, offset(h));
    return SUNUP_OK;
}

sunup_status sunup__parse_npy(sunup_context *ctx, const void *data, size_t bytes, const char *name,
                              struct source *s)
{
    const unsigned char *p = data;
    CHECK(bytes >= MAGIC_BYTES + 4, ctx, E_FORMAT,
          "%s: byte %zu: the file ends inside its first 10 bytes", name, bytes);
    CHECK(memcmp(p, "\x93NUMPY", MAGIC_BYTES) == 0, ctx, E_FORMAT,
          "%s: byte 0: does not begin as an npy file", name);
    const int version = p[MAGIC_BYTES];
    CHECK(version >= 1 && version <= 3, ctx, E_UNSUPPORTED,
          "%s: byte 6: npy version %d.%d; 1 to 3 can be read", name, version, p[MAGIC_BYTES + 1]);
    size_t at = MAGIC_BYTES + 4;
    size_t length = (size_t)p[8] | (size_t)p[9] << 8;
    if (version > 1) {
        CHECK(bytes >= at + 2, ctx, E_FORMAT, "%s: byte %zu: the file ends inside its header", name,
              bytes);
        length |= (size_t)p[10] << 16 | (size_t)p[11] << 24;
        at += 2;
    }
    CHECK(length <= bytes - at, ctx, E_FORMAT,
          "%s: byte %zu: the file ends inside its header of %zu bytes", name, bytes, length);
    const char *text = data;
    struct header h = {ctx, name, text, text + at, text + at + length};
    *s = (struct source){.name = name};
    TRY(dictionary(&h, s));
    return sunup__source_at(ctx, data, bytes, at + length, s);
}

sunup_status sunup__read_npy(sunup_context *ctx, const void *data, size_t bytes, const char *name,
                             struct array *a)
{
    struct source s;
    *a = (struct array){0};
    TRY(sunup__parse_npy(ctx, data, bytes, name, &s));
    return sunup__array_copy(ctx, &s, a);
}
