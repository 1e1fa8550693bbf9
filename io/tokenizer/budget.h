/* What a text, or a file that is loaded, may cost.
 */
#ifndef LD_TOKENIZER_BUDGET_H
#define LD_TOKENIZER_BUDGET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* A NULL budget has no limit. */
typedef struct ld_budget {
  size_t bytes, most; /* of the text; what may be made of it */
  size_t done;        /* made, and dropped again */
  double seconds;     /* processor time */
  double start, look_at;
  bool spent;
} ld_budget;

void ld_budget_start(ld_budget *budget, size_t bytes);

/* What a thread does between a pause and the next resume does not count; `bytes` are more of the text. */
void ld_budget_pause(ld_budget *budget);
void ld_budget_resume(ld_budget *budget, size_t bytes);

/* Whether its time is over. Cheap. */
bool ld_budget_is_spent(ld_budget *budget);

/* The same, and whether a text that became `length` long is within the limit; LD_EFORMAT names the limit. */
int ld_budget_check(ld_budget *budget, size_t length, ld_error *err);

#endif
