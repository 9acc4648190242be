/* 04_gan.c - two networks that train each other, in turns: mpiexec -n N example_04_gan [FOLDER]
 *
 * A generator learns to make points as they come from four blobs; a discriminator learns to tell them from real ones.
 * Both are one model with two losses, and each has a trainer, which freezes the other one's weights. Two discriminator
 * steps follow each generator step. Every N gives the same weights; with a FOLDER there are checkpoints half the way,
 * from which the next start goes on to the same end.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sunup.h>

enum { NOISE = 4, WIDTH = 64, BATCH = 128, STEPS = 2500, D_STEPS = 2, POINTS = 2000 };

static double uniform(uint64_t *state) /* SplitMix64 (Steele, Lea, Flood, 2014) */
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

static float normal(uint64_t *state)
{
    const double radius = sqrt(-2 * log(1 - uniform(state)));
    return (float)(radius * cos(6.283185307179586 * uniform(state)));
}

/* Field "real" [2] and field "z" [NOISE], new ones in each epoch. */
static bool fill(void *arg, int64_t epoch, int64_t sample, void *const *y)
{
    (void)arg;
    uint64_t state = (uint64_t)epoch << 32 | (uint64_t)sample;
    float *real = y[0], *z = y[1];
    const int blob = (int)(4 * uniform(&state));
    real[0] = (blob & 1 ? 1.f : -1.f) + 0.15f * normal(&state);
    real[1] = (blob & 2 ? 1.f : -1.f) + 0.15f * normal(&state);
    for (int i = 0; i < NOISE; i++) z[i] = normal(&state);
    return true;
}

static sunup_value *hidden(sunup_value *x, const char *name)
{
    return sunup_leaky_relu(sunup_layer_linear(x, name, WIDTH, true), 0.2);
}

/* The discriminator sees real points and, behind them, made ones. */
static sunup_status build(sunup_graph *g, void *arg)
{
    (void)arg;
    const int64_t n = sunup_graph_batch(g);
    sunup_value *real = sunup_input(g, "real", SUNUP_F32, SUNUP_SHAPE(n, 2));
    sunup_value *z = sunup_input(g, "z", SUNUP_F32, SUNUP_SHAPE(n, NOISE));
    sunup_value *made = sunup_layer_linear(hidden(hidden(z, "g.fc1"), "g.fc2"), "g.fc3", 2, true);
    sunup_value *both[] = {real, made};
    sunup_value *h = hidden(hidden(sunup_concat(2, both, 0), "d.fc1"), "d.fc2");
    h = sunup_layer_linear(h, "d.fc3", 1, true);
    sunup_value *of_real = sunup_slice(h, 0, 0, n), *of_made = sunup_slice(h, 0, n, n);
    sunup_value *doubt = sunup_softplus(sunup_neg(of_real)), *trust = sunup_softplus(of_made);
    sunup_graph_output(g, "output", made);
    sunup_graph_output(g, "d_loss", sunup_mean(sunup_add(doubt, trust), 0, NULL, false));
    sunup_graph_output(g, "g_loss", sunup_mean(sunup_softplus(sunup_neg(of_made)), 0, NULL, false));
    return sunup_graph_finish(g);
}

/* loss: what is made smaller; freeze: the other one's weights. */
static sunup_train_options player(const char *loss, const char *const *freeze, int64_t steps)
{
    sunup_train_options o = sunup_train_defaults();
    o.loss = loss;
    o.freeze = freeze;
    o.n_freeze = 1;
    o.batch = BATCH;
    o.epochs = (double)steps;
    o.optimizer.type = "adam";
    o.optimizer.lr = 1e-3;
    o.optimizer.betas[0] = 0.5;
    o.schedule.type = "cosine";
    return o;
}

struct gan {
    sunup_trainer *d, *g;
    char d_path[512], g_path[512]; /* of checkpoints; "": none */
};

static sunup_status play(struct gan *p, int from, int to)
{
    sunup_status s = SUNUP_OK;
    for (int i = from; s == SUNUP_OK && i < to; i++) {
        for (int k = 0; s == SUNUP_OK && k < D_STEPS; k++) s = sunup_trainer_step(p->d, NULL);
        if (s == SUNUP_OK) s = sunup_trainer_step(p->g, NULL);
    }
    return s;
}

/* A checkpoint holds all weights, and moments and position of its trainer. */
static sunup_status first_half(struct gan *p)
{
    FILE *f = p->g_path[0] != '\0' ? fopen(p->g_path, "rb") : NULL;
    if (f != NULL) {
        fclose(f);
        const sunup_status s = sunup_trainer_restore(p->d, p->d_path);
        return s == SUNUP_OK ? sunup_trainer_restore(p->g, p->g_path) : s;
    }
    sunup_status s = play(p, 0, STEPS / 2);
    if (s == SUNUP_OK && p->g_path[0] != '\0') s = sunup_trainer_save(p->d, p->d_path);
    return s == SUNUP_OK && p->g_path[0] != '\0' ? sunup_trainer_save(p->g, p->g_path) : s;
}

/* How many of the points that are made from new noise lie within three standard deviations of each blob. */
static sunup_status count(sunup_model *model, int in_blob[4])
{
    static float real[POINTS][2], z[POINTS][NOISE], made[POINTS][2];
    for (int i = 0; i < POINTS; i++) fill(NULL, 1 << 20, i, (void *const[]){real[i], z[i]});
    const sunup_tensor inputs[] = {{"real", SUNUP_F32, SUNUP_SHAPE(POINTS, 2), real},
                                   {"z", SUNUP_F32, SUNUP_SHAPE(POINTS, NOISE), z}};
    const sunup_status s = sunup_model_predict(model, POINTS, 2, inputs, made[0]);
    for (int i = 0; s == SUNUP_OK && i < POINTS; i++) {
        const float x = fabsf(made[i][0]) - 1, y = fabsf(made[i][1]) - 1;
        in_blob[(made[i][0] > 0) + 2 * (made[i][1] > 0)] += hypotf(x, y) < 0.45f;
    }
    return s;
}

int main(int argc, char **argv)
{
    const sunup_tensor fields[] = {{"real", SUNUP_F32, SUNUP_SHAPE(2), NULL},
                                   {"z", SUNUP_F32, SUNUP_SHAPE(NOISE), NULL}};
    const sunup_sampler sampler = {.fill = fill};
    const sunup_train_options d = player("d_loss", (const char *const[]){"g.*"}, STEPS * D_STEPS),
                              g = player("g_loss", (const char *const[]){"d.*"}, STEPS);
    sunup_context *ctx = NULL;
    sunup_comm *comm = NULL;
    sunup_model *model = NULL;
    sunup_data *data = NULL;
    struct gan p = {0};
    int in[4] = {0};
    if (argc > 1) snprintf(p.d_path, sizeof p.d_path, "%s/d.safetensors", argv[1]);
    if (argc > 1) snprintf(p.g_path, sizeof p.g_path, "%s/g.safetensors", argv[1]);
    sunup_status s = sunup_context_create(NULL, &ctx);
    if (s == SUNUP_OK) s = sunup_comm_create(ctx, NULL, &comm);
    if (s == SUNUP_OK) s = sunup_model_create(ctx, build, NULL, 1, &model);
    if (s == SUNUP_OK) s = sunup_data_from_sampler(ctx, 2, fields, BATCH, &sampler, &data);
    if (s == SUNUP_OK) s = sunup_trainer_create(model, data, comm, &d, &p.d);
    if (s == SUNUP_OK) s = sunup_trainer_create(model, data, comm, &g, &p.g);
    if (s == SUNUP_OK) s = first_half(&p);
    if (s == SUNUP_OK) s = play(&p, STEPS / 2, STEPS);
    if (s == SUNUP_OK) s = count(model, in);
    if (s == SUNUP_OK && sunup_comm_rank(comm) == 0)
        printf("of %d made points %d %d %d %d are in the blobs; weights %016llx\n", (int)POINTS, in[0], in[1], in[2],
               in[3], (unsigned long long)sunup_model_hash(model));
    if (s != SUNUP_OK) fprintf(stderr, "%s\n", sunup_error(ctx));
    sunup_trainer_destroy(&p.g);
    sunup_trainer_destroy(&p.d);
    sunup_data_destroy(&data);
    sunup_model_destroy(&model);
    sunup_comm_destroy(&comm);
    sunup_context_destroy(&ctx);
    bool good = s == SUNUP_OK && in[0] + in[1] + in[2] + in[3] > POINTS * 8 / 10;
    for (int i = 0; i < 4; i++) good = good && in[i] > POINTS / 10;
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
