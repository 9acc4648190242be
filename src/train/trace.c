/* trace.c - a trace of some steps as Chrome's trace events: run_dir/trace.json, for chrome://tracing or Perfetto.
 *
 * A process for each rank, its threads: steps, their phases, the kernels of the training plan, buckets of the exchange
 * (which overlap the kernels), waits for other ranks, and the preparation of batches. Time is counted from a meeting of
 * all ranks, so ranks of different nodes are shown together to within that meeting's microseconds.
 * Each rank writes trace/rank-NNNNN.json; the first one puts them together, so memory does not grow with the ranks.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/system.h"
#include "base/trace.h"
#include "plan/plan.h"
#include "train/trainer.h"

enum { SPANS_MOST = 4 << 20, SPANS_A_STEP = 4096 };

static const char *const lanes[TRACE_LANES] = {"steps",   "phases", "kernels",
                                               "buckets", "waits",  "batches"};

sunup_status sunup__trainer_trace(sunup_trainer *t, int64_t from, int64_t to)
{
    CHECK(0 <= from && from < to, t->ctx, E_ARGUMENT,
          "steps %lld to %lld cannot be traced; the first must be at least 0 and below the last",
          (long long)from, (long long)to);
    CHECK(t->o.run_dir != NULL, t->ctx, E_ARGUMENT, "a trace needs a run_dir to be written to");
    const int64_t each = t->pass->plan->n_steps * (int64_t)(t->to - t->from) * t->o.accumulate;
    const int64_t wanted = (to - from) * (each + SPANS_A_STEP);
    const sunup_status mine = sunup__trace_begin(t->ctx, wanted < SPANS_MOST ? wanted : SPANS_MOST);
    TRY(sunup_comm_agree(t->comm, mine));
    TRY(sunup__comm_barrier(t->comm, "start of a trace"));
    t->trace_zero_s = sunup__now_s();
    t->trace_from = t->step + from;
    t->trace_to = t->step + to;
    t->pass->plan->traced = true;
    return SUNUP_OK;
}

void sunup__trace_step(sunup_trainer *t)
{
    struct trace *trace = t->ctx->trace;
    if (trace == NULL) return;
    atomic_store(&trace->on, t->trace_from <= t->step && t->step < t->trace_to);
}

static int64_t kept(const struct trace *trace)
{
    const int64_t n = atomic_load(&trace->n);
    return n < trace->room ? n : trace->room;
}

int64_t sunup__trainer_traced(const sunup_trainer *t, double *plan_step_s, double *steps_s)
{
    const struct trace *trace = t->ctx->trace;
    int64_t steps = 0;
    *steps_s = 0;
    for (int i = 0; i < t->pass->plan->n_steps; i++) plan_step_s[i] = 0;
    for (int64_t i = 0; trace != NULL && i < kept(trace); i++) {
        const struct trace_span *s = &trace->spans[i];
        const double seconds = s->to_s - s->from_s;
        if (s->lane == TRACE_KERNEL) plan_step_s[s->number] += seconds;
        if (s->lane != TRACE_STEP) continue;
        *steps_s += seconds;
        steps++;
    }
    return steps;
}

static int by_start(const void *a, const void *b)
{
    const struct trace_span *x = a, *y = b;
    return (x->from_s > y->from_s) - (x->from_s < y->from_s);
}

/* Spans of a lane in order of time, those that touch made one; their number. */
static int64_t merged(const struct trace *trace, enum trace_lane lane, struct trace_span *out)
{
    int64_t n = 0, m = 0;
    for (int64_t i = 0; i < kept(trace); i++)
        if (trace->spans[i].lane == lane) out[n++] = trace->spans[i];
    qsort(out, (size_t)n, sizeof *out, by_start);
    for (int64_t i = 0; i < n; i++)
        if (m > 0 && out[i].from_s <= out[m - 1].to_s)
            out[m - 1].to_s = out[i].to_s > out[m - 1].to_s ? out[i].to_s : out[m - 1].to_s;
        else
            out[m++] = out[i];
    return m;
}

static double common_s(const struct trace_span *a, const struct trace_span *b)
{
    const double from = a->from_s > b->from_s ? a->from_s : b->from_s;
    const double to = a->to_s < b->to_s ? a->to_s : b->to_s;
    return to > from ? to - from : 0;
}

sunup_status sunup__trainer_overlap(const sunup_trainer *t, double *bucket_s, double *hidden_s)
{
    const struct trace *trace = t->ctx->trace;
    *bucket_s = *hidden_s = 0;
    if (trace == NULL) return SUNUP_OK;
    struct trace_span *room = sunup__alloc((size_t)(2 * kept(trace) + 1) * sizeof *room);
    CHECK(room != NULL, t->ctx, E_MEMORY, "no memory to look at a trace");
    struct trace_span *buckets = room, *kernels = room + kept(trace);
    const int64_t n = merged(trace, TRACE_BUCKET, buckets);
    const int64_t m = merged(trace, TRACE_KERNEL, kernels);
    for (int64_t i = 0, k = 0; i < n; i++) {
        *bucket_s += buckets[i].to_s - buckets[i].from_s;
        while (k < m && kernels[k].to_s <= buckets[i].from_s) k++;
        for (int64_t j = k; j < m && kernels[j].from_s < buckets[i].to_s; j++)
            *hidden_s += common_s(&buckets[i], &kernels[j]);
    }
    sunup__free(room);
    return SUNUP_OK;
}

/* Names of layers come from users. */
static void put_text(FILE *f, const char *text)
{
    for (; text != NULL && *text != '\0'; text++)
        if (*text == '"' || *text == '\\')
            (void)fprintf(f, "\\%c", *text);
        else if ((unsigned char)*text >= ' ')
            (void)fputc(*text, f);
}

static void put_span(FILE *f, const sunup_trainer *t, const struct trace_span *s)
{
    const double from = 1e6 * (s->from_s - t->trace_zero_s), length = 1e6 * (s->to_s - s->from_s);
    (void)fprintf(f, ",\n{\"ph\":\"X\",\"pid\":%d,\"tid\":%d,\"ts\":%.3f,\"dur\":%.3f,",
                  sunup_comm_rank(t->comm), (int)s->lane, from, length);
    if (s->lane != TRACE_KERNEL) {
        (void)fprintf(f, "\"name\":\"%s %lld\"}", s->name, (long long)s->number);
        return;
    }
    const struct step *step = &t->pass->plan->steps[s->number];
    char problem[PROBLEM_TEXT];
    sunup__problem_text(step->node, problem, sizeof problem);
    (void)fprintf(f, "\"name\":\"%s\",\"args\":{\"layer\":\"", step->node->op->name);
    put_text(f, step->node->layer);
    (void)fprintf(f, "\",\"maker\":\"%s\",\"problem\":\"%s\"}}", step->maker->name, problem);
}

static void put_names(FILE *f, const sunup_trainer *t)
{
    const int rank = sunup_comm_rank(t->comm);
    (void)fprintf(f,
                  "%s{\"ph\":\"M\",\"pid\":%d,\"name\":\"process_name\",\"args\":{\"name\":\"rank "
                  "%d\"}}",
                  rank > 0 ? ",\n" : "", rank, rank);
    for (int i = 0; i < TRACE_LANES; i++)
        (void)fprintf(f,
                      ",\n{\"ph\":\"M\",\"pid\":%d,\"tid\":%d,\"name\":\"thread_name\",\"args\":{"
                      "\"name\":\"%s\"}}",
                      rank, i, lanes[i]);
}

static sunup_status close_file(const sunup_trainer *t, FILE *f, const char *path)
{
    const bool bad = ferror(f) != 0;
    CHECK(fclose(f) == 0 && !bad, t->ctx, E_FILE, "%s cannot be written", path);
    return SUNUP_OK;
}

static sunup_status write_own(const sunup_trainer *t, const char *path)
{
    const struct trace *trace = t->ctx->trace;
    FILE *f = sunup__file_open(path, "w");
    CHECK(f != NULL, t->ctx, E_FILE, "%s cannot be written", path);
    put_names(f, t);
    for (int64_t i = 0; i < kept(trace); i++) put_span(f, t, &trace->spans[i]);
    const int64_t lost = atomic_load(&trace->n) - kept(trace);
    if (lost > 0)
        sunup__log(t->ctx, SUNUP_LOG_WARN, "%lld spans did not fit into the trace; trace fewer steps",
                   (long long)lost);
    return close_file(t, f, path);
}

/* Beside run_dir/trace.json until all are put together. */
static char *path_of(const sunup_trainer *t, int rank, char *room, size_t bytes)
{
    (void)snprintf(room, bytes, "%s/trace/rank-%05d.json", t->o.run_dir, rank);
    return room;
}

static sunup_status append(const sunup_trainer *t, int rank, FILE *to)
{
    char path[4096];
    void *data;
    size_t bytes;
    TRY(sunup__file_read(t->ctx, path_of(t, rank, path, sizeof path), &data, &bytes));
    const bool good = fwrite(data, 1, bytes, to) == bytes;
    sunup__free(data);
    (void)unlink(path);
    CHECK(good, t->ctx, E_FILE, "the trace of rank %d cannot be copied", rank);
    return SUNUP_OK;
}

static sunup_status put_together(const sunup_trainer *t)
{
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/trace.json", t->o.run_dir);
    FILE *f = sunup__file_open(path, "w");
    CHECK(f != NULL, t->ctx, E_FILE, "%s cannot be written", path);
    (void)fprintf(f, "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n");
    sunup_status status = SUNUP_OK;
    for (int r = 0; r < sunup_comm_ranks(t->comm) && status == SUNUP_OK; r++)
        status = append(t, r, f);
    (void)fprintf(f, "\n]}\n");
    const sunup_status closed = close_file(t, f, path);
    (void)snprintf(path, sizeof path, "%s/trace", t->o.run_dir);
    (void)rmdir(path);
    return status != SUNUP_OK ? status : closed;
}

sunup_status sunup__trace_write(sunup_trainer *t)
{
    if (t->ctx->trace == NULL || t->trace_from == t->trace_to) return SUNUP_OK;
    atomic_store(&t->ctx->trace->on, false);
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/trace", t->o.run_dir);
    sunup_status mine = sunup__make_folder(t->ctx, path);
    if (mine == SUNUP_OK)
        mine = write_own(t, path_of(t, sunup_comm_rank(t->comm), path, sizeof path));
    TRY(sunup_comm_agree(t->comm, mine));
    return sunup_comm_agree(t->comm, sunup_comm_rank(t->comm) == 0 ? put_together(t) : SUNUP_OK);
}
