/* leaves.h - calls of one element type's leaves; included with REAL, NAME and LEAVES defined, not guarded. */

static REAL *NAME(moment)(const struct optimizer *opt, int i, int64_t own)
{
    REAL *data = opt->moments[i].data;
    return data ? data + own : NULL;
}

/* Where the fast weights have made their steps, both meet between them. */
static void NAME(look_ahead)(const struct optimizer *opt, const struct chunk *c, REAL *w, REAL *slow)
{
    const struct NAME(leaves) *k = &opt->kernels->LEAVES;
    const double imm[2] = {LOOK_AHEAD_SHARE, 0};
    if ((opt->t + 1) % LOOK_AHEAD_STEPS != 0) return;
    k->pointwise(PW_sub, c->n, w, w, slow, NULL, imm);
    k->pointwise(PW_affine, c->n, w, w, NULL, NULL, imm);
    k->pointwise(PW_add, c->n, slow, slow, w, NULL, imm);
    memcpy(w, slow, (size_t)c->n * sizeof *w);
}

static void NAME(update)(const struct step_job *job, const struct update *u, const struct chunk *c)
{
    const struct optimizer *opt = job->opt;
    const struct NAME(leaves) *k = &opt->kernels->LEAVES;
    _Alignas(64) double room[CHUNK];
    const REAL *g = sunup__chunk_gradient(job, c, room);
    REAL *w = (REAL *)job->w + c->at;
    REAL *m0 = NAME(moment)(opt, 0, c->own), *m1 = NAME(moment)(opt, 1, c->own);
    REAL *m2 = NAME(moment)(opt, 2, c->own);
    switch (opt->type) {
    case OPT_SGD:
    case OPT_LARS:
        k->update_sgd(u, c->n, g, w, m0);
        break;
    case OPT_RANGER:
        if (u->first) memcpy(m2, w, (size_t)c->n * sizeof *w);
        k->update_adam(u, c->n, g, w, m0, m1);
        NAME(look_ahead)(opt, c, w, m2);
        break;
    case OPT_ADAM:
    case OPT_ADAMW:
    case OPT_RADAM:
        k->update_adam(u, c->n, g, w, m0, m1);
        break;
    case OPT_ADAMAX:
        k->update_adamax(u, c->n, g, w, m0, m1);
        break;
    case OPT_ADAGRAD:
        k->update_adagrad(u, c->n, g, w, m0);
        break;
    case OPT_RMSPROP:
        k->update_rmsprop(u, c->n, g, w, m0, m1, m2);
        break;
    case OPT_LAMB:
        k->lamb_direction(u, c->n, g, w, m0, m1, (REAL *)opt->direction + c->own);
        break;
    }
}
