/* app.h - what a workload in apps/ gives the program, and what it gets from it.
 *
 * A workload is a folder: README.md, a network (net.yaml, or built in C), run.yaml (smoke: minutes on two cores),
 * full.yaml (published size), expected.csv (scores of several seeds), data (a script, where data come by package) and
 * one C file of its name with a struct app. `sunup train` and `sunup eval` take its run files like any other;
 * `sunup app NAME` trains it, scores it beside its baselines, draws its picture, and fails if a score misses its goal.
 *
 * An app sees this header and <sunup.h>. apps.def lists the apps; adding one is a folder and a line there.
 */
#ifndef SUNUP_APP_H
#define SUNUP_APP_H

#include <sunup.h>

/* ---- samples: `train: {source: NAME, samples: 4096, snr_min: 8}` in a run file ---- */

struct app_data; /* one use of a source in a run file */

sunup_context *app_context(const struct app_data *d);
bool app_training(const struct app_data *d);    /* data.train, else data.eval */
int64_t app_samples(const struct app_data *d);  /* key `samples`; 0: not given */
uint64_t app_seed(const struct app_data *d);    /* key `seed`, else the run's; training and evaluation differ */
/* A key of the source; a key of the run file that nobody has asked for is an error afterwards. Texts live as long as
 * the run file. */
double app_number(struct app_data *d, const char *key, double otherwise);
const char *app_word(struct app_data *d, const char *key, const char *otherwise);

/* Read a file of the data folder, such as "gdsc/gdsc2.npz": searched in each folder of SUNUP_DATA (a:b), then in data,
 * ../data and ../shared/data of where the program stands and of the source tree. *t is dense and freed by
 * sunup_free(t->data); dtype is the file's (f16 and integers as sunup's readers give them). E_FILE says where to get
 * it. member: NULL, npz member or HDF5 data set. */
sunup_status app_read(sunup_context *ctx, const char *file, const char *member, sunup_tensor *t);
/* The same as f32, whatever the file has. */
sunup_status app_read_f32(sunup_context *ctx, const char *file, const char *member, sunup_tensor *t);
/* The path of such a file, or of any file in the folder of the app; sunup_free. NULL after E_FILE. */
char *app_data_path(sunup_context *ctx, const char *file);
/* Report an error of the app as the library would. */
sunup_status app_error(sunup_context *ctx, sunup_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Counter-based random numbers: number i of the stream (seed, name, a). Names keep streams apart. */
struct app_random {
    uint64_t seed;
    uint32_t name;
    uint64_t a, i; /* i: numbers drawn so far */
};
struct app_random app_random(uint64_t seed, const char *name, int64_t epoch, int64_t sample);
double app_uniform(struct app_random *r, double low, double high);
double app_normal(struct app_random *r);
int64_t app_below(struct app_random *r, int64_t n); /* 0 .. n - 1 */
double app_exponential(struct app_random *r, double mean);
int64_t app_poisson(struct app_random *r, double mean);
double app_gamma(struct app_random *r, double shape);

/* ---- scores ---- */

struct app_run {
    sunup_context *ctx;
    const char *name;    /* of the app */
    const char *variant; /* "run" (smoke) or "full": which of its run files */
    const char *run_dir; /* pictures go here; NULL: none are drawn */
    uint64_t seed;
    sunup_model *model;  /* trained */
    sunup_data *train, *eval;
    struct app_scores *scores;
};

enum app_goal { APP_REPORT, APP_AT_LEAST, APP_AT_MOST };
/* A row of the table. what: "auc"; note: what it is of, NULL: nothing to say. */
void app_score(struct app_run *r, const char *what, double value, enum app_goal goal, double limit,
               const char *note);
/* A number to stand beside: who: "multiplicity alone", "PyTorch reference", "published (Liu 2022)". */
void app_beside(struct app_run *r, const char *what, const char *who, double value);

/* The network's outputs over data in evaluation mode, in order: called once a sample with its output [elements] and
 * its fields (f[i] as the data deliver field i). */
typedef void (*app_visit_fn)(void *arg, int64_t sample, const float *y, const void *const *f);
sunup_status app_visit(const struct app_run *r, sunup_data *data, app_visit_fn visit, void *arg);
/* Fields only, without the network. */
sunup_status app_visit_fields(sunup_data *data, app_visit_fn visit, void *arg);
/* The shape of one sample of field f; a scalar if there is no such field. */
sunup_shape app_field_shape(const sunup_data *data, int f);

/* Measures; NaN where they have no meaning. label: 0 or 1. */
double app_auc(int64_t n, const float *score, const int32_t *label); /* ties count half */
double app_r2(int64_t n, const float *y, const float *truth);
double app_pearson(int64_t n, const float *y, const float *truth);
double app_mse(int64_t n, const float *y, const float *truth);
double app_quantile(int64_t n, double *x, double q); /* sorts x; linear between neighbours */

/* ---- tables ---- */

/* Of the columns of t, f32 [rows][columns], the `keep` of largest variance over the rows with used[row], in their order,
 * each with mean 0 and deviation 1 over those rows, limited to +-5; a constant one becomes 0. */
sunup_status app_columns(sunup_context *ctx, sunup_tensor *t, const bool *used, int64_t keep);

/* Who was measured in each row: k levels of 0 .. levels - 1, such as a drug and a cell line behind the drugs. */
struct app_levels {
    int64_t rows, levels;
    int k;
    const int32_t *level; /* [rows][k] */
};
/* The baseline of any table: least squares of y [rows] by a mean and one effect for each level, [levels] and the mean
 * behind them; 0 for a level that has no row. free(); NULL: no memory. */
double *app_effects(const struct app_levels *a, const float *y);
/* y [rows]: what they say of other rows. */
void app_effects_predict(const struct app_levels *a, const double *effect, float *y);

/* ---- pictures in run_dir ---- */

/* rgb: [height][width][3]; file "event.png". */
sunup_status app_png(const struct app_run *r, const char *file, int64_t height, int64_t width,
                     const uint8_t *rgb);
/* Curves or points over common axes as SVG, "roc.svg". */
enum app_mark { APP_LINE, APP_POINTS };
struct app_series {
    const char *name;
    enum app_mark mark;
    int64_t n;
    const double *x, *y;
};
struct app_plot {
    const char *title, *x_label, *y_label;
    int n;
    const struct app_series *series;
    double mark_x; /* NaN: none; else a vertical line: an event's time */
};
sunup_status app_svg(const struct app_run *r, const char *file, const struct app_plot *plot);
/* What samples of each class were said to be, in per cent of the class, as SVG. */
struct app_confusion {
    const char *title;
    int n;
    const char *const *names; /* [n] */
    const int64_t *count;     /* [n what is][n what was said] */
};
sunup_status app_confusion(const struct app_run *r, const char *file, const struct app_confusion *c);

/* ---- the app itself ---- */

/* What .build gets as its arg. */
struct app_network {
    sunup_context *ctx;
    const char *variant; /* "lite" of `model: jets-lite`, "" of `model: jets` */
    sunup_shape input; /* model.input of the run file; n = 0: not given */
    int64_t classes;   /* model.classes; 0: not given */
};

struct app {
    const char *name;     /* its folder, and the `source` and C networks of its run files */
    const char *question; /* in a line */
    const char *files;    /* of the data folder, separated by spaces; "" if it makes its own */
    sunup_status (*open)(struct app_data *d, sunup_data **data); /* NULL: files only */
    sunup_build_fn build; /* `model: NAME` or `model: NAME-VARIANT`; arg: struct app_network. NULL: files only */
    sunup_status (*score)(struct app_run *r);
    /* What training is not: `sunup app NAME --task WORD`, such as inference with published weights; NULL: nothing. */
    sunup_status (*task)(struct app_run *r, const char *word);
};
#define APP(name) extern const struct app app_##name;
#include "apps.def"
#undef APP

#endif
