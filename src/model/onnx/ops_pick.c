/* ops_pick.c - parts of a tensor: slices, splits, rows by index, paddings.
 *
 * Indices that are known become slices where they are neighbours, else a gather by a constant.
 * Indices that come with the data are i32; negative ones count from the end, except into a
 * trained table, where an index outside is an error at run time.
 */
#include <stdlib.h>
#include <string.h>

#include "model/onnx/ops.h"

enum { MAX_ROWS = 1 << 20 };

/* Room for n row numbers, or NULL and a mistake. */
static int64_t *rows_of(struct onnx_call *c, int64_t n)
{
    int64_t *rows = n >= 0 && n <= MAX_ROWS
                        ? sunup__arena_alloc(c->b->arena, ((size_t)n + 1) * sizeof *rows)
                        : NULL;
    if (!rows)
        FAIL(c, E_UNSUPPORTED, "%lld rows; at most %d can be picked", (long long)n, MAX_ROWS);
    return rows;
}

/* Rows of an axis, as a slice if they are neighbours. */
static sunup_value *pick_rows(struct onnx_call *c, sunup_value *x, int axis, int n,
                              const int64_t *rows)
{
    bool neighbours = n > 0;
    for (int i = 1; i < n && neighbours; i++) neighbours = rows[i] == rows[0] + i;
    return neighbours ? sunup_slice(x, axis, rows[0], n) : sunup__onnx_take(c, x, axis, n, rows);
}

/* -------------------------------------------------------------------------- by index --- */

static sunup_value *wrapped(struct onnx_call *c, struct onnx_tensor *index, int64_t length)
{
    sunup_value *i = sunup__onnx_first(c->b, index);
    if (sunup__is_poison(i)) return i;
    sunup_value *zero = sunup_scalar(c->b->g, sunup_value_dtype(i), 0);
    sunup_value *below = sunup_compare(i, zero, SUNUP_LT);
    return sunup_add(i, sunup_scale(below, (double)length, 0));
}

static sunup_value *gather_known(struct onnx_call *c, const struct onnx_tensor *index,
                                 sunup_value *x, int axis)
{
    const int64_t n = sunup__elements(&index->shape), length = sunup_value_shape(x).d[axis];
    int64_t *rows = rows_of(c, n);
    for (int64_t i = 0; rows && i < n; i++) {
        const double at = index->known[i], row = at < 0 ? at + (double)length : at;
        if (!(row >= 0 && row < (double)length)) { /* nor may a number be no index at all */
            FAIL(c, E_SHAPE, "index %g of an axis of %lld", at, (long long)length);
            return c->b->g->poison;
        }
        rows[i] = (int64_t)row;
    }
    return rows ? pick_rows(c, x, axis, (int)n, rows) : c->b->g->poison;
}

static sunup_value *gather_data(struct onnx_call *c, struct onnx_tensor *t,
                                struct onnx_tensor *index, int axis)
{
    const int n = t->shape.n;
    const bool table = axis == 0 && t->weight && t->weight->kind == ONNX_PARAMETER;
    sunup_value *rows = table ? sunup__onnx_index(c->b, index)
                              : sunup_cast(wrapped(c, index, t->shape.d[axis]), SUNUP_I32);
    int there[SUNUP_MAX_DIMS], back[SUNUP_MAX_DIMS];
    sunup_shape flat = {2, {t->shape.d[axis], 1}}, all = {.n = n};
    for (int i = 0; i < n; i++) there[i] = i == 0 ? axis : i <= axis ? i - 1 : i;
    for (int i = 0; i < n; i++) back[there[i]] = i;
    for (int i = 0; i < n; i++)
        all.d[i] = i == 0 ? sunup__elements(&index->shape) : t->shape.d[there[i]];
    for (int i = 1; i < n; i++) flat.d[1] *= all.d[i];
    sunup_value *x = sunup__onnx_permute(sunup__onnx_first(c->b, t), there);
    const sunup_shape count = {1, {all.d[0]}};
    sunup_value *y = sunup_gather(sunup_reshape(x, flat), sunup_reshape(rows, count));
    return sunup__onnx_permute(sunup_reshape(y, all), back);
}

void sunup__onnx_gather(struct onnx_call *c)
{
    struct onnx_tensor *t = sunup__onnx_need(c, 0), *index = sunup__onnx_need(c, 1);
    const int axis =
        t && index ? sunup__onnx_axis(c, sunup__onnx_int(c, "axis", 0), t->shape.n) : -1;
    if (axis < 0) return;
    sunup_shape y = {0};
    if (t->shape.n + index->shape.n - 1 > SUNUP_MAX_DIMS) {
        FAIL(c, E_UNSUPPORTED, "a result of more than %d axes", SUNUP_MAX_DIMS);
        return;
    }
    for (int i = 0; i < t->shape.n; i++) {
        if (i != axis) y.d[y.n++] = t->shape.d[i];
        for (int k = 0; i == axis && k < index->shape.n; k++) y.d[y.n++] = index->shape.d[k];
    }
    sunup_value *v = index->known ? gather_known(c, index, sunup__onnx_first(c->b, t), axis)
                                  : gather_data(c, t, index, axis);
    sunup__onnx_set(c, 0, sunup_reshape(v, y), false, t->type);
}

/* Row numbers (f64) of a table of single numbers. */
static sunup_value *pick_numbers(struct onnx_call *c, struct onnx_tensor *t, sunup_value *rows,
                                 sunup_shape y)
{
    sunup_value *table = sunup_reshape(sunup__onnx_first(c->b, t), SUNUP_SHAPE(-1, 1));
    sunup_value *v =
        sunup_gather(table, sunup_reshape(sunup_cast(rows, SUNUP_I32), SUNUP_SHAPE(-1)));
    (void)c;
    return sunup_reshape(v, y);
}

/* y[i, j] = x[index[i, j], j] for axis 0. */
void sunup__onnx_gather_elements(struct onnx_call *c)
{
    struct onnx_tensor *t = sunup__onnx_need(c, 0), *index = sunup__onnx_need(c, 1);
    const int axis =
        t && index ? sunup__onnx_axis(c, sunup__onnx_int(c, "axis", 0), t->shape.n) : -1;
    if (axis < 0 || index->shape.n != t->shape.n) {
        FAIL(c, E_SHAPE, "an index of other axes than the data");
        return;
    }
    int64_t stride[SUNUP_MAX_DIMS];
    const int64_t n = sunup__elements(&index->shape);
    sunup__strides(&t->shape, stride);
    double *base =
        n <= MAX_ROWS ? sunup__arena_alloc(c->b->arena, ((size_t)n + 1) * sizeof *base) : NULL;
    if (!base) {
        FAIL(c, E_UNSUPPORTED, "%lld numbers; at most %d can be picked", (long long)n, MAX_ROWS);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        int64_t rest = i;
        for (int a = t->shape.n - 1; a >= 0; a--) {
            if (a != axis) base[i] += (double)(rest % index->shape.d[a] * stride[a]);
            rest /= index->shape.d[a];
        }
    }
    sunup_value *rows = sunup_cast(wrapped(c, index, t->shape.d[axis]), SUNUP_F64);
    rows = sunup_add(sunup_scale(rows, (double)stride[axis], 0),
                     sunup_constant(c->b->g, SUNUP_F64, index->shape, base));
    sunup__onnx_set(c, 0, pick_numbers(c, t, rows, index->shape), false, t->type);
}

/* y[b, i] = x[b, index[b, i, 0]]: rows of each sample. */
static void gather_of_samples(struct onnx_call *c, struct onnx_tensor *t, struct onnx_tensor *index)
{
    sunup_shape rows = index->shape, y = index->shape;
    rows.n--;
    y.n--;
    for (int i = 2; i < t->shape.n; i++) y.d[y.n++] = t->shape.d[i];
    sunup_value *places = sunup_cast(wrapped(c, index, t->shape.d[1]), SUNUP_I32);
    sunup_value *x =
        sunup_reshape(sunup__onnx_first(c->b, t), SUNUP_SHAPE(t->shape.d[0], t->shape.d[1], -1));
    sunup_value *v = sunup_gather_rows(x, sunup_reshape(places, rows));
    sunup__onnx_set(c, 0, sunup_reshape(v, y), false, t->type);
}

/* The last axis of the index names a place in the first axes of the data. */
void sunup__onnx_gather_nd(struct onnx_call *c)
{
    struct onnx_tensor *t = sunup__onnx_need(c, 0), *index = sunup__onnx_need(c, 1);
    if (!t || !index) return;
    const int rank = index->shape.n, k = rank > 0 ? (int)index->shape.d[rank - 1] : 0;
    const int64_t batch = sunup__onnx_int(c, "batch_dims", 0);
    const bool fits = rank - 1 + t->shape.n - k <= SUNUP_MAX_DIMS;
    if (batch == 1 && k == 1 && rank > 1 && t->shape.n > 1 && fits &&
        sunup__elements(&t->shape) > 0) {
        gather_of_samples(c, t, index);
        return;
    }
    if (batch != 0 || k < 1 || k > t->shape.n || !fits) {
        FAIL(c, E_UNSUPPORTED, "batch_dims %lld, or places of %d numbers in a tensor of %d axes",
             (long long)batch, k, t->shape.n);
        return;
    }
    double stride[SUNUP_MAX_DIMS], length[SUNUP_MAX_DIMS];
    sunup_shape table = {2, {1, 1}}, y = index->shape;
    y.n--;
    for (int i = k; i < t->shape.n; i++) table.d[1] *= y.d[y.n++] = t->shape.d[i];
    for (int i = k - 1; i >= 0; i--) {
        stride[i] = (double)table.d[0];
        length[i] = (double)t->shape.d[i];
        table.d[0] *= t->shape.d[i];
    }
    sunup_graph *g = c->b->g;
    sunup_value *i = sunup_cast(sunup__onnx_first(c->b, index), SUNUP_F64);
    sunup_value *below = sunup_compare(i, sunup_scalar(g, SUNUP_F64, 0), SUNUP_LT);
    i = sunup_add(i, sunup_mul(below, sunup_constant(g, SUNUP_F64, SUNUP_SHAPE(k), length)));
    sunup_value *row =
        sunup_linear(i, sunup_constant(g, SUNUP_F64, SUNUP_SHAPE(k, 1), stride), NULL);
    row = sunup_reshape(sunup_cast(row, SUNUP_I32), SUNUP_SHAPE(-1));
    sunup_value *v = sunup_gather(sunup_reshape(sunup__onnx_first(c->b, t), table), row);
    sunup__onnx_set(c, 0, sunup_reshape(v, y), false, t->type);
}

/* The k best along an axis, and where they are. */
void sunup__onnx_top_k(struct onnx_call *c)
{
    struct onnx_tensor *t = sunup__onnx_need(c, 0);
    const int axis = t ? sunup__onnx_axis(c, sunup__onnx_int(c, "axis", -1), t->shape.n) : -1;
    const double k = sunup__onnx_number(c, 1, (double)sunup__onnx_int(c, "k", 0));
    if (axis < 0 || !(k >= 1 && k <= (double)t->shape.d[axis])) {
        FAIL(c, E_SHAPE, "the best %g along an axis", k);
        return;
    }
    if (k > 128) { /* what top_k does at most */
        FAIL(c, E_UNSUPPORTED, "the best %g; at most 128 can be", k);
        return;
    }
    const int n = t->shape.n;
    int swap[SUNUP_MAX_DIMS];
    for (int i = 0; i < n; i++) swap[i] = i == axis ? n - 1 : i == n - 1 ? axis : i;
    sunup_value *x = sunup__onnx_permute(sunup__onnx_first(c->b, t), swap);
    sunup_value *place = sunup_top_k(x, (int64_t)k, sunup__onnx_int(c, "largest", 1) != 0);
    if (sunup__is_poison(place)) return;
    const sunup_shape y = sunup_value_shape(place);
    sunup_value *rows = sunup_reshape(x, SUNUP_SHAPE(-1, t->shape.d[axis], 1));
    sunup_value *best = sunup_gather_rows(rows, sunup_reshape(place, SUNUP_SHAPE(-1, (int64_t)k)));
    sunup__onnx_set(c, 0, sunup__onnx_permute(sunup_reshape(best, y), swap), false, t->type);
    sunup__onnx_set(c, 1, sunup__onnx_permute(place, swap), false, ONNX(INT64));
}

/* -------------------------------------------------------------------------- slices --- */

/* NumPy's start:end:step of one axis. */
static sunup_value *slice_axis(struct onnx_call *c, sunup_value *x, int axis, const int64_t by[3])
{
    const int64_t length = sunup_value_shape(x).d[axis], step = by[2];
    int64_t from = by[0], to = by[1];
    if (step == 0 || step == INT64_MIN) {
        FAIL(c, E_SHAPE, "a step of %lld", (long long)step);
        return c->b->g->poison;
    }
    const int64_t low = step > 0 ? 0 : -1, high = step > 0 ? length : length - 1;
    from += from < 0 ? length : 0;
    to += to < 0 ? length : 0;
    from = from < low ? low : from > high ? high : from;
    to = to < low ? low : to > high ? high : to;
    const int64_t way = step > 0 ? to - from : from - to, size = step > 0 ? step : -step;
    const int64_t n = way > 0 ? (way - 1) / size + 1 : 0;
    if (step == 1 || n == 0) return sunup_slice(x, axis, n > 0 ? from : 0, n);
    int64_t *rows = rows_of(c, n);
    for (int64_t i = 0; rows && i < n; i++) rows[i] = from + i * step;
    return rows ? pick_rows(c, x, axis, (int)n, rows) : c->b->g->poison;
}

void sunup__onnx_slice(struct onnx_call *c)
{
    struct onnx_tensor *t = sunup__onnx_need(c, 0);
    int64_t from[SUNUP_MAX_DIMS], to[SUNUP_MAX_DIMS], axes[SUNUP_MAX_DIMS], steps[SUNUP_MAX_DIMS];
    const int n = sunup__onnx_attribute_or_in(c, "starts", 1, SUNUP_MAX_DIMS, from);
    const int ends = sunup__onnx_attribute_or_in(c, "ends", 2, SUNUP_MAX_DIMS, to);
    const int given = sunup__onnx_attribute_or_in(c, "axes", 3, SUNUP_MAX_DIMS, axes);
    const int stepped = sunup__onnx_whole(c, 4, SUNUP_MAX_DIMS, steps);
    if (!t || n < 0 || ends != n || (given >= 0 && given != n) || (stepped >= 0 && stepped != n)) {
        FAIL(c, E_FORMAT, "starts, ends, axes and steps are not equally many");
        return;
    }
    bool last;
    sunup_value *x = either(c, t, &last);
    for (int i = 0; i < n; i++) {
        const int axis = sunup__onnx_axis(c, given >= 0 ? axes[i] : i, t->shape.n);
        if (axis < 0 || sunup__is_poison(x)) return;
        const int64_t by[3] = {from[i], to[i], stepped >= 0 ? steps[i] : 1};
        x = slice_axis(c, x, last ? sunup__onnx_place(axis, t->shape.n) : axis, by);
    }
    sunup__onnx_set(c, 0, x, last, t->type);
}

void sunup__onnx_split(struct onnx_call *c)
{
    struct onnx_tensor *t = sunup__onnx_need(c, 0);
    const int n = c->node->n_out;
    const int axis = t ? sunup__onnx_axis(c, sunup__onnx_int(c, "axis", 0), t->shape.n) : -1;
    int64_t *parts = rows_of(c, n);
    sunup_value **y = sunup__arena_alloc(c->b->arena, ((size_t)n + 1) * sizeof(sunup_value *));
    if (axis < 0 || !parts || !y || n < 1) return;
    const int given = sunup__onnx_attribute_or_in(c, "split", 1, n, parts);
    const int64_t length = t->shape.d[axis], each = (length + n - 1) / n;
    for (int i = 0; i < n && given < 0; i++) /* equal, the last one shorter */
        parts[i] = length - i * each < each ? length - i * each : each;
    if (given >= 0 && given != n) {
        FAIL(c, E_SHAPE, "%d lengths for %d parts", given, n);
        return;
    }
    for (int i = 0; i < n; i++) {
        if (parts[i] >= 0 && parts[i] <= length) continue;
        FAIL(c, E_SHAPE, "a part of %lld of an axis of %lld", (long long)parts[i],
             (long long)length);
        return;
    }
    bool last;
    sunup_value *x = either(c, t, &last);
    sunup_split(x, last ? sunup__onnx_place(axis, t->shape.n) : axis, n, parts, y);
    if (c->b->g->status != SUNUP_OK) return;
    for (int i = 0; i < n; i++) sunup__onnx_set(c, i, y[i], last, t->type);
}

/* -------------------------------------------------------------------------- padding --- */

/* The row that stands `i` places behind the start of an axis. */
static int64_t mirrored(const char *mode, int64_t i, int64_t length)
{
    if (strcmp(mode, "edge") == 0) return i < 0 ? 0 : i >= length ? length - 1 : i;
    if (strcmp(mode, "wrap") == 0) return ((i % length) + length) % length;
    const int64_t period = length > 1 ? 2 * (length - 1) : 1;
    i = ((i % period) + period) % period;
    return i < length ? i : period - i;
}

static sunup_value *pad_by_rows(struct onnx_call *c, sunup_value *x, int axis, const char *mode,
                                const int64_t by[2])
{
    const int64_t length = sunup_value_shape(x).d[axis], n = length + by[0] + by[1];
    if (length < 1 || by[0] < -length || by[1] < -length) {
        FAIL(c, E_SHAPE, "an axis of %lld padded by %lld and %lld", (long long)length,
             (long long)by[0], (long long)by[1]);
        return c->b->g->poison;
    }
    int64_t *rows = rows_of(c, n);
    for (int64_t i = 0; rows && i < n; i++) rows[i] = mirrored(mode, i - by[0], length);
    return rows ? sunup__onnx_take(c, x, axis, (int)n, rows) : c->b->g->poison;
}

/* Numbers that are taken away first, then zeros; another number by moving the origin. */
static sunup_value *pad_by_number(struct onnx_call *c, sunup_value *x, const int64_t *before,
                                  const int64_t *after, double value)
{
    int64_t front[SUNUP_MAX_DIMS], behind[SUNUP_MAX_DIMS];
    const int n = sunup_value_shape(x).n;
    for (int i = 0; i < n; i++) {
        const int64_t length = sunup_value_shape(x).d[i];
        const int64_t from = before[i] < 0 ? -before[i] : 0,
                      cut = from + (after[i] < 0 ? -after[i] : 0);
        if (cut > 0) x = sunup_slice(x, i, from, length - cut);
        if (sunup__is_poison(x)) return x;
        front[i] = before[i] > 0 ? before[i] : 0;
        behind[i] = after[i] > 0 ? after[i] : 0;
    }
    (void)c;
    if (value != 0) x = sunup_scale(x, 1, -value);
    x = sunup_pad(x, front, behind, SUNUP_PAD_ZERO);
    return value != 0 ? sunup_scale(x, 1, value) : x;
}

void sunup__onnx_pad(struct onnx_call *c)
{
    struct onnx_tensor *t = sunup__onnx_need(c, 0);
    int64_t pads[2 * SUNUP_MAX_DIMS], axes[SUNUP_MAX_DIMS], before[SUNUP_MAX_DIMS] = {0};
    int64_t after[SUNUP_MAX_DIMS] = {0};
    const int n = sunup__onnx_attribute_or_in(c, "pads", 1, 2 * SUNUP_MAX_DIMS, pads);
    const int given = sunup__onnx_whole(c, 3, SUNUP_MAX_DIMS, axes);
    const char *mode = sunup__onnx_text(c, "mode", "constant");
    if (!t || n != 2 * (given >= 0 ? given : t->shape.n)) {
        FAIL(c, E_FORMAT, "%d paddings", n);
        return;
    }
    bool last;
    sunup_value *x = either(c, t, &last);
    const double value = sunup__onnx_number(c, 2, sunup__onnx_float(c, "value", 0));
    for (int i = 0; i < n / 2; i++) {
        const int axis = sunup__onnx_axis(c, given >= 0 ? axes[i] : i, t->shape.n);
        if (axis < 0 || llabs(pads[i]) > MAX_ROWS || llabs(pads[n / 2 + i]) > MAX_ROWS) {
            FAIL(c, E_SHAPE, "a padding makes no sense");
            return;
        }
        const int at = last ? sunup__onnx_place(axis, t->shape.n) : axis;
        before[at] = pads[i];
        after[at] = pads[n / 2 + i];
    }
    const bool number = strcmp(mode, "constant") == 0;
    if (number) x = pad_by_number(c, x, before, after, value);
    for (int i = 0; i < t->shape.n && !number && !sunup__is_poison(x); i++) {
        const int64_t by[2] = {before[i], after[i]};
        if (by[0] != 0 || by[1] != 0) x = pad_by_rows(c, x, i, mode, by);
    }
    sunup__onnx_set(c, 0, x, last, t->type);
}
