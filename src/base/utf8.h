/* UTF-8.
 */
#ifndef LD_UTF8_H
#define LD_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether the byte continues a character that an earlier byte began. */
static inline bool ld_utf8_goes_on(char byte) {
  return ((unsigned char)byte & 0xc0) == 0x80;
}

/* The code point at s[*i] of valid UTF-8; moves *i past it. */
static inline uint32_t ld_utf8_next(const char *s, size_t *i) {
  const unsigned char *u = (const unsigned char *)s + *i;
  if (u[0] < 0x80) return *i += 1, u[0];
  if (u[0] < 0xe0) return *i += 2, (u[0] & 0x1fu) << 6 | (u[1] & 0x3fu);
  if (u[0] < 0xf0) return *i += 3, (u[0] & 0x0fu) << 12 | (u[1] & 0x3fu) << 6 | (u[2] & 0x3fu);
  *i += 4;
  return (u[0] & 0x07u) << 18 | (u[1] & 0x3fu) << 12 | (u[2] & 0x3fu) << 6 | (u[3] & 0x3fu);
}

/* The same for arbitrary bytes, i < length: if no valid character begins there, returns false with the value
 * of the one byte, and moves *i past it. */
bool ld_utf8_read(const char *s, size_t length, size_t *i, uint32_t *code);

/* The code point before s[i], i > 0; *start receives its first byte's index. */
uint32_t ld_utf8_before(const char *s, size_t i, size_t *start);

/* Writes the code point's bytes; returns how many. */
size_t ld_utf8_encode(uint32_t code, char out[4]);

/* How many bytes at the beginning are valid, up to a whole character. */
size_t ld_utf8_good(const char *s, size_t length);
bool ld_utf8_valid(const char *s, size_t length);

/* The length of the character at s if it is complete and valid within `length`. Otherwise 0; *bad receives
 * the length of the longest prefix of a character there (at least 1), *cut whether more bytes could complete
 * it; either may be NULL. length > 0. */
size_t ld_utf8_check(const char *s, size_t length, size_t *bad, bool *cut);

#endif
