/* model.h - a network and its weights: built again for every batch size and mode, weights kept once.
 *
 * Weights live in one flat array: parameters in reverse order of making (the order in which backward finishes them,
 * so that a bucket of neighbours is complete early), each 64-byte aligned, then states. Gradients use the same order.
 */
#ifndef SUNUP_MODEL_H
#define SUNUP_MODEL_H

#include "graph/graph.h"

struct model_tensor {
    sunup_tensor t;
    int64_t at;             /* element offset in the flat array                       */
    sunup_init init;
    bool state;
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
    int64_t n_flat_parameters, n_flat; /* elements: parameters (padded), all */
    void *flat;
    uint64_t seed;
    const char *source;     /* YAML path or "C"; for records */
};

/* A graph of this model (finished, checked against the weights: same names and shapes). */
sunup_status sunup__model_graph(sunup_model *m, int64_t batch, bool training, sunup_graph **g);
/* The model's tensor of a parameter or state value, by name; NULL if it has none. */
struct model_tensor *sunup__model_find(sunup_model *m, const char *name);
sunup_status sunup__model_reset(sunup_model *m, uint64_t seed); /* initial weights */

/* YAML (yaml.c, layers.def): text -> description; build callback over it. name: for messages. */
sunup_status sunup__model_parse(sunup_context *ctx, const char *text, size_t bytes, const char *name, uint64_t seed,
                                sunup_model **m);

/* safetensors container (safetensors.c): n tensors and string metadata; write is atomic and ends with a checksum
 * entry; read verifies everything against hostile input before it returns. */
struct tensors {
    int n;
    sunup_tensor *t;        /* data points into memory */
    int n_meta;
    const char **meta_key, **meta_value;
    void *memory;
    struct arena arena;
};
sunup_status sunup__tensors_write(sunup_context *ctx, const char *path, const struct tensors *t);
sunup_status sunup__tensors_read(sunup_context *ctx, const char *path, struct tensors *t);
sunup_status sunup__tensors_parse(sunup_context *ctx, const void *data, size_t bytes, const char *name,
                                  struct tensors *t); /* borrows data */
void sunup__tensors_end(struct tensors *t);
const char *sunup__tensors_meta(const struct tensors *t, const char *key); /* NULL if absent */

/* Nearest of n words to a misspelt one (edit distance), NULL if none is near. In src/base/words.c */
#endif
