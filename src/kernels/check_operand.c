/* check_operand.c - operands of a check: values from the seed, guards, and comparison with the
 * reference.
 *
 * Invariant: f32 and f64 of an operand hold the same numbers before the run; guards hold their
 * pattern after it.
 */
#include "kernels/check_state.h"

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void sunup__check_fail(struct check *c, const char *format, ...)
{
    if (c->state->failure.s) return;
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    sunup__text(&c->state->failure, "%s", line);
}

/* ---- values ---- */

static float awkward(const uint32_t r[4])
{
    const float sign = r[1] & 1 ? -1.0F : 1.0F;
    switch (r[0] % 8) {
    case 0:
        return sign * 0.0F;
    case 1:
        return sign * 0x1p-149F * (float)(r[2] & 0x7fffffU);
    case 2:
        return sign;
    case 3:
        return sign * ldexpf(1.0F, (int)(r[2] % 21) - 10);
    case 4:
        return sign * 1e-30F * (float)(r[2] & 0xffffU);
    default:
        return ldexpf((float)(int32_t)r[2], -31);
    }
}

static float not_finite(uint32_t r)
{
    switch (r % 3) {
    case 0:
        return NAN;
    case 1:
        return INFINITY;
    default:
        return -INFINITY;
    }
}

/* About three elements of an operand are not finite in that
 * mood, so that most results stay numbers. */
static float value(enum fill fill, int mood, const uint32_t r[4], int64_t n)
{
    const float uniform = ldexpf((float)(r[2] >> 8), -24); /* [0, 1) */
    const bool special = mood == MOOD_NAN && (double)r[3] * 0x1p-32 * (double)n < 3;
    switch (fill) {
    case FILL_UNIT:
        return uniform;
    case FILL_ZERO:
        return 0.0F;
    case FILL_TIES:
        return special ? NAN : ((float)(r[0] % 5) - 2.0F) / 2;
    case FILL_POSITIVE:
        if (special) return NAN;
        return mood == MOOD_AWKWARD ? ldexpf(1 + uniform, (int)(r[0] % 21) - 10)
                                    : 0.125F + 2 * uniform;
    case FILL_ANY:
        if (special) return not_finite(r[0]);
        break;
    case FILL_FINITE:
        break;
    }
    return mood == MOOD_AWKWARD ? awkward(r) : 2 * uniform - 1;
}

static struct random_stream stream(const struct check *c)
{
    const uint64_t problem = sunup__hash(c->problem, strlen(c->problem), 0);
    return (struct random_stream){c->seed, RANDOM_TEST, (uint32_t)problem,
                                  (uint64_t)c->state->n_slots};
}

/* ---- memory ---- */

static bool at_end(const struct check *c)
{
    return c->seed / MOODS % 2 == 0;
}

/* A run that has no memory or too many operands cannot go on;
 * its pointers must be valid all the same. */
static struct check_slot *new_slot(struct check *c, const char *name, int64_t n, size_t element)
{
    struct check_state *s = c->state;
    if (s->n_slots == CHECK_OPERANDS) {
        sunup__check_fail(c, "more than %d operands", CHECK_OPERANDS);
        s->n_slots--;
    }
    struct check_slot *slot = &s->slots[s->n_slots++];
    *slot = (struct check_slot){.operand = {.name = name, .n = n}};
    const size_t bytes = (size_t)n * element;
    if (!s->bench) {
        if (!sunup__check_map(&slot->memory, bytes, at_end(c))) return NULL;
    } else {
        slot->memory.data = sunup__alloc_aligned(bytes);
    }
    return slot->memory.data ? slot : NULL;
}

static struct operand no_memory(struct check *c, const char *name, int64_t n)
{
    sunup__check_fail(c, "no memory for %s[%lld]", name, (long long)n);
    return (struct operand){.name = name};
}

static struct operand floats(struct check *c, const char *name, int64_t n, enum fill fill,
                             bool input)
{
    const struct random_stream random = stream(c);
    struct check_slot *slot = new_slot(c, name, n, sizeof(float));
    double *f64 = sunup__check_scratch(c, n);
    if (!slot || !f64) return no_memory(c, name, n);
    slot->input = input;
    slot->operand.f32 = (float *)(void *)slot->memory.data;
    slot->operand.f64 = f64;
    const int mood = c->state->bench ? MOOD_PLAIN : (int)(c->seed % MOODS);
    for (int64_t i = 0; i < n; i++) {
        uint32_t r[4];
        sunup__random4(&random, (uint64_t)i, r);
        slot->operand.f32[i] = value(fill, mood, r, n);
        f64[i] = (double)slot->operand.f32[i];
    }
    return slot->operand;
}

struct operand sunup__check_in(struct check *c, const char *name, int64_t n, enum fill fill)
{
    return floats(c, name, n, fill, true);
}

struct operand sunup__check_out(struct check *c, const char *name, int64_t n, enum fill fill)
{
    return floats(c, name, n, fill, false);
}

struct operand sunup__check_ints(struct check *c, const char *name, int64_t n, int64_t low,
                                 int64_t high)
{
    const struct random_stream random = stream(c);
    struct check_slot *slot = new_slot(c, name, n, sizeof(int32_t));
    int32_t *want = sunup__arena_alloc(&c->state->scratch, (size_t)n * sizeof(int32_t));
    if (!slot || !want) return no_memory(c, name, n);
    slot->input = true;
    slot->operand.i32 = (int32_t *)(void *)slot->memory.data;
    slot->operand.i32_want = want;
    const uint64_t range = high > low ? (uint64_t)(high - low) : 1;
    for (int64_t i = 0; i < n; i++) {
        want[i] = (int32_t)(low + (int64_t)sunup__random_below(&random, (uint64_t)i, range));
        slot->operand.i32[i] = want[i];
    }
    return slot->operand;
}

struct operand sunup__check_ints_out(struct check *c, const char *name, int64_t n)
{
    const struct operand o = sunup__check_ints(c, name, n, -7, -1);
    if (c->state->n_slots > 0) c->state->slots[c->state->n_slots - 1].input = false;
    return o;
}

double *sunup__check_scratch(struct check *c, int64_t n)
{
    return sunup__arena_alloc(&c->state->scratch, (size_t)n * sizeof(double));
}

double *sunup__check_absolute(struct check *c, const struct operand *x)
{
    double *y = sunup__check_scratch(c, x->n);
    for (int64_t i = 0; y && i < x->n; i++) y[i] = fabs(x->f64[i]);
    return y;
}

static bool same(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

static void verify(struct check *c, const struct check_slot *slot)
{
    const struct operand *o = &slot->operand;
    const unsigned char *hit = sunup__check_guard(&slot->memory);
    if (hit) {
        sunup__check_fail(c, "wrote outside %s[%lld], %lld bytes from its start", o->name,
                          (long long)o->n, (long long)(hit - slot->memory.data));
    }
    for (int64_t i = 0; slot->input && i < o->n; i++) {
        if (o->f32 ? same((double)o->f32[i], o->f64[i]) : o->i32[i] == o->i32_want[i]) continue;
        sunup__check_fail(c, "changed its input %s[%lld]", o->name, (long long)i);
        return;
    }
}

void sunup__check_end(struct check *c)
{
    struct check_state *s = c->state;
    for (int i = 0; i < s->n_slots; i++) {
        struct check_slot *slot = &s->slots[i];
        if (slot->memory.map_bytes == 0) {
            sunup__free(slot->memory.data);
            continue;
        }
        if (slot->memory.data) verify(c, slot);
        sunup__check_unmap(&slot->memory);
    }
    s->n_slots = 0;
    sunup__arena_end(&s->scratch);
}

/* ---- comparison ---- */

/* The error as a share of its bound; Inf: wrong. */
static double error_share(float got, double want, double size, double terms)
{
    if (isnan(want)) return isnan(got) ? 0 : INFINITY;
    if (isinf(want)) return (double)got == want ? 0 : INFINITY;
    if (terms <= 0) return got == (float)want ? 0 : INFINITY;
    if (!isfinite(size)) size = fabs(want);
    const double bound = terms * (0x1p-24 * size + 0x1p-149);
    if (!isfinite(got) && size + bound >= (double)FLT_MAX)
        return 0; /* the sum itself may overflow */
    if (!isfinite(got)) return INFINITY;
    return fabs((double)got - want) / bound;
}

static void compare(struct check *c, const char *name, int64_t i, float got, double want,
                    double size, double terms)
{
    const double share = error_share(got, want, size, terms);
    if (share > c->state->worst) c->state->worst = share;
    if (share <= 1) return;
    sunup__check_fail(
        c, "%s[%lld] is %.9g, reference %.17g, error %.3g times the bound (size %.3g, %g terms)",
        name, (long long)i, (double)got, want, share, size, terms);
}

void sunup__check_close(struct check *c, const struct operand *o, const double *size, double terms)
{
    for (int64_t i = 0; i < o->n; i++) {
        compare(c, o->name, i, o->f32[i], o->f64[i], size ? size[i] : fabs(o->f64[i]), terms);
    }
}

void sunup__check_value(struct check *c, const char *name, double got, double want, double size,
                        double terms)
{
    compare(c, name, 0, (float)got, want, size, terms);
}

void sunup__check_same_ints(struct check *c, const struct operand *o)
{
    for (int64_t i = 0; i < o->n; i++) {
        if (o->i32[i] == o->i32_want[i]) continue;
        sunup__check_fail(c, "%s[%lld] is %d, reference %d", o->name, (long long)i, o->i32[i],
                          o->i32_want[i]);
        return;
    }
}
