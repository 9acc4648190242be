/* run_file.c - a run as its YAML file and --set describe it.
 *
 * One table of keys (run_keys) drives reading, --set, error suggestions and `sunup config`; a key is a dotted path and
 * a place in struct run_file. The data's fields have a table of their own. Paths in the file are relative to it. What
 * the run names is opened by run_open.c.
 */
#include "program.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/system.h"
#include "base/words.h"
#include "base/yaml.h"
#include "comm/comm.h"
#include "inside.h"
#include "model/model.h"

enum kind { TEXT, PATH, REAL, INTEGER, INT, SEED, BOOL, BETAS, REALS, WORDS, MEAN, STD, SHAPE };

struct key {
    const char *name;
    enum kind kind;
    size_t at;
    size_t count; /* REALS, WORDS: where the number of them is */
};

#define RUN(name, kind, member)                                                                    \
    {                                                                                              \
        name, kind, offsetof(struct run_file, member), 0                                           \
    }
#define RUN_LIST(name, kind, member, n)                                                            \
    {                                                                                              \
        name, kind, offsetof(struct run_file, member), offsetof(struct run_file, n)                \
    }
static const struct key run_keys[] = {
    RUN("model.name", PATH, model), /* `model: net.yaml` is short for it */
    RUN("model.input", SHAPE, network.input),
    RUN("model.classes", INTEGER, network.classes),
    RUN("model.train_bn", BOOL, onnx.train_bn), /* of ONNX files */
    RUN("model.channels_last", BOOL, onnx.channels_last),
    RUN("weights", PATH, weights),
    RUN("loss", TEXT, o.loss),
    RUN("target", TEXT, o.target),
    RUN("weight", TEXT, o.weight),
    RUN("label_smoothing", REAL, o.label_smoothing),
    RUN_LIST("class_weights", REALS, o.class_weights, o.n_class_weights),
    RUN_LIST("pos_weight", REALS, o.pos_weight, o.n_pos_weight),
    RUN("focal", REAL, o.focal),
    RUN("delta", REAL, o.delta),
    RUN_LIST("freeze", WORDS, o.freeze, o.n_freeze),
    RUN("batch", INTEGER, o.batch),
    RUN("shards", INT, o.shards),
    RUN("sum", TEXT, o.sum),
    RUN("wire", TEXT, o.wire),
    RUN("accumulate", INT, o.accumulate),
    RUN("parts", INT, o.parts),
    RUN("split", TEXT, o.split),
    RUN("epochs", REAL, o.epochs),
    RUN("max_steps", INTEGER, o.max_steps),
    RUN("seed", SEED, o.seed),
    RUN("shuffle", BOOL, o.shuffle),
    RUN("run_dir", TEXT, o.run_dir),
    RUN("checkpoint_steps", REAL, o.checkpoint_steps),
    RUN("keep_checkpoints", INT, o.keep_checkpoints),
    RUN("hash_steps", INT, o.hash_steps),
    RUN("log_steps", INT, o.log_steps),
    RUN("memory_bytes", INTEGER, o.memory_bytes),
    RUN("numerics", TEXT, numerics),
    RUN("timeout_s", REAL, timeout_s),
    RUN("bucket_bytes", REAL, bucket_bytes),
    RUN("verify", TEXT, verify),
    RUN("augment.flip", BOOL, o.augment.flip),
    RUN("augment.shift", INT, o.augment.shift),
    RUN("augment.crop", INT, o.augment.crop),
    RUN("optimizer.type", TEXT, o.optimizer.type),
    RUN("optimizer.lr", REAL, o.optimizer.lr),
    RUN("optimizer.lr_batch", REAL, o.optimizer.lr_batch),
    RUN("optimizer.lr_scaling", TEXT, o.optimizer.lr_scaling),
    RUN("optimizer.momentum", REAL, o.optimizer.momentum),
    RUN("optimizer.dampening", REAL, o.optimizer.dampening),
    RUN("optimizer.nesterov", BOOL, o.optimizer.nesterov),
    RUN("optimizer.betas", BETAS, o.optimizer.betas),
    RUN("optimizer.alpha", REAL, o.optimizer.alpha),
    RUN("optimizer.centered", BOOL, o.optimizer.centered),
    RUN("optimizer.eps", REAL, o.optimizer.eps),
    RUN("optimizer.weight_decay", REAL, o.optimizer.weight_decay),
    RUN("optimizer.trust", REAL, o.optimizer.trust),
    RUN("optimizer.clip_value", REAL, o.optimizer.clip_value),
    RUN("optimizer.clip_norm", REAL, o.optimizer.clip_norm),
    RUN("schedule.type", TEXT, o.schedule.type),
    RUN("schedule.warmup_steps", REAL, o.schedule.warmup_steps),
    RUN("schedule.warmup_factor", REAL, o.schedule.warmup_factor),
    RUN("schedule.total_steps", REAL, o.schedule.total_steps),
    RUN("schedule.step_size", REAL, o.schedule.step_size),
    RUN("schedule.gamma", REAL, o.schedule.gamma),
    RUN_LIST("schedule.milestones", REALS, o.schedule.milestones, o.schedule.n_milestones),
    RUN("schedule.min_lr", REAL, o.schedule.min_lr),
    RUN("schedule.power", REAL, o.schedule.power),
    RUN("schedule.flat", REAL, o.schedule.flat),
    RUN("schedule.step_size_up", REAL, o.schedule.step_size_up),
    RUN("schedule.pct_start", REAL, o.schedule.pct_start),
    RUN("schedule.div_factor", REAL, o.schedule.div_factor),
    RUN("schedule.final_div_factor", REAL, o.schedule.final_div_factor),
    RUN("schedule.factor", REAL, o.schedule.factor),
    RUN("schedule.patience", REAL, o.schedule.patience),
    RUN("schedule.threshold", REAL, o.schedule.threshold),
};
enum { N_RUN_KEYS = sizeof run_keys / sizeof run_keys[0] };

#define FIELD(name, kind, member)                                                                  \
    {                                                                                              \
        name, kind, offsetof(sunup_field_options, member), 0                                       \
    }
static const struct key field_keys[] = {
    FIELD("name", TEXT, name),          FIELD("path", PATH, path),
    FIELD("member", TEXT, member),      FIELD("shape", SHAPE, shape),
    FIELD("scale", REAL, scale),        FIELD("offset", REAL, offset),
    FIELD("mean", MEAN, mean),          FIELD("std", STD, std),
    FIELD("label", BOOL, label),        FIELD("random", INTEGER, random),
    FIELD("classes", INTEGER, classes),
};
enum { N_FIELD_KEYS = sizeof field_keys / sizeof field_keys[0] };

struct reader {
    sunup_context *ctx;
    struct run_file *r;
};

/* ---------------------------------------------------------------- values --- */

/* "data/x" in "runs/a.yaml" is "runs/data/x"; absolute paths stay. */
static sunup_status relative(struct reader *rd, const char *text, const char **out)
{
    const char *slash = strrchr(rd->r->path, '/');
    struct text t = {0};
    if (text[0] == '/' || slash == NULL)
        sunup__text(&t, "%s", text);
    else
        sunup__text(&t, "%.*s%s", (int)(slash - rd->r->path + 1), rd->r->path, text);
    *out = t.s != NULL ? sunup__arena_strdup(&rd->r->arena, t.s) : NULL;
    sunup__free(t.s);
    CHECK(*out != NULL, rd->ctx, E_MEMORY, "no memory for a path");
    return SUNUP_OK;
}

static sunup_status reals(struct reader *rd, const struct yaml *y, const char *what, double **x,
                          int *n)
{
    if (y->kind == YAML_MAP)
        return sunup__yaml_error(rd->ctx, y, "'%s' must be a list of numbers", what);
    *n = y->kind == YAML_LIST ? y->n : 1;
    *x = sunup__arena_alloc(&rd->r->arena, (size_t)(*n + 1) * sizeof **x);
    CHECK(*x != NULL, rd->ctx, E_MEMORY, "no memory for '%s'", what);
    for (int i = 0; i < *n; i++)
        TRY(sunup__yaml_real(rd->ctx, y->kind == YAML_LIST ? y->item[i] : y, what, &(*x)[i]));
    return SUNUP_OK;
}

/* A word, or a list of them. */
static sunup_status words(struct reader *rd, const struct yaml *y, const struct key *k,
                          const char ***list, int *n)
{
    *n = y->kind == YAML_LIST ? y->n : 1;
    *list = sunup__arena_alloc(&rd->r->arena, (size_t)(*n + 1) * sizeof **list);
    CHECK(*list != NULL, rd->ctx, E_MEMORY, "no memory for '%s'", k->name);
    for (int i = 0; i < *n; i++) {
        const struct yaml *at = y->kind == YAML_LIST ? y->item[i] : y;
        if (at->kind != YAML_TEXT)
            return sunup__yaml_error(rd->ctx, at, "'%s' must be a list of words", k->name);
        (*list)[i] = sunup__arena_strdup(&rd->r->arena, at->text);
        CHECK((*list)[i] != NULL, rd->ctx, E_MEMORY, "no memory for '%s'", k->name);
    }
    return SUNUP_OK;
}

static sunup_status read_betas(struct reader *rd, const struct yaml *y, double *betas)
{
    double *x;
    int n;
    TRY(reals(rd, y, "betas", &x, &n));
    if (n != 2) return sunup__yaml_error(rd->ctx, y, "'betas' must be two numbers, not %d", n);
    betas[0] = x[0];
    betas[1] = x[1];
    return SUNUP_OK;
}

/* mean and std of a field share one count. */
static sunup_status read_channels(struct reader *rd, const struct yaml *y, const struct key *k,
                                  void *base)
{
    sunup_field_options *f = base;
    double *x;
    int n;
    TRY(reals(rd, y, k->name, &x, &n));
    if (f->n_channels != 0 && f->n_channels != n)
        return sunup__yaml_error(rd->ctx, y, "'mean' and 'std' have different counts: %d and %d",
                                 f->n_channels, n);
    f->n_channels = n;
    if (k->kind == MEAN)
        f->mean = x;
    else
        f->std = x;
    return SUNUP_OK;
}

static sunup_status read_text(struct reader *rd, const struct yaml *y, const struct key *k,
                              const char **to)
{
    if (y->kind != YAML_TEXT) return sunup__yaml_error(rd->ctx, y, "'%s' must be a word", k->name);
    if (k->kind == PATH) return relative(rd, y->text, to);
    *to = sunup__arena_strdup(&rd->r->arena, y->text);
    CHECK(*to != NULL, rd->ctx, E_MEMORY, "no memory for '%s'", k->name);
    return SUNUP_OK;
}

static sunup_status read_int(struct reader *rd, const struct yaml *y, const struct key *k, void *to)
{
    int64_t x;
    TRY(sunup__yaml_integer(rd->ctx, y, k->name, &x));
    if (k->kind == INTEGER)
        *(int64_t *)to = x;
    else if (k->kind == SEED)
        *(uint64_t *)to = (uint64_t)x;
    else if (x < -1000000000 || x > 1000000000)
        return sunup__yaml_error(rd->ctx, y, "'%s' is %lld, far outside what makes sense", k->name,
                                 (long long)x);
    else
        *(int *)to = (int)x;
    return SUNUP_OK;
}

static sunup_status read_value(struct reader *rd, const struct yaml *y, const struct key *k,
                               void *base)
{
    void *to = (char *)base + k->at;
    switch (k->kind) {
    case TEXT:
    case PATH:
        return read_text(rd, y, k, to);
    case REAL:
        return sunup__yaml_real(rd->ctx, y, k->name, to);
    case INTEGER:
    case INT:
    case SEED:
        return read_int(rd, y, k, to);
    case BOOL:
        return sunup__yaml_bool(rd->ctx, y, k->name, to);
    case BETAS:
        return read_betas(rd, y, to);
    case WORDS:
        return words(rd, y, k, to, (int *)((char *)base + k->count));
    case REALS:
        return reals(rd, y, k->name, (double **)to, (int *)((char *)base + k->count));
    case MEAN:
    case STD:
        return read_channels(rd, y, k, base);
    case SHAPE: {
        sunup_shape *s = to;
        return sunup__yaml_integers(rd->ctx, y, k->name, SUNUP_MAX_DIMS, s->d, &s->n);
    }
    }
    return SUNUP_OK;
}

/* ------------------------------------------------------------------ maps --- */

static sunup_status unknown(struct reader *rd, const struct yaml *at, const char *name, int n,
                            const struct key *keys)
{
    const char *words[N_RUN_KEYS + 1];
    for (int i = 0; i < n; i++) words[i] = keys[i].name;
    words[n] = "data.train";
    char hint[HINT_TEXT];
    return sunup__yaml_error(rd->ctx, at, "there is no key '%s'%s", name,
                             sunup__hint(hint, name, n + 1, words));
}

static const struct key *find(int n, const struct key *keys, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(keys[i].name, name) == 0) return &keys[i];
    return NULL;
}

static sunup_status read_field(struct reader *rd, const struct yaml *y, sunup_field_options *f)
{
    *f = sunup_field_defaults();
    if (y->kind != YAML_MAP)
        return sunup__yaml_error(rd->ctx, y,
                                 "a data field is a map, such as {name: x, path: images.idx}");
    for (int i = 0; i < y->n; i++) {
        const struct key *k = find(N_FIELD_KEYS, field_keys, y->key[i]);
        if (k == NULL) return unknown(rd, y->key_at[i], y->key[i], N_FIELD_KEYS, field_keys);
        TRY(read_value(rd, y->item[i], k, f));
    }
    if (f->name == NULL || (f->path == NULL && f->random <= 0))
        return sunup__yaml_error(rd->ctx, y,
                                 "a data field needs a name and a path (or random: SAMPLES)");
    if ((f->mean == NULL) != (f->std == NULL))
        return sunup__yaml_error(rd->ctx, y, "'mean' and 'std' go together");
    return SUNUP_OK;
}

/* {source: gw, samples: 4096, ...}: the other keys are the app's, which reads them when it makes the data. */
static sunup_status read_source(struct reader *rd, const struct yaml *y, struct field_list *list)
{
    const struct yaml *name = sunup__yaml_get(y, "source");
    if (name == NULL || name->kind != YAML_TEXT)
        return sunup__yaml_error(rd->ctx, y,
                                 "data are a list of fields, or a map with 'source: APP'");
    struct arena *a = &rd->r->arena;
    struct text where = {0};
    sunup__text(&where, "%s:%d:%d", y->name, y->line, y->column);
    struct source *s = sunup__arena_alloc(a, sizeof *s);
    const char **words = sunup__arena_alloc(a, (size_t)(2 * y->n) * sizeof *words);
    const char *at = where.s != NULL ? sunup__arena_strdup(a, where.s) : NULL;
    sunup__free(where.s);
    CHECK(s != NULL && words != NULL && at != NULL, rd->ctx, E_MEMORY, "no memory for a source");
    *s = (struct source){.name = sunup__arena_strdup(a, name->text),
                         .key = words,
                         .value = words + y->n,
                         .where = at};
    for (int i = 0; i < y->n; i++) {
        if (y->item[i] == name) continue;
        if (y->item[i]->kind != YAML_TEXT)
            return sunup__yaml_error(rd->ctx, y->item[i], "'%s' must be a number or a word",
                                     y->key[i]);
        s->key[s->n] = sunup__arena_strdup(a, y->key[i]);
        s->value[s->n] = sunup__arena_strdup(a, y->item[i]->text);
        CHECK(s->key[s->n] != NULL && s->value[s->n] != NULL, rd->ctx, E_MEMORY,
              "no memory for a source");
        s->n++;
    }
    list->source = s;
    return SUNUP_OK;
}

static sunup_status read_fields(struct reader *rd, const struct yaml *y, struct field_list *list)
{
    *list = (struct field_list){0};
    if (sunup__yaml_null(y)) return SUNUP_OK;
    if (y->kind == YAML_MAP) return read_source(rd, y, list);
    if (y->kind != YAML_LIST)
        return sunup__yaml_error(rd->ctx, y,
                                 "data are a list of fields, or a map with 'source: APP'");
    list->n = y->n;
    list->fields = sunup__arena_alloc(&rd->r->arena, (size_t)(y->n + 1) * sizeof *list->fields);
    CHECK(list->fields != NULL, rd->ctx, E_MEMORY, "no memory for %d fields", y->n);
    for (int i = 0; i < y->n; i++) TRY(read_field(rd, y->item[i], &list->fields[i]));
    return SUNUP_OK;
}

/* "model" alone is its name. */
static const struct key *run_key(const char *path)
{
    return find(N_RUN_KEYS, run_keys, strcmp(path, "model") == 0 ? "model.name" : path);
}

static sunup_status read_key(struct reader *rd, const char *path, const struct yaml *at,
                             const struct yaml *y)
{
    if (strcmp(path, "data.train") == 0) return read_fields(rd, y, &rd->r->train);
    if (strcmp(path, "data.eval") == 0) return read_fields(rd, y, &rd->r->eval);
    const struct key *k = run_key(path);
    return k != NULL ? read_value(rd, y, k, rd->r) : unknown(rd, at, path, N_RUN_KEYS, run_keys);
}

static sunup_status read_map(struct reader *rd, const char *prefix, const struct yaml *y)
{
    for (int i = 0; i < y->n; i++) {
        char path[128];
        const int n = snprintf(path, sizeof path, "%s%s", prefix, y->key[i]);
        if (n >= (int)sizeof path - 1)
            return sunup__yaml_error(rd->ctx, y->key_at[i], "a key of %d letters", n);
        if (y->item[i]->kind == YAML_MAP && prefix[0] == '\0') {
            path[n] = '.';
            path[n + 1] = '\0';
            TRY(read_map(rd, path, y->item[i]));
        } else {
            TRY(read_key(rd, path, y->key_at[i], y->item[i]));
        }
    }
    return SUNUP_OK;
}

/* --set optimizer.lr=0.1: the value is read as YAML, so lists work. */
static sunup_status override(struct reader *rd, const char *set)
{
    const char *equals = strchr(set, '=');
    CHECK(equals != NULL && equals > set, rd->ctx, E_ARGUMENT, "--set %s: must be KEY=VALUE", set);
    char path[128], name[160];
    (void)snprintf(path, sizeof path, "%.*s", (int)(equals - set), set);
    (void)snprintf(name, sizeof name, "--set %s", path);
    struct yaml *y;
    const char *value = equals[1] != '\0' ? equals + 1 : "''";
    TRY(sunup__yaml_parse(rd->ctx, value, strlen(value), name, &rd->r->arena, &y));
    /* A path given on the command line is relative to where the command stands. */
    const struct key *k = run_key(path);
    const struct key plain = k != NULL
                                 ? (struct key){k->name, k->kind == PATH ? TEXT : k->kind, k->at, k->count}
                                 : (struct key){0};
    return k != NULL ? read_value(rd, y, &plain, rd->r) : read_key(rd, path, y, y);
}

static sunup_status check(const struct reader *rd)
{
    const struct run_file *r = rd->r;
    CHECK(r->model != NULL, rd->ctx, E_FORMAT, "%s: names no model (model: net.yaml)", r->path);
    CHECK(r->train.n > 0 || r->train.source != NULL, rd->ctx, E_FORMAT,
          "%s: names no training data (data.train)", r->path);
    return SUNUP_OK;
}

static sunup_status set_numerics(const struct reader *rd)
{
    sunup_numerics numerics;
    TRY(sunup_numerics_find(rd->ctx, rd->r->numerics, &numerics));
    sunup_context_set_numerics(rd->ctx, numerics);
    return SUNUP_OK;
}

sunup_status run_file_load(struct command *c, const char *path, struct run_file *r)
{
    struct reader rd = {.ctx = c->ctx, .r = r};
    *r = (struct run_file){
        .path = path, .network.ctx = c->ctx, .o = sunup_train_defaults()};
    const sunup_comm_options comm = sunup_comm_defaults();
    r->timeout_s = comm.timeout_s;
    r->bucket_bytes = (double)comm.bucket_bytes;
    r->verify = comm.verify;
    void *text;
    size_t bytes;
    TRY(sunup__file_read(c->ctx, path, &text, &bytes));
    struct yaml *root;
    sunup_status status = sunup__yaml_parse(c->ctx, text, bytes, path, &r->arena, &root);
    if (status == SUNUP_OK && root->kind != YAML_MAP)
        status = sunup__yaml_error(c->ctx, root, "a run file is a map of keys");
    if (status == SUNUP_OK) status = read_map(&rd, "", root);
    for (int i = 0; i < c->n_set && status == SUNUP_OK; i++) status = override(&rd, c->set[i]);
    sunup__free(text);
    if (status == SUNUP_OK) status = check(&rd);
    if (status == SUNUP_OK && r->numerics != NULL) status = set_numerics(&rd);
    return status;
}

void run_file_end(struct run_file *r)
{
    sunup__arena_end(&r->arena);
}

/* ----------------------------------------------------------------- print --- */

static void print_reals(FILE *to, const double *x, int n)
{
    (void)fprintf(to, "[");
    for (int i = 0; i < n; i++) (void)fprintf(to, "%s%.15g", i > 0 ? ", " : "", x[i]);
    (void)fprintf(to, "]\n");
}

/* Nothing for a key that was not given and has no default. */
static void print_value(FILE *to, const char *indent, const struct key *k, const void *base)
{
    const void *at = (const char *)base + k->at;
    const sunup_field_options *f = base;
    const struct run_file *r = base;
    const bool list = k->kind == REALS || k->kind == WORDS;
    const int count = list ? *(const int *)((const char *)base + k->count) : 0;
    const char *text = k->kind <= PATH ? *(const char *const *)at : NULL;
    if (k->kind <= PATH && text == NULL) return;
    if ((k->kind == MEAN || k->kind == STD) && f->n_channels == 0) return;
    if (list && count == 0) return;
    if (k->kind == SHAPE && ((const sunup_shape *)at)->n == 0) return;
    if (at == (const void *)&r->network.classes && r->network.classes == 0) return;
    const char *dot = strrchr(k->name, '.');
    (void)fprintf(to, "%s%s: ", indent, dot != NULL ? dot + 1 : k->name);
    switch (k->kind) {
    case TEXT:
        (void)fprintf(to, "'%s'\n", text);
        break;
    case PATH: { /* absolute, so that the printed run works from anywhere */
        char *full = realpath(text, NULL);
        const char *name = run_file_named(text);
        (void)fprintf(to, "'%s'\n", name != NULL ? name : full != NULL ? full : text);
        free(full);
        break;
    }
    case REAL:
        (void)fprintf(to, "%.15g\n", *(const double *)at);
        break;
    case INTEGER:
        (void)fprintf(to, "%lld\n", (long long)*(const int64_t *)at);
        break;
    case INT:
        (void)fprintf(to, "%d\n", *(const int *)at);
        break;
    case SEED:
        (void)fprintf(to, "%llu\n", (unsigned long long)*(const uint64_t *)at);
        break;
    case BOOL:
        (void)fprintf(to, "%s\n", *(const bool *)at ? "true" : "false");
        break;
    case BETAS:
        print_reals(to, at, 2);
        break;
    case WORDS:
        for (int i = 0; i < count; i++)
            (void)fprintf(to, "%s'%s'", i > 0 ? ", " : "[", (*(const char *const *const *)at)[i]);
        (void)fprintf(to, "]\n");
        break;
    case REALS:
        print_reals(to, *(const double *const *)at, count);
        break;
    case MEAN:
        print_reals(to, f->mean, f->n_channels);
        break;
    case STD:
        print_reals(to, f->std, f->n_channels);
        break;
    case SHAPE: {
        const sunup_shape *s = at;
        for (int i = 0; i < s->n; i++)
            (void)fprintf(to, "%s%lld", i > 0 ? ", " : "[", (long long)s->d[i]);
        (void)fprintf(to, "]\n");
    }
    }
}

static void print_source(FILE *to, const char *name, const struct source *s)
{
    (void)fprintf(to, "  %s: {source: '%s'", name, s->name);
    for (int i = 0; i < s->n; i++) (void)fprintf(to, ", %s: '%s'", s->key[i], s->value[i]);
    (void)fprintf(to, "}\n");
}

static void print_fields(FILE *to, const char *name, const struct field_list *list)
{
    if (list->source != NULL) print_source(to, name, list->source);
    if (list->n == 0) return;
    (void)fprintf(to, "  %s:\n", name);
    for (int i = 0; i < list->n; i++)
        for (int k = 0; k < N_FIELD_KEYS; k++) /* the first key, name, is always there */
            print_value(to, k == 0 ? "    - " : "      ", &field_keys[k], &list->fields[i]);
}

void run_file_print(const struct run_file *r, FILE *to)
{
    char group[32] = "";
    for (int k = 0; k < N_RUN_KEYS; k++) {
        const char *name = run_keys[k].name, *dot = strrchr(name, '.');
        const int n = dot != NULL ? (int)(dot - name) : 0;
        if (n > 0 && ((int)strlen(group) != n || strncmp(group, name, (size_t)n) != 0)) {
            (void)snprintf(group, sizeof group, "%.*s", n, name);
            (void)fprintf(to, "%s:\n", group);
        }
        print_value(to, n > 0 ? "  " : "", &run_keys[k], r);
    }
    (void)fprintf(to, "data:\n");
    print_fields(to, "train", &r->train);
    print_fields(to, "eval", &r->eval);
}
