/* dropout.c - dropout by Philox in vectors (philox.h): the same bits as dropout_ref.c. */
#include <math.h>

#include "kernels/simd/philox.h"
#include "kernels/simd/rows.h"

#ifdef __AVX512F__
/* x where number >= least, else 0 */
INLINE vec kept(const uint32_t *number, uint32_t least, vec x)
{
    const __m512i drawn = _mm512_loadu_si512(number);
    return _mm512_maskz_mov_ps(_mm512_cmpge_epu32_mask(drawn, _mm512_set1_epi32((int)least)), x);
}
#else
INLINE vec kept(const uint32_t *number, uint32_t least, vec x)
{
    const __m256i drawn = _mm256_loadu_si256((const __m256i *)(const void *)number);
    const __m256i most = _mm256_max_epu32(drawn, _mm256_set1_epi32((int)least));
    return _mm256_and_ps(x, _mm256_castsi256_ps(_mm256_cmpeq_epi32(most, drawn)));
}
#endif

static void dropout(int64_t n, const float *x, const struct random_stream *s, uint64_t first,
                    double p, float *y)
{
    const struct philox philox = philox_of(s);
    const double limit = ceil(p * 0x1p32); /* number >= p 2^32 */
    if (limit >= 0x1p32) {
        for (int64_t i = 0; i < n; i++) y[i] = 0;
        return;
    }
    const uint32_t least = limit > 0 ? (uint32_t)limit : 0;
    const vec scale = vec_set((float)(1 / (1 - p)));
    _Alignas(64) uint32_t number[4 * BLOCKS + VEC_LANES] = {0}; /* the last: read, not used */
    for (int64_t i = 0; i < n;) {
        const uint64_t at = first + (uint64_t)i;
        const uint32_t *from = number + at % 4;
        const int64_t room = 4 * BLOCKS - (int64_t)(at % 4), m = n - i < room ? n - i : room;
        draw_all(&philox, at / 4, number);
        ALONG(m, const vec v = vec_load_part(x + i + j, left) * scale;
              vec_store_part(y + i + j, kept(from + j, least, v), left););
        i += m;
    }
}

void FILL(dropout)(struct kernels *k)
{
    k->f32.dropout = dropout;
}
