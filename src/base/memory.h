/* memory.h - allocation with counting, 64-byte alignment, and a bump arena for objects that die together.
 *
 * Every allocation of the library goes through here, so that a test can count them inside a step and make
 * the n-th one fail (sunup__fail_allocation). Sizes are in bytes; 0 bytes gives a valid pointer.
 */
#ifndef SUNUP_BASE_MEMORY_H
#define SUNUP_BASE_MEMORY_H

#include <stddef.h>
#include <stdint.h>

void *sunup__alloc(size_t bytes); /* zeroed; NULL if there is no room  */
void *
sunup__alloc_aligned(size_t bytes); /* 64-byte aligned, not zeroed; huge pages advised from 4 MiB */
void *sunup__realloc(void *p, size_t bytes);
char *sunup__strdup(const char *s); /* NULL in, NULL out                 */
void sunup__free(void *p);          /* what any of the above returned    */
/* p's contents are lost, and its pages are the system's until they are written again. */
void sunup__release_pages(void *p);

int64_t sunup__allocations(void);         /* made so far by this process       */
void sunup__fail_allocation(int64_t nth); /* the nth from now fails; < 0: none */

/* Growing bump allocator; memory is zeroed and ends with the arena. */
struct arena {
    struct arena_block *last;
};
void *sunup__arena_alloc(struct arena *a, size_t bytes);
char *sunup__arena_strdup(struct arena *a, const char *s);
void sunup__arena_end(struct arena *a);

/* printf into fresh memory / append to a growing text. NULL text: allocation failed, later calls do nothing. */
struct text {
    char *s;
    size_t n, room;
};
void sunup__text(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
