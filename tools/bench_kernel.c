/* bench_kernel.c - `sunup bench kernel PROBLEM|LIST...`: problems by every way there is to compute them.
 *
 * A list is a text file with one problem a line, or a name and a problem; # starts a comment. "+grads"
 * after the op's name stands for the op and its gradients:
 *
 *   2_3x3_64_64   conv+grads:n16h56w56c64k64r3s3:same      three rows: fwd, dx, dw
 *   uno_1         linear+grads:m512n1000k942               fwd, and the two products of the gradients
 *   bn_56         batch_norm+grads:16x56x56x256            fwd, grad
 *   block         batch_norm+grads:16x56x56x256|add|relu   one row: all of it there and back (bench_pipe.c)
 *
 * "leaf:gemm:m64n48k300", or the name of a leaf that is no op, times one leaf on one thread.
 */
#include <stdlib.h>
#include <string.h>

#include "base/system.h"
#include "bench_kernel.h"

static const double default_seconds = 1.5;

/* --------------------------------------------------------------------- one problem --- */

static bool is_leaf(const char *problem)
{
    const size_t n = strcspn(problem, ":");
    for (int i = 0; i < LEAVES; i++) {
        const char *leaf = sunup__leaf_check(i)->leaf;
        if (strlen(leaf) == n && strncmp(leaf, problem, n) == 0) return true;
    }
    return false;
}

static bool is_op(const char *problem)
{
    char name[BENCH_NAME];
    (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(problem, "+:"), problem);
    return sunup__op_find(name) != NULL;
}

static struct row *new_row(struct kernel_bench *k)
{
    if (k->n_rows == k->room_rows) {
        const int room = k->room_rows > 0 ? 2 * k->room_rows : 16;
        struct row *more = sunup__realloc(k->rows, (size_t)room * sizeof *more);
        if (more == NULL) return NULL;
        k->rows = more;
        k->room_rows = room;
    }
    struct row *r = &k->rows[k->n_rows];
    memset(r, 0, sizeof *r);
    return r;
}

/* All rows so far, after each of them: a long list that is interrupted leaves what it has. */
static sunup_status write_csv(const struct kernel_bench *k)
{
    const char *path = k->b->c->csv;
    if (path == NULL) return SUNUP_OK;
    struct text t = {0};
    bench_origin(&t, k->b->c->ctx, "# ");
    row_csv_head(&t);
    for (int i = 0; i < k->n_rows; i++) row_csv(&t, &k->rows[i]);
    CHECK(t.s != NULL, k->b->c->ctx, E_MEMORY, "no memory to write '%s'", path);
    const sunup_status status = sunup__file_write(k->b->c->ctx, path, t.s, t.n);
    sunup__free(t.s);
    return status;
}

static sunup_status bench_one(struct kernel_bench *k, const char *name, const char *pass,
                              const char *problem)
{
    struct row *r = new_row(k);
    CHECK(r != NULL, k->b->c->ctx, E_MEMORY, "no memory for a row");
    (void)snprintf(r->name, sizeof r->name, "%s%s%s", name, name[0] != '\0' ? " " : "",
                   name[0] != '\0' ? pass : "");
    const bool leaf = strncmp(problem, "leaf:", 5) == 0;
    if (leaf || (!is_op(problem) && is_leaf(problem)))
        TRY(bench_leaf(k, leaf ? problem + 5 : problem, r));
    else
        TRY(bench_race(k, problem, r));
    k->n_rows++;
    if (k->b->c->json)
        (void)json_array_append_new(k->b->rows, row_json(r));
    else
        row_show(r);
    return write_csv(k);
}

/* ------------------------------------------------------------------------- shorthand --- */

/* y = x w: dx = dy w', dw = x' dy. */
static sunup_status linear_grads(struct kernel_bench *k, const char *name, const char *rest)
{
    long long m, n, p;
    char text[PROBLEM_TEXT];
    CHECK(sscanf(rest, ":m%lldn%lldk%lld", &m, &n, &p) == 3, k->b->c->ctx, E_ARGUMENT,
          "'linear+grads%s': sizes must be :m<rows>n<out>k<in>", rest);
    (void)snprintf(text, sizeof text, "matmul:m%lldn%lldk%lld:tb", m, p, n);
    TRY(bench_one(k, name, "dx", text));
    (void)snprintf(text, sizeof text, "matmul:m%lldn%lldk%lld:ta", p, n, m);
    return bench_one(k, name, "dw", text);
}

static sunup_status with_grads(struct kernel_bench *k, const char *name, const char *op,
                               const char *rest)
{
    static const char *const conv[][2] = {{"_data_grad", "dx"}, {"_weight_grad", "dw"}};
    static const char *const other[][2] = {{"_grad", "grad"}};
    const bool is_conv = strcmp(op, "conv") == 0;
    char text[PROBLEM_TEXT];
    (void)snprintf(text, sizeof text, "%s%s", op, rest);
    TRY(bench_one(k, name, "fwd", text));
    if (strcmp(op, "linear") == 0) return linear_grads(k, name, rest);
    for (int i = 0; i < (is_conv ? 2 : 1); i++) {
        const char *const *pass = is_conv ? conv[i] : other[i];
        (void)snprintf(text, sizeof text, "%s%s%s", op, pass[0], rest);
        TRY(bench_one(k, name, pass[1], text));
    }
    return SUNUP_OK;
}

static sunup_status bench_problem(struct kernel_bench *k, const char *name, const char *problem)
{
    const size_t n = strcspn(problem, "+:");
    char op[BENCH_NAME];
    const bool pipe = strchr(problem, '|') != NULL; /* one row, there and back */
    if (pipe || strncmp(problem + n, "+grads", 6) != 0) return bench_one(k, name, "", problem);
    (void)snprintf(op, sizeof op, "%.*s", (int)n, problem);
    return with_grads(k, name, op, problem + n + 6);
}

/* ----------------------------------------------------------------------------- lists --- */

static sunup_status each_problem(void *arg, const char *name, const char *problem)
{
    return bench_problem(arg, name, problem);
}

static bool is_list(const char *operand)
{
    return strchr(operand, ':') == NULL || strstr(operand, ".txt") != NULL;
}

/* -------------------------------------------------------------------------- the verb --- */

/* bench/pytorch_kernels.py in the Python of $PYTORCH_PYTHON. */
static sunup_status start_torch(struct kernel_bench *k)
{
    static const char *const settings[] = {"OMP_PROC_BIND=true", "MALLOC_MMAP_MAX_=0",
                                           "MALLOC_TRIM_THRESHOLD_=8589934592",
                                           "MALLOC_TOP_PAD_=67108864", NULL};
    const char *python = getenv("PYTORCH_PYTHON");
    if (python == NULL || python[0] == '\0') return SUNUP_OK;
    char threads[16];
    (void)snprintf(threads, sizeof threads, "%d", sunup_context_threads(k->b->c->ctx));
    const char *const argv[] = {python, "-u", SUNUP_BENCH_FOLDER "/pytorch_kernels.py", threads,
                                NULL};
    k->torch = (struct peer){.name = "PyTorch", .timeout_s = 120};
    TRY(peer_start(k->b->c->ctx, &k->torch, argv, settings));
    json_t *answer;
    TRY(peer_ask(k->b->c->ctx, &k->torch, NULL, &answer));
    if (!k->b->c->json)
        (void)printf("  peer: PyTorch %s\n", json_string_value(json_object_get(answer, "version")));
    json_decref(answer);
    return SUNUP_OK;
}

static sunup_status start(struct kernel_bench *k)
{
    sunup_context *ctx = k->b->c->ctx;
    TRY(bench_ceilings(k->b));
    if (k->cold) {
        k->sweep = sunup__alloc_aligned((size_t)64 << 20);
        CHECK(k->sweep != NULL, ctx, E_MEMORY, "no memory to sweep caches with");
        memset(k->sweep, 0, (size_t)64 << 20);
    }
    return start_torch(k);
}

static sunup_status run(struct kernel_bench *k)
{
    const struct command *c = k->b->c;
    TRY(start(k));
    for (int i = 1; i < c->n_operands; i++) {
        const char *what = c->operand[i];
        TRY(is_list(what) ? bench_list(k->b, what, each_problem, k) : bench_problem(k, "", what));
    }
    return c->html != NULL ? bench_html(k, c->html) : SUNUP_OK;
}

sunup_status bench_kernel(struct bench *b)
{
    const struct command *c = b->c;
    struct kernel_bench k = {
        .b = b, .seconds = c->seconds > 0 ? c->seconds : default_seconds, .cold = c->cold};
    const sunup_status status = run(&k);
    peer_end(&k.torch);
    sunup__free(k.sweep);
    sunup__free(k.rows);
    return status;
}
