/* yaml.c - libyaml's document turned into struct yaml, and typed access with messages that say where. */
#include "base/yaml.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/words.h"

enum { MAX_DEPTH = 32, MAX_NODES = 100000 };

struct reader {
    sunup_context *ctx;
    struct arena *arena;
    yaml_document_t *document;
    const char *name;
    int nodes; /* made so far: aliases are followed, so this bounds what a small text can grow to */
};

sunup_status sunup__yaml_error(sunup_context *ctx, const struct yaml *y, const char *format, ...)
{
    char sentence[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    RAISE(ctx, E_FORMAT, "%s:%d:%d: %s", y->name, y->line, y->column, sentence);
}

static sunup_status convert(struct reader *r, int index, int depth, struct yaml **out);

static sunup_status convert_list(struct reader *r, const yaml_node_t *node, int depth,
                                 struct yaml *y)
{
    const yaml_node_item_t *start = node->data.sequence.items.start;
    y->kind = YAML_LIST;
    y->n = (int)(node->data.sequence.items.top - start);
    y->item = sunup__arena_alloc(r->arena, (size_t)(y->n + 1) * sizeof *y->item);
    CHECK(y->item != NULL, r->ctx, E_MEMORY, "%s: no memory", r->name);
    for (int i = 0; i < y->n; i++) TRY(convert(r, start[i], depth + 1, &y->item[i]));
    return SUNUP_OK;
}

static sunup_status convert_map(struct reader *r, const yaml_node_t *node, int depth,
                                struct yaml *y)
{
    const yaml_node_pair_t *start = node->data.mapping.pairs.start;
    y->kind = YAML_MAP;
    const int n = (int)(node->data.mapping.pairs.top - start);
    y->item = sunup__arena_alloc(r->arena, (size_t)(n + 1) * sizeof *y->item);
    y->key = sunup__arena_alloc(r->arena, (size_t)(n + 1) * sizeof *y->key);
    y->key_at = sunup__arena_alloc(r->arena, (size_t)(n + 1) * sizeof *y->key_at);
    CHECK(y->item != NULL && y->key != NULL && y->key_at != NULL, r->ctx, E_MEMORY, "%s: no memory",
          r->name);
    for (int i = 0; i < n; i++) {
        struct yaml *key;
        TRY(convert(r, start[i].key, depth + 1, &key));
        if (key->kind != YAML_TEXT) return sunup__yaml_error(r->ctx, key, "a key must be a word");
        if (sunup__yaml_get(y, key->text) != NULL)
            return sunup__yaml_error(r->ctx, key, "key '%s' stands twice", key->text);
        TRY(convert(r, start[i].value, depth + 1, &y->item[i]));
        y->key[i] = key->text;
        y->key_at[i] = key;
        y->n = i + 1;
    }
    return SUNUP_OK;
}

static sunup_status convert_text(struct reader *r, const yaml_node_t *node, struct yaml *y)
{
    y->kind = YAML_TEXT;
    y->plain = node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (memchr(node->data.scalar.value, 0, node->data.scalar.length) != NULL)
        return sunup__yaml_error(r->ctx, y, "a text must not hold a zero byte");
    y->text = sunup__arena_strdup(r->arena, (const char *)node->data.scalar.value);
    CHECK(y->text != NULL, r->ctx, E_MEMORY, "%s: no memory", r->name);
    return SUNUP_OK;
}

static sunup_status convert(struct reader *r, int index, int depth, struct yaml **out)
{
    const yaml_node_t *node = yaml_document_get_node(r->document, index);
    CHECK(node != NULL, r->ctx, E_FORMAT, "%s: a value is missing", r->name);
    struct yaml *y = sunup__arena_alloc(r->arena, sizeof *y);
    CHECK(y != NULL, r->ctx, E_MEMORY, "%s: no memory", r->name);
    *out = y;
    y->name = r->name;
    y->line = (int)node->start_mark.line + 1;
    y->column = (int)node->start_mark.column + 1;
    if (depth > MAX_DEPTH) return sunup__yaml_error(r->ctx, y, "nested deeper than %d", MAX_DEPTH);
    if (++r->nodes > MAX_NODES)
        return sunup__yaml_error(r->ctx, y, "more than %d values", MAX_NODES);
    switch (node->type) {
    case YAML_SEQUENCE_NODE:
        return convert_list(r, node, depth, y);
    case YAML_MAPPING_NODE:
        return convert_map(r, node, depth, y);
    default:
        return convert_text(r, node, y);
    }
}

static sunup_status convert_document(struct reader *r, yaml_parser_t *parser, struct yaml **root)
{
    if (yaml_document_get_root_node(r->document) == NULL)
        RAISE(r->ctx, E_FORMAT, "%s: is empty", r->name);
    TRY(convert(r, 1, 0, root));
    yaml_document_t more;
    CHECK(yaml_parser_load(parser, &more), r->ctx, E_FORMAT, "%s:%zu: %s", r->name,
          parser->problem_mark.line + 1,
          parser->problem != NULL ? parser->problem : "cannot be read");
    const bool second = yaml_document_get_root_node(&more) != NULL;
    yaml_document_delete(&more);
    CHECK(!second, r->ctx, E_FORMAT, "%s: holds more than one document", r->name);
    return SUNUP_OK;
}

sunup_status sunup__yaml_parse(sunup_context *ctx, const char *text, size_t bytes, const char *name,
                               struct arena *a, struct yaml **root)
{
    yaml_parser_t parser;
    yaml_document_t document;
    CHECK(yaml_parser_initialize(&parser), ctx, E_MEMORY, "%s: no memory", name);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, bytes);
    struct reader r = {
        .ctx = ctx, .arena = a, .document = &document, .name = sunup__arena_strdup(a, name)};
    sunup_status status;
    if (r.name == NULL) {
        status = sunup__raise(ctx, SUNUP_E_MEMORY, "%s: no memory", name);
    } else if (!yaml_parser_load(&parser, &document)) {
        status = sunup__raise(
            ctx, SUNUP_E_FORMAT, "%s:%zu:%zu: %s%s%s", name, parser.problem_mark.line + 1,
            parser.problem_mark.column + 1, parser.problem != NULL ? parser.problem : "not YAML",
            parser.context != NULL ? " " : "", parser.context != NULL ? parser.context : "");
    } else {
        status = convert_document(&r, &parser, root);
        yaml_document_delete(&document);
    }
    yaml_parser_delete(&parser);
    return status;
}

struct yaml *sunup__yaml_get(const struct yaml *map, const char *key)
{
    if (map == NULL || map->kind != YAML_MAP) return NULL;
    for (int i = 0; i < map->n; i++)
        if (strcmp(map->key[i], key) == 0) return map->item[i];
    return NULL;
}

bool sunup__yaml_null(const struct yaml *y)
{
    if (y == NULL) return true;
    if (y->kind != YAML_TEXT || !y->plain) return false;
    return y->text[0] == '\0' || strcmp(y->text, "~") == 0 || strcmp(y->text, "null") == 0;
}

static const char *shown(const struct yaml *y)
{
    return y->kind == YAML_TEXT ? y->text : y->kind == YAML_LIST ? "a list" : "a map";
}

sunup_status sunup__yaml_real(sunup_context *ctx, const struct yaml *y, const char *what, double *x)
{
    char *end = NULL;
    errno = 0;
    if (y->kind == YAML_TEXT && y->text[0] != '\0') *x = strtod(y->text, &end);
    if (end == NULL || *end != '\0' || end == y->text || (errno == ERANGE && fabs(*x) > 1))
        return sunup__yaml_error(ctx, y, "'%s' must be a number, not '%s'", what, shown(y));
    return SUNUP_OK;
}

sunup_status sunup__yaml_integer(sunup_context *ctx, const struct yaml *y, const char *what,
                                 int64_t *x)
{
    char *end = NULL;
    errno = 0;
    if (y->kind == YAML_TEXT && y->text[0] != '\0') *x = strtoll(y->text, &end, 10);
    if (end == NULL || *end != '\0' || end == y->text || errno == ERANGE)
        return sunup__yaml_error(ctx, y, "'%s' must be a whole number, not '%s'", what, shown(y));
    return SUNUP_OK;
}

sunup_status sunup__yaml_bool(sunup_context *ctx, const struct yaml *y, const char *what, bool *x)
{
    if (y->kind == YAML_TEXT && strcmp(y->text, "true") == 0)
        *x = true;
    else if (y->kind == YAML_TEXT && strcmp(y->text, "false") == 0)
        *x = false;
    else
        return sunup__yaml_error(ctx, y, "'%s' must be true or false, not '%s'", what, shown(y));
    return SUNUP_OK;
}

sunup_status sunup__yaml_integers(sunup_context *ctx, const struct yaml *y, const char *what,
                                  int room, int64_t *x, int *n)
{
    *n = 1;
    if (y->kind != YAML_LIST) return sunup__yaml_integer(ctx, y, what, &x[0]);
    if (y->n > room)
        return sunup__yaml_error(ctx, y, "'%s' has %d numbers; at most %d fit", what, y->n, room);
    *n = y->n;
    for (int i = 0; i < y->n; i++) TRY(sunup__yaml_integer(ctx, y->item[i], what, &x[i]));
    return SUNUP_OK;
}

sunup_status sunup__yaml_known(sunup_context *ctx, const struct yaml *map, const char *what, int n,
                               const char *const *known)
{
    for (int i = 0; i < map->n; i++) {
        bool found = false;
        for (int k = 0; k < n && !found; k++) found = strcmp(map->key[i], known[k]) == 0;
        if (found) continue;
        char hint[HINT_TEXT];
        return sunup__yaml_error(ctx, map->key_at[i], "%s has no key '%s'%s", what, map->key[i],
                                 sunup__hint(hint, map->key[i], n, known));
    }
    return SUNUP_OK;
}
