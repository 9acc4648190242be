/* convert.c - `sunup convert INPUT --output FILE`: networks and weights between files.
 *
 *   net.yaml, run.yaml, net.onnx   a network; --weights: its numbers. To .onnx: the network as others read it (one that
 *                                  came from ONNX: its own file with these numbers); to .safetensors, .npz: its weights
 *   x.safetensors, x.npz           weights as they are, to the other kind of file
 *
 * --from pytorch and --to pytorch: the weights of that side have PyTorch's order of axes, which
 * only the network tells.
 */
#include <string.h>

#include "base/system.h"
#include "base/yaml.h"
#include "data/tensors.h"
#include "model/foreign.h"
#include "program.h"

static bool ends(const char *path, const char *with)
{
    const size_t n = strlen(path), k = strlen(with);
    return n >= k && strcmp(path + n - k, with) == 0;
}

static bool is_weights(const char *path)
{
    return ends(path, ".safetensors") || ends(path, ".npz");
}

static bool pytorch(const char *word)
{
    return word != NULL && strcmp(word, "pytorch") == 0;
}

/* The numbers of an ONNX file that are weights, in our order of axes. */
static sunup_status onnx_weights(struct command *c, const char *path, sunup_model *m)
{
    sunup_model *other;
    struct tensors t;
    TRY(sunup__model_load(c->ctx, path, (struct onnx_options){0}, 0, &other));
    sunup_status status = sunup__weights_give(other, pytorch(c->from), &t);
    if (status == SUNUP_OK) status = sunup__weights_take(m, &t, path, pytorch(c->from));
    sunup__tensors_end(&t);
    sunup_model_destroy(&other);
    return status;
}

static sunup_status read_tensors(struct command *c, const char *path, struct tensors *t)
{
    return ends(path, ".npz") ? sunup__npz_read(c->ctx, path, t)
                              : sunup__tensors_read(c->ctx, path, t);
}

static sunup_status read_weights(struct command *c, sunup_model *m)
{
    if (c->weights == NULL) return SUNUP_OK;
    if (ends(c->weights, ".onnx")) return onnx_weights(c, c->weights, m);
    struct tensors t;
    TRY(read_tensors(c, c->weights, &t));
    const sunup_status status = sunup__weights_take(m, &t, c->weights, pytorch(c->from));
    sunup__tensors_end(&t);
    return status;
}

static sunup_status write_tensors(struct command *c, const struct tensors *t)
{
    if (ends(c->output, ".npz")) return sunup__npz_write(c->ctx, c->output, t);
    CHECK(ends(c->output, ".safetensors"), c->ctx, E_ARGUMENT,
          "%s: weights are written to .safetensors or .npz, networks to .onnx", c->output);
    return sunup__tensors_write(c->ctx, c->output, t);
}

static sunup_status write_model(struct command *c, sunup_model *m)
{
    if (ends(c->output, ".onnx"))
        return sunup__onnx_made(m) ? sunup__onnx_write_back(m, c->output)
                                   : sunup__onnx_export(m, c->output);
    struct tensors t;
    sunup_status status = sunup__weights_give(m, pytorch(c->to), &t);
    if (status == SUNUP_OK) status = write_tensors(c, &t);
    sunup__tensors_end(&t);
    return status;
}

static sunup_status convert_model(struct command *c, int *count)
{
    struct run_file run = {0};
    sunup_model *m = NULL;
    sunup_status status = run_file_or_network(c, c->operand[0], &run);
    if (status == SUNUP_OK) status = run_file_model(c, &run, &m);
    run_file_end(&run);
    if (status == SUNUP_OK) status = read_weights(c, m);
    if (status == SUNUP_OK) status = write_model(c, m);
    if (m != NULL) *count = sunup_model_parameters(m) + sunup_model_states(m);
    sunup_model_destroy(&m);
    return status;
}

static sunup_status convert_weights(struct command *c, int *count)
{
    struct tensors t;
    CHECK(c->weights == NULL && c->from == NULL && c->to == NULL, c->ctx, E_ARGUMENT,
          "%s: --weights, --from and --to need the network: sunup convert NET --weights %s",
          c->operand[0], c->operand[0]);
    TRY(read_tensors(c, c->operand[0], &t));
    *count = t.n;
    const sunup_status status = write_tensors(c, &t);
    sunup__tensors_end(&t);
    return status;
}

static sunup_status check(struct command *c)
{
    const char *const sides[] = {c->from, c->to};
    CHECK(c->output != NULL, c->ctx, E_ARGUMENT,
          "sunup convert needs --output FILE, which ends in .onnx, .safetensors or .npz");
    for (int i = 0; i < 2; i++)
        CHECK(sides[i] == NULL || pytorch(sides[i]), c->ctx, E_ARGUMENT,
              "--%s %s: it can be pytorch", i == 0 ? "from" : "to", sides[i]);
    return SUNUP_OK;
}

int verb_convert(struct command *c)
{
    int count = 0;
    sunup_status status = check(c);
    if (status == SUNUP_OK)
        status = is_weights(c->operand[0]) ? convert_weights(c, &count) : convert_model(c, &count);
    if (status != SUNUP_OK) return fail(c, status);
    if (c->json)
        print_json(json_pack("{s:i, s:s}", "tensors", count, "output", c->output));
    else
        (void)printf("  %d tensors in %s\n", count, c->output);
    return 0;
}
