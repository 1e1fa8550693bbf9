/* Counts by name: how many files there are of each kind, how many records have each key.
 *
 * A tally is for people: it keeps the first LD_MOST_TALLIED names, in the order in which they appear, and
 * counts all others together. */
#ifndef LD_TALLY_H
#define LD_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

enum { LD_MOST_TALLIED = 50 };

typedef struct ld_tallied {
  char *name;
  int64_t count;
} ld_tallied;

/* Zero-initialise; free with ld_tally_free. */
typedef struct ld_tally {
  ld_tallied *items;
  size_t n, room;
  bool full;      /* there were further names */
  int64_t others; /* their counts */
} ld_tally;

void ld_tally_add(ld_tally *tally, const char *name, int64_t count);
void ld_tally_free(ld_tally *tally);

/* Appends the tally as bytes; ld_tally_take adds such bytes to another tally and moves *at past them. False
 * when they are incomplete. */
void ld_tally_put(const ld_tally *tally, ld_text *out);
bool ld_tally_take(const char **at, const char *end, ld_tally *into);

/* Appends `"id" (3), "source" (2)`, with `quote` on both sides of a name. Counts of 0 are not shown. */
void ld_tally_list(const ld_tally *tally, const char *quote, ld_text *out);

#endif
