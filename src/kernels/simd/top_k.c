/* top_k.c - the k best of each row by taking the best k times, f32.
 *
 * Numbers become whole ones of the same order (NaN the largest), the best the least of them. A row's
 * keys stand in blocks with the least of each beside; to take one is to find its block and its place
 * there, and to make the block's least anew: some 20 vector instructions, no branch that depends on
 * the numbers (insertion, which has, was 3.5 times slower for 16 of 128). A row longer than the room is
 * read in pieces, with the best so far in front, which keeps the first of equals in front.
 */
#include <string.h>

#include "kernels/simd/simd.h"

enum { BLOCK = 64, BLOCKS = 32, ROOM = BLOCK * BLOCKS, TAKEN = INT32_MAX };

struct room {
    int32_t key[ROOM], least[BLOCKS];
    int32_t key_of[TOP_K_MOST], place_of[TOP_K_MOST]; /* the best so far: keys, places in the row */
};

static void to_keys(bool largest, int64_t n, const float *x, int32_t *key)
{
    const int32_t turn = largest ? -1 : 0, nan = INT32_MAX - 1;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const float v = x[i] + 0.0F; /* no -0 */
        int32_t bits;
        memcpy(&bits, &v, sizeof bits);
        const int32_t ordered = bits ^ ((bits >> 31) & INT32_MAX);
        key[i] = (v != v ? nan : ordered) ^ turn;
    }
}

static int32_t least_of(const int32_t key[BLOCK])
{
    int32_t least = TAKEN;
#pragma omp simd reduction(min : least)
    for (int i = 0; i < BLOCK; i++) least = key[i] < least ? key[i] : least;
    return least;
}

/* The first place of a key that is there. */
static int32_t first_of(const int32_t *key, int32_t n, int32_t wanted)
{
    int32_t first = n;
#pragma omp simd reduction(min : first)
    for (int32_t i = 0; i < n; i++) {
        const int32_t at = key[i] == wanted ? i : n;
        first = at < first ? at : first;
    }
    return first;
}

/* The place of the least key, which is taken away. */
static int32_t take(struct room *r, int32_t blocks, int32_t *key)
{
    int32_t least = TAKEN;
    for (int32_t b = 0; b < blocks; b++) least = r->least[b] < least ? r->least[b] : least;
    const int32_t block = first_of(r->least, blocks, least);
    int32_t *const keys = r->key + block * BLOCK;
    const int32_t place = first_of(keys, BLOCK, least);
    keys[place] = TAKEN;
    r->least[block] = least_of(keys);
    *key = least;
    return block * BLOCK + place;
}

/* The best of key[0..n), of which the first `before` are those so far and the rest begin at `from` of
 * the row. */
static void choose(struct room *r, int64_t n, int64_t before, int64_t from, int64_t k)
{
    int32_t keys[TOP_K_MOST], places[TOP_K_MOST];
    const int32_t blocks = (int32_t)((n + BLOCK - 1) / BLOCK);
    for (int64_t i = n; i < (int64_t)blocks * BLOCK; i++) r->key[i] = TAKEN;
    for (int32_t b = 0; b < blocks; b++) r->least[b] = least_of(r->key + b * BLOCK);
    for (int64_t j = 0; j < k; j++) {
        const int32_t at = take(r, blocks, &keys[j]);
        places[j] = at < before ? r->place_of[at] : (int32_t)(from + at - before);
    }
    memcpy(r->key_of, keys, (size_t)k * sizeof *keys);
    memcpy(r->place_of, places, (size_t)k * sizeof *places);
}

/* What is best put in order as it comes: few numbers, or many of them taken. */
static bool is_small(int64_t n, int64_t k)
{
    return n <= BLOCK / 2 || 4 * k > n;
}

static void top_k(bool largest, int64_t rows, int64_t n, int64_t k, const float *x, int32_t *index)
{
    struct room r;
    if (is_small(n, k)) {
        ref_top_k_f32(largest, rows, n, k, x, index);
        return;
    }
    for (int64_t row = 0; row < rows; row++, x += n, index += k) {
        int64_t kept = 0;
        for (int64_t from = 0; from < n;) {
            const int64_t some = n - from < ROOM - kept ? n - from : ROOM - kept;
            memcpy(r.key, r.key_of, (size_t)kept * sizeof *r.key);
            to_keys(largest, some, x + from, r.key + kept);
            const int64_t want = kept + some < k ? kept + some : k;
            choose(&r, kept + some, kept, from, want);
            kept = want;
            from += some;
        }
        memcpy(index, r.place_of, (size_t)k * sizeof *index);
    }
}

void FILL(top_k)(struct kernels *k)
{
    k->f32.top_k = top_k;
}
