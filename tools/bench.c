/* bench.c - `sunup bench kernel PROBLEM|LIST...`, `... model RUN.yaml...`, `... profile RUN.yaml...`.
 *
 * A time alone is no verdict: every row shows its share of what bounds it on this machine, measured in
 * this process, and its ratio to other ways to do the same. docs/benchmarks.md tells how to read it.
 */
#include <string.h>

#include "bench.h"

static sunup_status rows(struct bench *b)
{
    static const struct {
        const char *name;
        sunup_status (*run)(struct bench *b, const char *operand);
    } parts[] = {{"kernel", NULL},
                 {"model", bench_model},
                 {"profile", bench_profile},
                 {"serve", bench_serve}};
    struct command *c = b->c;
    for (size_t p = 0; p < sizeof parts / sizeof *parts; p++) {
        if (strcmp(c->operand[0], parts[p].name) != 0) continue;
        CHECK(c->n_operands > 1, c->ctx, E_ARGUMENT, "sunup bench %s needs %s", c->operand[0],
              parts[p].run == NULL ? "a problem or a list of problems" : "a run file");
        if (parts[p].run == NULL) return bench_kernel(b);
        for (int i = 1; i < c->n_operands; i++) TRY(parts[p].run(b, c->operand[i]));
        return SUNUP_OK;
    }
    RAISE(c->ctx, E_ARGUMENT,
          "sunup bench times 'kernel PROBLEM|LIST...', 'model RUN.yaml...' or 'profile RUN.yaml...', "
          "not '%s'",
          c->operand[0]);
}

int verb_bench(struct command *c)
{
    struct bench b = {.c = c, .rows = json_array()};
    const sunup_status status = rows(&b);
    if (status == SUNUP_OK && c->json)
        print_json(json_pack("{s:s, s:f, s:f, s:O}", "isa", sunup_context_isa(c->ctx),
                             "peak_flops_per_s", b.top.flops_per_s, "copy_bytes_per_s",
                             b.top.copy_bytes_per_s, "rows", b.rows));
    json_decref(b.rows);
    return status == SUNUP_OK ? 0 : fail(c, status);
}
