#include "base/error.h"

#include <stdio.h>
#include <string.h>

int ld_fail(ld_error *err, int code, const char *format, ...) {
  if (!err) return code;
  va_list args;
  va_start(args, format);
  vsnprintf(err->text, sizeof err->text, format, args);
  va_end(args);
  err->code = code;
  return code;
}

int ld_fail_prefix(ld_error *err, int code, const char *format, ...) {
  if (!err) return code;
  char rest[sizeof err->text];
  memcpy(rest, err->text, sizeof rest);
  va_list args;
  va_start(args, format);
  int length = vsnprintf(err->text, sizeof err->text, format, args);
  va_end(args);
  if (length < 0) length = 0;
  if ((size_t)length < sizeof err->text) /* what does not fit is cut */
    (void)!snprintf(err->text + length, sizeof err->text - (size_t)length, ": %s", rest);
  if (!err->code) err->code = code;
  return err->code;
}

const char *ld_error_name(int code) {
  switch (code) {
#define LD_ERROR_CASE(name, number, text)                                                                    \
  case name:                                                                                                 \
    return text;
    LD_ERROR_TABLE(LD_ERROR_CASE)
#undef LD_ERROR_CASE
  }
  return code ? "unknown error" : "success";
}
