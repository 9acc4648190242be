/* model.h - a network and its weights: built again for every batch size and mode, weights kept once.
 *
 * Weights live in one flat array: parameters in reverse order of making (the order in which backward finishes them,
 * so that a bucket of neighbours is complete early), each 64-byte aligned, then frozen ones, then states. Gradients use
 * the same order.
 * While a trainer of the model exists the array is where ranks exchange it.
 */
#ifndef SUNUP_MODEL_H
#define SUNUP_MODEL_H

#include "base/memory.h"
#include "graph/graph.h"

struct model_tensor {
    sunup_tensor t;
    int64_t at; /* element offset in the flat array                       */
    sunup_init init;
    bool state, frozen;
};

struct sunup_model {
    sunup_context *ctx;
    sunup_build_fn build;
    void *arg;
    void (*end_arg)(void *arg); /* frees arg (YAML description), or NULL */
    sunup_dtype dtype;
    struct arena arena;
    struct model_tensor *tensors; /* parameters, then states, in order of making; .at says where */
    int n_parameters, n_states;
    int n_trained, *trained; /* parameters that are not frozen: their places in tensors */
    int64_t n_flat_parameters, n_flat; /* elements: trained parameters (padded), all */
    void *flat; /* home, or where a trainer keeps the weights */
    void *home; /* the model's own memory for them */
    uint64_t seed;
    sunup_status (*start)(void *arg, sunup_model *m); /* NULL, or overwrites the first weights */
    const char *note;   /* what a user who trains it should know; NULL: nothing */
    const char *source; /* path of its file, or "C"; for records */
    struct predictor {  /* the last plan of sunup_model_predict, kept for the next call */
        sunup_graph *graph;
        sunup_plan *plan;
        int64_t batch; /* 0: none */
    } predictor;
};

/* What a model is made from. arg is OWN if end_arg is set, also on failure; the rest is copied. */
struct model_recipe {
    sunup_build_fn build;
    void *arg;
    void (*end_arg)(void *arg);
    sunup_dtype dtype;
    const char *source;
    sunup_status (*start)(void *arg, sunup_model *m); /* as in the model */
    const char *note;
};
sunup_status sunup__model_create(sunup_context *ctx, const struct model_recipe *recipe,
                                 uint64_t seed, sunup_model **model);

bool sunup__zoo_has(const char *name); /* zoo.c */

/* A graph of this model (finished, checked against the weights: same names and shapes). */
sunup_status sunup__model_graph(sunup_model *m, int64_t batch, bool training, sunup_graph **g);
int64_t sunup__model_elements(const sunup_model *m); /* trained numbers, without padding */
/* The model's tensor of a parameter or state value, by name; NULL if it has none. */
struct model_tensor *sunup__model_find(const sunup_model *m, const char *name);
sunup_status sunup__model_reset(sunup_model *m, uint64_t seed); /* initial weights */
/* The weights move to memory (n_flat elements, 64-byte aligned), NULL: back home, which cannot fail. Addresses of
 * tensors are new, and home takes no room meanwhile. */
void sunup__model_move(sunup_model *m, void *memory);
/* From now on the parameters that match one of the patterns (sunup__matches) are not trained, all others are. If that
 * changes anything, weights are at home afterwards. E_ARGUMENT, and nothing is changed, where a pattern matches none
 * or nothing is left. */
sunup_status sunup__model_freeze(sunup_model *m, int n, const char *const *patterns);
/* Both, with patterns that were good before: how one of several trainers gets the weights from another one. */
void sunup__model_take(sunup_model *m, int n, const char *const *patterns, void *memory);
int64_t sunup__model_room(const sunup_model *m, int64_t elements); /* what so many take in the flat array */
void sunup__model_lay_out(sunup_model *m);              /* places, by what is frozen */
void sunup__model_settle(sunup_model *m, void *memory); /* the flat array is there from now on */
uint64_t sunup__model_frozen(const sunup_model *m); /* which: a hash of the names, 0 if none */
static inline const struct model_tensor *sunup__model_trained(const sunup_model *m, int i)
{
    return &m->tensors[m->trained[i]];
}
void sunup__predictor_end(struct predictor *p);

/* YAML, read through base/yaml.h, which run files use too (read.c, layers.def): the model under the key `model`; other
 * keys are not looked at. name: for messages. */
sunup_status sunup__model_parse(sunup_context *ctx, const char *text, size_t bytes,
                                const char *name, uint64_t seed, sunup_model **m);

/* ONNX files (onnx/), in builds that have protobuf-c. */
struct onnx_options {
    bool train_bn;      /* batch norms of a file for inference train with the statistics of the batch */
    bool channels_last; /* inputs and outputs of 3 axes and more are N [D [H]] W C, not as the file says */
    bool as_is;         /* inputs have the file's shapes, the batch included: for tests of single operators */
};
struct onnx_file { /* data BORROW for the call */
    const void *data;
    size_t bytes;
    const char *name;
    struct onnx_options options;
};
bool sunup__onnx_is(const void *data, size_t bytes, const char *path);
sunup_status sunup__onnx_model(sunup_context *ctx, const struct onnx_file *file, uint64_t seed,
                               sunup_model **model);
bool sunup__onnx_made(const sunup_model *model); /* from an ONNX file */
/* The file that the model came from, with the model's numbers. */
sunup_status sunup__onnx_write_back(const sunup_model *model, const char *path);
/* Any model as a file for inference. */
sunup_status sunup__onnx_export(sunup_model *model, const char *path);
/* sunup_model_load with options for ONNX files, which a YAML file does not take. */
sunup_status sunup__model_load(sunup_context *ctx, const char *path, struct onnx_options o, uint64_t seed,
                               sunup_model **model);

/* safetensors container (safetensors.c): n tensors and string metadata; write is atomic and ends with a checksum
 * entry; read verifies everything against hostile input before it returns. */
struct tensors {
    int n;
    sunup_tensor *t; /* data points into memory */
    int n_meta;
    const char **meta_key, **meta_value;
    void *memory;
    struct arena arena;
};
sunup_status sunup__tensors_write(sunup_context *ctx, const char *path, const struct tensors *t);
sunup_status sunup__tensors_read(sunup_context *ctx, const char *path, struct tensors *t);
sunup_status sunup__tensors_parse(sunup_context *ctx, const void *data, size_t bytes,
                                  const char *name, struct tensors *t); /* borrows data */
void sunup__tensors_end(struct tensors *t);
const char *sunup__tensors_meta(const struct tensors *t, const char *key); /* NULL if absent */

/* What a network is made of (summary.c): a row for each layer, in the order of the training graph. A layer's row has
 * the op with the most work, the shape of its last value, its own parameters. */
struct summary_row {
    const char *layer, *op; /* alive until summary_end */
    sunup_shape shape;
    sunup_dtype dtype;
    int64_t parameters;
    double flops, activation_bytes; /* forward, at the summary's batch; views take no bytes */
};
struct summary {
    int n;
    struct summary_row *rows;
    int64_t batch, parameters, states; /* elements */
    double flops, activation_bytes, weight_bytes;
    struct arena arena;
};
sunup_status sunup__model_summarize(sunup_model *m, int64_t batch, struct summary *s);
void sunup__summary_end(struct summary *s);

/* True for every node that v depends on, v's own included, by node id: [graph's n_nodes]; sunup__free. NULL: no
 * memory. */
bool *sunup__needed(const sunup_value *v);
#endif
