/* ops_resize.c - Resize and Upsample: each axis is a linear map of its own, of weights that are
 * known.
 *
 * A nearest neighbour is a row that is picked; linear and cubic ways are a product with a matrix
 * [in, out], except that space axes made finer by whole numbers with half_pixel go through
 * upsample. Weights follow the operator's reference: coordinate of y in x, its neighbours, those
 * outside either left out (exclude_outside) or the border's. Source: the description of Resize,
 * github.com/onnx/onnx/blob/main/docs/Operators.md; Keys (1981) for the cubic.
 */
#include <math.h>
#include <string.h>

#include "model/onnx/ops.h"

enum { MOST = 1 << 22 }; /* numbers of an axis' matrix */

struct resize {
    const char *mode, *coordinate, *nearest;
    double cubic;
    bool exclude, antialias;
};

/* One axis: lengths, how many of y are one of x, and (tf_crop_and_resize) the part of x. */
struct line {
    int64_t in, out;
    double scale, from, to;
};

static double raw_coordinate(const struct resize *r, const struct line *l, double y)
{
    const double in = (double)l->in, out = (double)l->out, half = (y + 0.5) / l->scale - 0.5;
    if (strcmp(r->coordinate, "asymmetric") == 0) return y / l->scale;
    if (strcmp(r->coordinate, "align_corners") == 0)
        return out > 1 ? y * (in - 1) / (l->scale * in - 1) : 0;
    if (strcmp(r->coordinate, "pytorch_half_pixel") == 0) return out > 1 ? half : -0.5;
    if (strcmp(r->coordinate, "half_pixel_symmetric") == 0)
        return in / 2 * (1 - out / (l->scale * in)) + half;
    if (strcmp(r->coordinate, "tf_crop_and_resize") == 0)
        return out > 1 ? l->from * (in - 1) + y * (l->to - l->from) * (in - 1) / (out - 1)
                       : 0.5 * (l->from + l->to) * (in - 1);
    return half;
}

/* Whatever the file says, a number not far from the axis. */
static double coordinate(const struct resize *r, const struct line *l, double y)
{
    const double x = raw_coordinate(r, l, y), far = 4 * (double)l->in + 4;
    return isnan(x) ? 0 : fmin(fmax(x, -far), far);
}

static int64_t neighbour(const struct resize *r, double x)
{
    const double low = floor(x), rest = x - low;
    if (strcmp(r->nearest, "floor") == 0) return (int64_t)low;
    if (strcmp(r->nearest, "ceil") == 0) return (int64_t)ceil(x);
    if (strcmp(r->nearest, "round_prefer_ceil") == 0) return (int64_t)(rest >= 0.5 ? low + 1 : low);
    return (int64_t)(rest > 0.5 ? low + 1 : low);
}

static double kernel(const struct resize *r, double d)
{
    const double a = r->cubic;
    d = fabs(d);
    if (strcmp(r->mode, "linear") == 0) return d < 1 ? 1 - d : 0;
    if (d <= 1) return (a + 2) * d * d * d - (a + 3) * d * d + 1;
    return d < 2 ? a * d * d * d - 5 * a * d * d + 8 * a * d - 4 * a : 0;
}

/* Column j of w [in, out]: weights of the neighbours of y's element j, which sum to one. */
static void column(const struct resize *r, const struct line *l, int64_t j, double *w)
{
    const double x = coordinate(r, l, (double)j);
    const double wide = r->antialias && l->scale < 1 ? 1 / l->scale : 1;
    const int64_t reach = (int64_t)ceil((strcmp(r->mode, "linear") == 0 ? 1 : 2) * wide);
    double sum = 0;
    for (int64_t k = (int64_t)floor(x) - reach; k <= (int64_t)floor(x) + reach + 1; k++) {
        const double v = kernel(r, ((double)k - x) / wide);
        const bool outside = k < 0 || k >= l->in;
        if (outside && r->exclude) continue;
        w[(k < 0 ? 0 : k >= l->in ? l->in - 1 : k) * l->out + j] += v;
        sum += v;
    }
    for (int64_t k = 0; k < l->in && sum != 0; k++) w[k * l->out + j] /= sum;
}

static sunup_value *by_matrix(struct onnx_call *c, const struct resize *r, const struct line *l,
                              sunup_value *x, int axis)
{
    const int n = sunup_value_shape(x).n;
    double *w = l->in <= MOST / l->out
                    ? sunup__arena_alloc(c->b->arena, (size_t)(l->in * l->out + 1) * sizeof *w)
                    : NULL;
    if (!w) {
        FAIL(c, E_UNSUPPORTED, "an axis of %lld to %lld", (long long)l->in, (long long)l->out);
        return c->b->g->poison;
    }
    for (int64_t j = 0; j < l->out; j++) column(r, l, j, w);
    int swap[SUNUP_MAX_DIMS];
    for (int i = 0; i < n; i++) swap[i] = i == axis ? n - 1 : i == n - 1 ? axis : i;
    sunup_value *m = sunup_constant(c->b->g, SUNUP_F64, SUNUP_SHAPE(l->in, l->out), w);
    m = sunup_cast(m, sunup_value_dtype(x));
    return sunup__onnx_permute(sunup_linear(sunup__onnx_permute(x, swap), m, NULL), swap);
}

static sunup_value *by_rows(struct onnx_call *c, const struct resize *r, const struct line *l,
                            sunup_value *x, int axis)
{
    int64_t *rows = sunup__arena_alloc(c->b->arena, (size_t)(l->out + 1) * sizeof *rows);
    if (!rows || l->out > INT32_MAX) return c->b->g->poison;
    for (int64_t j = 0; j < l->out; j++) {
        const int64_t k = neighbour(r, coordinate(r, l, (double)j));
        rows[j] = k < 0 ? 0 : k >= l->in ? l->in - 1 : k;
    }
    return sunup__onnx_take(c, x, axis, (int)l->out, rows);
}

/* Numbers of operand i or of the attribute; -1: neither. */
static int reals(struct onnx_call *c, const char *name, int i, double *v)
{
    const struct onnx_tensor *t = sunup__onnx_in(c, i);
    const Onnx__AttributeProto *a = sunup__onnx_attribute(c, name);
    const int64_t n = t ? sunup__elements(&t->shape) : a ? (int64_t)a->n_floats : 0;
    if (n == 0) return -1;
    if (n > 2 * SUNUP_MAX_DIMS || (t && !t->known)) {
        FAIL(c, E_UNSUPPORTED, "%s must be known and few", name);
        return -1;
    }
    for (int64_t k = 0; k < n; k++) v[k] = t ? t->known[k] : (double)a->floats[k];
    return (int)n;
}

/* Which axes are given, and scales of all of them; false: a mistake. */
static bool find_scales(struct onnx_call *c, const sunup_shape *x, struct line *lines)
{
    const bool old = strcmp(c->node->op->name, "Upsample") == 0;
    double scale[2 * SUNUP_MAX_DIMS], part[2 * SUNUP_MAX_DIMS];
    int64_t axes[SUNUP_MAX_DIMS], sizes[SUNUP_MAX_DIMS];
    int given = sunup__onnx_ints(c, "axes", SUNUP_MAX_DIMS, axes);
    const int crop = old ? -1 : reals(c, "roi", 1, part);
    const int scales = reals(c, "scales", old ? 1 : 2, scale);
    const int lengths = old || scales > 0 ? -1 : sunup__onnx_whole(c, 3, SUNUP_MAX_DIMS, sizes);
    for (int i = 0; i < x->n && given < 0; i++) axes[i] = i;
    given = given < 0 ? x->n : given;
    const char *policy = sunup__onnx_text(c, "keep_aspect_ratio_policy", "stretch");
    if (scales != given && lengths != given) {
        FAIL(c, E_FORMAT, "%d scales and %d sizes for %d axes", scales, lengths, given);
        return false;
    }
    double all = 0; /* one scale for all axes, if the ratio is kept */
    for (int i = 0; i < given && lengths > 0; i++) {
        const int axis = sunup__onnx_axis(c, axes[i], x->n);
        if (axis < 0) return false;
        const double s = (double)sizes[i] / (double)x->d[axis];
        const bool less = strcmp(policy, "not_larger") == 0;
        all = i == 0 || (less ? s < all : s > all) ? s : all;
    }
    for (int i = 0; i < x->n; i++) lines[i] = (struct line){x->d[i], x->d[i], 1, 0, 1};
    for (int i = 0; i < given; i++) {
        const int axis = sunup__onnx_axis(c, axes[i], x->n);
        if (axis < 0) return false;
        struct line *l = &lines[axis];
        const bool keep = strcmp(policy, "stretch") != 0;
        const double in = (double)l->in;
        if (crop == 2 * given) {
            l->from = part[i];
            l->to = part[given + i];
        }
        l->scale = scales > 0 ? scale[i] : keep ? all : (double)sizes[i] / in;
        const double cut = strcmp(sunup__onnx_text(c, "coordinate_transformation_mode", ""),
                                  "tf_crop_and_resize") == 0
                               ? l->to - l->from
                               : 1;
        const double out = scales > 0 ? floor(in * cut * scale[i])
                           : keep     ? floor(all * in + 0.5)
                                      : (double)sizes[i];
        if (!(out >= 1 && out < (1 << 24)) || l->in < 1 || !(l->scale > 0)) {
            FAIL(c, E_SHAPE, "an axis of %lld to %g", (long long)l->in, out);
            return false;
        }
        l->out = (int64_t)out;
    }
    return true;
}

/* Whole factors in space only, half_pixel: one op. NULL: it is not that. */
static sunup_value *finer(struct onnx_call *c, const struct resize *r, struct onnx_tensor *t,
                          const struct line *l)
{
    const bool linear = strcmp(r->mode, "linear") == 0, near = strcmp(r->mode, "nearest") == 0;
    const bool half = strstr(r->coordinate, "half_pixel") && !strstr(r->coordinate, "symmetric");
    const bool floored =
        strcmp(r->coordinate, "asymmetric") == 0 && strcmp(r->nearest, "floor") == 0;
    const bool rounded = half && strncmp(r->nearest, "round", 5) == 0;
    int64_t factor[3];
    bool good =
        t->shape.n > 2 && t->shape.n < 6 && ((linear && half) || (near && (floored || rounded)));
    for (int i = 0; i < t->shape.n && good; i++) {
        good = l[i].out % l[i].in == 0 && l[i].scale * (double)l[i].in == (double)l[i].out &&
               (i > 1 || l[i].scale == 1) &&
               !(strcmp(r->coordinate, "pytorch_half_pixel") == 0 && l[i].out == 1 && i > 1);
        if (i > 1) factor[i - 2] = l[i].out / l[i].in;
    }
    return good ? sunup_upsample(sunup__onnx_last(c->b, t), factor,
                                 linear ? SUNUP_LINEAR : SUNUP_NEAREST)
                : NULL;
}

void sunup__onnx_resize(struct onnx_call *c)
{
    struct onnx_tensor *t = sunup__onnx_need(c, 0);
    struct line lines[SUNUP_MAX_DIMS];
    const bool old = strcmp(c->node->op->name, "Upsample") == 0;
    struct resize r = {
        .mode = sunup__onnx_text(c, "mode", "nearest"),
        .coordinate = sunup__onnx_text(c, "coordinate_transformation_mode",
                                       old ? "asymmetric" : "half_pixel"),
        .nearest = sunup__onnx_text(c, "nearest_mode", old ? "floor" : "round_prefer_floor"),
        .cubic = sunup__onnx_float(c, "cubic_coeff_a", -0.75),
        .exclude = sunup__onnx_int(c, "exclude_outside", 0) != 0,
        .antialias = sunup__onnx_int(c, "antialias", 0) != 0};
    if (strcmp(r.mode, "bilinear") == 0) r.mode = "linear";
    if (!t || !find_scales(c, &t->shape, lines)) return;
    if (strcmp(r.coordinate, "tf_crop_and_resize") == 0) {
        FAIL(c, E_UNSUPPORTED, "tf_crop_and_resize");
        return;
    }
    sunup_value *y = r.antialias ? NULL : finer(c, &r, t, lines);
    if (y) {
        sunup__onnx_set(c, 0, y, true, t->type);
        return;
    }
    y = sunup__onnx_first(c->b, t);
    for (int i = 0; i < t->shape.n && !sunup__is_poison(y); i++) {
        if (lines[i].in == lines[i].out && lines[i].scale == 1) continue;
        y = strcmp(r.mode, "nearest") == 0 ? by_rows(c, &r, &lines[i], y, i)
                                           : by_matrix(c, &r, &lines[i], y, i);
    }
    sunup__onnx_set(c, 0, y, false, t->type);
}
