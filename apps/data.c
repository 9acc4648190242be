/* data.c - the sources of run files, the data folder, and random numbers for simulators.
 *
 * Files are found in the folders of SUNUP_DATA, else in data, ../data and ../shared/data, seen from where the program
 * stands and from the source tree; the first that has the file serves.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "base/system.h"
#include "base/words.h"
#include "data/data.h"
#include "inside.h"

/* ---- keys of a source ---- */

enum { MAX_ASKED = 64 };

struct app_data {
    sunup_context *ctx;
    const struct source *source;
    bool training;
    uint64_t seed;
    const char *asked[MAX_ASKED];
    int n_asked;
    sunup_status status; /* the first key with a bad value */
};

static const char *value_of(struct app_data *d, const char *key)
{
    bool known = false;
    for (int i = 0; i < d->n_asked; i++) known = known || strcmp(d->asked[i], key) == 0;
    if (!known && d->n_asked < MAX_ASKED) d->asked[d->n_asked++] = key;
    for (int i = 0; i < d->source->n; i++)
        if (strcmp(d->source->key[i], key) == 0) return d->source->value[i];
    return NULL;
}

double app_number(struct app_data *d, const char *key, double otherwise)
{
    const char *text = value_of(d, key);
    if (text == NULL) return otherwise;
    char *end;
    errno = 0;
    const double x = strtod(text, &end);
    if (errno == 0 && end != text && *end == '\0' && isfinite(x)) return x;
    if (d->status == SUNUP_OK)
        d->status = app_error(d->ctx, SUNUP_E_FORMAT, "%s: '%s' must be a number, not '%s'",
                              d->source->where, key, text);
    return otherwise;
}

const char *app_word(struct app_data *d, const char *key, const char *otherwise)
{
    const char *text = value_of(d, key);
    return text != NULL ? text : otherwise;
}

sunup_context *app_context(const struct app_data *d)
{
    return d->ctx;
}

bool app_training(const struct app_data *d)
{
    return d->training;
}

int64_t app_samples(const struct app_data *d)
{
    for (int i = 0; i < d->source->n; i++)
        if (strcmp(d->source->key[i], "samples") == 0) return atoll(d->source->value[i]);
    return 0;
}

uint64_t app_seed(const struct app_data *d)
{
    return d->seed;
}

/* samples and seed are every source's. */
static sunup_status check_samples(struct app_data *d)
{
    const double samples = app_number(d, "samples", 0), seed = app_number(d, "seed", 0);
    TRY(d->status);
    CHECK(samples >= 0 && samples <= 1e12 && samples == floor(samples), d->ctx, E_FORMAT,
          "%s: 'samples' is %g; it must be a whole number", d->source->where, samples);
    CHECK(seed >= 0 && seed <= 9e15 && seed == floor(seed), d->ctx, E_FORMAT,
          "%s: 'seed' is %g; it must be a whole number", d->source->where, seed);
    if (value_of(d, "seed") != NULL) d->seed = (uint64_t)seed;
    if (!d->training) d->seed = sunup__hash(&d->seed, sizeof d->seed, 1);
    return SUNUP_OK;
}

static sunup_status check_keys(const struct app_data *d)
{
    for (int i = 0; i < d->source->n; i++) {
        bool known = false;
        for (int k = 0; k < d->n_asked; k++)
            known = known || strcmp(d->asked[k], d->source->key[i]) == 0;
        char hint[HINT_TEXT];
        CHECK(known, d->ctx, E_FORMAT, "%s: the source '%s' has no key '%s'%s", d->source->where,
              d->source->name, d->source->key[i],
              sunup__hint(hint, d->source->key[i], d->n_asked, d->asked));
    }
    return d->status;
}

sunup_status app_open_source(sunup_context *ctx, const struct source *s, bool training, uint64_t seed,
                             sunup_data **data)
{
    *data = NULL;
    const struct app *a = app_find(s->name);
    if (a == NULL) return app_unknown(ctx, s->name);
    CHECK(a->open != NULL, ctx, E_ARGUMENT, "%s: the app '%s' makes no samples; its run names files",
          s->where, s->name);
    struct app_data d = {.ctx = ctx, .source = s, .training = training, .seed = seed};
    TRY(check_samples(&d));
    sunup_status status = a->open(&d, data);
    if (status == SUNUP_OK) status = check_keys(&d);
    if (status != SUNUP_OK) sunup_data_destroy(data);
    return status;
}

/* ---- files ---- */

static const char *const places[] = {"data", "../data", "../shared/data", NULL};

/* "folder[of n letters]/between/file" if it is there, else NULL. */
static char *try_file(const char *folder, int n, const char *between, const char *file)
{
    struct text t = {0};
    sunup__text(&t, "%.*s%s%s/%s", n, folder, between[0] != '\0' ? "/" : "", between, file);
    if (t.s != NULL && sunup__file_exists(t.s)) return t.s;
    sunup__free(t.s);
    return NULL;
}

static char *search(const char *file)
{
    char *found = NULL;
    const char *list = getenv("SUNUP_DATA");
    for (const char *at = list; at != NULL && *at != '\0' && found == NULL;) {
        const size_t n = strcspn(at, ":");
        if (n > 0) found = try_file(at, (int)n, "", file);
        at += n + (at[n] == ':');
    }
    const char *roots[] = {".", app_folder()};
    for (int r = 0; r < 2 && found == NULL; r++)
        for (int i = 0; places[i] != NULL && found == NULL; i++) {
            char between[64];
            (void)snprintf(between, sizeof between, "%s%s", r == 1 ? "../" : "", places[i]);
            found = try_file(roots[r], (int)strlen(roots[r]), between, file);
        }
    return found;
}

char *app_data_path(sunup_context *ctx, const char *file)
{
    char *found = search(file);
    if (found == NULL)
        (void)app_error(ctx, SUNUP_E_FILE,
                        "the data file %s was not found: it is looked for in the folders of "
                        "SUNUP_DATA, in ./data, ../data and ../shared/data; `sunup data` lists the "
                        "files of each app, and apps/NAME/README.md says where they come from",
                        file);
    return found;
}

sunup_status app_read(sunup_context *ctx, const char *file, const char *member, sunup_tensor *t)
{
    *t = (sunup_tensor){.name = member};
    char *path = app_data_path(ctx, file);
    if (path == NULL) return SUNUP_E_FILE;
    struct array a = {0};
    const sunup_status status = sunup__read_array(ctx, path, member, &a);
    sunup__free(path);
    TRY(status);
    t->dtype = a.dtype;
    t->shape = a.shape;
    t->data = a.data;
    return SUNUP_OK;
}

sunup_status app_read_f32(sunup_context *ctx, const char *file, const char *member, sunup_tensor *t)
{
    TRY(app_read(ctx, file, member, t));
    if (t->dtype == SUNUP_F32) return SUNUP_OK;
    struct array a = {t->dtype, t->shape, t->data};
    const int64_t n = sunup__elements(&t->shape);
    float *x = sunup__alloc_aligned((size_t)n * sizeof *x);
    for (int64_t i = 0; x != NULL && i < n; i++) x[i] = (float)sunup__array_number(&a, i);
    sunup__array_end(&a);
    t->data = x;
    t->dtype = SUNUP_F32;
    CHECK(x != NULL, ctx, E_MEMORY, "%s: no memory for %lld numbers", file, (long long)n);
    return SUNUP_OK;
}

int app_files_missing(const struct app *a, bool list)
{
    int missing = 0;
    for (const char *at = a->files; *at != '\0';) {
        const size_t n = strcspn(at, " ");
        char file[256];
        (void)snprintf(file, sizeof file, "%.*s", (int)n, at);
        char *found = file[0] == '/' ? sunup__strdup(file) : search(file);
        if (found != NULL && !sunup__file_exists(found)) {
            sunup__free(found);
            found = NULL;
        }
        missing += found == NULL;
        if (list) (void)printf("    %-64s %s\n", file, found != NULL ? "found" : "missing");
        sunup__free(found);
        at += n + (at[n] == ' ');
    }
    return missing;
}
