/* points.c - E-divisive means by windows, weak points first, then the merge of those that do not hold.
 *
 * A window slides by half its width. In it the split (tau, kappa) with the greatest energy distance between
 * x[begin..tau) and x[tau..kappa) is tried by Student's t; as long as the best one of all segments holds, it cuts its
 * segment in two. All windows' points are weak ones (a tenfold p). Then the weakest goes until all hold.
 *
 * Invariant  each rounding is that of Apache Otava 0.8 over NumPy 2 (order of sums, pairwise sums in means, variances
 *     with divisor n), for equal distances and segments without any variance are decided by rounding. One thing is not
 *     its own unless asked for (as_otava): when a point goes, Otava weighs the next two anew but not the one before,
 *     and so keeps points that do not hold. What is reported is computed from the segments that are left.
 * Cost  a segment of L points: O(L window) time and O(L) memory.
 */
#include "track/points.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/memory.h"
#include "track/stats.h"

struct track_point_options sunup__track_point_defaults(void)
{
    return (struct track_point_options){.window = 50, .max_p = 0.001, .least = 0.02};
}

/* ------------------------------------------------------------------- Student's t --- */

/* NumPy's order: eight running sums up to 128 numbers, halves of whole eights beyond. */
static double pairwise_sum(const double *x, int n)
{
    if (n > 128) {
        const int half = n / 2 - n / 2 % 8;
        return pairwise_sum(x, half) + pairwise_sum(x + half, n - half);
    }
    double sum = 0;
    int i = 0;
    if (n >= 8) {
        double r[8];
        memcpy(r, x, sizeof r);
        for (i = 8; i + 8 <= n; i += 8)
            for (int k = 0; k < 8; k++) r[k] += x[i + k];
        sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
    }
    for (; i < n; i++) sum += x[i];
    return sum;
}

/* room: n numbers of scratch */
static void moments(const double *x, int n, double *room, double *mean, double *sd)
{
    *mean = pairwise_sum(x, n) / n;
    for (int i = 0; i < n; i++) room[i] = (x[i] - *mean) * (x[i] - *mean);
    *sd = sqrt(pairwise_sum(room, n) / n);
}

/* The change at `at` between its neighbours begin and end. */
static struct track_change weigh(const double *x, double *room, int begin, int at, int end)
{
    struct track_change c = {.at = at, .p = 1};
    const double n = at - begin, m = end - at, df = n + m - 2;
    moments(x + begin, at - begin, room, &c.before, &c.sd_before);
    moments(x + at, end - at, room, &c.after, &c.sd_after);
    if (df > 0) {
        const double v =
            ((n - 1) * (c.sd_before * c.sd_before) + (m - 1) * (c.sd_after * c.sd_after)) / df;
        const double t = (c.before - c.after) / sqrt(v * (1 / n + 1 / m));
        c.p = 2 * sunup__student_cdf(-fabs(t), df);
    }
    return c;
}

/* -------------------------------------------------------------- splits of a window --- */

struct segment {
    int begin, end, at; /* at: its best split; 0: too short for one */
    double q;
};
struct search {
    const double *x; /* of the window */
    double *right, *left, *after, *room;
    struct segment *segments;
    int n_segments;
};

static double distance(const double *x, int i, int j)
{
    return fabs(x[i] - x[j]);
}

/* Sum of the distances from x[j] to those of x[begin..j), as a difference of sums from the window's first point. */
static double to_the_left(const double *x, int begin, int j)
{
    double outside = 0;
    for (int i = 0; i < begin; i++) outside += distance(x, i, j);
    double all = outside;
    for (int i = begin; i < j; i++) all += distance(x, i, j);
    return all - outside;
}

/* Q(tau, kappa) for all tau at kappa = begin + last + 2; tau = begin + row + 1. right[row]: the sum of distances from
 * x[begin + row] to those after it and before kappa; left[row]: that of to_the_left over rows up to this one. */
static void best_of_column(const struct search *s, struct segment *g, int last)
{
    double below = 0, upto = 0;
    for (int row = last; row >= 0; row--) {
        s->after[row] = below; /* of the rows after this one */
        below += s->right[row];
    }
    for (int row = 0; row <= last; row++) {
        upto += s->right[row];
        const double size = last + 2, inner = row > 0 ? s->left[row - 1] : 0;
        const double between = 2 / size * (upto - inner);
        const double within_x = row > 0 ? 2.0 * (last + 1 - row) / (size * row) * inner : 0;
        const double within_y =
            row < last ? 2.0 * (row + 1) / (size * (last - row)) * s->after[row] : 0;
        const double q = between - within_x - within_y;
        const int at = g->begin + row + 1;
        if (g->at != 0 && (q < g->q || (q == g->q && at >= g->at)))
            continue; /* of equal ones the first tau */
        g->q = q;
        g->at = at;
    }
}

static struct segment best_split(const struct search *s, int begin, int end)
{
    struct segment g = {.begin = begin, .end = end};
    double upto = 0;
    memset(s->right, 0, (size_t)(end - begin) * sizeof *s->right);
    for (int last = 0; last + 1 < end - begin; last++) {
        const int j = begin + last + 1;
        for (int row = 0; row <= last; row++) s->right[row] += distance(s->x, begin + row, j);
        s->left[last] = upto += to_the_left(s->x, begin, j);
        best_of_column(s, &g, last);
    }
    return g;
}

static int best_segment(const struct search *s)
{
    int best = -1;
    for (int i = 0; i < s->n_segments; i++)
        if (s->segments[i].at != 0 && (best < 0 || s->segments[i].q > s->segments[best].q))
            best = i;
    return best;
}

/* Cuts x[0..n) as long as the best split holds. */
static void split_window(struct search *s, const double *x, int n, double max_p)
{
    s->x = x;
    s->n_segments = 1;
    s->segments[0] = best_split(s, 0, n);
    for (;;) {
        const int i = best_segment(s);
        if (i < 0) break;
        const struct segment g = s->segments[i];
        if (!(weigh(x, s->room, g.begin, g.at, g.end).p <= max_p)) break;
        memmove(s->segments + i + 2, s->segments + i + 1,
                (size_t)(s->n_segments - i - 1) * sizeof g);
        s->segments[i] = best_split(s, g.begin, g.at);
        s->segments[i + 1] = best_split(s, g.at, g.end);
        s->n_segments++;
    }
}

/* weak[i]: a change at i */
static void find_weak(struct search *s, const double *x, int n, const struct track_point_options *o,
                      bool *weak)
{
    const double max_p = o->max_p < 0.05 ? 10 * o->max_p : o->max_p < 0.5 ? 2 * o->max_p : o->max_p;
    for (int start = 0; start < n;) {
        const int width = n - start < o->window ? n - start : o->window;
        split_window(s, x + start, width, max_p);
        for (int i = 1; i < s->n_segments; i++) weak[start + s->segments[i].begin] = true;
        const int last = start + s->segments[s->n_segments - 1].begin;
        const int step = o->window / 2, next = n - start < step ? n : start + step;
        start = s->n_segments > 1 && last > next ? last : next;
    }
}

/* --------------------------------------------------------------------------- merge --- */

struct points {
    const double *x;
    double *room;
    int n, n_changes;
    struct track_change *changes;
};

static void weigh_again(struct points *p, int i)
{
    if (i < 0 || i >= p->n_changes) return;
    struct track_change *c = p->changes + i;
    *c = weigh(p->x, p->room, i > 0 ? c[-1].at : 0, c->at, i + 1 < p->n_changes ? c[1].at : p->n);
}

static double magnitude(const struct track_change *c)
{
    const double forward = c->before == 0 ? 0 : fabs(c->after / c->before - 1);
    const double back = c->after == 0 ? 0 : fabs(c->before / c->after - 1);
    return back > forward ? back : forward;
}

/* The point to go next; -1: all hold. A p that is NaN (both sides constant and equal) never holds. */
static int weakest(const struct points *p, const struct track_point_options *o)
{
    int worst = 0, least = 0;
    for (int i = 1; i < p->n_changes; i++) {
        if (p->changes[i].p > p->changes[worst].p) worst = i;
        if (magnitude(p->changes + i) < magnitude(p->changes + least)) least = i;
    }
    if (!(p->changes[worst].p < o->max_p)) return worst;
    return magnitude(p->changes + least) > o->least ? -1 : least;
}

static void merge(struct points *p, const struct track_point_options *o)
{
    for (int i = 0; i < p->n_changes; i++) weigh_again(p, i);
    while (p->n_changes > 0) {
        const int gone = weakest(p, o);
        if (gone < 0) break;
        p->n_changes--;
        memmove(p->changes + gone, p->changes + gone + 1,
                (size_t)(p->n_changes - gone) * sizeof *p->changes);
        if (!o->as_otava) weigh_again(p, gone - 1);
        weigh_again(p, gone);
        weigh_again(p, gone + 1);
    }
    for (int i = 0; i < p->n_changes; i++) weigh_again(p, i);
}

/* ---------------------------------------------------------------------------- whole --- */

struct work {
    double *x;  /* the finite values, scaled */
    int *index; /* where they were */
    int n;
    bool *weak;
    struct search search;
};

static bool make_room(struct work *w, int n, int window)
{
    const size_t all = (size_t)n, width = (size_t)(n < window ? n : window);
    w->x = sunup__alloc(all * sizeof *w->x);
    w->index = sunup__alloc(all * sizeof *w->index);
    w->weak = sunup__alloc(all * sizeof *w->weak);
    struct search *s = &w->search;
    s->right = sunup__alloc(width * sizeof *s->right);
    s->left = sunup__alloc(width * sizeof *s->left);
    s->after = sunup__alloc(width * sizeof *s->after);
    s->room = sunup__alloc(all * sizeof *s->room);
    s->segments = sunup__alloc((width + 1) * sizeof *s->segments);
    return w->x != NULL && w->index != NULL && w->weak != NULL && s->right != NULL &&
           s->left != NULL && s->after != NULL && s->room != NULL && s->segments != NULL;
}

static void free_room(struct work *w)
{
    const struct search *s = &w->search;
    void *const all[] = {w->x,    w->index, w->weak, s->right,
                         s->left, s->after, s->room, s->segments};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) sunup__free(all[i]);
}

/* Returns the scale. */
static double take_finite(struct work *w, const double *x, int n)
{
    for (int i = 0; i < n; i++) {
        if (!isfinite(x[i])) continue;
        w->x[w->n] = x[i];
        w->index[w->n++] = i;
    }
    const double scale = sunup__unit_scale(w->x, w->n);
    for (int i = 0; i < w->n; i++) w->x[i] *= scale;
    return scale;
}

static bool find(struct work *w, const struct track_point_options *o, struct points *p)
{
    find_weak(&w->search, w->x, w->n, o, w->weak);
    int n_weak = 0;
    for (int i = 0; i < w->n; i++) n_weak += w->weak[i];
    *p = (struct points){.x = w->x, .room = w->search.room, .n = w->n};
    p->changes = sunup__alloc((size_t)n_weak * sizeof *p->changes);
    if (p->changes == NULL) return false;
    for (int i = 0; i < w->n; i++)
        if (w->weak[i]) p->changes[p->n_changes++].at = i;
    merge(p, o);
    return true;
}

static void give_back_units(struct points *p, const int *index, double scale)
{
    for (struct track_change *c = p->changes; c < p->changes + p->n_changes; c++) {
        c->at = index[c->at];
        c->before /= scale;
        c->after /= scale;
        c->sd_before /= scale;
        c->sd_after /= scale;
    }
}

sunup_status sunup__track_changes(sunup_context *ctx, const double *x, int n,
                                  const struct track_point_options *o,
                                  struct track_change **changes, int *n_changes)
{
    *changes = NULL;
    *n_changes = 0;
    CHECK(n >= 0, ctx, E_ARGUMENT, "change points of %d values: give 0 or more", n);
    CHECK(o->window >= 2, ctx, E_ARGUMENT, "a window of %d points: give 2 or more", o->window);
    CHECK(o->max_p >= 0 && o->max_p <= 1, ctx, E_ARGUMENT, "max_p is %g: give 0 to 1", o->max_p);
    CHECK(o->least >= 0, ctx, E_ARGUMENT, "the least change is %g: give 0 or more", o->least);
    struct work w = {0};
    struct points p = {0};
    bool done = make_room(&w, n, o->window);
    if (done) {
        const double scale = take_finite(&w, x, n);
        done = find(&w, o, &p);
        if (done) give_back_units(&p, w.index, scale);
    }
    free_room(&w);
    CHECK(done, ctx, E_MEMORY, "no memory for the change points of %d values", n);
    *changes = p.changes;
    *n_changes = p.n_changes;
    return SUNUP_OK;
}
