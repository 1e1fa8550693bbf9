/* Pictures over the steps of a run, for the report page: a row for each prompt. */
#ifndef LD_REPORT_STRIPS_H
#define LD_REPORT_STRIPS_H

#include "base/text.h"
#include "io/report/run.h"

enum { LD_REPORT_PICTURES = 8 }; /* the most of a row; of more, some between the first and the last are left out */

/* Appends a <section> with the pictures themselves, from the run folder, unless there are none. A picture that cannot
 * be read is left out. */
void ld_report_put_strips(ld_text *page, const ld_run_record *run, const char *folder);

#endif
