/* windows.c - ops that read neighbours along the axis: convolution, its adjoint as the transposed
 * convolution, pooling, upsampling.
 *
 * A slab of outputs is computed from the window of rows that it sees, clipped to the axis; what is
 * clipped is padding, as in the whole. So each output is the same sum over the same taps, and with
 * makers that do not tile across rows it has the same bits.
 *
 *   conv, pool       output o sees rows [o stride - before, + span)
 *   upsample         linear: its rows and one on both sides; what is made of these alone is dropped
 *   conv_transpose   output x is seen by rows o with o stride - before <= x < o stride - before + span
 */
#include "base/integers.h"
#include "graph/ops/axes.h"
#include "graph/ops/conv.h"
#include "graph/ops/op.h"
#include "graph/ops/pool.h"
#include "graph/split/inside.h"

/* One axis of a window op: `in` rows are read, `out` rows are made. */
struct line {
    int64_t in, out, stride, before, span;
};

static int64_t floor_div(int64_t a, int64_t b)
{
    return a >= 0 ? a / b : -ceil_div(-a, b);
}

static int64_t clip(int64_t x, int64_t high)
{
    return x < 0 ? 0 : least(x, high);
}

/* Where the window arrays keep the axis. */
static int axis_of(const struct split *s, const sunup_value *x)
{
    return 3 - (x->shape.n - 2) + slabs_of(s, x)->axis - 1;
}

/* cut of the outputs; NULL: a slab would be empty. */
static int64_t *output_cuts(struct split *s, const struct node *n, const struct line *l,
                            const int64_t *cut, bool back)
{
    const int parts = s->parts->n;
    int64_t *out = sunup__split_room(s, parts + 1, sizeof *out);
    for (int i = 0; out != NULL && i <= parts; i++)
        out[i] = i == parts
                     ? l->out
                     : least(l->out, back ? cut[i] * l->stride : ceil_div(cut[i], l->stride));
    for (int i = 0; out != NULL && i < parts; i++) {
        if (out[i] < out[i + 1]) continue;
        sunup__split_refuse(s, n,
                            "the axis is %lld rows long here, too short for a row in each part; "
                            "take fewer parts or a longer axis",
                            (long long)l->out);
        return NULL;
    }
    return out;
}

/* Rows [*from, *to) for the outputs [first, end); *before: padding in front of them. */
static bool window_forward(const struct line *l, int64_t first, int64_t end, struct window *w,
                           int a, int64_t *from, int64_t *to)
{
    const int64_t start = first * l->stride - l->before;
    *from = clip(start, l->in);
    *to = clip((end - 1) * l->stride - l->before + l->span, l->in);
    w->in[a] = *to - *from;
    w->out[a] = end - first;
    w->before[a] = *from - start;
    return w->before[a] >= 0 && w->in[a] > 0;
}

static bool window_back(const struct line *l, int64_t first, int64_t end, struct window *w, int a,
                        int64_t *from, int64_t *to)
{
    *from = clip(-floor_div(-(first + l->before - l->span + 1), l->stride), l->in - 1);
    while (*from > 0 && *from * l->stride > first + l->before) --*from;
    *to = most(*from + 1, clip(floor_div(end - 1 + l->before, l->stride) + 1, l->in));
    w->out[a] = *to - *from;
    w->in[a] = end - first;
    w->before[a] = first + l->before - *from * l->stride;
    return w->before[a] >= 0;
}

/* Each slab's window of the operand. */
struct reading {
    int64_t *cut, *from, *to;
    struct window *w; /* [parts] */
    int a;
    bool back;
};

static bool read_windows(struct split *s, const struct node *n, const struct window *w,
                         const sunup_value *x, struct reading *r)
{
    const int parts = s->parts->n, a = r->a;
    const struct line l = {.in = r->back ? w->out[a] : w->in[a],
                           .out = r->back ? w->in[a] : w->out[a],
                           .stride = w->stride[a],
                           .before = w->before[a],
                           .span = w->dilation[a] * (w->taps[a] - 1) + 1};
    r->from = sunup__split_room(s, parts, sizeof *r->from);
    r->to = sunup__split_room(s, parts, sizeof *r->to);
    r->w = sunup__split_room(s, parts, sizeof *r->w);
    r->cut = output_cuts(s, n, &l, slabs_of(s, x)->cut, r->back);
    if (!r->from || !r->to || !r->w || !r->cut) return false;
    if (w->circular && (l.before > 0 || (l.out - 1) * l.stride + l.span > l.in)) {
        sunup__split_refuse(s, n, "circular padding along the axis that is split; split another");
        return false;
    }
    for (int i = 0; i < parts; i++) {
        r->w[i] = *w;
        const bool fits = (r->back ? window_back : window_forward)(
            &l, r->cut[i], r->cut[i + 1], &r->w[i], a, &r->from[i], &r->to[i]);
        if (fits) continue;
        sunup__split_refuse(s, n, "slab %d would see padding only; take fewer parts", i);
        return false;
    }
    return true;
}

/* The operand's own slabs as windows, [own] out; false: a mistake has been recorded. */
static bool make_windows(struct split *s, const struct node *n, const sunup_value *x,
                         const struct window *w, struct reading *r, sunup_value **window)
{
    if (window == NULL || !read_windows(s, n, w, x, r)) return false;
    const struct slabs *slabs = slabs_of(s, x);
    sunup__windows(s->parts, slabs->axis, (struct windows){slabs->cut, r->from, r->to}, slabs->of,
                   window);
    return sunup__split_begin(s, n->out[0], r->cut, slabs->axis) != NULL;
}

static sunup_value **room_for_windows(struct split *s)
{
    return sunup__split_room(s, s->parts->own, sizeof(sunup_value *));
}

/* Operand `at` is the one that is cut. */
static void split_conv(struct split *s, const struct node *n, int at)
{
    const struct conv_attr *attr = n->attr;
    const sunup_value *x = n->in[at];
    struct reading r = {.a = axis_of(s, x), .back = at == 1};
    sunup_value **window = room_for_windows(s);
    if (!is_cut(s, x) || is_cut(s, n->in[1 - at]) || (n->n_in > 2 && is_cut(s, n->in[2]))) {
        sunup__split_refuse(s, n, "its weights depend on where they are applied");
        return;
    }
    if (!make_windows(s, n, x, &attr->w, &r, window)) return;
    for (int i = 0; i < s->parts->own; i++) {
        struct conv_attr mine = *attr;
        mine.w = r.w[s->parts->first + i];
        mine.complete = true;
        sunup_value *other = slab_of(s, n->in[1 - at], i);
        sunup_value *in[3] = {at == 0 ? window[i] : other, at == 0 ? other : window[i],
                              n->n_in > 2 ? slab_of(s, n->in[2], i) : NULL};
        slabs_of(s, n->out[0])->of[i] = sunup__split_remake(s, n, &mine, in);
    }
}

void sunup__split_conv(struct split *s, const struct node *n)
{
    split_conv(s, n, 0);
}

void sunup__split_conv_transpose(struct split *s, const struct node *n)
{
    split_conv(s, n, 1);
}

void sunup__split_pool(struct split *s, const struct node *n)
{
    const struct pool_attr *attr = n->attr;
    struct reading r = {.a = axis_of(s, n->in[0])};
    sunup_value **window = room_for_windows(s);
    if (!make_windows(s, n, n->in[0], &attr->w, &r, window)) return;
    for (int i = 0; i < s->parts->own; i++) {
        struct pool_attr mine = *attr;
        mine.w = r.w[s->parts->first + i];
        mine.complete = true;
        slabs_of(s, n->out[0])->of[i] = sunup__split_remake(s, n, &mine, &window[i]);
    }
}

/* Linear: what lies between the last own point and the next one is seen by points of both. */
void sunup__split_upsample(struct split *s, const struct node *n)
{
    const struct upsample_attr *attr = n->attr;
    const struct slabs *x = slabs_of(s, n->in[0]);
    const int64_t factor = attr->factor[axis_of(s, n->in[0])], end = n->in[0]->shape.d[x->axis];
    const int64_t margin = attr->linear && factor > 1;
    const int parts = s->parts->n;
    int64_t *from = sunup__split_room(s, parts, sizeof *from),
            *to = sunup__split_room(s, parts, sizeof *to),
            *cut = sunup__split_room(s, parts + 1, sizeof *cut);
    sunup_value **window = room_for_windows(s);
    if (!from || !to || !cut || !window) return;
    for (int i = 0; i <= parts; i++) cut[i] = x->cut[i] * factor;
    for (int i = 0; i < parts; i++) {
        from[i] = clip(x->cut[i] - margin, end);
        to[i] = clip(x->cut[i + 1] + margin, end);
    }
    sunup__windows(s->parts, x->axis, (struct windows){x->cut, from, to}, x->of, window);
    sunup_value **of = sunup__split_begin(s, n->out[0], cut, x->axis);
    for (int i = 0; of != NULL && i < s->parts->own; i++) {
        const int64_t first = cut[s->parts->first + i] - from[s->parts->first + i] * factor;
        sunup_value *y = sunup__split_remake(s, n, attr, &window[i]);
        of[i] =
            margin ? sunup_slice(y, slabs_of(s, n->out[0])->axis, first, rows_of(s, cut, i)) : y;
    }
}
