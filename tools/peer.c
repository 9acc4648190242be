/* peer.c - see peer.h. The peer's standard error is ours: what it complains about is seen. */
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

static void become(const char *const *argv, const char *const *settings, int in, int out)
{
    if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0) _exit(127);
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
    p->pid = fork();
    if (p->pid == 0) become(argv, settings, in[0], out[1]);
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
    if (n <= 0)
        status = sunup__raise(ctx, SUNUP_E_PEER, "%s has ended without an answer to '%s'", p->name,
                              question != NULL ? question : "its start");
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
    p->to = p->from = NULL;
    if (p->pid <= 0) return;
    /* The closed pipe tells it to end; one that does not listen is made to. */
    for (int i = 0; i < 100 && waitpid(p->pid, NULL, WNOHANG) == 0; i++) (void)usleep(20000);
    if (kill(p->pid, SIGKILL) == 0) (void)waitpid(p->pid, NULL, 0);
    p->pid = 0;
}
