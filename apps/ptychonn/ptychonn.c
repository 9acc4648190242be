/* ptychonn.c - what does the sample look like where a beam scattered? PtychoNN on real diffraction patterns of a Siemens
 * star: each of 516 patterns to the amplitude and phase of the inner 64 x 64 pixels of its window, which an iterative
 * reconstruction (60 sweeps of ePIE) has found from all patterns together.
 *
 * Too few patterns to learn from: in training (`kind: simulated`, the default there) each sample is a window anywhere in
 * the training part of the reconstructed object, turned by quarters, mirrored, under the reconstructed probe, with
 * counting noise: counts = Poisson |FFT(probe * window)|^2. Tests are on measured patterns only.
 *
 * Samples: the pattern, 128 x 128 counts with the zero frequency in the corner, is turned to the middle, summed over
 * 2 x 2 pixels, and given as log(1 + counts) / 8. The object's free global phase is set so that its mean over all
 * windows is real; its amplitude is divided by 1.3 times its mean and cut at 1.
 * Split: by the row of the scan. Windows between the two parts, whose labels overlap both, serve neither.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app.h"
#include "fft.h"

enum { FULL = 128, SIDE = 64, PIXELS = SIDE * SIDE, MARGIN = (FULL - SIDE) / 2 };

struct star {
    float *counts, *object, *corner; /* [n][FULL][FULL]; [height][width][2]; [n][2] row, column */
    int64_t n, height, width;
    float *probe;         /* [FULL][FULL][2] */
    int64_t *use, n_use;     /* patterns of the part */
    double turn[2], largest; /* unit phase to multiply by, amplitude to divide by */
    struct app_fft fft;
    uint64_t seed;
    bool simulated;
    int64_t low[2], high[2]; /* corners of simulated windows */
};

static void star_end(void *arg)
{
    struct star *s = arg;
    if (s == NULL) return;
    sunup_free(s->counts);
    sunup_free(s->object);
    sunup_free(s->corner);
    sunup_free(s->probe);
    app_fft_close(&s->fft);
    free(s->use);
    free(s);
}

/* ---- reading ---- */

static sunup_status read_part(sunup_context *ctx, const char *file, const char *member, sunup_shape want, float **x)
{
    sunup_tensor t;
    const sunup_status status = app_read_f32(ctx, file, member, &t);
    if (status != SUNUP_OK) return status;
    *x = t.data;
    bool same = t.shape.n == want.n;
    for (int i = 0; same && i < want.n; i++) same = t.shape.d[i] == want.d[i];
    return same ? SUNUP_OK : app_error(ctx, SUNUP_E_SHAPE, "%s: '%s' has not the expected shape", file, member);
}

static const float *pixel(const struct star *s, int64_t i, int64_t y, int64_t x)
{
    const int64_t row = (int64_t)s->corner[2 * i] + MARGIN + y, column = (int64_t)s->corner[2 * i + 1] + MARGIN + x;
    return s->object + 2 * (row * s->width + column);
}

/* The mean of all labels, and 1.3 times their mean amplitude, which one pixel in a thousand exceeds. */
static void find_scale(struct star *s)
{
    double mean[2] = {0};
    for (int64_t i = 0; i < s->n; i++)
        for (int64_t p = 0; p < PIXELS; p++) {
            const float *o = pixel(s, i, p / SIDE, p % SIDE);
            mean[0] += (double)o[0];
            mean[1] += (double)o[1];
            s->largest += 1.3 * hypot((double)o[0], (double)o[1]) / (double)(s->n * PIXELS);
        }
    const double size = hypot(mean[0], mean[1]);
    s->turn[0] = size > 0 ? mean[0] / size : 1;
    s->turn[1] = size > 0 ? -mean[1] / size : 0;
}

static sunup_status check_windows(sunup_context *ctx, const struct star *s)
{
    for (int64_t i = 0; i < 2 * s->n; i++) {
        const int64_t room = (i % 2 == 0 ? s->height : s->width) - FULL;
        if (!(s->corner[i] >= 0 && s->corner[i] <= (float)room))
            return app_error(ctx, SUNUP_E_FORMAT, "pattern %lld: its window lies outside the object", (long long)(i / 2));
    }
    return SUNUP_OK;
}

static sunup_status read_star(sunup_context *ctx, struct star *s)
{
    const char *const measured = "aps/siemens_star.npz", *const found = "aps/siemens_star_epie.npz";
    s->n = 516;
    s->height = s->width = 499;
    sunup_status status = read_part(ctx, measured, "counts", SUNUP_SHAPE(s->n, FULL, FULL), &s->counts);
    if (status == SUNUP_OK)
        status = read_part(ctx, found, "object", SUNUP_SHAPE(s->height, s->width, 2), &s->object);
    if (status == SUNUP_OK) status = read_part(ctx, found, "corner_rc", SUNUP_SHAPE(s->n, 2), &s->corner);
    if (status == SUNUP_OK) status = check_windows(ctx, s);
    if (status == SUNUP_OK) status = read_part(ctx, found, "probe", SUNUP_SHAPE(FULL, FULL, 2), &s->probe);
    if (status == SUNUP_OK && !app_fft_open(&s->fft, FULL))
        status = app_error(ctx, SUNUP_E_MEMORY, "no memory for a Fourier transform");
    if (status == SUNUP_OK) find_scale(s);
    return status;
}

/* Simulated windows lie where measured ones of the training part do. */
static sunup_status choose_kind(struct app_data *d, struct star *s, double border)
{
    const char *kind = app_word(d, "kind", app_training(d) ? "simulated" : "measured");
    s->simulated = strcmp(kind, "simulated") == 0;
    if (!s->simulated && strcmp(kind, "measured") != 0)
        return app_error(app_context(d), SUNUP_E_ARGUMENT, "ptychonn: kind is '%s'; there are simulated and measured", kind);
    s->seed = app_seed(d);
    for (int k = 0; k < 2; k++) {
        s->low[k] = INT64_MAX;
        for (int64_t i = 0; i < s->n; i++) {
            const int64_t at = (int64_t)s->corner[2 * i + k];
            s->low[k] = at < s->low[k] ? at : s->low[k];
            s->high[k] = at > s->high[k] ? at : s->high[k];
        }
    }
    s->high[0] = (int64_t)border - SIDE;
    if (s->simulated && app_samples(d) > 0) s->n_use = app_samples(d);
    return SUNUP_OK;
}

/* Test: the labels' rows below four fifths of the scan; train: labels that end before. */
static sunup_status choose(struct app_data *d, struct star *s)
{
    const char *part = app_word(d, "part", app_training(d) ? "train" : "test");
    const bool train = strcmp(part, "train") == 0;
    if (!train && strcmp(part, "test") != 0)
        return app_error(app_context(d), SUNUP_E_ARGUMENT, "ptychonn: part is '%s'; there are train and test", part);
    double low = INFINITY, high = -INFINITY;
    for (int64_t i = 0; i < s->n; i++) {
        low = fmin(low, (double)s->corner[2 * i]);
        high = fmax(high, (double)s->corner[2 * i]);
    }
    const double border = low + 0.8 * (high - low);
    const int64_t most = app_samples(d) > 0 ? app_samples(d) : s->n;
    s->use = malloc((size_t)s->n * sizeof *s->use);
    if (s->use == NULL) return app_error(app_context(d), SUNUP_E_MEMORY, "no memory for a list of patterns");
    for (int64_t i = 0; i < s->n && s->n_use < most; i++) {
        const double row = (double)s->corner[2 * i];
        if (train ? row + SIDE <= border : row >= border) s->use[s->n_use++] = i;
    }
    return choose_kind(d, s, border);
}

/* ---- samples ---- */

static void fill_pattern(const float *counts, float *y)
{
    for (int r = 0; r < SIDE; r++)
        for (int c = 0; c < SIDE; c++) {
            float sum = 0;
            for (int k = 0; k < 4; k++) { /* the middle of the picture is the corner of the file */
                const int row = (2 * r + k / 2 + FULL / 2) % FULL, column = (2 * c + k % 2 + FULL / 2) % FULL;
                sum += counts[row * FULL + column];
            }
            y[r * SIDE + c] = log1pf(sum) / 8;
        }
}

static void fill_pixel(const struct star *s, const float *o, float *y)
{
    const double re = s->turn[0] * (double)o[0] - s->turn[1] * (double)o[1];
    const double im = s->turn[0] * (double)o[1] + s->turn[1] * (double)o[0];
    y[0] = (float)fmin(1, hypot(re, im) / s->largest);
    y[1] = (float)atan2(im, re);
}

static void fill_object(const struct star *s, int64_t i, float *y)
{
    for (int64_t p = 0; p < PIXELS; p++) fill_pixel(s, pixel(s, i, p / SIDE, p % SIDE), y + 2 * p);
}

/* ---- simulated ---- */

struct window {
    int64_t corner[2];
    int turns; /* by a quarter, 0 to 3; 4 more: mirrored */
};

/* The object's pixel that lies at (y, x) of a window. */
static const float *turned(const struct star *s, const struct window *w, int y, int x)
{
    const int last = FULL - 1;
    if (w->turns >= 4) x = last - x;
    for (int t = w->turns % 4; t > 0; t--) {
        const int kept = y;
        y = x;
        x = last - kept;
    }
    return s->object + 2 * ((w->corner[0] + y) * s->width + w->corner[1] + x);
}

/* Rows, then columns: unitary, as the reconstruction's. */
static void transform(const struct star *s, double *wave)
{
    double line[FULL][2];
    for (int r = 0; r < FULL; r++) app_fft_forward(&s->fft, wave + 2 * r * FULL);
    for (int c = 0; c < FULL; c++) {
        for (int r = 0; r < FULL; r++) memcpy(line[r], wave + 2 * (r * FULL + c), sizeof line[r]);
        app_fft_forward(&s->fft, line[0]);
        for (int r = 0; r < FULL; r++) memcpy(wave + 2 * (r * FULL + c), line[r], sizeof line[r]);
    }
}

static bool simulate(const struct star *s, const struct window *w, struct app_random *r, float *counts)
{
    double *wave = malloc(2 * FULL * FULL * sizeof *wave);
    if (wave == NULL) return false;
    for (int p = 0; p < FULL * FULL; p++) {
        const float *o = turned(s, w, p / FULL, p % FULL), *q = s->probe + 2 * p;
        wave[2 * p] = (double)(o[0] * q[0] - o[1] * q[1]);
        wave[2 * p + 1] = (double)(o[0] * q[1] + o[1] * q[0]);
    }
    transform(s, wave);
    for (int p = 0; p < FULL * FULL; p++) {
        const double mean = (wave[2 * p] * wave[2 * p] + wave[2 * p + 1] * wave[2 * p + 1]) / (FULL * FULL);
        counts[p] = (float)app_poisson(r, mean);
    }
    free(wave);
    return true;
}

static bool fill_simulated(const struct star *s, int64_t epoch, int64_t sample, void *const *y)
{
    struct app_random r = app_random(s->seed, "window", epoch, sample);
    struct window w;
    for (int k = 0; k < 2; k++) w.corner[k] = s->low[k] + app_below(&r, s->high[k] - s->low[k] + 1);
    w.turns = (int)app_below(&r, 8);
    float *counts = malloc(FULL * FULL * sizeof *counts);
    const bool good = counts != NULL && simulate(s, &w, &r, counts);
    if (good) fill_pattern(counts, y[0]);
    free(counts);
    for (int p = 0; p < PIXELS; p++)
        fill_pixel(s, turned(s, &w, MARGIN + p / SIDE, MARGIN + p % SIDE), (float *)y[1] + 2 * p);
    for (int k = 0; k < 2; k++) ((float *)y[2])[k] = (float)w.corner[k];
    return good;
}

static bool fill(void *arg, int64_t epoch, int64_t sample, void *const *y)
{
    const struct star *s = arg;
    if (s->simulated) return fill_simulated(s, epoch, sample, y);
    const int64_t i = s->use[sample];
    fill_pattern(s->counts + i * FULL * FULL, y[0]);
    fill_object(s, i, y[1]);
    for (int k = 0; k < 2; k++) ((float *)y[2])[k] = s->corner[2 * i + k];
    return true;
}

static sunup_status open_source(struct app_data *d, sunup_data **data)
{
    const sunup_tensor fields[] = {{"pattern", SUNUP_F32, SUNUP_SHAPE(SIDE, SIDE, 1), NULL},
                                   {"object", SUNUP_F32, SUNUP_SHAPE(SIDE, SIDE, 2), NULL},
                                   {"corner", SUNUP_F32, SUNUP_SHAPE(2), NULL}};
    struct star *s = calloc(1, sizeof *s);
    if (s == NULL) return app_error(app_context(d), SUNUP_E_MEMORY, "no memory for the star");
    sunup_status status = read_star(app_context(d), s);
    if (status == SUNUP_OK) status = choose(d, s);
    if (status != SUNUP_OK) {
        star_end(s);
        return status;
    }
    const sunup_sampler sampler = {fill, star_end, s};
    return sunup_data_from_sampler(app_context(d), 3, fields, s->n_use, &sampler, data);
}

/* ---- scores: mean absolute errors, and a picture of the stitched part ---- */

struct means {
    double of[2], pixels; /* amplitude, phase */
};

static void add_means(void *arg, int64_t sample, const float *y, const void *const *f)
{
    (void)sample, (void)y;
    struct means *m = arg;
    for (int64_t p = 0; p < PIXELS; p++)
        for (int k = 0; k < 2; k++) m->of[k] += (double)((const float *)f[1])[2 * p + k];
    m->pixels += PIXELS;
}

/* What the windows say of each pixel of the object, averaged: [rows][columns][2 ways][2]. */
struct canvas {
    int64_t low[2], high[2], rows, columns;
    double *sum, *times;
};

struct errors {
    double network[2], constant[2], pixels;
    double mean[2]; /* of the training labels */
    struct canvas canvas;
};

static double phase_distance(double a, double b)
{
    const double d = fabs(a - b);
    return d > M_PI ? 2 * M_PI - d : d;
}

static void find_corner(void *arg, int64_t sample, const float *y, const void *const *f)
{
    (void)sample, (void)y;
    struct canvas *c = arg;
    for (int k = 0; k < 2; k++) {
        const int64_t at = (int64_t)((const float *)f[2])[k];
        c->low[k] = at < c->low[k] ? at : c->low[k];
        c->high[k] = at + SIDE > c->high[k] ? at + SIDE : c->high[k];
    }
}

static void paint(struct canvas *c, const float *corner, const float *y, const float *truth)
{
    for (int64_t p = 0; p < PIXELS; p++) {
        const int64_t row = (int64_t)corner[0] - c->low[0] + p / SIDE, column = (int64_t)corner[1] - c->low[1] + p % SIDE;
        const int64_t at = row * c->columns + column;
        for (int k = 0; k < 2; k++) {
            c->sum[4 * at + k] += (double)truth[2 * p + k];
            c->sum[4 * at + 2 + k] += (double)y[2 * p + k];
        }
        c->times[at]++;
    }
}

static void add_errors(void *arg, int64_t sample, const float *y, const void *const *f)
{
    (void)sample;
    struct errors *e = arg;
    const float *truth = f[1];
    for (int64_t p = 0; p < PIXELS; p++) {
        e->network[0] += fabs((double)y[2 * p] - (double)truth[2 * p]);
        e->network[1] += phase_distance((double)y[2 * p + 1], (double)truth[2 * p + 1]);
        e->constant[0] += fabs(e->mean[0] - (double)truth[2 * p]);
        e->constant[1] += phase_distance(e->mean[1], (double)truth[2 * p + 1]);
    }
    e->pixels += PIXELS;
    paint(&e->canvas, f[2], y, truth);
}

static uint8_t grey(double x, double low, double high)
{
    const double v = 255 * (x - low) / (high - low);
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* Truth above, network below; amplitude at the left, phase at the right. */
static sunup_status draw(const struct app_run *r, const struct canvas *c)
{
    const int64_t h = 2 * c->rows + 4, w = 2 * c->columns + 4;
    uint8_t *rgb = calloc((size_t)(3 * h * w), 1);
    if (rgb == NULL) return app_error(r->ctx, SUNUP_E_MEMORY, "no memory for a picture");
    for (int64_t i = 0; i < c->rows * c->columns; i++)
        for (int k = 0; k < 4 && c->times[i] > 0; k++) {
            const int64_t row = i / c->columns + (k >= 2 ? c->rows + 4 : 0);
            const int64_t column = i % c->columns + (k % 2 == 1 ? c->columns + 4 : 0);
            const double x = c->sum[4 * i + k] / c->times[i];
            memset(rgb + 3 * (row * w + column), k % 2 == 0 ? grey(x, 0, 1) : grey(x, -1.5, 1.5), 3);
        }
    const sunup_status status = app_png(r, "star.png", h, w, rgb);
    free(rgb);
    return status;
}

static sunup_status measure(struct app_run *r, struct errors *e)
{
    struct canvas *c = &e->canvas;
    *c = (struct canvas){.low = {INT64_MAX, INT64_MAX}};
    sunup_status status = app_visit_fields(r->eval, find_corner, c);
    c->rows = c->high[0] - c->low[0];
    c->columns = c->high[1] - c->low[1];
    c->sum = calloc((size_t)(4 * c->rows * c->columns), sizeof *c->sum);
    c->times = calloc((size_t)(c->rows * c->columns), sizeof *c->times);
    if (c->sum == NULL || c->times == NULL) return app_error(r->ctx, SUNUP_E_MEMORY, "no memory for a picture");
    if (status == SUNUP_OK) status = app_visit(r, r->eval, add_errors, e);
    return status == SUNUP_OK ? draw(r, c) : status;
}

static sunup_status score(struct app_run *r)
{
    struct means m = {0};
    struct errors e = {0};
    sunup_status status = app_visit_fields(r->train, add_means, &m);
    for (int k = 0; k < 2; k++) e.mean[k] = m.of[k] / m.pixels;
    if (status == SUNUP_OK) status = measure(r, &e);
    if (status == SUNUP_OK) {
        app_score(r, "amplitude error", e.network[0] / e.pixels, APP_AT_MOST, 0.06,
                  "mean absolute, of patterns whose place was never seen");
        app_beside(r, "amplitude error", "the mean of the training labels", e.constant[0] / e.pixels);
        app_score(r, "phase error", e.network[1] / e.pixels, APP_AT_MOST, 0.25, "mean absolute, radians");
        app_beside(r, "phase error", "the mean of the training labels", e.constant[1] / e.pixels);
        app_score(r, "test patterns", e.pixels / PIXELS, APP_REPORT, 0, NULL);
    }
    free(e.canvas.sum);
    free(e.canvas.times);
    return status;
}

const struct app app_ptychonn = {
    .name = "ptychonn",
    .question = "what does a sample look like where an X-ray beam scattered?",
    .files = "aps/siemens_star.npz aps/siemens_star_epie.npz",
    .open = open_source,
    .score = score,
};
