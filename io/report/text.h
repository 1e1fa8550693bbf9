/* Words and numbers on the report page.
 */
#ifndef LD_REPORT_TEXT_H
#define LD_REPORT_TEXT_H

#include "base/text.h"

/* Text from a file, with HTML escaped. */
void ld_report_put_escaped(ld_text *page, const char *text);

/* The same, beginning with a capital letter. */
void ld_report_put_capital(ld_text *page, const char *text);

/* A whole number with separated thousands, shortened when it is very large; "unknown" for NaN. */
void ld_report_put_count(ld_text *page, double value);

/* With that many digits after the decimal point, or in powers of ten where that would show little. */
void ld_report_put_real(ld_text *page, double value, int digits);

#endif
