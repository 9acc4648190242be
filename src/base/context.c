/* context.c - status texts, the context, its last error and its log. */
#include "base/context.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/memory.h"
#include "base/system.h"
#include "base/trace.h"

const char *sunup_status_name(sunup_status status)
{
    switch (status) {
#define NAME_CASE(name, value, text)                                                               \
    case SUNUP_##name:                                                                             \
        return #name;
        SUNUP_STATUSES(NAME_CASE)
#undef NAME_CASE
    }
    return "E_UNKNOWN";
}

const char *sunup_status_text(sunup_status status)
{
    switch (status) {
#define TEXT_CASE(name, value, text)                                                               \
    case SUNUP_##name:                                                                             \
        return text;
        SUNUP_STATUSES(TEXT_CASE)
#undef TEXT_CASE
    }
    return "not a status of this library";
}

#define TEXT_OF(x)            #x
#define VERSION_TEXT(a, b, c) TEXT_OF(a) "." TEXT_OF(b) "." TEXT_OF(c)

const char *sunup_version(void)
{
    return VERSION_TEXT(SUNUP_VERSION_MAJOR, SUNUP_VERSION_MINOR, SUNUP_VERSION_PATCH);
}

void sunup_free(void *p)
{
    sunup__free(p);
}

sunup_context_options sunup_context_defaults(void)
{
    return (sunup_context_options){
        .size = sizeof(sunup_context_options), .device = "cpu", .log_level = SUNUP_LOG_INFO};
}

static const char *const numerics_names[] = {"fast", "exact", "bf16"};
enum { N_NUMERICS = sizeof numerics_names / sizeof *numerics_names };

const char *sunup_numerics_name(sunup_numerics numerics)
{
    return numerics >= 0 && (int)numerics < N_NUMERICS ? numerics_names[numerics] : "unknown";
}

sunup_status sunup_numerics_find(sunup_context *ctx, const char *text, sunup_numerics *numerics)
{
    for (int i = 0; text != NULL && i < N_NUMERICS; i++) {
        if (strcmp(numerics_names[i], text) != 0) continue;
        *numerics = (sunup_numerics)i;
        return SUNUP_OK;
    }
    RAISE(ctx, E_ARGUMENT, "numerics '%s' is not known; there are fast, exact and bf16",
          text != NULL ? text : "");
}

/* The environment overrides the caller: the same binary must be testable at other settings. */
static const char *setting(const char *variable, const char *otherwise)
{
    const char *s = getenv(variable);
    return s != NULL && s[0] != '\0' ? s : otherwise;
}

/* Nobody should wonder later why a run was slow or died. */
static sunup_status plant_faults(sunup_context *ctx)
{
    const char *faults = setting("SUNUP_FAULT", NULL);
    if (faults != NULL) sunup__log(ctx, SUNUP_LOG_WARN, "SUNUP_FAULT plants %s", faults);
    return sunup__faults_plant(ctx, faults);
}

static sunup_status read_settings(sunup_context *ctx)
{
    sunup_context_options *o = &ctx->options;
    const char *threads = setting("SUNUP_THREADS", NULL);
    if (threads != NULL) {
        char *end;
        const long n = strtol(threads, &end, 10);
        CHECK(*end == '\0' && n >= 1 && n <= 4096, ctx, E_ARGUMENT,
              "SUNUP_THREADS is '%s'; it must be a number from 1 to 4096", threads);
        o->threads = (int)n;
    }
    CHECK(o->threads >= 0, ctx, E_ARGUMENT, "threads is %d; it must be 0 (all cores) or more",
          o->threads);
    ctx->threads = o->threads > 0 ? o->threads : sunup__cpu_count();
    const char *numerics = setting("SUNUP_NUMERICS", NULL);
    if (numerics != NULL) TRY(sunup_numerics_find(ctx, numerics, &o->numerics));
    CHECK(o->numerics >= 0 && (int)o->numerics < N_NUMERICS, ctx, E_ARGUMENT,
          "numerics is %d; it must be a value of sunup_numerics", (int)o->numerics);
    TRY(plant_faults(ctx));
    o->device = sunup__strdup(setting("SUNUP_DEVICE", o->device != NULL ? o->device : "cpu"));
    o->isa = sunup__strdup(setting("SUNUP_ISA", o->isa));
    o->tuning = sunup__strdup(setting("SUNUP_TUNING", o->tuning));
    CHECK(o->device != NULL, ctx, E_MEMORY, "no memory for a context");
    return SUNUP_OK;
}

sunup_status sunup_context_create(const sunup_context_options *options, sunup_context **out)
{
    *out = NULL;
    sunup_context *ctx = sunup__alloc(sizeof *ctx);
    if (ctx == NULL) return SUNUP_E_MEMORY;
    ctx->options = options != NULL ? *options : sunup_context_defaults();
    /* The strings belong to the caller until read_settings has copied them. */
    const sunup_context_options theirs = ctx->options;
    ctx->options.device = ctx->options.isa = ctx->options.tuning = NULL;
    ctx->error = sunup__strdup("");
    *out = ctx;
    if (ctx->error == NULL) {
        sunup_context_destroy(out);
        return SUNUP_E_MEMORY;
    }
    ctx->options.device = theirs.device;
    ctx->options.isa = theirs.isa;
    ctx->options.tuning = theirs.tuning;
    const sunup_status status = read_settings(ctx);
    if (status != SUNUP_OK) ctx->options.device = ctx->options.isa = ctx->options.tuning = NULL;
    return status; /* kept, so that sunup_error can tell */
}

void sunup_context_destroy(sunup_context **ctx)
{
    if (ctx == NULL || *ctx == NULL) return;
    sunup_context *c = *ctx;
    for (int i = KEPT_SLOTS - 1; i >= 0; i--)
        if (c->kept[i].p != NULL) c->kept[i].end(c->kept[i].p);
    sunup__trace_end(c);
    sunup__faults_end(c);
    sunup__free((void *)(uintptr_t)c->options.device);
    sunup__free((void *)(uintptr_t)c->options.isa);
    sunup__free((void *)(uintptr_t)c->options.tuning);
    sunup__free(c->error);
    sunup__free(c);
    *ctx = NULL;
}

const char *sunup_error(const sunup_context *ctx)
{
    return ctx != NULL && ctx->error != NULL ? ctx->error : "";
}

int sunup_context_threads(const sunup_context *ctx)
{
    return ctx->threads;
}

sunup_numerics sunup_context_numerics(const sunup_context *ctx)
{
    return ctx->options.numerics;
}

void sunup_context_set_numerics(sunup_context *ctx, sunup_numerics numerics)
{
    if (setting("SUNUP_NUMERICS", NULL) == NULL) ctx->options.numerics = numerics;
}

static const struct blame nobody = {.rank = -1, .step = -1};

sunup_status sunup__raise(sunup_context *ctx, sunup_status status, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    const int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *message = n >= 0 ? sunup__alloc((size_t)n + 1) : NULL;
    if (message != NULL) {
        (void)vsnprintf(message, (size_t)n + 1, format, again);
        sunup__free(ctx->error);
        ctx->error = message;
    } else if (ctx->error != NULL) {
        ctx->error[0] = '\0'; /* no memory for the sentence: the status speaks alone */
    }
    va_end(again);
    ctx->blame = nobody;
    return status;
}

void sunup__blame(sunup_context *ctx, int rank, const char *layer, const char *collective)
{
    struct blame *b = &ctx->blame;
    b->rank = rank;
    (void)snprintf(b->layer, sizeof b->layer, "%s", layer != NULL ? layer : "");
    (void)snprintf(b->collective, sizeof b->collective, "%s", collective != NULL ? collective : "");
}

void sunup__log(sunup_context *ctx, sunup_log_level level, const char *format, ...)
{
    if (ctx->options.log == NULL || level > ctx->options.log_level) return;
    char line[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line, sizeof line, format, args);
    va_end(args);
    ctx->options.log(ctx->options.log_arg, level, line);
}
