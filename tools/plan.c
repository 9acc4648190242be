/* plan.c - `sunup plan RUN.yaml`: the steps of a run and what a rank of N will take: memory, bytes sent, and, for nodes
 * that a file describes (--node, see bench/nodes), the time of a step with and without overlap.
 *
 * The time is a model's: each kernel takes the longer of its flops and its bytes at the node's ceilings, times the
 * share of them that training reaches; then the optimizer; the exchange as comm/predict.c says. With overlap a bucket
 * leaves when the last shard's backward pass has written its gradients, and the link is busy with one at a time.
 */
#include <math.h>
#include <string.h>

#include "base/system.h"
#include "base/yaml.h"
#include "graph/ops/parts.h"
#include "program.h"
#include "train/trainer.h"

struct node_file {
    char name[128];
    struct machine machine;
    double flops_per_s, memory_bytes, share;
};

struct prediction {
    int shards_most;
    double flops, memory_bytes;
    struct machine machine;
    struct exchange_cost exchange;
    bool timed; /* the node is known */
    double compute_s, update_s, step_s, apart_s; /* apart: without overlap */
};

/* --- the node --- */

enum { NODE_KEYS = 7, NETWORK_KEYS = 5 };

static sunup_status read_real(sunup_context *ctx, const struct yaml *map, const char *key, double *x)
{
    const struct yaml *y = sunup__yaml_get(map, key);
    if (y == NULL) return sunup__yaml_error(ctx, map, "'%s' is missing", key);
    TRY(sunup__yaml_real(ctx, y, key, x));
    if (!(*x > 0 && isfinite(*x))) return sunup__yaml_error(ctx, y, "'%s' must be above 0", key);
    return SUNUP_OK;
}

static sunup_status read_count(sunup_context *ctx, const struct yaml *map, const char *key, int *n)
{
    double x;
    TRY(read_real(ctx, map, key, &x));
    if (x != floor(x) || x > 1e6)
        return sunup__yaml_error(ctx, map, "'%s' must be a whole number up to a million", key);
    *n = (int)x;
    return SUNUP_OK;
}

static sunup_status read_node(sunup_context *ctx, const struct yaml *root, struct node_file *f)
{
    static const char *const keys[NODE_KEYS] = {"name",         "ranks", "flops_per_s", "bytes_per_s",
                                                "memory_bytes", "share", "network"};
    static const char *const network_keys[NETWORK_KEYS] = {"bytes_per_s", "far_bytes_per_s",
                                                           "latency_s", "message_s", "neighbours"};
    struct machine *m = &f->machine;
    TRY(sunup__yaml_known(ctx, root, "a node", NODE_KEYS, keys));
    const struct yaml *net = sunup__yaml_get(root, "network"), *name = sunup__yaml_get(root, "name");
    if (net == NULL) return sunup__yaml_error(ctx, root, "'network' is missing");
    TRY(sunup__yaml_known(ctx, net, "a network", NETWORK_KEYS, network_keys));
    (void)snprintf(f->name, sizeof f->name, "%s", name != NULL && name->text ? name->text : "a node");
    TRY(read_count(ctx, root, "ranks", &m->node_ranks));
    TRY(read_real(ctx, root, "flops_per_s", &f->flops_per_s));
    TRY(read_real(ctx, root, "bytes_per_s", &m->bytes_per_s));
    TRY(read_real(ctx, root, "memory_bytes", &f->memory_bytes));
    TRY(read_real(ctx, root, "share", &f->share));
    TRY(read_real(ctx, net, "bytes_per_s", &m->net.bytes_per_s));
    TRY(read_real(ctx, net, "far_bytes_per_s", &m->net.far_bytes_per_s));
    TRY(read_real(ctx, net, "latency_s", &m->net.latency_s));
    TRY(read_real(ctx, net, "message_s", &m->net.message_s));
    return read_count(ctx, net, "neighbours", &m->net.neighbours);
}

static sunup_status load_node(struct command *c, struct node_file *f)
{
    void *text;
    size_t bytes;
    struct yaml *root;
    struct arena a = {0};
    TRY(sunup__file_read(c->ctx, c->node, &text, &bytes));
    sunup_status status = sunup__yaml_parse(c->ctx, text, bytes, c->node, &a, &root);
    if (status == SUNUP_OK) status = read_node(c->ctx, root, f);
    sunup__free(text);
    sunup__arena_end(&a);
    return status;
}

/* --- time --- */

/* Seconds until step i of a shard's pass has ended, for all i. */
static void follow_steps(const sunup_trainer *t, const struct node_file *f, double *done_s)
{
    const sunup_plan *plan = t->pass->plan;
    double s = 0;
    for (int i = 0; i < plan->n_steps; i++) {
        const struct cost cost = sunup__node_cost(plan->steps[i].node);
        s += fmax(cost.flops / f->flops_per_s, cost.bytes / f->machine.bytes_per_s) / f->share;
        done_s[i] = s;
    }
}

/* When the gradients of the first n elements are complete. */
static double complete_s(const sunup_trainer *t, const double *done_s, double n)
{
    double last_s = 0;
    for (int i = 0; i < t->model->n_trained; i++) {
        const int step = sunup__plan_writer(t->pass->plan, t->pass->gradients[i]);
        if (step >= 0 && (double)sunup__model_trained(t->model, i)->at < n) last_s = fmax(last_s, done_s[step]);
    }
    return last_s;
}

/* Weights, gradients and moments of the own slice: read, and written but for the gradients. */
static double update_s(const sunup_trainer *t, const struct node_file *f, int ranks)
{
    const double slice = (double)t->model->n_flat_parameters / ranks,
                 moments = sunup__optimizer_moments(t->optimizer);
    const double bytes = slice * (double)sunup_dtype_bytes(t->model->dtype) * (3 + 2 * moments);
    return bytes / f->machine.bytes_per_s / f->share;
}

static sunup_status predict_time(sunup_trainer *t, const struct node_file *f, struct prediction *p)
{
    const int steps = t->pass->plan->n_steps;
    double *done_s = sunup__alloc((size_t)(steps + 1) * sizeof *done_s);
    CHECK(done_s != NULL, t->ctx, E_MEMORY, "no memory for the times of %d steps", steps);
    follow_steps(t, f, done_s);
    const struct exchange_cost *x = &p->exchange;
    const double pass_s = steps > 0 ? done_s[steps - 1] : 0, before_s = (p->shards_most - 1) * pass_s;
    double sent_s = 0;
    for (int b = 0; b < x->buckets; b++) {
        const double n = (double)t->model->n_flat_parameters * (b + 1) / x->buckets;
        sent_s = fmax(sent_s, before_s + complete_s(t, done_s, n)) + x->bucket_s;
    }
    p->timed = true;
    p->compute_s = p->shards_most * pass_s;
    p->update_s = update_s(t, f, p->machine.ranks);
    const double after_s = x->latency_s + p->update_s + x->share_s;
    p->step_s = fmax(sent_s, p->compute_s) + after_s;
    p->apart_s = p->compute_s + x->buckets * x->bucket_s + after_s;
    sunup__free(done_s);
    return SUNUP_OK;
}

/* --- the prediction --- */

static struct exchange_options exchange_of(const sunup_trainer *t)
{
    return (struct exchange_options){.shards = sunup__train_terms(t),
                                     .n = t->terms.n,
                                     .head = t->model->n_flat_parameters,
                                     .data_n = t->model->n_flat,
                                     .f64 = t->model->dtype == SUNUP_F64,
                                     .bf16 = sunup__train_rounds_sums(t)};
}

static sunup_status predict(struct command *c, sunup_trainer *t, struct prediction *p)
{
    struct node_file f = {.machine = {.node_ranks = 1, .bytes_per_s = INFINITY, .net = sunup__network_defaults()}};
    if (c->node != NULL) TRY(load_node(c, &f));
    f.machine.ranks = c->ranks > 0 ? (int)c->ranks : sunup_comm_ranks(c->comm);
    CHECK(t->o.parts == 1 || f.machine.ranks <= t->o.shards ||
              f.machine.ranks == sunup_comm_ranks(c->comm),
          c->ctx, E_UNSUPPORTED,
          "what a rank holds of %d parts is planned on the ranks themselves: mpiexec -n %d sunup plan",
          t->o.parts, f.machine.ranks);
    const struct exchange_options o = exchange_of(t);
    const sunup_plan_info info = sunup_plan_describe(t->pass->plan);
    p->machine = f.machine;
    p->shards_most = (t->o.shards + f.machine.ranks - 1) / f.machine.ranks;
    p->flops = info.flops * p->shards_most;
    TRY(sunup__exchange_predict(c->ctx, &o, &f.machine, &p->exchange));
    p->memory_bytes = (double)sunup__trainer_bytes(t, f.machine.ranks);
    if (c->node == NULL) return SUNUP_OK;
    CHECK(p->memory_bytes <= f.memory_bytes, c->ctx, E_MEMORY,
          "a rank needs %.1f MB, and has %.1f MB on %s; more ranks, more shards or a smaller batch "
          "need less",
          1e-6 * p->memory_bytes, 1e-6 * f.memory_bytes, f.name);
    return predict_time(t, &f, p);
}

static void show_time(const struct prediction *p)
{
    const struct exchange_cost *x = &p->exchange;
    (void)printf("  a step    predicted %.3f ms with overlap, %.3f ms without: %.1f %% and %.1f %% of "
                 "the time computes\n"
                 "            compute %.3f, exchange %.3f there and %.3f back, update %.3f ms; %d "
                 "buckets%s%s\n",
                 1e3 * p->step_s, 1e3 * p->apart_s, 100 * p->compute_s / p->step_s,
                 100 * p->compute_s / p->apart_s, 1e3 * p->compute_s,
                 1e3 * (x->buckets * x->bucket_s + x->latency_s), 1e3 * x->share_s,
                 1e3 * p->update_s, x->buckets, x->route[0] != '\0' ? ", route " : "", x->route);
}

static void show(const sunup_trainer *t, const struct prediction *p)
{
    const sunup_plan_info info = sunup_plan_describe(t->pass->plan);
    char *steps = sunup_plan_print(t->pass->plan);
    if (steps != NULL) (void)printf("%s\n", steps);
    sunup_free(steps);
    (void)printf("  a shard   %lld samples, %lld steps, %.3f GFLOP, arena %.2f MB (%.2f MB without "
                 "sharing)",
                 (long long)t->pass->count, (long long)info.steps, 1e-9 * info.flops,
                 1e-6 * (double)info.arena_bytes, 1e-6 * (double)info.unshared_bytes);
    if (info.prepared_bytes > 0)
        (void)printf(", prepared weights %.2f MB", 1e-6 * (double)info.prepared_bytes);
    (void)printf("\n");
    (void)printf("  a rank    of %d: at most %d shards, %.3f GFLOP a step, %.1f MB memory, sends "
                 "%.3f MB a step\n",
                 p->machine.ranks, p->shards_most, 1e-9 * p->flops, 1e-6 * p->memory_bytes,
                 1e-6 * p->exchange.sent_bytes);
    if (t->group > 1)
        (void)printf("  a group   of %d ranks holds a shard; this one gives %.3f MB to the others for each\n",
                     t->group, 1e-6 * (double)sunup__parts_sent(t->pass->graph));
    if (p->timed) show_time(p);
    (void)printf("  the run   %lld steps of batch %lld, %lld an epoch\n", (long long)t->total_steps,
                 (long long)t->o.batch, (long long)t->steps_per_epoch);
}

static void show_json(const sunup_trainer *t, const struct prediction *p)
{
    const sunup_plan_info info = sunup_plan_describe(t->pass->plan);
    json_t *j = json_pack("{s:i, s:I, s:i, s:f, s:f, s:f, s:I, s:I, s:I}", "ranks", p->machine.ranks, "steps",
                          (json_int_t)t->total_steps, "shards_per_rank", p->shards_most,
                          "flops_per_step", p->flops, "memory_bytes", p->memory_bytes,
                          "sent_bytes_per_step", p->exchange.sent_bytes, "arena_bytes",
                          (json_int_t)info.arena_bytes, "prepared_bytes",
                          (json_int_t)info.prepared_bytes, "kernels_per_shard", (json_int_t)info.steps);
    (void)json_object_update_new(
        j, json_pack("{s:i, s:I}", "ranks_per_shard", t->group, "halo_bytes_per_shard",
                     (json_int_t)sunup__parts_sent(t->pass->graph)));
    if (p->timed)
        (void)json_object_update_new(
            j, json_pack("{s:f, s:f, s:f, s:f, s:s, s:i}", "step_s", p->step_s, "step_without_overlap_s",
                         p->apart_s, "compute_s", p->compute_s, "share_s", p->exchange.share_s,
                         "route", p->exchange.route, "buckets", p->exchange.buckets));
    print_json(j);
}

int verb_plan(struct command *c)
{
    struct session s;
    struct prediction p = {0};
    c->quiet = true;
    sunup_status status = session_open(c, &s);
    if (status == SUNUP_OK) status = predict(c, s.trainer, &p);
    if (status == SUNUP_OK && c->json) show_json(s.trainer, &p);
    if (status == SUNUP_OK && !c->json) show(s.trainer, &p);
    const int result = status == SUNUP_OK ? 0 : fail(c, status);
    session_close(&s);
    return result;
}
