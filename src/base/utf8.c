#include "base/utf8.h"

uint32_t ld_utf8_before(const char *s, size_t i, size_t *start) {
  do i--;
  while (i && ld_utf8_goes_on(s[i]));
  *start = i;
  return ld_utf8_next(s, &i);
}

size_t ld_utf8_encode(uint32_t code, char out[4]) {
  const size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : code < 0x110000 ? 4 : 0;
  static const uint8_t first[] = {0, 0, 0xc0, 0xe0, 0xf0};
  for (size_t i = n; i > 1; i--, code >>= 6) out[i - 1] = (char)(0x80 | (code & 0x3f));
  if (n) out[0] = (char)(first[n] | code);
  return n;
}

/* The range of the second byte excludes overlong forms, surrogates and code points above U+10FFFF (Unicode
 * standard, table 3-7). */
size_t ld_utf8_check(const char *s, size_t length, size_t *bad, bool *cut) {
  const unsigned char *u = (const unsigned char *)s;
  size_t none;
  bool no;
  if (!bad) bad = &none;
  if (!cut) cut = &no;
  *bad = 1;
  *cut = false;
  if (u[0] < 0x80) return 1;
  const size_t size = u[0] < 0xc2 ? 0 : u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : u[0] < 0xf5 ? 4 : 0;
  if (!size) return 0;
  unsigned char low = 0x80, high = 0xbf;
  if (u[0] == 0xe0) low = 0xa0;
  if (u[0] == 0xed) high = 0x9f;
  if (u[0] == 0xf0) low = 0x90;
  if (u[0] == 0xf4) high = 0x8f;
  for (size_t i = 1; i < size; i++) {
    *bad = i;
    if (i == length) return *cut = true, 0;
    if (u[i] < low || u[i] > high) return 0;
    low = 0x80;
    high = 0xbf;
  }
  return size;
}

bool ld_utf8_read(const char *s, size_t length, size_t *i, uint32_t *code) {
  const bool good = ld_utf8_check(s + *i, length - *i, NULL, NULL) > 0;
  *code = good ? ld_utf8_next(s, i) : (unsigned char)s[(*i)++];
  return good;
}

size_t ld_utf8_good(const char *s, size_t length) {
  size_t i = 0;
  while (i < length) {
    const size_t size = (unsigned char)s[i] < 0x80 ? 1 : ld_utf8_check(s + i, length - i, NULL, NULL);
    if (!size) break;
    i += size;
  }
  return i;
}

bool ld_utf8_valid(const char *s, size_t length) {
  return ld_utf8_good(s, length) == length;
}
