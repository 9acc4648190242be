/* inside.h - what the program needs of the apps, and the apps' own files share. An app does not see it. */
#ifndef SUNUP_APPS_INSIDE_H
#define SUNUP_APPS_INSIDE_H

#include <stdio.h>

#include "app.h"
#include "base/context.h"
#include "base/memory.h"

/* A `source` of a run file: its name, and the other keys as they are written. */
struct source {
    const char *name;
    int n;
    const char **key, **value;
    const char *where; /* "run.yaml:3:5", for messages */
};

/* registry.c */
const struct app *app_find(const char *name); /* NULL: there is none */
const struct app *app_at(int i);              /* NULL past the last */
/* E_ARGUMENT with the nearest name. */
sunup_status app_unknown(sunup_context *ctx, const char *name);
/* The folder of the apps' files: SUNUP_APPS, or where they were built. */
const char *app_folder(void);

/* data.c: keys that the app did not ask for are an error. */
sunup_status app_open_source(sunup_context *ctx, const struct source *s, bool training, uint64_t seed,
                             sunup_data **data);
/* 0, or how many of the app's files were not found; each is printed with its place if `list` says so. */
int app_files_missing(const struct app *a, bool list);

/* scores.c */
struct app_row {
    const char *what, *note;
    double value, limit;
    enum app_goal goal;
};
struct app_other {
    const char *what, *who;
    double value;
};
struct app_scores {
    struct arena arena;
    struct app_row *rows;
    struct app_other *others;
    int n_rows, n_others;
};
bool app_row_good(const struct app_row *row);
int app_scores_missed(const struct app_scores *s); /* goals */
void app_scores_print(const struct app_run *r, FILE *to);
/* The losses of the evaluations in run_dir/metrics.jsonl as rows "loss after epoch 1", ... */
void app_scores_losses(struct app_run *r);
/* A line for each row after those that are there: variant,seed,score,value. */
sunup_status app_scores_append(const struct app_run *r, const char *path);
void app_scores_end(struct app_scores *s);

#endif
