/* failure.c - how a verb fails: a sentence for people on standard error and, with --json, an object for programs.
 *
 * The object is one line of standard output, written at once: {"error": sentence, "status": word, ...} with rank, step,
 * layer, collective and lost ranks as far as the library has kept them (struct blame). On many ranks a failure is
 * agreed upon, so rank 0 speaks for all; a rank that is alone with its error speaks, and there may be several.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "comm/comm.h"
#include "program.h"

/* "E_NAN": nan; what the statuses do not tell apart: mismatch. */
static void word_of(const struct command *c, sunup_status status, char word[24])
{
    const bool differs = status == SUNUP_E_PEER && c->ctx != NULL && c->ctx->blame.differs;
    const char *name = differs                     ? "mismatch"
                       : status == SUNUP_E_MEMORY ? "oom"
                                                  : sunup_status_name(status);
    if (strncmp(name, "E_", 2) == 0) name += 2;
    size_t n = 0;
    for (; name[n] != '\0' && n < 23; n++) word[n] = (char)tolower((unsigned char)name[n]);
    word[n] = '\0';
}

static void put_blame(json_t *j, const struct command *c)
{
    const struct blame *b = &c->ctx->blame;
    json_t *lost = lost_list(c);
    if (b->rank >= 0) (void)json_object_set_new(j, "rank", json_integer(b->rank));
    if (b->step >= 0) (void)json_object_set_new(j, "step", json_integer(b->step));
    if (b->layer[0] != '\0') (void)json_object_set_new(j, "layer", json_string(b->layer));
    if (b->collective[0] != '\0')
        (void)json_object_set_new(j, "collective", json_string(b->collective));
    if (lost != NULL) (void)json_object_set_new(j, "lost", lost);
}

static void print_line(json_t *j)
{
    char *text = json_dumps(j, JSON_COMPACT | JSON_ENSURE_ASCII);
    if (text != NULL) (void)printf("%s\n", text);
    (void)fflush(stdout); /* the job may be ended next */
    free(text);
    json_decref(j);
}

void failure_print(const struct command *c, sunup_status status, const char *sentence)
{
    char word[24];
    word_of(c, status, word);
    json_t *text = json_string(sentence);
    if (text == NULL) text = json_string(sunup_status_text(status)); /* it was no UTF-8 */
    json_t *j = json_pack("{s:o, s:s}", "error", text, "status", word);
    if (j != NULL && c->ctx != NULL) put_blame(j, c);
    if (j != NULL) print_line(j);
}

int fail(struct command *c, sunup_status status)
{
    const bool first = c->comm == NULL || sunup_comm_rank(c->comm) == 0;
    const bool alone = status == SUNUP_E_HANG || status == SUNUP_E_PEER;
    if (first || alone) {
        const char *text = sunup_error(c->ctx);
        if (text[0] == '\0') text = sunup_status_text(status);
        (void)complain(EXIT_ERROR, "%s", text);
        if (c->json) failure_print(c, status, text);
    }
    if (!alone) return EXIT_ERROR;
    if (c->comm != NULL && sunup_comm_ranks(c->comm) > 1) sunup__comm_abort(c->comm, EXIT_LOST);
    return status == SUNUP_E_HANG ? EXIT_LOST : EXIT_ERROR; /* E_PEER without ranks: another program */
}
