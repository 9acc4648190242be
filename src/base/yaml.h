/* yaml.h - a YAML text as a tree that remembers lines: the one way this project reads YAML (networks, run files).
 *
 * Every error is "name:line:column: sentence". Hostile input is bounded: depth, number of nodes after aliases are
 * followed, and duplicate keys are refused.
 */
#ifndef SUNUP_BASE_YAML_H
#define SUNUP_BASE_YAML_H

#include "base/context.h"
#include "base/memory.h"

enum yaml_kind { YAML_TEXT, YAML_LIST, YAML_MAP };

struct yaml {
    enum yaml_kind kind;
    const char *text;     /* scalar; "" and plain for an empty value */
    bool plain;           /* not quoted: may be a number, true, null */
    int line, column;     /* from 1                                  */
    int n;                /* items, or pairs                         */
    struct yaml **item;   /* [n]                                     */
    const char **key;     /* [n], maps only                          */
    struct yaml **key_at; /* [n], where each key stands              */
    const char *name;     /* of the file                             */
};

/* Tree in arena. text need not end with a zero. */
sunup_status sunup__yaml_parse(sunup_context *ctx, const char *text, size_t bytes, const char *name,
                               struct arena *a, struct yaml **root);
/* Value of a key; NULL if the map has none, or it is not a map. */
struct yaml *sunup__yaml_get(const struct yaml *map, const char *key);
bool sunup__yaml_null(const struct yaml *y); /* absent, empty, ~ or null */
/* "net.yaml:3:5: " + sentence as the context's error. */
sunup_status sunup__yaml_error(sunup_context *ctx, const struct yaml *y, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Typed scalars; what: the key, for the message "'stride' must be a whole number, not 'two'". */
sunup_status sunup__yaml_integer(sunup_context *ctx, const struct yaml *y, const char *what,
                                 int64_t *x);
sunup_status sunup__yaml_real(sunup_context *ctx, const struct yaml *y, const char *what,
                              double *x);
sunup_status sunup__yaml_bool(sunup_context *ctx, const struct yaml *y, const char *what, bool *x);
/* A list of whole numbers, or one number standing for a list of one; at most room. */
sunup_status sunup__yaml_integers(sunup_context *ctx, const struct yaml *y, const char *what,
                                  int room, int64_t *x, int *n);
/* All keys of map are among known[0..n-1], else an error naming the nearest. */
sunup_status sunup__yaml_known(sunup_context *ctx, const struct yaml *map, const char *what, int n,
                               const char *const *known);

#endif
