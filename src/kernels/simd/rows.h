/* rows.h - sums and maxima along one row of n floats, in vectors.
 *
 * A sum has 32 partial sums, folded as a tree and added in double after each 1024 terms: at most
 * 32 + 5 roundings in float on the way of any term, however long the row. The order depends on n
 * only. SUM_ROW is a macro because its term is any expression of the index j.
 */
#ifndef SUNUP_KERNELS_SIMD_ROWS_H
#define SUNUP_KERNELS_SIMD_ROWS_H

#include <math.h>

#include "kernels/simd/simd.h"

enum { ROW_LANES = 32, ROW_BLOCK = 1024 };

static inline float fold(float *lane)
{
    for (int half = ROW_LANES / 2; half > 0; half /= 2) {
        for (int l = 0; l < half; l++) lane[l] += lane[l + half];
    }
    return lane[0];
}

/* sum (a double) = sum over j < n of term */
#define SUM_ROW(sum, n, term)                                                                      \
    do {                                                                                           \
        (sum) = 0;                                                                                 \
        for (int64_t at_ = 0; at_ < (n); at_ += ROW_BLOCK) {                                       \
            const int64_t end_ = (n)-at_ < ROW_BLOCK ? (n) : at_ + ROW_BLOCK;                      \
            float lane_[ROW_LANES] = {0};                                                          \
            int64_t base_ = at_;                                                                   \
            for (; base_ + ROW_LANES <= end_; base_ += ROW_LANES) {                                \
                _Pragma("omp simd") for (int l_ = 0; l_ < ROW_LANES; l_++)                         \
                {                                                                                  \
                    const int64_t j = base_ + l_;                                                  \
                    lane_[l_] += (term);                                                           \
                }                                                                                  \
            }                                                                                      \
            _Pragma("omp simd") for (int64_t l_ = 0; l_ < end_ - base_; l_++)                      \
            {                                                                                      \
                const int64_t j = base_ + l_;                                                      \
                lane_[l_] += (term);                                                               \
            }                                                                                      \
            (sum) += (double)fold(lane_);                                                          \
        }                                                                                          \
    } while (0)

/* NaN is the largest number. */
static inline float larger(float best, float x)
{
    return ((x > best) | (x != x)) ? x : best;
}

static inline float row_max(int64_t n, const float *x)
{
    float lane[ROW_LANES];
    for (int l = 0; l < ROW_LANES; l++) lane[l] = -INFINITY;
    int64_t base = 0;
    for (; base + ROW_LANES <= n; base += ROW_LANES) {
#pragma omp simd
        for (int l = 0; l < ROW_LANES; l++) lane[l] = larger(lane[l], x[base + l]);
    }
    for (int64_t l = 0; l < n - base; l++) lane[l] = larger(lane[l], x[base + l]);
    for (int half = ROW_LANES / 2; half > 0; half /= 2) {
        for (int l = 0; l < half; l++) lane[l] = larger(lane[l], lane[l + half]);
    }
    return lane[0];
}

#endif
