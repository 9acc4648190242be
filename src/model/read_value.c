/* read_value.c - an attribute's value by the type that layers.def gives its key; the base reads plain numbers and
 * flags, here stand their ranges, names, and the words that may stand for a number.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/words.h"
#include "model/read.h"

enum { NAME_LETTERS = 100, LARGEST_WHOLE = 2147483647 };

static const struct {
    const char *name;
    enum key_type type;
    double least;
} keys[] = {
#define KEY(name, type, least) {#name, type, least},
#define LAYER(kind, inputs, keys)
#include "model/layers.def"
#undef KEY
#undef LAYER
};

const char *sunup__key_name(enum key key)
{
    return keys[key].name;
}

sunup_status sunup__read_name(const struct reader *r, const struct yaml *y, const char **name)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    const char *s = y->kind == YAML_TEXT ? y->text : "";
    if (*s == '\0' || strlen(s) > NAME_LETTERS || s[strspn(s, letters)] != '\0')
        return sunup__yaml_error(
            r->ctx, y, "a name has 1 to %d letters, digits, '_', '-' and '.', not '%.40s'",
            (int)NAME_LETTERS, s);
    *name = sunup__arena_strdup(&r->d->arena, s);
    CHECK(*name, r->ctx, E_MEMORY, "%s: no memory for a name", r->d->source);
    return SUNUP_OK;
}

/* NaN and infinities are outside every range. */
static sunup_status check_least(const struct reader *r, const struct yaml *y, const char *what,
                                double least, double v)
{
    if (!isfinite(v)) return sunup__yaml_error(r->ctx, y, "'%s' must be finite, not %g", what, v);
    if (v < least)
        return sunup__yaml_error(r->ctx, y, "'%s' must be at least %g, not %g", what, least, v);
    return SUNUP_OK;
}

static sunup_status read_real(const struct reader *r, const struct yaml *y, const char *what,
                              double least, double *v)
{
    TRY(sunup__yaml_real(r->ctx, y, what, v));
    return check_least(r, y, what, least, *v);
}

sunup_status sunup__read_wholes(const struct reader *r, const struct yaml *y, const char *what,
                                double least, struct attribute *a)
{
    int64_t v[SUNUP_MAX_DIMS];
    TRY(sunup__yaml_integers(r->ctx, y, what, SUNUP_MAX_DIMS, v, &a->n));
    if (a->n == 0) return sunup__yaml_error(r->ctx, y, "'%s' is an empty list", what);
    a->list = y->kind == YAML_LIST;
    for (int i = 0; i < a->n; i++) {
        const struct yaml *at = a->list ? y->item[i] : y;
        if (v[i] > LARGEST_WHOLE || v[i] < -LARGEST_WHOLE)
            return sunup__yaml_error(r->ctx, at, "'%s' is %lld, beyond what fits", what,
                                     (long long)v[i]);
        a->v[i] = (double)v[i];
        TRY(check_least(r, at, what, least, a->v[i]));
    }
    return SUNUP_OK;
}

sunup_status sunup__read_whole(const struct reader *r, const struct yaml *y, const char *what,
                               double least, double *v)
{
    struct attribute a = {.n = 1};
    int64_t whole;
    if (y->kind != YAML_TEXT) return sunup__yaml_integer(r->ctx, y, what, &whole);
    TRY(sunup__read_wholes(r, y, what, least, &a));
    *v = a.v[0];
    return SUNUP_OK;
}

static sunup_status read_flag(const struct reader *r, const struct yaml *y, const char *what,
                              double *v)
{
    bool flag;
    TRY(sunup__yaml_bool(r->ctx, y, what, &flag));
    *v = flag;
    return SUNUP_OK;
}

struct choice {
    const char *expected; /* for the message */
    int n;
    const char *const *words;
};

/* Which of the words it is, or E_FORMAT with the nearest. */
static sunup_status read_word(const struct reader *r, const struct yaml *y, const char *what,
                              const struct choice *c, int *index)
{
    char hint[HINT_TEXT] = "";
    const char *s = y->kind == YAML_TEXT ? y->text : "";
    for (*index = 0; *index < c->n; ++*index)
        if (strcmp(s, c->words[*index]) == 0) return SUNUP_OK;
    return sunup__yaml_error(r->ctx, y, "'%s' must be %s, not '%.40s'%s", what, c->expected, s,
                             sunup__hint(hint, s, c->n, c->words));
}

static sunup_status read_padding(const struct reader *r, const struct yaml *y, double least,
                                 struct attribute *a)
{
    static const char *const words[] = {"same", "valid"};
    static const struct choice choice = {"same, valid or whole numbers", 2, words};
    int word;
    const bool number =
        y->kind != YAML_TEXT || (y->text[0] != '\0' && strchr("+-0123456789", y->text[0]));
    if (number) return sunup__read_wholes(r, y, "padding", least, a);
    TRY(read_word(r, y, "padding", &choice, &word));
    a->padding = word == 0 ? SUNUP_PADDING_SAME : SUNUP_PADDING_VALID;
    return SUNUP_OK;
}

static const char *const modes[] = {"zeros", "circular"};
static const struct choice mode = {"zeros or circular", 2, modes};
static const char *const rises[] = {"nearest", "linear", "bilinear", "trilinear"};
static const char *const starts[] = {"default",        "kaiming_uniform", "kaiming_normal",
                                     "xavier_uniform", "xavier_normal",   "zeros"}; /* as sunup_start */
static const struct choice start = {"default, zeros, or kaiming or xavier with _uniform or _normal", 6,
                                    starts};
static const struct choice rise = {"nearest, linear, bilinear or trilinear", 4, rises};

static sunup_status read_choice(const struct reader *r, const struct yaml *y, const char *what,
                                const struct choice *c, double *v)
{
    int word;
    TRY(read_word(r, y, what, c, &word));
    *v = word;
    return SUNUP_OK;
}

sunup_status sunup__read_attribute(const struct reader *r, const struct yaml *y, enum key key,
                                   struct attribute *a)
{
    const char *what = keys[key].name;
    const double least = keys[key].least;
    *a = (struct attribute){.key = key, .n = 1, .padding = SUNUP_PADDING_EXPLICIT};
    switch (keys[key].type) {
    case FLAG:
        return read_flag(r, y, what, &a->v[0]);
    case WHOLE:
        return sunup__read_whole(r, y, what, least, &a->v[0]);
    case WHOLES:
        return sunup__read_wholes(r, y, what, least, a);
    case NUMBER:
        return read_real(r, y, what, least, &a->v[0]);
    case PADDING:
        return read_padding(r, y, least, a);
    case MODE:
        return read_choice(r, y, what, &mode, &a->v[0]);
    case START:
        return read_choice(r, y, what, &start, &a->v[0]);
    case RISE:
        return read_choice(r, y, what, &rise, &a->v[0]);
    case LAYER_NAME: /* no number: read_layers.c knows the layers */
        break;
    }
    return SUNUP_OK;
}
