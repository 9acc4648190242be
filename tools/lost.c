/* lost.c - what the program adds to the library's watchdog when ranks are lost: a limit where MPI
 * itself waits, a record and signs of life for the script that starts the run again (`sunup job`).
 *
 * MPI's own start and end wait without a word for a rank that is stopped. A thread sleeps
 * meanwhile; if it wakes before it is told that all went well, it names the processes of this node
 * that are stopped and ends this one with 124, upon which the launcher ends the others. The
 * library may do neither: it never prints or exits.
 *
 * The record is RUN_DIR/lost.jsonl: a line for each report, {"by": rank, "lost": [{"rank", "host",
 * "state"}], "message"}, appended in one write, so that the lines of several ranks do not mix.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/system.h"
#include "comm/comm.h"
#include "program.h"

enum { BEAT_S = 3 };

/* --- the record --- */

static json_t *lost_json(const struct lost *l)
{
    json_t *j = json_object();
    (void)json_object_set_new(j, "rank", json_integer(l->rank));
    (void)json_object_set_new(j, "host", json_string(l->host));
    (void)json_object_set_new(j, "state", json_string(l->state));
    return j;
}

json_t *lost_list(const struct command *c)
{
    const struct lost *lost;
    const int n = c->comm != NULL ? sunup__comm_lost(c->comm, &lost) : 0;
    json_t *list = n > 0 ? json_array() : NULL;
    for (int i = 0; i < n; i++) (void)json_array_append_new(list, lost_json(&lost[i]));
    return list;
}

static char *report_line(const struct command *c, json_t *lost)
{
    json_t *j = json_object();
    (void)json_object_set_new(j, "by", json_integer(sunup_comm_rank(c->comm)));
    (void)json_object_set_new(j, "lost", lost);
    (void)json_object_set_new(j, "message", json_string(sunup_error(c->ctx)));
    char *line = json_dumps(j, 0);
    json_decref(j);
    return line;
}

void lost_record(const struct command *c, const char *run_dir)
{
    json_t *lost = run_dir != NULL ? lost_list(c) : NULL;
    char *line = lost != NULL ? report_line(c, lost) : NULL;
    if (line == NULL) return;
    struct text path = {0}, text = {0};
    sunup__text(&path, "%s/lost.jsonl", run_dir);
    sunup__text(&text, "%s\n", line);
    const int file =
        path.s != NULL ? open(path.s, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644) : -1;
    if (file < 0 || text.s == NULL || write(file, text.s, text.n) != (ssize_t)text.n)
        (void)complain(EXIT_LOST, "warning: %s/lost.jsonl: cannot be written: %s", run_dir,
                       strerror(errno));
    if (file >= 0) (void)close(file);
    free(line);
    sunup__free(path.s);
    sunup__free(text.s);
}

bool lost_go_on(const struct command *c, sunup_status status, const char *run_dir)
{
    if (!c->shrink || (status != SUNUP_E_HANG && status != SUNUP_E_PEER)) return false;
    if (c->comm == NULL || !sunup__comm_died(c->comm)) return false;
    lost_record(c, run_dir);
    (void)complain(EXIT_LOST, "%s", sunup_error(c->ctx));
    return true;
}

/* --- signs of life --- */

/* Launchers have been seen to stay when all ranks were gone. Nobody waits for this thread: it ends
 * with the process. */
static void *beat(void *path)
{
    for (unsigned long n = 0;; n++) {
        FILE *f = fopen(path, "we");
        if (f != NULL) {
            (void)fprintf(f, "%ld %lu\n", (long)getpid(), n);
            (void)fclose(f);
        }
        (void)sleep(BEAT_S);
    }
    return NULL;
}

/* Before MPI has started only the launcher tells. */
static bool is_first(const struct command *c)
{
    const char *name = sunup__launcher_variable(), *rank = name != NULL ? getenv(name) : NULL;
    if (c->comm != NULL) return sunup_comm_rank(c->comm) == 0;
    return rank != NULL && strcmp(rank, "0") == 0;
}

sunup_status beats_begin(struct command *c, const char *run_dir)
{
    if (run_dir == NULL || !is_first(c)) return SUNUP_OK;
    c->beats = false;
    TRY(sunup__make_folder(c->ctx, run_dir));
    struct text path = {0}; /* the thread's, to the end */
    sunup__text(&path, "%s/alive", run_dir);
    pthread_t thread;
    CHECK(path.s != NULL && pthread_create(&thread, NULL, beat, path.s) == 0, c->ctx, E_MEMORY,
          "no memory for a thread");
    (void)pthread_detach(thread);
    return SUNUP_OK;
}

/* --- the limit --- */

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

/* A variable of another process' environment as a number, -1 if it cannot be read. */
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

/* Stopped processes that the same launcher started on this node. */
static void list_stopped(struct text *t)
{
    DIR *d = opendir("/proc");
    for (const struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        char state;
        int parent;
        if (e->d_name[0] < '1' || e->d_name[0] > '9' || !look_at(e->d_name, &state, &parent))
            continue;
        if (parent != (int)getppid() || (state != 'T' && state != 't')) continue;
        sunup__text(t, "%s rank %d (process %s, stopped, state %c)", t->n > 0 ? "," : "",
                    rank_of(e->d_name), e->d_name, state);
    }
    if (d != NULL) (void)closedir(d);
}

struct limit {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool over;
    double seconds;
    const char *what;
    const struct command *c;
};

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
    if (over) return NULL;
    struct text stopped = {0}, t = {0};
    list_stopped(&stopped);
    sunup__text(&t, "waited %.0f s in %s, where MPI waits for all ranks; absent on this node:%s",
                l->seconds, l->what,
                stopped.s != NULL ? stopped.s
                                  : " nobody is stopped; look at the other nodes, or raise "
                                    "timeout_s (SUNUP_TIMEOUT)");
    (void)complain(EXIT_LOST, "%s", t.s != NULL ? t.s : l->what);
    if (l->c->json) failure_print(&(struct command){.json = true}, SUNUP_E_HANG, t.s != NULL ? t.s : l->what);
    _exit(EXIT_LOST);
}

struct limit *limit_begin(const struct command *c, const char *what, double seconds)
{
    if (!sunup__launched_by_mpi()) return NULL;
    struct limit *l = sunup__alloc(sizeof *l);
    if (l == NULL) return NULL;
    l->seconds = seconds;
    l->what = what;
    l->c = c;
    pthread_condattr_t clock;
    (void)pthread_condattr_init(&clock);
    (void)pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&l->changed, &clock);
    (void)pthread_condattr_destroy(&clock);
    (void)pthread_mutex_init(&l->lock, NULL);
    if (pthread_create(&l->thread, NULL, watch, l) == 0) return l;
    sunup__free(l);
    return NULL;
}

void limit_end(struct limit **limit)
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
