/* top_k_ref.c - the k best of each row, kept sorted while the row is read: a number that does not beat
 * the last one kept costs a comparison.
 */
#include "kernels/ref/real.h"

static bool beats(bool largest, REAL a, REAL b)
{
    if (a != a || b != b) return largest ? b == b : a == a;
    return largest ? a > b : a < b;
}

void NAME(ref_top_k)(bool largest, int64_t rows, int64_t n, int64_t k, const REAL *x,
                     int32_t *index)
{
    REAL best[TOP_K_MOST];
    for (int64_t r = 0; r < rows; r++, x += n, index += k) {
        for (int64_t i = 0, kept = 0; i < n; i++) {
            if (kept == k && !beats(largest, x[i], best[k - 1])) continue;
            int64_t at = kept < k ? kept++ : k - 1;
            for (; at > 0 && beats(largest, x[i], best[at - 1]); at--) {
                best[at] = best[at - 1];
                index[at] = index[at - 1];
            }
            best[at] = x[i];
            index[at] = (int32_t)i;
        }
    }
}
