#include "base/error.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "base/utf8.h"

/* Removes the middle of a text that is too long (a path of thousands of characters): a message has the file
 * at its start and the cause at its end. Never splits a UTF-8 character. */
static void shorten(ld_error *err, const char *whole, size_t length) {
  static const char gap[] = " ... ";
  enum { KEPT = (sizeof err->text - sizeof gap) / 2 };
  size_t head = KEPT, tail = length - KEPT;
  while (head && ld_utf8_goes_on(whole[head])) head--;
  while (ld_utf8_goes_on(whole[tail])) tail++;
  snprintf(err->text, sizeof err->text, "%.*s%s%s", (int)head, whole, gap, whole + tail);
}

/* What comes from a file may hold anything; the message stays one line of text. */
static void put(ld_error *err, const char *format, va_list args) {
  char *whole = NULL;
  ld_text line = {0};
  if (vasprintf(&whole, format, args) < 0) return (void)snprintf(err->text, sizeof err->text, "%s", format);
  ld_text_put_visible(&line, whole);
  if (line.length >= sizeof err->text)
    shorten(err, line.bytes, line.length);
  else
    snprintf(err->text, sizeof err->text, "%s", line.length ? line.bytes : "");
  ld_text_free(&line);
  free(whole);
}

int(ld_fail)(ld_error *err, int code, const char *format, ...) {
  if (!err) return code;
  va_list args;
  va_start(args, format);
  put(err, format, args);
  va_end(args);
  err->code = code;
  return code;
}

int ld_fail_prefix(ld_error *err, int code, const char *format, ...) {
  if (!err) return code;
  const ld_error rest = *err;
  ld_error prefix;
  va_list args;
  va_start(args, format);
  put(&prefix, format, args);
  va_end(args);
  return ld_fail(err, rest.code ? rest.code : code, "%s: %s", prefix.text, rest.text);
}
