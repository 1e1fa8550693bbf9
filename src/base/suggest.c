#include "base/suggest.h"

#include <stdio.h>
#include <string.h>

enum { LONGEST = 63 };

static size_t least(size_t a, size_t b) {
  return a < b ? a : b;
}

static int same(char a, char b) {
  return a == b || ((a == '-' || a == '_') && (b == '-' || b == '_'));
}

/* The optimal string alignment distance (Damerau and Levenshtein), one row of its table at a time: `now` is
 * the row of a's first i letters, `last` and `before` are the two rows above it. */
size_t ld_edit_distance(const char *a, const char *b) {
  size_t rows[3][LONGEST + 1];
  const size_t n = strlen(a), m = strlen(b);
  if (n > LONGEST || m > LONGEST) return n > m ? n : m;
  for (size_t k = 0; k <= m; k++) rows[0][k] = k;
  for (size_t i = 1; i <= n; i++) {
    size_t *now = rows[i % 3];
    const size_t *last = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];
    now[0] = i;
    for (size_t k = 1; k <= m; k++) {
      now[k] = least(least(last[k], now[k - 1]) + 1, last[k - 1] + !same(a[i - 1], b[k - 1]));
      if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1])
        now[k] = least(now[k], before[k - 2] + 1);
    }
  }
  return rows[n % 3][m];
}

/* One letter in three may be wrong. */
const char *ld_nearest(const char *word, const char *const *names, size_t n) {
  const size_t length = strlen(word), most = length < 6 ? 1 : length / 3;
  size_t found = most + 1;
  const char *nearest = NULL;
  for (size_t i = 0; i < n; i++) {
    const size_t distance = length < 2 ? found : ld_edit_distance(word, names[i]);
    if (distance >= found) continue;
    found = distance;
    nearest = names[i];
  }
  return nearest;
}

ld_hint ld_suggest(const char *word, const char *const *names, size_t n, const char *before) {
  ld_hint hint = {""};
  const char *nearest = ld_nearest(word, names, n);
  if (nearest) snprintf(hint.text, sizeof hint.text, " (did you mean '%s%s'?)", before, nearest);
  return hint;
}
