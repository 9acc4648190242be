/* import_fuzz.c - any bytes as other people's results: a run that may be read to its end, or a
 * sentence.
 *
 * Up to a NUL: "format", or "=" and a map of columns, or nothing; then the text.
 */
#include <math.h>
#include <string.h>

#include "track/import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static sunup_context *context(void)
{
    static sunup_context *ctx;
    if (ctx == NULL && sunup_context_create(NULL, &ctx) != SUNUP_OK) __builtin_trap();
    return ctx;
}

static size_t read_row(const struct track_row *r)
{
    size_t sum = strlen(r->suite) + strlen(r->name) + strlen(r->engine) + strlen(r->quantity) +
                 strlen(r->unit) + strlen(r->source) + strlen(r->word) + strlen(r->message);
    for (int i = 0; i < r->n; i++)
        if (!isfinite(r->values[i])) __builtin_trap();
    if (r->kind == TRACK_SAMPLES && r->n == 0) __builtin_trap();
    if (r->ranks < 0 || !(r->bytes >= 0) || !(r->flops >= 0) || (unsigned)r->outcome >= TRACK_OUTCOMES)
        __builtin_trap();
    return sum;
}

static void check(sunup_status status, const struct track_history *h)
{
    size_t sum = 0;
    if (h->n_runs != (status == SUNUP_OK)) __builtin_trap();
    if (status != SUNUP_OK && sunup_error(context())[0] == '\0') __builtin_trap();
    if (status != SUNUP_OK) return;
    if (h->runs[0].at <= 0 || h->runs[0].n_rows == 0) __builtin_trap();
    for (int i = 0; i < h->runs[0].n_rows; i++) sum += read_row(&h->runs[0].rows[i]);
    for (int i = 0; i < h->runs[0].n_facts; i++) sum += strlen(h->runs[0].facts[i].value);
    if (sum == SIZE_MAX) __builtin_trap(); /* so that the reads stay */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct track_history h = {0};
    struct track_import o = {0};
    const char *head = (const char *)data, *nul = size > 0 ? memchr(data, '\0', size) : NULL;
    if (nul == NULL) return 0;
    if (head[0] == '=')
        o.columns = head + 1;
    else if (head[0] != '\0')
        o.format = head;
    const int64_t at = size % 2; /* now and then the file's own time */
    check(sunup__track_import(context(), "fuzz", nul + 1, size - (size_t)(nul + 1 - head), &o, at, &h), &h);
    sunup__track_end(&h);
    return 0;
}
