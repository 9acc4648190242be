/* shared.c - memory of a rank that the other ranks of its node see as well.
 *
 * Each rank makes a block without a name (memfd_create(2)) and tells the others its number; they map it through
 * /proc. So nothing is left behind whatever ends a process, the size of /dev/shm is no limit, and no call waits for
 * another rank but the gather, which the watchdog guards: MPI's windows would wait without a word.
 *
 * Where a block cannot be mapped (ranks in containers of their own, no /proc) all ranks of the communicator learn of
 * it and go without. Why not MPI_Win_allocate_shared: docs/decisions/008-one-node.md.
 *
 * A block may begin with bytes that are the same on all ranks (weights). They are there once for all ranks beside the
 * same memory (a NUMA node), in the block of the first of these, over whose beginning the others map it.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/integers.h"
#include "base/memory.h"
#include "comm/inside.h"

enum { HUGE = 2 << 20 };
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif

/* What a rank tells the others of its block. */
struct offer {
    int64_t bytes; /* 0: none */
    int pid, file;
};

/* At a multiple of HUGE, without which no page of that size can be mapped. */
static void *map_file(int file, int64_t bytes)
{
    const size_t whole = (size_t)bytes + (bytes < HUGE ? 0 : HUGE);
    char *room = mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED) return NULL;
    char *at = bytes < HUGE ? room : room + (HUGE - (uintptr_t)room % HUGE) % HUGE, *end = at + bytes;
    if (at > room) (void)munmap(room, (size_t)(at - room));
    if (room + whole > end) (void)munmap(end, (size_t)(room + whole - end));
    if (mmap(at, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0) == MAP_FAILED) {
        (void)munmap(at, (size_t)bytes);
        return NULL;
    }
    (void)madvise(at, (size_t)bytes, MADV_HUGEPAGE);
    return at;
}

/* Systems mostly grant shared memory no huge page by themselves (transparent_hugepage/shmem_enabled), but move what is
 * there already into such. */
static void take_huge_pages(char *at, int64_t bytes)
{
    if (bytes < HUGE || madvise(at, (size_t)bytes, MADV_POPULATE_WRITE) != 0) return;
    (void)madvise(at, (size_t)bytes, MADV_COLLAPSE);
}

/* The first `elsewhere` bytes will be those of another block: no memory is taken for them. */
static struct offer make_block(int64_t bytes, int64_t elsewhere, char **block)
{
    struct offer mine = {.pid = (int)getpid(), .file = memfd_create("sunup", MFD_CLOEXEC)};
    if (mine.file < 0 || ftruncate(mine.file, bytes) != 0) return mine;
    *block = map_file(mine.file, bytes);
    if (*block == NULL) return mine;
    take_huge_pages(*block + elsewhere, bytes - elsewhere);
    mine.bytes = bytes;
    return mine;
}

static int open_block(const struct offer *o)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/fd/%d", o->pid, o->file);
    return open(path, O_RDWR | O_CLOEXEC);
}

static char *map_block(const struct offer *o)
{
    const int file = open_block(o);
    if (file < 0) return NULL;
    char *at = map_file(file, o->bytes);
    (void)close(file);
    return at;
}

/* What all ranks beside one memory have in common, over the beginning of a block that is mapped here. */
static bool map_common(const struct offer *first, int64_t common, char *block)
{
    const int file = open_block(first);
    if (file < 0) return false;
    const bool mapped =
        mmap(block, (size_t)common, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0) != MAP_FAILED;
    (void)madvise(block, (size_t)common, MADV_HUGEPAGE);
    (void)close(file);
    return mapped;
}

/* offers: of this node. */
static bool map_all(const sunup_comm *comm, const struct offer *offers, struct shared *s)
{
    for (int i = 0; i < s->ranks; i++)
        if (offers[i].bytes == 0) return false;
    for (int i = 0; i < s->ranks; i++) {
        s->bytes[i] = offers[i].bytes;
        if (i != comm->node_rank) s->block[i] = map_block(&offers[i]);
        if (s->block[i] == NULL) return false;
        if (s->common > 0 && s->first[i] != i && !map_common(&offers[s->first[i]], s->common, s->block[i]))
            return false;
    }
    return true;
}

/* --- who has the same memory --- */

/* For tests, a memory for so many ranks of the node, as if the machine had several. */
static int memory_of(const sunup_comm *comm)
{
    const char *pretended = getenv("SUNUP_MEMORY_RANKS");
    const int ranks = pretended != NULL ? atoi(pretended) : 0;
    unsigned core, memory = 0;
    if (ranks > 0) return comm->node_rank / ranks;
    return getcpu(&core, &memory) == 0 ? (int)memory : 0;
}

static sunup_status find_first(sunup_comm *comm, struct shared *s)
{
    const int mine = memory_of(comm);
    int *memory = sunup__alloc((size_t)comm->ranks * sizeof *memory);
    sunup_status status = SUNUP_OK;
    if (memory == NULL) status = sunup__raise(comm->ctx, SUNUP_E_MEMORY, "no memory for %d ranks", comm->ranks);
    status = sunup_comm_agree(comm, status);
    if (status == SUNUP_OK) status = sunup__comm_gather(comm, &mine, sizeof mine, memory, "find common memory");
    for (int i = 0; status == SUNUP_OK && i < s->ranks; i++) {
        const int *of_node = memory + sunup__node_peer(comm, 0);
        while (of_node[s->first[i]] != of_node[i]) s->first[i]++;
    }
    sunup__free(memory);
    return status;
}

/* Every rank has mapped every block, or none keeps one. */
static sunup_status exchange_offers(sunup_comm *comm, struct offer mine, struct shared *s)
{
    struct offer *offers = sunup__alloc((size_t)comm->ranks * sizeof *offers);
    uint8_t *mapped = sunup__alloc((size_t)comm->ranks);
    sunup_status status = SUNUP_OK;
    if (offers == NULL || mapped == NULL)
        status = sunup__raise(comm->ctx, SUNUP_E_MEMORY, "no memory for %d ranks", comm->ranks);
    status = sunup_comm_agree(comm, status);
    if (status == SUNUP_OK)
        status = sunup__comm_gather(comm, &mine, sizeof mine, offers, "offer shared memory");
    if (status == SUNUP_OK) {
        const uint8_t all = map_all(comm, offers + sunup__node_peer(comm, 0), s);
        status = sunup__comm_gather(comm, &all, 1, mapped, "map shared memory");
    }
    for (int r = 0; status == SUNUP_OK && r < comm->ranks; r++)
        s->whole = (r == 0 || s->whole) && mapped[r];
    sunup__free(offers);
    sunup__free(mapped);
    return status;
}

/* Whole huge pages, or fewer bytes than one. */
static int64_t block_bytes(int64_t bytes)
{
    return bytes < HUGE ? most(bytes, 1) : round_up(bytes, HUGE);
}

static sunup_status make_tables(sunup_comm *comm, struct shared *s)
{
    s->block = sunup__alloc((size_t)s->ranks * sizeof *s->block);
    s->bytes = sunup__alloc((size_t)s->ranks * sizeof *s->bytes);
    s->first = sunup__alloc((size_t)s->ranks * sizeof *s->first);
    if (s->block && s->bytes && s->first) return SUNUP_OK;
    return sunup__raise(comm->ctx, SUNUP_E_MEMORY, "no memory for %d ranks of a node", s->ranks);
}

sunup_status sunup__shared_create(sunup_comm *comm, int64_t bytes, int64_t common, struct shared *s)
{
    *s = (struct shared){.ranks = comm->node_ranks, .common = common / HUGE * HUGE};
    sunup_status status = sunup_comm_agree(comm, make_tables(comm, s));
    if (status == SUNUP_OK && s->common > 0) status = find_first(comm, s);
    struct offer mine = {.file = -1};
    const int me = comm->node_rank;
    if (status == SUNUP_OK)
        mine = make_block(block_bytes(bytes), s->first[me] != me ? s->common : 0, &s->block[me]);
    if (mine.bytes > 0) s->bytes[me] = mine.bytes;
    if (status == SUNUP_OK) status = exchange_offers(comm, mine, s);
    if (mine.file >= 0) (void)close(mine.file); /* all others have opened it, or never will */
    if (status != SUNUP_OK || !s->whole) sunup__shared_end(s);
    return status;
}

int64_t sunup__shared_there(const struct shared *s, int from, int to)
{
    return s->first[to] != to || s->first[from] == to ? s->common : 0;
}

void sunup__shared_end(struct shared *s)
{
    for (int i = 0; s->block != NULL && s->bytes != NULL && i < s->ranks; i++)
        if (s->block[i] != NULL) (void)munmap(s->block[i], (size_t)s->bytes[i]);
    sunup__free(s->block);
    sunup__free(s->bytes);
    sunup__free(s->first);
    *s = (struct shared){0};
}
