/* watchdog.c - waiting that ends: polling with a clock, and the report that names the ranks that
 * did not come.
 *
 * Owes: all waiting of comm goes through sunup__wait and sunup__node_meet. They spin for what a
 * message takes, then yield, then sleep, so that more ranks than cores make progress with any MPI.
 * After timeout_s in which nobody came they raise E_HANG; at once if one who is awaited is a
 * process of this node that no longer exists.
 *
 * Who is absent: the ranks whose messages are outstanding. On this node a record in shared memory
 * says more: a rank whose process is stopped or gone is the cause, else one that has begun the
 * fewest collectives; the others only wait with us. Records are written before the sequence number
 * is released; a reader of a rank that still moves may see a mixed line of text, which is harmless
 * because a rank that moves is not the one in the report.
 */
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/counters.h"
#include "base/memory.h"
#include "base/system.h"
#include "base/trace.h"
#include "comm/inside.h"

enum { CACHE_LINE = 64 };

/* --- records --- */

static uint64_t pid_space(void)
{
    struct stat st;
    return stat("/proc/self/ns/pid", &st) == 0 ? (uint64_t)st.st_ino : 0;
}

/* The same clock as sunup__now_s, as of its last tick: a few milliseconds old, but a tenth of the cost, which counts
 * in sums that take as long as two readings. */
static double about_now_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void sunup__watch_start(struct record *mine, int rank)
{
    memset(mine, 0, sizeof *mine);
    mine->rank = rank;
    mine->pid = (int)getpid();
    mine->pid_space = pid_space();
    mine->begun_s = about_now_s();
    snprintf(mine->site, SITE_TEXT, "start");
}

void sunup__enter(sunup_comm *comm, const char *site)
{
    comm->sequence++;
    sunup__tick(COUNT_COLLECTIVES);
    const char *name = site ? site : "an unnamed collective";
    const size_t length = strnlen(name, SITE_TEXT - 1); /* snprintf takes as long as a meeting */
    memcpy(comm->site, name, length);
    comm->site[length] = '\0';
    if (!comm->records) return;
    struct record *r = &comm->records[comm->node_rank];
    memcpy(r->site, name, length);
    r->site[length] = '\0';
    r->begun_s = about_now_s();
    atomic_store_explicit(&r->inside, 1, memory_order_relaxed);
    atomic_store_explicit(&r->sequence, comm->sequence, memory_order_release);
}

struct sign *sunup__sign(const sunup_comm *comm, int index, uint64_t meeting)
{
    return &comm->records[index].sign[meeting % 2];
}

/* A line that others have read must be taken from their caches before it is written. So what was shown now is taken
 * for the next meeting at once, while nobody waits for it: all have come, so none reads the last one any more. Not the
 * first line, which others look at until they see the next meeting's number. This is a hint; without it the store does
 * the same later. */
static void take_lines(const sunup_comm *comm)
{
#ifdef __x86_64__
    const struct sign *next = sunup__sign(comm, comm->node_rank, comm->meetings + 1);
    const char *end = next->shown + comm->shown;
    for (const char *line = (const char *)next + CACHE_LINE; line < end; line += CACHE_LINE)
        __asm__ volatile("prefetchw %0" : : "m"(*line));
#else
    (void)comm;
#endif
}

void sunup__leave(sunup_comm *comm)
{
    if (!comm->records) return;
    if (comm->shown > 0) take_lines(comm);
    comm->shown = 0;
    struct record *r = &comm->records[comm->node_rank];
    atomic_store_explicit(&r->inside, 0, memory_order_release);
}

static bool has_come(const sunup_comm *comm, int index)
{
    const struct sign *s = sunup__sign(comm, index, comm->meetings);
    return atomic_load_explicit(&s->meeting, memory_order_acquire) >= comm->meetings;
}

/* --- the report --- */

/* The state letter of a process (proc_pid_stat(5)), 0: gone, '?': not to be seen from here. */
static char process_state(const struct record *r)
{
    char path[64], line[256];
    if (r->pid_space != pid_space()) return '?';
    snprintf(path, sizeof path, "/proc/%d/stat", r->pid);
    FILE *f = fopen(path, "r");
    if (!f) return 0;
    const bool read = fgets(line, sizeof line, f) != NULL;
    fclose(f);
    const char *name_end = read ? strrchr(line, ')') : NULL; /* the name may contain anything */
    return name_end && name_end[1] == ' ' ? name_end[2] : '?';
}

static bool is_stopped(char state)
{
    return state == 'T' || state == 't';
}

static bool is_gone(char state)
{
    return state == 0 || state == 'Z' || state == 'X';
}

static const char *state_text(char state)
{
    if (is_stopped(state)) return "stopped";
    if (is_gone(state)) return "gone";
    return state == '?' ? "of unknown state" : "alive";
}

static const struct record *record_of(const sunup_comm *comm, int rank)
{
    for (int i = 0; comm->records && i < comm->node_ranks; i++)
        if (comm->records[i].rank == rank) return &comm->records[i];
    return NULL;
}

static bool has_reported(const struct record *r)
{
    return atomic_load_explicit(&r->reported, memory_order_acquire) != 0;
}

/* What speaks against a rank: no message; fewest collectives begun; process stopped or gone. Only
 * the strongest verdict of this node is reported, the rest are its victims. */
enum verdict { FINE, LATE, BEHIND, DOWN };

static uint64_t begun(const struct record *r)
{
    return atomic_load_explicit(&r->sequence, memory_order_acquire);
}

static enum verdict verdict_of(const sunup_comm *comm, const struct record *r, uint64_t fewest)
{
    const char state = process_state(r);
    if (is_stopped(state) || is_gone(state)) return DOWN;
    return begun(r) == fewest && fewest < comm->sequence ? BEHIND : FINE;
}

/* Who is awaited: the ranks of messages under way, or (f NULL) those who do not come to a meeting of the node. */
static void find_late(const sunup_comm *comm, const struct flight *f, char *verdict)
{
    for (int i = 0; f != NULL && i < f->room; i++)
        if (f->peer[i] >= 0) verdict[f->peer[i]] = LATE;
    for (int i = 0; f == NULL && i < comm->node_ranks; i++)
        if (!has_come(comm, i)) verdict[comm->records[i].rank] = LATE;
}

/* Raises verdict[ranks] by what the records say, returns the strongest. Of other nodes only the messages are
 * known. */
static enum verdict judge(const sunup_comm *comm, char *verdict)
{
    enum verdict worst = LATE;
    uint64_t fewest = comm->sequence;
    for (int i = 0; comm->records && i < comm->node_ranks; i++)
        if (begun(&comm->records[i]) < fewest) fewest = begun(&comm->records[i]);
    for (int i = 0; comm->records && i < comm->node_ranks; i++) {
        const struct record *r = &comm->records[i];
        const bool innocent = has_reported(r);
        const enum verdict v = innocent ? FINE : verdict_of(comm, r, fewest);
        if (v > FINE || innocent) verdict[r->rank] = (char)v;
        if (v > worst) worst = v;
    }
    return worst;
}

static void describe(const sunup_comm *comm, int rank, struct text *t)
{
    const struct record *rec = record_of(comm, rank);
    sunup__text(t, "rank %d", comm->first + rank);
    if (comm->hosts) sunup__text(t, " on %s", comm->hosts[rank]);
    if (!rec) return;
    const char state = process_state(rec);
    sunup__text(t, " (process %d, %s", rec->pid, state_text(state));
    if (state != 0 && state != '?') sunup__text(t, ", state %c", state);
    const bool inside = atomic_load_explicit(&rec->inside, memory_order_acquire) != 0;
    sunup__text(t, "; last %s \"%.*s\", collective %" PRIu64 ", begun %.1f s ago)",
                inside ? "entered" : "left", SITE_TEXT - 1, rec->site, begun(rec),
                sunup__now_s() - rec->begun_s);
}

static void keep_lost(sunup_comm *comm, int rank)
{
    const struct record *rec = record_of(comm, rank);
    struct lost *l = &comm->lost[comm->n_lost++];
    l->rank = comm->first + rank;
    l->host = comm->hosts ? comm->hosts[rank] : "";
    l->state = state_text(rec ? process_state(rec) : '?');
}

static void list(sunup_comm *comm, const struct flight *f, struct text *t)
{
    char *verdict = sunup__alloc((size_t)comm->ranks);
    if (!verdict) return;
    find_late(comm, f, verdict);
    const enum verdict worst = judge(comm, verdict);
    int more = 0;
    for (int r = 0; r < comm->ranks; r++) {
        const bool elsewhere = !record_of(comm, r);
        if (verdict[r] != (char)worst && !(elsewhere && verdict[r] == LATE)) continue;
        if (comm->n_lost == LOST_MOST) {
            more++;
            continue;
        }
        sunup__text(t, comm->n_lost > 0 ? ", " : " ");
        describe(comm, r, t);
        keep_lost(comm, r);
    }
    if (more) sunup__text(t, " and %d more", more);
    sunup__free(verdict);
}

void sunup__watch_absent(sunup_comm *comm, struct text *t)
{
    comm->n_lost = 0;
    list(comm, NULL, t);
}

/* Whoever asks the whole communicator who is lost learns it from there. */
static void tell_parent(const sunup_comm *comm)
{
    sunup_comm *p = comm->parent;
    if (p == NULL) return;
    p->n_lost = comm->n_lost;
    for (int i = 0; i < p->n_lost; i++) {
        p->lost[i] = comm->lost[i];
        p->lost[i].host = p->hosts ? p->hosts[p->lost[i].rank] : "";
    }
}

static sunup_status hang(sunup_comm *comm, const struct flight *f, double waited_s)
{
    struct text t = {0};
    comm->n_lost = 0;
    list(comm, f, &t);
    tell_parent(comm);
    sunup__comm_break(comm, SUNUP_E_HANG);
    const sunup_status status = sunup__raise(
        comm->ctx, SUNUP_E_HANG,
        "rank %d waited %.1f s in \"%s\" (collective %" PRIu64
        ") and no message came; absent%s:%s. Continue a stopped process (kill -CONT), look at its "
        "node's log if it is gone, or raise timeout_s (SUNUP_TIMEOUT) if it is only slow",
        comm->first + comm->rank, waited_s, comm->site, comm->sequence,
        comm->relayed ? ", or waiting in turn for who is" : "",
        t.s ? t.s : " nobody any more, the others have reported a lost rank and ended");
    sunup__blame(comm->ctx, comm->n_lost > 0 ? comm->lost[0].rank : -1, NULL, comm->site);
    sunup__free(t.s);
    return status;
}

/* Those that the last report named, as far as can be seen from here; nobody: others have reported. */
static bool lost_are_gone(const sunup_comm *comm)
{
    bool gone = comm->n_lost == 0;
    for (int i = 0; i < comm->n_lost; i++) {
        const char *state = comm->lost[i].state;
        if (strcmp(state, state_text('T')) == 0 || strcmp(state, state_text('R')) == 0) return false;
        gone = gone || strcmp(state, state_text(0)) == 0;
    }
    return gone;
}

bool sunup__comm_died(const sunup_comm *comm)
{
    return comm->died || (comm->broken == SUNUP_E_HANG && lost_are_gone(comm));
}

int sunup__comm_lost(const sunup_comm *comm, const struct lost **lost)
{
    *lost = comm->lost;
    return comm->n_lost;
}

/* --- waiting --- */

/* Between two looks a core rests some nanoseconds, for each takes the line away from the rank that is about to write
 * it, and cycles from a rank that works on the core's other thread. */
static void rest_a_moment(void)
{
#ifdef __x86_64__
    __builtin_ia32_pause();
#endif
}

/* A core is given away only when a message takes longer than its way, sooner if ranks share cores:
 * then the sender may be waiting for this one. Yielding early costs a time slice on a busy node. */
static void rest(const sunup_comm *comm, double waited_s)
{
    if (waited_s < (comm->crowded ? 10e-6 : 200e-6)) {
        rest_a_moment();
        return;
    }
    if (waited_s < 500e-6) {
        sched_yield();
        return;
    }
    const struct timespec nap = {0, waited_s < 10e-3 ? 50000 : 200000};
    nanosleep(&nap, NULL);
}

/* Seconds between two polls beyond which it was this process that was stopped: that says nothing
 * about the others. */
#define OWN_ABSENCE_S 0.5

/* A process that is gone never comes, nor does one that has reported a lost rank; and the launcher ends
 * the survivors within a second: who waits looks at one of those awaited every so often. Seen so twice, so that
 * what it sent last has had time to land. */
#define LOOK_S 0.02

struct wait {
    double start_s, now_s, absent_s, look_s;
    int seen, next; /* rank that never comes, as seen once; number of a message to look at next */
};

static struct wait wait_from_now(void)
{
    const double now_s = sunup__now_s();
    return (struct wait){now_s, now_s, 0, LOOK_S, -1, 0};
}

/* `rank` is awaited: is it known never to come? */
static bool never_comes(const sunup_comm *comm, struct wait *w, int rank, double waited_s)
{
    if (waited_s < w->look_s) return false;
    w->look_s = waited_s + LOOK_S;
    const struct record *r = record_of(comm, rank);
    const bool never = r && (is_gone(process_state(r)) || has_reported(r)), again = w->seen == rank;
    w->seen = never ? rank : -1;
    return never && again;
}

/* A rank whose message is under way: each in its turn, the one that was seen twice. */
static int awaited(const struct flight *f, struct wait *w)
{
    if (w->seen >= 0) return w->seen;
    for (int i = 0; i < f->room; i++) {
        const int number = (w->next + i) % f->room;
        if (f->peer[number] < 0) continue;
        w->next = number + 1;
        return f->peer[number];
    }
    return f->comm->rank;
}

static double waited(struct wait *w)
{
    const double gap_s = sunup__now_s() - w->now_s;
    w->now_s += gap_s;
    if (gap_s > OWN_ABSENCE_S) w->absent_s += gap_s;
    return w->now_s - w->start_s - w->absent_s;
}

sunup_status sunup__wait(struct flight *f, int *landed)
{
    struct wait w = wait_from_now();
    const double traced_s = sunup__trace_now(f->comm->ctx);
    *landed = 0;
    while (f->left > 0) {
        TRY(sunup__poll(f, landed));
        const double waited_s = waited(&w);
        if (*landed > 0) break;
        if (waited_s > f->comm->options.timeout_s) return hang(f->comm, f, waited_s);
        if (waited_s > w.look_s && never_comes(f->comm, &w, awaited(f, &w), waited_s))
            return hang(f->comm, f, waited_s);
        rest(f->comm, waited_s);
    }
    f->comm->wait_s += w.now_s - w.start_s;
    sunup__trace_add(f->comm->ctx, TRACE_WAIT, "for messages", f->left, traced_s);
    return SUNUP_OK;
}

sunup_status sunup__wait_all(struct flight *f)
{
    int landed;
    while (f->left > 0) TRY(sunup__wait(f, &landed));
    return SUNUP_OK;
}

/* Only who is not here after so many looks is timed: a clock costs as much as what is waited for. */
enum { LOOKS = 128 };

static sunup_status await_rank(sunup_comm *comm, int index)
{
    for (int i = 0; i < LOOKS; i++) {
        if (has_come(comm, index)) return SUNUP_OK;
        rest_a_moment();
    }
    struct wait w = wait_from_now();
    const double traced_s = sunup__trace_now(comm->ctx);
    while (!has_come(comm, index)) {
        const double waited_s = waited(&w);
        if (waited_s > comm->options.timeout_s ||
            never_comes(comm, &w, comm->records[index].rank, waited_s))
            return hang(comm, NULL, waited_s);
        rest(comm, waited_s);
    }
    comm->wait_s += w.now_s - w.start_s;
    sunup__trace_add(comm->ctx, TRACE_WAIT, "for rank", comm->records[index].rank, traced_s);
    return SUNUP_OK;
}

static sunup_status await_node(sunup_comm *comm)
{
    for (int i = 0; i < comm->node_ranks; i++) TRY(await_rank(comm, i));
    return SUNUP_OK;
}

/* The exchange, unlike a store, waits for what went past the caches. */
sunup_status sunup__node_meet(sunup_comm *comm)
{
    struct sign *mine = sunup__sign(comm, comm->node_rank, ++comm->meetings);
    sunup__tick(COUNT_MEETINGS);
    (void)atomic_exchange(&mine->meeting, comm->meetings);
    return await_node(comm);
}

sunup_status sunup__node_show(sunup_comm *comm, const struct card *card, bool light)
{
    struct sign *mine = sunup__sign(comm, comm->node_rank, comm->meetings + 1);
    mine->card = *card;
    if (!light) return sunup__node_meet(comm);
    sunup__tick(COUNT_MEETINGS);
    atomic_store_explicit(&mine->meeting, ++comm->meetings, memory_order_release);
    return await_node(comm);
}
