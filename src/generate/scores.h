/* Scores of the texts that a model writes for the records of a data set, against what the records say. */
#ifndef LD_GENERATE_SCORES_H
#define LD_GENERATE_SCORES_H

#include "generate/records.h"
#include "metric/text_metrics.h"

typedef struct ld_text_scores {
  double value[LD_N_TEXT_METRICS]; /* in the order of ld_text_metric_at */
  int64_t n;                       /* records that say what is to be written */
} ld_text_scores;

/* Writes the texts of the first `most` rows (0: all), settings->together at a time on each rank; with `stem`
 * English words are compared by their stems. The same on every rank, and on any number of them. LD_EMISMATCH
 * when no record says what is to be written. Collective. */
int ld_text_scores_find(ld_generator *generator, const ld_corpus *corpus, int64_t most, bool stem,
                        ld_text_scores *out, ld_error *err);

/* Appends "ROUGE-1 0.1234  ROUGE-2 0.0567 ...", each with `more` digits above its usual number. */
void ld_text_scores_put(const ld_text_scores *scores, int more, ld_text *out);

#endif
