/* leaves.h - calls of one element type's leaves; included with REAL, NAME and LEAVES defined, not guarded. */

static REAL *NAME(moment)(const struct optimizer *opt, int i, int64_t at)
{
    REAL *data = opt->moments[i].data;
    return data ? data + at : NULL;
}

static void NAME(squares)(const struct step_job *job, struct chunk c, double *sum)
{
    job->opt->kernels->LEAVES.sum_squares(c.n, (const REAL *)job->x + c.at, sum);
}

static void NAME(update)(const struct step_job *job, const struct update *u, struct chunk c)
{
    const struct optimizer *opt = job->opt;
    const struct NAME(leaves) *k = &opt->kernels->LEAVES;
    const REAL *g = (const REAL *)job->g + c.at;
    REAL *w = (REAL *)job->w + c.at;
    REAL *m0 = NAME(moment)(opt, 0, c.at), *m1 = NAME(moment)(opt, 1, c.at);
    switch (opt->type) {
    case OPT_SGD:
    case OPT_LARS:
        k->update_sgd(u, c.n, g, w, m0);
        break;
    case OPT_ADAM:
    case OPT_ADAMW:
        k->update_adam(u, c.n, g, w, m0, m1);
        break;
    case OPT_ADAMAX:
        k->update_adamax(u, c.n, g, w, m0, m1);
        break;
    case OPT_RMSPROP:
        k->update_rmsprop(u, c.n, g, w, m0, m1, NAME(moment)(opt, 2, c.at));
        break;
    case OPT_LAMB:
        k->lamb_direction(u, c.n, g, w, m0, m1, (REAL *)opt->direction + c.at);
        break;
    }
}
