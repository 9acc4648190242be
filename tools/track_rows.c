/* track_rows.c - what a case printed, as rows of its run, and whether it is right.
 *
 * Times of a kernel are those of each way: of ours the chosen one is `time`, another one `time of
 * MAKER`; oneDNN's and PyTorch's are engines of their own. Their canary is what bounds them, timed
 * in the same rounds; that of a collective is the copy; of a training, the fixed kernel before and
 * after. Steps of a training follow each other in one process and are thousands: STEP_VALUES
 * medians of as many stretches are kept. What a program does not print is not there.
 */
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "inside.h"
#include "track/stats.h"
#include "track_run.h"

enum { STEP_VALUES = 128, LEAST_SEEDS = 5, LEAST_SAMPLES = 3 };

/* ---- rows ---- */

static const char *keep(const struct measure *m, const char *s)
{
    const char *own = sunup__track_intern(m->h, s != NULL ? s : "");
    return own != NULL ? own : "";
}

/* NULL: no memory; what is added to nothing is nothing. */
static struct track_row *add(struct measure *m, enum track_kind kind, const char *name,
                             const char *engine, const char *quantity)
{
    struct track_row *row = sunup__track_add_row(m->h, m->run, kind);
    if (row == NULL) return NULL;
    row->suite = keep(m, m->one->suite);
    row->name = keep(m, name);
    row->engine = keep(m, engine);
    row->quantity = keep(m, quantity);
    row->ranks = m->one->ranks;
    return row;
}

static double *numbers(struct measure *m, const json_t *array, int *n)
{
    const size_t found = json_array_size(array);
    double *x = sunup__arena_alloc(&m->h->arena, (found + 1) * sizeof *x);
    *n = 0;
    for (size_t i = 0; i < found && x != NULL; i++)
        if (json_is_number(json_array_get(array, i)))
            x[(*n)++] = json_number_value(json_array_get(array, i));
    return x;
}

/* A row of samples; NULL if there are none. */
static struct track_row *add_samples(struct measure *m, const char *name, const char *engine,
                                     const char *quantity, const json_t *array)
{
    int n;
    double *x = numbers(m, array, &n);
    struct track_row *row = n > 0 ? add(m, TRACK_SAMPLES, name, engine, quantity) : NULL;
    if (row == NULL) return NULL;
    row->values = x;
    row->n = n;
    row->unit = "s";
    return row;
}

static struct track_row *add_sample(struct measure *m, const char *quantity, const char *unit,
                                    enum track_better better, double value)
{
    double *x = sunup__arena_alloc(&m->h->arena, sizeof *x);
    struct track_row *row = x != NULL && isfinite(value)
                                ? add(m, TRACK_SAMPLES, m->one->name, "sunup", quantity)
                                : NULL;
    if (row == NULL) return NULL;
    *x = value;
    row->values = x;
    row->n = 1;
    row->unit = unit;
    row->better = better;
    return row;
}

static void add_count(struct measure *m, const char *name, const char *quantity, double count)
{
    struct track_row *row = add(m, TRACK_COUNT, name, "sunup", quantity);
    if (row != NULL) row->count = count;
}

static void add_word(struct measure *m, const char *name, const char *quantity, const char *word)
{
    const bool said = word != NULL && word[0] != '\0';
    struct track_row *row = said ? add(m, TRACK_WORD, name, "sunup", quantity) : NULL;
    if (row != NULL) row->word = keep(m, word);
}

/* The fixed kernel around the case. */
static void add_canary(struct measure *m, struct track_row *row)
{
    if (row == NULL) return;
    row->canary = sunup__arena_alloc(&m->h->arena, sizeof m->canary);
    if (row->canary == NULL) return;
    memcpy(row->canary, m->canary, sizeof m->canary);
    row->n_canary = m->n_canary;
}

static double number(const json_t *j, const char *key)
{
    const json_t *x = json_object_get(j, key);
    return json_is_number(x) ? json_number_value(x) : NAN;
}

static const char *word(const json_t *j, const char *key)
{
    return json_string_value(json_object_get(j, key));
}

/* ---- kernels ---- */

/* A case of an op with its gradients has two or three rows, another one of several is named by what
 * it computes. */
static void name_part(const struct measure *m, const json_t *row, size_t n, size_t i, char *name)
{
    static const char *const three[] = {"fwd", "dx", "dw"}, *const two[] = {"fwd", "grad"};
    const char *given = word(row, "name"), *problem = word(row, "problem");
    const bool grads = m->one->n_words > 0 && strstr(m->one->words[0], "+grads:") != NULL;
    const char *part = given != NULL && given[0] != '\0' ? given
                       : grads && n == 3                 ? three[i]
                       : grads && n == 2                 ? two[i]
                                                         : problem;
    (void)snprintf(name, LONG_TEXT, "%s%s%s", m->one->name, n > 1 ? " " : "",
                   n > 1 && part != NULL ? part : "");
}

static const char *maker_family(const char *way)
{
    if (strcmp(way, "PyTorch") == 0) return "PyTorch";
    return strstr(way, "onednn") != NULL || strstr(way, "oneDNN") != NULL ? "oneDNN" : "sunup";
}

static void add_way(struct measure *m, const json_t *row, const char *name, const char *way,
                    const json_t *times)
{
    const char *engine = maker_family(way), *chosen = word(row, "chosen");
    const bool other = strcmp(engine, "sunup") == 0 && (chosen == NULL || strcmp(way, chosen) != 0);
    char quantity[LONG_TEXT];
    (void)snprintf(quantity, sizeof quantity, "time%s%s", other ? " of " : "", other ? way : "");
    const json_t *samples = json_object_get(times, "samples_s");
    if (other && json_array_size(samples) < LEAST_SAMPLES)
        return; /* too slow to be timed in each round */
    struct track_row *r = add_samples(m, name, engine, quantity, samples);
    if (r == NULL) return;
    r->flops = fmax(0, number(row, "flops"));
    r->bytes = fmax(0, number(row, "bytes"));
    r->bound_s = fmax(0, number(row, "bound_s"));
    if (other) r->better = TRACK_NEITHER;
    int n;
    double *canary = numbers(m, json_object_get(row, "canary_s"), &n);
    r->canary = canary;
    r->n_canary = n;
    if (n == 0) add_canary(m, r);
}

static void kernel_row(struct measure *m, const json_t *row, const char *name)
{
    const char *way;
    json_t *times, *ways = json_object_get(row, "ways");
    json_object_foreach(ways, way, times) add_way(m, row, name, way, times);
    add_word(m, name, "maker", word(row, "chosen"));
    add_count(m, name, "flops", fmax(0, number(row, "flops")));
    add_count(m, name, "bytes", fmax(0, number(row, "bytes")));
}

/* ---- collectives ---- */

static const char *comm_engine(const char *way)
{
    if (strncmp(way, "MPI", 3) == 0) return "MPI";
    return strcmp(way, "shared") == 0 ? "sunup"
                                      : way; /* sums have two ways of ours: shared, messages */
}

static void add_collective(struct measure *m, const json_t *row, const char *name, const char *way)
{
    static const char *const quantities[][2] = {{"time", "total_samples_s"},
                                                {"call", "call_samples_s"}};
    const json_t *ways = json_object_get(row, "ways"), *times = json_object_get(ways, way),
                 *copy = json_object_get(ways, "copy");
    for (int q = 0; q < 2; q++) {
        struct track_row *r = add_samples(m, name, comm_engine(way), quantities[q][0],
                                          json_object_get(times, quantities[q][1]));
        if (r == NULL) continue;
        r->bytes = fmax(0, number(row, "bytes"));
        r->canary = numbers(m, json_object_get(copy, quantities[q][1]), &r->n_canary);
    }
    if (strcmp(comm_engine(way), "sunup") == 0)
        add_word(m, name, "algorithm", word(times, "algorithm"));
}

static void comm_row(struct measure *m, const json_t *row, const char *name)
{
    const char *way;
    json_t *times, *ways = json_object_get(row, "ways");
    json_object_foreach(ways, way, times)
        if (strcmp(way, "copy") != 0) add_collective(m, row, name, way);
}

/* Of a bench: what each of its rows is worth, under the row's own name. */
static void each_row(struct measure *m, const json_t *answer,
                     void (*add_row)(struct measure *m, const json_t *row, const char *name))
{
    const json_t *rows = json_object_get(answer, "rows");
    const size_t n = json_array_size(rows);
    for (size_t i = 0; i < n; i++) {
        char name[LONG_TEXT];
        name_part(m, json_array_get(rows, i), n, i, name);
        add_row(m, json_array_get(rows, i), name);
    }
}

/* ---- trainings and apps ---- */

/* Medians of stretches of the same length, in order. */
static void shorten(struct track_row *row)
{
    const int stretch = (row->n + STEP_VALUES - 1) / STEP_VALUES;
    if (stretch <= 1) return;
    int n = 0;
    for (int i = 0; i < row->n; i += stretch)
        row->values[n++] =
            sunup__median(row->values + i, row->n - i < stretch ? row->n - i : stretch);
    row->n = n;
}

static void step_rows(struct measure *m, const json_t *answer)
{
    struct track_row *row =
        add_samples(m, m->one->name, "sunup", "time", json_object_get(answer, "step_s"));
    if (row != NULL) {
        shorten(row);
        add_canary(m, row);
        row->flops = fmax(0, number(json_object_get(answer, "counters"), "flops"));
    }
    add_canary(m, add_sample(m, "first step", "s", TRACK_LESS, number(answer, "first_step_s")));
    add_canary(m, add_sample(m, "seconds", "s", TRACK_LESS, number(answer, "seconds")));
}

/* Idle threads spin and ranks poll: only one thread on one rank counts the same instructions each
 * time. */
static void counter_rows(struct measure *m, const json_t *answer)
{
    const char *key;
    json_t *value, *counters = json_object_get(answer, "counters");
    json_object_foreach(counters, key, value)
    {
        if (!json_is_number(value)) continue;
        if (strcmp(key, "instructions") == 0)
            (void)add_sample(m, key, "", TRACK_LESS, json_number_value(value));
        else
            add_count(m, m->one->name, key, json_number_value(value));
    }
}

static void maker_row(struct measure *m, const json_t *answer)
{
    const char *maker;
    json_t *n, *makers = json_object_get(answer, "makers");
    struct text t = {0};
    json_object_foreach(makers, maker, n)
        sunup__text(&t, "%s%s %lld", t.n > 0 ? ", " : "", maker, (long long)json_integer_value(n));
    add_word(m, m->one->name, "makers", t.s);
    sunup__free(t.s);
}

static void train_rows(struct measure *m, const json_t *answer)
{
    step_rows(m, answer);
    (void)add_sample(m, "loss", "", TRACK_LESS, number(answer, "loss"));
    (void)add_sample(m, "accuracy", "", TRACK_MORE, number(answer, "accuracy"));
    (void)add_sample(m, "peak memory", "B", TRACK_LESS, number(answer, "peak_bytes"));
    add_canary(m, add_sample(m, "rate", "samples/s", TRACK_MORE, number(answer, "samples_per_s")));
    counter_rows(m, answer);
    add_word(m, m->one->name, "weights", word(answer, "hash"));
    add_word(m, m->one->name, "kernels", word(answer, "kernels"));
    maker_row(m, answer);
}

static void score_rows(struct measure *m, const json_t *answer)
{
    size_t i;
    json_t *score;
    json_array_foreach(json_object_get(answer, "scores"), i, score)
    {
        const char *what = word(score, "score"), *is = word(score, "goal_is");
        const bool most = is != NULL && strcmp(is, "at_most") == 0;
        const double goal = number(score, "goal");
        if (what == NULL) continue;
        (void)add_sample(m, what, "",
                         is == NULL ? TRACK_NEITHER
                         : most     ? TRACK_LESS
                                    : TRACK_MORE,
                         number(score, "value"));
        if (is == NULL || !isfinite(goal)) continue;
        char quantity[LONG_TEXT], text[64];
        (void)snprintf(quantity, sizeof quantity, "goal of %s", what);
        (void)snprintf(text, sizeof text, "at %s %g", most ? "most" : "least", goal);
        add_word(m, m->one->name, quantity, text);
    }
}

sunup_status track_rows(struct measure *m, const json_t *answer)
{
    const int before = m->run->n_rows;
    switch (m->one->kind) {
    case CASE_KERNEL:
        each_row(m, answer, kernel_row);
        break;
    case CASE_COMM:
        each_row(m, answer, comm_row);
        break;
    case CASE_APP:
        score_rows(m, answer);
        train_rows(m, answer);
        break;
    case CASE_EXEC:
        TRY(track_exec_rows(m));
        break;
    case CASE_TRAIN:
    case CASE_KINDS:
        train_rows(m, answer);
        break;
    }
    if (m->run->n_rows == before)
        track_blame(m, TRACK_CRASH, "it ended well, but printed no figures");
    return SUNUP_OK;
}

/* ---- right or wrong ---- */

void track_blame(struct measure *m, enum track_outcome outcome, const char *format, ...)
{
    char text[LONG_TEXT];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    m->outcome.outcome = outcome;
    m->outcome.message = keep(m, text);
}

/* The other case has been measured: it stands above in the suite. If it failed there is nothing to
 * compare. */
static void check_weights(struct measure *m, const json_t *answer)
{
    const char *mine = word(answer, "hash");
    for (int i = 0; i < m->run->n_rows && mine != NULL; i++) {
        const struct track_row *r = &m->run->rows[i];
        if (r->kind != TRACK_WORD || strcmp(r->quantity, "weights") != 0 ||
            strcmp(r->suite, m->one->suite) != 0 || strcmp(r->name, m->one->same_as) != 0)
            continue;
        if (strcmp(r->word, mine) != 0)
            track_blame(m, TRACK_MISMATCH, "weights %s with %d rank(s), but %s has %s with %d",
                        mine, m->one->ranks, r->name, r->word, r->ranks);
    }
}

static bool outside(const struct band *b, double x)
{
    const double slack = 1e-6 * fmax(fabs(b->low), fabs(b->high)); /* files have 9 digits */
    return b->n >= LEAST_SEEDS && !(x >= b->low - slack && x <= b->high + slack);
}

static sunup_status check_loss(struct measure *m, const json_t *answer)
{
    struct text path = {0};
    struct band b = {0};
    sunup__text(&path, "%s/%s.csv", m->bands, m->one->name);
    CHECK(path.s != NULL, m->c->ctx, E_MEMORY, "no memory for the name of a band");
    const sunup_status status = track_band_read(m->c, path.s, NULL, &b);
    if (status == SUNUP_OK && b.n < LEAST_SEEDS)
        sunup__log(m->c->ctx, SUNUP_LOG_WARN,
                   "%s has %d seed(s), too few for a band; sunup track band %s", path.s, b.n,
                   m->one->name);
    const double loss = number(answer, "loss");
    if (status == SUNUP_OK && outside(&b, loss))
        track_blame(m, TRACK_DIVERGED, "loss %g; of %d seeds it is within %g .. %g (99.9 %%)", loss,
                    b.n, b.low, b.high);
    sunup__free(path.s);
    return status;
}

static sunup_status check_score(struct measure *m, const char *app, const json_t *score)
{
    const char *what = word(score, "score");
    const double value = number(score, "value"), goal = number(score, "goal");
    const json_t *good = json_object_get(score, "good");
    if (json_is_false(good)) {
        track_blame(m, TRACK_DIVERGED, "%s is %g, its goal %g", what != NULL ? what : "a score",
                    value, goal);
        return SUNUP_OK;
    }
    if (what == NULL || !isfinite(goal)) return SUNUP_OK;
    struct text path = {0};
    struct band b = {0};
    sunup__text(&path, "%s/%s/expected.csv", app_folder(), app);
    CHECK(path.s != NULL, m->c->ctx, E_MEMORY, "no memory for the name of a band");
    const sunup_status status = track_band_read(m->c, path.s, what, &b);
    sunup__free(path.s);
    if (status == SUNUP_OK && outside(&b, value))
        track_blame(m, TRACK_DIVERGED, "%s is %g; of %d seeds it is within %g .. %g (99.9 %%)",
                    what, value, b.n, b.low, b.high);
    return status;
}

sunup_status track_check(struct measure *m, const json_t *answer)
{
    size_t i;
    json_t *score;
    if (m->one->same_as != NULL) check_weights(m, answer);
    if (m->one->seeds > 0) TRY(check_loss(m, answer));
    const char *variant = word(answer, "variant");
    if (m->one->kind != CASE_APP || variant == NULL || strcmp(variant, "run") != 0) return SUNUP_OK;
    json_array_foreach(json_object_get(answer, "scores"), i, score)
        TRY(check_score(m, m->one->words[0], score));
    return SUNUP_OK;
}
