/* problem_read.c - the way back from a problem's text to a node, for benches and checks.
 *
 * Owes: sunup__problem_text(sunup__problem_read(text)) is `text` for every text that
 * sunup__problem_text makes of an op that problem_ops.c knows, and sentences with the position for what is
 * no problem. Short forms are read as well, and written back in full:
 *
 *   conv:n16h56w56c64k64r3s3:same           pad and to follow; also valid, pad1 (both sides of all axes)
 *   layer_norm:4096x256                     the shape of x alone; gamma and beta are there
 *   batch_norm_grad:16x14x14x256            the gradient of the op of x
 *   gelu_grad:4096x3072                     operands that are not given are as the first one
 *   chain:16x56x56x256:add+relu             a step without registers works on the last result and on
 *                                           operands that no step has used yet
 *
 * Leaves: what follows an op's name to problem_ops.c. All operands of the node are inputs; those that
 * another op would have made (statistics of a norm) say by their range that they are positive.
 */
#include "plan/problem_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/words.h"

static const int64_t SIZE_MOST = (int64_t)1 << 31;

sunup_status sunup__read_wrong(const struct reader *r, const char *at, const char *expected)
{
    const size_t n = strcspn(at, ":");
    RAISE(r->ctx, E_ARGUMENT, "problem '%s': %s%.*s%s (character %lld) is not %s", r->text,
          n > 0 ? "'" : "its end", (int)n, at, n > 0 ? "'" : "", (long long)(at - r->cut) + 1,
          expected);
}

/* ------------------------------------------------------------------------- tokens --- */

bool sunup__read_more(const struct reader *r)
{
    return *r->at == ':';
}

bool sunup__read_part_ended(const struct reader *r)
{
    return *r->at == ':' || *r->at == '\0';
}

sunup_status sunup__read_number(struct reader *r, int64_t least, int64_t *x)
{
    char *end;
    const char *from = r->at;
    if (*from < '0' || *from > '9') return sunup__read_wrong(r, from, "a number");
    *x = strtoll(from, &end, 10);
    if (*x < least || *x > SIZE_MOST)
        return sunup__read_wrong(
            r, from, least > 0 ? "a size of 1 to 2147483648" : "a size of 0 to 2147483648");
    r->at = end;
    return SUNUP_OK;
}

bool sunup__read_word(struct reader *r, const char *w)
{
    const size_t n = strlen(w);
    const char *after = r->at + n;
    if (strncmp(r->at, w, n) != 0) return false;
    if (!(*after == '\0' || *after == ':' || (*after >= '0' && *after <= '9'))) return false;
    r->at = after;
    return true;
}

sunup_status sunup__read_each(struct reader *r, int space, int64_t least, int64_t x[3])
{
    const char *from = r->at;
    int n = 0;
    do {
        if (n > 0) r->at++;
        if (n == space)
            return sunup__read_wrong(r, from, "one number, or one for each axis of space");
        TRY(sunup__read_number(r, least, &x[3 - space + n++]));
    } while (*r->at == 'x');
    for (int i = 4 - space; n == 1 && i < 3; i++) x[i] = x[3 - space];
    if (n != 1 && n != space)
        return sunup__read_wrong(r, from, "one number, or one for each axis of space");
    return sunup__read_part_ended(r) ? SUNUP_OK
                                     : sunup__read_wrong(r, r->at, "the end of this part, or 'x'");
}

sunup_status sunup__read_sizes(struct reader *r, const char *letters, int64_t *size)
{
    for (size_t i = 0; letters[i] != '\0'; i++) size[i] = -1;
    if (!sunup__read_more(r)) return sunup__read_wrong(r, r->at, "sizes such as n16");
    r->at++;
    while (!sunup__read_part_ended(r)) {
        const char *letter = strchr(letters, *r->at);
        char expected[64];
        snprintf(expected, sizeof expected, "one of the letters %s and a size", letters);
        if (letter == NULL || size[letter - letters] >= 0)
            return sunup__read_wrong(r, r->at, expected);
        r->at++;
        TRY(sunup__read_number(r, 1, &size[letter - letters]));
    }
    return SUNUP_OK;
}

sunup_status sunup__read_shapes(struct reader *r, int room, sunup_shape *shape, int *n)
{
    if (!sunup__read_more(r))
        return sunup__read_wrong(r, r->at, "the shapes of operands, such as 64x10");
    do {
        r->at++;
        if (*n == room) return sunup__read_wrong(r, r->at, "the end: the op has fewer operands");
        sunup_shape *s = &shape[(*n)++];
        *s = SUNUP_SCALAR;
        if (*r->at == '-') {
            s->d[0] = -1;
            r->at++;
        } else if (!sunup__read_word(r, "scalar")) {
            do {
                if (s->n > 0) r->at++;
                if (s->n == SUNUP_MAX_DIMS)
                    return sunup__read_wrong(r, r->at, "a shape of at most 8 axes");
                TRY(sunup__read_number(r, 1, &s->d[s->n++]));
            } while (*r->at == 'x');
        }
    } while (*r->at == ',');
    return sunup__read_part_ended(r)
               ? SUNUP_OK
               : sunup__read_wrong(r, r->at, "'x', ',' or the end of this part");
}

/* ---------------------------------------------------------------------------- names --- */

static sunup_status unknown_op(const struct reader *r, const char *name)
{
    const char *known[256];
    int n = 0;
    for (int i = 0; sunup__op_at(i) != NULL && n < 256; i++)
        if (sunup__problem_reader(sunup__op_at(i)) != NULL) known[n++] = sunup__op_at(i)->name;
    char hint[HINT_TEXT];
    RAISE(r->ctx, E_ARGUMENT, "problem '%s': '%s' is no op with problems%s", r->text, name,
          sunup__hint(hint, name, n, known));
}

static sunup_status find_op(struct reader *r)
{
    char name[64];
    const size_t n = strcspn(r->cut, ":");
    snprintf(name, sizeof name, "%.*s", (int)n, r->cut);
    r->op = n < sizeof name ? sunup__op_find(name) : NULL;
    r->at = r->cut + n;
    return r->op != NULL && sunup__problem_reader(r->op) != NULL ? SUNUP_OK : unknown_op(r, name);
}

/* Cuts a type off the end. */
static void read_type(struct reader *r)
{
    char *last = strrchr(r->cut, ':');
    r->dtype = SUNUP_F32;
    if (last == NULL) return;
    const bool f64 = strcmp(last, ":f64") == 0;
    if (f64) r->dtype = SUNUP_F64;
    if (f64 || strcmp(last, ":f32") == 0) *last = '\0';
}

static sunup_status read_node(struct reader *r, const struct node **n)
{
    sunup_value *v = NULL;
    TRY(sunup__problem_reader(r->op)(r, &v));
    const sunup_status status = sunup_graph_finish(r->graph);
    if (status != SUNUP_OK) {
        return sunup__raise(r->ctx, status, "problem '%s': %s", r->text, sunup_error(r->ctx));
    }
    if (*r->at != '\0') return sunup__read_wrong(r, r->at + 1, "f32, f64 or nothing");
    CHECK(v->node->op == r->op, r->ctx, E_ARGUMENT,
          "problem '%s' is made into one for another op (one b for all of a batch: more rows, no "
          "batch)",
          r->text);
    *n = v->node;
    return SUNUP_OK;
}

static sunup_status read_graph(struct reader *r, const struct node **n)
{
    sunup_graph_options o = sunup_graph_defaults();
    read_type(r);
    o.training = true; /* batch norm by the batch's statistics */
    o.dtype = r->dtype;
    TRY(find_op(r));
    TRY(sunup_graph_create(r->ctx, &o, &r->graph));
    return read_node(r, n);
}

sunup_status sunup__problem_read(sunup_context *ctx, const char *text, sunup_graph **graph,
                                 const struct node **n)
{
    struct reader r = {.ctx = ctx, .text = text, .cut = sunup__strdup(text)};
    *graph = NULL;
    CHECK(r.cut != NULL, ctx, E_MEMORY, "no memory to read a problem");
    const sunup_status status = read_graph(&r, n);
    sunup__free(r.cut);
    if (status == SUNUP_OK)
        *graph = r.graph;
    else
        sunup_graph_destroy(&r.graph);
    return status;
}
