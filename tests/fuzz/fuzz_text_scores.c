/* Any bytes as a text and its references, which are cut at bytes 0: scores within their bounds, and the
 * oracle's choice of them in order. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "metric/oracle.h"
#include "metric/text_metrics.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_TEXTS = 5 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *bytes = ld_alloc(size + MOST_TEXTS, 1);
  if (size) memcpy(bytes, data, size);
  const char *texts[MOST_TEXTS];
  size_t n = 0;
  for (const char *at = bytes; n < MOST_TEXTS && (n < 2 || at < bytes + size); at += strlen(at) + 1)
    texts[n++] = at;

  for (int stem = 0; stem < 2; stem++) {
    const ld_written written = {texts[0], texts + 1, n - 1, stem};
    const ld_text_metric *metric;
    ld_text_sums sums = {0};
    ld_text_sums_add(&sums, &written);
    for (size_t i = 0; (metric = ld_text_metric_at(i)); i++) {
      const double value = metric->value(sums.of[i]);
      if (!(value >= 0 && value <= 100 + 1e-9)) abort();
    }
  }
  size_t chosen[3];
  const size_t n_chosen = ld_oracle(texts + 1, n - 1, texts[0], 3, chosen);
  for (size_t i = 0; i < n_chosen; i++)
    if (chosen[i] >= n - 1 || (i && chosen[i] <= chosen[i - 1])) abort();
  free(bytes);
  return 0;
}
