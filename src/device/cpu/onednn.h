/* onednn.h - what the oneDNN makers share: a step around one primitive of that library.
 *
 *     struct onednn *o;                            in a make function:
 *     TRY(sunup__onednn_open(d, s, &o));
 *     md = sunup__onednn_desc(o, n, dims, strides);         ours: plain f32
 *     ONEDNN(o, dnnl_..._primitive_desc_create(&o->pd, o->engine, ..., o->attr));
 *     sunup__onednn_operand(o, DNNL_ARG_SRC, IN, 0, md);
 *     return sunup__onednn_close(o, s);
 *
 * An operand whose layout the primitive wants otherwise (only weights are offered with a free choice)
 * is converted before or after each run, in the step's workspace. Calls of the library are sticky:
 * after the first that fails the rest does nothing and close reports it. All is made in make; a run
 * creates nothing.
 */
#ifndef SUNUP_DEVICE_CPU_ONEDNN_H
#define SUNUP_DEVICE_CPU_ONEDNN_H

#include <oneapi/dnnl/dnnl.h>

#include "device/cpu/prepared.h"

enum { ONEDNN_OPERANDS = 9, ONEDNN_DESCS = 20 };
enum onednn_place { IN, OUT, WORK };

struct onednn_operand {
    int key; /* DNNL_ARG_... */
    enum onednn_place place;
    int index;  /* of the node's operand or output                                    */
    int64_t at; /* in the workspace: WORK; an OUT that nobody reads; -1: none         */
    const_dnnl_memory_desc_t desc;
    dnnl_memory_t plain, own; /* own NULL: the primitive works on plain           */
    dnnl_primitive_t convert; /* plain -> own, or for an output own -> plain       */
    dnnl_exec_arg_t convert_args[2];
    int64_t own_at;
    bool stays; /* converted by prepare, to the step's own memory */
};

struct onednn {
    struct device *d;
    dnnl_status_t status; /* of the first call that failed */
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_attr_t attr;
    dnnl_primitive_desc_t forward, pd; /* forward: a gradient's hint */
    dnnl_primitive_t primitive;
    dnnl_memory_desc_t descs[ONEDNN_DESCS];
    int n_descs;
    struct onednn_operand operands[ONEDNN_OPERANDS];
    int n_operands;
    dnnl_exec_arg_t args[ONEDNN_OPERANDS + 1];
    dnnl_memory_t scratch;
    int64_t scratch_at, bytes; /* bytes: of the workspace so far */
    int64_t prepared_bytes;    /* of operands that stay, see struct step */
    /* Ours around theirs, or NULL. */
    void (*before)(const struct step *s, const struct onednn *o);
    void (*after)(const struct step *s, const struct onednn *o);
    double eps;
};

#define ONEDNN(o, call)                                                                            \
    do {                                                                                           \
        if ((o)->status == dnnl_success) (o)->status = (call);                                     \
    } while (0)

sunup_status sunup__onednn_open(struct device *d, struct step *s, struct onednn **o);
/* strides NULL: as the primitive likes it best. Owned by o. */
const_dnnl_memory_desc_t sunup__onednn_desc(struct onednn *o, int n, const int64_t *dims,
                                            const int64_t *strides);
/* Dense [rows][columns] and [n]. */
const_dnnl_memory_desc_t sunup__onednn_rows(struct onednn *o, int64_t rows, int64_t columns);
const_dnnl_memory_desc_t sunup__onednn_vector(struct onednn *o, int64_t n);
void sunup__onednn_operand(struct onednn *o, int key, enum onednn_place place, int index,
                           const_dnnl_memory_desc_t plain);
sunup_status sunup__onednn_close(struct onednn *o, struct step *s);
/* Memory of the operand with this key in a run. */
float *sunup__onednn_memory(const struct step *s, const struct onednn *o, int key);

/* onednn_conv.c, onednn_rows.c */
bool sunup__onednn_conv_can(const struct device *d, const struct node *n);
bool sunup__onednn_pool_can(const struct device *d, const struct node *n);
sunup_status sunup__make_onednn_conv(struct device *d, const struct node *n, struct step *s);
sunup_status sunup__make_onednn_conv_data_grad(struct device *d, const struct node *n,
                                               struct step *s);
sunup_status sunup__make_onednn_conv_weight_grad(struct device *d, const struct node *n,
                                                 struct step *s);
sunup_status sunup__make_onednn_pool(struct device *d, const struct node *n, struct step *s);
sunup_status sunup__make_onednn_linear(struct device *d, const struct node *n, struct step *s);
sunup_status sunup__make_onednn_matmul(struct device *d, const struct node *n, struct step *s);
sunup_status sunup__make_onednn_batch_norm(struct device *d, const struct node *n, struct step *s);
sunup_status sunup__make_onednn_batch_norm_grad(struct device *d, const struct node *n,
                                                struct step *s);
sunup_status sunup__make_onednn_layer_norm(struct device *d, const struct node *n, struct step *s);
sunup_status sunup__make_onednn_layer_norm_grad(struct device *d, const struct node *n,
                                                struct step *s);
sunup_status sunup__make_onednn_softmax(struct device *d, const struct node *n, struct step *s);
sunup_status sunup__make_onednn_softmax_grad(struct device *d, const struct node *n,
                                             struct step *s);
sunup_status sunup__make_onednn_pointwise(struct device *d, const struct node *n, struct step *s);

#endif
