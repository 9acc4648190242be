/* layers.h - the layers of sunup.h with all the options that a model file can set. */
#ifndef SUNUP_MODEL_LAYERS_H
#define SUNUP_MODEL_LAYERS_H

#include "graph/graph.h"

struct norm_options {
    double eps, momentum; /* 1e-5, 0.1 (batch norm only) */
    bool affine;          /* true: trained weight and bias */
};
struct norm_options sunup__norm_defaults(void);

sunup_value *sunup__layer_batch_norm(sunup_value *x, const char *name, struct norm_options o);
sunup_value *sunup__layer_layer_norm(sunup_value *x, const char *name, int n_axes,
                                     struct norm_options o);
sunup_value *sunup__layer_group_norm(sunup_value *x, const char *name, int64_t groups,
                                     struct norm_options o);

#endif
