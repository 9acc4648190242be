/* product.h - pieces of a gradient that is a product, for one element type; included with REAL, NAME and LEAVES
 * defined, not guarded. */

static void NAME(multiply_rows)(const struct kernels *k, const struct factors *f, int64_t row, int64_t rows,
                                int64_t column, int64_t columns, REAL *to)
{
    const struct NAME(gemm) g = {.m = rows,
                                 .n = columns,
                                 .k = f->terms,
                                 .batch = 1,
                                 .a = (const REAL *)f->x + row,
                                 .a_row = 1,
                                 .a_col = f->rows,
                                 .b = (const REAL *)f->dy + column,
                                 .b_row = f->columns,
                                 .c = to,
                                 .c_row = columns};
    k->LEAVES.gemm(&g);
}

/* Elements [from, from + n): the rest of a row, whole rows, the beginning of one. */
static void NAME(multiply)(const struct kernels *k, const struct factors *f, int64_t from, int64_t n, REAL *to)
{
    int64_t row = from / f->columns, column = from % f->columns;
    while (n > 0) {
        const bool whole = column == 0 && n >= f->columns;
        const int64_t rows = whole ? n / f->columns : 1, columns = whole ? f->columns : least(n, f->columns - column);
        NAME(multiply_rows)(k, f, row, rows, column, columns, to);
        row += rows;
        column = 0;
        to += rows * columns;
        n -= rows * columns;
    }
}
