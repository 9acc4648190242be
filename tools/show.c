/* show.c - what people see while a run goes on: the bar, the table of epochs, the confusion matrix; and JSON. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/system.h"
#include "program.h"
#include "train/train.h"

bool show_terminal(void)
{
    return isatty(STDERR_FILENO) == 1;
}

/* One line, redrawn at most ten times a second, on standard error so that standard output stays a table. */
void show_bar(const sunup_metrics *m, int64_t done, int64_t of)
{
    enum { WIDTH = 28 };
    static double last_s;
    const double now_s = sunup__now_s();
    if (done < of && now_s - last_s < 0.1) return;
    last_s = now_s;
    const int full = (int)(WIDTH * done / of);
    char bar[WIDTH + 1] = {0};
    memset(bar, '.', WIDTH);
    memset(bar, '#', (size_t)full);
    (void)fprintf(stderr, "\r  [%s] %lld/%lld  loss %.4f", bar, (long long)done, (long long)of,
                  m->loss);
    if (isfinite(m->accuracy)) (void)fprintf(stderr, "  accuracy %.3f", m->accuracy);
    (void)fprintf(stderr, "  %.1f ms/step  lr %.2e\033[K", 1e3 * m->step_s, m->lr);
    if (done == of) (void)fprintf(stderr, "\r\033[K");
    (void)fflush(stderr);
}

void show_epoch_head(void)
{
    (void)printf("  epoch    step    seconds   loss     accuracy   eval loss  eval accuracy\n");
}

static void cell(double x, const char *format)
{
    if (isfinite(x))
        (void)printf(format, x);
    else
        (void)printf("%11s", "-");
}

void show_epoch(const sunup_metrics *train, const sunup_metrics *eval, double elapsed_s)
{
    (void)printf("  %5.2f %7lld %10.1f", train->epoch, (long long)train->step, elapsed_s);
    cell(train->loss, "%9.4f  ");
    cell(train->accuracy, "%9.4f  ");
    cell(eval != NULL ? eval->loss : NAN, "%10.4f ");
    cell(eval != NULL ? eval->accuracy : NAN, "%10.4f");
    (void)printf("\n");
    (void)fflush(stdout);
}

void show_confusion(const struct confusion *c)
{
    if (c->classes == 0 || c->classes > 20) return;
    (void)printf("\n  confusion (row: truth, column: said)\n      ");
    for (int j = 0; j < c->classes; j++) (void)printf("%6d", j);
    for (int i = 0; i < c->classes; i++) {
        (void)printf("\n  %4d", i);
        for (int j = 0; j < c->classes; j++)
            (void)printf("%6lld", (long long)c->count[i * c->classes + j]);
    }
    (void)printf("\n");
}

json_t *metrics_json(const sunup_metrics *m)
{
    json_t *j = json_object();
    const struct {
        const char *name;
        double x;
    } entries[] = {{"epoch", m->epoch}, {"loss", m->loss},           {"accuracy", m->accuracy},
                   {"lr", m->lr},       {"grad_norm", m->grad_norm}, {"step_s", m->step_s}};
    (void)json_object_set_new(j, "step", json_integer(m->step));
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++)
        if (isfinite(entries[i].x))
            (void)json_object_set_new(j, entries[i].name, json_real(entries[i].x));
    return j;
}

void print_json(json_t *j)
{
    char *text = json_dumps(j, JSON_INDENT(2));
    (void)printf("%s\n", text != NULL ? text : "{}");
    free(text);
    json_decref(j);
}
