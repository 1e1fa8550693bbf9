/* Names in one text, separated by commas: "q_proj, v_proj".
 *
 *   for (ld_name name = {0}; ld_name_next(list, &name);) ... name.length bytes at name.at ... */
#ifndef LD_NAMES_H
#define LD_NAMES_H

#include <stdbool.h>
#include <stddef.h>

typedef struct ld_name {
  const char *at; /* in the list; NULL before the first */
  size_t length;
} ld_name;

/* The next name; false at the end of the list, which may be NULL. Spaces around names are ignored. */
bool ld_name_next(const char *list, ld_name *name);

bool ld_name_is(const ld_name *name, const char *word);

#endif
