/* product_cut.c - the cost model of matrix products: which operand is packed, how large blocks are,
 * how many items the threads share.
 *
 * Measured with the 512-bit leaf, shares of one core's peak, on Zen 4 (1 MB L2, close L3) and where
 * named on Sapphire Rapids (2 MB L2, L3 across a mesh, two multiply-adds a cycle):
 * - B is packed into panels when many rows use it (then a copy costs 1-3 %), or if it comes
 *   transposed. Few rows read it in place; from memory in steps so short that it is read row by
 *   row (32 rows on Sapphire Rapids: 160 to 240 GFLOP/s of 470).
 *   With a close L3 the copy of an element counts as two cycles, what it takes from memory, so that items have all
 *   rows rather than half of them (Zen 4: 2 to 4 % on 1024 x 1000 x 1000, 5270 and on 4096 x 1024 x 256).
 * - B that stays from run to run is packed once, so that more rows gain (a tenth to a quarter where 128 use it, or 4 to
 *   32 one of 1 MB or with rows that begin within a line). What few rows read from memory is not: a panel is one run
 *   where rows in place, or a transposed B's columns, are many to be fetched at a time (20 to 35 % on Sapphire Rapids).
 * - A is read in place, by broadcasts: the out-of-order window hides the second level's latency.
 *   Rows a multiple of 4 KB apart, which meet in one set of the first level, are copied (15 %), and
 *   so is, with a far L3, a transposed A, of which each step of the sum would use another page and half
 *   a line (20 to 25 % on Sapphire Rapids), if there are panels enough to repay it: 56 columns at a time, of whose
 *   lines less is fetched in vain (Xeon with AMX: 3 to 4 % on 768 to 3000 x 1000 of 512 terms; more fill the L2).
 *   They are four strips of one tile each: two tiles of a strip would both read all its lines (Emerald Rapids
 *   without AMX: 3 to 9 % of the same products).
 *   With a close one, the steps of a transposed A and of its B run in place (Zen 5: 5 to 9 % against both copied),
 *   but for a large C with at least twice as many rows as columns: B is packed once, by all threads, and A a strip of
 *   56 columns at a time (Zen 4: 3 to 6 % on 3000 x 1000 and 5270 x 1000 of 512 and 1024 terms; 768 x 768 loses 5 %).
 * - A panel of B passes through the second level once for each strip of A. With a close L3 a strip is
 *   as tall as half of that level holds, and nothing need be fetched ahead (Zen 5: 3 to 6 % against
 *   strips of 28 rows and their fetching).
 * - C is loaded and stored once a step, so deep steps cost least: 1024 instead of 512 is worth 1 %
 *   on 512 x 1000 x 1000, 3 % on 2048 cubed. With a close L3, blocks of B of 2 MB are no worse than
 *   smaller ones; with a far one they must stay in L2: half of it, any shape (10 % on 2048 cubed).
 * - Latency of memory is what remains (packing read it at a fifth of the stream's speed), so with a
 *   close L3 few rows fetch the next rows of A, B and C a few lines at a time before each call (Zen 4:
 *   2 times on skinny sizes; on operands that stay in the caches it costs 3-5 %).
 *   Sapphire Rapids' own prefetcher does better (5-10 %, skinny 15 %): requests wait for one of 16
 *   buffers. More rows leave the asking to the calls, a line each step: the next strip of A, and of
 *   C where sums are too short for the leaf's own fetching, if they are runs of memory. A strip is
 *   then half as tall (Zen 4: 4096 x 256 x 256 with B transposed 2.4 instead of 2.85 ms, 64 of
 *   256 x 256 x 32 1.55 instead of 2.45, of 256 x 32 x 256 1.2 instead of 1.8). With a far L3 the first
 *   call on a strip otherwise takes twice as long as the others, since fourteen rows at a time hide from the
 *   prefetcher (Emerald Rapids without AMX, old and new in turn: 256 x 32 and 64 x 64 in batches 6 to 11 %, 256 x 256
 *   x 32 15 %, 4096 x 256 of 1024 terms 3 %, x 768 and 1024 of 256 terms 1 %).
 * - A C of half of a close third level, or of 32 MB beside a far one, and more with short sums is stored past the
 *   caches, which else read it first (77360 x 200 x 20 on Zen 4 4.1 instead of 6.8 ms, on Emerald Rapids with AMX 5.1
 *   instead of 9.4; there 64 of 256 x 256 x 32, 16 MB, lose an eighth).
 */
#include "device/cpu/product.h"

#include "base/system.h"

enum {
    TILE = 14,           /* rows of the leaf's tallest two-vector tile */
    STRIP = 2 * TILE,    /* rows of A a call, at least */
    WIDEST = 512,        /* columns of a packed block */
    DEEPEST = 1024,      /* its rows: of a step */
    FEW_ROWS = 48,       /* fewer do not pay for packing B */
    HARDLY_ROWS = 4,     /* nor for reading it packed if that costs nothing */
    SHORT = 48,          /* terms of sums in which the leaf does not fetch C itself */
    ONE_STRIP = 28,      /* as few rows use a transposed panel at once, from the first level */
    TALL_C = 1 << 20,    /* elements of a C for which a transposed A and its B are copied */
    NEAR = 1 << 18,      /* elements of B that the second level holds beside the rest */
    CACHED = 1 << 20,    /* elements of A, B and C that stay in cache from run to run */
    STREAM_FAR_BYTES = 32 << 20, /* of C: a far third level is shared by many cores */
    ITEMS_PER_THREAD = 4,
    MOST_LINES = 192 /* fetched before a call: more would be waited for */
};

/* What differs between the machines above. */
static const struct machine {
    bool ahead;            /* fetching pays */
    double multiply_adds;  /* a cycle */
    double pack_b, read_b; /* cycles an element; read in place, from beyond the second level */
    double wake;           /* cycles that another thread's help costs, with what it has to fetch */
    int64_t streamed;      /* elements of B from which it comes from afar */
} near_l3 = {true, 16, 2, 0, 10000, 2 << 20}, far_l3 = {false, 32, 1.5, 0.5, 20000, NEAR};

static const struct machine *machine(void)
{
    return sunup__level3_far() ? &far_l3 : &near_l3;
}

static bool meet_in_one_set(int64_t stride)
{
    return stride >= 1024 && stride % 1024 < LINE;
}

/* Cycles of an item: multiply-adds of whole vectors, C once a step, calls, A and B from
 * afar; B in place has runs that start anew in each row. */
static double item_cycles(const struct product *p)
{
    const double rows = (double)p->rows, columns = (double)p->columns, k = (double)p->k;
    const double steps = (double)ceil_div(p->k, p->depth);
    const double calls = steps * (double)(ceil_div(p->rows, STRIP) * ceil_div(p->columns, PANEL));
    const struct machine *on = machine();
    double cycles = rows * columns * (k + 3 * steps) / on->multiply_adds + 50 * calls + 300;
    cycles += rows * k * (p->pack_a ? 1 : 0.5);
    if (p->pack_b && !p->prepared) return cycles + columns * k * on->pack_b * (p->b_col == 1 ? 1 : 1.2);
    if (!p->prepared) cycles += 50 * k;
    return cycles + (p->k * p->n >= NEAR ? columns * k * on->read_b : 0);
}

/* Until the last thread is ready; a thirtieth of an item more, since threads never run alike. */
static double total_cycles(struct product *p, int threads, int64_t items_m, int64_t items_n)
{
    p->items_m = items_m;
    p->items_n = items_n;
    p->rows = ceil_div(p->m, items_m);
    p->columns = ceil_div(ceil_div(p->n, LINE), items_n) * LINE;
    const int64_t items = p->batch * items_m * items_n;
    const double one = item_cycles(p);
    if (items == 1) return one;
    return ((double)ceil_div(items, threads) + 0.03) * one + machine()->wake;
}

static void cut_evenly(struct product *p, int threads)
{
    const int64_t most = (int64_t)threads * ITEMS_PER_THREAD;
    const int64_t fewest_n = p->pack_b ? ceil_div(p->n, WIDEST) : 1;
    double best = 0;
    int64_t best_m = 1, best_n = fewest_n;
    for (int64_t im = 1; im <= least(ceil_div(p->m, STRIP), most); im++) {
        for (int64_t in = fewest_n; in <= least(ceil_div(p->n, PANEL), fewest_n + most); in++) {
            const double cycles = total_cycles(p, threads, im, in);
            if (best > 0 && cycles >= best) continue;
            best = cycles;
            best_m = im;
            best_n = in;
        }
    }
    (void)total_cycles(p, threads, best_m, best_n);
}

/* As many tasks as waste no thread's last turn. */
static void group_items(struct product *p, int threads)
{
    const int64_t items = p->batch * p->items_m * p->items_n;
    int64_t fewest = INT64_MAX;
    p->tasks = 1;
    if ((double)items * item_cycles(p) < 2 * machine()->wake) return;
    for (int64_t t = 1; t <= least(items, (int64_t)threads * ITEMS_PER_THREAD); t++) {
        const int64_t turns = ceil_div(items, t) * ceil_div(t, threads);
        if (turns > fewest) continue;
        fewest = turns;
        p->tasks = t;
    }
}

/* Lines of rows x n floats, for each of `calls`. */
static int64_t lines(int64_t rows, int64_t n, int64_t calls)
{
    return least(ceil_div(rows * (n / LINE + 2), calls), MOST_LINES);
}

static void fetch_evenly(struct product *p)
{
    const int64_t panels = ceil_div(p->columns, PANEL),
                  calls = panels * ceil_div(p->rows, p->strip);
    p->lines_a =
        p->a_col == 1 ? lines(p->strip, p->depth, panels) : lines(p->depth, p->strip, panels);
    p->lines_b =
        p->b_col == 1 ? lines(p->depth, p->columns, calls) : lines(p->columns, p->depth, calls);
    p->lines_c = lines(p->strip, p->columns, panels);
}

/* B lies in the second levels of all threads from one run to the next. */
static bool in_level2(const struct product *p, int threads)
{
    const int64_t bytes = p->k * p->n * (int64_t)sizeof(float);
    return p->batch == 1 && bytes <= threads * (int64_t)sunup__cache_bytes(2);
}

/* Rows of a B that is read in place and from afar, few enough that memory sees long runs. With a
 * far L3 a thread's share of them is 128 KB; a B that the second levels hold has no rows to be read
 * in order, and deep steps load C least (one row of 1000 x 1000: 37 us in one step, 58 in steps of
 * 16; from 16 rows on no difference). */
static int64_t rows_at_once(const struct product *p, int threads)
{
    enum { FEWEST = 32, MOST = 256, SHARE = 1 << 15 };
    if (!sunup__level3_far()) return p->m <= 2 ? 16 : p->m <= 8 ? 32 : 64;
    if (p->m <= 8 && in_level2(p, threads)) return DEEPEST;
    if (p->m <= 2) return FEWEST;
    const int64_t rows = SHARE / ceil_div(p->n, threads);
    return rows < FEWEST ? FEWEST : least(rows, MOST);
}

/* Steps of k. Rows few and B from memory: the fewer they are, the less a step costs that reads long
 * runs of B; a transposed B has its runs along k. With a far L3 a panel of it that stays in the
 * first level is worth more than long runs (one row of 1000 x 1000: 58 us in steps of 64, 92 in
 * one). */
static int64_t depth(const struct product *p, bool streamed, int threads)
{
    int64_t deepest = DEEPEST;
    if (p->pack_b && sunup__level3_far()) {
        const int64_t block = sunup__cache_bytes(2) / 2 / (int64_t)sizeof(float);
        deepest = least(DEEPEST, block / least(WIDEST, round_up(p->n, PANEL)));
    }
    if (p->b_col != 1 && p->m <= ONE_STRIP && streamed)
        deepest = p->m < 8 && !sunup__level3_far() ? 2048 : 64;
    if (!p->pack_b && p->m < FEW_ROWS && streamed) deepest = rows_at_once(p, threads);
    return p->k > 0 ? round_up(ceil_div(p->k, ceil_div(p->k, deepest)), 8) : 8;
}

bool sunup__product_tall(const struct product *p)
{
    return p->batch == 1 && p->a_col != 1 && p->b_col == 1 && p->k <= DEEPEST && p->m >= 2 * p->n &&
           p->m * p->n >= TALL_C && p->k * p->n >= NEAR && !sunup__level3_far();
}

/* A transposed A and its B, both used where they are: if the sum is one step, else C would have to be near, too. */
static bool in_place(const struct product *p)
{
    return !sunup__product_tall(p) && p->a_col != 1 && p->b_col == 1 && p->k <= DEEPEST && !sunup__level3_far();
}

/* With a close L3, B that it holds is packed beforehand for few rows, too (32 of 1024 x 1024 on Zen 5: 137 us, in
 * place 255). */
static bool packing_pays(const struct product *p)
{
    if (p->b_col != 1) return true;
    if (!p->stays) return p->m >= FEW_ROWS && p->k * p->n >= NEAR && !in_place(p);
    const bool split = p->n % LINE != 0 && p->k * p->n <= CACHED; /* rows of B that begin within a line */
    const int64_t held = sunup__level3_far() ? NEAR : machine()->streamed - 1;
    return p->m >= FEW_ROWS || (p->m >= HARDLY_ROWS && (split || p->k * p->n <= held));
}

/* Whole rows of A, each strip and each matrix right behind the one before, and not in the caches from run to run. */
static bool asking_pays(const struct product *p, bool cached)
{
    return !cached && p->m >= FEW_ROWS && p->k > 0 && p->k <= p->depth && p->a_col == 1 &&
           p->a_row == p->k && (p->batch == 1 || p->a_step == p->m * p->k);
}

/* C is so large that nobody finds it in a cache, and there is little to overlap its way with. */
static bool streaming_pays(const struct product *p)
{
    const int64_t bytes = sunup__level3_far() ? STREAM_FAR_BYTES : sunup__cache_bytes(3) / 2;
    return p->m >= FEW_ROWS && p->k <= SHORT && p->items_n == 1 &&
           p->batch * p->m * p->n >= bytes / (int64_t)sizeof(float);
}

/* Rows of A a call, whole tiles of them with a close L3. */
static int64_t strip(const struct product *p)
{
    if (!p->pack_b && p->m < FEW_ROWS) return p->rows;
    if (p->asks_c || p->stream) return least(p->rows, STRIP);
    if (p->pack_a && p->a_col != 1 && sunup__level3_far()) return least(p->rows, TILE);
    if (sunup__level3_far()) return ceil_div(p->rows, ceil_div(p->rows, STRIP));
    const int64_t part = sunup__cache_bytes(2) / (p->asks_a ? 4 : 2) / (int64_t)sizeof(float);
    const int64_t room = part / p->depth / TILE * TILE, most = room < STRIP ? STRIP : room;
    return least(p->rows, round_up(ceil_div(p->rows, ceil_div(p->rows, most)), TILE));
}

void sunup__product_cut(struct product *p, int threads)
{
    const bool cached = p->batch * (p->m * p->k + p->k * p->n + p->m * p->n) <= CACHED;
    const bool streamed = p->k * p->n >= machine()->streamed;
    const bool tall = sunup__product_tall(p);
    p->pack_b = packing_pays(p);
    p->prepared = p->pack_b && (tall || (p->stays && (p->b_col == 1 || p->m > ONE_STRIP || !streamed)));
    p->pack_a = p->m >= 8 && !in_place(p) &&
                ((p->n >= 4 * PANEL && meet_in_one_set(p->a_row * p->a_col)) ||
                 (p->n >= 8 * PANEL && p->a_col != 1));
    p->ahead = machine()->ahead && !cached && p->k > 0 && p->m < FEW_ROWS && streamed;
    p->depth = depth(p, streamed, threads);
    if (p->b_col != 1 && p->m <= ONE_STRIP) {
        (void)total_cycles(p, threads, 1, ceil_div(p->n, PANEL));
    } else if (tall) {
        (void)total_cycles(p, threads, ceil_div(p->m, 2 * STRIP), 1);
    } else {
        cut_evenly(p, threads);
    }
    group_items(p, threads);
    p->asks_a = asking_pays(p, cached);
    p->stream = streaming_pays(p);
    p->asks_c = p->asks_a && p->k <= SHORT && p->items_n == 1 && !p->stream;
    p->strip = strip(p);
    /* An odd number of lines: panels meet in no set. */
    p->panel = PANEL * (p->prepared ? p->k : p->depth) + LINE;
    p->strip_a = round_up(p->strip * (p->depth + LINE), LINE);
    p->strips = p->a_col != 1 && sunup__level3_far() ? 4 : 1;
    p->slot = (p->pack_b && !p->prepared ? ceil_div(p->columns, PANEL) * p->panel : 0) +
              (p->pack_a ? p->strips * p->strip_a : 0) + (p->stream ? round_up(p->strip * p->n, LINE) : 0);
    fetch_evenly(p);
    p->calls = p->batch > 1 && p->items_m * p->items_n == 1 && !p->pack_a && !p->pack_b && !p->ahead && !p->asks_a &&
               !p->stream && p->strip >= p->m && p->depth >= p->k;
}
