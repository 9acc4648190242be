/* import_problem.c - a problem of benchdnn in the language of sunup's benchmarks, so that both
 * stand on one axis.
 *
 *   --conv --dir=FWD_I mb16ic64ih56oc64oh56kh3ph1n"conv2"   conv:n16h56w56c64k64r3s3:pad1x1:to56x56:f32
 *   --ip --dir=FWD_D mb512ic1000oc10                        linear:m512n10k1000:f32
 *   --matmul --wtag=ba 64x300:300x48                        matmul:m64n48k300:tb:f32
 *
 * Only where the two are the same problem: f32, no attributes, no post-operations, directions that
 * are one op here. Everything else keeps benchdnn's own words. Missing sizes are those that
 * benchdnn fills in: w as h, h as d; stride 1; padding from the output's size or 0. Texts are those
 * of plan/problem.c, to the letter.
 */
#include <ctype.h>
#include <stdio.h>

#include "track/import_read.h"

enum { D, H, W, AXES };
enum direction { WITH_BIAS, FORWARD, DATA, WEIGHTS };

struct options {
    struct slice driver, problem; /* n 0: none */
    enum direction direction;
    bool ta, tb;
};

/* ------------------------------------------------------------------------- options --- */

static bool value_of(struct slice word, const char *name, struct slice *value)
{
    if (!sunup__slice_begins(word, name)) return false;
    *value = sunup__slice_after(word, word.s + strlen(name));
    return true;
}

static bool is_any_of(struct slice s, const char *const *words)
{
    for (; *words != NULL; words++)
        if (sunup__slice_is(s, *words)) return true;
    return false;
}

static bool read_direction(struct slice v, struct options *o)
{
    static const char *const words[] = {"FWD_B", "FWD_D", "FWD_I", "BWD_D", "BWD_W"};
    static const enum direction meaning[] = {WITH_BIAS, FORWARD, FORWARD, DATA, WEIGHTS};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (!sunup__slice_is(v, words[i])) continue;
        o->direction = meaning[i];
        return true;
    }
    return false;
}

/* How a matrix lies: rows first, or columns first. */
static bool read_layout(struct slice v, bool *transposed)
{
    static const char *const plain[] = {"ab", "abc", "abx", "any", NULL}, *const turned[] = {"ba", "acb",
                                                                                             NULL};
    *transposed = is_any_of(v, turned);
    return *transposed || is_any_of(v, plain);
}

/* false: an option that may change what is computed, or is unknown. */
static bool read_option(struct slice word, struct options *o)
{
    static const char *const drivers[] = {"--conv", "--ip", "--matmul", NULL};
    static const char *const harmless[] = {
        "--mode=",  "--mode-modifier=", "--max-ms-per-prb=",       "--fix-times-per-prb=",
        "--engine", "--reset",          "--allow-enum-tags-only=", "--dtag="};
    struct slice v;
    const bool matmul = sunup__slice_is(o->driver, "--matmul");
    if (is_any_of(word, drivers)) {
        o->driver = word;
        return true;
    }
    if (value_of(word, "--dir=", &v)) return read_direction(v, o);
    if (value_of(word, "--dt=", &v) || value_of(word, "--cfg=", &v))
        return sunup__slice_is(v, "f32") || sunup__slice_is(v, "f32:f32:f32");
    if (value_of(word, "--stag=", &v)) return !matmul || read_layout(v, &o->ta);
    if (value_of(word, "--wtag=", &v)) return !matmul || read_layout(v, &o->tb);
    for (size_t i = 0; i < sizeof harmless / sizeof harmless[0]; i++)
        if (sunup__slice_begins(word, harmless[i])) return true;
    return false;
}

static bool read_options(struct slice text, struct options *o)
{
    for (struct slice word; (word = sunup__slice_word(&text)).n > 0;) {
        const bool option = sunup__slice_begins(word, "--");
        if (option && !read_option(word, o)) return false;
        if (option) continue;
        if (o->problem.n > 0) return false;
        o->problem = word;
    }
    return o->driver.n > 0 && o->problem.n > 0;
}

/* --------------------------------------------------------------------------- sizes --- */

struct sizes { /* -1: not given */
    long long g, mb, ic, oc;
    long long i[AXES], o[AXES], k[AXES], s[AXES], p[AXES], d[AXES];
};

/* A whole number of at most nine digits; -1: none. */
static long long read_whole(struct slice *s)
{
    long long x = 0;
    size_t n = 0;
    for (; n < s->n && n < 10 && isdigit((unsigned char)s->s[n]); n++) x = 10 * x + (s->s[n] - '0');
    *s = sunup__slice_after(*s, s->s + n);
    return n > 0 && n < 10 ? x : -1;
}

static long long *size_at(struct sizes *z, struct slice *s)
{
    static const char kinds[] = "ioksp", axes[] = "dhw";
    long long *const of[] = {z->i, z->o, z->k, z->s, z->p};
    const char first = s->n > 0 ? s->s[0] : '\0', second = s->n > 1 ? s->s[1] : '\0';
    long long *at = NULL;
    size_t letters = 2;
    const char *axis = second != '\0' ? strchr(axes, second) : NULL;
    const char *kind = first != '\0' ? strchr(kinds, first) : NULL;
    if (sunup__slice_begins(*s, "mb"))
        at = &z->mb;
    else if (sunup__slice_begins(*s, "ic"))
        at = &z->ic;
    else if (sunup__slice_begins(*s, "oc"))
        at = &z->oc;
    else if (axis != NULL && kind != NULL)
        at = &of[kind - kinds][axis - axes];
    else if (axis != NULL && first == 'd')
        at = &z->d[axis - axes];
    else if (first == 'g')
        at = &z->g, letters = 1;
    if (at != NULL) *s = sunup__slice_after(*s, s->s + letters);
    return at;
}

static bool read_sizes(struct slice s, struct sizes *z)
{
    memset(z, 0xff, sizeof *z); /* -1 */
    while (s.n > 0 && s.s[0] != 'n') {
        if (s.s[0] == '_') {
            s = sunup__slice_after(s, s.s + 1);
            continue;
        }
        long long *at = size_at(z, &s);
        if (at == NULL || (*at = read_whole(&s)) < 0) return false;
    }
    if (z->g < 0) z->g = 1;
    return z->mb > 0 && z->ic > 0 && z->oc > 0;
}

static void copy_axis(struct sizes *z, int to, int from)
{
    long long *const of[] = {z->i, z->o, z->k, z->s, z->p, z->d};
    for (size_t i = 0; i < sizeof of / sizeof of[0]; i++) of[i][to] = of[i][from];
}

/* What is not given, of one axis that is in use. */
static bool complete_axis(struct sizes *z, int a)
{
    if (z->i[a] < 1 || z->k[a] < 1) return false;
    if (z->s[a] < 1) z->s[a] = 1;
    if (z->d[a] < 0) z->d[a] = 0;
    const long long reach = (z->k[a] - 1) * (z->d[a] + 1) + 1;
    if (z->p[a] < 0 && z->o[a] > 0) z->p[a] = ((z->o[a] - 1) * z->s[a] - z->i[a] + reach) / 2;
    if (z->p[a] < 0) z->p[a] = 0;
    if (z->o[a] < 1) z->o[a] = (z->i[a] - reach + 2 * z->p[a]) / z->s[a] + 1;
    return z->o[a] >= 1;
}

/* How many space axes there are; 0: something is missing. */
static int complete(struct sizes *z)
{
    const int first = z->i[D] > 0 ? D : z->i[H] > 0 ? H : W;
    for (int a = first + 1; a < AXES; a++)
        if (z->i[a] < 0) copy_axis(z, a, a - 1);
    for (int a = first; a < AXES; a++)
        if (!complete_axis(z, a)) return 0;
    return AXES - first;
}

/* --------------------------------------------------------------------------- texts --- */

static void put_axes(struct text *t, const char *letters, const long long x[AXES], int space)
{
    for (int a = AXES - space; a < AXES; a++) sunup__text(t, "%c%lld", letters[a], x[a]);
}

static void put_each(struct text *t, const char *word, const long long x[AXES], int space, long long add)
{
    for (int a = AXES - space; a < AXES; a++)
        sunup__text(t, "%s%lld", a == AXES - space ? word : "x", x[a] + add);
}

static bool all(const long long x[AXES], int space, long long value)
{
    for (int a = AXES - space; a < AXES; a++)
        if (x[a] != value) return false;
    return true;
}

static bool put_conv(struct text *t, const struct options *o)
{
    static const char *const ops[] = {"conv", "conv", "conv_data_grad", "conv_weight_grad"};
    struct sizes z;
    const int space = read_sizes(o->problem, &z) ? complete(&z) : 0;
    if (space == 0 || z.g < 1) return false;
    bool plain = true;
    for (int a = AXES - space; a < AXES; a++) plain = plain && z.o[a] == z.i[a] - (z.d[a] + 1) * (z.k[a] - 1);
    sunup__text(t, "%s:n%lld", ops[o->direction], z.mb);
    put_axes(t, "dhw", z.i, space);
    sunup__text(t, "c%lldk%lld", z.ic, z.oc);
    put_axes(t, "trs", z.k, space);
    if (!all(z.s, space, 1)) put_each(t, ":stride", z.s, space, 0);
    if (!all(z.d, space, 0)) put_each(t, ":dilation", z.d, space, 1);
    if (!all(z.p, space, 0)) put_each(t, ":pad", z.p, space, 0);
    if (!plain) put_each(t, ":to", z.o, space, 0);
    if (z.g > 1) sunup__text(t, ":groups%lld", z.g);
    if (o->direction == WITH_BIAS) sunup__text(t, ":bias");
    return true;
}

/* y = x w, dx = dy w', dw = x' dy: as `sunup bench kernel linear+grads` writes them. */
static bool put_linear(struct text *t, const struct options *o)
{
    struct sizes z;
    if (!read_sizes(o->problem, &z)) return false;
    double k = (double)z.ic;
    for (int a = 0; a < AXES; a++) k *= z.i[a] > 0 ? (double)z.i[a] : 1;
    if (k > 1e12 || (z.i[H] > 0 && z.i[W] < 0)) return false; /* benchdnn would fill in w */
    const long long m = z.mb, n = z.oc, in = (long long)k;
    if (o->direction == DATA)
        sunup__text(t, "matmul:m%lldn%lldk%lld:tb", m, in, n);
    else if (o->direction == WEIGHTS)
        sunup__text(t, "matmul:m%lldn%lldk%lld:ta", in, n, m);
    else
        sunup__text(t, "linear:m%lldn%lldk%lld%s", m, n, in, o->direction == WITH_BIAS ? ":bias" : "");
    return true;
}

/* "2x64x300" of one matrix: sizes from the last one back; *n of them, at most 3. */
static bool read_matrix(struct slice *s, long long x[3], int *n)
{
    for (*n = 0; *n < 3;) {
        if ((x[(*n)++] = read_whole(s)) < 1) return false;
        if (s->n == 0 || s->s[0] != 'x') break;
        *s = sunup__slice_after(*s, s->s + 1);
    }
    return *n >= 2 && (s->n == 0 || s->s[0] == ':' || s->s[0] == 'n');
}

static bool put_matmul(struct text *t, const struct options *o)
{
    struct slice s = o->problem;
    long long a[3], b[3];
    int na, nb;
    if (!read_matrix(&s, a, &na) || s.n == 0 || s.s[0] != ':') return false;
    s = sunup__slice_after(s, s.s + 1);
    if (!read_matrix(&s, b, &nb) || na != nb || a[na - 1] != b[nb - 2]) return false;
    const long long batch = na == 2 ? 1 : a[0] > b[0] ? a[0] : b[0];
    if (na == 3 && ((a[0] != batch && a[0] != 1) || (b[0] != batch && b[0] != 1))) return false;
    const bool one_a = batch != 1 && a[0] == 1, one_b = batch != 1 && b[0] == 1;
    if (one_b && (one_a || o->ta || a[1] > (1LL << 40) / batch)) return false;
    const long long rows = a[na - 2] * (one_b ? batch : 1); /* one b for all: more rows, no batch */
    sunup__text(t, "matmul:m%lldn%lldk%lld", rows, b[nb - 1], a[na - 1]);
    if (batch != 1 && !one_b) sunup__text(t, ":batch%lld", batch);
    sunup__text(t, "%s%s%s", one_a ? ":one_a" : "", o->ta ? ":ta" : "", o->tb ? ":tb" : "");
    return true;
}

static bool put_problem(struct text *t, const struct options *o)
{
    if (sunup__slice_is(o->driver, "--conv")) return put_conv(t, o);
    return sunup__slice_is(o->driver, "--ip") ? put_linear(t, o) : put_matmul(t, o);
}

sunup_status sunup__import_benchdnn_name(struct import *im, struct slice problem, const char **name)
{
    struct text t = {0};
    struct options o = {.direction = WITH_BIAS};
    if (!read_options(problem, &o) || !put_problem(&t, &o))
        return sunup__import_intern(im, problem.s, problem.n, name);
    sunup__text(&t, ":f32");
    const sunup_status status = sunup__import_intern(im, t.s, t.n, name);
    sunup__free(t.s);
    return status;
}
