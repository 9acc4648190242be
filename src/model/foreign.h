/* foreign.h - weights as other programs keep them: PyTorch's order of axes, and files that do not
 * quite fit. */
#ifndef SUNUP_MODEL_FOREIGN_H
#define SUNUP_MODEL_FOREIGN_H

#include "model/model.h"

/* A tensor of ours and the same numbers elsewhere: axis i of `mine` is axis order[i] there. A
 * linear layer behind the flattening of a picture counts its rows as more than one axis, H W C
 * here and C H W there. */
struct foreign {
    sunup_shape mine;  /* ours, with such rows cut into axes       */
    sunup_shape shape; /* the tensor's there, rows as one          */
    int order[SUNUP_MAX_DIMS];
};
/* PyTorch's, for every tensor of the model in its order; sunup__free. NULL: a mistake. */
struct foreign *sunup__foreign(sunup_model *m);

/* The model's tensors, borrowed, or (pytorch) turned. End with sunup__tensors_end. */
sunup_status sunup__weights_give(sunup_model *m, bool pytorch, struct tensors *t);
/* The tensors' numbers into the model, by name; f32 and f64 are converted. What does not match is
 * listed with the nearest names of the other side, and nothing is changed. PyTorch's counters of
 * batches are passed over. */
sunup_status sunup__weights_take(sunup_model *m, const struct tensors *t, const char *path,
                                 bool pytorch);

#endif
