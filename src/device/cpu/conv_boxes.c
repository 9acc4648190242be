/* conv_boxes.c - runs of targets along each axis, and boxes made of them; see conv_boxes.h. */
#include "device/cpu/conv_boxes.h"

#include <string.h>

#include "base/integers.h"
#include "base/memory.h"

enum {
    PART_ELEMENTS = 128 << 10, /* source and targets of a part: half of a 1 MB L2 */
    PART_ROWS = 8,             /* if there are as many: halves what neighbours read twice */
    /* A part with less is not worth a task of its own. */
    PART_PRODUCTS = 128 << 10
};

/* ---- runs ---- */

struct line {
    int64_t source, target, taps, stride, dilation, before;
    bool circular, adjoint;
};

/* Source and weight of each tap of a target, by weight; returns how many. at NULL: only count. */
static int64_t list_forward(const struct line *l, int64_t target, int64_t *at, int64_t *number)
{
    int64_t n = 0;
    for (int64_t t = 0; t < l->taps; t++) {
        int64_t i = target * l->stride - l->before + t * l->dilation;
        if (l->circular) i = wrapped(i, l->source);
        if (i < 0 || i >= l->source) continue;
        if (at) at[n] = i, number[n] = t;
        n++;
    }
    return n;
}

/* Outputs that read this target; wrapped padding lets several reach it by one tap. Taps backwards,
 * which is sources forwards, as the leaf likes it. */
static int64_t list_adjoint(const struct line *l, int64_t target, int64_t *at, int64_t *number)
{
    int64_t n = 0;
    const int64_t last = (l->source - 1) * l->stride;
    for (int64_t t = l->taps - 1; t >= 0; t--) {
        int64_t place = target + l->before - t * l->dilation;
        if (l->circular) place = wrapped(place, l->target);
        for (; place >= 0 && place <= last; place += l->target) {
            if (place % l->stride == 0) {
                if (at) at[n] = place / l->stride, number[n] = t;
                n++;
            }
            if (!l->circular) break;
        }
    }
    return n;
}

static int64_t list_taps(const struct line *l, int64_t target, int64_t *at, int64_t *number)
{
    return l->adjoint ? list_adjoint(l, target, at, number) : list_forward(l, target, at, number);
}

static int64_t most_taps(const struct line *l)
{
    int64_t most = 0;
    for (int64_t i = 0; i < l->target; i++) {
        const int64_t n = list_taps(l, i, NULL, NULL);
        if (n > most) most = n;
    }
    return most;
}

/* Does the target's list continue the run? at, number: room for a list. */
static bool continues(const struct line *l, const struct box_run *r, int64_t *at, int64_t *number)
{
    const int64_t target = r->first + r->count * r->step;
    if (target >= l->target || list_taps(l, target, at, number) != r->taps) return false;
    for (int64_t j = 0; j < r->taps; j++) {
        if (number[j] != r->number[j] || at[j] != r->at[j] + r->count * r->advance) return false;
    }
    return true;
}

/* Runs in the order of phases; runs NULL: only count them. lists: room for two lists a run, or for
 * one run if they are only counted, then for two more. */
static int64_t list_runs(const struct line *l, int64_t room, int64_t *lists, struct box_run *runs,
                         int64_t count)
{
    const int64_t step = l->adjoint ? l->stride : 1, advance = l->adjoint ? 1 : l->stride;
    int64_t n = 0, *spare = lists + 2 * room * (runs ? count : 1);
    for (int64_t phase = 0; phase < step && phase < l->target; phase++) {
        for (int64_t i = phase; i < l->target; n++) {
            int64_t *at = lists + (runs ? 2 * room * n : 0), *number = at + room;
            struct box_run r = {.first = i,
                                .step = step,
                                .advance = advance,
                                .taps = list_taps(l, i, at, number),
                                .at = at,
                                .number = number};
            do r.count++;
            while (continues(l, &r, spare, spare + room));
            if (runs) runs[n] = r;
            i += r.count * step;
        }
    }
    return n;
}

/* The runs and behind them their lists, in one block. */
static bool plan_axis(struct box_axis *a, const struct line *l)
{
    const int64_t room = most_taps(l);
    int64_t *lists = sunup__alloc((size_t)(4 * room) * sizeof *lists);
    if (!lists) return false;
    a->n = list_runs(l, room, lists, NULL, 0);
    sunup__free(lists);
    const size_t runs = (size_t)a->n * sizeof *a->runs;
    a->runs = sunup__alloc(runs + (size_t)(2 * room * (a->n + 1)) * sizeof *lists);
    if (!a->runs) return false;
    list_runs(l, room, (int64_t *)(void *)((char *)a->runs + runs), a->runs, a->n);
    return true;
}

static struct line line_of(const struct window *w, int axis, bool adjoint)
{
    return (struct line){.source = adjoint ? w->out[axis] : w->in[axis],
                         .target = adjoint ? w->in[axis] : w->out[axis],
                         .taps = w->taps[axis],
                         .stride = w->stride[axis],
                         .dilation = w->dilation[axis],
                         .before = w->before[axis],
                         .circular = w->circular,
                         .adjoint = adjoint};
}

bool sunup__boxes_can(const struct window *w)
{
    int64_t forward = 1, adjoint = 1;
    for (int a = 0; a < 3; a++) {
        const struct line back = line_of(w, a, true);
        forward *= w->taps[a];
        adjoint *= most_taps(&back);
        if (forward > BOX_TAPS_MOST || adjoint > BOX_TAPS_MOST) return false;
    }
    return true;
}

/* ---- parts ---- */

static int64_t clamped(int64_t n, int64_t most)
{
    return n < 1 ? 1 : n < most ? n : most;
}

static void plan_parts(struct boxes *b, int64_t samples, int64_t least, int64_t advance)
{
    const int64_t *target = b->target;
    const int64_t each = advance * b->source[3] + b->target[3];
    int64_t part[3];
    part[2] = clamped(PART_ELEMENTS / (each * clamped(PART_ROWS, target[1])), target[2]);
    part[1] = clamped(PART_ELEMENTS / (each * part[2]), target[1]);
    part[0] = clamped(PART_ELEMENTS / (each * part[2] * part[1]), target[0]);
    int64_t products = b->taps[0] * b->taps[1] * b->taps[2] * b->shape.cg * target[3] * 2;
    for (int a = 0; a < 3; a++) products *= part[a];
    for (int a = 0; a < 3;) {
        b->part_count = 1;
        for (int i = 0; i < 3; i++) {
            b->parts[i] = (target[i] + part[i] - 1) / part[i];
            b->part_count *= b->parts[i];
        }
        if (samples * b->part_count >= least || products < 2 * PART_PRODUCTS) break;
        if (part[a] == 1) {
            a++;
        } else {
            part[a] = (part[a] + 1) / 2;
            products /= 2;
        }
    }
}

static void end_axes(struct boxes *b)
{
    for (int a = 0; a < 3; a++) sunup__free(b->axis[a].runs);
}

bool sunup__boxes_plan(struct boxes *b, const struct window *w, const struct boxes_job *job)
{
    const bool adjoint = job->adjoint;
    *b = (struct boxes){.source = {0}};
    for (int a = 0; a < 3; a++) {
        const struct line l = line_of(w, a, adjoint);
        b->source[a] = l.source;
        b->target[a] = l.target;
        b->taps[a] = l.taps;
        if (!plan_axis(&b->axis[a], &l)) {
            end_axes(b);
            return false;
        }
    }
    b->source[3] = adjoint ? w->k : w->c;
    b->target[3] = adjoint ? w->c : w->k;
    struct box *s = &b->shape;
    s->groups = w->groups;
    s->cg = b->source[3] / w->groups;
    s->kg = b->target[3] / w->groups;
    for (s->turns = 1; s->turns < s->cg || s->turns < s->kg;) s->turns *= 2;
    s->w_turn = b->source[3];
    b->tap = s->turns * s->w_turn;
    plan_parts(b, job->samples, job->parts_least, job->adjoint ? 1 : w->stride[2]);
    return true;
}

void sunup__boxes_end(struct boxes *b)
{
    end_axes(b);
}

/* ---- boxes ---- */

/* A run's targets in [from, to): the i-th to the end-th. */
struct cut {
    const struct box_run *run;
    int64_t i, end;
};

static struct cut cut_run(const struct box_run *r, int64_t from, int64_t to)
{
    const int64_t before = from - r->first, past = to - r->first;
    const int64_t i = before <= 0 ? 0 : (before + r->step - 1) / r->step;
    const int64_t end = past <= 0 ? 0 : (past + r->step - 1) / r->step;
    return (struct cut){r, i, end < r->count ? end : r->count};
}

struct range {
    int64_t from, to;
};

static struct range targets_of(const struct boxes *b, int axis, int64_t i)
{
    return (struct range){i * b->target[axis] / b->parts[axis],
                          (i + 1) * b->target[axis] / b->parts[axis]};
}

struct walk {
    const struct boxes *b;
    int64_t source[3], target[3]; /* elements from one to the next along an axis */
    int64_t x_at[BOX_TAPS_MOST], w_at[BOX_TAPS_MOST];
    box_fn *fn;
    void *arg;
};

static int64_t list_box(struct walk *w, const struct cut cut[3])
{
    const int64_t *taps = w->b->taps;
    const struct box_run *d = cut[0].run, *h = cut[1].run, *s = cut[2].run;
    int64_t n = 0;
    for (int64_t i = 0; i < d->taps; i++) {
        for (int64_t j = 0; j < h->taps; j++) {
            const int64_t at = d->at[i] * w->source[0] + h->at[j] * w->source[1];
            const int64_t number = (d->number[i] * taps[1] + h->number[j]) * taps[2];
            for (int64_t l = 0; l < s->taps; l++) {
                w->x_at[n] = at + s->at[l] * w->source[2];
                w->w_at[n++] = (number + s->number[l]) * w->b->tap;
            }
        }
    }
    return n;
}

/* The boxes of one cut of each axis, plane by plane. */
static void visit(struct walk *w, const struct cut cut[3])
{
    struct box box = w->b->shape;
    const struct box_run *h = cut[1].run, *s = cut[2].run;
    box.taps = list_box(w, cut);
    box.x_at = w->x_at;
    box.w_at = w->w_at;
    box.rows = cut[1].end - cut[1].i;
    box.points = cut[2].end - cut[2].i;
    box.x_row = h->advance * w->source[1];
    box.x_point = s->advance * w->source[2];
    box.y_row = h->step * w->target[1];
    box.y_point = s->step * w->target[2];
    for (int64_t i = cut[0].i; i < cut[0].end; i++) {
        const int64_t at[3] = {i, cut[1].i, cut[2].i};
        int64_t source = 0, target = 0;
        for (int a = 0; a < 3; a++) {
            const struct box_run *r = cut[a].run;
            source += at[a] * r->advance * w->source[a];
            target += (r->first + at[a] * r->step) * w->target[a];
        }
        w->fn(w->arg, &box, source, target);
    }
}

static void plan_steps(const int64_t size[4], int64_t step[3])
{
    step[2] = size[3];
    for (int a = 1; a >= 0; a--) step[a] = step[a + 1] * size[a + 1];
}

void sunup__boxes_of_part(const struct boxes *b, int64_t part, box_fn *fn, void *arg)
{
    struct walk w; /* its lists are long and filled box by box: no initializer */
    w.b = b;
    w.fn = fn;
    w.arg = arg;
    plan_steps(b->source, w.source);
    plan_steps(b->target, w.target);
    struct range targets[3];
    for (int a = 2; a >= 0; part /= b->parts[a], a--)
        targets[a] = targets_of(b, a, part % b->parts[a]);
    struct cut cut[3];
    for (int64_t i = 0; i < b->axis[0].n; i++) {
        cut[0] = cut_run(&b->axis[0].runs[i], targets[0].from, targets[0].to);
        for (int64_t j = 0; cut[0].i < cut[0].end && j < b->axis[1].n; j++) {
            cut[1] = cut_run(&b->axis[1].runs[j], targets[1].from, targets[1].to);
            for (int64_t l = 0; cut[1].i < cut[1].end && l < b->axis[2].n; l++) {
                cut[2] = cut_run(&b->axis[2].runs[l], targets[2].from, targets[2].to);
                if (cut[2].i < cut[2].end) visit(&w, cut);
            }
        }
    }
}
