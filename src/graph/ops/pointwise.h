/* pointwise.h - facts about pointwise codes, and the evaluation that single ops and fused chains
 * share. */
#ifndef SUNUP_GRAPH_POINTWISE_H
#define SUNUP_GRAPH_POINTWISE_H

#include "graph/graph.h"

int sunup__pointwise_operands(int code); /* 1, 2 or 3                         */
double sunup__pointwise_flops(int code); /* of one element                    */
const struct op *sunup__pointwise_op(int code);

/* Shape rule of ops whose operands broadcast against each other; sets every output. */
sunup_status sunup__broadcast_operands(struct node *n);
/* Evaluate a program on n's operands; see chain.c. */
int64_t sunup__chain_workspace(const struct node *n, const struct chain_attr *a, int threads);
sunup_status sunup__chain_run(const struct node *n, const struct chain_attr *a,
                              const struct exec *e);

#endif
