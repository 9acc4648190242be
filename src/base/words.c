/* words.c - the nearest word, by the optimal string alignment distance.
 *
 * Owes: the distance and what counts as near. Leaves the lists of words to their owners.
 * Invariant: no allocation; words longer than LONGEST letters are near nothing.
 * Source: Damerau, "A technique for computer detection and correction of spelling errors", CACM 7 (1964), restricted
 * to swaps of neighbours that are not edited again.
 */
#include "base/words.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { LONGEST = 63 };

static int lower(char c)
{
    return tolower((unsigned char)c);
}

static int smallest(int a, int b, int c)
{
    const int ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* Three rows of the table suffice: row i needs i-1 for edits and i-2 for swaps. */
static int distance(const char *a, int na, const char *b, int nb)
{
    int rows[3][LONGEST + 1];
    for (int j = 0; j <= nb; j++) rows[0][j] = j;
    for (int i = 1; i <= na; i++) {
        int *now = rows[i % 3];
        const int *last = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];
        now[0] = i;
        for (int j = 1; j <= nb; j++) {
            const int change = lower(a[i - 1]) != lower(b[j - 1]);
            now[j] = smallest(last[j] + 1, now[j - 1] + 1, last[j - 1] + change);
            const bool swapped = i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
                                 lower(a[i - 2]) == lower(b[j - 1]);
            if (swapped && before[j - 2] + 1 < now[j]) now[j] = before[j - 2] + 1;
        }
    }
    return rows[na % 3][nb];
}

/* A word of three letters or more inside the other is as near as two edits. */
static int nearness(const char *a, const char *b)
{
    const size_t na = strlen(a), nb = strlen(b);
    if (na > LONGEST || nb > LONGEST) return LONGEST;
    const int d = distance(a, (int)na, b, (int)nb);
    const bool holds = (na >= 3 && strstr(b, a)) || (nb >= 3 && strstr(a, b));
    return holds && d > 2 ? 2 : d;
}

const char *sunup__nearest(const char *word, int n, const char *const *words)
{
    const int length = (int)strlen(word);
    const int limit = length < 3 ? 1 : length < 7 ? 2 : 3;
    const char *best = NULL;
    int least = limit + 1;
    for (int i = 0; i < n; i++) {
        const int d = words[i] ? nearness(word, words[i]) : least;
        if (d < least) {
            least = d;
            best = words[i];
        }
    }
    return best;
}

char *sunup__hint(char *room, const char *word, int n, const char *const *words)
{
    const char *near = sunup__nearest(word, n, words);
    room[0] = '\0';
    if (near) snprintf(room, HINT_TEXT, "; did you mean '%s'?", near);
    return room;
}

/* A mismatch goes back to the last star, which then takes one letter more. */
bool sunup__matches(const char *pattern, const char *text)
{
    const char *star = NULL, *from = text;
    while (*text != '\0') {
        if (*pattern == '*') {
            star = pattern++;
            from = text;
        } else if (*pattern == '?' || *pattern == *text) {
            pattern++;
            text++;
        } else if (star != NULL) {
            pattern = star + 1;
            text = ++from;
        } else {
            return false;
        }
    }
    while (*pattern == '*') pattern++;
    return *pattern == '\0';
}
