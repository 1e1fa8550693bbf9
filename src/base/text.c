#include "base/text.h"

#include <stdarg.h>
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

void ld_text_clear(ld_text *text) {
  text->length = 0;
  if (text->bytes) text->bytes[0] = 0;
}

void ld_text_free(ld_text *text) {
  free(text->bytes);
  memset(text, 0, sizeof *text);
}
