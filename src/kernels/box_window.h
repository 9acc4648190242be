/* box_window.h - depthwise 3x3 with stride 1: strips of P points, walked down row by row, so that each
 * vector of x is loaded once for its nine products. Part of box_tile.h, where an instruction set has
 * registers for 9 weights and 3 P sums. Sums run over the taps in the order of box_tile.h.
 */
/* One row of x with the three rows of targets that read it: its sums are the third, the second and
 * the first part of theirs. */
INLINE void window_row(const float *x, int64_t step, const VEC *w, VEC *third, VEC *second,
                       VEC *first, const int P)
{
    UNROLL
    for (int q = 0; q < P + 2; q++) {
        const VEC xv = LOAD(x + q * step);
        __builtin_prefetch(x + q * step + LANES, 0, 2);
        UNROLL
        for (int s = 0; s < 3; s++) {
            if (q - s < 0 || q - s >= P) continue;
            third[q - s] = FMA(xv, w[6 + s], third[q - s]);
            second[q - s] = FMA(xv, w[3 + s], second[q - s]);
            first[q - s] = FMA(xv, w[s], first[q - s]);
        }
    }
}

/* P points of all rows of the box: each vector of x is loaded once for its nine products. Sums that
 * would begin or end outside are dropped. */
INLINE void window_tile(const struct tile *t, const int P)
{
    const struct box *b = t->b;
    const float *x = t->x + b->x_at[0];
    float *y = t->y;
    VEC w[9], third[WINDOW_POINTS], second[WINDOW_POINTS], first[WINDOW_POINTS];
    UNROLL
    for (int i = 0; i < 9; i++) w[i] = LOAD(t->w + b->w_at[i]);
    UNROLL
    for (int p = 0; p < P; p++) second[p] = first[p] = ZERO();
    for (int64_t row = -2; row < b->rows; row++, x += b->x_row) {
        UNROLL
        for (int p = 0; p < P; p++) third[p] = second[p], second[p] = first[p], first[p] = ZERO();
        window_row(x, b->x_point, w, third, second, first, P);
        if (row < 0) continue;
        UNROLL
        for (int p = 0; p < P; p++) __builtin_prefetch(y + p * b->y_point + LANES, 1, 2);
        UNROLL
        for (int p = 0; p < P; p++)
            STORE(y + p * b->y_point, t->bias ? ADD(third[p], LOAD(t->bias)) : third[p]);
        y += b->y_row;
    }
}

/* One row of x with the rows of dy that read it; at the ends of a box some are not there. */
INLINE void window_grad_row(const float *x, int64_t step, const VEC *third, const VEC *second,
                            const VEC *first, VEC *acc, const int P)
{
    UNROLL
    for (int q = 0; q < P + 2; q++) {
        const VEC xv = LOAD(x + q * step);
        UNROLL
        for (int s = 0; s < 3; s++) {
            if (q - s < 0 || q - s >= P) continue;
            if (first) acc[s] = FMA(xv, first[q - s], acc[s]);
            if (second) acc[3 + s] = FMA(xv, second[q - s], acc[3 + s]);
            if (third) acc[6 + s] = FMA(xv, third[q - s], acc[6 + s]);
        }
    }
}

/* Two rows at least. */
INLINE void window_grad_tile(const struct tile *t, float *dw, const int P)
{
    const struct box *b = t->b;
    const int64_t step = b->x_point;
    const float *x = t->x + b->x_at[0], *dy = t->dy;
    VEC acc[9], third[WINDOW_POINTS], second[WINDOW_POINTS], first[WINDOW_POINTS];
    UNROLL
    for (int i = 0; i < 9; i++) acc[i] = ZERO();
    UNROLL
    for (int p = 0; p < P; p++) second[p] = LOAD(dy + p * b->y_point);
    window_grad_row(x, step, NULL, NULL, second, acc, P);
    dy += b->y_row;
    UNROLL
    for (int p = 0; p < P; p++) first[p] = LOAD(dy + p * b->y_point);
    window_grad_row(x += b->x_row, step, NULL, second, first, acc, P);
    for (int64_t row = 2; row < b->rows; row++) {
        dy += b->y_row;
        UNROLL
        for (int p = 0; p < P; p++) {
            third[p] = second[p], second[p] = first[p];
            first[p] = LOAD(dy + p * b->y_point);
        }
        window_grad_row(x += b->x_row, step, third, second, first, acc, P);
    }
    window_grad_row(x += b->x_row, step, second, first, NULL, acc, P);
    window_grad_row(x += b->x_row, step, first, NULL, NULL, acc, P);
    UNROLL
    for (int i = 0; i < 9; i++)
        STORE(dw + b->w_at[i], ADD(LOAD(dw + b->w_at[i]), acc[i]));
}

/* Longer rows are those of maps that come from memory, which is best read as it lies. */
enum { WINDOW_MOST = 28 };

static bool is_window(const struct box *b)
{
    if (b->turns != 1 || b->taps != 9 || b->groups < LANES) return false;
    if (b->points > WINDOW_MOST) return false;
    for (int i = 0; i < 9; i++)
        if (b->x_at[i] - b->x_at[0] != i / 3 * b->x_row + i % 3 * b->x_point) return false;
    return true;
}
