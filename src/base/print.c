#include "base/print.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

int ld_print(const ld_text *text, bool flush, ld_error *err) {
  errno = 0;
  if (fwrite(text->bytes, 1, text->length, stdout) == text->length && (!flush || !fflush(stdout))) return 0;
  return ld_fail(err, errno == EPIPE ? LD_ECLOSED : LD_EFILE, "standard output: cannot be written: %s",
                 errno ? strerror(errno) : "an earlier write failed");
}

/* The bytes of the first `most` characters; *n receives their number. */
static size_t cut(const ld_text *text, int most, int *n) {
  size_t at = 0;
  for (*n = 0; at < text->length; at++) {
    const bool begins = !ld_utf8_goes_on(text->bytes[at]);
    if (begins && most && *n == most) break;
    *n += begins;
  }
  return at;
}

void ld_print_part(const char *string, int least, int most) {
  ld_text text = {0};
  int n;
  ld_text_puts(&text, "");
  ld_text_put_visible(&text, string);
  const int bytes = (int)cut(&text, most, &n);
  printf("%.*s%*s", bytes, text.bytes, n < least ? least - n : 0, "");
  ld_text_free(&text);
}

void ld_put_duration(char *text, size_t size, double seconds) {
  const long s = lround(fmin(seconds, 1e15));
  if (s >= 48 * 3600)
    snprintf(text, size, "%ldd%02ldh", s / 86400, s / 3600 % 24);
  else if (s >= 3600)
    snprintf(text, size, "%ldh%02ldm", s / 3600, s / 60 % 60);
  else if (s >= 60)
    snprintf(text, size, "%ldm%02lds", s / 60, s % 60);
  else if (seconds >= 9.95)
    snprintf(text, size, "%ld s", s);
  else if (seconds >= 0.0995)
    snprintf(text, size, "%.1f s", seconds);
  else
    snprintf(text, size, "%.2g ms", 1e3 * seconds);
}
