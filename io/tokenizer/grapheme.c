/* Grapheme clusters, with the properties of characters that the tokenizers library has (Unicode 17).
 *
 * The rules have the names of UAX 29. All that a rule looks back for is in the cluster itself, so a cluster is
 * found from its start alone: "e", U+0301 is one; four regional indicators, which are two flags, are two. */
#include "io/tokenizer/grapheme.h"

#include <stdbool.h>
#include <utf8proc.h>

#include "base/utf8.h"
#include "io/tokenizer/unicode.h"

/* utf8proc's classes, with a shorter name. */
#define CLASS(name) UTF8PROC_BOUNDCLASS_##name

enum { ZERO_WIDTH_NON_JOINER = 0x200c };

/* What rules with more than two characters need to know about the cluster so far. */
typedef struct cluster {
  int last;            /* class of the last character */
  bool picture;        /* GB11: ends with a pictograph, then Extend* */
  bool picture_joiner; /* ... then a joiner */
  bool consonant;      /* GB9c: ends with an Indic consonant, then marks */
  bool linked;         /* ... of which one is a linker */
  bool half_flag;      /* GB12, GB13: ends with an odd number of regional indicators */
} cluster;

static bool is_control(int class) {
  return class == CLASS(CONTROL) || class == CLASS(CR) || class == CLASS(LF);
}

/* GB6, GB7, GB8. */
static bool joins_hangul(int before, int after) {
  if (before == CLASS(L))
    return after == CLASS(L) || after == CLASS(V) || after == CLASS(LV) || after == CLASS(LVT);
  if (before == CLASS(LV) || before == CLASS(V)) return after == CLASS(V) || after == CLASS(T);
  return (before == CLASS(LVT) || before == CLASS(T)) && after == CLASS(T);
}

/* Whether the character goes on with the cluster. */
static bool joins(const cluster *c, uint32_t code, int class) {
  if (is_control(c->last) || is_control(class)) return c->last == CLASS(CR) && class == CLASS(LF);
  if (class == CLASS(EXTEND) || class == CLASS(ZWJ) || class == CLASS(SPACINGMARK)) return true;
  if (c->last == CLASS(PREPEND) || joins_hangul(c->last, class)) return true;
  if (c->picture_joiner && class == CLASS(EXTENDED_PICTOGRAPHIC)) return true;
  if (c->half_flag && class == CLASS(REGIONAL_INDICATOR)) return true;
  return c->linked && ld_is_indic_consonant(code);
}

static void add(cluster *c, uint32_t code, int class) {
  const bool extends = class == CLASS(EXTEND);
  c->picture_joiner = c->picture && class == CLASS(ZWJ);
  c->picture = class == CLASS(EXTENDED_PICTOGRAPHIC) || (c->picture && extends);
  c->half_flag = class == CLASS(REGIONAL_INDICATOR) && !c->half_flag;
  const bool indic_mark = (extends && code != ZERO_WIDTH_NON_JOINER) || class == CLASS(ZWJ);
  c->linked = c->consonant && indic_mark && (c->linked || ld_is_indic_linker(code));
  c->consonant = (c->consonant && indic_mark) || ld_is_indic_consonant(code);
  c->last = class;
}

size_t ld_grapheme_end(const char *s, size_t length, size_t start) {
  size_t end = start + 1;
  if ((unsigned char)s[start] < 0x80 && s[start] != '\r' && (end == length || (unsigned char)s[end] < 0x80))
    return end;
  cluster c = {0};
  end = start;
  uint32_t code = ld_utf8_next(s, &end);
  add(&c, code, ld_grapheme_class(code));
  for (size_t next = end; next < length; end = next) {
    code = ld_utf8_next(s, &next);
    const int class = ld_grapheme_class(code);
    if (!joins(&c, code, class)) break;
    add(&c, code, class);
  }
  return end;
}
