/* A growing byte string. */
#ifndef LD_TEXT_H
#define LD_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ld_text {
  char *bytes; /* NUL after the last byte; NULL while empty and unused */
  size_t length, room;
} ld_text;

void ld_text_append(ld_text *text, const void *bytes, size_t length);
void ld_text_puts(ld_text *text, const char *string);
void ld_text_put_code(ld_text *text, uint32_t code); /* a Unicode character, as UTF-8 */
void ld_text_swap(ld_text *a, ld_text *b);
void ld_text_printf(ld_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Whether a Unicode character steers a terminal: a control character, or one that reverses a line. */
bool ld_text_steers(unsigned code);

/* Appends text for people: bytes that are not UTF-8, control characters and those that reverse a line are
 * written as \x1b, \n or \u202e. */
void ld_text_put_visible(ld_text *text, const char *string);
void ld_text_clear(ld_text *text); /* length 0, memory kept */
void ld_text_free(ld_text *text);

/* The singular or the plural: ld_plural(n, "record", "records"). */
const char *ld_plural(long long n, const char *one, const char *several);

#endif
