/* product_test.c - matrix products by blocks must give the bits of one call of the gemm leaf on the
 * whole matrices, since every element is one chain of sums: any difference is a block in the wrong
 * place, a step left out, or a chain cut.
 *
 * Sizes are awkward and reach every decision of product_cut.c: B packed or in place, from memory in
 * short steps or not, A copied because its rows collide, one column computed as a row, items that
 * cross matrices, no sums at all. Any number of threads must agree. Workspaces start as NaN; bytes
 * behind C and the workspace must survive. Dot products must give the bits of their leaf, chunks of
 * either kind those of the leaf on each chunk, added in order.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "base/system.h"
#include "device/cpu/maker_run_test.h"
#include "device/cpu/makers.h"
#include "device/cpu/product.h"
#include "graph/ops/op.h"

enum { TA = SUNUP_TRANSPOSE_A, TB = SUNUP_TRANSPOSE_B, LINEAR = 4 };

struct sizes {
    int64_t batch, m, k, n;
    int flags; /* TA, TB, LINEAR: with bias, A [m][k] */
};

static const struct sizes problems[] = {{1, 1, 2, 1, 0},
                                        {1, 97, 64, 33, 0},
                                        {1, 131, 1050, 523, 0},
                                        {1, 131, 700, 523, TB},
                                        {1, 523, 131, 700, TA},
                                        {1, 61, 1024, 300, 0}, /* A's rows collide */
                                        {1, 61, 1024, 300, TB},
                                        {1, 1024, 77, 260, TA},
                                        {1, 1024, 77, 260, TA | TB},
                                        {1, 1, 1030, 2100, 0},
                                        {1, 5, 700, 1050, 0}, /* B in the second levels */
                                        {1, 7, 1030, 2100, 0},
                                        {1, 45, 1030, 2100, 0}, /* B from memory */
                                        {1, 1, 2100, 1030, TB},
                                        {1, 7, 2100, 1030, TB},
                                        {1, 20, 200, 11000, TB},
                                        {1, 20, 11000, 200, 0},
                                        {1, 3000, 20, 201, TA},
                                        {1, 19, 21, 23, TB},
                                        {1, 517, 1003, 1, 0},
                                        {1, 517, 1003, 1, TB},
                                        {1, 1003, 517, 1, TA}, /* a column */
                                        {1, 517, 2, 1003, TB},
                                        {7, 33, 50, 1, 0},
                                        {5, 130, 64, 131, TB},
                                        {40, 150, 31, 170, TB}, /* strips of A and C asked for */
                                        {1, 2100, 301, 300, LINEAR}, /* of A */
                                        {1, 41501, 20, 207, TA},     /* C stored past the caches */
                                        {1, 32801, 20, 259, TA},
                                        {3, 47, 5, 30011, 0},
                                        {3, 9001, 48, 211, TB},
                                        {300, 16, 16, 16, 0},
                                        {37, 17, 5, 19, TA},
                                        {37, 17, 5, 19, TA | TB},
                                        {3, 200, 1024, 140, TA},
                                        {1, 203, 2603, 99, TA}, /* both packed in blocks */
                                        {1, 131, 5003, 45, TA},
                                        {1, 801, 777, 1003, TA},
                                        {1, 1603, 380, 701, TA}, /* A in strips, B packed first */
                                        {1, 64, 784, 128, LINEAR},
                                        {1, 300, 611, 1, LINEAR},
                                        {1, 66, 1601, 97, LINEAR},
                                        {1, 3, 1030, 2100, LINEAR},
                                        {1, 517, 1, 1003, LINEAR},
                                        {1, 5, 0, 7, LINEAR}};

/* A matrix times a vector, both with the terms of the sums side by side. */
static const struct sizes vectors[] = {
    {1, 517, 1003, 1, 0}, {1, 517, 1003, 1, TB}, {1, 1, 1003, 517, TB}, {5, 33, 64, 1, 0},
    {5, 1, 40, 131, TB},  {1, 1, 77, 1, LINEAR}, {1, 3, 32, 1, LINEAR}, {1, 300, 611, 1, LINEAR}};
/* Columns or rows of other strides, and sums that are too short. */
static const struct sizes no_vectors[] = {
    {1, 517, 103, 1, TA}, {1, 1, 103, 517, 0}, {1, 2, 103, 517, TB}, {1, 517, 20, 1, 0}};

/* Few rows and a B of 16 MB: one tile and two, blocks of all depths, a shorter last chunk; panels for
 * all threads, the last one narrow. */
static const struct sizes chunked[] = {{1, 1, 21003, 201, LINEAR},  {1, 4, 33000, 130, 0},
                                       {1, 7, 4096, 1024, LINEAR},  {1, 14, 2000, 2101, TA},
                                       {1, 20, 21003, 200, LINEAR}, {1, 24, 32101, 131, TA},
                                       {1, 8, 1030, 4100, LINEAR},  {1, 9, 1300, 4001, 0}};
/* A row of many columns, for which that is no gain with a far third level. */
static const struct sizes row_chunked[] = {{1, 1, 4100, 1030, LINEAR}};
/* Too many rows, a small B, a transposed one. */
static const struct sizes not_chunked[] = {
    {1, 25, 21003, 200, 0}, {1, 8, 2003, 200, 0}, {1, 8, 21003, 200, TB}};

/* A small linear layer: panels ragged and whole, B packed if it stays. */
static const struct sizes halved[] = {{1, 64, 784, 128, LINEAR}, {1, 17, 1030, 97, LINEAR}, {1, 200, 802, 301, LINEAR}};
/* An odd sum, few rows, a C as large as B, a large B, a small one. */
static const struct sizes not_halved[] = {{1, 64, 783, 128, LINEAR},
                                          {1, 15, 784, 128, LINEAR},
                                          {1, 64, 252, 140, LINEAR},
                                          {1, 64, 1000, 1000, LINEAR},
                                          {1, 64, 256, 120, LINEAR}};

/* A transposed A: two, four and eight chunks, and a C too large for them. */
static const struct sizes turned_chunks[] = {{1, 203, 2603, 131, TA},
                                             {1, 97, 5001, 301, TA},
                                             {1, 257, 8200, 37, TA},
                                             {1, 1003, 2053, 601, TA}};
/* A C between. */
static const struct sizes not_turned[] = {{1, 403, 4097, 203, TA}};

static float *draw(int64_t n, uint64_t which)
{
    float *x = sunup__alloc_aligned((size_t)n * sizeof *x + 1);
    const struct random_stream s = {11, RANDOM_TEST, 1, which};
    assert_non_null(x);
    for (int64_t i = 0; i < n; i++) x[i] = (float)(2 * sunup__random_unit(&s, (uint64_t)i) - 1);
    return x;
}

static const struct node *build(sunup_graph *g, const struct sizes *s)
{
    const bool one = s->batch == 1;
    const int64_t ra = s->flags & TA ? s->k : s->m, ca = s->flags & TA ? s->m : s->k;
    const int64_t rb = s->flags & TB ? s->n : s->k, cb = s->flags & TB ? s->k : s->n;
    const sunup_shape a = one ? SUNUP_SHAPE(ra, ca) : SUNUP_SHAPE(s->batch, ra, ca);
    const sunup_shape b = one ? SUNUP_SHAPE(rb, cb) : SUNUP_SHAPE(s->batch, rb, cb);
    sunup_value *x = sunup_input(g, "a", SUNUP_F32, a), *w = sunup_input(g, "b", SUNUP_F32, b);
    sunup_value *y = s->flags & LINEAR
                         ? sunup_linear(x, w, sunup_input(g, "bias", SUNUP_F32, SUNUP_SHAPE(s->n)))
                         : sunup_matmul(x, w, s->flags & (TA | TB));
    if (sunup__is_poison(y)) fail_msg("%s", g->message);
    return y->node;
}

/* The leaf on whole matrices. */
static float *whole(const struct sizes *s, const struct kernels *k, void *const *in)
{
    float *c = guarded(s->batch * s->m * s->n * (int64_t)sizeof(float));
    float *rows = guarded(s->k * s->n * (int64_t)sizeof(float));
    for (int64_t i = 0; i < s->batch; i++) {
        const float *b = (const float *)in[1] + i * s->k * s->n;
        if (s->flags & TB) k->f32.transpose(s->n, s->k, b, s->k, rows, s->n);
        const struct gemm_f32 g = {.m = s->m,
                                   .n = s->n,
                                   .k = s->k,
                                   .batch = 1,
                                   .a = (const float *)in[0] + i * s->m * s->k,
                                   .a_row = s->flags & TA ? 1 : s->k,
                                   .a_col = s->flags & TA ? s->m : 1,
                                   .b = s->flags & TB ? rows : b,
                                   .b_row = s->n,
                                   .c = c + i * s->m * s->n,
                                   .c_row = s->n,
                                   .bias = in[2]};
        k->f32.gemm(&g);
    }
    sunup__free(rows);
    return c;
}

/* The same by dot products: rows of the matrix are those of A, or of a transposed B. */
static float *dots(const struct sizes *s, const struct kernels *k, void *const *in)
{
    const int64_t rows = s->n == 1 ? s->m : s->n;
    const float *matrix = in[s->n == 1 ? 0 : 1], *vector = in[s->n == 1 ? 1 : 0];
    float *c = guarded(s->batch * rows * (int64_t)sizeof(float));
    for (int64_t i = 0; i < s->batch; i++) {
        const struct gemm_f32 g = {.m = rows,
                                   .n = 1,
                                   .k = s->k,
                                   .batch = 1,
                                   .a = matrix + i * rows * s->k,
                                   .a_row = s->k,
                                   .a_col = 1,
                                   .b = vector + i * s->k,
                                   .b_row = s->k,
                                   .c = c + i * rows,
                                   .c_row = 1,
                                   .bias = in[2]};
        k->f32.gemm_dots(&g);
    }
    return c;
}

/* Row behind the chunk that begins with `from`. */
static int64_t chunk_end(const struct sizes *s, int64_t from, const char *kind)
{
    const struct product p = {.m = s->m, .n = s->n, .k = s->k};
    if (strcmp(kind, "_halves") == 0) return from + s->k / 2;
    if (strcmp(kind, "_chunks") == 0) return least(s->k, from + sunup__product_chunk_rows(&p));
    const int64_t chunks = sunup__product_turned_chunks(&p);
    int64_t i = 0;
    while (i * s->k / chunks <= from) i++;
    return i * s->k / chunks;
}

/* Each chunk by the leaf, then added in order. */
static float *by_chunks(const struct sizes *s, const struct kernels *k, void *const *in,
                        const char *kind)
{
    const int64_t a_col = s->flags & TA ? s->m : 1;
    float *c = guarded(s->m * s->n * (int64_t)sizeof(float));
    float *part = guarded(s->m * s->n * (int64_t)sizeof(float));
    for (int64_t from = 0, end; from < s->k; from = end) {
        end = chunk_end(s, from, kind);
        const struct gemm_f32 g = {.m = s->m,
                                   .n = s->n,
                                   .k = end - from,
                                   .batch = 1,
                                   .a = (const float *)in[0] + from * a_col,
                                   .a_row = s->flags & TA ? 1 : s->k,
                                   .a_col = a_col,
                                   .b = (const float *)in[1] + from * s->n,
                                   .b_row = s->n,
                                   .c = part,
                                   .c_row = s->n};
        k->f32.gemm(&g);
        for (int64_t i = 0; i < s->m * s->n; i++) c[i] = from > 0 ? c[i] + part[i] : part[i];
    }
    for (int64_t i = 0; in[2] && i < s->m * s->n; i++) c[i] += ((const float *)in[2])[i % s->n];
    sunup__free(part);
    return c;
}

static float *wanted(const char *kind, const struct sizes *s, const struct kernels *k,
                     void *const *in)
{
    if (strcmp(kind, "_dots") == 0) return dots(s, k, in);
    return strcmp(kind, "") == 0 ? whole(s, k, in) : by_chunks(s, k, in, kind);
}

/* The first of f32 whose name holds `kind`. */
static const struct maker *find_maker(const struct device *d, const struct node *n,
                                      const char *kind)
{
    for (const struct maker *m = sunup__cpu_makers; m->name; m++) {
        if (strcmp(m->op, n->op->name) == 0 && !strstr(m->name, "_bf16") && strstr(m->name, kind) &&
            m->can(d, n))
            return m;
    }
    return NULL;
}

static void check_bits(const struct device *cpu, const struct node *n, const struct sizes *s,
                       void **in, const char *kind)
{
    static const int threads[] = {1, 7, 2, 3};
    const int counts = RUNS > 1 ? 4 : 2;
    const int64_t bytes = s->batch * s->m * s->n * (int64_t)sizeof(float);
    const struct maker *maker = find_maker(cpu, n, kind);
    if (!maker) fail_msg("no maker *%s for %s", kind, n->op->name);
    float *want = wanted(kind, s, cpu->kernels, in);
    for (int i = 0; i < counts; i++) {
        struct device d = *cpu;
        d.threads = threads[i];
        void *out = guarded(bytes);
        struct step step = {.node = n, .device = &d, .in = in, .out = &out};
        assert_int_equal(maker->make(&d, n, &step), SUNUP_OK);
        step.workspace = guarded(step.workspace_bytes);
        const sunup_random_key key = {0};
        for (int run = 0; run < RUNS; run++) assert_int_equal(step.run(&step, &key), SUNUP_OK);
        if (memcmp(out, want, (size_t)bytes) != 0)
            fail_msg("%s: batch %d m %d k %d n %d flags %d, %d threads: not the leaf's bits",
                     cpu->kernels->isa, (int)s->batch, (int)s->m, (int)s->k, (int)s->n, s->flags,
                     d.threads);
        check_guard(out, bytes);
        check_guard(step.workspace, step.workspace_bytes);
        step.end(&step);
        sunup__free(step.workspace);
        sunup__free(out);
        run_prepared(maker, &d, n, in, want);
    }
    sunup__free(want);
}

/* No maker of kind `no` may take it, if there is no `kind`. */
static void check_problem(sunup_context *ctx, const struct sizes *s, const char *kind,
                          const char *no)
{
    struct device *cpu;
    assert_int_equal(sunup__device(ctx, &cpu), SUNUP_OK);
    sunup_graph_options o = sunup_graph_defaults();
    sunup_graph *g;
    assert_int_equal(sunup_graph_create(ctx, &o, &g), SUNUP_OK);
    const struct node *n = build(g, s);
    void *in[3] = {0};
    for (int i = 0; kind && i < n->n_in; i++)
        in[i] = draw(sunup__elements(&n->in[i]->shape), (uint64_t)i);
    if (kind)
        check_bits(cpu, n, s, in, kind);
    else
        assert_null(find_maker(cpu, n, no));
    for (int i = 0; i < 3; i++) sunup__free(in[i]);
    sunup_graph_destroy(&g);
}

/* All of `list` at every level; where `kind` is NULL, none is taken by makers of kind `no`. */
static void check_list(sunup_numerics numerics, const struct sizes *list, size_t n,
                       const char *kind, const char *no)
{
    unsetenv("SUNUP_ISA"); /* this test goes through the levels itself */
    for (int i = first_level(1); sunup__isa_name(i); i++) {
        if (!sunup__isa_runs(i, sunup__cpu_flags())) continue;
        sunup_context_options o = sunup_context_defaults();
        o.isa = sunup__isa_name(i);
        o.numerics = numerics;
        sunup_context *ctx;
        assert_int_equal(sunup_context_create(&o, &ctx), SUNUP_OK);
        for (size_t j = 0; j < n; j++) check_problem(ctx, &list[j], kind, no);
        sunup_context_destroy(&ctx);
    }
}

#define LIST(list) list, sizeof(list) / sizeof *(list)

static void blocks_have_the_bits_of_the_whole(void **state)
{
    (void)state;
    check_list(SUNUP_NUMERICS_EXACT, LIST(problems), "", NULL);
}

static void vectors_have_the_bits_of_dots(void **state)
{
    (void)state;
    check_list(SUNUP_NUMERICS_FAST, LIST(vectors), "_dots", "_dots");
    check_list(SUNUP_NUMERICS_FAST, LIST(no_vectors), NULL, "_dots");
    check_list(SUNUP_NUMERICS_EXACT, LIST(vectors), NULL, "_dots");
    check_list(SUNUP_NUMERICS_EXACT, LIST(no_vectors), NULL, "_dots");
}

static void chunks_have_the_bits_of_their_sums(void **state)
{
    (void)state;
    const char *kind = sunup__level3_far() ? NULL : "_chunks";
    check_list(SUNUP_NUMERICS_FAST, LIST(chunked), "_chunks", "_chunks");
    check_list(SUNUP_NUMERICS_FAST, LIST(row_chunked), kind, "_chunks");
    check_list(SUNUP_NUMERICS_FAST, LIST(not_chunked), NULL, "_chunks");
    check_list(SUNUP_NUMERICS_EXACT, LIST(chunked), NULL, "_chunks");
    check_list(SUNUP_NUMERICS_EXACT, LIST(not_chunked), NULL, "_chunks");
}

static void halves_have_the_bits_of_their_sums(void **state)
{
    (void)state;
    check_list(SUNUP_NUMERICS_FAST, LIST(halved), sunup__level3_far() ? "_halves" : NULL, "_halves");
    check_list(SUNUP_NUMERICS_FAST, LIST(not_halved), NULL, "_halves");
    check_list(SUNUP_NUMERICS_EXACT, LIST(halved), NULL, "_halves");
}

static void turned_have_the_bits_of_their_sums(void **state)
{
    (void)state;
    if (!sunup__level3_far()) {
        check_list(SUNUP_NUMERICS_FAST, LIST(turned_chunks), "_turned", NULL);
        check_list(SUNUP_NUMERICS_FAST, LIST(not_turned), NULL, "_turned");
    }
    check_list(SUNUP_NUMERICS_EXACT, LIST(turned_chunks), "", NULL);
    check_list(SUNUP_NUMERICS_EXACT, LIST(not_turned), "", NULL);
}

/* Whatever the sizes, items must cover C and fit their slots. */
static void items_cover_every_element(void **state)
{
    (void)state;
    static const int64_t sizes[] = {1, 2, 15, 33, 48, 200, 511, 1024, 4097};
    enum { SIZES = sizeof sizes / sizeof *sizes };
    for (int i = 0; i < SIZES * SIZES * SIZES * 4; i++) {
        const int64_t m = sizes[i % SIZES], n = sizes[i / SIZES % SIZES],
                      k = sizes[i / SIZES / SIZES % SIZES];
        const bool tb = i / SIZES / SIZES / SIZES % 2;
        struct product p = {.batch = 3,
                            .stays = i % 3 == 0,
                            .m = m,
                            .n = n,
                            .k = k,
                            .a_row = k,
                            .a_col = 1,
                            .b_row = tb ? 1 : n,
                            .b_col = tb ? k : 1};
        sunup__product_cut(&p, i % 2 ? 2 : 96);
        assert_true(p.items_m >= 1 && p.items_m <= m && p.items_n >= 1);
        assert_true(p.items_n <= ceil_div(n, LINE));
        assert_true(p.rows >= ceil_div(m, p.items_m) && p.strip >= 1);
        assert_true(p.columns >= ceil_div(ceil_div(n, LINE), p.items_n) * LINE && p.depth >= 1);
        assert_true(p.tasks >= 1 && p.tasks <= 3 * p.items_m * p.items_n);
        assert_true(!p.pack_b || p.prepared ||
                    p.slot >= ceil_div(p.columns, PANEL) * PANEL * p.depth);
        assert_true(!p.prepared || (p.pack_b && p.stays));
        assert_true(!p.pack_a || p.slot >= p.strip * p.depth);
        assert_true(!p.stream || (p.items_n == 1 && p.k <= p.depth && p.slot >= p.strip * n));
        assert_true(!p.asks_a || p.k <= p.depth);
        assert_true(p.b_col == 1 || p.pack_b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(blocks_have_the_bits_of_the_whole),
                                       cmocka_unit_test(vectors_have_the_bits_of_dots),
                                       cmocka_unit_test(chunks_have_the_bits_of_their_sums),
                                       cmocka_unit_test(halves_have_the_bits_of_their_sums),
                                       cmocka_unit_test(turned_have_the_bits_of_their_sums),
                                       cmocka_unit_test(items_cover_every_element)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
