#include "io/report/text.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>

void ld_report_put_escaped(ld_text *page, const char *text) {
  for (; *text; text++) {
    const unsigned char byte = (unsigned char)*text;
    if (byte == '<')
      ld_text_puts(page, "&lt;");
    else if (byte == '>')
      ld_text_puts(page, "&gt;");
    else if (byte == '&')
      ld_text_puts(page, "&amp;");
    else if (byte == '"')
      ld_text_puts(page, "&quot;");
    else if (byte == '\'')
      ld_text_puts(page, "&#39;");
    else if (byte == 127 || (byte < 32 && byte != '\n' && byte != '\t'))
      ld_text_puts(page, "\xef\xbf\xbd");
    else
      ld_text_append(page, text, 1);
  }
}

void ld_report_put_capital(ld_text *page, const char *text) {
  const char first[] = {*text >= 'a' && *text <= 'z' ? (char)(*text - 'a' + 'A') : *text, 0};
  ld_report_put_escaped(page, first);
  if (*text) ld_report_put_escaped(page, text + 1);
}

void ld_report_put_count(ld_text *page, double value) {
  if (isnan(value) || fabs(value) >= 1e9) {
    ld_text_printf(page, isnan(value) ? "unknown" : "%.4g billion", value / 1e9);
    return;
  }
  char digits[32];
  const int n = snprintf(digits, sizeof digits, "%.0f", value);
  for (int i = 0; i < n; i++) {
    if (i > (digits[0] == '-') && (n - i) % 3 == 0) ld_text_puts(page, ",");
    ld_text_append(page, &digits[i], 1);
  }
}

void ld_report_put_real(ld_text *page, double value, int digits) {
  const bool plain = fabs(value) < 1e5 && (value == 0 || fabs(value) >= 1e-3);
  if (isnan(value))
    ld_text_puts(page, "unknown");
  else if (plain)
    ld_text_printf(page, "%.*f", digits, value);
  else
    ld_text_printf(page, "%.3g", value);
}
