/* device.h - THE table of a device: where memory is, and how a node becomes a step that runs there.
 *
 * A maker is one named way to compute one op. The planner asks can(), chooses (first that can, unless a tuning file
 * says else), and make() fills a step. Every device ends its list with a maker that can do every op it claims.
 */
#ifndef SUNUP_DEVICE_H
#define SUNUP_DEVICE_H

#include "graph/graph.h"

struct device;

struct step {
    const struct maker *maker;
    const struct node *node;
    struct device *device;
    sunup_status (*run)(const struct step *s, const sunup_random_key *key);
    void (*end)(struct step *s);    /* frees data; NULL: nothing to free */
    void *data;                     /* the maker's own                   */
    int64_t workspace_bytes;        /* asked for by make, given by the planner from the arena */
    /* Weights that are the same in many runs: known before make. Where stays[i], operand i has the same numbers from
     * run to run until the caller says that they changed, and a maker may ask for memory of the step's own, which
     * `prepare` fills from the operand: right before the first run, and the first after a change; it may use the
     * workspace. */
    const bool *stays;              /* [n_in]; NULL: of no operand is that known */
    int64_t prepared_bytes;
    void (*prepare)(const struct step *s);
    /* Filled by the planner after the arena exists; host addresses on devices with host memory. */
    void **in, **out;
    void *workspace;
    void *prepared;
    const bool *dies;               /* [n_in] nobody reads this operand after the step */
    int number;                     /* place in its plan, from 0 */
};

struct maker {
    const char *name;               /* "conv_brgemm": the word kept in the tuning file */
    const char *op;                 /* name of the op it serves; NULL: any             */
    bool (*can)(const struct device *d, const struct node *n);
    sunup_status (*make)(struct device *d, const struct node *n, struct step *s);
};

/* What a product may err by, as a share of itself, with a maker named ..._bf16x3, whose operands are sums of two bf16:
 * x = high + low + e, |low| <= 2^-8 |x|, |e| <= 2^-17 |x|. low low is left out, and e is missed twice: 2^-16 + 2 2^-17.
 * (Of a normal number times another, 1.2 x 2^-18 is usual, root mean square.) With any other 0. */
double sunup__product_error(const struct maker *m);

/* Memory of one value (or of a step's workspace) as a run finds it. */
struct region {
    const sunup_value *value;       /* NULL: a step's own memory */
    unsigned char *memory;
    int64_t bytes;
    bool kept;                      /* filled before the run: input, parameter, state, constant, prepared weights */
    bool prepared;                  /* a step's prepared weights                                */
    bool guarded;                   /* guard_bytes before and after are the device's            */
};

/* A NULL pointer is taken from the device named by `inherits`; guard_bytes and share never are. */
struct device_ops {
    const char *name;               /* "cpu"                                             */
    const char *inherits;           /* who serves our NULL entries, or NULL              */
    sunup_status (*open)(sunup_context *ctx, struct device *d);
    void (*close)(struct device *d);
    const struct maker *const *makers; /* lists, best guess first; a list ends with name NULL, the lists with NULL */
    /* Arena memory: all intermediate values of a plan. Alignment >= 64. */
    sunup_status (*alloc)(struct device *d, int64_t bytes, void **memory);
    void (*free)(struct device *d, void *memory);
    /* Optional, before each run (regions: all memory of the plan, valid until the run ends) and around each step:
     * memcheck poisons what is dead and guards what is not written. */
    sunup_status (*begin)(struct device *d, const struct region *regions, int n);
    sunup_status (*before)(struct device *d, const struct step *s);
    sunup_status (*after)(struct device *d, const struct step *s);
    int64_t guard_bytes;            /* the planner leaves this much unused around every value; multiple of 64 */
    bool share;                     /* false: every value gets memory of its own        */
};

struct device {
    const struct device_ops *ops;   /* after inheritance: no required entry is NULL */
    sunup_context *ctx;
    const struct kernels *kernels;
    int threads;
    void *state;
};

/* The context's device, opened at the first call (options.device, SUNUP_DEVICE). Also sets up kernels. */
sunup_status sunup__device(sunup_context *ctx, struct device **device);
/* Leaves in force for the context. */
sunup_status sunup__kernels(sunup_context *ctx, const struct kernels **kernels);
/* Makers of the device and of those it inherits from that can do the node, in order; returns how many (<= room). */
int sunup__makers(const struct device *d, const struct node *n, const struct maker **list, int room);

#define DEVICE(name) extern const struct device_ops sunup__device_##name;
#include "device/devices.def"
#undef DEVICE

#endif
