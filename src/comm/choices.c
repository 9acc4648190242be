/* choices.c - measured choices: what the tuning file says of an exchange and of collectives, for
 * all ranks.
 *
 *   exchange:f32:97MiB:ranks8:nodes8 nearest:bucket16MiB
 *   exchange:int32:97MiB:ranks8:nodes8 ring:bucket64MiB       also by an EXACT algorithm of algorithms.def
 *   allgather:u8:64KiB:ranks8:nodes8 bruck
 *   barrier:ranks8:nodes1:messages rounds          messages: within a node too (SUNUP_MESSAGES)
 *
 * Owes: the choice of the nearest size, at most a factor of 2 away, that was measured on as many
 * ranks and nodes. Rank 0 looks it up and tells all, so ranks with other files take the same way. A
 * line that fits nothing here is left out with a warning; then the model of routes.c and the limits
 * of collectives.c choose. Leaves the file to plan/tuning.c, measuring to tune.c. No choice changes
 * a bit.
 */
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "comm/exchange.h"
#include "plan/plan.h"

/* --- problems --- */

/* "exchange:f32:", before the bytes. of: an exchange's type. */
static void kind_text(enum collective what, const char *of, char *room)
{
    if (what == COLLECTIVE_barrier)
        (void)snprintf(room, PLACE_TEXT, "barrier");
    else if (what == COLLECTIVES)
        (void)snprintf(room, PLACE_TEXT, "exchange:%s:", of);
    else
        (void)snprintf(room, PLACE_TEXT, "%s:%s:", sunup__collective_name(what), sunup__collective_type(what));
}

/* What a choice was measured on, "ranks8:nodes2". */
static void place_text(const sunup_comm *comm, char *room)
{
    (void)snprintf(room, PLACE_TEXT, ":ranks%d:nodes%d%s", comm->ranks,
                   comm->nodes > 0 ? comm->nodes : 1, comm->options.messages ? ":messages" : "");
}

char *sunup__choice_problem(const sunup_comm *comm, enum collective what, const char *of,
                            int64_t bytes, char *room)
{
    char kind[PLACE_TEXT], size[BYTES_TEXT] = "", place[PLACE_TEXT];
    kind_text(what, of, kind);
    if (what != COLLECTIVE_barrier) sunup__bytes_text(bytes, size);
    place_text(comm, place);
    (void)snprintf(room, CHOICE_TEXT, "%s%s%s", kind, size, place);
    return room;
}

/* A problem of this kind and place, of so many bytes. */
static bool reads_as(const char *problem, const char *kind, const char *place, int64_t *bytes)
{
    const size_t n = strlen(kind);
    if (strncmp(problem, kind, n) != 0) return false;
    *bytes = 0;
    const char *rest = kind[n - 1] == ':' ? sunup__bytes_read(problem + n, bytes) : problem + n;
    return rest != NULL && strcmp(rest, place) == 0;
}

static void warn(const sunup_comm *comm, const char *problem, const char *maker)
{
    sunup__log(comm->ctx, SUNUP_LOG_WARN,
               "tuning file: '%s' of '%s' is no way for %d ranks here and not used; tune again",
               maker, problem, comm->ranks);
}

/* --- an exchange --- */

enum { BUCKET_LEAST = 4096 };

/* "nearest:bucket16MiB" */
static bool read_way(const char *text, struct exchange_way *way)
{
    const size_t n = strcspn(text, ":");
    if (n >= sizeof way->route || strncmp(text + n, ":bucket", 7) != 0) return false;
    (void)snprintf(way->route, sizeof way->route, "%.*s", (int)n, text);
    const char *end = sunup__bytes_read(text + n + 7, &way->bucket_bytes);
    return end != NULL && *end == '\0' && way->bucket_bytes >= BUCKET_LEAST &&
           way->bucket_bytes <= WIRE_MAX;
}

char *sunup__way_text(const struct exchange_way *way, char *room)
{
    char size[BYTES_TEXT];
    (void)snprintf(room, WAY_TEXT, "%s:bucket%s", way->route,
                   sunup__bytes_text(way->bucket_bytes, size));
    return room;
}

bool sunup__exchange_takes(const char *of, const char *name)
{
    return strcmp(of, "int32") == 0 && sunup__exact_scatter(name) != NULL;
}

static void look_up_way(const sunup_comm *comm, const char *of, int64_t bytes, int members,
                        struct exchange_way *way)
{
    char kind[PLACE_TEXT], place[PLACE_TEXT];
    const char *problem, *maker;
    const struct network net = sunup__network_defaults();
    double best = 2;
    kind_text(COLLECTIVES, of, kind);
    place_text(comm, place);
    for (int i = 0; sunup__tuning_at(comm->ctx, i, &problem, &maker); i++) {
        struct exchange_way read = {.tuned = true};
        struct route r;
        int64_t size;
        if (!reads_as(problem, kind, place, &size)) continue;
        const double apart = sunup__apart(size, bytes);
        if (apart > best) continue;
        if (!read_way(maker, &read) || (!sunup__route_named(read.route, members, &net, &r) &&
                                        !sunup__exchange_takes(of, read.route))) {
            warn(comm, problem, maker);
            continue;
        }
        best = apart;
        *way = read;
    }
}

/* Buckets that the caller has set are kept: no choice was measured with them. */
sunup_status sunup__exchange_consult(sunup_comm *comm, const char *of, int64_t bytes, int members,
                                     struct exchange_way *way)
{
    *way = (struct exchange_way){.bucket_bytes = comm->options.bucket_bytes};
    if (way->bucket_bytes != sunup_comm_defaults().bucket_bytes) return SUNUP_OK;
    if (comm->rank == 0) look_up_way(comm, of, bytes, members, way);
    return sunup__comm_broadcast(comm, way, sizeof *way, 0, "choices of an exchange");
}

/* --- collectives --- */

static void take(const sunup_comm *comm, enum collective what, struct tuned *t)
{
    char kind[PLACE_TEXT], place[PLACE_TEXT];
    const char *problem, *maker;
    int64_t bytes;
    kind_text(what, NULL, kind);
    place_text(comm, place);
    for (int i = 0; sunup__tuning_at(comm->ctx, i, &problem, &maker); i++) {
        if (!reads_as(problem, kind, place, &bytes) || t->n == TUNED_SIZES) continue;
        const int number = sunup__algorithm_here(comm, what, maker);
        if (number < 0) {
            warn(comm, problem, maker);
            continue;
        }
        t->bytes[t->n] = bytes;
        t->algorithm[t->n++] = number;
    }
}

sunup_status sunup__comm_consult(sunup_comm *comm)
{
    struct tuned all[COLLECTIVES] = {{0}};
    if (comm->ranks == 1) return SUNUP_OK;
    for (int what = 0; what < COLLECTIVES && comm->rank == 0; what++)
        take(comm, (enum collective)what, &all[what]);
    TRY(sunup__comm_broadcast(comm, all, sizeof all, 0, "choices of collectives"));
    memcpy(comm->tuned, all, sizeof all);
    return SUNUP_OK;
}
