/* conv_space.c - parts, halo copies, and rows; see conv_space.h. */
#include "device/cpu/conv_space.h"

#include <string.h>

/* Part sizes: what taps read and what goes with the targets should stay in half of a 1 MB L2. */
enum { PART_ELEMENTS = 96 << 10, PART_ROWS_MOST = 1024 };

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Source points under n neighbouring targets of an axis. */
static int64_t span(const struct conv_space *s, int axis, int64_t n)
{
    return (n - 1) * s->stride[axis] + s->reach[axis];
}

static bool reaches_over(const struct conv_space *s)
{
    for (int a = 0; a < 3; a++) {
        if (s->first[a] < 0 || s->first[a] + span(s, a, s->target[a]) > s->source[a]) return true;
    }
    return false;
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
    const int64_t all = s->target[s->axis];
    s->rows_most = all;
    while (s->rows_most > 1 && weight(s, s->rows_most) > PART_ELEMENTS)
        s->rows_most = (s->rows_most + 1) / 2;
    s->samples_most = 1;
    if (s->rows_most < all) return;
    const int64_t rows = s->target[0] * s->target[1] * s->target[2];
    s->samples_most = most(1, least(PART_ELEMENTS / weight(s, all), PART_ROWS_MOST / rows));
    s->samples_most = least(s->samples_most, s->samples);
}

void sunup__conv_space_plan(struct conv_space *s)
{
    s->axis = 0;
    while (s->axis < 2 && s->target[s->axis] == 1) s->axis++;
    s->copy = reaches_over(s);
    choose_part(s);
    s->pitch[3] = s->channels;
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

static int64_t wrapped(int64_t i, int64_t n)
{
    const int64_t r = i % n;
    return r < 0 ? r + n : r;
}

static size_t bytes(int64_t elements)
{
    return (size_t)elements * sizeof(float);
}

/* n points of one source row from point `from` on, zeros or the other end outside. */
static void copy_row(const struct conv_space *s, const float *row, int64_t from, int64_t n,
                     float *to)
{
    const int64_t c = s->channels;
    if (s->circular) {
        for (int64_t i = 0; i < n; i++) {
            memcpy(to + i * c, row + wrapped(from + i, s->source[2]) * c, bytes(c));
        }
        return;
    }
    const int64_t before = least(n, most(0, -from));
    const int64_t inside = most(0, least(n, s->source[2] - from) - before);
    memset(to, 0, bytes(before * c));
    memcpy(to + before * c, row + (from + before) * c, bytes(inside * c));
    memset(to + (before + inside) * c, 0, bytes((n - before - inside) * c));
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
        const int64_t sd = place(s, 0, from[0] + d);
        for (int64_t h = 0; h < n[1]; h++) {
            const int64_t sh = place(s, 1, from[1] + h);
            float *out = to + d * s->pitch[1] + h * s->pitch[2];
            if (sd < 0 || sh < 0) {
                memset(out, 0, bytes(n[2] * s->channels));
            } else {
                copy_row(s, sample + (sd * s->source[1] + sh) * row, from[2], n[2], out);
            }
        }
    }
}

const float *sunup__conv_load(const struct conv_space *s, const struct conv_part *part,
                              const float *source, float *slot)
{
    int64_t from[3], n[3];
    for (int a = 0; a < 3; a++) {
        const bool split = a == s->axis;
        from[a] = s->first[a] + (split ? part->row * s->stride[a] : 0);
        n[a] = span(s, a, split ? part->rows : s->target[a]);
    }
    const int64_t sample = s->source[0] * s->source[1] * s->source[2] * s->channels;
    if (!s->copy) {
        const int64_t at = (from[0] * s->source[1] + from[1]) * s->source[2] + from[2];
        return source + part->sample * sample + at * s->channels;
    }
    for (int64_t i = 0; i < part->samples; i++) {
        copy_box(s, source + (part->sample + i) * sample, from, n, slot + i * s->pitch[0]);
    }
    return slot;
}

/* ---- rows ---- */

/* Axes from the innermost outwards join the rows as long as both memories go on evenly; axes of one
 * point are no obstacle. */
struct conv_rows sunup__conv_rows(const struct conv_space *s, const struct conv_part *part,
                                  const int64_t c_pitch[4])
{
    int64_t count[4] = {part->samples, s->target[0], s->target[1], s->target[2]}, a_step[4],
            c_step[4];
    count[s->axis + 1] = part->rows;
    for (int i = 0; i < 4; i++) {
        a_step[i] = s->pitch[i] * (i > 0 ? s->stride[i - 1] : 1);
        c_step[i] = c_pitch[i];
    }
    struct conv_rows r = {
        .m = 1, .a_row = s->channels, .c_row = c_pitch[3], .count = {1, 1, 1}, .split = -1};
    int i = 3;
    for (; i >= 0; i--) {
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
        if (i == s->axis + 1) r.split = to;
    }
    return r;
}
