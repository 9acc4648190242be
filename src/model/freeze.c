/* freeze.c - which parameters are trained.
 *
 * Owes: frozen parameters lie behind the trained ones in the flat array, with the states, so that gradients, their
 * exchange, moments, norms and weight decay, which go over its beginning, know nothing of them.
 * Invariant: tensors keep their values and their order in files and hashes.
 * Cost: a copy of the weights where what is frozen changes, or where one trainer takes over from another.
 */
#include <string.h>

#include "base/system.h"
#include "base/words.h"
#include "model/model.h"
#include "tensor/tensor.h"

static sunup_status no_match(const sunup_model *m, const char *pattern)
{
    char hint[HINT_TEXT] = "";
    const char **names = sunup__alloc((size_t)m->n_parameters * sizeof *names);
    for (int i = 0; names && i < m->n_parameters; i++) names[i] = m->tensors[i].t.name;
    if (names) sunup__hint(hint, pattern, m->n_parameters, names);
    sunup__free(names);
    RAISE(m->ctx, E_ARGUMENT,
          "freeze: '%s' is the name of none of the network's %d parameters (such as '%s')%s; * "
          "stands for any letters",
          pattern, m->n_parameters, m->n_parameters > 0 ? m->tensors[0].t.name : "", hint);
}

static bool matches_any(const char *name, int n, const char *const *patterns)
{
    for (int k = 0; k < n; k++)
        if (sunup__matches(patterns[k], name)) return true;
    return false;
}

static sunup_status check(const sunup_model *m, int n, const char *const *patterns)
{
    int frozen = 0;
    for (int k = 0; k < n; k++) {
        int matched = 0;
        for (int i = 0; i < m->n_parameters; i++)
            matched += sunup__matches(patterns[k], m->tensors[i].t.name);
        if (matched == 0) return no_match(m, patterns[k]);
    }
    for (int i = 0; i < m->n_parameters; i++)
        frozen += matches_any(m->tensors[i].t.name, n, patterns);
    CHECK(n == 0 || frozen < m->n_parameters, m->ctx, E_ARGUMENT,
          "freeze leaves none of the network's %d parameters to train", m->n_parameters);
    return SUNUP_OK;
}

/* Each tensor from where it was to where it belongs. Several ranks may do this at once in memory that they share: so
 * each byte is written once, as it stays. */
static void rearrange(sunup_model *m, void *to)
{
    const int64_t width = sunup_dtype_bytes(m->dtype);
    for (int i = 0; i < m->n_parameters + m->n_states; i++) {
        const struct model_tensor *t = &m->tensors[i];
        const int64_t n = sunup__elements(&t->t.shape);
        memcpy((char *)to + t->at * width, t->t.data, (size_t)(n * width));
        memset((char *)to + (t->at + n) * width, 0, (size_t)((sunup__model_room(m, n) - n) * width));
    }
}

static void set_frozen(sunup_model *m, int n, const char *const *patterns)
{
    for (int i = 0; i < m->n_parameters; i++)
        m->tensors[i].frozen = matches_any(m->tensors[i].t.name, n, patterns);
    sunup__model_lay_out(m);
}

void sunup__model_take(sunup_model *m, int n, const char *const *patterns, void *memory)
{
    set_frozen(m, n, patterns);
    rearrange(m, memory);
    sunup__predictor_end(&m->predictor); /* it knows the old addresses */
    sunup__model_settle(m, memory);
}

sunup_status sunup__model_freeze(sunup_model *m, int n, const char *const *patterns)
{
    bool changes = false;
    TRY(check(m, n, patterns));
    for (int i = 0; i < m->n_parameters; i++)
        changes |= matches_any(m->tensors[i].t.name, n, patterns) != m->tensors[i].frozen;
    if (!changes) return SUNUP_OK;
    void *home = sunup__alloc_aligned((size_t)(m->n_flat * sunup_dtype_bytes(m->dtype)));
    CHECK(home, m->ctx, E_MEMORY, "no memory to rearrange %lld weights", (long long)m->n_flat);
    set_frozen(m, n, patterns);
    rearrange(m, home);
    sunup__predictor_end(&m->predictor); /* it knows the old addresses */
    sunup__free(m->home);
    m->home = home;
    sunup__model_settle(m, home);
    return SUNUP_OK;
}

uint64_t sunup__model_frozen(const sunup_model *m)
{
    uint64_t hash = 0;
    for (int i = 0; i < m->n_parameters; i++) {
        const struct model_tensor *t = &m->tensors[i];
        if (t->frozen) hash = sunup__hash(t->t.name, strlen(t->t.name) + 1, hash);
    }
    return hash;
}
