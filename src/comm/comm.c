/* comm.c - creating and destroying a communicator.
 *
 * Owes: one rank without touching MPI unless a launcher started this process or MPI runs already,
 * because MPI_Init costs a tenth of a second; a check that launcher and MPI library belong
 * together; a destroy that never waits longer than timeout_s, and not at all for a rank that is
 * known to be lost.
 *
 * Leaves messages to wire.c, waiting to watchdog.c. The communicator that initialised MPI finalises
 * it, so the first one made is to be destroyed last.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/system.h"
#include "comm/inside.h"

/* --- who started us --- */

/* Variables in which launchers tell a process its rank and the number of ranks. */
static const struct launcher {
    const char *rank, *ranks;
    bool needs_ranks; /* the first alone is set without a launcher as well */
} launchers[] = {
    {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", false},
    {"PMI_RANK", "PMI_SIZE", false},
    {"PMIX_RANK", "PMIX_SIZE", false},
    {"PALS_RANKID", "PALS_SIZE", false},
    {"MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", false},
    {"FLUX_TASK_RANK", "FLUX_JOB_SIZE", false},
    {"SLURM_PROCID", "SLURM_STEP_NUM_TASKS",
     true}, /* a batch script has the first, but is no srun step */
};

enum { RANKS_UNKNOWN = -1 };

static const struct launcher *find_launcher(void)
{
    for (size_t i = 0; i < sizeof launchers / sizeof *launchers; i++)
        if (getenv(launchers[i].rank) && (getenv(launchers[i].ranks) || !launchers[i].needs_ranks))
            return &launchers[i];
    return NULL;
}

/* 0: no launcher. */
static int launched_ranks(void)
{
    const struct launcher *l = find_launcher();
    const char *ranks = l ? getenv(l->ranks) : NULL;
    const int n = ranks ? atoi(ranks) : 0;
    return !l ? 0 : n > 0 ? n : RANKS_UNKNOWN;
}

const char *sunup__launcher_variable(void)
{
    const struct launcher *l = find_launcher();
    return l ? l->rank : NULL;
}

bool sunup__launched_by_mpi(void)
{
    return launched_ranks() != 0;
}

/* --- create --- */

sunup_comm_options sunup_comm_defaults(void)
{
    return (sunup_comm_options){
        .size = sizeof(sunup_comm_options), .timeout_s = 300, .bucket_bytes = (int64_t)4 << 20, .verify = "steps"};
}

static sunup_status read_verify(sunup_comm *c)
{
    static const char *const names[] = {[VERIFY_STEPS] = "steps", [VERIFY_ALWAYS] = "always", [VERIFY_OFF] = "off"};
    const char *set = getenv("SUNUP_VERIFY"), *name = set ? set : c->options.verify;
    for (int i = VERIFY_STEPS; name && i <= VERIFY_OFF; i++)
        if (strcmp(name, names[i]) == 0) {
            c->verify = (enum verify)i;
            c->options.verify = names[i]; /* the caller's may not last */
            return SUNUP_OK;
        }
    RAISE(c->ctx, E_ARGUMENT, "verify%s is \"%s\"; it must be steps, always or off", set ? " (SUNUP_VERIFY)" : "",
          name ? name : "");
}

static sunup_status read_options(sunup_comm *c, const sunup_comm_options *options)
{
    c->options = sunup_comm_defaults();
    const size_t known = sizeof c->options;
    if (options) memcpy(&c->options, options, options->size < known ? options->size : known);
    const char *timeout = getenv("SUNUP_TIMEOUT");
    if (timeout) {
        char *end;
        c->options.timeout_s = strtod(timeout, &end);
        CHECK(end != timeout && !*end, c->ctx, E_ARGUMENT,
              "SUNUP_TIMEOUT is \"%s\"; it must be a number of seconds", timeout);
    }
    const char *messages = getenv("SUNUP_MESSAGES");
    if (messages) c->options.messages = strcmp(messages, "0") != 0;
    CHECK(c->options.timeout_s > 0, c->ctx, E_ARGUMENT,
          "timeout_s is %g; it must be above 0 (default 300)", c->options.timeout_s);
    CHECK(c->options.bucket_bytes > 0, c->ctx, E_ARGUMENT,
          "bucket_bytes is %" PRId64 "; it must be above 0 (default 4 MiB)",
          c->options.bucket_bytes);
    return read_verify(c);
}

/* What ranks tell each other first. */
struct hello {
    char host[HOST_TEXT];
    int64_t bucket_bytes;
    int32_t messages, verify, node_rank, node_ranks, leader; /* leader: the first rank of its node */
};

static void list_nodes(sunup_comm *c, const struct hello *all)
{
    c->regular = true;
    for (int r = 0; r < c->ranks; r++) {
        const int each = all[0].node_ranks;
        c->regular = c->regular && all[r].node_ranks == each && all[r].node_rank == r % each;
        if (all[r].leader != r) continue;
        if (r == all[c->rank].leader) c->node = c->nodes;
        c->leaders[c->nodes++] = r;
    }
}

static sunup_status read_hellos(sunup_comm *c, const struct hello *all)
{
    for (int r = 0; r < c->ranks; r++) {
        CHECK(all[r].bucket_bytes == all[0].bucket_bytes, c->ctx, E_SHAPE,
              "bucket_bytes is %" PRId64 " on rank %d and %" PRId64
              " on rank 0; it must be equal on all ranks",
              all[r].bucket_bytes, r, all[0].bucket_bytes);
        CHECK(all[r].messages == all[0].messages, c->ctx, E_SHAPE,
              "messages (SUNUP_MESSAGES) is %d on rank %d and %d on rank 0; it must be equal on "
              "all ranks",
              all[r].messages, r, all[0].messages);
        CHECK(all[r].verify == all[0].verify, c->ctx, E_SHAPE,
              "verify (SUNUP_VERIFY) is not the same on ranks %d and 0; it must be equal on all ranks", r);
        memcpy(c->hosts[r], all[r].host, HOST_TEXT);
    }
    return SUNUP_OK;
}

static sunup_status greet(sunup_comm *c)
{
    struct hello mine = {.bucket_bytes = c->options.bucket_bytes,
                         .messages = c->options.messages,
                         .verify = (int32_t)c->verify,
                         .node_rank = c->node_rank,
                         .node_ranks = c->node_ranks,
                         .leader = c->records[0].rank};
    if (gethostname(mine.host, sizeof mine.host - 1))
        snprintf(mine.host, sizeof mine.host, "a node");
    struct hello *all = sunup__alloc((size_t)c->ranks * sizeof *all);
    char(*hosts)[HOST_TEXT] = sunup__alloc((size_t)c->ranks * sizeof *hosts);
    c->leaders = sunup__alloc((size_t)c->ranks * sizeof *c->leaders);
    sunup_status status = SUNUP_OK;
    if (!all || !hosts || !c->leaders)
        status =
            sunup__raise(c->ctx, SUNUP_E_MEMORY, "no memory for the names of %d ranks", c->ranks);
    status = sunup_comm_agree(c, status);
    if (status == SUNUP_OK) status = sunup__comm_gather(c, &mine, sizeof mine, all, "start");
    if (status == SUNUP_OK) {
        c->hosts = hosts;
        list_nodes(c, all);
        status = read_hellos(c, all);
    } else {
        sunup__free(hosts);
    }
    sunup__free(all);
    return status;
}

/* Broadcasts send to one child a level and never need more than 32 messages at a time. */
static sunup_status connect(sunup_comm *c, const int *mpi_comm_f, const sunup_comm *left_of, int expected)
{
    TRY(sunup__wire_open(c, mpi_comm_f, left_of));
    CHECK(mpi_comm_f || expected <= 1 || c->ranks > 1, c->ctx, E_UNSUPPORTED,
          "the launcher started %d processes but the MPI library of this build sees one: mpiexec "
          "belongs to another MPI (compare `mpiexec --version` with `sunup doctor`)",
          expected);
    if (c->ranks == 1) return SUNUP_OK;
    c->cards = sunup__alloc((size_t)c->ranks * sizeof *c->cards);
    c->sums = sunup__alloc(2 * (size_t)c->ranks * sizeof *c->sums);
    CHECK(c->cards && c->sums, c->ctx, E_MEMORY, "no memory for %d ranks", c->ranks);
    TRY(sunup__flight_create(c, 2 * c->ranks > 32 ? 2 * c->ranks : 32, &c->flight));
    TRY(greet(c));
    TRY(sunup__pool_create(c));
    sunup__comm_verify(c, false);
    return SUNUP_OK;
}

static void release(sunup_comm **comm)
{
    sunup_comm *c = *comm;
    sunup__shared_end(&c->pool);
    sunup__wire_close(c);
    if (c->flight.left == 0) {
        sunup__flight_end(&c->flight);
        sunup__free(c->cards);
        sunup__free(c->room);
        sunup__free(c->sums);
    }
    sunup__node_sum_destroy(&c->tree);
    sunup__free(c->hosts);
    sunup__free(c->leaders);
    sunup__free(c);
    *comm = NULL;
}

static sunup_status create(sunup_context *ctx, const sunup_comm_options *options, const int *mpi_comm_f,
                           const sunup_comm *left_of, sunup_comm **out)
{
    *out = NULL;
    sunup_comm *c = sunup__alloc(sizeof *c);
    CHECK(c, ctx, E_MEMORY, "no memory for a communicator");
    c->ctx = ctx;
    c->ranks = c->node_ranks = 1;
    snprintf(c->site, SITE_TEXT, "start");
    sunup_status status = read_options(c, options);
    const int expected = launched_ranks();
    const bool alone = !mpi_comm_f && (expected == 0 || expected == 1) && !sunup__wire_running();
    if (status == SUNUP_OK && !alone) status = connect(c, mpi_comm_f, left_of, expected);
    c->crowded = c->node_ranks > sysconf(_SC_NPROCESSORS_ONLN);
    /* Ranks that never came together must not close MPI together: that would wait for ever. */
    if (status != SUNUP_OK && c->ranks > 1 && !c->hosts) c->broken = status;
    if (status == SUNUP_OK)
        *out = c;
    else
        release(&c);
    return status;
}

sunup_status sunup_comm_create(sunup_context *ctx, const sunup_comm_options *options,
                               sunup_comm **comm)
{
    return create(ctx, options, NULL, NULL, comm);
}

sunup_status sunup_comm_create_from(sunup_context *ctx, const sunup_comm_options *options,
                                    int mpi_comm_f, sunup_comm **comm)
{
    return create(ctx, options, &mpi_comm_f, NULL, comm);
}

sunup_status sunup__comm_create_left(const sunup_comm *broken, int mpi_comm_f, sunup_comm **comm)
{
    return create(broken->ctx, &broken->options, &mpi_comm_f, broken, comm);
}

/* MPI's own calls wait for a rank that is lost, so all are asked for before. */
sunup_status sunup__comm_split(sunup_comm *comm, int colour, sunup_comm **part)
{
    int handle;
    *part = NULL;
    TRY(sunup__comm_barrier(comm, "split the communicator"));
    TRY(sunup__wire_split(comm, colour, &handle));
    const sunup_status status = create(comm->ctx, &comm->options, &handle, NULL, part);
    sunup__wire_free(handle);
    TRY(status);
    (*part)->parent = comm;
    (*part)->first = comm->rank - (*part)->rank;
    (*part)->tamper = comm->tamper;
    (*part)->tamper_arg = comm->tamper_arg;
    return SUNUP_OK;
}

void sunup__comm_break(sunup_comm *comm, sunup_status status)
{
    for (; comm != NULL; comm = comm->parent) {
        comm->broken = status;
        if (comm->records) atomic_store(&comm->records[comm->node_rank].reported, 1);
    }
}

/* --- destroy --- */

/* MPI closes together, so wait for the others here, where waiting ends. A rank that is still in
 * other collectives learns from the mismatch that this one left, and comes here in its turn. */
sunup_status sunup__comm_leave(sunup_comm *c)
{
    if (c->ranks == 1 || c->broken != SUNUP_OK || c->left) return SUNUP_OK;
    sunup_status status;
    do {
        status =
            sunup__meet(c, &(struct call){CALL_END, 0, 0, "destroy the communicator"}, SUNUP_OK, 0);
    } while (status == SUNUP_E_SHAPE);
    if (status == SUNUP_OK) sunup__leave(c);
    c->left = true;
    return status;
}

/* The user's last error is kept. */
static void take_leave(sunup_comm *c)
{
    char *error = sunup__strdup(c->ctx->error);
    const struct blame blame = c->ctx->blame;
    const sunup_status status = sunup__comm_leave(c);
    if (status != SUNUP_OK) sunup__log(c->ctx, SUNUP_LOG_WARN, "%s", sunup_error(c->ctx));
    sunup__raise(c->ctx, status, "%s", error ? error : "");
    c->ctx->blame = blame;
    sunup__free(error);
}

void sunup_comm_destroy(sunup_comm **comm)
{
    if (!comm || !*comm) return;
    take_leave(*comm);
    release(comm);
}

void sunup__comm_abort(sunup_comm *comm, int exit_status)
{
    if (comm) sunup__wire_abort(comm, exit_status);
    _Exit(exit_status);
}

/* --- questions --- */

int sunup_comm_rank(const sunup_comm *comm)
{
    return comm->rank;
}

int sunup_comm_ranks(const sunup_comm *comm)
{
    return comm->ranks;
}

void sunup__comm_node(const sunup_comm *comm, int *node_rank, int *node_ranks)
{
    *node_rank = comm->node_rank;
    *node_ranks = comm->node_ranks;
}
