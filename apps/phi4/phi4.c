/* phi4.c - lattice field theory: fields of the phi^4 theory drawn by a normalising flow. Training
 * samples are normal numbers, new ones in every epoch; there is no target, the loss is the
 * network's own (flow.c).
 *
 * Scored are independent samples of the trained flow: their Kullback-Leibler divergence with the
 * log Z that lattice.c integrates, the acceptance of independence Metropolis, and the
 * susceptibility against local Metropolis updates. Beside them stand the untrained prior on the
 * same normal numbers and published figures.
 */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "phi4.h"

enum { MAX_POINTS = 64 };

/* What lattice.c finds (`--task logz`, `--task metropolis`; README.md has the commands). */
static const struct known {
    int64_t length;
    struct estimate log_z, chi, phi2;
} known[] = {
    {8, {9.2922, 0.0009}, {0.7424, 0.0008}, {0.14343, 0.00002}},
};

static const struct known *find_known(int64_t length)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].length == length) return &known[i];
    return NULL;
}

/* ---- samples: normal numbers ---- */

struct prior {
    uint64_t seed;
    int64_t sites;
};

static bool fill(void *arg, int64_t epoch, int64_t sample, void *const *y)
{
    const struct prior *p = arg;
    struct app_random random = app_random(p->seed, "phi4 prior", epoch, sample);
    for (int64_t i = 0; i < p->sites; i++) ((float *)y[0])[i] = (float)app_normal(&random);
    return true;
}

static sunup_status open_prior(struct app_data *d, sunup_data **data)
{
    const double length = app_number(d, "lattice", 8);
    if (!(length >= 4 && length <= 1024 && length == floor(length)))
        return app_error(app_context(d), SUNUP_E_ARGUMENT,
                         "phi4: lattice is %g; it must be a whole number from 4 to 1024", length);
    if (app_samples(d) < 1)
        return app_error(app_context(d), SUNUP_E_ARGUMENT,
                         "phi4: say how many samples an epoch has");
    struct prior *p = malloc(sizeof *p);
    if (p == NULL) return app_error(app_context(d), SUNUP_E_MEMORY, "phi4: no memory");
    *p = (struct prior){app_seed(d), (int64_t)(length * length)};
    const int64_t n = (int64_t)length;
    const sunup_tensor z = {.name = "z", .dtype = SUNUP_F32, .shape = SUNUP_SHAPE(n, n, 1)};
    const sunup_sampler sampler = {fill, free, p};
    return sunup_data_from_sampler(app_context(d), 1, &z, app_samples(d), &sampler, data);
}

/* ---- ensembles ---- */

struct drawn {
    struct lattice l;
    struct ensemble flow, prior; /* the same normal numbers, through the flow and as they are */
    double *room;                /* [sites] */
};

static void drawn_end(struct drawn *d)
{
    phi4_ensemble_end(&d->flow);
    phi4_ensemble_end(&d->prior);
    free(d->room);
}

/* Six tensors a coupling, 2 L couplings. */
static sunup_status drawn_begin(const struct app_run *r, struct drawn *d)
{
    *d = (struct drawn){.l = {sunup_model_parameters(r->model) / 12, PHI4_M2, PHI4_LAMBDA}};
    const int64_t n = sunup_data_samples(r->eval);
    d->room = malloc((size_t)phi4_sites(&d->l) * sizeof *d->room);
    if (d->room != NULL && phi4_ensemble_begin(&d->flow, n) && phi4_ensemble_begin(&d->prior, n))
        return SUNUP_OK;
    drawn_end(d);
    return app_error(r->ctx, SUNUP_E_MEMORY, "phi4: no memory for %lld samples", (long long)n);
}

static void take(struct drawn *d, struct ensemble *e, int64_t i, const float *phi)
{
    const int64_t sites = phi4_sites(&d->l);
    double sum = 0, squares = 0;
    for (int64_t x = 0; x < sites; x++) {
        d->room[x] = (double)phi[x];
        sum += d->room[x];
        squares += d->room[x] * d->room[x];
    }
    e->m2_site[i] = sum * sum / (double)sites;
    e->phi2[i] = squares / (double)sites;
}

static void take_flow(void *arg, int64_t sample, const float *y, const void *const *f)
{
    (void)f;
    struct drawn *d = arg;
    take(d, &d->flow, sample, y + 2);
    d->flow.log_w[sample] = (double)y[0];
}

static void take_prior(void *arg, int64_t sample, const float *y, const void *const *f)
{
    (void)y;
    struct drawn *d = arg;
    const double sites = (double)phi4_sites(&d->l);
    take(d, &d->prior, sample, f[0]);
    const double log_q = -0.5 * sites * (d->prior.phi2[sample] + log(2 * acos(-1.0)));
    d->prior.log_w[sample] = -phi4_action(&d->l, d->room) - log_q;
}

/* ---- scores ---- */

static void score_divergence(struct app_run *r, const struct drawn *d, const struct known *k)
{
    const struct estimate loss = phi4_loss(&d->flow), prior = phi4_loss(&d->prior);
    app_score(r, "loss", loss.value, APP_REPORT, 0, "mean of log q + S; -log Z at best");
    app_beside(r, "loss", "prior, untrained", prior.value);
    if (k == NULL) return;
    const bool smoke = k->length == 8;
    app_score(r, "KL", loss.value + k->log_z.value, smoke ? APP_AT_MOST : APP_REPORT, 0.5,
              "nats: loss + log Z");
    app_beside(r, "KL", "prior, untrained", prior.value + k->log_z.value);
    if (!smoke) return;
    app_beside(r, "KL", "Albergo et al. recipe, PyTorch", -7.5 + k->log_z.value);
    app_beside(r, "KL", "PyTorch reference, not clipped", -8.3 + k->log_z.value);
}

static void score_sampling(struct app_run *r, const struct drawn *d, const struct known *k)
{
    const bool smoke = k != NULL && k->length == 8;
    struct estimate chi, prior_chi;
    const double accepted = phi4_chain(&d->flow, r->seed, d->flow.m2_site, &chi);
    const double prior = phi4_chain(&d->prior, r->seed, d->prior.m2_site, &prior_chi);
    app_score(r, "acceptance", accepted, smoke ? APP_AT_LEAST : APP_REPORT, 0.5,
              "independence Metropolis");
    app_beside(r, "acceptance", "prior, untrained", prior);
    app_score(r, "ESS", phi4_ess(&d->flow), APP_REPORT, 0, "part of the samples; of heavy tails");
    app_beside(r, "ESS", "prior, untrained", phi4_ess(&d->prior));
    app_score(r, "chi of the chain", chi.value, APP_REPORT, 0, "independence Metropolis");
    app_score(r, "chi of the chain error", chi.error, APP_REPORT, 0, "by blocking");
    if (!smoke) return;
    app_beside(r, "acceptance", "Albergo et al. recipe, PyTorch", 0.229);
    app_beside(r, "acceptance", "PyTorch reference, not clipped", 0.343);
    app_beside(r, "ESS", "Albergo et al. recipe, PyTorch", 0.085);
}

/* Standard deviations between two estimates. */
static double apart(struct estimate a, struct estimate b)
{
    return fabs(a.value - b.value) / sqrt(a.error * a.error + b.error * b.error);
}

static void score_observable(struct app_run *r, const char *what, struct estimate flow,
                             const struct estimate *exact, const char *who)
{
    char name[64];
    (void)snprintf(name, sizeof name, "%s", what);
    app_score(r, name, flow.value, APP_REPORT, 0, "reweighted samples");
    if (exact != NULL) app_beside(r, name, who, exact->value);
    (void)snprintf(name, sizeof name, "%s error", what);
    app_score(r, name, flow.error, APP_REPORT, 0, "one standard deviation");
    if (exact == NULL) return;
    app_beside(r, name, who, exact->error);
    (void)snprintf(name, sizeof name, "%s sigma apart", what);
    app_score(r, name, apart(flow, *exact), APP_AT_MOST, 3, who);
}

static void score_observables(struct app_run *r, const struct drawn *d, const struct known *k)
{
    const struct estimate chi = phi4_reweighted(&d->flow, d->flow.m2_site),
                          phi2 = phi4_reweighted(&d->flow, d->flow.phi2),
                          log_z = phi4_weighted_log_z(&d->flow);
    const char *walk = "local Metropolis", *path = "thermodynamic integration";
    score_observable(r, "chi", chi, k != NULL ? &k->chi : NULL, walk);
    score_observable(r, "phi^2", phi2, k != NULL ? &k->phi2 : NULL, walk);
    score_observable(r, "log Z", log_z, k != NULL ? &k->log_z : NULL, path);
    if (k == NULL || k->length != 8) return;
    app_beside(r, "chi", "Albergo et al. recipe, PyTorch", 0.689);
}

/* ---- picture: the checkpoints of the run, scored on the same normal numbers ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

enum { PATH_ROOM = 512 };

/* Checkpoints of the run, the oldest first: names sort by step. */
static int list_checkpoints(const struct app_run *r, char (*name)[PATH_ROOM])
{
    char folder[PATH_ROOM];
    (void)snprintf(folder, sizeof folder, "%s/checkpoints", r->run_dir);
    DIR *dir = opendir(folder);
    int n = 0;
    for (const struct dirent *f; dir != NULL && n < MAX_POINTS && (f = readdir(dir)) != NULL;)
        if (strncmp(f->d_name, "step-", 5) == 0 && strstr(f->d_name, ".safetensors") != NULL)
            (void)snprintf(name[n++], PATH_ROOM, "%.128s", f->d_name);
    if (dir != NULL) (void)closedir(dir);
    qsort(name, (size_t)n, PATH_ROOM, by_name);
    return n;
}

struct curve {
    int64_t n;
    double step[MAX_POINTS], ess[MAX_POINTS], acceptance[MAX_POINTS];
};

static sunup_status add_point(const struct app_run *r, struct drawn *d, const char *checkpoint,
                              struct curve *c)
{
    char path[2 * PATH_ROOM];
    (void)snprintf(path, sizeof path, "%s/checkpoints/%s", r->run_dir, checkpoint);
    sunup_status status = sunup_model_load_weights(r->model, path);
    if (status == SUNUP_OK) status = app_visit(r, r->eval, take_flow, d);
    if (status != SUNUP_OK) return status;
    struct estimate chi;
    c->step[c->n] = strtod(checkpoint + 5, NULL);
    c->ess[c->n] = phi4_ess(&d->flow);
    c->acceptance[c->n++] = phi4_chain(&d->flow, r->seed, d->flow.m2_site, &chi);
    return SUNUP_OK;
}

static sunup_status draw_training(const struct app_run *r, struct drawn *d)
{
    char(*name)[PATH_ROOM] = malloc(MAX_POINTS * sizeof *name);
    struct curve *c = calloc(1, sizeof *c);
    sunup_status status = SUNUP_OK;
    if (name != NULL && c != NULL && r->run_dir != NULL) {
        const int n = list_checkpoints(r, name);
        for (int i = 0; i < n && status == SUNUP_OK; i++) status = add_point(r, d, name[i], c);
        const struct app_series series[2] = {
            {"acceptance", APP_LINE, c->n, c->step, c->acceptance},
            {"effective sample size / samples", APP_LINE, c->n, c->step, c->ess}};
        const struct app_plot plot = {"phi^4 flow: the quality of its samples",
                                      "updates",
                                      "part of the samples",
                                      2,
                                      series,
                                      NAN};
        if (status == SUNUP_OK && c->n > 1) status = app_svg(r, "training.svg", &plot);
    }
    free(name);
    free(c);
    return status;
}

static sunup_status score(struct app_run *r)
{
    struct drawn d;
    sunup_status status = drawn_begin(r, &d);
    if (status != SUNUP_OK) return status;
    status = app_visit(r, r->eval, take_flow, &d);
    if (status == SUNUP_OK) status = app_visit_fields(r->eval, take_prior, &d);
    if (status == SUNUP_OK) {
        const struct known *k = find_known(d.l.length);
        score_divergence(r, &d, k);
        score_sampling(r, &d, k);
        score_observables(r, &d, k);
        status = draw_training(r, &d);
    }
    drawn_end(&d);
    return status;
}

/* ---- tasks: what is known without a network ---- */

static void report(struct app_run *r, const char *what, struct estimate x)
{
    char name[64];
    (void)snprintf(name, sizeof name, "%s error", what);
    app_score(r, what, x.value, APP_REPORT, 0, NULL);
    app_score(r, name, x.error, APP_REPORT, 0, "by blocking");
}

static sunup_status task(struct app_run *r, const char *word)
{
    const struct lattice l = {sunup_model_parameters(r->model) / 12, PHI4_M2, PHI4_LAMBDA};
    struct estimate a = {0, 0}, b = {0, 0};
    bool good;
    if (strcmp(word, "metropolis") == 0) {
        good = phi4_walk_measure(&l, 4000000, r->seed, &a, &b);
        report(r, "chi", a);
        report(r, "phi^2", b);
    } else if (strcmp(word, "logz") == 0) {
        good = phi4_log_z(&l, 1000000, r->seed, &a);
        report(r, "log Z", a);
    } else {
        return app_error(r->ctx, SUNUP_E_ARGUMENT, "phi4: tasks are metropolis and logz, not '%s'",
                         word);
    }
    return good ? SUNUP_OK : app_error(r->ctx, SUNUP_E_MEMORY, "phi4: no memory for a walk");
}

const struct app app_phi4 = {
    .name = "phi4",
    .question = "can a flow draw independent fields of the lattice phi^4 theory?",
    .files = "",
    .open = open_prior,
    .build = phi4_flow,
    .score = score,
    .task = task,
};
