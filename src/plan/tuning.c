/* tuning.c - the file of measured choices: the fastest maker for each problem on this machine.
 *
 *   sunup tuning 1 0.1.0
 *   machine AMD EPYC 9354P; isa avx512; threads 2; device cpu; numerics exact
 *   conv:n16h56w56c64k64r3s3:f32 conv_brgemm
 *   exchange:f32:97MiB:ranks8:nodes8 nearest:bucket16MiB      what comm chooses: comm/choices.c
 *   end 1a2b3c4d
 *
 * The last line is the CRC-32 of all before it. A file of another version or machine does not apply
 * and is left out with a note; a damaged one with a warning: a run without it is only slower. Read
 * once a context, at the first question, from options.tuning; written whole and at once.
 * Invariant: no two choices of a context are for one problem.
 */
#include <stdio.h>
#include <string.h>

#include "base/system.h"
#include "plan/stages.h"

struct choice {
    const char *problem, *maker;
};

struct tuning {
    struct arena arena;
    struct choice *choices;
    int n, room;
};

static void end_tuning(void *p)
{
    struct tuning *t = p;
    sunup__arena_end(&t->arena);
    sunup__free(t->choices);
    sunup__free(t);
}

static struct choice *find(const struct tuning *t, const char *problem)
{
    for (int i = 0; i < t->n; i++)
        if (strcmp(t->choices[i].problem, problem) == 0) return &t->choices[i];
    return NULL;
}

static bool set(struct tuning *t, const char *problem, const char *maker)
{
    struct choice *known = find(t, problem);
    const char *kept = sunup__arena_strdup(&t->arena, maker);
    if (kept == NULL) return false;
    if (known != NULL) {
        known->maker = kept;
        return true;
    }
    if (t->n == t->room) {
        const int room = t->room > 0 ? 2 * t->room : 32;
        struct choice *more = sunup__realloc(t->choices, (size_t)room * sizeof *more);
        if (more == NULL) return false;
        t->choices = more;
        t->room = room;
    }
    problem = sunup__arena_strdup(&t->arena, problem);
    if (problem == NULL) return false;
    t->choices[t->n++] = (struct choice){problem, kept};
    return true;
}

/* The two lines that say for what a file holds. */
static void header(sunup_context *ctx, char *room, size_t bytes)
{
    char cpu[128];
    sunup__cpu_name(cpu, sizeof cpu);
    snprintf(room, bytes, "sunup tuning 1 %s\nmachine %s; isa %s; threads %d; device %s; numerics %s\n",
             sunup_version(), cpu, sunup_context_isa(ctx), ctx->threads,
             ctx->options.device != NULL ? ctx->options.device : "cpu",
             sunup_numerics_name(ctx->options.numerics));
}

/* Cuts the text's end line off; false: there is none or its sum is not that of the text. */
static bool whole(char *text)
{
    char *end = strstr(text, "\nend ");
    unsigned sum;
    char more;
    if (end == NULL || sscanf(end + 5, "%8x %c", &sum, &more) != 1) return false;
    const uint32_t found = sunup__crc32(text, (size_t)(end + 1 - text), 0);
    end[1] = '\0';
    return found == sum;
}

/* Lines "problem maker"; what stands there is trusted, for the sum is right. */
static bool parse(struct tuning *t, char *line)
{
    while (*line != '\0') {
        char *end = strchr(line, '\n'), *blank = strchr(line, ' ');
        if (end == NULL || blank == NULL || blank > end) return false;
        *end = *blank = '\0';
        if (!set(t, line, blank + 1)) return false;
        line = end + 1;
    }
    return true;
}

static void read_text(sunup_context *ctx, struct tuning *t, char *text, const char *path)
{
    char mine[512];
    header(ctx, mine, sizeof mine);
    if (!whole(text)) {
        sunup__log(ctx, SUNUP_LOG_WARN, "tuning file '%s' is damaged and not used; tune again",
                   path);
        return;
    }
    if (strncmp(text, mine, strlen(mine)) != 0) {
        sunup__log(ctx, SUNUP_LOG_INFO,
                   "tuning file '%s' is for another version, machine or setting and not used",
                   path);
        return;
    }
    if (!parse(t, text + strlen(mine))) {
        sunup__log(ctx, SUNUP_LOG_WARN, "tuning file '%s' is damaged and not used; tune again",
                   path);
        t->n = 0;
    }
}

static void load(sunup_context *ctx, struct tuning *t, const char *path)
{
    void *data = NULL;
    size_t bytes = 0;
    if (!sunup__file_exists(path)) return; /* it will be written */
    char *text = NULL;
    if (sunup__file_read(ctx, path, &data, &bytes) == SUNUP_OK) text = sunup__alloc(bytes + 1);
    if (text != NULL) {
        memcpy(text, data, bytes);
        read_text(ctx, t, text, path);
    } else {
        sunup__log(ctx, SUNUP_LOG_WARN, "tuning file '%s' cannot be read and is not used", path);
    }
    sunup__free(text);
    sunup__free(data);
}

static struct tuning *tuning(sunup_context *ctx)
{
    struct kept *kept = &ctx->kept[KEPT_TUNING];
    if (kept->p == NULL) {
        struct tuning *t = sunup__alloc(sizeof *t);
        if (t == NULL) return NULL;
        *kept = (struct kept){t, end_tuning};
        if (ctx->options.tuning != NULL) load(ctx, t, ctx->options.tuning);
    }
    return kept->p;
}

const char *sunup__tuned(sunup_context *ctx, const struct node *n)
{
    const struct tuning *t = tuning(ctx);
    if (t == NULL || t->n == 0) return NULL;
    char problem[PROBLEM_TEXT];
    sunup__problem_text(n, problem, sizeof problem);
    const struct choice *c = find(t, problem);
    return c != NULL ? c->maker : NULL;
}

bool sunup__tuning_at(sunup_context *ctx, int i, const char **problem, const char **maker)
{
    const struct tuning *t = tuning(ctx);
    if (t == NULL || i >= t->n) return false;
    *problem = t->choices[i].problem;
    *maker = t->choices[i].maker;
    return true;
}

sunup_status sunup__tuning_set(sunup_context *ctx, const char *problem, const char *maker)
{
    struct tuning *t = tuning(ctx);
    CHECK(t != NULL && set(t, problem, maker), ctx, E_MEMORY, "no memory for a tuning choice");
    return SUNUP_OK;
}

sunup_status sunup__tuning_save(sunup_context *ctx, const char *path)
{
    const struct tuning *t = tuning(ctx);
    CHECK(t != NULL, ctx, E_MEMORY, "no memory to write the tuning file '%s'", path);
    char mine[512];
    header(ctx, mine, sizeof mine);
    struct text text = {0};
    sunup__text(&text, "%s", mine);
    for (int i = 0; i < t->n; i++)
        sunup__text(&text, "%s %s\n", t->choices[i].problem, t->choices[i].maker);
    if (text.s != NULL) sunup__text(&text, "end %08x\n", sunup__crc32(text.s, text.n, 0));
    CHECK(text.s != NULL, ctx, E_MEMORY, "no memory to write the tuning file '%s'", path);
    const sunup_status status = sunup__file_write(ctx, path, text.s, text.n);
    sunup__free(text.s);
    return status;
}
