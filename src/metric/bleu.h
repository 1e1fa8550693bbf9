/* BLEU of a whole data set, as sacrebleu 2.6 computes it by default.
 *
 * K. Papineni et al., "BLEU: a method for automatic evaluation of machine translation", 2002; M. Post, "A
 * call for clarity in reporting BLEU scores", 2018. Signature: case:mixed|eff:no|tok:13a|smooth:exp. */
#ifndef LD_BLEU_H
#define LD_BLEU_H

#include "metric/text_metric.h"

/* Its value is from 0 to 100. */
extern const ld_text_metric ld_metric_bleu;

#endif
