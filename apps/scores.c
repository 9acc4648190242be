/* scores.c - the table at the end of an app: each score with its goal, what earlier runs got, and who stands beside. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/system.h"
#include "inside.h"

enum { MAX_ROWS = 200 };

static const char *keep(struct app_scores *s, const char *text)
{
    return text != NULL ? sunup__arena_strdup(&s->arena, text) : NULL;
}

void app_score(struct app_run *r, const char *what, double value, enum app_goal goal, double limit,
               const char *note)
{
    struct app_scores *s = r->scores;
    if (s->rows == NULL) s->rows = sunup__arena_alloc(&s->arena, MAX_ROWS * sizeof *s->rows);
    if (s->rows == NULL || s->n_rows == MAX_ROWS) return;
    s->rows[s->n_rows++] = (struct app_row){keep(s, what), keep(s, note), value, limit, goal};
}

void app_beside(struct app_run *r, const char *what, const char *who, double value)
{
    struct app_scores *s = r->scores;
    if (s->others == NULL) s->others = sunup__arena_alloc(&s->arena, MAX_ROWS * sizeof *s->others);
    if (s->others == NULL || s->n_others == MAX_ROWS) return;
    s->others[s->n_others++] = (struct app_other){keep(s, what), keep(s, who), value};
}

/* A score that is not a number misses any goal. */
bool app_row_good(const struct app_row *row)
{
    return row->goal == APP_REPORT || (row->goal == APP_AT_LEAST && row->value >= row->limit) ||
           (row->goal == APP_AT_MOST && row->value <= row->limit);
}

int app_scores_missed(const struct app_scores *s)
{
    int missed = 0;
    for (int i = 0; i < s->n_rows; i++) missed += !app_row_good(&s->rows[i]);
    return missed;
}

/* Mean and sample deviation of this score in apps/NAME/expected.csv; the number of seeds. */
static int expected(const struct app_run *r, const char *what, double *mean, double *sd)
{
    struct text path = {0};
    sunup__text(&path, "%s/%s/expected.csv", app_folder(), r->name);
    FILE *f = path.s != NULL ? fopen(path.s, "r") : NULL;
    sunup__free(path.s);
    char line[512], start[256];
    double sum = 0, squares = 0;
    int n = 0;
    const int variant = snprintf(start, sizeof start, "%s,", r->variant);
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        if (strncmp(line, start, (size_t)variant) != 0) continue;
        const char *score = strchr(line + variant, ','), *value = strrchr(line, ',');
        const size_t length = strlen(what);
        if (score == NULL || value <= score || (size_t)(value - score - 1) != length) continue;
        if (strncmp(score + 1, what, length) != 0) continue;
        const double x = strtod(value + 1, NULL);
        sum += x;
        squares += x * x;
        n++;
    }
    if (f != NULL) (void)fclose(f);
    *mean = n > 0 ? sum / n : NAN;
    *sd = n > 1 ? sqrt(fmax(0, (squares - sum * sum / n) / (n - 1))) : NAN;
    return n;
}

static void print_row(const struct app_run *r, const struct app_row *row, FILE *to)
{
    char goal[32] = "", seeds[64] = "";
    double mean, sd;
    if (row->goal != APP_REPORT)
        (void)snprintf(goal, sizeof goal, "%s %.4g %s", row->goal == APP_AT_LEAST ? ">=" : "<=",
                       row->limit, app_row_good(row) ? "met" : "MISSED");
    const int n = expected(r, row->what, &mean, &sd);
    if (n > 0) (void)snprintf(seeds, sizeof seeds, "%.4g +- %.2g (%d)", mean, sd, n);
    (void)fprintf(to, "  %-40s %10.4g  %-16s  %-22s  %s\n", row->what, row->value, goal, seeds,
                  row->note != NULL ? row->note : "");
    for (int i = 0; i < r->scores->n_others; i++) {
        const struct app_other *o = &r->scores->others[i];
        if (strcmp(o->what, row->what) != 0) continue;
        (void)fprintf(to, "    %-38s %10.4g\n", o->who, o->value);
    }
}

void app_scores_print(const struct app_run *r, FILE *to)
{
    (void)fprintf(to, "\n  %-40s %10s  %-16s  %-22s\n", "score", "value", "goal", "seeds before");
    for (int i = 0; i < r->scores->n_rows; i++) print_row(r, &r->scores->rows[i], to);
}

void app_scores_losses(struct app_run *r)
{
    if (r->run_dir == NULL) return;
    struct text path = {0};
    sunup__text(&path, "%s/metrics.jsonl", r->run_dir);
    FILE *f = path.s != NULL ? fopen(path.s, "r") : NULL;
    sunup__free(path.s);
    char line[2048];
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        json_t *j = json_loads(line, 0, NULL);
        const json_t *loss = json_object_get(j, "loss"), *epoch = json_object_get(j, "epoch");
        char what[64];
        (void)snprintf(what, sizeof what, "loss after epoch %.4g", json_number_value(epoch));
        if (json_is_true(json_object_get(j, "eval")) && json_is_number(loss))
            app_score(r, what, json_number_value(loss), APP_REPORT, 0, NULL);
        json_decref(j);
    }
    if (f != NULL) (void)fclose(f);
}

sunup_status app_scores_append(const struct app_run *r, const char *path)
{
    const bool fresh = !sunup__file_exists(path);
    FILE *f = fopen(path, "a");
    CHECK(f != NULL, r->ctx, E_FILE, "%s cannot be written", path);
    if (fresh) (void)fprintf(f, "variant,seed,score,value\n");
    for (int i = 0; i < r->scores->n_rows; i++)
        (void)fprintf(f, "%s,%llu,%s,%.9g\n", r->variant, (unsigned long long)r->seed,
                      r->scores->rows[i].what, r->scores->rows[i].value);
    const bool bad = ferror(f) != 0;
    CHECK(fclose(f) == 0 && !bad, r->ctx, E_FILE, "%s cannot be written", path);
    return SUNUP_OK;
}

void app_scores_end(struct app_scores *s)
{
    sunup__arena_end(&s->arena);
    *s = (struct app_scores){0};
}
