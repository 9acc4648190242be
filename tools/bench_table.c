/* bench_table.c - a row of `sunup bench kernel` for people, as JSON, and as lines of CSV. */
#include <math.h>
#include <string.h>
#include <time.h>

#include "base/system.h"
#include "bench_kernel.h"

static const struct sampled *chosen(const struct row *r)
{
    return &r->ways[r->chosen].t;
}

/* "6.41 ms" */
static const char *duration(double s, char room[16])
{
    if (s < 1e-3)
        (void)snprintf(room, 16, "%.2f us", 1e6 * s);
    else
        (void)snprintf(room, 16, "%.2f ms", 1e3 * s);
    return room;
}

void row_show(const struct row *r)
{
    char room[16];
    const double s = chosen(r)->median_s;
    const double rate = (r->by_memory ? r->bytes : r->flops) / s;
    (void)printf("  %-28s  %-26s %10s +-%4.1f %% %7.1f %-7s %5.1f %% of %s ",
                 r->name[0] != '\0' ? r->name : r->text, r->ways[r->chosen].name, duration(s, room),
                 50 * (chosen(r)->q3_s - chosen(r)->q1_s) / s, 1e-9 * rate,
                 r->by_memory ? "GB/s" : "GFLOP/s", 100 * r->bound_s / s,
                 r->by_memory ? "copy" : "FMA ");
    for (int i = 0; i < r->n_ways; i++) {
        const struct timed_way *w = &r->ways[i];
        if (i != r->chosen && w->t.n > 0) (void)printf("  %.2fx %s", w->t.median_s / s, w->name);
    }
    (void)printf("\n");
    (void)fflush(stdout);
}

static json_t *samples_json(const struct sampled *t)
{
    json_t *j = json_array();
    for (int i = 0; i < t->n; i++) (void)json_array_append_new(j, json_real(t->s[i]));
    return j;
}

json_t *row_json(const struct row *r)
{
    json_t *ways = json_object();
    const double s = chosen(r)->median_s;
    for (int i = 0; i < r->n_ways; i++) {
        const struct sampled *t = &r->ways[i].t;
        if (t->n == 0) continue;
        (void)json_object_set_new(ways, r->ways[i].name,
                                  json_pack("{s:f, s:f, s:f, s:i, s:f, s:o}", "median_s",
                                            t->median_s, "q1_s", t->q1_s, "q3_s", t->q3_s, "rounds",
                                            t->n, "ratio", t->median_s / s, "samples_s",
                                            samples_json(t)));
    }
    json_t *j = json_pack("{s:s, s:s, s:s, s:f, s:f, s:f, s:s, s:f, s:f, s:f, s:f, s:o}", "name",
                     r->name, "problem", r->text, "chosen", r->ways[r->chosen].name, "median_s", s,
                     "flops", r->flops, "bytes", r->bytes, "bound", r->by_memory ? "copy" : "fma",
                     "bound_s", r->bound_s, "share", r->bound_s / s, "fma_flops_per_s",
                     r->fma_per_s, "copy_s", r->copy_s, "ways", ways);
    if (r->canary.n > 0) (void)json_object_set_new(j, "canary_s", samples_json(&r->canary));
    return j;
}

void row_csv_head(struct text *t)
{
    sunup__text(t, "name,problem,way,chosen,rounds,median_us,q1_us,q3_us,gflops,gbytes_per_s,bound,"
                   "bound_us,share,ratio\n");
}

/* One line a way; problems and ways hold commas, so they are quoted. */
void row_csv(struct text *t, const struct row *r)
{
    const double ours_s = chosen(r)->median_s;
    for (int i = 0; i < r->n_ways; i++) {
        const struct sampled *w = &r->ways[i].t;
        if (w->n == 0) continue;
        sunup__text(t, "%s,\"%s\",\"%s\",%d,%d,%.3f,%.3f,%.3f,%.2f,%.2f,%s,%.3f,%.4f,%.3f\n", r->name,
                    r->text, r->ways[i].name, i == r->chosen, w->n, 1e6 * w->median_s,
                    1e6 * w->q1_s, 1e6 * w->q3_s, 1e-9 * r->flops / w->median_s,
                    1e-9 * r->bytes / w->median_s, r->by_memory ? "copy" : "fma", 1e6 * r->bound_s,
                    r->bound_s / w->median_s, w->median_s / ours_s);
    }
}

/* The command as it was given. */
static void put_command(struct text *t)
{
    char line[4096];
    FILE *f = fopen("/proc/self/cmdline", "r");
    const size_t n = f != NULL ? fread(line, 1, sizeof line - 1, f) : 0;
    if (f != NULL) (void)fclose(f);
    if (n == 0) return;
    for (size_t i = 0; i + 1 < n; i++)
        if (line[i] == '\0') line[i] = ' ';
    line[n] = '\0';
    const char *space = strchr(line, ' '); /* the program's name, not where it lies */
    sunup__text(t, "sunup%s", space != NULL ? space : "");
}

void bench_origin(struct text *t, sunup_context *ctx, const char *mark)
{
    char cpu[128], date[32];
    const time_t now = time(NULL);
    struct tm tm;
    (void)strftime(date, sizeof date, "%Y-%m-%d %H:%M UTC", gmtime_r(&now, &tm));
    sunup__cpu_name(cpu, sizeof cpu);
    sunup__text(t, "%ssunup %s, %s, %s; isa %s; threads %d; numerics %s\n%s", mark, sunup_version(),
                date, cpu, sunup_context_isa(ctx), sunup_context_threads(ctx),
                sunup_numerics_name(sunup_context_numerics(ctx)), mark);
    put_command(t);
    sunup__text(t, "\n");
}
