/* rectified.c - radam: adam whose step is held back while its second moment is of few gradients.
 *
 *   rho   = rho_inf - 2 t beta2^t / (1 - beta2^t),   rho_inf = 2 / (1 - beta2) - 1
 *   rho > 5:  w -= lr r m^ sqrt(1 - beta2^t) / (sqrt(v) + eps),
 *             r = sqrt((rho - 4) (rho - 2) rho_inf / ((rho_inf - 4) (rho_inf - 2) rho))
 *   else:     w -= lr m^
 *
 * Adam's leaf computes both, with other constants: eps divided by sqrt(1 - beta2^t) for the first, an infinite
 * correction of v and eps = 1 for the second. ranger adds lookahead (leaves.h): every 6 updates
 * slow += 0.5 (w - slow), w = slow; slow begins as the first weights.
 * Source: Liu et al., "On the variance of the adaptive learning rate and beyond" (ICLR 2020), algorithm 2, with
 * torch.optim.RAdam's bound of 5; Zhang et al., "Lookahead optimizer: k steps forward, 1 step back" (NeurIPS 2019),
 * algorithm 1; together they are Wright's Ranger (2019).
 */
#include <math.h>

#include "optim/optimizer.h"

void sunup__rectify(struct update *u, int64_t t)
{
    const double most = 2 / (1 - u->beta2) - 1;
    const double rho = most - 2 * (double)t * pow(u->beta2, (double)t) / u->correction2;
    if (rho > 5) {
        u->lr *= sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho));
        u->eps /= sqrt(u->correction2);
    } else {
        u->correction2 = INFINITY;
        u->eps = 1;
    }
}
