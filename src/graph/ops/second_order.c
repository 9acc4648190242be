/* second_order.c - see second_order.h. */
#include "graph/ops/second_order.h"

#include "graph/ops/op.h"

enum { MOST = 3 };

/* Everything is differentiated by copies of n's operands, so that a path from one operand to
 * another outside of n does not count: that is the business of who called this rule. */
void sunup__second_order(const struct second_order *rule, struct node *n, sunup_value *const *g,
                         const bool *want, sunup_value **dx)
{
    sunup_value *in[MAX_IN] = {NULL}, *wrt[MOST] = {NULL}, *first[MOST], *second[MOST];
    int at[MOST] = {rule->dy, rule->operand[0], rule->operand[1]};
    for (int i = 0; i < n->n_in; ++i) in[i] = n->in[i];
    for (int k = 0; k < MOST; ++k)
        if (at[k] >= 0 && n->in[at[k]]) in[at[k]] = wrt[k] = sunup__alias(n->in[at[k]]);
    sunup_value *shift = n->n_out > 2 ? sunup__alias(sunup__zeros_like(n->out[2])) : NULL;
    sunup_value *y = rule->forward(n, in);
    if (shift) y = sunup_add(y, shift);
    for (int o = 0; o < n->n_out; ++o) {
        sunup_value *of = o == 2 ? shift : wrt[o + 1];
        if (!g[o] || !of) continue;
        sunup_gradient_from(y, wrt[0], 1, &of, &first[0]);
        for (int k = 0; k < MOST; ++k) {
            if (!wrt[k] || !want[at[k]]) continue;
            sunup_gradient_from(first[0], g[o], 1, &wrt[k], &second[k]);
            dx[at[k]] = sunup__plus(dx[at[k]], second[k]);
        }
    }
}
