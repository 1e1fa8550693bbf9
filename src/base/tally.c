#include "base/tally.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

void ld_tally_add(ld_tally *tally, const char *name, int64_t count) {
  for (size_t i = 0; i < tally->n; i++)
    if (!strcmp(tally->items[i].name, name)) {
      tally->items[i].count += count;
      return;
    }
  if (tally->n == LD_MOST_TALLIED) {
    tally->full = true;
    tally->others += count;
    return;
  }
  tally->items = ld_grow(tally->items, tally->n, &tally->room, sizeof *tally->items);
  tally->items[tally->n++] = (ld_tallied){ld_strdup(name), count};
}

void ld_tally_free(ld_tally *tally) {
  for (size_t i = 0; i < tally->n; i++) free(tally->items[i].name);
  free(tally->items);
  *tally = (ld_tally){0};
}

/* The number of names, whether there are more, and the others' count; then for each name its count and the
 * name with its NUL. */
void ld_tally_put(const ld_tally *tally, ld_text *out) {
  const int64_t head[3] = {(int64_t)tally->n, tally->full, tally->others};
  ld_text_append(out, head, sizeof head);
  for (size_t i = 0; i < tally->n; i++) {
    ld_text_append(out, &tally->items[i].count, sizeof(int64_t));
    ld_text_append(out, tally->items[i].name, strlen(tally->items[i].name) + 1);
  }
}

static bool take_number(const char **at, const char *end, int64_t *out) {
  if ((size_t)(end - *at) < sizeof *out) return false;
  memcpy(out, *at, sizeof *out);
  *at += sizeof *out;
  return true;
}

bool ld_tally_take(const char **at, const char *end, ld_tally *into) {
  int64_t n, full, others, count;
  if (!take_number(at, end, &n) || !take_number(at, end, &full) || !take_number(at, end, &others))
    return false;
  into->full = into->full || full;
  into->others += others;
  for (; n > 0; n--) {
    if (!take_number(at, end, &count) || !memchr(*at, 0, (size_t)(end - *at))) return false;
    ld_tally_add(into, *at, count);
    *at += strlen(*at) + 1;
  }
  return true;
}

void ld_tally_list(const ld_tally *tally, const char *quote, ld_text *out) {
  for (size_t i = 0; i < tally->n; i++) {
    const ld_tallied *item = &tally->items[i];
    ld_text_printf(out, "%s%s%.60s%s", i ? ", " : "", quote, item->name, quote);
    if (item->count) ld_text_printf(out, " (%lld)", (long long)item->count);
  }
  if (tally->full) ld_text_puts(out, ", others");
  if (tally->others) ld_text_printf(out, " (%lld)", (long long)tally->others);
}
