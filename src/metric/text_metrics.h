/* The table of metrics of written text, and their sums over records.
 *
 *   ld_text_sums sums = {0};
 *   for each record: ld_text_sums_add(&sums, &written);
 *   for (size_t i = 0; (metric = ld_text_metric_at(i)); i++) ... metric->value(sums.of[i]) ...
 */
#ifndef LD_TEXT_METRICS_H
#define LD_TEXT_METRICS_H

#include "metric/text_metric.h"

enum { LD_N_TEXT_METRICS = 6 };

/* The i-th of all; NULL after the last. */
const ld_text_metric *ld_text_metric_at(size_t i);

/* Zero-initialise. The sums of several such structs may be added. */
typedef struct ld_text_sums {
  int64_t of[LD_N_TEXT_METRICS][LD_MOST_COUNTS];
} ld_text_sums;

void ld_text_sums_add(ld_text_sums *sums, const ld_written *written);

#endif
