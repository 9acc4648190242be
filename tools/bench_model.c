/* bench_model.c - `sunup bench model RUN.yaml...`: whole training steps, against the same network in
 * PyTorch where $PYTORCH_PYTHON names a Python that has it.
 *
 * Each side is a process of its own that makes steps when asked (bench_serve.c, bench/models/pytorch.py),
 * so first step and peak memory are its own and the rounds interleave: ours, peer, ours, peer. A
 * peer's mode is compared with our times of the same rounds only. PyTorch gets every help that is known:
 * its threads are pinned and glibc keeps freed memory, which is worth up to 1.4x to it.
 *
 * --ranks N: both sides as N ranks that share the machine's cores: ours started by mpiexec (or the words of
 * $SUNUP_MPIEXEC), with a shard a rank at least, theirs by DistributedDataParallel over Gloo.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/system.h"
#include "bench.h"
#include "peer.h"

enum { ROUNDS = 25, LEAST_ROUNDS = 5, WARM = 3, PATH_ROOM = 4096, MOST_ARGUMENTS = 64 };

/* A racer's figures: for each round the median of its steps. */
struct racer {
    struct peer peer;
    json_t *start; /* its first line */
    double round_s[ROUNDS], first_s;
    int64_t peak_bytes;
};

struct race {
    struct bench *b;
    const char *run_file, *name;
    struct racer ours, theirs;
    int rounds;
    int64_t steps; /* a round */
    json_t *row;
};

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The p-quantile of n numbers, which are left alone; n <= ROUNDS. */
static double quantile(const double *x, int n, double p)
{
    double sorted[ROUNDS];
    memcpy(sorted, x, (size_t)n * sizeof *x);
    qsort(sorted, (size_t)n, sizeof *sorted, by_value);
    return sorted[(int)lround(p * (n - 1))];
}

/* ---- one racer ---- */

static sunup_status take_steps(sunup_context *ctx, struct racer *r, int64_t n, double *median_s)
{
    char question[32];
    json_t *answer;
    (void)snprintf(question, sizeof question, "%lld", (long long)n);
    TRY(peer_ask(ctx, &r->peer, question, &answer));
    const json_t *times = json_object_get(answer, "times_s");
    const size_t found = json_array_size(times);
    double *s = sunup__alloc((found + 1) * sizeof *s);
    for (size_t i = 0; i < found && s != NULL; i++)
        s[i] = json_number_value(json_array_get(times, i));
    if (s != NULL && found > 0) {
        qsort(s, found, sizeof *s, by_value);
        *median_s = s[found / 2];
    }
    r->peak_bytes = json_integer_value(json_object_get(answer, "peak_bytes"));
    sunup__free(s);
    json_decref(answer);
    CHECK(s != NULL && found == (size_t)n, ctx, E_FORMAT, "%s made %zu steps instead of %lld",
          r->peer.name, found, (long long)n);
    return SUNUP_OK;
}

static sunup_status start_racer(sunup_context *ctx, struct racer *r, const char *const *argv,
                                const char *const *settings)
{
    r->peer.timeout_s = 600; /* torch.compile takes minutes */
    TRY(peer_start(ctx, &r->peer, argv, settings));
    TRY(peer_ask(ctx, &r->peer, NULL, &r->start));
    r->first_s = json_number_value(json_object_get(r->start, "first_step_s"));
    double warm_s;
    return take_steps(ctx, r, WARM, &warm_s);
}

static void end_racer(struct racer *r)
{
    peer_end(&r->peer);
    json_decref(r->start);
    *r = (struct racer){0};
}

/* ---- a race ---- */

static int add_setting(const char **argv, int at, const char *text)
{
    if (at + 2 >= MOST_ARGUMENTS) return at;
    argv[at] = "--set";
    argv[at + 1] = text;
    return at + 2;
}

static sunup_status start_ours(struct race *r)
{
    struct command *c = r->b->c;
    char self[PATH_ROOM];
    TRY(peer_self(c->ctx, self, sizeof self));
    const char *argv[MOST_ARGUMENTS] = {NULL};
    struct launcher launcher;
    char shards[32];
    int at = peer_launcher(c->ranks, argv, &launcher);
    const char *const serve[] = {self, "bench", "serve", r->run_file, NULL};
    for (int i = 0; serve[i] != NULL; i++) argv[at++] = serve[i];
    (void)snprintf(shards, sizeof shards, "shards=%lld", (long long)c->ranks);
    if (c->ranks > 1) at = add_setting(argv, at, shards);
    for (int i = 0; i < c->n_set; i++) at = add_setting(argv, at, c->set[i]);
    r->ours.peer.name = "sunup";
    TRY(start_racer(c->ctx, &r->ours, argv, NULL));
    double step_s;
    TRY(take_steps(c->ctx, &r->ours, WARM, &step_s));
    const double wanted = c->steps > 0 ? (double)c->steps : 0.3 / (step_s + 1e-9);
    r->steps = wanted < 1 ? 1 : wanted > 500 ? 500 : (int64_t)wanted;
    return SUNUP_OK;
}

/* ours, theirs (if there are any), ours, theirs ... for about `seconds`. */
static sunup_status run_rounds(struct race *r)
{
    struct command *c = r->b->c;
    const double seconds = c->seconds > 0 ? c->seconds : 15, from_s = sunup__now_s();
    r->rounds = 0;
    while (r->rounds < ROUNDS && (r->rounds < LEAST_ROUNDS || sunup__now_s() - from_s < seconds)) {
        TRY(take_steps(c->ctx, &r->ours, r->steps, &r->ours.round_s[r->rounds]));
        if (r->theirs.peer.pid > 0)
            TRY(take_steps(c->ctx, &r->theirs, r->steps, &r->theirs.round_s[r->rounds]));
        r->rounds++;
    }
    return SUNUP_OK;
}

static json_t *rounds_json(const struct race *r, const struct racer *racer)
{
    json_t *j = json_array();
    for (int i = 0; i < r->rounds; i++) (void)json_array_append_new(j, json_real(racer->round_s[i]));
    return j;
}

static void show_ours(struct race *r)
{
    const struct racer *o = &r->ours;
    const double median_s = quantile(o->round_s, r->rounds, 0.5);
    const double spread_s =
        quantile(o->round_s, r->rounds, 0.75) - quantile(o->round_s, r->rounds, 0.25);
    const double flops = json_number_value(json_object_get(o->start, "flops"));
    const double share = flops / median_s / r->b->top.flops_per_s;
    const char *numerics = json_string_value(json_object_get(o->start, "numerics"));
    r->row = json_pack("{s:s, s:s, s:f, s:f, s:i, s:I, s:f, s:f, s:f, s:I, s:o, s:[]}", "run",
                       r->run_file, "numerics", numerics != NULL ? numerics : "", "median_s",
                       median_s, "spread_s", spread_s, "rounds", r->rounds, "steps",
                       (json_int_t)r->steps, "flops", flops, "share", share, "first_step_s",
                       o->first_s, "peak_bytes", (json_int_t)o->peak_bytes, "round_s", rounds_json(r, o), "peers");
    if (r->b->c->json) return;
    (void)printf(
        "  %-14s %-24s %10.3f ms/step +-%4.1f %%  %7.1f GFLOP/s %5.1f %% of FMA  first step "
        "%6.2f s %6.0f MB\n",
        r->name, numerics, 1e3 * median_s, 100 * spread_s / median_s, 1e-9 * flops / median_s,
        100 * share, o->first_s, 1e-6 * (double)o->peak_bytes);
}

static void show_theirs(struct race *r, const char *mode)
{
    const struct racer *o = &r->ours, *t = &r->theirs;
    double ratio[ROUNDS];
    for (int i = 0; i < r->rounds; i++) ratio[i] = t->round_s[i] / o->round_s[i];
    const double median_s = quantile(t->round_s, r->rounds, 0.5),
                 middle = quantile(ratio, r->rounds, 0.5), low = quantile(ratio, r->rounds, 0),
                 high = quantile(ratio, r->rounds, 1),
                 memory = (double)t->peak_bytes / (double)o->peak_bytes;
    const char *version = json_string_value(json_object_get(t->start, "version"));
    (void)json_array_append_new(json_object_get(r->row, "peers"),
                                json_pack("{s:s, s:s, s:f, s:f, s:f, s:f, s:f, s:I, s:o, s:o}", "peer",
                                          version != NULL ? version : "PyTorch", "mode", mode,
                                          "median_s", median_s, "ratio", middle, "ratio_least", low,
                                          "ratio_most", high, "first_step_s", t->first_s,
                                          "peak_bytes", (json_int_t)t->peak_bytes, "round_s",
                                          rounds_json(r, t), "our_round_s", rounds_json(r, o)));
    if (r->b->c->json) return;
    (void)printf("  %-14s %-24s %10.3f ms/step  sunup is %.2fx as fast (%.2f .. %.2f)  first step "
                 "%6.2f s %6.0f MB (%.1fx)\n",
                 "", mode, 1e3 * median_s, middle, low, high, t->first_s,
                 1e-6 * (double)t->peak_bytes, memory);
    (void)fflush(stdout);
}

/* ---- PyTorch ---- */

/* bench/models/lenet/run.yaml: the driver is bench/models/pytorch.py, the network "lenet". */
static bool find_driver(struct race *r, char *script, char *name)
{
    (void)snprintf(name, PATH_ROOM, "%s", r->run_file);
    char *slash = strrchr(name, '/');
    if (slash == NULL) return false;
    *slash = '\0';
    char *folder = strrchr(name, '/');
    (void)snprintf(script, PATH_ROOM, "%.*s/pytorch.py", folder != NULL ? (int)(folder - name) : 1,
                   folder != NULL ? name : ".");
    if (folder != NULL) memmove(name, folder + 1, strlen(folder));
    return access(script, R_OK) == 0;
}

static sunup_status race_mode(struct race *r, const char *python, const char *script,
                              const char *mode)
{
    static const char *const settings[] = {"OMP_PROC_BIND=true", "MALLOC_MMAP_MAX_=0",
                                           "MALLOC_TRIM_THRESHOLD_=8589934592",
                                           "MALLOC_TOP_PAD_=67108864", NULL};
    char threads[32], ranks[32], text[64];
    const int64_t n = r->b->c->ranks > 1 ? r->b->c->ranks : 1,
                  each = sunup_context_threads(r->b->c->ctx) / n;
    const bool bf16 = sunup_context_numerics(r->b->c->ctx) == SUNUP_NUMERICS_BF16;
    (void)snprintf(threads, sizeof threads, "%lld", (long long)(each > 0 ? each : 1));
    (void)snprintf(ranks, sizeof ranks, "%lld", (long long)n);
    (void)snprintf(text, sizeof text, "%s%s", mode, bf16 ? "+bf16" : "");
    const char *const argv[] = {python, script, r->name, text, threads, ranks, NULL};
    r->theirs.peer.name = "PyTorch";
    sunup_status status = start_racer(r->b->c->ctx, &r->theirs, argv, settings);
    if (status == SUNUP_OK) status = run_rounds(r);
    if (status == SUNUP_OK && r->row == NULL) show_ours(r);
    if (status == SUNUP_OK) show_theirs(r, text);
    end_racer(&r->theirs);
    return status;
}

static const char *const modes[] = {"eager", "channels_last", "compile"};
enum { MODES = sizeof modes / sizeof *modes };

/* Which of them --modes names, all without it. */
static sunup_status choose_modes(const struct command *c, bool chosen[MODES])
{
    for (int i = 0; i < MODES; i++) chosen[i] = c->modes == NULL;
    for (const char *at = c->modes; at != NULL && *at != '\0';) {
        const size_t n = strcspn(at, ",");
        int i = 0;
        while (i < MODES && (strlen(modes[i]) != n || strncmp(modes[i], at, n) != 0)) i++;
        CHECK(i < MODES, c->ctx, E_ARGUMENT,
              "--modes knows eager, channels_last and compile, not '%.*s'", (int)n, at);
        chosen[i] = true;
        at += at[n] == ',' ? n + 1 : n;
    }
    return SUNUP_OK;
}

static sunup_status race(struct race *r)
{
    bool chosen[MODES];
    char script[PATH_ROOM], name[PATH_ROOM];
    const char *python = getenv("PYTORCH_PYTHON");
    const bool peers = find_driver(r, script, name) && python != NULL && python[0] != '\0';
    r->name = name;
    TRY(choose_modes(r->b->c, chosen));
    TRY(start_ours(r));
    if (!peers) {
        TRY(run_rounds(r));
        show_ours(r);
        return SUNUP_OK;
    }
    for (int i = 0; i < MODES; i++) {
        if (!chosen[i]) continue;
        const sunup_status status = race_mode(r, python, script, modes[i]);
        if (status != SUNUP_OK && r->ours.peer.pid <= 0) return status;
        if (status != SUNUP_OK && !r->b->c->json) /* a mode that does not run is no race lost */
            (void)printf("  %-14s %-24s not compared: %s\n", "", modes[i],
                         sunup_error(r->b->c->ctx));
    }
    return SUNUP_OK;
}

sunup_status bench_model(struct bench *b, const char *run_file)
{
    struct race r = {.b = b, .run_file = run_file, .name = run_file};
    TRY(bench_ceilings(b));
    const sunup_status status = race(&r);
    end_racer(&r.ours);
    end_racer(&r.theirs);
    if (status == SUNUP_OK && r.row != NULL) (void)json_array_append_new(b->rows, r.row);
    return status;
}
