/* 03_ranks.c - a sum whose bits do not depend on the number of ranks. mpiexec -n N example_03_ranks
 *
 * Twelve terms that cancel badly are shared by the ranks; plain MPI sums of them differ from rank count to rank
 * count. Every N prints the same hexadecimal number.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sunup.h>

enum { TERMS = 12, N = 1000 };

static float term(int shard, int i)
{
    return ldexpf(sinf((float)(shard * N + i)), 10 * (shard % 4)) * (shard % 2 ? -1.f : 1.f);
}

int main(void)
{
    static float terms[TERMS * N], sum[N];
    sunup_context *ctx = NULL;
    sunup_comm *comm = NULL;
    sunup_status s = sunup_context_create(NULL, &ctx);
    if (s == SUNUP_OK) s = sunup_comm_create(ctx, NULL, &comm);
    if (s == SUNUP_OK) {
        const int rank = sunup_comm_rank(comm), ranks = sunup_comm_ranks(comm);
        const int from = rank * TERMS / ranks, to = (rank + 1) * TERMS / ranks;
        for (int t = from; t < to; t++)
            for (int i = 0; i < N; i++) terms[(t - from) * N + i] = term(t, i);
        s = sunup_comm_sum_shards(comm, TERMS, N, terms, sum);
        if (s == SUNUP_OK && rank == 0)
            printf("%d ranks: sum[7] = %a, sum[999] = %a\n", ranks, sum[7], sum[999]);
    }
    if (s != SUNUP_OK) fprintf(stderr, "%s\n", sunup_error(ctx));
    sunup_comm_destroy(&comm);
    sunup_context_destroy(&ctx);
    return s == SUNUP_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
