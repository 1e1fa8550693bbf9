#include "io/tokenizer/language.h"

#include <ctype.h>
#include <string.h>

/* How many letters there are from `s` on, of which `test` is true. */
static size_t run(const char *s, int (*test)(int)) {
  size_t n = 0;
  while ((unsigned char)s[n] < 0x80 && test((unsigned char)s[n])) n++;
  return n;
}

bool ld_is_language(const char *token) {
  const size_t language = run(token, islower);
  if (language < 2 || language > 3 || token[language] != '_') return false;
  const char *place = token + language + 1;
  const size_t upper = run(place, isupper), lower = run(place + upper, islower);
  return !place[upper + lower] && ((upper == 2 && !lower) || (upper == 1 && lower == 3));
}
