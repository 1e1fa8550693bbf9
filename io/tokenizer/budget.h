/* The limits on the cost of a text, or of a file that is loaded. */
#ifndef LD_TOKENIZER_BUDGET_H
#define LD_TOKENIZER_BUDGET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* A NULL budget has no limit. */
typedef struct ld_budget {
  size_t bytes, most; /* of the text; the most that may be made of it */
  size_t done;        /* bytes made, and dropped again */
  double seconds;     /* processor time */
  double start, look_at;
  bool spent;
} ld_budget;

void ld_budget_start(ld_budget *budget, size_t bytes);

/* What a thread does between a pause and the next resume does not count; `bytes` more bytes of text enlarge
 * the budget. */
void ld_budget_pause(ld_budget *budget);
void ld_budget_resume(ld_budget *budget, size_t bytes);

/* Whether the time is used up. Cheap. */
bool ld_budget_is_spent(ld_budget *budget);

/* The same, and whether `length` bytes of output are within the limit; LD_EFORMAT names the limit. */
int ld_budget_check(ld_budget *budget, size_t length, ld_error *err);

#endif
