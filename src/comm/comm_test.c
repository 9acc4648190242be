/* comm_test.c - one rank, without a launcher: creation, options, sums, and failing memory. Many
 * ranks: tests/ranks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/system.h"
#include "comm/inside.h"

struct fixture {
    sunup_context *ctx;
    sunup_comm *comm;
    struct kernels kernels;
};

static int set_up(void **state)
{
    static struct fixture f;
    *state = &f;
    return sunup_context_create(NULL, &f.ctx) != SUNUP_OK ||
           sunup_comm_create(f.ctx, NULL, &f.comm) != SUNUP_OK ||
           !sunup__kernels_init(&f.kernels, sunup__cpu_flags(), f.ctx->options.isa);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    sunup_comm_destroy(&f->comm);
    sunup_comm_destroy(&f->comm); /* NULL in, NULL out */
    sunup_context_destroy(&f->ctx);
    return f->comm != NULL;
}

static void one_rank(void **state)
{
    const struct fixture *f = *state;
    int node_rank, node_ranks;
    sunup__comm_node(f->comm, &node_rank, &node_ranks);
    assert_int_equal(sunup_comm_rank(f->comm), 0);
    assert_int_equal(sunup_comm_ranks(f->comm), 1);
    assert_int_equal(node_rank, 0);
    assert_int_equal(node_ranks, 1);
    assert_false(sunup__wire_running()); /* MPI was not touched */
}

/* (0 + 1) + 2 with terms of which 0 + (1 + 2) gives another sum. */
static void order_of_three(void **state)
{
    const struct fixture *f = *state;
    float terms[3][2] = {{0x1p30f, 1}, {-0x1p30f, 2}, {1, 4}}, sum[2];
    assert_int_equal(sunup_comm_sum_shards(f->comm, 3, 2, terms[0], sum), SUNUP_OK);
    assert_true(sum[0] == 1 && sum[1] == 7);
    float other[4][1] = {{1}, {0x1p30f}, {-0x1p30f}, {1}}; /* (1 + 2^30) + (1 - 2^30) = 0 in f32 */
    assert_int_equal(sunup_comm_sum_shards(f->comm, 4, 1, other[0], sum), SUNUP_OK);
    assert_true(sum[0] == 0);
}

static void streaming_needs_no_allocation(void **state)
{
    const struct fixture *f = *state;
    enum { N = 10001, SHARDS = 13 };
    const struct exchange_options o = {
        .k = &f->kernels, .threads = 2, .shards = SHARDS, .n = N, .head = N / 2, .data_n = N, .f64 = true};
    struct exchange *x;
    assert_int_equal(sunup__exchange_create(f->comm, &o, &x), SUNUP_OK);
    const struct slice *own;
    assert_int_equal(sunup__exchange_slices(x, 0, &own), 1);
    assert_true(own->at == 0 && own->n == N / 2);
    for (int i = 0; i < N; i++) assert_true(((double *)sunup__exchange_data(x))[i] == 0);
    const int64_t before = sunup__allocations();
    for (int step = 0; step < 2; step++) {
        for (int s = 0; s < SHARDS; s++) {
            double *slot = sunup__exchange_slot(x);
            assert_non_null(slot);
            for (int i = 0; i < N; i++) slot[i] = (double)s * i;
            sunup__exchange_push(x);
        }
        assert_null(sunup__exchange_slot(x));
        int64_t words[2] = {3, -step};
        assert_int_equal(sunup__exchange_reduce(x, "step"), SUNUP_OK);
        assert_int_equal(sunup__exchange_combine(x, "words", 2, words), SUNUP_OK);
        assert_true(words[0] == 3 && words[1] == -step);
        const double *total = sunup__exchange_total(x);
        for (int i = 0; i < N; i++) assert_true(total[i] == 78.0 * i);
        sunup__exchange_give(x, 0, N / 2);
        assert_int_equal(sunup__exchange_share(x, "data"), SUNUP_OK);
    }
    assert_int_equal(sunup__allocations(), before);
    sunup__exchange_destroy(&x);
    assert_null(x);
}

static void wrong_number_of_shards(void **state)
{
    const struct fixture *f = *state;
    struct exchange *x;
    struct exchange_options o = {.k = &f->kernels, .threads = 1, .shards = 2, .n = 1};
    assert_int_equal(sunup__exchange_create(f->comm, &o, &x), SUNUP_OK);
    sunup__exchange_push(x);
    assert_int_equal(sunup__exchange_reduce(x, "too few"), SUNUP_E_INTERNAL);
    for (int i = 0; i < 3; i++) sunup__exchange_push(x);
    assert_int_equal(sunup__exchange_reduce(x, "too many"), SUNUP_E_INTERNAL);
    sunup__exchange_destroy(&x);
    o.shards = 0;
    assert_int_equal(sunup__exchange_create(f->comm, &o, &x), SUNUP_E_ARGUMENT);
    assert_null(x);
    o = (struct exchange_options){.k = &f->kernels, .threads = 1, .shards = 1, .n = -1};
    assert_int_equal(sunup__exchange_create(f->comm, &o, &x), SUNUP_E_ARGUMENT);
    o.n = 4;
    o.head = 5;
    assert_int_equal(sunup__exchange_create(f->comm, &o, &x), SUNUP_E_INTERNAL);
}

/* 8 shards in a row: three sums of the counter and the slot. One shard a rank: its slot and
 * what lands in three stages. */
static void predicted_memory(void **state)
{
    (void)state;
    struct exchange_options o = {.shards = 8, .n = 1024, .data_n = 16};
    assert_int_equal(sunup__exchange_bytes(&o, 1), 4 * 4096 + 64);
    assert_int_equal(sunup__exchange_bytes(&o, 8), 4096 + 64 + 2048 + 1024 + 512);
    o.f64 = true;
    assert_int_equal(sunup__exchange_bytes(&o, 1), 4 * 8192 + 128);
    o = (struct exchange_options){.shards = 8, .n = 1 << 24};
    assert_true(sunup__exchange_bytes(&o, 3) < 7 * (INT64_C(4) << 24));
}

static void every_allocation_may_fail(void **state)
{
    const struct fixture *f = *state;
    int failures = 0;
    for (;; failures++) {
        struct exchange *x = NULL;
        const struct exchange_options o = {
            .k = &f->kernels, .threads = 1, .shards = 8, .n = 100, .head = 50, .data_n = 50};
        sunup__fail_allocation(failures);
        const sunup_status status = sunup__exchange_create(f->comm, &o, &x);
        sunup__fail_allocation(-1);
        if (status == SUNUP_OK) {
            sunup__exchange_destroy(&x);
            break;
        }
        assert_int_equal(status, SUNUP_E_MEMORY);
        assert_null(x);
    }
    assert_in_range(failures, 3, 20);
}

static void small_collectives_alone(void **state)
{
    const struct fixture *f = *state;
    uint64_t mine = 7, all = 0;
    assert_int_equal(sunup__comm_gather(f->comm, &mine, sizeof mine, &all, "gather"), SUNUP_OK);
    assert_int_equal(all, 7);
    assert_int_equal(sunup__comm_broadcast(f->comm, &mine, sizeof mine, 0, "broadcast"), SUNUP_OK);
    assert_int_equal(sunup__comm_broadcast(f->comm, &mine, sizeof mine, 1, "broadcast"),
                     SUNUP_E_ARGUMENT);
    assert_int_equal(sunup__comm_barrier(f->comm, "barrier"), SUNUP_OK);
    assert_int_equal(sunup__comm_compare(f->comm, 1, "weights"), SUNUP_OK);
    assert_int_equal(sunup_comm_agree(f->comm, SUNUP_E_NAN), SUNUP_E_NAN);
    assert_int_equal(sunup_comm_agree(f->comm, SUNUP_OK), SUNUP_OK);
}

static void options_are_checked(void **state)
{
    const struct fixture *f = *state;
    sunup_comm *comm;
    sunup_comm_options options = sunup_comm_defaults();
    options.timeout_s = 0;
    assert_int_equal(sunup_comm_create(f->ctx, &options, &comm), SUNUP_E_ARGUMENT);
    assert_null(comm);
    setenv("SUNUP_TIMEOUT", "soon", 1);
    assert_int_equal(sunup_comm_create(f->ctx, NULL, &comm), SUNUP_E_ARGUMENT);
    assert_non_null(strstr(sunup_error(f->ctx), "SUNUP_TIMEOUT is \"soon\""));
    setenv("SUNUP_TIMEOUT", "2.5", 1);
    assert_int_equal(sunup_comm_create(f->ctx, &options, &comm),
                     SUNUP_OK); /* the environment overrides */
    assert_true(comm->options.timeout_s == 2.5);
    sunup_comm_destroy(&comm);
    unsetenv("SUNUP_TIMEOUT");
}

static void launchers_are_recognised(void **state)
{
    (void)state;
    assert_false(sunup__launched_by_mpi());
    setenv("SLURM_PROCID", "0", 1);
    assert_false(sunup__launched_by_mpi()); /* a batch script, not yet srun */
    setenv("SLURM_STEP_NUM_TASKS", "4", 1);
    assert_true(sunup__launched_by_mpi());
    unsetenv("SLURM_PROCID");
    unsetenv("SLURM_STEP_NUM_TASKS");
    setenv("PALS_RANKID", "3", 1);
    assert_true(sunup__launched_by_mpi());
    unsetenv("PALS_RANKID");
}

int main(void)
{
    static const char *const inherited[] = {
        "OMPI_COMM_WORLD_RANK", "PMI_RANK",     "PMIX_RANK",
        "PALS_RANKID",          "SLURM_PROCID", "SUNUP_TIMEOUT"};
    for (size_t i = 0; i < sizeof inherited / sizeof *inherited; i++) unsetenv(inherited[i]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_rank),
        cmocka_unit_test(order_of_three),
        cmocka_unit_test(streaming_needs_no_allocation),
        cmocka_unit_test(wrong_number_of_shards),
        cmocka_unit_test(predicted_memory),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(small_collectives_alone),
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(launchers_are_recognised),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
