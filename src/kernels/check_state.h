/* check_state.h - what the files of the check framework share; leaves' checks see check.h only. */
#ifndef SUNUP_KERNELS_CHECK_STATE_H
#define SUNUP_KERNELS_CHECK_STATE_H

#include "base/memory.h"
#include "kernels/check.h"

enum { CHECK_TOKENS = 32, CHECK_OPERANDS = 24, CHECK_SAMPLES = 512, CHECK_KEY = 24 };

struct check_token { /* "k300" of a problem */
    char key[CHECK_KEY];
    int64_t number;
    bool used;
};

/* Memory of an operand: `data` lies at one end of pages,
 * between two pages that cannot be touched. */
struct check_memory {
    unsigned char *map, *data;
    size_t map_bytes, data_bytes; /* map_bytes 0: plain allocation (bench) */
};
enum { MOOD_PLAIN, MOOD_AWKWARD, MOOD_NAN, MOODS };

struct check_slot {
    struct operand operand;
    struct check_memory memory;
    bool input;
};

struct check_state {
    struct check_token tokens[CHECK_TOKENS];
    int n_tokens;
    struct check_slot slots[CHECK_OPERANDS];
    int n_slots;
    struct arena scratch;
    struct text failure;
    double worst;
    bool bench, started;
    /* bench */
    double flops, bytes, until_s, block_from_s;
    double sample_s[CHECK_SAMPLES];
    int64_t samples, block, left, calls;
};

/* check_operand.c */
void sunup__check_end(struct check *c); /* verifies guards and inputs, frees */
bool sunup__check_map(struct check_memory *m, size_t bytes, bool at_end); /* check_guard.c */
void sunup__check_unmap(struct check_memory *m);
/* First guard byte that was written, or NULL. */
const unsigned char *sunup__check_guard(const struct check_memory *m);
/* Runs fn(c); NULL, or the name of the signal that ended it. */
const char *sunup__check_guarded(void (*fn)(struct check *c), struct check *c);
/* check.c: keys and numbers of c->problem; one problem at all
 * seeds of the report, which is told the result. */
sunup_status sunup__check_parse(sunup_context *ctx, struct check *c);
void sunup__check_keys(struct check *c); /* fails if one was not asked for */
sunup_status sunup__check_problem(sunup_context *ctx, const struct leaf_check *leaf,
                                  const char *problem, const struct kernels *kernels,
                                  struct check_report *report);

#endif
