/* limit.c - an end to what MPI itself waits for: its start and end, and the making of communicators.
 *
 * These calls have no form that could be polled; they wait without a word for a rank that is stopped or does not come.
 * A thread sleeps beside them; if it wakes before it is told that all went well, it names who is absent, and the
 * program's function (context.h) ends the process, upon which the launcher ends the others. The library may do
 * neither: without that function nobody watches.
 *
 * Who is absent: where the node has records, what they say (watchdog.c). Before and after that, processes of this
 * node that the same launcher started: the stopped ones, else those that are not in such a call themselves, which the
 * name of their thread tells.
 */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/system.h"
#include "comm/inside.h"

#define WAITING "sunup: in MPI" /* at most 15 bytes */

struct limit {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool over;
    double seconds;
    sunup_comm *comm;
    const char *what;
    bool records; /* of the communicator can be read */
};

/* --- processes of this node --- */

/* State letter and parent of a process (proc_pid_stat(5)); false: it is gone. */
static bool look_at(const char *pid, char *state, int *parent)
{
    char path[64], line[512];
    (void)snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
    FILE *f = fopen(path, "r");
    if (f == NULL) return false;
    const char *end = fgets(line, sizeof line, f) != NULL ? strrchr(line, ')') : NULL;
    (void)fclose(f);
    return end != NULL && sscanf(end, ") %c %d", state, parent) == 2;
}

/* The launcher's number of a process, -1 if it cannot be read. */
static int rank_of(const char *pid)
{
    char path[64], word[256];
    const char *name = sunup__launcher_variable();
    const size_t length = name != NULL ? strlen(name) : 0;
    (void)snprintf(path, sizeof path, "/proc/%.20s/environ", pid);
    FILE *f = name != NULL ? fopen(path, "r") : NULL;
    if (f == NULL) return -1;
    int rank = -1;
    size_t n = 0;
    for (int ch; rank < 0 && (ch = fgetc(f)) != EOF;) {
        if (n < sizeof word - 1) word[n++] = (char)ch;
        if (ch != '\0') continue;
        word[n] = '\0';
        if (strncmp(word, name, length) == 0 && word[length] == '=') rank = atoi(word + length + 1);
        n = 0;
    }
    (void)fclose(f);
    return rank;
}

static bool is_waiting(const char *pid)
{
    char path[300], name[32];
    bool found = false;
    (void)snprintf(path, sizeof path, "/proc/%.20s/task", pid);
    DIR *d = opendir(path);
    for (const struct dirent *e; d != NULL && !found && (e = readdir(d)) != NULL;) {
        (void)snprintf(path, sizeof path, "/proc/%.20s/task/%.20s/comm", pid, e->d_name);
        FILE *f = e->d_name[0] == '.' ? NULL : fopen(path, "r");
        if (f == NULL) continue;
        found = fgets(name, sizeof name, f) != NULL && strncmp(name, WAITING, strlen(WAITING)) == 0;
        (void)fclose(f);
    }
    if (d != NULL) (void)closedir(d);
    return found;
}

/* Ranks that the same launcher started on this node: the stopped ones, or those that do not wait as this one does. */
static void list_processes(bool stopped, struct text *t)
{
    DIR *d = opendir("/proc");
    for (const struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        char state;
        int parent;
        if (e->d_name[0] < '1' || e->d_name[0] > '9' || !look_at(e->d_name, &state, &parent)) continue;
        const bool stops = state == 'T' || state == 't', ended = state == 'Z' || state == 'X'; /* it has reported */
        const int rank = parent == (int)getppid() ? rank_of(e->d_name) : -1;
        if (rank < 0 || ended || stops != stopped || (!stopped && is_waiting(e->d_name))) continue;
        sunup__text(t, "%s rank %d (process %s, %s, state %c)", t->n > 0 ? "," : "", rank, e->d_name,
                    stops ? "stopped" : "alive, but not there", state);
    }
    if (d != NULL) (void)closedir(d);
}

static void list_absent(const struct limit *l, struct text *t)
{
    if (l->records) sunup__watch_absent(l->comm, t);
    if (t->n == 0) list_processes(true, t);
    if (t->n == 0) list_processes(false, t);
    if (t->n == 0) sunup__text(t, " nobody is; look at the other nodes, or raise timeout_s (SUNUP_TIMEOUT)");
}

/* --- the limit --- */

static void report(const struct limit *l)
{
    const sunup_context *ctx = l->comm->ctx;
    struct text absent = {0}, t = {0};
    if (l->records) atomic_store(&l->comm->records[l->comm->node_rank].reported, 1); /* this one ends, too */
    list_absent(l, &absent);
    sunup__text(&t, "waited %.0f s in %s%s%s%s, where MPI waits for all ranks; absent on this node:%s", l->seconds,
                l->what, l->records ? " (\"" : "", l->records ? l->comm->site : "", l->records ? "\")" : "",
                absent.s != NULL ? absent.s : "?");
    ctx->stuck(ctx->stuck_arg, t.s != NULL ? t.s : l->what);
}

static void *watch(void *arg)
{
    struct limit *l = arg;
    struct timespec end;
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += (time_t)l->seconds + 1;
    (void)pthread_mutex_lock(&l->lock);
    while (!l->over && pthread_cond_timedwait(&l->changed, &l->lock, &end) != ETIMEDOUT) {
    }
    const bool over = l->over;
    (void)pthread_mutex_unlock(&l->lock);
    if (!over) report(l);
    return NULL;
}

static bool start(struct limit *l)
{
    pthread_condattr_t clock;
    (void)pthread_condattr_init(&clock);
    (void)pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&l->changed, &clock);
    (void)pthread_condattr_destroy(&clock);
    (void)pthread_mutex_init(&l->lock, NULL);
    if (pthread_create(&l->thread, NULL, watch, l) != 0) return false;
    (void)pthread_setname_np(l->thread, WAITING);
    return true;
}

struct limit *sunup__limit_begin(sunup_comm *comm, const char *what, bool records)
{
    if (comm->ctx->stuck == NULL || !sunup__launched_by_mpi()) return NULL;
    struct limit *l = sunup__alloc(sizeof *l);
    if (l == NULL) return NULL;
    l->seconds = comm->options.timeout_s + 1; /* what is watched elsewhere reports before */
    l->comm = comm;
    l->what = what;
    l->records = records && comm->records != NULL;
    if (start(l)) return l;
    sunup__free(l);
    return NULL;
}

void sunup__limit_end(struct limit **limit)
{
    struct limit *l = *limit;
    *limit = NULL;
    if (l == NULL) return;
    (void)pthread_mutex_lock(&l->lock);
    l->over = true;
    (void)pthread_cond_signal(&l->changed);
    (void)pthread_mutex_unlock(&l->lock);
    (void)pthread_join(l->thread, NULL);
    (void)pthread_cond_destroy(&l->changed);
    (void)pthread_mutex_destroy(&l->lock);
    sunup__free(l);
}
