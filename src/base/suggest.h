/* "Did you mean ...?": finds the name that a misspelt word was probably meant to be. */
#ifndef LD_SUGGEST_H
#define LD_SUGGEST_H

#include <stddef.h>

/* Text to append to an error: " (did you mean 'rank'?)", or nothing. */
typedef struct ld_hint {
  char text[96];
} ld_hint;

/* How many letters must be inserted, dropped, changed or swapped with their neighbour to turn one word into
 * the other; '-' and '_' count as equal. For words of more than 63 bytes it is the longer one's length. */
size_t ld_edit_distance(const char *a, const char *b);

/* The one of the n names that is nearest to `word`; NULL when none is near enough. */
const char *ld_nearest(const char *word, const char *const *names, size_t n);

/* The same as the end of an error, with `before` before the name ("--" for an option). Used in place:
 * ld_fail(err, LD_EUSAGE, "unknown key '%s'%s", key, ld_suggest(key, keys, n, "").text) */
ld_hint ld_suggest(const char *word, const char *const *names, size_t n, const char *before);

#endif
