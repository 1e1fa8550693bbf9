/* Which columns are the text, the other text of a pair, and the label, by the names that well-known sets use.
 * Case does not matter. */
#ifndef LD_COLUMN_H
#define LD_COLUMN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* The names that texts of one kind have. */
typedef struct ld_column_names {
  const char *const (*pairs)[2]; /* in the order in which a model reads them; NULL after the last */
  const char *single;            /* a text, besides the first of each pair; NULL: none */
  const char *const *labels;     /* the earliest wins; NULL after the last */
  const char *advice;            /* for errors: how to name them */
} ld_column_names;

/* Texts, pairs of them, and labels: the names of GLUE's tasks and other sets. */
extern const ld_column_names ld_columns_labelled;

/* Column numbers, from 1; 0 where there is none. */
typedef struct ld_columns {
  size_t text, pair, label;
} ld_columns;

/* Finds the text, the other text of a pair and the label among n names. `what` names them in errors
 * ("columns", "keys"). LD_EFORMAT when none is a text, or when several are and form no known pair. */
int ld_columns_find(const ld_column_names *known, char *const *names, size_t n, const char *what,
                    ld_columns *out, ld_error *err);

/* Whether a column of this name could be the label. */
bool ld_columns_is_label(const char *name);

/* Whether this label, in a column of that name, means "no label": MNLI and SNLI write "-" as gold_label. */
bool ld_columns_no_label(const char *column, const char *label, size_t length);

/* The default name of the other text of a pair; NULL when `text` is not the first of a pair. */
const char *ld_columns_partner(const ld_column_names *known, const char *text);

#endif
