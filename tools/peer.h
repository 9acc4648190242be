/* peer.h - another program that answers questions, one line of JSON for a line of text.
 *
 * Owes: start it with its own environment, ask it, end it, whatever it does. A peer that ends, is silent for
 * too long or answers with what is no JSON is an error that names it and shows its last words: on standard
 * error, or with `keeps_words` the last line of them in the message.
 */
#ifndef SUNUP_PEER_H
#define SUNUP_PEER_H

#include <stdio.h>
#include <sys/types.h>

#include "program.h"

struct peer {
    const char *name; /* for messages */
    pid_t pid;        /* 0: not started */
    FILE *to, *from;
    double timeout_s; /* of one answer */
    bool keeps_words; /* what it says on standard error is shown only if it fails */
    FILE *words;
};

/* argv and settings ("NAME=value", on top of this process's environment) end with NULL. */
sunup_status peer_start(sunup_context *ctx, struct peer *p, const char *const *argv,
                        const char *const *settings);
/* question NULL: only read. The answer is the caller's. */
sunup_status peer_ask(sunup_context *ctx, struct peer *p, const char *question, json_t **answer);
void peer_end(struct peer *p);

/* This program's own path, to start it again. */
sunup_status peer_self(sunup_context *ctx, char *path, size_t room);
/* The words that start several ranks, $SUNUP_MPIEXEC or mpiexec with -n, into argv; returns how many, none for
 * one rank. They live in l. */
enum { LAUNCHER_WORDS = 32 };
struct launcher {
    char words[4096], ranks[32];
};
int peer_launcher(int64_t ranks, const char **argv, struct launcher *l);

#endif
