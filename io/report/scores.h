/* The part of the report page about a classifier's evaluations. */
#ifndef LD_REPORT_SCORES_H
#define LD_REPORT_SCORES_H

#include "io/report/chart.h"
#include "io/report/run.h"

/* Accuracy (for numbers, Pearson's correlation) over steps; `chart` has the range of steps. Nothing for a
 * language model. */
void ld_report_put_score_chart(ld_text *page, const ld_run_record *run, ld_chart chart);

/* The table of evaluations, and the confusion matrix; nothing for a language model. */
void ld_report_put_scores(ld_text *page, const ld_run_record *run);

#endif
