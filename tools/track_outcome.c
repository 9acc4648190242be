/* track_outcome.c - how a process ended, in the words of track/record.h: what it said itself, what
 * the launcher and the scheduler say, its exit status, in this order of trust.
 *
 * But a rank that is gone was killed by something: where others report it as lost and the launcher
 * knows the signal, the signal is the cause and the report the effect. Statuses are those of
 * docs/faults.md: 124 hang; 128 + n, and n from MPICH, a signal. The table of texts is from what
 * Slurm, PBS, Open MPI, PRRTE, Hydra and PALS print; those of Open MPI 4.1 and MPICH 4.0 were seen,
 * the others are as their sources and users' reports have them.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "track_run.h"

/* A text holds all parts of a row. More certain ones first. */
static const struct {
    const char *part, *other;
    enum track_outcome outcome;
} texts[] = {
    /* Slurm */
    {"DUE TO TIME LIMIT", NULL, TRACK_WALLTIME},
    {"oom-kill event", NULL, TRACK_OOM},
    {"oom_kill event", NULL, TRACK_OOM},
    {"cgroup out-of-memory handler", NULL, TRACK_OOM},
    {"exceeded memory limit", "being killed", TRACK_OOM},
    {"srun: error:", ": Out Of Memory", TRACK_OOM},
    {"DUE TO NODE FAIL", NULL, TRACK_INFRASTRUCTURE},
    {"NODE_FAIL", NULL, TRACK_INFRASTRUCTURE},
    {"DUE TO PREEMPTION", NULL, TRACK_INFRASTRUCTURE},
    {"srun: error:", "Node failure on", TRACK_INFRASTRUCTURE},
    {"srun: error:", "Killed by node failure", TRACK_INFRASTRUCTURE},
    {"srun: error: Unable to", NULL, TRACK_INFRASTRUCTURE}, /* create step, allocate, confirm */
    {"srun: error: Task launch for", "failed on node", TRACK_INFRASTRUCTURE},
    {"srun: error:", "Socket timed out", TRACK_INFRASTRUCTURE},
    /* PBS, OpenPBS, Torque */
    {"PBS: job killed: walltime", NULL, TRACK_WALLTIME},
    {"exceeded walltime", NULL, TRACK_WALLTIME},
    {"PBS: job killed: mem", NULL, TRACK_OOM},
    {"PBS: job killed: vmem", NULL, TRACK_OOM},
    {"Cgroup mem limit exceeded", NULL, TRACK_OOM},
    {"Cgroup memory limit exceeded", NULL, TRACK_OOM},
    {"PBS: job killed: node", NULL, TRACK_INFRASTRUCTURE},
    {"killed by node failure", NULL, TRACK_INFRASTRUCTURE},
    /* Open MPI and PRRTE: not started, daemon lost */
    {"RTE has lost communication with a remote daemon", NULL, TRACK_INFRASTRUCTURE},
    {"RTE was unable to reliably start one or more daemons", NULL, TRACK_INFRASTRUCTURE},
    {"RTE daemon has unexpectedly failed after launch", NULL, TRACK_INFRASTRUCTURE},
    {"was unable to launch the specified application", NULL, TRACK_INFRASTRUCTURE},
    {"was unable to find the specified executable", NULL, TRACK_INFRASTRUCTURE},
    {"There are not enough slots available in the system", NULL, TRACK_INFRASTRUCTURE},
    {"has detected an attempt to run as root", NULL, TRACK_INFRASTRUCTURE},
    /* Hydra (MPICH, Intel MPI) */
    {"HYDU_create_process", "execvp error", TRACK_INFRASTRUCTURE},
    {"HYDU_sock_connect", "unable to connect", TRACK_INFRASTRUCTURE},
    {"[mpiexec@", "unable to launch", TRACK_INFRASTRUCTURE},
    /* PALS */
    {"ping failed on ", NULL, TRACK_INFRASTRUCTURE},
    {"ping RPC timeout from ", NULL, TRACK_INFRASTRUCTURE},
    {"launch failed on ", NULL, TRACK_INFRASTRUCTURE},
};

/* What sunup's own word for a status comes to; the others are errors of its own. */
static const struct {
    const char *status;
    enum track_outcome outcome;
} statuses[] = {{"nan", TRACK_NAN},           {"hang", TRACK_HANG},
                {"mismatch", TRACK_MISMATCH}, {"peer", TRACK_INFRASTRUCTURE},
                {"oom", TRACK_OOM},           {"stopped", TRACK_INFRASTRUCTURE}};

/* ---- what was printed ---- */

json_t *track_answer(const char *out, bool failure)
{
    for (const char *line = out; line != NULL; line = strchr(line, '\n')) {
        if (*line == '\n') line++;
        if (*line != '{') continue;
        json_t *j = json_loads(line, JSON_DISABLE_EOF_CHECK, NULL);
        if (json_is_object(j) && (json_object_get(j, "error") != NULL) == failure) return j;
        json_decref(j);
    }
    return NULL;
}

static const char *keep(struct track_history *h, const char *s)
{
    const char *own = s != NULL ? sunup__track_intern(h, s) : NULL;
    return own != NULL ? own : "";
}

/* The line around `at`, without signs around it that are drawn for the eye. */
static const char *line_of(struct track_history *h, const char *text, const char *at)
{
    char line[LONG_TEXT];
    while (at > text && at[-1] != '\n') at--;
    at += strspn(at, " \t=*>");
    (void)snprintf(line, sizeof line, "%.*s", (int)strcspn(at, "\r\n"), at);
    return keep(h, line);
}

/* The first row of the table that a line of the text fits. */
static bool known_text(const char *text, struct track_history *h, struct track_row *row)
{
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        for (const char *at = text; (at = strstr(at, texts[i].part)) != NULL; at++) {
            const char *other = texts[i].other != NULL ? strstr(at, texts[i].other) : at;
            const char *end = strchr(at, '\n');
            if (other == NULL || (end != NULL && other > end)) continue;
            row->outcome = texts[i].outcome;
            row->message = line_of(h, text, at);
            return true;
        }
    }
    return false;
}

/* "sunup: ..." of the program itself if there is one, else the last line that says anything. */
static const char *last_words(struct track_history *h, const char *text)
{
    const char *last = "", *own = NULL;
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        if (*line == '\n') line++;
        if (strncmp(line, "sunup: ", 7) == 0 && strncmp(line + 7, "warning: ", 9) != 0 &&
            own == NULL)
            own = line + 7;
        if (line[strspn(line, " \t\r\n-=")] != '\0' && line[strspn(line, " \t-=")] != '\n')
            last = line;
    }
    if (own == NULL) return line_of(h, text, last);
    char words[LONG_TEXT];
    (void)snprintf(words, sizeof words, "%.*s", (int)strcspn(own, "\r\n"), own);
    return keep(h, words);
}

/* ---- signals ---- */

/* As launchers report them, with the rank if they know it: SIGTERM is how they end the others. */
static void signal_in(const char *text, int *signal, int *rank)
{
    static const struct {
        const char *words, *form;
    } forms[] = {{"process rank ", "process rank %d with PID %*d on node %*s exited on signal %d"},
                 {"rank ", "rank %d died from signal %d"}};
    for (size_t f = 0; f < sizeof forms / sizeof *forms; f++)
        for (const char *at = text; (at = strstr(at, forms[f].words)) != NULL; at++) {
            int r, s;
            if (sscanf(at, forms[f].form, &r, &s) != 2 || s == SIGTERM) continue;
            *signal = s;
            *rank = r;
            return;
        }
    const char *exit = strstr(text, "TERMINATED WITH THE EXIT STRING"), *at;
    if (exit != NULL && (at = strstr(exit, "(signal ")) != NULL) *signal = atoi(at + 8);
}

static int signal_of(const struct track_child *child, int *rank)
{
    int signal = 0;
    signal_in(child->err, &signal, rank);
    if (signal == 0) signal_in(child->out, &signal, rank);
    if (signal == 0 && child->signal > 0) signal = child->signal;
    if (signal == 0 && child->exit_status > 128 && child->exit_status <= 128 + 64)
        signal = child->exit_status - 128;
    return signal;
}

/* ---- the verdict ---- */

static bool by_report(const json_t *said, struct track_history *h, struct track_row *row)
{
    if (said == NULL) return false;
    const char *status = json_string_value(json_object_get(said, "status"));
    row->outcome = TRACK_CRASH;
    for (size_t i = 0; status != NULL && i < sizeof statuses / sizeof *statuses; i++)
        if (strcmp(statuses[i].status, status) == 0) row->outcome = statuses[i].outcome;
    const json_t *rank = json_object_get(said, "rank"), *step = json_object_get(said, "step");
    if (json_is_integer(rank)) row->rank = (int)json_integer_value(rank);
    if (json_is_integer(step)) row->step = json_integer_value(step);
    row->layer = keep(h, json_string_value(json_object_get(said, "layer")));
    row->collective = keep(h, json_string_value(json_object_get(said, "collective")));
    row->message = keep(h, json_string_value(json_object_get(said, "error")));
    return true;
}

static bool is_gone(const json_t *said)
{
    const json_t *first = json_array_get(json_object_get(said, "lost"), 0);
    const char *state = json_string_value(json_object_get(first, "state"));
    return state != NULL && strcmp(state, "gone") == 0;
}

/* What the ranks that are left say follows. */
static void by_signal(int signal, int rank, struct track_history *h, struct track_row *row)
{
    char text[LONG_TEXT];
    const char *said = row->message;
    row->outcome = signal == SIGTERM || signal == SIGHUP ? TRACK_INFRASTRUCTURE : TRACK_CRASH;
    row->signal = signal;
    if (rank >= 0) row->rank = rank;
    const char *by = row->outcome == TRACK_INFRASTRUCTURE ? ", from outside"
                     : signal == SIGKILL                  ? ", from outside; for memory, or by hand"
                                                          : "";
    (void)snprintf(text, sizeof text, "ended by signal %d (%s)%s%s%s", signal, strsignal(signal),
                   by, said[0] != '\0' ? "; " : "", said);
    row->message = keep(h, text);
}

static void by_status(const struct track_child *child, struct track_history *h,
                      struct track_row *row)
{
    const bool cannot = child->exit_status == 126 || child->exit_status == 127;
    row->outcome = child->exit_status == 124 ? TRACK_HANG
                   : cannot                  ? TRACK_INFRASTRUCTURE
                                             : TRACK_CRASH;
    row->message = last_words(h, child->err);
    if (row->message[0] == '\0') row->message = last_words(h, child->out);
    if (row->message[0] != '\0') return;
    char text[LONG_TEXT];
    (void)snprintf(text, sizeof text, "exit status %d, without a word", child->exit_status);
    row->message = keep(h, text);
}

static void by_limit(const struct track_child *child, double timeout_s, struct track_history *h,
                     struct track_row *row)
{
    char text[LONG_TEXT];
    const char *last = last_words(h, child->err);
    (void)snprintf(text, sizeof text, "not done after %g s, and ended%s%s", timeout_s,
                   last[0] != '\0' ? "; it had said: " : "", last);
    row->outcome = TRACK_HANG;
    row->message = keep(h, text);
}

/* E_PEER is a message that MPI could not deliver, or one that arrived with other numbers. */
static void look_at_peer(struct track_row *row)
{
    if (row->outcome == TRACK_INFRASTRUCTURE &&
        (strstr(row->message, "flip") != NULL || strstr(row->message, "differ") != NULL))
        row->outcome = TRACK_MISMATCH;
}

static void judge(const struct track_child *child, const json_t *said, double timeout_s,
                  struct track_history *h, struct track_row *row)
{
    const bool reported = by_report(said, h, row);
    if (reported) look_at_peer(row);
    const bool certain =
        reported && row->outcome != TRACK_HANG && row->outcome != TRACK_INFRASTRUCTURE;
    if (certain) return;
    if (known_text(child->err, h, row) || known_text(child->out, h, row)) return;
    if (child->oom_killed) {
        row->outcome = TRACK_OOM;
        row->message = keep(h, "killed by the system for memory");
        return;
    }
    int rank = -1;
    const int signal = child->timed_out ? 0 : signal_of(child, &rank);
    if (signal > 0 && (!reported || is_gone(said)))
        by_signal(signal, rank, h, row);
    else if (child->timed_out && row->outcome != TRACK_HANG)
        by_limit(child, timeout_s, h, row);
    else if (!reported)
        by_status(child, h, row);
}

void track_judge_child(const struct track_child *child, double timeout_s, struct track_history *h,
                       struct track_row *row)
{
    row->outcome = TRACK_OK;
    row->rank = -1;
    row->step = -1;
    row->signal = 0;
    row->layer = row->collective = row->message = "";
    if (child->exit_status == 0 && !child->timed_out) return;
    json_t *said = track_answer(child->out, true);
    judge(child, said, timeout_s, h, row);
    json_decref(said);
}
