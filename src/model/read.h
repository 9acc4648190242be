/* read.h - what the parts of the model file's reader share: read_value.c (one YAML node: type, place, number),
 * read_layers.c (the list of layers: names, inputs, repeats) and read.c (the document around it).
 */
#ifndef SUNUP_MODEL_READ_H
#define SUNUP_MODEL_READ_H

#include "base/yaml.h"
#include "model/description.h"

enum {
#define KEY(name, type, least)
#define LAYER(kind, inputs, keys) KIND_##kind,
#include "model/layers.def"
#undef KEY
#undef LAYER
    KINDS
};
enum { MAX_INPUTS = 64 }; /* of a layer, and of the network */

struct reader {
    sunup_context *ctx;
    struct description *d;
    int room;           /* values for which there is memory     */
    const char **names; /* of all values, [n_inputs + n_layers] */
    bool *used;         /* [as names] some layer reads it       */
};

/* A list of layers under way: the whole network, or one round of a repeat. */
struct scope {
    const struct scope *outer;
    const char *prefix; /* of the names made here: "" or "block.2." */
    int entry;          /* the value that `in` means here; -1: none */
    int previous;       /* the value that the next layer reads; -1: none */
    int depth;
    const char *borrower; /* names from here on with this prefix share the weights of */
    const char *owner;    /* those with this one instead; NULL: they have their own   */
    int numbers[KINDS + 1]; /* automatic names used, by kind; the last: repeats */
};

/* A name: letters, digits, "_", "-", "."; copied. */
sunup_status sunup__read_name(const struct reader *r, const struct yaml *y, const char **name);
/* An attribute's value by its key's type. */
sunup_status sunup__read_attribute(const struct reader *r, const struct yaml *y, enum key key,
                                   struct attribute *a);
/* One integer >= least; integers, as a list or alone. */
sunup_status sunup__read_whole(const struct reader *r, const struct yaml *y, const char *what,
                               double least, double *v);
sunup_status sunup__read_wholes(const struct reader *r, const struct yaml *y, const char *what,
                                double least, struct attribute *a);
const char *sunup__key_name(enum key key);

/* read_layers.c: appends a list of layers to the description, after scope->previous, which moves on. */
sunup_status sunup__read_list(struct reader *r, struct scope *s, const struct yaml *list);
/* Room for one more value. */
sunup_status sunup__read_grow(struct reader *r);
sunup_status sunup__read_new_name(const struct reader *r, const struct yaml *at, const char *name);
/* Number of the value that a node names. */
sunup_status sunup__read_input_name(const struct reader *r, const struct scope *s, const struct yaml *y,
                                    int *value);
int sunup__read_values(const struct reader *r);

#endif
