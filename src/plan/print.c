/* print.c - the steps of a plan as a table for people; a column is as wide as its widest entry. */
#include <stdio.h>
#include <string.h>

#include "plan/stages.h"

enum { COLUMNS = 7, CELL = 256 };
static const char *const titles[COLUMNS] = {"step",  "layer", "maker", "problem",
                                            "shape", "flops", "bytes"};

struct row {
    char cell[COLUMNS][CELL];
};

static void number(char cell[CELL], double x)
{
    static const char *const unit[] = {"", " k", " M", " G", " T", " P"};
    int i = 0;
    for (; x >= 9999.5 && i < 5; i++) x /= 1000;
    snprintf(cell, CELL, "%.*f%s", i > 0 && x < 99.95 ? 1 : 0, x, unit[i]);
}

static void fill_row(const struct step *s, struct row *r)
{
    const struct node *n = s->node;
    const struct cost cost = sunup__node_cost(n);
    char shape[SHAPE_TEXT];
    snprintf(r->cell[0], CELL, "%d", s->number);
    snprintf(r->cell[1], CELL, "%s", n->layer);
    snprintf(r->cell[2], CELL, "%s", s->maker->name);
    sunup__problem_text(n, r->cell[3], CELL);
    snprintf(r->cell[4], CELL, "%s%s", sunup__shape_text(&n->out[0]->shape, shape),
             n->n_out > 1 ? " ..." : "");
    number(r->cell[5], cost.flops);
    number(r->cell[6], cost.bytes);
}

static void print_row(struct text *t, const struct row *r, const int width[COLUMNS])
{
    for (int c = 0; c < COLUMNS; c++) {
        const bool right = c == 0 || c >= 5;
        sunup__text(t, "%s%*s", c > 0 ? "  " : "", right ? width[c] : -width[c], r->cell[c]);
    }
    sunup__text(t, "\n");
}

static void totals(const sunup_plan *p, struct text *t)
{
    char flops[CELL], bytes[CELL], arena[CELL], unshared[CELL];
    number(flops, p->flops);
    number(bytes, p->bytes);
    number(arena, (double)p->arena_bytes);
    number(unshared, (double)p->unshared_bytes);
    if (p->n_again > 0)
        sunup__text(t, "%d forward nodes run again to save memory\n", p->n_again);
    sunup__text(t,
                "%d steps on %s, %s flops, %s bytes moved; arena %s bytes (%s without sharing)\n",
                p->n_steps, p->device->ops->name, flops, bytes, arena, unshared);
}

char *sunup_plan_print(const sunup_plan *plan)
{
    if (plan == NULL) return NULL;
    struct row *rows = sunup__alloc((size_t)(plan->n_steps + 1) * sizeof *rows);
    if (rows == NULL) return NULL;
    for (int c = 0; c < COLUMNS; c++) snprintf(rows[0].cell[c], CELL, "%s", titles[c]);
    for (int i = 0; i < plan->n_steps; i++) fill_row(&plan->steps[i], &rows[i + 1]);
    int width[COLUMNS] = {0};
    for (int i = 0; i <= plan->n_steps; i++)
        for (int c = 0; c < COLUMNS; c++)
            if ((int)strlen(rows[i].cell[c]) > width[c]) width[c] = (int)strlen(rows[i].cell[c]);
    struct text t = {0};
    for (int i = 0; i <= plan->n_steps; i++) print_row(&t, &rows[i], width);
    totals(plan, &t);
    sunup__free(rows);
    return t.s;
}
