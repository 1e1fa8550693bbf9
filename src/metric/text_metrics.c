#include "metric/text_metrics.h"

#include "metric/bleu.h"
#include "metric/chrf.h"
#include "metric/rouge.h"

static const ld_text_metric *const metrics[LD_N_TEXT_METRICS] = {&ld_metric_rouge1, &ld_metric_rouge2,
                                                                 &ld_metric_rougeL, &ld_metric_rougeLsum,
                                                                 &ld_metric_bleu,   &ld_metric_chrf};

const ld_text_metric *ld_text_metric_at(size_t i) {
  return i < LD_N_TEXT_METRICS ? metrics[i] : NULL;
}

void ld_text_sums_add(ld_text_sums *sums, const ld_written *written) {
  for (size_t i = 0; i < LD_N_TEXT_METRICS; i++) {
    int64_t counts[LD_MOST_COUNTS] = {0};
    metrics[i]->count(written, counts);
    for (size_t k = 0; k < LD_MOST_COUNTS; k++) sums->of[i][k] += counts[k];
  }
}
