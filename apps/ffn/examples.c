/* examples.c - what the network learns from: windows that move over an example by its own output.
 *
 * An example is a cube round a voxel of a body, mirrored and with its axes exchanged at random;
 * inside is the voxel's body. Training shows the window in its middle first, with a seed there,
 * and then, in random order, the 26 windows one step away whose centre the network holds for
 * inside by then; each is a step of training, and what it says is pasted into the example's
 * canvas. `moves` limits their number; the first `still` batches have none. Evaluation shows the
 * first of each of fixed examples, and ffn_walk goes on from there.
 * Keys: window, step, moves, still, threshold, samples, z_min, z_max (the slab that is read).
 * Invariant: place p of the batch shows example number n of its own; all of it follows from (seed,
 * p, n, output).
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ffn.h"

enum { MOVES = 26 };

struct examples {
    struct volume v;
    uint64_t seed;
    int64_t window, step, canvas;     /* edges; canvas = window + 2 step */
    int64_t low[3], high[3];          /* where middles of canvases may lie */
    int64_t still;                    /* so many first batches show middles only */
    int32_t moves;                    /* most of an example */
    float inside, outside, threshold; /* logits */
};

/* A cube of the volume: voxel (i, j, k) of it is gray[start + i by[0] + j by[1] + k by[2]]. */
struct cube {
    int64_t start, by[3];
    int32_t body;
};

/* What a place of the batch is at; its canvas follows. */
struct state {
    int64_t example;
    int32_t turn, moves, at[3]; /* turn 0: the example is not begun; at: offset of the window */
    int32_t unused;             /* so that no byte of a checkpoint is left to chance */
};

static float logit(double p)
{
    return (float)log(p / (1 - p));
}

/* ---- an example ---- */

static int64_t draw_voxel(const struct examples *e, struct app_random *r, int64_t at[3])
{
    const int64_t *size = e->v.size;
    int64_t voxel;
    do {
        for (int i = 0; i < 3; i++) at[i] = e->low[i] + app_below(r, e->high[i] - e->low[i]);
        voxel = (at[0] * size[1] + at[1]) * size[2] + at[2];
    } while (e->v.body[voxel] == 0);
    return voxel;
}

static struct cube draw_cube(const struct examples *e, const char *name, int64_t place,
                             int64_t example, bool turned)
{
    struct app_random r = app_random(e->seed, name, place, example);
    int64_t at[3];
    const int64_t voxel = draw_voxel(e, &r, at);
    struct cube c = {.start = voxel,
                     .by = {e->v.size[1] * e->v.size[2], e->v.size[2], 1},
                     .body = e->v.body[voxel]};
    for (int i = 0; i < 3 && turned; i++) {
        const int64_t k = i + app_below(&r, 3 - i), step = c.by[k];
        c.by[k] = c.by[i];
        c.by[i] = app_below(&r, 2) == 1 ? -step : step;
    }
    for (int i = 0; i < 3; i++) c.start -= e->canvas / 2 * c.by[i];
    return c;
}

/* The window at `at` from the canvas's middle: image and seed, and what is inside. */
static void show(const struct examples *e, const struct cube *c, const int32_t at[3],
                 const float *canvas, float *x, float *inside)
{
    const int64_t w = e->window, n = e->canvas;
    for (int64_t i = e->step + at[0]; i < e->step + at[0] + w; i++)
        for (int64_t j = e->step + at[1]; j < e->step + at[1] + w; j++)
            for (int64_t k = e->step + at[2]; k < e->step + at[2] + w; k++) {
                const int64_t voxel = c->start + i * c->by[0] + j * c->by[1] + k * c->by[2];
                *x++ = ffn_image(e->v.gray[voxel]);
                *x++ = canvas != NULL ? canvas[(i * n + j) * n + k] : e->outside;
                *inside++ = e->v.body[voxel] == c->body ? 0.95F : 0.05F;
            }
}

/* ---- training ---- */

static float *canvas_of(void *state)
{
    return (float *)((struct state *)state + 1);
}

static void begin(const struct examples *e, void *state)
{
    struct state *s = state;
    float *canvas = canvas_of(state);
    const int64_t n = e->canvas, voxels = n * n * n;
    for (int64_t i = 0; i < voxels; i++) canvas[i] = e->outside;
    canvas[voxels / 2] = e->inside;
    s->turn = 1;
    s->moves = 0;
    memset(s->at, 0, sizeof s->at);
}

static bool fill(void *arg, int64_t number, int64_t place, void *state, void *const *y)
{
    (void)number;
    const struct examples *e = arg;
    struct state *s = state;
    if (s->turn == 0) begin(e, state);
    const struct cube c = draw_cube(e, "example", place, s->example, true);
    show(e, &c, s->at, canvas_of(state), y[0], y[1]);
    return true;
}

static void paste(const struct examples *e, void *state, const float *y)
{
    const struct state *s = state;
    const int64_t w = e->window, n = e->canvas;
    for (int64_t i = 0; i < w; i++)
        for (int64_t j = 0; j < w; j++) {
            const int64_t row = (e->step + s->at[0] + i) * n + e->step + s->at[1] + j;
            memcpy(canvas_of(state) + row * n + e->step + s->at[2], y + (i * w + j) * w,
                   (size_t)w * sizeof *y);
        }
}

/* The offset of move m of an example's own order. */
static void draw_moves(const struct examples *e, int64_t place, int64_t example,
                       int32_t order[MOVES])
{
    struct app_random r = app_random(e->seed, "moves", place, example);
    for (int32_t i = 0; i < MOVES; i++)
        order[i] = i < MOVES / 2 ? i : i + 1; /* of 27, but the middle */
    for (int i = MOVES - 1; i > 0; i--) {
        const int64_t k = app_below(&r, i + 1);
        const int32_t swap = order[k];
        order[k] = order[i];
        order[i] = swap;
    }
}

/* To the next window whose centre the canvas holds for inside; if there is none, the example is
 * done. */
static void seen(void *arg, int64_t number, int64_t place, void *state, const void *output)
{
    const struct examples *e = arg;
    struct state *s = state;
    const int64_t n = e->canvas;
    const int32_t moves = number < e->still ? 0 : e->moves;
    paste(e, state, output);
    int32_t order[MOVES];
    draw_moves(e, place, s->example, order);
    for (; s->moves < moves && s->turn <= MOVES; s->turn++) {
        const int32_t step = (int32_t)e->step, m = order[s->turn - 1];
        const int32_t at[3] = {(m / 9 - 1) * step, (m / 3 % 3 - 1) * step, (m % 3 - 1) * step};
        const int64_t centre = ((n / 2 + at[0]) * n + n / 2 + at[1]) * n + n / 2 + at[2];
        if (canvas_of(state)[centre] < e->threshold) continue;
        memcpy(s->at, at, sizeof at);
        s->turn++;
        s->moves++;
        return;
    }
    s->turn = 0;
    s->example++;
}

/* ---- evaluation ---- */

/* cube: what ffn_walk needs to go on from here: corner, step, body. */
static bool fill_fixed(void *arg, int64_t epoch, int64_t sample, void *const *y)
{
    (void)epoch;
    const struct examples *e = arg;
    const int32_t middle[3] = {0};
    const struct cube c = draw_cube(e, "fixed", 0, sample, false);
    show(e, &c, middle, NULL, y[0], y[1]);
    const int64_t w = e->window;
    ((float *)y[0])[2 * (w * w * w / 2) + 1] = e->inside;
    memcpy(y[2], (const int32_t[]){(int32_t)c.start, (int32_t)e->step, c.body},
           3 * sizeof(int32_t));
    return true;
}

void ffn_count(struct ffn_tally *t, bool guess, bool truth)
{
    t->right += guess == truth;
    t->both += guess && truth;
    t->either += guess || truth;
    t->yes += truth;
    t->all++;
}

static sunup_status predict(const struct app_run *r, const struct examples *e, float *x, float *y)
{
    const int64_t w = e->window;
    const sunup_tensor input = {"x", SUNUP_F32, SUNUP_SHAPE(1, w, w, w, 2), x};
    return sunup_model_predict(r->model, 1, 1, &input, y);
}

/* state, x and y have room for a place's state, an input and a target or output. */
static sunup_status walk(const struct app_run *r, struct examples *e, const struct cube *c,
                         void *state, float *x, float *y)
{
    struct state *s = state;
    for (begin(e, state); s->turn != 0; seen(e, 0, 0, state, y)) {
        show(e, c, s->at, canvas_of(state), x, y);
        const sunup_status status = predict(r, e, x, y);
        if (status != SUNUP_OK) return status;
    }
    return SUNUP_OK;
}

static void count_cube(const struct examples *e, const struct cube *c, const float *canvas,
                       struct ffn_tally *t)
{
    const int64_t n = e->canvas;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            for (int64_t k = 0; k < n; k++) {
                const int64_t voxel = c->start + i * c->by[0] + j * c->by[1] + k * c->by[2];
                ffn_count(t, canvas[(i * n + j) * n + k] >= 0, e->v.body[voxel] == c->body);
            }
}

sunup_status ffn_walk(const struct app_run *r, const struct volume *v, int64_t window,
                      const int32_t cube[3], struct ffn_tally *t)
{
    const int64_t n = window + 2 * cube[1], cells = window * window * window;
    struct examples e = {.v = *v,
                         .window = window,
                         .step = cube[1],
                         .canvas = n,
                         .moves = MOVES,
                         .inside = logit(0.95),
                         .outside = logit(0.05),
                         .threshold = logit(0.9)};
    const struct cube c = {cube[0], {v->size[1] * v->size[2], v->size[2], 1}, cube[2]};
    void *state = calloc(1, sizeof(struct state) + (size_t)(n * n * n) * sizeof(float));
    float *x = malloc((size_t)(3 * cells) * sizeof *x);
    sunup_status status = state != NULL && x != NULL
                              ? walk(r, &e, &c, state, x, x + 2 * cells)
                              : app_error(r->ctx, SUNUP_E_MEMORY, "no memory for an example");
    if (status == SUNUP_OK) count_cube(&e, &c, canvas_of(state), t);
    free(state);
    free(x);
    return status;
}

/* ---- opening ---- */

static void end(void *arg)
{
    struct examples *e = arg;
    if (e != NULL) ffn_volume_end(&e->v);
    free(e);
}

static sunup_status set_keys(struct app_data *d, struct examples *e)
{
    const bool training = app_training(d);
    const double window = app_number(d, "window", FFN_WINDOW);
    const double step = app_number(d, "step", 8);
    const double z_min = app_number(d, "z_min", 0), z_max = app_number(d, "z_max", 0);
    e->moves = training ? (int32_t)fmax(0, fmin(MOVES, app_number(d, "moves", MOVES))) : 0;
    e->still = training ? (int64_t)fmax(0, fmin(1e15, app_number(d, "still", 0))) : 0;
    const double threshold = training ? app_number(d, "threshold", 0.9) : 0.9;
    if (!(threshold > 0 && threshold < 1))
        return app_error(app_context(d), SUNUP_E_ARGUMENT, "ffn: threshold %g must be in (0, 1)",
                         threshold);
    e->threshold = logit(threshold);
    if (!(window >= 3 && window <= 99 && fmod(window, 2) == 1 && step >= 1 && step <= window / 2))
        return app_error(app_context(d), SUNUP_E_ARGUMENT,
                         "ffn: window %g must be odd and 3 .. 99, and step %g 1 .. half of it",
                         window, step);
    e->window = (int64_t)window;
    e->step = (int64_t)step;
    e->canvas = e->window + 2 * e->step;
    const double top = z_max > 0 ? z_max : (double)e->v.size[0];
    if (!(z_min >= 0 && top <= (double)e->v.size[0] && top - z_min >= (double)e->canvas))
        return app_error(
            app_context(d), SUNUP_E_ARGUMENT,
            "ffn: the slab z_min %g .. z_max %g must lie in 0 .. %lld and hold a cube of %lld",
            z_min, top, (long long)e->v.size[0], (long long)e->canvas);
    for (int i = 0; i < 3; i++) {
        e->low[i] = e->canvas / 2 + (i == 0 ? (int64_t)z_min : 0);
        e->high[i] = (i == 0 ? (int64_t)top : e->v.size[i]) - e->canvas / 2;
        if (e->high[i] <= e->low[i])
            return app_error(app_context(d), SUNUP_E_ARGUMENT,
                             "ffn: the volume is smaller than a cube of %lld",
                             (long long)e->canvas);
    }
    return SUNUP_OK;
}

static sunup_status give(struct app_data *d, struct examples *e, sunup_data **data)
{
    const int64_t w = e->window, n = e->canvas;
    const int64_t samples = app_samples(d) > 0 ? app_samples(d) : app_training(d) ? 4096 : 256;
    const sunup_tensor fields[] = {{"x", SUNUP_F32, SUNUP_SHAPE(w, w, w, 2), NULL},
                                   {"inside", SUNUP_F32, SUNUP_SHAPE(w, w, w, 1), NULL},
                                   {"cube", SUNUP_I32, SUNUP_SHAPE(3), NULL}};
    const sunup_live live = {.state_bytes =
                                 (int64_t)sizeof(struct state) + n * n * n * (int64_t)sizeof(float),
                             .fill = fill,
                             .seen = seen,
                             .end = end,
                             .arg = e};
    const sunup_sampler fixed = {.fill = fill_fixed, .end = end, .arg = e};
    return app_training(d)
               ? sunup_data_from_live(app_context(d), 2, fields, samples, &live, data)
               : sunup_data_from_sampler(app_context(d), 3, fields, samples, &fixed, data);
}

sunup_status ffn_open(struct app_data *d, sunup_data **data)
{
    struct examples *e = calloc(1, sizeof *e);
    if (e == NULL) return app_error(app_context(d), SUNUP_E_MEMORY, "no memory for examples");
    *e = (struct examples){.seed = app_seed(d), .inside = logit(0.95), .outside = logit(0.05)};
    sunup_status status = ffn_volume_read(app_context(d), &e->v);
    if (status == SUNUP_OK) status = set_keys(d, e);
    if (status != SUNUP_OK) {
        end(e);
        return status;
    }
    return give(d, e, data);
}
