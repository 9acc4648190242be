/* table.h - one element type's part of kernels.h; included there with REAL and NAME defined, not guarded. */

/* C[m][n] (+)= sum over i < batch of A_i[m][k] B_i[k][n], then + bias[n], then relu.
 *   A_i(r, p) = a[a_at[i] + r * a_row + p * a_col]     rows may overlap (convolution), a_col = 1 or a_row = 1 is
 *                                                     fast; any strides are right
 *   B_i(p, j) = b[b_at[i] + p * b_row + j]
 * a_at, b_at NULL: zeros. The sum over (i, p) is one chain in this order for each element of C. */
struct NAME(gemm) {
    int64_t m, n, k, batch;
    const REAL *a;
    int64_t a_row, a_col;
    const int64_t *a_at;
    const REAL *b;
    int64_t b_row;
    const int64_t *b_at;
    REAL *c;
    int64_t c_row;
    bool accumulate;    /* C += instead of C = */
    const REAL *bias;   /* [n] or NULL         */
    bool relu;
};

/* Rows of attention scores, [rows][n] dense: row r sees the first see + r keys (none if that is below 0). */
struct NAME(attention) {
    int64_t rows, n, see;
    REAL scale;
    const REAL *bias;   /* [rows][n], rows bias_row apart, or NULL; -inf hides a key */
    int64_t bias_row;
};

struct NAME(leaves) {
#define LEAF(name, ...) void (*name)(__VA_ARGS__);
#include "kernels/leaves.def"
#undef LEAF
};

#define LEAF(name, ...) void NAME(ref_##name)(__VA_ARGS__);
#include "kernels/leaves.def"
#undef LEAF
