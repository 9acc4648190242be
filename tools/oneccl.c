/* oneccl.c - oneCCL's second interface (onecclAllReduce and its like, 2022.2), which can be called from C.
 *
 * Its sums of host memory come by the plugin for processors, its messages by libfabric (CCL_ATL_TRANSPORT=ofi),
 * so that it runs beside any MPI. Why for comparison only: a call neither returns before all ranks have come nor can be
 * given up (onecclCommAbort is not implemented), so a lost rank would hold a training for ever.
 *
 * Its libraries are loaded when they are wanted, by path: linked, their folder's libfabric would become that of MPI as
 * well, which may be another one.
 */
#include "oneccl.h"

#ifdef SUNUP_ONECCL_LIB

#include <dlfcn.h>
#include <oneapi/ccl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"

#define FUNCTIONS(DO)                                                                              \
    DO(onecclGetUniqueId)                                                                          \
    DO(onecclCommInitRankConfig) DO(onecclCommDestroy) DO(onecclAllReduce) DO(onecclGetErrorString)

struct oneccl {
    sunup_context *ctx;
    onecclComm_t comm;
    onecclUniqueId id;
#define POINTER(name) __typeof__(&(name)) name;
    FUNCTIONS(POINTER)
};

#define TRY_CCL(o, call)                                                                           \
    do {                                                                                           \
        const onecclResult_t result_ = (call);                                                     \
        CHECK(result_ == onecclSuccess, (o)->ctx, E_PEER, "oneCCL: %s: %s", #call,                  \
              (o)->onecclGetErrorString(result_));                                                      \
    } while (0)

/* One finds the other two, which have no path of their own, because they are there. */
static sunup_status load(struct oneccl *o)
{
    static const char *const names[] = {"libccl.so.2", "libccl.so.1", "libccl_legacy_cpu.so"};
    void *library[3];
    for (int i = 0; i < 3; i++) {
        char path[4096];
        (void)snprintf(path, sizeof path, "%s/%s", SUNUP_ONECCL_LIB, names[i]);
        library[i] = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
        CHECK(library[i] != NULL, o->ctx, E_FILE, "oneCCL: %s", dlerror());
    }
#define FIND(name)                                                                                 \
    *(void **)&o->name = dlsym(library[0], #name);                                                 \
    CHECK(o->name != NULL, o->ctx, E_FILE, "oneCCL: %s/%s has no " #name, SUNUP_ONECCL_LIB, names[0]);
    FUNCTIONS(FIND)
    return SUNUP_OK;
}

static sunup_status new_id(struct oneccl *o)
{
    TRY_CCL(o, o->onecclGetUniqueId(&o->id));
    return SUNUP_OK;
}

static sunup_status join(struct oneccl *o, int ranks, int rank)
{
    onecclConfig_t config = ONECCL_CONFIG_INITIALIZER;
    config.plugin = onecclLegacyCPU;
    TRY_CCL(o, o->onecclCommInitRankConfig(&o->comm, (size_t)ranks, o->id, rank, &config));
    return SUNUP_OK;
}

sunup_status oneccl_open(sunup_comm *comm, sunup_context *ctx, struct oneccl **out)
{
    const int rank = sunup_comm_rank(comm);
    struct oneccl *o = *out = sunup__alloc(sizeof *o);
    CHECK(o != NULL, ctx, E_MEMORY, "no memory for oneCCL");
    o->ctx = ctx;
    (void)setenv("FI_PROVIDER_PATH", SUNUP_ONECCL_LIB, 0); /* of the libfabric beside it */
    (void)setenv("CCL_WORKER_OFFLOAD", "0", 0); /* no thread that spins while the other ways have their turn */
    TRY(sunup_comm_agree(comm, load(o)));
    TRY(sunup_comm_agree(comm, rank == 0 ? new_id(o) : SUNUP_OK));
    TRY(sunup__comm_broadcast(comm, &o->id, sizeof o->id, 0, "the ranks of oneCCL"));
    return sunup_comm_agree(comm, join(o, sunup_comm_ranks(comm), rank));
}

sunup_status oneccl_sum(struct oneccl *o, float *x, int64_t n)
{
    TRY_CCL(o, o->onecclAllReduce(x, x, (size_t)n, onecclFloat32, onecclSum, o->comm, NULL));
    return SUNUP_OK;
}

void oneccl_close(struct oneccl **o)
{
    if (*o == NULL) return;
    if ((*o)->comm != NULL) (void)(*o)->onecclCommDestroy((*o)->comm);
    sunup__free(*o);
    *o = NULL;
}

#else

sunup_status oneccl_open(sunup_comm *comm, sunup_context *ctx, struct oneccl **o)
{
    (void)comm;
    (void)ctx;
    *o = NULL;
    return SUNUP_OK;
}

sunup_status oneccl_sum(struct oneccl *o, float *x, int64_t n)
{
    (void)o;
    (void)x;
    (void)n;
    return SUNUP_E_UNSUPPORTED;
}

void oneccl_close(struct oneccl **o)
{
    (void)o;
}

#endif
