/* check_guard.c - pages that may not be touched, and crashes caught: the check's only calls of the
 * OS.
 *
 * Owes: an operand whose first or last byte touches an unreadable page, and a leaf's SIGSEGV,
 * SIGBUS, SIGILL or SIGFPE turned into its name. They are here and not in base because no other
 * part may want them. Invariant: handlers are installed only while a leaf runs. One check runs at a
 * time in a process.
 */
#include "kernels/check_state.h"

#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { GUARD_BYTE = 0xA5 };

bool sunup__check_map(struct check_memory *m, size_t bytes, bool at_end)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t inner = (bytes + page) / page * page; /* at least one byte of guard */
    *m = (struct check_memory){.map_bytes = inner + 2 * page, .data_bytes = bytes};
    void *map = mmap(NULL, m->map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) return false;
    m->map = map;
    if (mprotect(m->map + page, inner, PROT_READ | PROT_WRITE) != 0) return false;
    memset(m->map + page, GUARD_BYTE, inner);
    m->data = m->map + page + (at_end ? inner - bytes : 0);
    return true;
}

void sunup__check_unmap(struct check_memory *m)
{
    if (m->map) munmap(m->map, m->map_bytes);
    m->map = NULL;
}

const unsigned char *sunup__check_guard(const struct check_memory *m)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const unsigned char *end = m->map + m->map_bytes - page;
    for (const unsigned char *p = m->map + page; p < end; p++) {
        if (p == m->data) p += m->data_bytes;
        if (p < end && *p != GUARD_BYTE) return p;
    }
    return NULL;
}

/* A handler gets no argument of ours, so the way back must be a variable of the process. */
static sigjmp_buf way_back;

static void on_signal(int number)
{
    siglongjmp(way_back, number);
}

static const struct {
    int number;
    const char *name;
} signals[] = {{SIGSEGV, "SIGSEGV"}, {SIGBUS, "SIGBUS"}, {SIGILL, "SIGILL"}, {SIGFPE, "SIGFPE"}};
enum { SIGNALS = sizeof signals / sizeof signals[0] };

const char *sunup__check_guarded(void (*fn)(struct check *c), struct check *c)
{
    struct sigaction old[SIGNALS], new = {.sa_handler = on_signal};
    sigemptyset(&new.sa_mask);
    for (int i = 0; i < SIGNALS; i++) sigaction(signals[i].number, &new, &old[i]);
    const int caught = sigsetjmp(way_back, 1);
    if (caught == 0) fn(c);
    for (int i = 0; i < SIGNALS; i++) sigaction(signals[i].number, &old[i], NULL);
    for (int i = 0; i < SIGNALS; i++) {
        if (signals[i].number == caught) return signals[i].name;
    }
    return NULL;
}
