/* channel_norm.h - what batch norm and group norm share: normalisation of channels-last data by
 * statistics of groups of neighbouring channels. Batch norm is one sample of N * space rows with as
 * many groups as channels.
 *
 *   forward   in: x, gamma, beta (NULL: 1, 0)   out: y; mean, rstd [, biased var] of each group
 *   gradient  in: x, gamma, mean, rstd, dy      out: dx, dgamma, dbeta
 *
 * The plan takes batch norm, and group norm of one sample, apart (plan/expand.c): into passes that
 * only read, and
 *
 *   y = scale x + shift,     dx = a dy + (b x + d)
 *
 * with vectors of channels, which are pointwise work like any other. The passes are ops of their
 * own:
 *
 *   batch_norm_statistics  in: x, gamma, beta   out: scale, shift, mean, rstd, var
 *   batch_norm_sums        in: x, gamma, mean, rstd, operands   out: a, b, d, dgamma, dbeta, results
 */
#ifndef SUNUP_GRAPH_CHANNEL_NORM_H
#define SUNUP_GRAPH_CHANNEL_NORM_H

#include "graph/graph.h"

struct channel_norm_attr {
    int64_t samples, rows, c; /* x [samples][rows][c]; filled at shape inference */
    int64_t groups; /* c / groups neighbouring channels share statistics, in each sample */
    double eps;
};

/* dy is the result of a program (as of a chain) over operands that are like x, [c] or one number.
 * Its outputs are results, the first of them dy; without steps dy is the only operand. */
struct channel_sums_attr {
    struct channel_norm_attr norm; /* one sample */
    struct chain_attr before;
};
enum { SUMS_OPERANDS = 4, SUMS_RESULTS = 5 }; /* the first operand and result of the program */

/* gamma and beta, if there, are [c]; sets out 1.. to `statistics` and out 0 to x's shape. */
sunup_status sunup__channel_norm_infer(struct node *n, sunup_shape statistics);
sunup_status sunup__channel_norm_run(const struct node *n, const struct exec *e);
int64_t sunup__channel_norm_workspace(const struct node *n, int threads);
struct cost sunup__channel_norm_cost(const struct node *n);

sunup_status sunup__channel_norm_grad_infer(struct node *n);
sunup_status sunup__channel_norm_grad_run(const struct node *n, const struct exec *e);
int64_t sunup__channel_norm_grad_workspace(const struct node *n, int threads);
struct cost sunup__channel_norm_grad_cost(const struct node *n);

/* Gradient rule of the forward op, by the gradient op `back`. */
void sunup__channel_norm_grad(const struct op *back, struct node *n, sunup_value *dy,
                              const bool *want, sunup_value **dx);

#endif
