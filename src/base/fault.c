/* fault.c - see fault.h. */
#include "base/fault.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/system.h"
#include "base/words.h"

static const char *const kinds[FAULT_KINDS] = {"slow", "crash", "hang", "nan", "flip", "wire", "oom"};

static const char usage[] = "slow:OP:PERCENT, or crash, hang, nan, flip, wire, oom with :STEP or "
                            ":STEP:RANK, such as slow:conv:5,crash:10:1";

/* ---- reading ---- */

/* A number from 0 to most that ends at ':' or at the end; NULL: there is none. */
static const char *read_number(const char *text, int64_t most, int64_t *x)
{
    char *end;
    errno = 0;
    const long long n = strtoll(text, &end, 10);
    const bool good = end > text && errno == 0 && text[0] >= '0' && text[0] <= '9' && n <= most;
    *x = n;
    return good && (*end == ':' || *end == '\0') ? end : NULL;
}

/* ":OP:PERCENT" */
static bool read_slow(const char *text, struct fault *f)
{
    const size_t n = text[0] == ':' ? strcspn(text + 1, ":") : 0;
    if (n == 0 || n >= sizeof f->op || text[1 + n] != ':') return false;
    memcpy(f->op, text + 1, n);
    char *end;
    f->percent = strtod(text + n + 2, &end);
    return end > text + n + 2 && *end == '\0' && f->percent > 0 && f->percent <= 1e6;
}

/* ":STEP" or ":STEP:RANK" */
static bool read_place(const char *text, struct fault *f)
{
    int64_t rank = 0;
    const char *end = text[0] == ':' ? read_number(text + 1, INT64_MAX, &f->step) : NULL;
    if (end != NULL && *end == ':') end = read_number(end + 1, INT_MAX, &rank);
    f->rank = (int)rank;
    return end != NULL && *end == '\0';
}

static sunup_status read_fault(sunup_context *ctx, const char *text, struct fault *f)
{
    char word[16], hint[HINT_TEXT];
    const size_t n = strcspn(text, ":");
    int kind = 0;
    while (kind < FAULT_KINDS && (strlen(kinds[kind]) != n || strncmp(kinds[kind], text, n) != 0))
        kind++;
    (void)snprintf(word, sizeof word, "%.*s", (int)(n < 15 ? n : 15), text);
    CHECK(kind < FAULT_KINDS, ctx, E_ARGUMENT, "SUNUP_FAULT: there is no fault '%s'%s; allowed are %s",
          word, sunup__hint(hint, word, FAULT_KINDS, kinds), usage);
    f->kind = (enum fault_kind)kind;
    const bool good = kind == FAULT_SLOW ? read_slow(text + n, f) : read_place(text + n, f);
    CHECK(good, ctx, E_ARGUMENT, "SUNUP_FAULT: '%s' is not understood; allowed are %s", text, usage);
    return SUNUP_OK;
}

static sunup_status read_list(sunup_context *ctx, char *copy)
{
    for (char *at = copy, *next; at != NULL; at = next) {
        next = strchr(at, ',');
        if (next != NULL) *next++ = '\0';
        CHECK(ctx->faults->n < FAULTS_MOST, ctx, E_ARGUMENT, "SUNUP_FAULT: more than %d faults",
              FAULTS_MOST);
        TRY(read_fault(ctx, at, &ctx->faults->list[ctx->faults->n++]));
    }
    return SUNUP_OK;
}

sunup_status sunup__faults_plant(sunup_context *ctx, const char *text)
{
    sunup__faults_end(ctx);
    if (text == NULL || text[0] == '\0') return SUNUP_OK;
    char *copy = sunup__strdup(text);
    ctx->faults = copy != NULL ? sunup__alloc(sizeof *ctx->faults) : NULL;
    sunup_status status = SUNUP_E_MEMORY;
    if (ctx->faults != NULL) status = read_list(ctx, copy);
    sunup__free(copy);
    if (status != SUNUP_OK) sunup__faults_end(ctx);
    return status;
}

void sunup__faults_end(sunup_context *ctx)
{
    sunup__free(ctx->faults);
    ctx->faults = NULL;
}

/* ---- what is due ---- */

static bool is_due(const struct fault *f, enum fault_kind kind, int64_t step, int rank)
{
    if (f->kind != kind || f->rank != rank) return false;
    return kind == FAULT_FLIP ? step >= f->step && !f->done : step == f->step;
}

bool sunup__fault_due(const sunup_context *ctx, enum fault_kind kind, int64_t step, int rank)
{
    for (int i = 0; ctx->faults != NULL && i < ctx->faults->n; i++)
        if (is_due(&ctx->faults->list[i], kind, step, rank)) return true;
    return false;
}

void sunup__fault_done(sunup_context *ctx, enum fault_kind kind)
{
    for (int i = 0; ctx->faults != NULL && i < ctx->faults->n; i++)
        if (ctx->faults->list[i].kind == kind) ctx->faults->list[i].done = true;
}

/* The allocator itself is told to fail, so that what follows is what follows a real failure. */
static sunup_status fail_memory(sunup_context *ctx, int64_t step)
{
    enum { BYTES = 1 << 20 };
    sunup__fail_allocation(0);
    void *p = sunup__alloc(BYTES);
    sunup__fail_allocation(-1);
    CHECK(p != NULL, ctx, E_MEMORY, "step %lld: no memory for %d bytes (planted by SUNUP_FAULT)",
          (long long)step, BYTES);
    sunup__free(p);
    return SUNUP_OK;
}

sunup_status sunup__fault_strike(sunup_context *ctx, int64_t step, int rank)
{
    ctx->faults->poisoned = sunup__fault_due(ctx, FAULT_NAN, step, rank);
    if (sunup__fault_due(ctx, FAULT_CRASH, step, rank)) {
        (void)signal(SIGSEGV, SIG_DFL); /* whoever catches it: the process is to end by it */
        (void)raise(SIGSEGV);
    }
    while (sunup__fault_due(ctx, FAULT_HANG, step, rank)) (void)sleep(1);
    return sunup__fault_due(ctx, FAULT_OOM, step, rank) ? fail_memory(ctx, step) : SUNUP_OK;
}

static double percent_of(const struct faults *faults, const char *op)
{
    double percent = 0;
    for (int i = 0; i < faults->n; i++) {
        const struct fault *f = &faults->list[i];
        if (f->kind != FAULT_SLOW) continue;
        if (strcmp(f->op, "*") == 0 || strcmp(f->op, op) == 0) percent += f->percent;
    }
    return percent;
}

void sunup__fault_slow(const sunup_context *ctx, const char *op, double from_s)
{
    const double percent = percent_of(ctx->faults, op);
    if (percent == 0) return;
    const double now_s = sunup__now_s(), until_s = now_s + 0.01 * percent * (now_s - from_s);
    while (sunup__now_s() < until_s) {
    }
}
