/* system.h - the only OS calls of the library besides memory: clock, files, processor, threads.
 *
 * Threads: sunup__parallel runs task(arg, i) for i in [0, n). Which thread runs which i may depend on the
 * number of threads, so a task may write only what no other i writes; then no result depends on it.
 */
#ifndef SUNUP_BASE_SYSTEM_H
#define SUNUP_BASE_SYSTEM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sunup.h>

double sunup__now_s(void); /* monotonic seconds */

/* Instruction sets this processor and kernel can run, as bits. */
enum {
    CPU_AVX2 = 1,
    CPU_FMA = 2,
    CPU_F16C = 4,
    CPU_AVX512F = 8,
    CPU_AVX512BW = 16,
    CPU_AVX512DQ = 32,
    CPU_AVX512VL = 64,
    CPU_AVX512_BF16 = 128,
    CPU_AMX_BF16 = 256 /* tiles and their bf16 product; Linux lets this process use them */
};
unsigned sunup__cpu_flags(void);
int sunup__cpu_count(void); /* cores this process may run on (affinity), >= 1 */
bool sunup__level3_far(void);      /* the third level lies across a mesh of many cores */
void sunup__cpu_name(char *room, size_t room_bytes);
int64_t sunup__cache_bytes(int level); /* of level 2 or 3; if nobody knows 1 MiB and 0 */
bool sunup__outgrows_caches(int64_t bytes); /* what is written now is read from memory later */
int64_t sunup__memory_available(void); /* bytes: the lower of free memory and the cgroup's limit */
int64_t sunup__memory_peak(void);      /* bytes resident at most so far */

typedef void (*parallel_fn)(void *arg, int64_t i);
void sunup__parallel(int threads, int64_t n, parallel_fn task, void *arg);
/* The same, with each thread's part of the range from its end: a loop just before has left that in the core's cache. */
void sunup__parallel_back(int threads, int64_t n, parallel_fn task, void *arg);
/* Which thread of the pool this is: 0 is any that the pool did not start. For memory that should stay with a core; no
 * result may follow from it. */
int sunup__thread(void);

/* Whole files. write: to a temporary name in the same folder, fsync, rename, fsync of the folder, so that a
 * reader sees the old file or the new one. read: *data is sunup__alloc_aligned memory. */
sunup_status sunup__file_write(sunup_context *ctx, const char *path, const void *data,
                               size_t bytes);
sunup_status sunup__file_read(sunup_context *ctx, const char *path, void **data, size_t *bytes);
sunup_status sunup__make_folder(sunup_context *ctx,
                                const char *path); /* and its parents; fine if there */
bool sunup__file_exists(const char *path);
FILE *sunup__file_open(const char *path, const char *mode); /* fopen, counted */

#endif
