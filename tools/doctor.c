/* doctor.c - `sunup doctor`: what this machine, build and environment offer, and what to change. */
#include <stdlib.h>
#include <string.h>
#ifdef SUNUP_HAVE_HWLOC
#include <hwloc.h>
#endif

#include "base/counters.h"
#include "base/system.h"
#include "comm/comm.h"
#include "device/device.h"
#include "kernels/check.h"
#include "program.h"

struct facts {
    char processor[64];
    int cores_allowed, cores, packages, numa_nodes; /* 0: unknown */
    int64_t memory_bytes;
    const char *best_isa, *isa, *compiler;
    struct peak peak;
    bool instructions; /* can be counted */
};

static void look_at_topology(struct facts *f)
{
#ifdef SUNUP_HAVE_HWLOC
    hwloc_topology_t topology;
    if (hwloc_topology_init(&topology) != 0) return;
    if (hwloc_topology_load(topology) == 0) {
        f->cores = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE);
        f->packages = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PACKAGE);
        f->numa_nodes = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_NUMANODE);
    }
    hwloc_topology_destroy(topology);
#else
    (void)f;
#endif
}

static sunup_status look(struct command *c, struct facts *f)
{
    const struct kernels *k;
    TRY(sunup__kernels(c->ctx, &k));
    *f = (struct facts){.cores_allowed = sunup__cpu_count(),
                        .memory_bytes = sunup__memory_available(),
                        .best_isa = "ref",
                        .isa = k->isa,
                        .compiler = __VERSION__};
    sunup__cpu_name(f->processor, sizeof f->processor);
    for (int i = 0; sunup__isa_name(i) != NULL; i++)
        if (sunup__isa_runs(i, sunup__cpu_flags())) f->best_isa = sunup__isa_name(i);
    f->instructions = sunup__instructions_begin();
    look_at_topology(f);
    f->peak = sunup__kernels_peak(k);
    return SUNUP_OK;
}

static void advise(const struct command *c, const struct facts *f)
{
    int n = 0;
    if (strcmp(f->isa, f->best_isa) != 0)
        (void)printf("  %d. SUNUP_ISA keeps the kernels at %s; this processor has %s: unset it\n",
                     ++n, f->isa, f->best_isa);
    if (f->cores > 0 && f->cores_allowed < f->cores)
        (void)printf("  %d. this process may use %d of %d cores: the launcher binds it; ask for "
                     "more cores a rank if "
                     "that is not meant\n",
                     ++n, f->cores_allowed, f->cores);
    if (c->ctx->threads > f->cores_allowed)
        (void)printf("  %d. %d threads share %d cores: lower SUNUP_THREADS\n", ++n, c->ctx->threads,
                     f->cores_allowed);
    if (sunup__launched_by_mpi() && sunup_comm_ranks(c->comm) == 1)
        (void)printf("  %d. an MPI launcher started this process, but it found one rank: was sunup "
                     "built with the "
                     "same MPI?\n",
                     ++n);
    if (n == 0) (void)printf("  nothing to change\n");
}

static void show(const struct command *c, const struct facts *f)
{
    (void)printf("  sunup       %s, compiler %s\n", sunup_version(), f->compiler);
    (void)printf("  processor   %s\n  cores       %d allowed", f->processor, f->cores_allowed);
    if (f->cores > 0)
        (void)printf(", %d cores in %d package(s), %d NUMA node(s)", f->cores, f->packages,
                     f->numa_nodes);
    (void)printf("\n  kernels     %s in use, %s possible\n", f->isa, f->best_isa);
    (void)printf("  memory      %.1f GB free\n", 1e-9 * (double)f->memory_bytes);
    (void)printf(
        "  ceilings    %.1f GFLOP/s f32 a thread, copy %.1f GB/s (read + write), measured now\n",
        1e-9 * f->peak.flops_per_s, 1e-9 * f->peak.copy_bytes_per_s);
    (void)printf("  counters    instructions %s\n",
                 f->instructions ? "are counted (perf_event_open)"
                                 : "are not counted: perf_event_paranoid is above 2, or the "
                                   "processor's counters are hidden, as in virtual machines");
    (void)printf("  ranks       %d (%s)\n\n", sunup_comm_ranks(c->comm),
                 sunup__launched_by_mpi() ? "started by an MPI launcher" : "started alone");
    advise(c, f);
}

static void show_json(const struct command *c, const struct facts *f)
{
    json_t *j = json_object();
    build_facts(j);
    (void)json_object_set_new(j, "processor", json_string(f->processor));
    (void)json_object_set_new(j, "cores_allowed", json_integer(f->cores_allowed));
    (void)json_object_set_new(j, "threads", json_integer(c->ctx->threads));
    (void)json_object_set_new(j, "isa", json_string(f->isa));
    (void)json_object_set_new(j, "numerics",
                              json_string(sunup_numerics_name(sunup_context_numerics(c->ctx))));
    (void)json_object_set_new(j, "isa_possible", json_string(f->best_isa));
    (void)json_object_set_new(j, "memory_bytes", json_integer(f->memory_bytes));
    (void)json_object_set_new(j, "peak_flops_per_s", json_real(f->peak.flops_per_s));
    (void)json_object_set_new(j, "copy_bytes_per_s", json_real(f->peak.copy_bytes_per_s));
    (void)json_object_set_new(j, "instructions_counted", json_boolean(f->instructions));
    (void)json_object_set_new(j, "ranks", json_integer(sunup_comm_ranks(c->comm)));
    print_json(j);
}

int verb_doctor(struct command *c)
{
    struct facts f;
    sunup_status status = session_ranks(c);
    if (status == SUNUP_OK) status = look(c, &f);
    if (status != SUNUP_OK) return fail(c, status);
    if (sunup_comm_rank(c->comm) != 0) return 0;
    if (c->json)
        show_json(c, &f);
    else
        show(c, &f);
    return 0;
}
