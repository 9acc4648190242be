/* ops_check.h - the check of ops: `sunup check ops`, `sunup check conv:<case>`.
 *
 * Every op with a gradient rule must have cases (op.cases), else its check fails. For each case, at
 * each level:
 *
 *   gradient   the adjoint identity <J v, u> = <v, J'u> in f64, for each floating operand and two
 *              random directions v; J v by central differences with step h, J'u by the gradient
 *              graph. They may differ by (64 eps/h + 1000 h^2) times the sum of the absolute terms
 *              of both sides: rounding of the differences plus their truncation, for ops whose
 *              third derivative is up to some thousand times their value.
 *   precision  f32 against f64 on the same numbers, output and gradients:
 *              |error| <= 2 u (max |y| + sqrt(n) r), where r is the largest response of y, in root
 *              mean square, to random relative changes of all n operand elements, divided by their
 *              size: the probabilistic bound of Higham and Mary (SIAM J. Sci. Comput. 41, 2019) for
 *              a backward stable evaluation. Integer outputs must be equal.
 *   threads    1, 2 and 3 threads give the same bits, in f32 and f64.
 *
 * All of it runs on the interpreter, so writing past buffers, reading scratch that was not written,
 * and needing an output that nobody reads are found as well.
 */
#ifndef SUNUP_GRAPH_OPS_CHECK_H
#define SUNUP_GRAPH_OPS_CHECK_H

#include "graph/graph.h"
#include "kernels/check.h"

/* filter: NULL all ops, "conv" one op, "conv:..." one case. report->isa NULL: "ref" and the
 * context's level; seeds 0: 1. Results name the op as `leaf`. E_ARGUMENT: no such op, case or
 * level. An op that fails its check is no error of the call: see report->failures. */
sunup_status sunup__ops_check(sunup_context *ctx, const char *filter, struct check_report *report);
/* One op, in ops.def or not: all cases, or the one of that name; adds to the report. */
void sunup__op_check(sunup_context *ctx, const struct op *op, const char *problem,
                     const struct kernels *kernels, struct check_report *report);

#endif
