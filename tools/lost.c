/* lost.c - what the program adds to the library's watchdog when ranks are lost: the end of a process that MPI itself
 * holds, a record, and signs of life for the script that starts the run again (`sunup job`).
 *
 * The record is RUN_DIR/lost.jsonl: a line for each report, {"by": rank, "lost": [{"rank", "host",
 * "state"}], "message"}, appended in one write, so that the lines of several ranks do not mix.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
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

/* --- where MPI itself waits --- */

void lost_in_mpi(void *command, const char *report)
{
    const struct command *c = command;
    (void)complain(EXIT_LOST, "%s", report);
    if (c->json) failure_print(&(struct command){.json = true}, SUNUP_E_HANG, report);
    _exit(EXIT_LOST);
}
