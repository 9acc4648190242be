/* check.c - runs the checks of leaves: problem strings, seeds, levels, and the report.
 *
 * Owes: every f32 pointer that a level of isa.def changes is compared with the f64 reference,
 * weakest level first, so that a failure names the first level that is wrong. Leaves: values and
 * comparison to check_operand.c, pages and signals to check_guard.c, timing to check_bench.c.
 */
#include "kernels/check_state.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/system.h"

static const struct leaf_check *const checks[] = {
#define LEAF(name, ...) &sunup__check_##name,
#include "kernels/leaves.def"
#undef LEAF
};

const struct leaf_check *sunup__leaf_check(int leaf)
{
    return leaf >= 0 && leaf < LEAVES ? checks[leaf] : NULL;
}

/* ---- problem strings ---- */

static bool is_key(char ch)
{
    return isalpha((unsigned char)ch) || ch == '_';
}

static const char *token(const char *s, struct check_token *t)
{
    int n = 0;
    for (; is_key(*s) && n < CHECK_KEY - 1; s++) t->key[n++] = *s;
    t->key[n] = '\0';
    t->number = 1;
    if (n > 0 && (isdigit((unsigned char)*s) || (*s == '-' && isdigit((unsigned char)s[1])))) {
        char *end;
        t->number = strtoll(s, &end, 10);
        s = end;
    }
    return n > 0 ? s : NULL;
}

sunup_status sunup__check_parse(sunup_context *ctx, struct check *c)
{
    struct check_state *state = c->state;
    const char *s = c->problem;
    for (state->n_tokens = 0; *s;) {
        if (*s == ':' || *s == ',') {
            s++;
            continue;
        }
        CHECK(state->n_tokens < CHECK_TOKENS, ctx, E_ARGUMENT, "problem '%s' has more than %d keys",
              c->problem, CHECK_TOKENS);
        const char *next = token(s, &state->tokens[state->n_tokens++]);
        CHECK(next, ctx, E_ARGUMENT,
              "problem '%s' cannot be read from '%s' on; write letters and numbers, m64n48k300",
              c->problem, s);
        s = next;
    }
    return SUNUP_OK;
}

int64_t sunup__check_number(struct check *c, const char *key, int64_t otherwise)
{
    for (int i = 0; i < c->state->n_tokens; i++) {
        struct check_token *t = &c->state->tokens[i];
        if (strcmp(t->key, key) != 0) continue;
        t->used = true;
        return t->number;
    }
    return otherwise;
}

void sunup__check_keys(struct check *c)
{
    for (int i = 0; i < c->state->n_tokens; i++) {
        const struct check_token *t = &c->state->tokens[i];
        if (!t->used)
            sunup__check_fail(c, "the key '%s' of the problem means nothing to this leaf", t->key);
    }
}

bool sunup__check_wanted(struct check *c)
{
    return !c->state->bench && !c->state->failure.s;
}

void sunup__check_cost(struct check *c, double flops, double bytes)
{
    c->state->flops = flops;
    c->state->bytes = bytes;
}

/* ---- one problem ---- */

static sunup_status run_seed(sunup_context *ctx, const struct leaf_check *leaf, struct check *c)
{
    *c->state = (struct check_state){0};
    TRY(sunup__check_parse(ctx, c));
    const char *signal = sunup__check_guarded(leaf->run, c);
    if (signal)
        sunup__check_fail(
            c, "ended with %s: it reads or writes outside its operands, or cannot run here",
            signal);
    if (!signal) sunup__check_keys(c);
    sunup__check_end(c);
    return SUNUP_OK;
}

sunup_status sunup__check_problem(sunup_context *ctx, const struct leaf_check *leaf,
                                  const char *problem, const struct kernels *kernels,
                                  struct check_report *report)
{
    struct check_state state;
    const int seeds = report->seeds > 0 ? report->seeds : 2 * MOODS;
    struct check_result r = {
        .leaf = leaf->leaf, .problem = problem, .isa = kernels->isa, .seed = report->first_seed};
    struct text failure = {0};
    for (int i = 0; i < seeds && !failure.s; i++) {
        struct check c = {&kernels->f32, &kernels->f64, problem, report->first_seed + (uint64_t)i,
                          &state};
        TRY(run_seed(ctx, leaf, &c));
        r.runs++;
        if (state.worst > r.worst) r.worst = state.worst;
        if (!state.failure.s) continue;
        r.seed = c.seed;
        sunup__text(&failure, "%s:%s on %s, seed %llu: %s", leaf->leaf, problem, kernels->isa,
                    (unsigned long long)c.seed, state.failure.s);
        sunup__free(state.failure.s);
    }
    r.failure = failure.s;
    report->results++;
    report->failures += failure.s != NULL;
    if (report->each) report->each(report->arg, &r);
    sunup__free(failure.s);
    return SUNUP_OK;
}

/* ---- all of them ---- */

/* A table of leaves is pointers to functions and nothing else,
 * so entry i can be compared by its bytes. */
static bool changed(const struct kernels *now, const struct kernels *before, int leaf)
{
    _Static_assert(sizeof now->f32 == LEAVES * sizeof(void (*)(void)),
                   "struct leaves holds pointers only");
    const size_t at = (size_t)leaf * sizeof(void (*)(void));
    return memcmp((const char *)&now->f32 + at, (const char *)&before->f32 + at,
                  sizeof(void (*)(void))) != 0;
}

static bool matches(const char *filter, const char *leaf)
{
    if (!filter) return true;
    const size_t n = strcspn(filter, ":");
    return strlen(leaf) == n && strncmp(filter, leaf, n) == 0;
}

static sunup_status check_level(sunup_context *ctx, const char *filter,
                                const struct kernels *kernels, const struct kernels *before,
                                struct check_report *report)
{
    const char *one = filter ? strchr(filter, ':') : NULL;
    for (int i = 0; i < LEAVES; i++) {
        if (!matches(filter, checks[i]->leaf) || (before && !changed(kernels, before, i))) continue;
        if (one) {
            TRY(sunup__check_problem(ctx, checks[i], one + 1, kernels, report));
            continue;
        }
        for (const char *const *p = checks[i]->problems; *p; p++) {
            TRY(sunup__check_problem(ctx, checks[i], *p, kernels, report));
        }
    }
    return SUNUP_OK;
}

static bool leaf_exists(const char *filter)
{
    for (int i = 0; i < LEAVES; i++) {
        if (matches(filter, checks[i]->leaf)) return true;
    }
    return false;
}

sunup_status sunup__kernels_check(sunup_context *ctx, const char *filter,
                                  struct check_report *report)
{
    report->results = report->failures = 0;
    CHECK(leaf_exists(filter), ctx, E_ARGUMENT,
          "no leaf is named as in '%s'; leaves are listed in leaves.def", filter);
    const unsigned flags = sunup__cpu_flags();
    struct kernels kernels[2]; /* of this level and of the one before */
    bool any = false;
    for (int i = 0; sunup__isa_name(i); i++) {
        struct kernels *now = &kernels[i % 2];
        if (!sunup__kernels_init(now, flags, sunup__isa_name(i))) break;
        if (report->isa && strcmp(report->isa, now->isa) != 0) continue;
        any = true;
        TRY(check_level(ctx, filter, now, i > 0 ? &kernels[(i + 1) % 2] : NULL, report));
    }
    CHECK(any, ctx, E_ARGUMENT, "this processor has no instruction set '%s'", report->isa);
    return SUNUP_OK;
}
