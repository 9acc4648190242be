/* arena.c - fifth stage: offsets, so that values whose spans do not meet may lie in the same bytes.
 *
 * Best fit by decreasing size: the largest root first, each into the smallest gap between those
 * already placed whose spans meet its own, at the lowest offset among equals. On networks this
 * comes within a few per cent of the largest sum of live bytes, which no plan can undercut
 * (Pisarchyk and Lee, "Efficient memory management for deep neural net inference", 2020: greedy by
 * size). A step's workspace is one more item that lives for that step.
 *
 * Invariant: offsets are multiples of 64; two items that are live in one step have no byte in
 * common, and guard_bytes of the device lie around each.
 */
#include <stdlib.h>

#include "plan/stages.h"

struct item {
    int64_t bytes; /* with padding and the guard behind */
    int64_t at;
    int first, last;
    int id; /* root, or n_placed + step of a workspace: settles ties */
};

static int larger_first(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes > y->bytes ? -1 : 1;
    if (x->first != y->first) return x->first < y->first ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

static int64_t padded(int64_t bytes)
{
    return bytes <= 0 ? 64 : (bytes + 63) / 64 * 64;
}

int64_t sunup__value_bytes(const sunup_value *v)
{
    return sunup__elements(&v->shape) * sunup_dtype_bytes(v->dtype);
}

/* Where `it` goes, given those placed before it, which are sorted by offset. */
static int64_t best_gap(const struct item *const *placed, int n, const struct item *it,
                        int64_t start, bool share)
{
    int64_t best = -1, best_room = INT64_MAX, end = start;
    for (int i = 0; i < n; i++) {
        const struct item *other = placed[i];
        if (share && (other->last < it->first || other->first > it->last)) continue;
        const int64_t room = other->at - end;
        if (room >= it->bytes && room < best_room) {
            best = end;
            best_room = room;
        }
        if (other->at + other->bytes > end) end = other->at + other->bytes;
    }
    return best >= 0 ? best : end;
}

static void insert_by_offset(const struct item **placed, int n, const struct item *it)
{
    int i = n;
    for (; i > 0 && placed[i - 1]->at > it->at; i--) placed[i] = placed[i - 1];
    placed[i] = it;
}

/* Roots that are read by a step and have no memory of their own, and workspaces. */
static int list_items(const sunup_plan *p, struct item *items)
{
    const int64_t guard = p->device->ops->guard_bytes;
    int n = 0;
    for (int v = 0; v < p->n_placed; v++) {
        const struct placed *r = &p->placed[v];
        if (r->value == NULL || r->root != v || r->external || r->last < 0) continue;
        items[n++] = (struct item){.bytes = padded(sunup__value_bytes(r->value)) + guard,
                                   .first = r->first,
                                   .last = r->last,
                                   .id = v};
    }
    for (int s = 0; s < p->n_steps; s++)
        if (p->steps[s].workspace_bytes > 0)
            items[n++] = (struct item){.bytes = padded(p->steps[s].workspace_bytes) + guard,
                                       .first = s,
                                       .last = s,
                                       .id = p->n_placed + s};
    return n;
}

/* Every computed value that is read, and every workspace, in bytes of its own. */
static int64_t unshared(const sunup_plan *p)
{
    int64_t bytes = 0;
    for (int s = 0; s < p->n_steps; s++) {
        const struct node *n = p->steps[s].node;
        bytes += p->steps[s].workspace_bytes > 0 ? padded(p->steps[s].workspace_bytes) : 0;
        for (int o = 0; o < n->n_out; o++) {
            const struct placed *r = &p->placed[p->placed[n->out[o]->id].root];
            if (!r->external && r->last >= 0) bytes += padded(sunup__value_bytes(n->out[o]));
        }
    }
    return bytes;
}

sunup_status sunup__plan_arena(sunup_plan *p)
{
    const int most = p->n_placed + p->n_steps;
    struct item *items = scratch_alloc(p, most, sizeof *items);
    const struct item **placed = scratch_alloc(p, most, sizeof(struct item *));
    p->workspace_at = plan_alloc(p, p->n_steps, sizeof *p->workspace_at);
    NEED(p, items);
    NEED(p, placed);
    NEED(p, p->workspace_at);
    const int n = list_items(p, items);
    qsort(items, (size_t)n, sizeof *items, larger_first);
    const int64_t start = p->device->ops->guard_bytes;
    for (int i = 0; i < n; i++) {
        items[i].at = best_gap(placed, i, &items[i], start, p->device->ops->share);
        insert_by_offset(placed, i, &items[i]);
        if (items[i].at + items[i].bytes > p->arena_bytes)
            p->arena_bytes = items[i].at + items[i].bytes;
    }
    for (int s = 0; s < p->n_steps; s++) p->workspace_at[s] = -1;
    for (int i = 0; i < n; i++) {
        if (items[i].id < p->n_placed)
            p->placed[items[i].id].offset = items[i].at;
        else
            p->workspace_at[items[i].id - p->n_placed] = items[i].at;
    }
    for (int v = 0; v < p->n_placed; v++)
        if (p->placed[v].value != NULL) p->placed[v].offset = p->placed[p->placed[v].root].offset;
    p->unshared_bytes = unshared(p);
    return SUNUP_OK;
}
