/* peer.c - see peer.h. The peer's standard error is ours, or a file without a name. */
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"

static void end_pipe(int pipe[2])
{
    (void)close(pipe[0]);
    (void)close(pipe[1]);
}

static void become(const char *const *argv, const char *const *settings, const int fds[3])
{
    for (int i = 0; i < 3; i++)
        if (dup2(fds[i], i) < 0) _exit(127);
    for (int i = 0; settings != NULL && settings[i] != NULL; i++) {
        char name[64];
        const char *equals = strchr(settings[i], '=');
        const size_t n = equals != NULL ? (size_t)(equals - settings[i]) : 0;
        if (n == 0 || n >= sizeof name) continue;
        memcpy(name, settings[i], n);
        name[n] = '\0';
        (void)setenv(name, equals + 1, 1);
    }
    (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
    (void)dprintf(STDERR_FILENO, "cannot start it: %s\n", strerror(errno));
    _exit(127);
}

sunup_status peer_start(sunup_context *ctx, struct peer *p, const char *const *argv,
                        const char *const *settings)
{
    int in[2], out[2];
    CHECK(pipe2(in, O_CLOEXEC) == 0, ctx, E_FILE, "no pipe to %s: %s", p->name, strerror(errno));
    if (pipe2(out, O_CLOEXEC) != 0) {
        end_pipe(in);
        RAISE(ctx, E_FILE, "no pipe from %s: %s", p->name, strerror(errno));
    }
    (void)signal(SIGPIPE, SIG_IGN); /* a peer that ended is an error of ours, not our end */
    (void)fflush(NULL);
    p->words = p->keeps_words ? tmpfile() : NULL;
    const int fds[] = {in[0], out[1], p->words != NULL ? fileno(p->words) : STDERR_FILENO};
    p->pid = fork();
    if (p->pid == 0) become(argv, settings, fds);
    (void)close(in[0]);
    (void)close(out[1]);
    if (p->pid < 0) {
        p->pid = 0;
        (void)close(in[1]);
        (void)close(out[0]);
        RAISE(ctx, E_FILE, "cannot start %s: %s", p->name, strerror(errno));
    }
    p->to = fdopen(in[1], "w");
    p->from = fdopen(out[0], "r");
    CHECK(p->to != NULL && p->from != NULL, ctx, E_MEMORY, "no memory to talk to %s", p->name);
    return SUNUP_OK;
}

/* The last line that holds something, "" if there is none. */
static void last_words(struct peer *p, char *text, size_t room)
{
    char line[960];
    text[0] = '\0';
    if (p->words == NULL) return;
    for (int i = 0; i < 50 && p->pid > 0; i++) /* it may not have said them yet */
        if (waitpid(p->pid, NULL, WNOHANG) != 0)
            p->pid = 0;
        else
            (void)usleep(2000);
    rewind(p->words);
    while (fgets(line, sizeof line, p->words) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        const char *said = strncmp(line, "sunup: ", 7) == 0 ? line + 7 : line;
        if (said[0] != '\0') (void)snprintf(text, room, ": %s", said);
    }
}

sunup_status peer_ask(sunup_context *ctx, struct peer *p, const char *question, json_t **answer)
{
    *answer = NULL;
    if (question != NULL)
        CHECK(fprintf(p->to, "%s\n", question) > 0 && fflush(p->to) == 0, ctx, E_PEER,
              "%s has ended before it was asked '%s'", p->name, question);
    struct pollfd waiting = {.fd = fileno(p->from), .events = POLLIN};
    const int ready = poll(&waiting, 1, (int)(1e3 * p->timeout_s));
    CHECK(ready > 0, ctx, E_HANG, "%s has not answered '%s' for %.0f s", p->name,
          question != NULL ? question : "its start", p->timeout_s);
    char *line = NULL;
    size_t room = 0;
    const ssize_t n = getline(&line, &room, p->from);
    if (n > 0) *answer = json_loads(line, 0, NULL);
    sunup_status status = SUNUP_OK;
    char words[1024];
    if (n <= 0) last_words(p, words, sizeof words);
    if (n <= 0)
        status = sunup__raise(ctx, SUNUP_E_PEER, "%s has ended without an answer to '%s'%s",
                              p->name, question != NULL ? question : "its start", words);
    else if (*answer == NULL)
        status = sunup__raise(ctx, SUNUP_E_FORMAT, "%s answered '%.*s', which is no JSON", p->name,
                              (int)strcspn(line, "\n"), line);
    free(line);
    return status;
}

void peer_end(struct peer *p)
{
    if (p->to != NULL) (void)fclose(p->to);
    if (p->from != NULL) (void)fclose(p->from);
    if (p->words != NULL) (void)fclose(p->words);
    p->to = p->from = p->words = NULL;
    if (p->pid <= 0) return;
    /* The closed pipe tells it to end; one that does not listen is made to. */
    for (int i = 0; i < 110; i++) {
        if (waitpid(p->pid, NULL, WNOHANG) != 0) p->pid = 0;
        if (p->pid == 0) return;
        (void)usleep(i < 10 ? 2000 : 20000);
    }
    if (kill(p->pid, SIGKILL) == 0) (void)waitpid(p->pid, NULL, 0);
    p->pid = 0;
}

sunup_status peer_self(sunup_context *ctx, char *path, size_t room)
{
    const ssize_t n = readlink("/proc/self/exe", path, room - 1);
    CHECK(n > 0, ctx, E_UNSUPPORTED, "this program cannot find itself to start it again");
    path[n] = '\0';
    return SUNUP_OK;
}

int peer_launcher(int64_t ranks, const char **argv, struct launcher *l)
{
    int n = 0;
    if (ranks <= 1) return 0;
    const char *given = getenv("SUNUP_MPIEXEC");
    (void)snprintf(l->words, sizeof l->words, "%s",
                   given != NULL && given[0] != '\0' ? given : "mpiexec");
    (void)snprintf(l->ranks, sizeof l->ranks, "%lld", (long long)ranks);
    for (char *w = strtok(l->words, " "); w != NULL && n < LAUNCHER_WORDS - 2;
         w = strtok(NULL, " "))
        argv[n++] = w;
    argv[n++] = "-n";
    argv[n++] = l->ranks;
    return n;
}
