/* check.c - `sunup check [PROBLEM...]`: leaves against the reference, ops against their own
 * algebra.
 *
 * "comm", under mpiexec, is check_comm.c. Without operands everything else is checked. "kernels"
 * and "ops" name the two halves. A problem that names a node ("conv:n2h9w9c8k16r3s3:same", any
 * size) compares every maker that can with the op's own way in f64. Anything else is a filter in
 * the problem language ("gemm", "gemm:m64n48k300", "softmax"): a leaf's name first, then an op's.
 */
#include <string.h>

#include "graph/ops_check.h"
#include "kernels/check.h"
#include "plan/problem.h"
#include "program.h"

struct tally {
    bool json;
    json_t *failures;
    int64_t results, failed;
    double worst;
};

static void each(void *arg, const struct check_result *r)
{
    struct tally *t = arg;
    if (r->worst > t->worst) t->worst = r->worst;
    if (r->failure == NULL) return;
    if (t->json)
        (void)json_array_append_new(t->failures, json_string(r->failure));
    else
        (void)printf("  FAILED %s\n", r->failure);
}

static void show(struct tally *t, const char *what, const struct check_report *r)
{
    t->results += r->results;
    t->failed += r->failures;
    if (!t->json)
        (void)printf("  %-24s %6lld checked, %lld failed, largest error %.2f of its bound\n", what,
                     (long long)r->results, (long long)r->failures, t->worst);
    t->worst = 0;
}

static bool is_leaf(const char *filter)
{
    const size_t n = strcspn(filter, ":");
    for (int i = 0; i < LEAVES; i++) {
        const char *leaf = sunup__leaf_check(i)->leaf;
        if (strlen(leaf) == n && strncmp(leaf, filter, n) == 0) return true;
    }
    return false;
}

/* A listed case of its op, whose text may read as a node's. */
static bool is_case(const char *text)
{
    for (int i = 0; sunup__op_at(i) != NULL; i++)
        for (int k = 0; k < sunup__op_at(i)->n_cases; k++)
            if (strcmp(sunup__op_at(i)->cases[k].problem, text) == 0) return true;
    return false;
}

static bool is_node(sunup_context *ctx, const char *text)
{
    sunup_graph *graph;
    const struct node *node;
    if (strchr(text, ':') == NULL || is_case(text)) return false;
    const bool node_of_text = sunup__problem_read(ctx, text, &graph, &node) == SUNUP_OK;
    sunup_graph_destroy(&graph);
    return node_of_text;
}

static void each_maker(void *arg, const struct check_result *r)
{
    const struct tally *t = arg;
    if (!t->json && r->failure == NULL)
        (void)printf("  %-28s largest error %.3f of its bound\n", r->leaf, r->worst);
    each(arg, r);
}

static sunup_status check(struct command *c, struct tally *t, const char *what)
{
    if (strcmp(what, "comm") == 0) return check_comm(c, &t->results, &t->failed);
    const char *filter = strcmp(what, "kernels") == 0 || strcmp(what, "ops") == 0 ? NULL : what;
    if (filter != NULL && is_node(c->ctx, filter)) {
        struct check_report r = {.each = each_maker, .arg = t};
        TRY(sunup__problem_check(c->ctx, filter, &r));
        show(t, what, &r);
        return SUNUP_OK;
    }
    const bool leaf = filter != NULL ? is_leaf(filter) : strcmp(what, "kernels") == 0;
    /* conv, softmax ... are names of leaves and of ops: the filter means both. */
    const bool op = !leaf || (filter != NULL && sunup__op_find(filter) != NULL);
    if (leaf) {
        struct check_report r = {.each = each, .arg = t};
        TRY(sunup__kernels_check(c->ctx, filter, &r));
        show(t, what, &r);
    }
    if (op) {
        struct check_report r = {.each = each, .arg = t};
        TRY(sunup__ops_check(c->ctx, filter, &r));
        show(t, what, &r);
    }
    return SUNUP_OK;
}

int verb_check(struct command *c)
{
    static const char *const all[] = {"kernels", "ops"};
    const int n = c->n_operands > 0 ? c->n_operands : 2;
    const char *const *what = c->n_operands > 0 ? c->operand : all;
    struct tally t = {.json = c->json, .failures = json_array()};
    sunup_status status = SUNUP_OK;
    for (int i = 0; i < n && status == SUNUP_OK; i++) status = check(c, &t, what[i]);
    const bool first = c->comm == NULL || sunup_comm_rank(c->comm) == 0;
    if (status == SUNUP_OK && c->json && first)
        print_json(json_pack("{s:I, s:I, s:O}", "checked", (json_int_t)t.results, "failed",
                             (json_int_t)t.failed, "failures", t.failures));
    json_decref(t.failures);
    if (status != SUNUP_OK) return fail(c, status);
    return t.failed > 0 ? EXIT_ERROR : 0;
}
