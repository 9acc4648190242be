/* read_layers.c - the list of layers: kinds and keys by layers.def, names, inputs, repeats.
 *
 * Owes: layers whose inputs are numbers of earlier values, resolved by name from the innermost scope outwards.
 * Invariant: at most MAX_LAYERS layers and MAX_DEPTH repeats inside each other, whatever the text says; this also
 * ends YAML anchors that hold themselves.
 */
#include <stdio.h>
#include <string.h>

#include "base/words.h"
#include "model/read.h"

enum { MAX_LAYERS = 10000, MAX_DEPTH = 8, MAX_KEYS = 16 };

/* layers.def's words for one kind. */
struct key_list {
    int n;
    enum key key[MAX_KEYS];
    bool required[MAX_KEYS];
    bool lone, lone_inputs; /* what a value without a key may be */
    bool weights;           /* the kind has some */
};

/* -------------------------------------------------------------------------- tables --- */

static bool starts_with_word(const char *s, const char *word, size_t *length)
{
    const size_t n = strlen(word);
    *length = n;
    return strncmp(s, word, n) == 0 && (s[n] == '\0' || s[n] == ' ' || s[n] == '!');
}

static struct key_list keys_of(const struct layer_kind *kind)
{
    struct key_list list = {.lone = kind->keys[0] != '-'};
    size_t length;
    list.lone_inputs = starts_with_word(kind->keys, "inputs", &length);
    for (const char *s = kind->keys; s; s = strchr(s, ' ')) {
        s += *s == ' ';
        for (int k = 0; k < KEYS; k++) {
            if (!starts_with_word(s, sunup__key_name((enum key)k), &length)) continue;
            list.weights |= k == KEY_weights;
            list.required[list.n] = s[length] == '!';
            list.key[list.n++] = (enum key)k;
        }
    }
    return list;
}

static sunup_status find_kind(const struct reader *r, const struct yaml *at, const char *name,
                              int *kind)
{
    const char *names[KINDS + 1];
    for (int i = 0; i < KINDS; i++) names[i] = sunup__layer_kind(i)->name;
    names[KINDS] = "repeat";
    for (*kind = 0; *kind <= KINDS; ++*kind)
        if (strcmp(names[*kind], name) == 0) return SUNUP_OK;
    char hint[HINT_TEXT];
    return sunup__yaml_error(r->ctx, at, "there is no layer '%.60s'%s", name,
                             sunup__hint(hint, name, KINDS + 1, names));
}

/* -------------------------------------------------------------------------- values --- */

int sunup__read_values(const struct reader *r)
{
    return r->d->n_inputs + r->d->n_layers;
}

static int find_exact(const struct reader *r, const char *prefix, const char *name)
{
    const size_t n = strlen(prefix);
    for (int i = 0; i < sunup__read_values(r); i++)
        if (strncmp(r->names[i], prefix, n) == 0 && strcmp(r->names[i] + n, name) == 0) return i;
    return -1;
}

/* The nearest scope's value of that name; -1: none. */
static int find_value(const struct reader *r, const struct scope *s, const char *name)
{
    for (; s; s = s->outer) {
        const int i = find_exact(r, s->prefix, name);
        if (i >= 0) return i;
        if (s->entry >= 0 && strcmp(name, "in") == 0) return s->entry;
    }
    return -1;
}

/* Room for one more value. */
sunup_status sunup__read_grow(struct reader *r)
{
    const int n = sunup__read_values(r);
    if (n < r->room) return SUNUP_OK;
    const size_t room = n > 0 ? 2 * (size_t)n : 64;
    const char **names = sunup__realloc(r->names, room * sizeof *names);
    if (names) r->names = names;
    bool *used = sunup__realloc(r->used, room * sizeof *used);
    if (used) r->used = used;
    struct layer *layers = sunup__realloc(r->d->layers, room * sizeof *layers);
    if (layers) r->d->layers = layers;
    CHECK(names && used && layers, r->ctx, E_MEMORY, "%s: no memory for %zu layers", r->d->source,
          room);
    r->room = (int)room;
    return SUNUP_OK;
}

sunup_status sunup__read_new_name(const struct reader *r, const struct yaml *at, const char *name)
{
    static const char *const taken[] = {"in", "loss", "output"};
    for (int i = 0; i < 3; i++)
        if (strcmp(name, taken[i]) == 0)
            return sunup__yaml_error(r->ctx, at,
                                     "'%s' has a meaning of its own, choose another name", name);
    if (find_exact(r, "", name) >= 0)
        return sunup__yaml_error(r->ctx, at, "there are two values named '%s'", name);
    return SUNUP_OK;
}

/* prefix + name, or prefix + kind and number where name is NULL. */
static sunup_status full_name(struct reader *r, struct scope *s, int kind, const char *name,
                              const char **full)
{
    struct text t = {0};
    const char *kind_name = kind < KINDS ? sunup__layer_kind(kind)->name : "repeat";
    do {
        sunup__free(t.s);
        t = (struct text){0};
        if (name)
            sunup__text(&t, "%s%s", s->prefix, name);
        else
            sunup__text(&t, "%s%s%d", s->prefix, kind_name, ++s->numbers[kind]);
    } while (!name && t.s && find_exact(r, "", t.s) >= 0);
    *full = t.s ? sunup__arena_strdup(&r->d->arena, t.s) : NULL;
    sunup__free(t.s);
    CHECK(*full, r->ctx, E_MEMORY, "%s: no memory for a name", r->d->source);
    return SUNUP_OK;
}

/* -------------------------------------------------------------------------- layers --- */

static sunup_status unknown_value(const struct reader *r, const struct yaml *at, const char *name)
{
    char hint[HINT_TEXT];
    return sunup__yaml_error(r->ctx, at, "no earlier value is named '%.60s'%s", name,
                             sunup__hint(hint, name, sunup__read_values(r), r->names));
}

sunup_status sunup__read_input_name(const struct reader *r, const struct scope *s, const struct yaml *n,
                                    int *value)
{
    const char *name = n->text;
    if (n->kind != YAML_TEXT)
        return sunup__yaml_error(r->ctx, n, "inputs: expected the name of a value");
    *value = find_value(r, s, name);
    return *value >= 0 ? SUNUP_OK : unknown_value(r, n, name);
}

/* Values named by a word or a list of words; n NULL: the previous one. */
static sunup_status read_inputs(struct reader *r, const struct scope *s, const struct yaml *n,
                                struct layer *l)
{
    int in[MAX_INPUTS] = {s->previous}, count = s->previous >= 0;
    if (n && n->kind == YAML_LIST) {
        count = n->n;
        if (count > MAX_INPUTS)
            return sunup__yaml_error(r->ctx, n, "inputs: %d names, at most %d are possible", count,
                                     (int)MAX_INPUTS);
        for (int i = 0; i < count; i++) TRY(sunup__read_input_name(r, s, n->item[i], &in[i]));
    } else if (n) {
        count = 1;
        TRY(sunup__read_input_name(r, s, n, &in[0]));
    }
    int *copy = sunup__arena_alloc(&r->d->arena, (size_t)count * sizeof *copy);
    CHECK(copy, r->ctx, E_MEMORY, "%s: no memory", r->d->source);
    memcpy(copy, in, (size_t)count * sizeof *copy);
    l->in = copy;
    l->n_in = count;
    return SUNUP_OK;
}

static sunup_status check_inputs(const struct reader *r, const struct yaml *at,
                                 const struct layer *l)
{
    const int n = l->n_in;
    if (n == 0)
        return sunup__yaml_error(r->ctx, at,
                                 "%s '%s' needs inputs: [...], as the network has %d inputs",
                                 l->kind->name, l->name, r->d->n_inputs);
    if (l->kind->inputs == MANY ? n < 2 : n != l->kind->inputs)
        return sunup__yaml_error(r->ctx, at,
                                 "%s '%s' has %d input%s, but needs %s; say inputs: [...]",
                                 l->kind->name, l->name, n, n == 1 ? "" : "s",
                                 l->kind->inputs == ONE   ? "one"
                                 : l->kind->inputs == TWO ? "two"
                                                          : "two or more");
    for (int i = 0; i < n; i++) r->used[l->in[i]] = true;
    return SUNUP_OK;
}

/* The attributes of a layer while they are read. */
struct attributes {
    int n;
    struct attribute a[MAX_KEYS];
};

static sunup_status read_map(struct reader *r, const struct yaml *map, const char *kind,
                             const struct key_list *keys, struct attributes *list)
{
    const char *words[MAX_KEYS + 2] = {"name", "inputs"};
    for (int i = 0; i < keys->n; i++) words[i + 2] = sunup__key_name(keys->key[i]);
    TRY(sunup__yaml_known(r->ctx, map, kind, keys->n + 2, words));
    for (int i = 0; i < keys->n; i++) {
        const struct yaml *n = sunup__yaml_get(map, words[i + 2]);
        if (n && keys->key[i] != KEY_weights)
            TRY(sunup__read_attribute(r, n, keys->key[i], &list->a[list->n++]));
    }
    return SUNUP_OK;
}

/* The layer that l shall share weights with, and what that one shares itself. */
static sunup_status take_owner(const struct reader *r, const struct yaml *at, int value,
                               struct layer *l)
{
    const struct layer *from =
        value >= r->d->n_inputs ? &r->d->layers[value - r->d->n_inputs] : NULL;
    if (!from || from->kind != l->kind)
        return sunup__yaml_error(r->ctx, at, "%s '%s' cannot share the weights of %s '%s'; the "
                                 "kinds must be the same",
                                 l->kind->name, l->name, from ? from->kind->name : "input",
                                 r->names[value]);
    l->owner = from->owner ? from->owner : from->name;
    return SUNUP_OK;
}

/* `weights: NAME`, or the layer's counterpart in the repeat whose weights this one uses. */
static sunup_status find_owner(const struct reader *r, const struct scope *s, const struct yaml *at,
                               const struct yaml *named, struct layer *l)
{
    int value;
    if (named) {
        TRY(sunup__read_input_name(r, s, named, &value));
        return take_owner(r, named, value, l);
    }
    if (!s->owner) return SUNUP_OK;
    struct text t = {0};
    sunup__text(&t, "%s%s", s->owner, l->name + strlen(s->borrower));
    CHECK(t.s, r->ctx, E_MEMORY, "%s: no memory for a name", r->d->source);
    value = find_exact(r, "", t.s);
    const sunup_status status =
        value >= 0 ? take_owner(r, at, value, l) : unknown_value(r, at, t.s);
    sunup__free(t.s);
    return status;
}

static sunup_status check_required(const struct reader *r, const struct yaml *at,
                                   const struct layer *l, const struct key_list *keys,
                                   const struct attributes *list)
{
    for (int i = 0; i < keys->n; i++) {
        bool there = !keys->required[i];
        for (int k = 0; k < list->n; k++) there |= list->a[k].key == keys->key[i];
        if (!there)
            return sunup__yaml_error(r->ctx, at, "%s '%s' needs %s", l->kind->name, l->name,
                                     sunup__key_name(keys->key[i]));
    }
    return SUNUP_OK;
}

static sunup_status keep_attributes(struct reader *r, const struct attributes *list,
                                    struct layer *l)
{
    const size_t bytes = (size_t)list->n * sizeof list->a[0];
    struct attribute *copy = sunup__arena_alloc(&r->d->arena, bytes);
    CHECK(copy, r->ctx, E_MEMORY, "%s: no memory", r->d->source);
    if (bytes > 0) memcpy(copy, list->a, bytes);
    l->attributes = copy;
    l->n_attributes = list->n;
    return SUNUP_OK;
}

/* `kind: value` where value is nothing, a map of attributes, or the one attribute that the kind is about. */
static sunup_status read_layer(struct reader *r, struct scope *s, int kind, const struct yaml *at,
                               const struct yaml *value)
{
    TRY(sunup__read_grow(r));
    struct layer l = {.kind = sunup__layer_kind(kind), .line = at->line, .column = at->column};
    const struct key_list keys = keys_of(l.kind);
    const bool empty = !value || sunup__yaml_null(value);
    const bool map = !empty && value->kind == YAML_MAP;
    const struct yaml *name_node = map ? sunup__yaml_get(value, "name") : NULL;
    const struct yaml *inputs = map ? sunup__yaml_get(value, "inputs") : NULL;
    struct attributes list = {0};
    if (map)
        TRY(read_map(r, value, l.kind->name, &keys, &list));
    else if (!empty && keys.lone_inputs)
        inputs = value;
    else if (!empty && keys.lone)
        TRY(sunup__read_attribute(r, value, keys.key[0], &list.a[list.n++]));
    else if (!empty)
        return sunup__yaml_error(r->ctx, value, "%s takes no value of its own, only a map of keys",
                                 l.kind->name);
    const char *name = NULL;
    if (name_node) TRY(sunup__read_name(r, name_node, &name));
    TRY(full_name(r, s, kind, name, &l.name));
    TRY(sunup__read_new_name(r, name_node ? name_node : at, l.name));
    if (keys.weights)
        TRY(find_owner(r, s, at, map ? sunup__yaml_get(value, "weights") : NULL, &l));
    TRY(check_required(r, at, &l, &keys, &list));
    TRY(keep_attributes(r, &list, &l));
    TRY(read_inputs(r, s, inputs, &l));
    TRY(check_inputs(r, at, &l));
    s->previous = sunup__read_values(r);
    r->names[s->previous] = l.name;
    r->used[s->previous] = false;
    r->d->layers[r->d->n_layers++] = l;
    return SUNUP_OK;
}

/* ------------------------------------------------------------------- lists, repeats --- */

struct repeat {
    const char *name, *owner; /* owner: the repeat whose weights it uses; NULL: its own */
    const struct yaml *layers;
};

/* One round: its own names, and `in` is what the round reads. */
static sunup_status read_round(struct reader *r, struct scope *s, const struct repeat *p, int round)
{
    struct text prefix = {0};
    sunup__text(&prefix, "%s.%d.", p->name, round);
    CHECK(prefix.s, r->ctx, E_MEMORY, "%s: no memory for a name", r->d->source);
    struct scope inner = {.outer = s,
                          .prefix = prefix.s,
                          .entry = s->previous,
                          .previous = s->previous,
                          .depth = s->depth + 1,
                          .borrower = p->owner ? p->name : s->borrower,
                          .owner = p->owner ? p->owner : s->owner};
    const sunup_status status = sunup__read_list(r, &inner, p->layers);
    s->previous = inner.previous;
    sunup__free(prefix.s);
    return status;
}

/* The full name of the earlier repeat that is called so, from the innermost scope outwards. */
static sunup_status find_repeat(const struct reader *r, const struct scope *s,
                                const struct yaml *at, const char **full)
{
    const char *name;
    TRY(sunup__read_name(r, at, &name));
    for (; s; s = s->outer) {
        struct text t = {0};
        sunup__text(&t, "%s%s", s->prefix, name);
        *full = t.s ? sunup__arena_strdup(&r->d->arena, t.s) : NULL;
        sunup__free(t.s);
        CHECK(*full, r->ctx, E_MEMORY, "%s: no memory for a name", r->d->source);
        const size_t n = strlen(*full);
        for (int i = 0; i < sunup__read_values(r); i++)
            if (strncmp(r->names[i], *full, n) == 0 && strncmp(r->names[i] + n, ".1.", 3) == 0)
                return SUNUP_OK;
    }
    return sunup__yaml_error(r->ctx, at, "no earlier repeat is named '%.60s'", name);
}

static sunup_status read_repeat(struct reader *r, struct scope *s, const struct yaml *at,
                                const struct yaml *value)
{
    static const char *const words[] = {"name", "times", "layers", "inputs", "weights"};
    if (!value || value->kind != YAML_MAP)
        return sunup__yaml_error(r->ctx, at, "repeat needs a map with times and layers");
    TRY(sunup__yaml_known(r->ctx, value, "repeat", 5, words));
    const struct yaml *times = sunup__yaml_get(value, "times");
    const struct yaml *layers = sunup__yaml_get(value, "layers");
    const struct yaml *name_node = sunup__yaml_get(value, "name");
    const struct yaml *input = sunup__yaml_get(value, "inputs");
    const struct yaml *weights = sunup__yaml_get(value, "weights");
    if (!times || !layers) return sunup__yaml_error(r->ctx, at, "repeat needs times and layers");
    if (s->depth >= MAX_DEPTH)
        return sunup__yaml_error(r->ctx, at, "more than %d repeats inside each other",
                                 (int)MAX_DEPTH);
    double rounds;
    struct repeat p = {.layers = layers};
    TRY(sunup__read_whole(r, times, "times", 1, &rounds));
    if (name_node) TRY(sunup__read_name(r, name_node, &p.name));
    if (weights) TRY(find_repeat(r, s, weights, &p.owner));
    if (input) TRY(sunup__read_input_name(r, s, input, &s->previous));
    TRY(full_name(r, s, KINDS, p.name, &p.name));
    for (int i = 1; i <= (int)rounds; i++) TRY(read_round(r, s, &p, i));
    return SUNUP_OK;
}

/* An item is one key with its value, or one word. */
static sunup_status read_item(struct reader *r, struct scope *s, const struct yaml *item)
{
    const struct yaml *key = item, *value = NULL;
    if (item->kind == YAML_MAP) {
        if (item->n != 1)
            return sunup__yaml_error(r->ctx, item->n > 1 ? item->key_at[1] : item,
                                     "a layer is one key with its attributes in a map under it, "
                                     "found %d keys side by side; indent further",
                                     item->n);
        key = item->key_at[0];
        value = item->item[0];
    }
    const char *word = key->kind == YAML_TEXT ? key->text : NULL;
    int kind;
    if (!word || *word == '\0')
        return sunup__yaml_error(r->ctx, item, "expected a layer, such as relu: or linear: 10");
    if (r->d->n_layers >= MAX_LAYERS)
        return sunup__yaml_error(r->ctx, item, "more than %d layers", (int)MAX_LAYERS);
    TRY(find_kind(r, key, word, &kind));
    return kind == KINDS ? read_repeat(r, s, key, value) : read_layer(r, s, kind, key, value);
}

sunup_status sunup__read_list(struct reader *r, struct scope *s, const struct yaml *list)
{
    if (list->kind != YAML_LIST)
        return sunup__yaml_error(r->ctx, list,
                                 "layers: expected a list, each item beginning with '- '");
    if (list->n == 0) return sunup__yaml_error(r->ctx, list, "layers: the list is empty");
    for (int i = 0; i < list->n; i++) TRY(read_item(r, s, list->item[i]));
    return SUNUP_OK;
}
