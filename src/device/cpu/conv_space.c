/* conv_space.c - parts, halo copies, and rows; see conv_space.h. */
#include "device/cpu/conv_space.h"
#include "base/integers.h"

#include <string.h>

enum { PART_ROWS_MOST = 1024 };
/* Of maps with shorter rows a tile of the leaf has too few. */
enum { ACROSS_BELOW = 7, ACROSS_SAMPLES = 8, ACROSS_ELEMENTS = 192 << 10 };
enum { LINE = 16 };

/* Source points under n neighbouring targets of an axis, less those that are thinned out. */
static int64_t span(const struct conv_space *s, int axis, int64_t n)
{
    return (n - 1) * (s->stride[axis] / s->thin[axis]) + s->reach[axis];
}

bool sunup__conv_reaches_over(const struct conv_space *s)
{
    for (int a = 0; a < 3; a++) {
        if (s->first[a] < 0 ||
            s->first[a] + (s->target[a] - 1) * s->stride[a] + s->reach[a] > s->source[a])
            return true;
    }
    return false;
}

struct stretch sunup__conv_inside(const struct conv_space *s, int axis, int64_t at)
{
    const int64_t first = s->first[axis] + at, last = s->source[axis] - first;
    const int64_t stride = most(s->stride[axis], 1), all = s->target[axis];
    return (struct stretch){least(all, first >= 0 ? 0 : ceil_div(-first, stride)),
                            least(all, last <= 0 ? 0 : ceil_div(last, stride))};
}

/* Elements that a part of `rows` along the split axis touches. */
static int64_t weight(const struct conv_space *s, int64_t rows)
{
    int64_t box = s->channels, targets = s->beside;
    for (int a = 0; a < 3; a++) {
        const int64_t n = a == s->axis ? rows : s->target[a];
        box *= span(s, a, n);
        targets *= n;
    }
    return box + targets;
}

static void choose_part(struct conv_space *s)
{
    const int64_t all = s->target[s->axis], rows = s->target[0] * s->target[1] * s->target[2];
    s->rows_most = all;
    while (s->rows_most > 1 && weight(s, s->rows_most) > s->budget &&
           rows / all * (s->rows_most / 2) >= s->points)
        s->rows_most = (s->rows_most + 1) / 2;
    s->samples_most = 1;
    if (s->rows_most < all) return;
    const int64_t samples = most(s->budget / most(1, weight(s, all)), ceil_div(s->points, rows));
    s->samples_most = least(s->samples, most(1, least(samples, PART_ROWS_MOST / rows)));
}

static int64_t sample_elements(const struct conv_space *s)
{
    return s->source[0] * s->source[1] * s->source[2] * s->channels;
}

bool sunup__conv_across_pays(const struct conv_space *s)
{
    const bool evenly = s->stride[0] == 1 && s->stride[1] == 1 && s->stride[2] == 1;
    return !s->circular && s->target[2] < ACROSS_BELOW && s->samples >= ACROSS_SAMPLES &&
           (!evenly || sunup__conv_reaches_over(s)) &&
           s->samples * sample_elements(s) <= ACROSS_ELEMENTS;
}

/* Samples lie as they are, or a line further apart. */
static void plan_across(struct conv_space *s)
{
    const int64_t sample = sample_elements(s);
    s->copy = sample % s->period == 0;
    s->rows_most = s->target[s->axis];
    s->samples_most = s->samples;
    s->pitch[3] = s->channels;
    for (int a = 2; a >= 0; a--) {
        s->thin[a] = 1;
        s->pitch[a] = s->pitch[a + 1] * s->source[a];
    }
    if (s->copy) s->pitch[0] += LINE;
    s->slot = s->copy ? s->pitch[0] * s->samples : 0;
}

void sunup__conv_space_plan(struct conv_space *s)
{
    s->axis = 0;
    while (s->axis < 2 && s->target[s->axis] == 1) s->axis++;
    if (s->across) {
        plan_across(s);
        return;
    }
    const bool same_sets = s->stride[2] * s->channels % s->period == 0 && s->target[2] > 1;
    s->copy = !s->skip && (same_sets || sunup__conv_reaches_over(s));
    for (int a = 0; a < 3; a++)
        s->thin[a] = s->copy && s->reach[a] == 1 ? most(1, s->stride[a]) : 1;
    choose_part(s);
    s->pitch[3] = s->channels + (s->copy && same_sets ? LINE : 0);
    for (int a = 2; a >= 0; a--) {
        const int64_t box = span(s, a, a == s->axis ? s->rows_most : s->target[a]);
        s->pitch[a] = s->pitch[a + 1] * (s->copy ? box : s->source[a]);
    }
    s->slot = s->copy ? s->pitch[0] * s->samples_most : 0;
}

int64_t sunup__conv_part(const struct conv_space *s, int64_t u, int64_t end, struct conv_part *part)
{
    const int64_t all = s->target[s->axis];
    *part = (struct conv_part){.sample = u / all, .samples = 1, .row = u % all};
    if (part->row == 0 && end - u >= all && s->rows_most == all) {
        part->rows = all;
        part->samples = least((end - u) / all, s->samples_most);
    } else {
        part->rows = least(least(end - u, all - part->row), s->rows_most);
    }
    return u + part->samples * part->rows;
}

/* ---- halo copies ---- */

static size_t bytes(int64_t elements)
{
    return (size_t)elements * sizeof(float);
}

/* n points of a source row, `step` from one to the next. */
static void copy_points(const struct conv_space *s, const float *from, int64_t n, float *to)
{
    const int64_t c = s->channels, pitch = s->pitch[3], step = s->thin[2] * c;
    if (pitch == step) {
        memcpy(to, from, bytes(n * c));
        return;
    }
    for (int64_t i = 0; i < n; i++) memcpy(to + i * pitch, from + i * step, bytes(c));
}

/* n points of one source row from point `from` on, zeros or the other end outside. Where points are
 * thinned out, one tap sees each of them alone. */
static void copy_row(const struct conv_space *s, const float *row, int64_t from, int64_t n,
                     float *to)
{
    const int64_t c = s->channels, pitch = s->pitch[3], thin = s->thin[2];
    if (s->circular) {
        for (int64_t i = 0; i < n; i++)
            memcpy(to + i * pitch, row + wrapped(from + i * thin, s->source[2]) * c, bytes(c));
        return;
    }
    const int64_t before = least(n, ceil_div(most(0, -from), thin));
    const int64_t end = most(before, least(n, ceil_div(most(0, s->source[2] - from), thin)));
    memset(to, 0, bytes(before * pitch));
    copy_points(s, row + (from + before * thin) * c, end - before, to + before * pitch);
    memset(to + end * pitch, 0, bytes((n - end) * pitch));
}

/* Source index of a box's plane or row, -1: all zeros. */
static int64_t place(const struct conv_space *s, int axis, int64_t i)
{
    if (s->circular) return wrapped(i, s->source[axis]);
    return i >= 0 && i < s->source[axis] ? i : -1;
}

static void copy_box(const struct conv_space *s, const float *sample, const int64_t from[3],
                     const int64_t n[3], float *to)
{
    const int64_t row = s->source[2] * s->channels;
    for (int64_t d = 0; d < n[0]; d++) {
        const int64_t sd = place(s, 0, from[0] + d * s->thin[0]);
        for (int64_t h = 0; h < n[1]; h++) {
            const int64_t sh = place(s, 1, from[1] + h * s->thin[1]);
            float *out = to + d * s->pitch[1] + h * s->pitch[2];
            if (sd < 0 || sh < 0) {
                memset(out, 0, bytes(n[2] * s->pitch[3]));
            } else {
                copy_row(s, sample + (sd * s->source[1] + sh) * row, from[2], n[2], out);
            }
        }
    }
}

const float *sunup__conv_load(const struct conv_space *s, const struct conv_part *part,
                              const float *source, float *slot, int64_t *at)
{
    int64_t from[3], n[3];
    for (int a = 0; a < 3; a++) {
        from[a] = s->first[a] + (a == s->axis ? part->row * s->stride[a] : 0);
        n[a] = span(s, a, conv_part_count(s, part, a));
    }
    const int64_t sample = sample_elements(s);
    const bool whole = !s->copy || s->across;
    *at = whole ? from[0] * s->pitch[1] + from[1] * s->pitch[2] + from[2] * s->pitch[3] : 0;
    if (!s->copy) return source + part->sample * sample;
    for (int64_t i = 0; i < part->samples; i++) {
        const float *x = source + (part->sample + i) * sample;
        if (s->across) {
            memcpy(slot + i * s->pitch[0], x, bytes(sample));
        } else {
            copy_box(s, x, from, n, slot + i * s->pitch[0]);
        }
    }
    return slot;
}

/* ---- rows ---- */

/* Axes from the innermost outwards join the rows as long as both memories go on evenly; axes of one
 * point are no obstacle. */
struct conv_rows sunup__conv_rows(const struct conv_space *s, const struct conv_part *part,
                                  const int64_t c_pitch[4])
{
    int64_t count[4] = {part->samples}, a_step[4], c_step[4];
    for (int i = 0; i < 4; i++) {
        if (i > 0) count[i] = conv_part_count(s, part, i - 1);
        a_step[i] = s->pitch[i] * (i > 0 ? s->stride[i - 1] / s->thin[i - 1] : 1);
        c_step[i] = c_pitch[i];
    }
    if (s->across)
        return (struct conv_rows){.m = part->samples,
                                  .a_row = a_step[0],
                                  .c_row = c_step[0],
                                  .count = {count[1], count[2], count[3]},
                                  .a_step = {a_step[1], a_step[2], a_step[3]},
                                  .c_step = {c_step[1], c_step[2], c_step[3]},
                                  .axis = {0, 1, 2}};
    struct conv_rows r = {.m = count[3],
                          .a_row = a_step[3],
                          .c_row = c_step[3],
                          .count = {1, 1, 1},
                          .axis = {-2, -2, -2}};
    int i = 2;
    for (; i >= 0 && !s->skip; i--) {
        if (count[i] == 1) continue;
        if (r.m == 1) {
            r.a_row = a_step[i];
            r.c_row = c_step[i];
        } else if (a_step[i] != r.m * r.a_row || c_step[i] != r.m * r.c_row) {
            break;
        }
        r.m *= count[i];
    }
    for (int to = 2; i >= 0; i--, to--) {
        r.count[to] = count[i];
        r.a_step[to] = a_step[i];
        r.c_step[to] = c_step[i];
        r.axis[to] = i - 1;
    }
    return r;
}

void sunup__conv_position(const struct conv_space *s, const struct conv_part *part,
                          const struct conv_rows *rows, const int64_t index[3], int64_t target[3])
{
    for (int a = 0; a < 3; a++) {
        const int64_t from = a == s->axis ? part->row : 0;
        target[a] = conv_part_count(s, part, a) == 1 ? from : -1;
        for (int i = 0; i < 3; i++) {
            if (rows->axis[i] == a) target[a] = from + index[i];
        }
    }
}
