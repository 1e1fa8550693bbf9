#include "base/text.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

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

/* Bytes of the character at `at`, a string's, and its code; 0 where no UTF-8 stands. */
static size_t decode(const unsigned char *at, unsigned *code) {
  const size_t n = *at < 0x80 ? 1 : *at < 0xC2 ? 0 : *at < 0xE0 ? 2 : *at < 0xF0 ? 3 : *at < 0xF5 ? 4 : 0;
  *code = n < 2 ? *at : *at & (0xFFu >> (n + 1));
  for (size_t i = 1; i < n; i++) {
    if ((at[i] & 0xC0) != 0x80) return 0;
    *code = *code << 6 | (at[i] & 0x3F);
  }
  return n;
}

bool ld_text_steers(unsigned code) {
  return code < 0x20 || (code >= 0x7F && code <= 0x9F) || (code >= 0x2028 && code <= 0x202E) ||
         (code >= 0x2066 && code <= 0x2069);
}

void ld_text_put_visible(ld_text *text, const char *string) {
  unsigned code;
  size_t n;
  for (const unsigned char *at = (const unsigned char *)string; *at; at += n ? n : 1) {
    n = decode(at, &code);
    if (n && !ld_text_steers(code))
      ld_text_append(text, at, n);
    else if (*at == '\n' || *at == '\t')
      ld_text_puts(text, *at == '\n' ? "\\n" : "\\t");
    else
      ld_text_printf(text, n > 2 ? "\\u%04x" : "\\x%02x", n ? code : *at);
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
