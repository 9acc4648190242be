/* conv_sweep.c - runs sweeps; see conv_sweep.h.
 *
 * Rows of A are cut at ROWS so that they stay in the L1 and L2 while the panels of B pass by. Taps
 * that see nothing but the halo, at the first and last rows, are left out where that is one stretch
 * of the batch: 5 to 30 % of small maps. Georganas et al. 2020, section 3.2 (convolution as
 * batch-reduce GEMM over taps).
 */
#include "device/cpu/conv_sweep.h"

#include "base/system.h"

enum { ROWS = 112, LINE = 16 };

void sunup__conv_sweep_taps(struct conv_sweep *w, const struct conv_taps taps[3],
                            const int64_t w_step[3], bool joined)
{
    const int64_t *pitch = w->space.pitch + 1;
    const int64_t last = joined && taps[2].n > 0 ? 1 : taps[2].n;
    w->batch = 0;
    for (int64_t t = 0; t < taps[0].n; t++) {
        for (int64_t r = 0; r < taps[1].n; r++) {
            for (int64_t s = 0; s < last; s++) {
                w->a_at[w->batch] =
                    taps[0].at[t] * pitch[0] + taps[1].at[r] * pitch[1] + taps[2].at[s] * pitch[2];
                w->b_at[w->batch++] = taps[0].weight[t] * w_step[0] +
                                      taps[1].weight[r] * w_step[1] + taps[2].weight[s] * w_step[2];
            }
        }
    }
    const int axis = w->space.axis;
    w->split_taps = axis == 0 || (axis == 1 && taps[0].n == 1) ? taps[axis].n : 1;
}

/* A stretch of the batch. */
struct stretch {
    int64_t from, n;
};

/* Taps whose source row along the split axis exists for this target row; a_at's first taps tell
 * where they look. */
static struct stretch taps_inside(const struct conv_sweep *w, int64_t row)
{
    const struct conv_space *s = &w->space;
    if (!s->copy || s->circular || w->split_taps < 2) return (struct stretch){0, w->batch};
    const int64_t each = w->batch / w->split_taps, pitch = s->pitch[s->axis + 1];
    const int64_t first = s->first[s->axis] + row * s->stride[s->axis];
    int64_t from = 0, to = w->split_taps;
    while (from < to && first + w->a_at[from * each] / pitch < 0) from++;
    while (to > from && first + w->a_at[(to - 1) * each] / pitch >= s->source[s->axis]) to--;
    return (struct stretch){from * each, (to - from) * each};
}

/* `m` rows of A and C, all groups. */
static void multiply(const struct conv_run *r, const struct conv_sweep *w,
                     const struct conv_rows *rows, struct stretch taps, const float *a, float *c)
{
    for (int64_t group = 0; group < w->groups; group++) {
        struct gemm_f32 g = {.n = w->n,
                             .k = w->k,
                             .batch = taps.n,
                             .a_row = rows->a_row,
                             .a_col = 1,
                             .a_at = w->a_at + taps.from,
                             .b = r->weights + group * w->b_group,
                             .b_row = w->b_row,
                             .b_at = w->b_at + taps.from,
                             .c_row = rows->c_row,
                             .bias = r->bias ? r->bias + group * w->n : NULL};
        const int64_t blocks = (rows->m + ROWS - 1) / ROWS;
        for (int64_t i = 0; i < blocks; i++) {
            const int64_t from = i * rows->m / blocks;
            g.m = (i + 1) * rows->m / blocks - from;
            g.a = a + group * w->a_group + from * rows->a_row;
            g.c = c + group * w->c_group + from * rows->c_row;
            r->leaves->gemm(&g);
        }
    }
}

static void sweep_part(const struct conv_run *r, const struct conv_sweep *w,
                       const struct conv_part *part, float *slot)
{
    const float *a = sunup__conv_load(&w->space, part, r->source, slot);
    float *c = r->target + w->c_first + part->sample * w->c_pitch[0] +
               part->row * w->c_pitch[w->space.axis + 1];
    const struct conv_rows rows = sunup__conv_rows(&w->space, part, w->c_pitch);
    for (int64_t i = 0; i < rows.count[0] * rows.count[1] * rows.count[2]; i++) {
        const int64_t at[3] = {i / rows.count[2] / rows.count[1], i / rows.count[2] % rows.count[1],
                               i % rows.count[2]};
        const struct stretch taps = rows.split < 0 ? (struct stretch){0, w->batch}
                                                   : taps_inside(w, part->row + at[rows.split]);
        multiply(r, w, &rows, taps,
                 a + at[0] * rows.a_step[0] + at[1] * rows.a_step[1] + at[2] * rows.a_step[2],
                 c + at[0] * rows.c_step[0] + at[1] * rows.c_step[1] + at[2] * rows.c_step[2]);
    }
}

/* Task i takes its share of each sweep. */
static void work(void *arg, int64_t i)
{
    struct conv_run *r = arg;
    const int64_t slot = conv_slot_take(&r->slots);
    for (const struct conv_sweep *w = r->sweep; w < r->sweep + r->n; w++) {
        const int64_t all = w->space.samples * w->space.target[w->space.axis];
        const int64_t end = (i + 1) * all / r->tasks;
        for (int64_t u = i * all / r->tasks; u < end;) {
            struct conv_part part;
            u = sunup__conv_part(&w->space, u, end, &part);
            /* No plane to keep: no memory, and NULL takes no offset. */
            sweep_part(r, w, &part, r->slot > 0 ? r->memory + slot * r->slot : NULL);
        }
    }
    conv_slot_give(&r->slots, slot);
}

void sunup__conv_run(struct conv_run *r)
{
    r->slots.n = conv_slots_count(r->threads);
    r->tasks = r->threads > 1 ? (int64_t)TASKS_PER_THREAD * r->threads : 1;
    sunup__parallel(r->threads, r->tasks, work, r);
}

int64_t sunup__conv_slot(const struct conv_sweep *sweep, int n)
{
    int64_t slot = 0;
    for (int i = 0; i < n; i++) {
        if (sweep[i].space.slot > slot) slot = sweep[i].space.slot;
    }
    return (slot + LINE - 1) / LINE * LINE;
}

void sunup__conv_step_end(struct step *s)
{
    sunup__free(s->data);
    s->data = NULL;
}
