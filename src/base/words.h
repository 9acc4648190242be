/* words.h - the nearest of the known words to a misspelt one, for messages that help.
 *
 * Near means few edits (insert, delete, change a letter, swap neighbours) for the word's length, or that one word
 * holds the other ("channels" for "out_channels"). Case counts as no difference.
 */
#ifndef SUNUP_BASE_WORDS_H
#define SUNUP_BASE_WORDS_H

#include <stdbool.h>

/* One of words[0..n-1], the first of equally near ones; NULL if none is near. Entries may be NULL. */
const char *sunup__nearest(const char *word, int n, const char *const *words);

enum { HINT_TEXT = 96 };
/* "; did you mean 'relu'?" into room (HINT_TEXT bytes), "" if none is near. Returns room. */
char *sunup__hint(char *room, const char *word, int n, const char *const *words);

/* The whole of text is what pattern says: '*' stands for any letters, '?' for one, all others for themselves. */
bool sunup__matches(const char *pattern, const char *text);

#endif
