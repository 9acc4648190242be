/* random.c - uniform and normal numbers, f32: Philox in vectors, then random_ref.c's formulas without a
 * branch for a whole batch of words, of which the ends may not be wanted.
 */
#include "kernels/simd/math.h"
#include "kernels/simd/philox.h"

enum { BATCH = 4 * BLOCKS };

static void uniforms(const uint32_t *word, float *y)
{
#pragma omp simd
    for (int i = 0; i < BATCH; i++) {
        const float v = (float)word[i] * 0x1p-32F;
        y[i] = v < 1.0F ? v : 1.0F - 0x1p-24F;
    }
}

static void normals(const uint32_t *word, float *y)
{
    float radius[BATCH / 2], cosine[BATCH / 2], sine[BATCH / 2];
#pragma omp simd
    for (int i = 0; i < BATCH / 2; i++) radius[i] = sqrtf(-2.0F * fast_log_word(word[2 * i]));
#pragma omp simd
    for (int i = 0; i < BATCH / 2; i++) {
        const uint32_t turn = word[2 * i + 1], quarters = (turn + 0x20000000U) >> 30;
        const float angle = (float)(int32_t)(turn - (quarters << 30)) * 0x1.921fb6p-30F;
        cosine[i] = radius[i] * sine_of(angle, quarters + 1);
        sine[i] = radius[i] * sine_of(angle, quarters);
    }
    for (int i = 0; i < BATCH; i++) y[i] = i % 2 ? sine[i / 2] : cosine[i / 2];
}

static void random_numbers(bool normal, int64_t n, const struct random_stream *s, uint64_t first,
                           float *y)
{
    const struct philox philox = philox_of(s);
    _Alignas(64) uint32_t word[BATCH];
    float batch[BATCH];
    for (int64_t i = 0; i < n;) {
        const uint64_t at = first + (uint64_t)i;
        const int64_t skip = (int64_t)(at % 4), room = BATCH - skip,
                      m = n - i < room ? n - i : room;
        draw_all(&philox, at / 4, word);
        if (normal)
            normals(word, batch);
        else
            uniforms(word, batch);
        memcpy(y + i, batch + skip, (size_t)m * sizeof *y);
        i += m;
    }
}

void FILL(random)(struct kernels *k)
{
    k->f32.random = random_numbers;
}
