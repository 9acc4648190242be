/* history.c - runs and their rows in memory, every string once.
 *
 * Strings are kept in an open-addressed table at most half full; the hash is FNV-1a, 64 bits (Fowler, Noll, Vo 1991).
 * Arrays of runs, rows and facts double.
 */
#include <stdlib.h>
#include <string.h>

#include "track/record.h"

/* ------------------------------------------------------------------------- strings --- */

struct track_words {
    const char **slot;
    size_t room, n; /* room: a power of two */
};

uint64_t sunup__track_hash(const char *s, size_t bytes)
{
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < bytes; i++) h = (h ^ (unsigned char)s[i]) * 1099511628211u;
    return h;
}

static const char **find_slot(const char **slots, size_t room, const char *s)
{
    size_t at = sunup__track_hash(s, strlen(s)) & (room - 1);
    while (slots[at] != NULL && strcmp(slots[at], s) != 0) at = (at + 1) & (room - 1);
    return &slots[at];
}

static bool grow_words(struct track_words *w)
{
    const size_t room = w->room > 0 ? 2 * w->room : 1024;
    const char **slots = sunup__alloc(room * sizeof *slots);
    if (slots == NULL) return false;
    for (size_t i = 0; i < w->room; i++)
        if (w->slot[i] != NULL) *find_slot(slots, room, w->slot[i]) = w->slot[i];
    sunup__free(w->slot);
    w->slot = slots;
    w->room = room;
    return true;
}

const char *sunup__track_intern(struct track_history *h, const char *s)
{
    if (h->words == NULL) h->words = sunup__alloc(sizeof *h->words);
    struct track_words *w = h->words;
    if (w == NULL || s == NULL || (2 * w->n >= w->room && !grow_words(w))) return NULL;
    const char **slot = find_slot(w->slot, w->room, s);
    if (*slot != NULL) return *slot;
    *slot = sunup__arena_strdup(&h->arena, s);
    w->n += *slot != NULL;
    return *slot;
}

/* -------------------------------------------------------------------- runs and rows --- */

/* Room for one more of n: full at 0 and at powers of two. */
static void *one_more(void *p, int n, size_t bytes)
{
    if (n > 0 && (n & (n - 1)) != 0) return p;
    return sunup__realloc(p, (n > 0 ? 2 * (size_t)n : 1) * bytes);
}

struct track_run *sunup__track_add_run(struct track_history *h, const char *id, int64_t at)
{
    struct track_run *runs = one_more(h->runs, h->n_runs, sizeof *runs);
    if (runs == NULL) return NULL;
    h->runs = runs;
    const char *own = sunup__track_intern(h, id);
    if (own == NULL) return NULL;
    struct track_run *r = &h->runs[h->n_runs++];
    *r = (struct track_run){.id = own, .path = "", .at = at};
    return r;
}

struct track_row sunup__track_row(enum track_kind kind, const char *suite, const char *name,
                                  const char *engine, const char *quantity)
{
    return (struct track_row){.suite = suite,
                              .name = name,
                              .engine = engine,
                              .quantity = quantity,
                              .unit = "",
                              .source = "sunup",
                              .kind = kind,
                              .word = "",
                              .ranks = 1,
                              .tries = 1,
                              .rank = -1,
                              .step = -1,
                              .layer = "",
                              .collective = "",
                              .message = "",
                              .baseline = ""};
}

struct track_row *sunup__track_add_row(struct track_history *h, struct track_run *run,
                                       enum track_kind kind)
{
    (void)h; /* it owns the run */
    struct track_row *rows = one_more(run->rows, run->n_rows, sizeof *rows);
    if (rows == NULL) return NULL;
    run->rows = rows;
    rows[run->n_rows] = sunup__track_row(kind, "", "", "", "");
    return &rows[run->n_rows++];
}

sunup_status sunup__track_add_fact(sunup_context *ctx, struct track_history *h, struct track_run *run,
                                   const char *key, const char *value)
{
    struct track_fact *facts = one_more(run->facts, run->n_facts, sizeof *facts);
    CHECK(facts != NULL, ctx, E_MEMORY, "no memory for the facts of run %s", run->id);
    run->facts = facts;
    const struct track_fact f = {sunup__track_intern(h, key), sunup__track_intern(h, value)};
    CHECK(f.key != NULL && f.value != NULL, ctx, E_MEMORY, "no memory for the facts of run %s", run->id);
    facts[run->n_facts++] = f;
    return SUNUP_OK;
}

const char *sunup__track_fact(const struct track_run *run, const char *key)
{
    for (int i = 0; i < run->n_facts; i++)
        if (strcmp(run->facts[i].key, key) == 0) return run->facts[i].value;
    return "";
}

static int earlier(const void *a, const void *b)
{
    const struct track_run *x = a, *y = b;
    if (x->at != y->at) return x->at < y->at ? -1 : 1;
    return strcmp(x->id, y->id);
}

void sunup__track_sort(struct track_history *h)
{
    if (h->n_runs > 1) qsort(h->runs, (size_t)h->n_runs, sizeof *h->runs, earlier);
}

void sunup__track_end(struct track_history *h)
{
    for (int i = 0; i < h->n_runs; i++) {
        sunup__free(h->runs[i].facts);
        sunup__free(h->runs[i].rows);
    }
    sunup__free(h->runs);
    if (h->words != NULL) sunup__free(h->words->slot);
    sunup__free(h->words);
    sunup__arena_end(&h->arena);
    *h = (struct track_history){0};
}

const char *sunup__track_outcome_name(enum track_outcome o)
{
    static const char *const names[TRACK_OUTCOMES] = {"ok",       "flaky",    "crash", "hang",     "nan",
                                                      "diverged", "mismatch", "oom",   "walltime", "infrastructure"};
    return (unsigned)o < TRACK_OUTCOMES ? names[o] : "unknown";
}
