/* chrF of a whole data set, as sacrebleu 2.6 computes it by default (chrF2).
 *
 * M. Popovic, "chrF: character n-gram F-score for automatic MT evaluation", 2015. Signature:
 * case:mixed|eff:yes|nc:6|nw:0|space:no. */
#ifndef LD_CHRF_H
#define LD_CHRF_H

#include "metric/text_metric.h"

/* Its value is from 0 to 100. */
extern const ld_text_metric ld_metric_chrf;

#endif
