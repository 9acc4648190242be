/* import_unit.c - units as benchmarks print them, in SI; collectives in the language of sunup's own
 * benchmarks.
 *
 * K, M, G, T are powers of 1000 and Ki, Mi, Gi, Ti of 1024, as the standard has it; OSU, NCCL and
 * oneCCL divide by powers of 1000 as well. Bits a second are bytes a second: a link's rate is on
 * the axis of what goes over it.
 */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <strings.h>

#include "base/bytes.h"
#include "track/import_read.h"

static const struct {
    const char *text, *si;
    double factor;
    enum track_better better;
} plain[] = {
    {"s", "s", 1, TRACK_LESS},
    {"sec", "s", 1, TRACK_LESS},
    {"seconds", "s", 1, TRACK_LESS},
    {"ms", "s", 1e-3, TRACK_LESS},
    {"msec", "s", 1e-3, TRACK_LESS},
    {"us", "s", 1e-6, TRACK_LESS},
    {"usec", "s", 1e-6, TRACK_LESS},
    {"\xc2\xb5s", "s", 1e-6, TRACK_LESS},
    {"\xce\xbcs", "s", 1e-6, TRACK_LESS},
    {"ns", "s", 1e-9, TRACK_LESS},
    {"min", "s", 60, TRACK_LESS},
    {"h", "s", 3600, TRACK_LESS},
    {"1/s", "1/s", 1, TRACK_MORE},
    {"Hz", "1/s", 1, TRACK_MORE},
    {"%", "", 1e-2, TRACK_NEITHER},
    {"", "", 1, TRACK_NEITHER},
};

/* What follows a prefix; of equal beginnings the longer one is first. */
static const struct {
    const char *text, *si;
    double factor;
    enum track_better better;
    bool any_case;
} prefixed[] = {
    {"B/s", "B/s", 1, TRACK_MORE, false},       {"Bps", "B/s", 1, TRACK_MORE, false},
    {"bit/s", "B/s", 0.125, TRACK_MORE, false}, {"bits/s", "B/s", 0.125, TRACK_MORE, false},
    {"b/s", "B/s", 0.125, TRACK_MORE, false},   {"bps", "B/s", 0.125, TRACK_MORE, false},
    {"B", "B", 1, TRACK_LESS, false},           {"byte", "B", 1, TRACK_LESS, true},
    {"bytes", "B", 1, TRACK_LESS, true},        {"flop/s", "flop/s", 1, TRACK_MORE, true},
    {"flops/s", "flop/s", 1, TRACK_MORE, true}, {"flops", "flop/s", 1, TRACK_MORE, true},
    {"flop", "flop", 1, TRACK_NEITHER, true},
};

/* "Ki" of "KiB/s": what is left, and what it stands for. */
static const char *read_prefix(const char *text, double *factor)
{
    static const char letters[] = "KMGTPE";
    const char *at = text[0] != '\0' ? strchr(letters, text[0] == 'k' ? 'K' : text[0]) : NULL;
    *factor = 1;
    if (at == NULL) return text;
    const int power = (int)(at - letters) + 1;
    const bool binary = text[1] == 'i';
    *factor = pow(binary ? 1024 : 1000, power);
    return text + (binary ? 2 : 1);
}

static bool read_prefixed(const char *text, double factor, struct import_unit *u)
{
    for (size_t i = 0; i < sizeof prefixed / sizeof prefixed[0]; i++) {
        const bool same = prefixed[i].any_case ? strcasecmp(prefixed[i].text, text) == 0
                                               : strcmp(prefixed[i].text, text) == 0;
        if (!same) continue;
        *u = (struct import_unit){prefixed[i].si, factor * prefixed[i].factor, prefixed[i].better, true};
        return true;
    }
    return false;
}

struct import_unit sunup__import_unit(const char *text)
{
    struct import_unit u = {text, 1, TRACK_NEITHER, false};
    double factor;
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        if (strcmp(plain[i].text, text) == 0)
            return (struct import_unit){plain[i].si, plain[i].factor, plain[i].better, true};
    if (read_prefixed(text, 1, &u)) return u;
    const char *rest = read_prefix(text, &factor);
    (void)read_prefixed(rest, factor, &u);
    return u;
}

/* ---------------------------------------------------------------------- collectives --- */

/* "all_reduce_perf", "allreduce", "Allreduce" are "allreduce"; what is unknown is written small,
 * '_' for a blank. */
static size_t put_collective(char *room, size_t bytes, struct slice s)
{
    static const char *const names[][2] = {{"reducescatter", "reduce_scatter"}, {"bcast", "broadcast"}};
    size_t n = 0;
    const struct slice end = sunup__slice("_perf");
    if (s.n > end.n && memcmp(s.s + s.n - end.n, end.s, end.n) == 0) s.n -= end.n;
    for (size_t i = 0; i < s.n && n + 1 < bytes; i++) {
        if (isalnum((unsigned char)s.s[i])) room[n++] = (char)tolower((unsigned char)s.s[i]);
        if (s.s[i] == ' ' && n > 0 && room[n - 1] != '_') room[n++] = '_';
    }
    room[n] = '\0';
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(room, names[i][0]) == 0) n = (size_t)snprintf(room, bytes, "%s", names[i][1]);
    return n;
}

static struct slice type_of(struct slice s)
{
    static const char *const names[][2] = {
        {"float", "f32"},     {"float32", "f32"},     {"MPI_FLOAT", "f32"}, {"double", "f64"},
        {"float64", "f64"},   {"MPI_DOUBLE", "f64"},  {"half", "f16"},      {"float16", "f16"},
        {"bfloat16", "bf16"}, {"int8", "i8"},         {"uint8", "u8"},      {"int32", "i32"},
        {"uint32", "u32"},    {"int64", "i64"},       {"uint64", "u64"},    {"MPI_CHAR", "u8"},
        {"MPI_INT", "i32"},   {"fp8_e4m3", "f8e4m3"}, {"f8e5m2", "f8e5m2"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (sunup__slice_is(s, names[i][0])) return sunup__slice(names[i][1]);
    return s;
}

void sunup__import_collective(char *room, struct slice collective, struct slice dtype, double bytes)
{
    enum { ROOM = 128, NAME = 40 };
    char size[BYTES_TEXT];
    size_t n = put_collective(room, NAME, collective);
    const struct slice type = type_of(dtype);
    if (type.n > 0)
        n += (size_t)snprintf(room + n, ROOM - n, ":%.*s", (int)(type.n < NAME ? type.n : NAME), type.s);
    if (bytes >= 0 && bytes < 1e15)
        (void)snprintf(room + n, ROOM - n, ":%s", sunup__bytes_text((int64_t)bytes, size));
}
