/* table.h - one element type's part of kernels.h; included there with REAL and NAME defined, not guarded. */

/* C[m][n] (+)= sum over i < batch of A_i[m][k] B_i[k][n], then + bias[n], then relu.
 *   A_i(r, p) = a[a_at[i] + r * a_row + p * a_col]     rows may overlap (convolution), a_col = 1 or a_row = 1 is
 *                                                     fast; any strides are right
 *   B_i(p, j) = b[b_at[i] + p * b_row + j]
 * a_at, b_at NULL: zeros. The sum over (i, p) is one chain in this order for each element of C.
 * What the caller needs next may be fetched meanwhile: the tile of C from row r on asks for a line at each (i, p), or
 * for two where it is one vector wide or has less than 4 rows, from ahead + r * ahead_row on, each ahead_step after the
 * one before (so for the same line several times if that is less than a line). A hint: leaves may ignore it. */
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
    const REAL *ahead;  /* or NULL             */
    int64_t ahead_row, ahead_step;
};

/* Rows of attention scores, [rows][n], `row` apart: row r sees the first see + r keys (none if that is below 0). */
struct NAME(attention) {
    int64_t rows, n, row, see;
    REAL scale;
    const REAL *bias;   /* [rows][n], rows bias_row apart, or NULL; -inf hides a key */
    int64_t bias_row;
};

/* Winograd F(4x4, 3x3) and F(2x2, 5x5), see ref/winograd_ref.c. `taps` is 3 or 5, the side of a tile of y (or dy)
 * 7 - taps. Numbers of a tile are spread over 36 matrices, `frequency` 6 i + j (i along H), `*_frequency` elements
 * apart; rows of a matrix are tiles. */

/* V = B^T x B of a run of tiles along W: tile i takes the 6 columns from number (7 - taps) i on. A point's offset in x
 * is the sum of its row's and its column's; where one is -1 the point is zero. So tiles may reach over the edges of a
 * map, wrap, or span several maps. Columns of a tile that are all x_point apart are a little faster. */
struct NAME(winograd_input) {
    int64_t taps, tiles, channels;
    const REAL *x;
    const int64_t *row, *column;    /* offsets [6], [(7 - taps) tiles + taps - 1] */
    int64_t x_point;
    REAL *v;
    int64_t v_tile, v_frequency;
};
/* U = G w G^T of rows x n pairs of channels; tap r, s at w + (taps r + s) w_tap, which may be negative. */
struct NAME(winograd_weights) {
    int64_t taps, rows, n;
    const REAL *w;
    int64_t w_row, w_tap;
    REAL *u;
    int64_t u_row, u_frequency;
};
/* y = A^T M A + bias of a run of tiles along W: tile i gives 7 - taps columns, from number (7 - taps) i on, of as many
 * rows. Offsets as above; points without one are not stored. */
struct NAME(winograd_output) {
    int64_t taps, tiles, channels;
    const REAL *m;
    int64_t m_tile, m_frequency;
    const REAL *bias;   /* [channels] or NULL */
    REAL *y;
    const int64_t *row, *column;    /* [7 - taps], [(7 - taps) tiles] */
    int64_t y_point;
    bool stream;        /* y is not read soon: it may go past the caches */
};

struct NAME(leaves) {
#define LEAF(name, ...) void (*name)(__VA_ARGS__);
#include "kernels/leaves.def"
#undef LEAF
};

#define LEAF(name, ...) void NAME(ref_##name)(__VA_ARGS__);
#include "kernels/leaves.def"
#undef LEAF
