/* system.c - clock, processor, memory: what the operating system knows. Files: file.c; threads: threads.c. */
#include "base/system.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#ifdef __x86_64__
#include <cpuid.h>
#endif
#if defined __x86_64__ && defined __linux__
#include <sys/syscall.h>
#endif

double sunup__now_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#ifdef __x86_64__
/* Tile registers are 8 KB that a process has to ask for, once for all its threads; asking again is
 * free. A kernel that does not know or save them, or a sandbox, says no. */
static bool tiles_granted(void)
{
#ifdef __linux__
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 }; /* <asm/prctl.h>; bit of XCR0 */
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
#else
    return false;
#endif
}

static bool has_amx_bf16(void)
{
    enum { AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24 };
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
    return (d & AMX_BF16) && (d & AMX_TILE) && tiles_granted();
}
#endif

unsigned sunup__cpu_flags(void)
{
#ifdef __x86_64__
    __builtin_cpu_init(); /* also asks the kernel which registers it saves */
    unsigned flags = 0;
    if (__builtin_cpu_supports("avx2")) flags |= CPU_AVX2;
    if (__builtin_cpu_supports("fma")) flags |= CPU_FMA;
    if (__builtin_cpu_supports("avx512f")) flags |= CPU_AVX512F;
    if (__builtin_cpu_supports("avx512bw")) flags |= CPU_AVX512BW;
    if (__builtin_cpu_supports("avx512dq")) flags |= CPU_AVX512DQ;
    if (__builtin_cpu_supports("avx512vl")) flags |= CPU_AVX512VL;
    unsigned a, b, c, d;
    if (__get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C)) flags |= CPU_F16C;
    if ((flags & CPU_AVX512F) && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & (1U << 5)))
        flags |= CPU_AVX512_BF16;
    if (has_amx_bf16()) flags |= CPU_AMX_BF16;
    return flags;
#else
    return 0;
#endif
}

int sunup__cpu_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    const int n = CPU_COUNT(&set);
    return n > 0 ? n : 1;
}

/* Intel's with 512-bit vectors are, but for a few laptops, servers; others give 4 to 16 cores a third
 * level of their own, some 50 cycles away. */
bool sunup__level3_far(void)
{
#ifdef __x86_64__
    __builtin_cpu_init();
    return __builtin_cpu_is("intel") && __builtin_cpu_supports("avx512f");
#else
    return false;
#endif
}

void sunup__cpu_name(char *room, size_t room_bytes)
{
    (void)snprintf(room, room_bytes, "unknown processor");
#ifdef __x86_64__
    unsigned words[13] = {0};
    for (unsigned i = 0; i < 3; i++)
        if (!__get_cpuid(0x80000002U + i, &words[4 * i], &words[4 * i + 1], &words[4 * i + 2],
                         &words[4 * i + 3]))
            return;
    (void)snprintf(room, room_bytes, "%s", (const char *)words);
    size_t n = strlen(room);
    while (n > 0 && room[n - 1] == ' ') room[--n] = '\0';
#endif
}

/* First number in a file, -1 if there is none ("max" in a cgroup means no limit). */
static int64_t number_in(const char *path)
{
    FILE *f = fopen(path, "r");
    if (f == NULL) return -1;
    long long n = -1;
    if (fscanf(f, "%lld", &n) != 1) n = -1;
    (void)fclose(f);
    return n;
}

/* Of the kernel's list of the first core's caches, where sizes read "1024K"; -1 if the level is not in
 * it. sysconf is no way: glibc says 384 MiB of a third level of 32 (Zen 5). */
static int64_t listed_cache(int level)
{
    for (int i = 0; i < 8; i++) {
        char path[96];
        const char *folder = "/sys/devices/system/cpu/cpu0/cache";
        (void)snprintf(path, sizeof path, "%s/index%d/level", folder, i);
        const int64_t found = number_in(path);
        if (found < 0) return -1;
        if (found != level) continue;
        (void)snprintf(path, sizeof path, "%s/index%d/size", folder, i);
        return number_in(path) * 1024;
    }
    return -1;
}

int64_t sunup__cache_bytes(int level)
{
    static _Atomic int64_t known[2] = {-1, -1};
    _Atomic int64_t *bytes = &known[level == 3];
    if (*bytes < 0) {
        const int64_t n = listed_cache(level);
        *bytes = n > 0 ? n : level == 3 ? 0 : 1 << 20;
    }
    return *bytes;
}

/* A result shares the third level with its operands: three eighths of it. Nor does more than 12 MB
 * wait there for the next step of a network, however large the level is: stores that miss would
 * first read what they overwrite (chain.c has figures of Sapphire Rapids). */
bool sunup__outgrows_caches(int64_t bytes)
{
    enum { MOST = 12 << 20 };
    const int64_t share = sunup__cache_bytes(3) / 8 * 3;
    return bytes >= (share > 0 && share < MOST ? share : MOST);
}

static int64_t free_memory(void)
{
    FILE *f = fopen("/proc/meminfo", "r");
    if (f == NULL) return INT64_MAX;
    char line[128];
    long long kib = -1;
    while (kib < 0 && fgets(line, sizeof line, f) != NULL)
        (void)sscanf(line, "MemAvailable: %lld kB", &kib);
    (void)fclose(f);
    return kib < 0 ? INT64_MAX : kib * 1024;
}

int64_t sunup__memory_available(void)
{
    int64_t available = free_memory();
    const int64_t limit = number_in("/sys/fs/cgroup/memory.max");
    const int64_t used = number_in("/sys/fs/cgroup/memory.current");
    if (limit >= 0 && used >= 0 && limit - used < available) available = limit - used;
    struct rlimit r;
    if (getrlimit(RLIMIT_AS, &r) == 0 && r.rlim_cur != RLIM_INFINITY &&
        (int64_t)r.rlim_cur < available)
        available = (int64_t)r.rlim_cur;
    return available > 0 ? available : 0;
}

int64_t sunup__memory_peak(void)
{
    struct rusage u;
    return getrusage(RUSAGE_SELF, &u) == 0 ? (int64_t)u.ru_maxrss * 1024 : 0;
}
