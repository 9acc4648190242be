/* description.h - a model file as a description: a flat list of layers whose inputs are numbers of earlier values.
 *
 * Values are numbered: the inputs first, then the layers in order. read.c makes a description from text (names,
 * repeats and defaults are resolved there), build.c makes a graph from it.
 */
#ifndef SUNUP_MODEL_DESCRIPTION_H
#define SUNUP_MODEL_DESCRIPTION_H

#include "model/model.h"

enum key_type { FLAG, WHOLE, WHOLES, NUMBER, PADDING, MODE, START, RISE, LAYER_NAME };

enum key {
#define KEY(name, type, least) KEY_##name,
#define LAYER(kind, inputs, keys)
#include "model/layers.def"
#undef KEY
#undef LAYER
    KEYS
};

struct attribute {
    enum key key;
    int n;     /* numbers given                                              */
    bool list; /* as a list; else one for all                                */
    double v[SUNUP_MAX_DIMS];
    sunup_padding padding; /* PADDING                                                    */
};

struct layer;
struct layer_kind {
    const char *name;
    int inputs; /* ONE, TWO, MANY */
    const char *keys;
    sunup_value *(*make)(const struct layer *l, sunup_value *const *x);
};
enum { ONE = 1, TWO = 2, MANY = 0 };
const struct layer_kind *sunup__layer_kind(int i); /* NULL past the end */

struct layer {
    const struct layer_kind *kind;
    const char *name;
    const char *owner; /* the layer whose weights it uses; NULL: its own */
    int line, column;  /* from 1 */
    int n_in;
    const int *in; /* value numbers */
    int n_attributes;
    const struct attribute *attributes;
};

struct model_input {
    const char *name;
    sunup_dtype dtype;
    sunup_shape shape; /* without the batch */
};

struct description {
    struct arena arena;
    const char *source; /* file name for messages */
    sunup_dtype dtype;
    int n_inputs, n_layers, output; /* output: a value number */
    struct model_input *inputs;
    struct layer *layers;
};

/* read.c */
sunup_status sunup__description_read(sunup_context *ctx, const char *text, size_t bytes,
                                     const char *name, struct description *d);
void sunup__description_end(struct description *d); /* also after a failed read */
/* build.c: arg is the description. */
sunup_status sunup__description_build(sunup_graph *g, void *arg);

#endif
