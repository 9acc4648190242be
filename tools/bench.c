/* bench.c - `sunup bench kernel PROBLEM|LIST...`, `model RUN.yaml...`, `profile RUN.yaml...`,
 * `comm SIZE|PROBLEM|LIST...`.
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
        const char *needs;
        sunup_status (*run)(struct bench *b, const char *operand);
        sunup_status (*run_all)(struct bench *b);
    } parts[] = {{"kernel", "a problem or a list of problems", NULL, bench_kernel},
                 {"comm", "sizes, problems or lists, such as 64K or broadcast:u8:4MiB", NULL, bench_comm},
                 {"model", "a run file", bench_model, NULL},
                 {"profile", "a run file", bench_profile, NULL},
                 {"serve", "a run file, or 'kernel PROBLEM' or 'comm PROBLEM'", NULL, bench_serve}};
    struct command *c = b->c;
    for (size_t p = 0; p < sizeof parts / sizeof *parts; p++) {
        if (strcmp(c->operand[0], parts[p].name) != 0) continue;
        CHECK(c->n_operands > 1, c->ctx, E_ARGUMENT, "sunup bench %s needs %s", c->operand[0],
              parts[p].needs);
        if (parts[p].run_all != NULL) return parts[p].run_all(b);
        for (int i = 1; i < c->n_operands; i++) TRY(parts[p].run(b, c->operand[i]));
        return SUNUP_OK;
    }
    RAISE(c->ctx, E_ARGUMENT,
          "sunup bench times 'kernel PROBLEM|LIST...', 'model RUN.yaml...', 'profile RUN.yaml...' or "
          "'comm SIZE|PROBLEM|LIST...', not '%s'",
          c->operand[0]);
}

int verb_bench(struct command *c)
{
    struct bench b = {.c = c, .rows = json_array()};
    const sunup_status status = rows(&b);
    const bool first = c->comm == NULL || sunup_comm_rank(c->comm) == 0;
    if (status == SUNUP_OK && c->json && first)
        print_json(json_pack("{s:s, s:f, s:f, s:O}", "isa", sunup_context_isa(c->ctx),
                             "peak_flops_per_s", b.top.flops_per_s, "copy_bytes_per_s",
                             b.top.copy_bytes_per_s, "rows", b.rows));
    json_decref(b.rows);
    return status == SUNUP_OK ? 0 : fail(c, status);
}
