#include "base/text.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"

static void make_room(ld_text *text, size_t more) {
  if (text->length + more + 1 <= text->room) return;
  text->room = (text->length + more + 1) * 2;
  text->bytes = ld_realloc(text->bytes, text->room, 1);
}

void ld_text_append(ld_text *text, const void *bytes, size_t length) {
  make_room(text, length);
  if (length) memcpy(text->bytes + text->length, bytes, length);
  text->length += length;
  text->bytes[text->length] = 0;
}

void ld_text_puts(ld_text *text, const char *string) {
  ld_text_append(text, string, strlen(string));
}

void ld_text_printf(ld_text *text, const char *format, ...) {
  va_list args, again;
  va_start(args, format);
  va_copy(again, args);
  int length = vsnprintf(NULL, 0, format, args);
  va_end(args);
  if (length > 0) {
    make_room(text, (size_t)length);
    vsnprintf(text->bytes + text->length, (size_t)length + 1, format, again);
    text->length += (size_t)length;
  }
  va_end(again);
}

void ld_text_put_code(ld_text *text, uint32_t code) {
  char bytes[4];
  ld_text_append(text, bytes, ld_utf8_encode(code, bytes));
}

void ld_text_swap(ld_text *a, ld_text *b) {
  const ld_text t = *a;
  *a = *b;
  *b = t;
}

bool ld_text_steers(unsigned code) {
  return code < 0x20 || (code >= 0x7F && code <= 0x9F) || (code >= 0x2028 && code <= 0x202E) ||
         (code >= 0x2066 && code <= 0x2069);
}

void ld_text_put_visible(ld_text *text, const char *string) {
  const size_t length = strlen(string);
  for (size_t at = 0, next = 0; at < length; at = next) {
    uint32_t code;
    const bool good = ld_utf8_read(string, length, &next, &code);
    if (good && !ld_text_steers(code))
      ld_text_append(text, string + at, next - at);
    else if (code == '\n' || code == '\t')
      ld_text_puts(text, code == '\n' ? "\\n" : "\\t");
    else
      ld_text_printf(text, next - at > 2 ? "\\u%04x" : "\\x%02x", code);
  }
}

void ld_text_clear(ld_text *text) {
  text->length = 0;
  if (text->bytes) text->bytes[0] = 0;
}

void ld_text_free(ld_text *text) {
  free(text->bytes);
  memset(text, 0, sizeof *text);
}

const char *ld_plural(long long n, const char *one, const char *several) {
  return n == 1 ? one : several;
}
