#include "base/base64.h"

#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void ld_base64_append(ld_text *out, const char *bytes, size_t length) {
  for (size_t i = 0; i < length; i += 3) {
    uint32_t bits = 0;
    for (size_t k = i; k < i + 3; k++) bits = bits << 8 | (k < length ? (unsigned char)bytes[k] : 0);
    char four[4];
    for (size_t k = 0; k < 4; k++) four[k] = i + k > length ? '=' : digits[bits >> (18 - 6 * k) & 63];
    ld_text_append(out, four, 4);
  }
}

bool ld_base64_decode(ld_text *out, const char *s, size_t length) {
  if (length % 4) return false;
  for (int pads = 0; pads < 2 && length && s[length - 1] == '='; pads++) length--;
  uint32_t bits = 0;
  char bytes[3];
  for (size_t i = 0; i < length; i++) {
    const char *digit = s[i] ? strchr(digits, s[i]) : NULL;
    if (!digit) return false;
    bits = bits << 6 | (uint32_t)(digit - digits);
    if (i % 4) bytes[i % 4 - 1] = (char)(bits >> (6 - 2 * (i % 4)));
    if (i % 4 == 3 || i + 1 == length) ld_text_append(out, bytes, i % 4);
  }
  return length % 4 != 1;
}
