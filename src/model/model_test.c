/* model_test.c - networks and their weights: layout, first values, files, predictions, summaries, refusals. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"
#include "model/model.h"
#include "tensor/tensor.h"

static sunup_context *ctx;
static char folder[] = "/tmp/sunup-model-XXXXXX", path[64];

/* x [N, 4] -> linear 3 -> relu -> linear `out` */
static sunup_status build_mlp(sunup_graph *g, void *arg)
{
    const int64_t out = *(const int64_t *)arg;
    sunup_value *x = sunup_input(g, "x", SUNUP_F32, SUNUP_SHAPE(sunup_graph_batch(g), 4));
    x = sunup_relu(sunup_layer_linear(x, "fc1", 3, true));
    sunup_graph_output(g, "output", sunup_layer_linear(x, "fc2", out, true));
    return SUNUP_OK;
}

/* Every layer of sunup.h once. */
static sunup_status build_layers(sunup_graph *g, void *arg)
{
    (void)arg;
    static const int64_t taps[] = {3, 5};
    const int64_t n = sunup_graph_batch(g);
    sunup_conv_options o = sunup_conv_defaults();
    o.groups = 2;
    sunup_value *x = sunup_input(g, "x", SUNUP_F32, SUNUP_SHAPE(n, 8, 8, 4));
    x = sunup_layer_conv(x, "conv", 6, taps, true, &o);
    x = sunup_layer_conv_transpose(x, "up", 8, taps, true, &o);
    x = sunup_layer_batch_norm(x, "bn");
    x = sunup_layer_group_norm(x, "gn", 2);
    x = sunup_layer_layer_norm(x, "ln", 1);
    sunup_value *word = sunup_input(g, "word", SUNUP_I32, SUNUP_SHAPE(n, 8));
    sunup_value *table = sunup_layer_embedding(word, "table", 1000, 8);
    x = sunup_add(sunup_mean(x, 1, (const int[]){1}, false), table);
    sunup_graph_output(g, "output", sunup_layer_linear(x, "fc", 2, false));
    return SUNUP_OK;
}

static sunup_model *make(sunup_build_fn build, void *arg, uint64_t seed)
{
    sunup_model *m;
    if (sunup_model_create(ctx, build, arg, seed, &m) != SUNUP_OK) fail_msg("%s", sunup_error(ctx));
    return m;
}

static sunup_model *mlp(int64_t out, uint64_t seed)
{
    static int64_t kept[8];
    kept[out] = out;
    return make(build_mlp, &kept[out], seed);
}

static const float *data_of(const sunup_model *m, const char *name)
{
    const struct model_tensor *t = sunup__model_find(m, name);
    if (!t) fail_msg("no tensor '%s'", name);
    return t->t.data;
}

static void lies_in_one_array(void **state)
{
    (void)state;
    sunup_model *m = make(build_layers, NULL, 1);
    const int n = m->n_parameters + m->n_states;
    int64_t end = 0;
    assert_int_equal(m->n_parameters, 12);
    assert_int_equal(m->n_states, 2);
    assert_int_equal((uintptr_t)m->flat % 64, 0);
    for (int k = 0; k < n; k++) {
        const int i = k < m->n_parameters ? m->n_parameters - 1 - k : k; /* last parameter first */
        const struct model_tensor *t = &m->tensors[i];
        assert_true(t->at >= end && t->at - end < 16 && t->at % 16 == 0);
        assert_ptr_equal(t->t.data, (float *)m->flat + t->at);
        for (int64_t p = end; p < t->at; p++) assert_true(((float *)m->flat)[p] == 0);
        end = t->at + sunup__elements(&t->t.shape);
        assert_int_equal(t->state, i >= m->n_parameters);
        assert_true(t->state ? t->at >= m->n_flat_parameters : end <= m->n_flat_parameters);
    }
    assert_true(m->n_flat >= end && m->n_flat - end < 16);
    sunup_model_destroy(&m);
    assert_null(m);
}

/* All within [-b, b], most of the range in use, mean near 0. */
static void check_uniform(const sunup_model *m, const char *name, double b)
{
    const struct model_tensor *t = sunup__model_find(m, name);
    const float *w = data_of(m, name);
    const int64_t n = sunup__elements(&t->t.shape);
    double largest = 0, sum = 0;
    for (int64_t i = 0; i < n; i++) {
        largest = fmax(largest, fabs((double)w[i]));
        sum += (double)w[i];
    }
    if (!(largest <= b * 1.000001 && largest > b * (n > 50 ? 0.9 : 0.2)))
        fail_msg("%s: largest %g, bound %g", name, largest, b);
    assert_true(fabs(sum / (double)n) < 4 * b / sqrt(3.0 * (double)n));
}

static void check_constant(const sunup_model *m, const char *name, float a, int64_t n)
{
    const float *w = data_of(m, name);
    for (int64_t i = 0; i < n; i++) assert_true(w[i] == a);
}

static void starts_as_pytorch_does(void **state)
{
    (void)state;
    sunup_model *m = make(build_layers, NULL, 3);
    check_uniform(m, "conv.weight", 1 / sqrt(2 * 15)); /* channels in / groups * taps */
    check_uniform(m, "conv.bias", 1 / sqrt(2 * 15));
    check_uniform(m, "up.weight", 1 / sqrt(4 * 15)); /* channels out / groups * taps */
    check_uniform(m, "up.bias", 1 / sqrt(4 * 15));
    check_uniform(m, "fc.weight", 1 / sqrt(8));
    check_constant(m, "bn.weight", 1, 8);
    check_constant(m, "bn.bias", 0, 8);
    check_constant(m, "bn.running_mean", 0, 8);
    check_constant(m, "bn.running_var", 1, 8);
    check_constant(m, "gn.weight", 1, 8);
    check_constant(m, "ln.bias", 0, 8);
    const float *table = data_of(m, "table.weight");
    double square = 0;
    for (int i = 0; i < 8000; i++) square += (double)table[i] * (double)table[i];
    assert_true(fabs(square / 8000 - 1) < 0.1);
    sunup_model_destroy(&m);
}

static void starts_by_seed_and_name(void **state)
{
    (void)state;
    sunup_model *a = mlp(2, 1), *b = mlp(2, 1), *c = mlp(2, 2), *d = mlp(5, 1);
    assert_true(sunup_model_hash(a) == sunup_model_hash(b));
    assert_true(sunup_model_hash(a) != sunup_model_hash(c));
    assert_memory_equal(data_of(a, "fc1.weight"), data_of(d, "fc1.weight"), 12 * sizeof(float));
    float *w = sunup__model_find(b, "fc2.bias")->t.data;
    w[1] = -w[1];
    assert_true(sunup_model_hash(a) != sunup_model_hash(b));
    assert_int_equal(sunup__model_reset(b, 1), SUNUP_OK);
    assert_true(sunup_model_hash(a) == sunup_model_hash(b));
    sunup_model_destroy(&a);
    sunup_model_destroy(&b);
    sunup_model_destroy(&c);
    sunup_model_destroy(&d);
}

static void lists_its_tensors(void **state)
{
    (void)state;
    sunup_model *m = mlp(2, 1);
    static const char *const names[] = {"fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"};
    sunup_tensor t;
    assert_int_equal(sunup_model_parameters(m), 4);
    assert_int_equal(sunup_model_states(m), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(sunup_model_tensor(m, i, &t), SUNUP_OK);
        assert_string_equal(t.name, names[i]);
    }
    assert_int_equal(sunup_model_tensor(m, 4, &t), SUNUP_E_ARGUMENT);
    assert_int_equal(sunup_model_tensor(m, -1, &t), SUNUP_E_ARGUMENT);
    sunup_model_destroy(&m);
}

static void keeps_weights_in_a_file(void **state)
{
    (void)state;
    sunup_model *a = make(build_layers, NULL, 1), *b = make(build_layers, NULL, 2);
    assert_int_equal(sunup_model_save_weights(a, path), SUNUP_OK);
    assert_int_equal(sunup_model_load_weights(b, path), SUNUP_OK);
    assert_true(sunup_model_hash(a) == sunup_model_hash(b));
    sunup_model_destroy(&a);
    sunup_model_destroy(&b);
}

static void refuses(sunup_model *m, sunup_status status, const char *part)
{
    const uint64_t before = sunup_model_hash(m);
    assert_int_equal(sunup_model_load_weights(m, path), status);
    if (!strstr(sunup_error(ctx), part)) fail_msg("'%s' lacks '%s'", sunup_error(ctx), part);
    assert_true(sunup_model_hash(m) == before);
}

static void refuses_weights_that_do_not_fit(void **state)
{
    (void)state;
    sunup_model *m = mlp(2, 1), *wider = mlp(5, 1);
    assert_int_equal(sunup_model_save_weights(wider, path), SUNUP_OK);
    refuses(m, SUNUP_E_SHAPE, "'fc2.weight' is f32 [3, 5], the model has f32 [3, 2]");
    float one[1] = {1};
    sunup_tensor t[5] = {{"fc1.weigth", SUNUP_F32, {1, {1}}, one}};
    struct tensors file = {.n = 1, .t = t};
    assert_int_equal(sunup__tensors_write(ctx, path, &file), SUNUP_OK);
    refuses(m, SUNUP_E_FORMAT, "'fc1.weight' is not among its 1; did you mean 'fc1.weigth'?");
    for (int i = 0; i < 4; i++) t[i] = m->tensors[i].t;
    t[4] = (sunup_tensor){"more", SUNUP_F32, {1, {1}}, one};
    file.n = 5;
    assert_int_equal(sunup__tensors_write(ctx, path, &file), SUNUP_OK);
    refuses(m, SUNUP_E_FORMAT, "holds 'more', which the model does not have");
    unlink(path);
    refuses(m, SUNUP_E_FILE, path);
    sunup_model_destroy(&m);
    sunup_model_destroy(&wider);
}

static double mlp_output(const sunup_model *m, const float *x, int j)
{
    const float *w1 = data_of(m, "fc1.weight"), *b1 = data_of(m, "fc1.bias");
    const float *w2 = data_of(m, "fc2.weight"), *b2 = data_of(m, "fc2.bias");
    double y = (double)b2[j];
    for (int h = 0; h < 3; h++) {
        double z = (double)b1[h];
        for (int i = 0; i < 4; i++) z += (double)x[i] * (double)w1[i * 3 + h];
        y += fmax(z, 0) * (double)w2[h * 2 + j];
    }
    return y;
}

static void predicts(void **state)
{
    (void)state;
    enum { N = 131 }; /* two whole chunks and three samples */
    static float x[N * 4], y[N * 2], alone[2];
    sunup_model *m = mlp(2, 1);
    for (int i = 0; i < N * 4; i++) x[i] = sinf((float)i);
    const sunup_tensor in = {"x", SUNUP_F32, {2, {N, 4}}, x};
    assert_int_equal(sunup_model_predict(m, N, 1, &in, y), SUNUP_OK);
    for (int i = 0; i < N * 2; i++)
        assert_true(fabs((double)y[i] - mlp_output(m, x + i / 2 * 4, i % 2)) < 1e-5);
    const sunup_tensor one = {"x", SUNUP_F32, {2, {1, 4}}, x + 4 * 70};
    assert_int_equal(sunup_model_predict(m, 1, 1, &one, alone), SUNUP_OK);
    assert_true(fabs((double)(alone[0] - y[140])) < 1e-6);
    float *bias = sunup__model_find(m, "fc2.bias")->t.data;
    bias[0] += 1; /* weights are seen as they are now */
    assert_int_equal(sunup_model_predict(m, 1, 1, &one, alone), SUNUP_OK);
    assert_true(fabs((double)(alone[0] - y[140]) - 1) < 1e-5);
    assert_int_equal(sunup_model_predict(m, 0, 1, &in, y), SUNUP_OK);
    sunup_model_destroy(&m);
}

static void moves_and_comes_home(void **state)
{
    (void)state;
    sunup_model *m = mlp(2, 1);
    float x[4] = {1, -2, 3, 0.5F}, before[2], after[2];
    const sunup_tensor in = {"x", SUNUP_F32, {2, {1, 4}}, x};
    void *const home = m->flat,
                *elsewhere = sunup__alloc_aligned((size_t)m->n_flat * sizeof(float));
    const uint64_t hash = sunup_model_hash(m);
    assert_int_equal(sunup_model_predict(m, 1, 1, &in, before), SUNUP_OK);
    sunup__model_move(m, elsewhere);
    assert_ptr_equal(m->flat, elsewhere);
    for (int i = 0; i < m->n_parameters + m->n_states; i++)
        assert_ptr_equal(m->tensors[i].t.data, (float *)elsewhere + m->tensors[i].at);
    assert_true(sunup_model_hash(m) == hash);
    memset(home, 0xff, sizeof(float)); /* nobody looks there */
    float *bias = sunup__model_find(m, "fc2.bias")->t.data;
    const float was = bias[0];
    bias[0] = was + 1;
    assert_int_equal(sunup_model_predict(m, 1, 1, &in, after), SUNUP_OK);
    assert_true(fabs((double)(after[0] - before[0]) - 1) < 1e-5 && after[1] == before[1]);
    sunup__model_move(m, NULL);
    sunup__free(elsewhere);
    assert_ptr_equal(m->flat, home);
    bias = sunup__model_find(m, "fc2.bias")->t.data;
    bias[0] = was;
    assert_true(sunup_model_hash(m) == hash);
    assert_int_equal(sunup_model_predict(m, 1, 1, &in, after), SUNUP_OK);
    assert_memory_equal(after, before, sizeof after);
    sunup_model_destroy(&m);
}

static void predicts_from_two_inputs(void **state)
{
    (void)state;
    static float x[3 * 256], y[3 * 8 * 2];
    static int32_t word[3 * 8];
    sunup_model *m = make(build_layers, NULL, 1);
    const sunup_tensor in[] = {{"x", SUNUP_F32, {4, {3, 8, 8, 4}}, x},
                               {"word", SUNUP_I32, {2, {3, 8}}, word}};
    for (int i = 0; i < 3 * 256; i++) x[i] = cosf((float)i);
    assert_int_equal(sunup_model_predict(m, 3, 2, in, y), SUNUP_OK);
    for (int i = 0; i < 48; i++) assert_true(isfinite(y[i]));
    assert_int_equal(sunup_model_predict(m, 3, 1, in, y), SUNUP_E_ARGUMENT);
    assert_non_null(strstr(sunup_error(ctx), "input 1 of the network, 'word', is not among the 1"));
    float by_name[3 * 8 * 2];
    const sunup_tensor named[] = {in[1], {"other", SUNUP_F32, {1, {3}}, x}, in[0]};
    assert_int_equal(sunup_model_predict(m, 3, 3, named, by_name), SUNUP_OK);
    assert_memory_equal(by_name, y, sizeof by_name);
    const sunup_tensor swapped[] = {{NULL, in[1].dtype, in[1].shape, in[1].data},
                                    {NULL, in[0].dtype, in[0].shape, in[0].data}};
    assert_int_equal(sunup_model_predict(m, 3, 2, swapped, y), SUNUP_E_SHAPE);
    assert_non_null(strstr(sunup_error(ctx), "input 0 ('x') is i32 [3, 8], but f32 [3, 8, 8, 4]"));
    assert_int_equal(sunup_model_predict(m, -1, 2, in, y), SUNUP_E_ARGUMENT);
    sunup_model_destroy(&m);
}

static void sums_itself_up(void **state)
{
    (void)state;
    sunup_model *m = mlp(2, 1);
    struct summary s;
    assert_int_equal(sunup__model_summarize(m, 10, &s), SUNUP_OK);
    assert_int_equal(s.parameters, 4 * 3 + 3 + 3 * 2 + 2);
    assert_int_equal(s.states, 0);
    int64_t parameters = 0;
    double bytes = 0;
    for (int i = 0; i < s.n; i++) {
        parameters += s.rows[i].parameters;
        bytes += s.rows[i].activation_bytes;
    }
    assert_int_equal(parameters, s.parameters);
    assert_true(bytes == s.activation_bytes && bytes == 4 * 10 * (3 + 3 + 2));
    assert_string_equal(s.rows[0].op, "input");
    assert_string_equal(s.rows[1].layer, "fc1");
    assert_int_equal(s.rows[1].parameters, 15);
    assert_true(s.rows[1].flops >= 2 * 10 * 4 * 3 && s.rows[1].flops <= 2 * 10 * 4 * 3 + 30);
    assert_int_equal(s.rows[s.n - 1].shape.d[1], 2);
    sunup__summary_end(&s);
    char *text = sunup_model_summary(m, 10);
    assert_non_null(strstr(text, "fc2"));
    assert_non_null(strstr(text, "[10, 3]"));
    assert_non_null(strstr(text, "parameters 23, states 0"));
    sunup_free(text);
    assert_null(sunup_model_summary(m, 0));
    sunup_model_destroy(&m);
}

enum fault { NO_OUTPUT, SAYS_NO, BAD_SHAPE, BY_BATCH, BY_MODE, TWICE };

static sunup_status build_fault(sunup_graph *g, void *arg)
{
    const enum fault fault = *(const enum fault *)arg;
    const int64_t n = sunup_graph_batch(g);
    const sunup_init init = {SUNUP_INIT_CONSTANT, 1};
    sunup_value *x = sunup_input(g, "x", SUNUP_F32, SUNUP_SHAPE(n, 4)), *w = NULL;
    if (fault == SAYS_NO) return SUNUP_E_UNSUPPORTED;
    if (fault == BAD_SHAPE)
        x = sunup_linear(x, sunup_parameter(g, "w", SUNUP_SHAPE(5, 5), init), NULL);
    if (fault == BY_BATCH) w = sunup_parameter(g, "w", SUNUP_SHAPE(n, 4), init);
    if (fault == BY_MODE)
        w = sunup_parameter(g, sunup_graph_training(g) ? "a" : "b", SUNUP_SHAPE(4), init);
    if (fault == TWICE) {
        w = sunup_parameter(g, "w", SUNUP_SHAPE(4), init);
        w = sunup_parameter(g, "w", SUNUP_SHAPE(4), init);
    }
    if (w) x = sunup_mul(x, w);
    if (fault != NO_OUTPUT) sunup_graph_output(g, "output", x);
    return SUNUP_OK;
}

static void refuses_bad_networks(void **state)
{
    (void)state;
    static const struct {
        enum fault fault;
        sunup_status status;
        const char *part;
    } bad[] = {{NO_OUTPUT, SUNUP_E_ARGUMENT, "no output"},
               {SAYS_NO, SUNUP_E_UNSUPPORTED, ""},
               {BAD_SHAPE, SUNUP_E_SHAPE, "[5, 5]"},
               {TWICE, SUNUP_E_ARGUMENT, "'w'"}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        enum fault fault = bad[i].fault;
        sunup_model *m;
        assert_int_equal(sunup_model_create(ctx, build_fault, &fault, 1, &m), bad[i].status);
        assert_null(m);
        assert_non_null(strstr(sunup_error(ctx), bad[i].part));
    }
}

static void refuses_weights_that_change(void **state)
{
    (void)state;
    enum fault fault = BY_BATCH;
    sunup_graph *g;
    sunup_model *m = make(build_fault, &fault, 1);
    assert_int_equal(sunup__model_graph(m, 7, true, &g), SUNUP_E_SHAPE);
    assert_null(g);
    assert_non_null(strstr(sunup_error(ctx), "'w' is [2, 4] for batch 2, but [7, 4] for batch 7"));
    sunup_model_destroy(&m);
    fault = BY_MODE;
    m = make(build_fault, &fault, 1);
    assert_int_equal(sunup__model_graph(m, 1, false, &g), SUNUP_E_SHAPE);
    assert_non_null(strstr(sunup_error(ctx), "'b' that it had not"));
    sunup_model_destroy(&m);
}

static void survives_no_memory(void **state)
{
    (void)state;
    static int64_t out = 2;
    sunup_model *m = NULL;
    int nth = 0;
    for (sunup_status status = SUNUP_E_MEMORY; status != SUNUP_OK; nth++) {
        sunup__fail_allocation(nth);
        status = sunup_model_create(ctx, build_mlp, &out, 1, &m);
        sunup__fail_allocation(-1);
        assert_true(status == SUNUP_OK || (status == SUNUP_E_MEMORY && !m));
    }
    assert_true(nth > 5);
    sunup_model_destroy(&m);
    sunup_model_destroy(&m);
}

static int open_context(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/w.safetensors", folder);
    return sunup_context_create(NULL, &ctx);
}

static int close_context(void **state)
{
    (void)state;
    sunup_context_destroy(&ctx);
    unlink(path);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lies_in_one_array),
        cmocka_unit_test(starts_as_pytorch_does),
        cmocka_unit_test(starts_by_seed_and_name),
        cmocka_unit_test(lists_its_tensors),
        cmocka_unit_test(keeps_weights_in_a_file),
        cmocka_unit_test(refuses_weights_that_do_not_fit),
        cmocka_unit_test(predicts),
        cmocka_unit_test(moves_and_comes_home),
        cmocka_unit_test(predicts_from_two_inputs),
        cmocka_unit_test(sums_itself_up),
        cmocka_unit_test(refuses_bad_networks),
        cmocka_unit_test(refuses_weights_that_change),
        cmocka_unit_test(survives_no_memory),
    };
    return cmocka_run_group_tests(tests, open_context, close_context);
}
