/* record_fuzz.c - any bytes as a record: refused with a sentence, or judged and reported to the end. */
#include "track/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static sunup_context *context(void)
{
    static sunup_context *ctx;
    if (ctx == NULL && sunup_context_create(NULL, &ctx) != SUNUP_OK) __builtin_trap();
    return ctx;
}

static void report(struct track_history *h)
{
    static void (*const makers[])(struct text *t, const struct track_report *r) = {
        sunup__track_html, sunup__track_junit, sunup__track_openmetrics, sunup__track_badge};
    const struct track_judge_options o = sunup__track_judge_defaults();
    struct track_verdict v;
    if (sunup__track_judge(context(), h, &o, &v) != SUNUP_OK) __builtin_trap();
    const struct track_report r = {h, &v, "fuzz"};
    for (size_t i = 0; i < sizeof makers / sizeof makers[0]; i++) {
        struct text t = {0};
        makers[i](&t, &r);
        if (t.s == NULL) __builtin_trap();
        sunup__free(t.s);
    }
    sunup__track_verdict_end(&v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct track_history h = {0};
    const sunup_status status = sunup__track_parse(context(), "fuzz", (const char *)data, size, &h);
    if (h.n_runs != (status == SUNUP_OK)) __builtin_trap();
    if (status != SUNUP_OK && sunup_error(context())[0] == '\0') __builtin_trap();
    if (status == SUNUP_OK) report(&h);
    sunup__track_end(&h);
    return 0;
}
