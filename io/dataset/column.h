/* Which columns of labelled texts are the text, the other text of a pair, and the label, by the names that
 * GLUE's tasks and other well-known sets give them. The names are compared in any case. */
#ifndef LD_COLUMN_H
#define LD_COLUMN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* Columns by their numbers, from 1; 0 where there is none. */
typedef struct ld_columns {
  size_t text, pair, label;
} ld_columns;

/* Finds the text, the other text of a pair and the label among n names. `what` these are ("columns", "keys")
 * is for errors: LD_EFORMAT when none is a text, or several are that form no known pair. */
int ld_columns_find(char *const *names, size_t n, const char *what, ld_columns *out, ld_error *err);

/* Whether a column of this name could be the label. */
bool ld_columns_is_label(const char *name);

/* Whether this label in a column of that name means that there is none: MNLI and SNLI write "-" as
 * gold_label. */
bool ld_columns_no_label(const char *column, const char *label, size_t length);

/* The name that the other text of a pair has by default; NULL when `text` begins no pair. */
const char *ld_columns_partner(const char *text);

#endif
