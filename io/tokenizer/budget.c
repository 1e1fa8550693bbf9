/* Limits the cost of a text: a hostile tokenizer.json can make 2^40 bytes of one letter, or backtrack for
 * years.
 *
 * The limits grow with the text (or, while a tokenizer is loaded, with its file) and are far above what any
 * tokenizer needs: known ones take less than a microsecond per byte, and make at most 12 bytes of one. */
#include "io/tokenizer/budget.h"

#include <stdint.h>
#include <time.h>

enum { GROWTH = 64, FREE_BYTES = 4096 };
static const double free_seconds = 1, seconds_per_byte = 5e-6;

static double now(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void ld_budget_start(ld_budget *budget, size_t bytes) {
  *budget = (ld_budget){.seconds = free_seconds};
  ld_budget_resume(budget, bytes);
}

void ld_budget_resume(ld_budget *budget, size_t bytes) {
  budget->bytes += bytes;
  budget->most =
      budget->bytes > (SIZE_MAX - FREE_BYTES) / GROWTH ? SIZE_MAX : GROWTH * budget->bytes + FREE_BYTES;
  budget->seconds += seconds_per_byte * (double)bytes;
  budget->start = now(CLOCK_THREAD_CPUTIME_ID);
  budget->look_at = now(CLOCK_MONOTONIC_COARSE) + budget->seconds;
}

void ld_budget_pause(ld_budget *budget) {
  budget->seconds -= now(CLOCK_THREAD_CPUTIME_ID) - budget->start;
}

/* This is called for each word, and the coarse clock costs a fifth of the exact one. It counts this thread's
 * processor time, so a busy or suspended machine does not use up the budget. */
bool ld_budget_is_spent(ld_budget *budget) {
  if (!budget || (!budget->spent && now(CLOCK_MONOTONIC_COARSE) < budget->look_at)) return false;
  const double left = budget->seconds - (now(CLOCK_THREAD_CPUTIME_ID) - budget->start);
  budget->spent = budget->spent || left <= 0;
  if (!budget->spent) budget->look_at = now(CLOCK_MONOTONIC_COARSE) + left;
  return budget->spent;
}

int ld_budget_check(ld_budget *budget, size_t length, ld_error *err) {
  if (!budget) return 0;
  if (length > budget->most || budget->done > budget->most - length)
    return ld_fail(
        err, LD_EFORMAT,
        "the tokenizer makes more than %zu bytes of %zu: its normalizer or pre_tokenizer may make %d "
        "of each",
        budget->most, budget->bytes, GROWTH);
  if (ld_budget_is_spent(budget))
    return ld_fail(
        err, LD_EFORMAT,
        "the tokenizer takes too long for %zu bytes: its parts may take %.0f s and %.0f us for each "
        "byte",
        budget->bytes, free_seconds, 1e6 * seconds_per_byte);
  return 0;
}
