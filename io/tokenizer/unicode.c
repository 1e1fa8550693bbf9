#include "io/tokenizer/unicode.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "io/tokenizer/unicode_tables.h"

static bool in_ranges(uint32_t code, const ld_code_range *ranges, size_t n) {
  size_t low = 0, high = n;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (code > ranges[middle].last)
      low = middle + 1;
    else
      high = middle;
  }
  return low < n && code >= ranges[low].first;
}

#define IN(code, table) in_ranges(code, table, sizeof(table) / sizeof *(table))

/* The general category; for code points that utf8proc does not know yet, from the table. */
static void category_of(uint32_t code, char out[2]) {
  memcpy(out, utf8proc_category_string((utf8proc_int32_t)code), 2);
  if (memcmp(out, "Cn", 2)) return;
  for (size_t i = 0; i < sizeof category_added / sizeof *category_added; i++)
    if (code >= category_added[i].first && code <= category_added[i].last)
      memcpy(out, category_added[i].category, 2);
}

bool ld_is_space(uint32_t c) {
  if (c < 0x80) return c == ' ' || (c >= '\t' && c <= '\r');
  return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
         c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

/* UTS 18's \w: alphabetic characters, marks, decimal digits, connectors and joiners. The alphabetic ones that
 * are neither letters, marks nor letter numbers are the circled and squared Latin letters. */
bool ld_is_word(uint32_t c) {
  if (c < 0x80) return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_';
  if (c == 0x200c || c == 0x200d) return true;
  if ((c >= 0x24b6 && c <= 0x24e9) || (c >= 0x1f130 && c <= 0x1f149) || (c >= 0x1f150 && c <= 0x1f169) ||
      (c >= 0x1f170 && c <= 0x1f189))
    return true;
  char g[2];
  category_of(c, g);
  return g[0] == 'L' || g[0] == 'M' || !memcmp(g, "Nd", 2) || !memcmp(g, "Nl", 2) || !memcmp(g, "Pc", 2);
}

bool ld_is_numeric(uint32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9';
  char g[2];
  category_of(c, g);
  return g[0] == 'N' || IN(c, numeric_added);
}

bool ld_is_punctuation(uint32_t c) {
  if (c < 0x80) return c > ' ' && c < 0x7f && (c == '_' || !ld_is_word(c));
  if (IN(c, punctuation_added)) return true;
  return utf8proc_category_string((utf8proc_int32_t)c)[0] == 'P' && !IN(c, not_punctuation);
}

bool ld_is_mark(uint32_t c) {
  if (c < 0x300) return false;
  if (IN(c, mark_added)) return true;
  return utf8proc_category_string((utf8proc_int32_t)c)[0] == 'M' && !IN(c, inert);
}

/* A mark that decomposes never gets here: the text is decomposed already. */
bool ld_is_nonspacing(uint32_t c) {
  if (c < 0x300) return false;
  if (IN(c, nonspacing_added)) return true;
  return !memcmp(utf8proc_category_string((utf8proc_int32_t)c), "Mn", 2) && !IN(c, not_nonspacing);
}

bool ld_is_other(uint32_t c) {
  if (c < 0x80) return c < ' ' || c == 0x7f;
  const char *g = utf8proc_category_string((utf8proc_int32_t)c);
  return g[0] == 'C' && (g[1] == 'c' || g[1] == 'f' || g[1] == 'o') && !IN(c, not_other);
}

int ld_grapheme_class(uint32_t c) {
  if (c < 0x80)
    return c == '\r'              ? UTF8PROC_BOUNDCLASS_CR
           : c == '\n'            ? UTF8PROC_BOUNDCLASS_LF
           : c < ' ' || c == 0x7f ? UTF8PROC_BOUNDCLASS_CONTROL
                                  : UTF8PROC_BOUNDCLASS_OTHER;
  size_t low = 0, high = sizeof grapheme_classes / sizeof *grapheme_classes;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (c > grapheme_classes[middle].last)
      low = middle + 1;
    else
      high = middle;
  }
  if (low < sizeof grapheme_classes / sizeof *grapheme_classes && c >= grapheme_classes[low].first)
    return grapheme_classes[low].class;
  return utf8proc_get_property((utf8proc_int32_t)c)->boundclass;
}

bool ld_is_indic_consonant(uint32_t c) {
  return c >= 0x900 && IN(c, indic_consonants);
}

bool ld_is_indic_linker(uint32_t c) {
  return c >= 0x900 && IN(c, indic_linkers);
}

void ld_lower_append(ld_text *out, uint32_t code) {
  if (code < 0x80) {
    const char c = (char)(code >= 'A' && code <= 'Z' ? code | 0x20 : code);
    ld_text_append(out, &c, 1);
    return;
  }
  if (code == 0x130) {
    ld_text_append(out, "i\xcc\x87", 3);
    return;
  }
  const uint32_t lower = (uint32_t)utf8proc_tolower((utf8proc_int32_t)code);
  if (lower == code)
    for (size_t i = 0; i < sizeof lower_added / sizeof *lower_added; i++)
      if (code >= lower_added[i].first && code <= lower_added[i].last) {
        ld_text_put_code(out, (uint32_t)((int32_t)code + lower_added[i].shift));
        return;
      }
  ld_text_put_code(out, lower);
}

enum { MANY_MARKS = 20000 }; /* on one letter: utf8proc's sorting time is quadratic in them */

static void form_run(ld_text *out, const char *s, size_t length, ld_form form) {
  utf8proc_option_t options = form == LD_NFC || form == LD_NFKC ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
  if (form == LD_NFKC || form == LD_NFKD) options |= UTF8PROC_COMPAT;
  utf8proc_uint8_t *bytes = NULL;
  const utf8proc_ssize_t n =
      utf8proc_map((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)length, &bytes, options | UTF8PROC_STABLE);
  if (n >= 0)
    ld_text_append(out, bytes, (size_t)n);
  else
    ld_text_append(out, s, length); /* for valid text it only fails without memory, which ld_alloc reports */
  free(bytes);
}

bool ld_form_is_fast(const char *s, size_t length) {
  size_t marks = 0;
  for (size_t i = 0; i < length && length > MANY_MARKS && marks <= MANY_MARKS;) {
    const uint32_t code = ld_utf8_next(s, &i);
    marks = code < 0x300 || !utf8proc_get_property((utf8proc_int32_t)code)->combining_class ? 0 : marks + 1;
  }
  return marks <= MANY_MARKS;
}

/* Pure ASCII is in every form. A code point that the library's older tables do not know is a border that
 * nothing is composed or moved across; utf8proc handles the text between such borders. */
void ld_form_append(ld_text *out, const char *s, size_t length, ld_form form) {
  size_t start = 0;
  bool ascii = true;
  for (size_t i = 0; i < length;) {
    const size_t at = i;
    const uint32_t code = ld_utf8_next(s, &i);
    if (code < 0x80) continue;
    ascii = false;
    if (code < 0x7fd || !IN(code, inert)) continue;
    if (at > start) form_run(out, s + start, at - start, form);
    ld_text_append(out, s + at, i - at);
    start = i;
  }
  if (ascii)
    ld_text_append(out, s, length);
  else if (start < length)
    form_run(out, s + start, length - start, form);
}

void ld_category_append(ld_text *out, const char *category) {
  /* ASCII first and separately: PCRE2 then has it in a bitmap and looks up no property for it. */
  if (!strcmp(category, "L")) ld_text_puts(out, "a-zA-Z");
  if (!strcmp(category, "N")) ld_text_puts(out, "0-9");
  ld_text_printf(out, "\\p{%s}", category);
  for (size_t i = 0; i < sizeof category_added / sizeof *category_added; i++) {
    if (strncmp(category_added[i].category, category, strlen(category))) continue;
    ld_text_printf(out, "\\x{%x}", category_added[i].first);
    if (category_added[i].last > category_added[i].first)
      ld_text_printf(out, "-\\x{%x}", category_added[i].last);
  }
}
