/* ROUGE, as the package rouge_score 0.1.2 computes it.
 *
 * C.-Y. Lin, "ROUGE: a package for automatic evaluation of summaries", 2004. Words are runs of ASCII
 * letters and digits, in lower case; with `stem`, those of more than three characters are stemmed. */
#ifndef LD_ROUGE_H
#define LD_ROUGE_H

#include "metric/text_metric.h"

typedef enum ld_rouge {
  LD_ROUGE_1,   /* shared words */
  LD_ROUGE_2,   /* shared bigrams */
  LD_ROUGE_L,   /* the longest common subsequence */
  LD_ROUGE_LSUM /* the same for each line of the reference with every line of the text, together */
} ld_rouge;

/* All from 0 to 1. */
typedef struct ld_rouge_score {
  double precision, recall, f;
} ld_rouge_score;

/* Against the reference with the best F. */
ld_rouge_score ld_rouge_of(ld_rouge rouge, const ld_written *written);

/* Their value is the mean F of the records, from 0 to 1. */
extern const ld_text_metric ld_metric_rouge1, ld_metric_rouge2, ld_metric_rougeL, ld_metric_rougeLsum;

#endif
