/* shared.c - memory of a rank that the other ranks of its node see as well.
 *
 * Each rank makes a block without a name (memfd_create(2)) and tells the others its number; they map it through
 * /proc. So nothing is left behind whatever ends a process, the size of /dev/shm is no limit, and no call waits for
 * another rank but the gather, which the watchdog guards: MPI's windows would wait without a word.
 *
 * Where a block cannot be mapped (ranks in containers of their own, no /proc) all ranks of the communicator learn of
 * it and go without. Why not MPI_Win_allocate_shared: docs/decisions/008-one-node.md.
 */
#include <fcntl.h>
#include <stdio.h>
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

static struct offer make_block(int64_t bytes, char **block)
{
    struct offer mine = {.pid = (int)getpid(), .file = memfd_create("sunup", MFD_CLOEXEC)};
    if (mine.file < 0 || ftruncate(mine.file, bytes) != 0) return mine;
    *block = map_file(mine.file, bytes);
    if (*block == NULL) return mine;
    take_huge_pages(*block, bytes);
    mine.bytes = bytes;
    return mine;
}

static char *map_block(const struct offer *o)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/fd/%d", o->pid, o->file);
    const int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0) return NULL;
    char *at = map_file(file, o->bytes);
    (void)close(file);
    return at;
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
    }
    return true;
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

sunup_status sunup__shared_create(sunup_comm *comm, int64_t bytes, struct shared *s)
{
    *s = (struct shared){.ranks = comm->node_ranks};
    s->block = sunup__alloc((size_t)s->ranks * sizeof *s->block);
    s->bytes = sunup__alloc((size_t)s->ranks * sizeof *s->bytes);
    struct offer mine = {.file = -1};
    if (s->block != NULL && s->bytes != NULL)
        mine = make_block(block_bytes(bytes), &s->block[comm->node_rank]);
    if (mine.bytes > 0) s->bytes[comm->node_rank] = mine.bytes;
    const sunup_status status = exchange_offers(comm, mine, s);
    if (mine.file >= 0) (void)close(mine.file); /* all others have opened it, or never will */
    if (status != SUNUP_OK || !s->whole) sunup__shared_end(s);
    return status;
}

void sunup__shared_end(struct shared *s)
{
    for (int i = 0; s->block != NULL && s->bytes != NULL && i < s->ranks; i++)
        if (s->block[i] != NULL) (void)munmap(s->block[i], (size_t)s->bytes[i]);
    sunup__free(s->block);
    sunup__free(s->bytes);
    *s = (struct shared){0};
}
