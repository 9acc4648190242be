/* track_child.c - a process with a time limit: what it said, how it ended, and that nothing of it
 * is left.
 *
 * It leads a process group of its own, which is ended with it. Launchers put ranks into groups of
 * their own, so this process is meanwhile the one that orphans fall to (prctl(2),
 * PR_SET_CHILD_SUBREAPER), and ends those too. Nobody is waited for who merely holds an output
 * open; a child that closes its outputs is.
 *
 * Memory: the kernel counts whom it killed for it, in this process's cgroup (v2) or on the whole
 * machine (/proc/vmstat). The latter counts others too, so there the child must have ended by
 * SIGKILL as well.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/system.h"
#include "track.h"

enum { KEPT_BYTES = 1 << 20, STEP_BYTES = 1 << 16, MOST_CHILDREN = 256, LOOK_MS = 100 };
static const double grace_s = 3; /* from SIGTERM to SIGKILL: launchers end their ranks */

/* ---- outputs ---- */

/* The last KEPT_BYTES of a stream; up to twice as much lies here between. */
struct stream {
    int fd; /* -1: closed */
    char *text;
    size_t n, room;
};

static bool make_room(struct stream *s)
{
    if (s->n >= 2 * KEPT_BYTES) {
        memmove(s->text, s->text + s->n - KEPT_BYTES, KEPT_BYTES);
        s->n = KEPT_BYTES;
    }
    if (s->n + STEP_BYTES + 1 <= s->room) return true;
    const size_t room = 2 * s->room + STEP_BYTES + 1;
    char *more = sunup__realloc(s->text, room);
    if (more == NULL) return false;
    s->text = more;
    s->room = room;
    return true;
}

/* Takes what is there; false: nothing is, for now or for ever. */
static bool take(struct stream *s)
{
    if (s->fd < 0) return false;
    const ssize_t n = make_room(s) ? read(s->fd, s->text + s->n, STEP_BYTES) : 0;
    if (n > 0) {
        for (ssize_t i = 0; i < n; i++)
            if (s->text[s->n + (size_t)i] == '\0') s->text[s->n + (size_t)i] = ' ';
        s->n += (size_t)n;
        return true;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    (void)close(s->fd);
    s->fd = -1;
    return false;
}

static char *finish(struct stream *s)
{
    for (int i = 0; i < 2 * KEPT_BYTES / STEP_BYTES && take(s); i++) {
    }
    if (s->fd >= 0) (void)close(s->fd);
    s->fd = -1;
    if (s->text == NULL) return sunup__strdup("");
    if (s->n > KEPT_BYTES) {
        memmove(s->text, s->text + s->n - KEPT_BYTES, KEPT_BYTES);
        s->n = KEPT_BYTES;
    }
    s->text[s->n] = '\0';
    return s->text;
}

/* ---- who was killed for memory ---- */

static double count_in(const char *path)
{
    char line[128];
    double n = NAN;
    FILE *f = fopen(path, "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "oom_kill %lf", &n) == 1) break;
    if (f != NULL) (void)fclose(f);
    return n;
}

/* Kills so far in this process's cgroup, NAN if it is not a readable one of version 2. */
static double killed_here(void)
{
    char line[1024] = "", path[1200];
    FILE *f = fopen("/proc/self/cgroup", "r");
    bool found = false;
    while (f != NULL && !found && fgets(line, sizeof line, f) != NULL)
        found = strncmp(line, "0::/", 4) == 0;
    if (f != NULL) (void)fclose(f);
    if (!found) return NAN;
    line[strcspn(line, "\n")] = '\0';
    (void)snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.events", line + 3);
    return count_in(path);
}

static double killed_anywhere(void)
{
    return count_in("/proc/vmstat");
}

/* ---- the process ---- */

struct running {
    pid_t pid;
    int pidfd; /* readable when it has ended; -1: this kernel has none, so it is looked at */
    struct stream out, err;
    pid_t others[MOST_CHILDREN]; /* children that this process had before */
    int n_others;
    double from_s, limit_s; /* of the clock: when it is told to end; then when it is made to */
    double here, anywhere;  /* killed for memory before */
};

static void become(const char *const *argv, const char *const *settings, const int pipes[3])
{
    (void)setpgid(0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    (void)signal(SIGPIPE, SIG_DFL);
    const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (nothing >= 0) (void)dup2(nothing, STDIN_FILENO);
    if (dup2(pipes[0], STDOUT_FILENO) >= 0 && dup2(pipes[1], STDERR_FILENO) >= 0) {
        for (int i = 0; settings != NULL && settings[i] != NULL; i++)
            (void)putenv((char *)(uintptr_t)settings[i]);
        (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
    }
    const int why = errno;
    (void)!write(pipes[2], &why, sizeof why);
    _exit(127);
}

/* Children of this process, as /proc has them. */
static int children(pid_t list[MOST_CHILDREN])
{
    int n = 0;
    DIR *d = opendir("/proc");
    for (const struct dirent *e; d != NULL && n < MOST_CHILDREN && (e = readdir(d)) != NULL;) {
        char path[64], line[512];
        int parent = 0;
        if (e->d_name[0] < '1' || e->d_name[0] > '9') continue;
        (void)snprintf(path, sizeof path, "/proc/%.20s/stat", e->d_name);
        FILE *f = fopen(path, "r");
        if (f == NULL) continue;
        const char *end = fgets(line, sizeof line, f) != NULL ? strrchr(line, ')') : NULL;
        (void)fclose(f);
        if (end != NULL && sscanf(end, ") %*c %d", &parent) == 1 && parent == (int)getpid())
            list[n++] = (pid_t)atoi(e->d_name);
    }
    if (d != NULL) (void)closedir(d);
    return n;
}

static bool is_new(const struct running *r, pid_t pid)
{
    for (int i = 0; i < r->n_others; i++)
        if (r->others[i] == pid) return false;
    return true;
}

/* Orphans fall to this process one generation after the other. */
static void end_orphans(const struct running *r)
{
    pid_t list[MOST_CHILDREN];
    bool found = true;
    for (int round = 0; found && round < 64; round++) {
        found = false;
        const int n = children(list);
        for (int i = 0; i < n; i++) {
            if (!is_new(r, list[i])) continue;
            found = true;
            (void)kill(list[i], SIGKILL);
            (void)waitpid(list[i], NULL, 0);
        }
    }
}

/* Two pipes for its words, one for why it could not start. */
static sunup_status make_pipes(sunup_context *ctx, int in[3], int out[3])
{
    for (int i = 0; i < 3; i++) in[i] = out[i] = -1;
    for (int i = 0; i < 3; i++) {
        int pair[2];
        CHECK(pipe2(pair, O_CLOEXEC) == 0, ctx, E_FILE, "no pipe to a process: %s",
              strerror(errno));
        in[i] = pair[0];
        out[i] = pair[1];
    }
    for (int i = 0; i < 2; i++) (void)fcntl(in[i], F_SETFL, O_NONBLOCK);
    return SUNUP_OK;
}

static void close_all(int fd[3])
{
    for (int i = 0; i < 3; i++)
        if (fd[i] >= 0) (void)close(fd[i]);
}

static sunup_status start(sunup_context *ctx, struct running *r, const char *const *argv,
                          const char *const *settings)
{
    int in[3], out[3], why = 0;
    const sunup_status status = make_pipes(ctx, in, out);
    if (status == SUNUP_OK) {
        (void)fflush(NULL);
        r->pid = fork();
        if (r->pid == 0) become(argv, settings, out);
        why = r->pid < 0 ? errno : 0;
    }
    close_all(out);
    if (status == SUNUP_OK && r->pid > 0 && read(in[2], &why, sizeof why) > 0) {
        (void)waitpid(r->pid, NULL, 0);
        r->pid = -1;
    }
    if (status != SUNUP_OK || r->pid < 0) {
        close_all(in);
        TRY(status);
        RAISE(ctx, E_FILE, "cannot start %s: %s", argv[0], strerror(why));
    }
    (void)close(in[2]);
    (void)setpgid(r->pid, r->pid);
    r->out.fd = in[0];
    r->err.fd = in[1];
    r->pidfd = (int)syscall(SYS_pidfd_open, r->pid, 0);
    return SUNUP_OK;
}

/* Listens until something is said, the process ends, or it is time to act. */
static void listen(struct running *r)
{
    struct pollfd fds[3] = {{.fd = r->out.fd, .events = POLLIN},
                            {.fd = r->err.fd, .events = POLLIN},
                            {.fd = r->pidfd, .events = POLLIN}};
    const double left_ms = 1e3 * (r->limit_s - sunup__now_s());
    const double most_ms = r->pidfd >= 0 ? 6e4 : LOOK_MS;
    const double wait_ms = left_ms < 0 ? 0 : left_ms < most_ms ? left_ms + 1 : most_ms;
    if (poll(fds, 3, (int)wait_ms) <= 0) return;
    (void)take(&r->out);
    (void)take(&r->err);
}

/* A stopped process hears SIGTERM when it goes on. */
static void tell_to_end(struct running *r, struct track_child *child)
{
    if (sunup__now_s() < r->limit_s) return;
    (void)kill(-r->pid, child->timed_out ? SIGKILL : SIGTERM);
    (void)kill(-r->pid, SIGCONT);
    r->limit_s = sunup__now_s() + grace_s;
    child->timed_out = true;
}

static void judge_end(const struct running *r, int how, struct track_child *child)
{
    child->exit_status = WIFEXITED(how) ? WEXITSTATUS(how) : -1;
    child->signal = WIFSIGNALED(how) ? WTERMSIG(how) : 0;
    const bool by_kill =
        !child->timed_out && (child->signal == SIGKILL || child->exit_status == 128 + SIGKILL ||
                              child->exit_status == SIGKILL); /* as launchers say it */
    child->oom_killed =
        isnan(r->here) ? by_kill && killed_anywhere() > r->anywhere : killed_here() > r->here;
}

/* It stays a zombie, so that its number and group are nobody else's yet. */
static bool has_ended(const struct running *r)
{
    siginfo_t info = {.si_pid = 0};
    const int failed = waitid(P_PID, (id_t)r->pid, &info, WEXITED | WNOHANG | WNOWAIT);
    return failed == 0 ? info.si_pid == r->pid : errno != EINTR;
}

static void see_through(struct running *r, struct track_child *child)
{
    struct rusage used = {0};
    int how = 0;
    while (!has_ended(r)) {
        listen(r);
        tell_to_end(r, child);
    }
    child->seconds = sunup__now_s() - r->from_s;
    (void)kill(-r->pid, SIGKILL);
    (void)wait4(r->pid, &how, 0, &used);
    child->peak_bytes = 1024 * (int64_t)used.ru_maxrss;
    end_orphans(r);
    judge_end(r, how, child);
}

sunup_status track_child_run(sunup_context *ctx, const char *const *argv,
                             const char *const *settings, double timeout_s,
                             struct track_child *child)
{
    struct running r = {
        .pid = -1, .pidfd = -1, .out.fd = -1, .err.fd = -1, .from_s = sunup__now_s()};
    *child = (struct track_child){.exit_status = -1};
    r.limit_s = r.from_s + timeout_s;
    r.here = killed_here();
    r.anywhere = killed_anywhere();
    r.n_others = children(r.others);
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    const sunup_status status = start(ctx, &r, argv, settings);
    if (status == SUNUP_OK) see_through(&r, child);
    (void)prctl(PR_SET_CHILD_SUBREAPER, 0);
    if (r.pidfd >= 0) (void)close(r.pidfd);
    TRY(status);
    child->out = finish(&r.out);
    child->err = finish(&r.err);
    CHECK(child->out != NULL && child->err != NULL, ctx, E_MEMORY, "no memory for the words of %s",
          argv[0]);
    return SUNUP_OK;
}

void track_child_end(struct track_child *child)
{
    sunup__free(child->out);
    sunup__free(child->err);
    child->out = child->err = NULL;
}
