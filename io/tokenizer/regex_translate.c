/* Rewrites Oniguruma's Ruby syntax for PCRE2.
 *
 * What is the same in both is copied; what differs in meaning (\s, \w, \h, \b, \v, \u, (?m), {,n}, the tables
 * after \p) is spelled out; what has no counterpart is refused by name. */
#include "io/tokenizer/regex_translate.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "io/tokenizer/unicode.h"

enum { MAX_GROUPS = 200 };

typedef struct translation {
  const char *s;
  size_t length, at;
  ld_text *out;
  ld_error *err;
  int closes[MAX_GROUPS + 1]; /* by depth: groups that an isolated option has opened */
  int depth;
} translation;

/* A character class is a union: the part that fits inside one pair of brackets, and complements of sets. */
typedef struct char_set {
  ld_text inside;
  ld_text complements; /* "|[^...]" each */
} char_set;

static int refuse(translation *t, const char *what) {
  char shown[200];
  snprintf(shown, sizeof shown, "%.*s", (int)(t->length < 180 ? t->length : 180), t->s);
  return ld_fail(t->err, LD_EUNSUPPORTED, "the regular expression \"%s\" uses %s, which is not supported",
                 shown, what);
}

static bool next_is(const translation *t, size_t ahead, char c) {
  return t->at + ahead < t->length && t->s[t->at + ahead] == c;
}

static void append_code(ld_text *out, uint32_t code) {
  if (code < 0x80 && isalnum((int)code))
    ld_text_append(out, &(char){(char)code}, 1);
  else
    ld_text_printf(out, "\\x{%x}", code);
}

static void append_space(ld_text *out) {
  ld_text_puts(
      out, "\\x09-\\x0d\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}"
           "\\x{3000}");
}

/* Oniguruma's word characters: alphabetic, marks, digits and connectors; outside of brackets also the Latin-1
 * fractions and exponents. */
static void append_word(ld_text *out, bool in_class) {
  static const char *const categories[] = {"L", "M", "Nl", "Nd", "Pc"};
  for (size_t i = 0; i < sizeof categories / sizeof *categories; i++) ld_category_append(out, categories[i]);
  ld_text_puts(out, "0-9_\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}");
  if (!in_class) ld_text_puts(out, "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}");
}

/* The inside of the set for a lower-case letter after a backslash; false when it does not stand for one. */
static bool append_set(ld_text *out, char letter, bool in_class) {
  if (letter == 's')
    append_space(out);
  else if (letter == 'w')
    append_word(out, in_class);
  else if (letter == 'd')
    ld_category_append(out, "Nd");
  else if (letter == 'h')
    ld_text_puts(out, "0-9a-fA-F");
  else
    return false;
  return true;
}

/* Everything but the "other" categories, whose newer members PCRE2 takes for unassigned. */
static void append_assigned(ld_text *out, bool with_other) {
  for (const char *c = "LMNPSZ"; *c; c++) ld_category_append(out, (char[]){*c, 0});
  if (!with_other) return;
  ld_text_puts(out, "\\p{Cc}\\p{Co}\\p{Cs}");
  ld_category_append(out, "Cf");
}

/* \p{...}, at the p: adds to the set. */
static int read_property(translation *t, char_set *set) {
  bool negated = t->s[t->at] == 'P';
  size_t at = t->at + 1, n = 0;
  char name[32];
  if (at >= t->length || t->s[at] != '{') return refuse(t, "\\p without {}");
  at++;
  if (at < t->length && t->s[at] == '^') negated = !negated, at++;
  for (; at < t->length && t->s[at] != '}'; at++) {
    if (n + 1 >= sizeof name || !isalpha((unsigned char)t->s[at]))
      return refuse(t, "an unknown \\p property");
    name[n++] = t->s[at];
  }
  if (at >= t->length || !n) return refuse(t, "an unknown \\p property");
  name[n] = 0;
  t->at = at + 1;
  ld_text inside = {0};
  if (n <= 2) {
    name[0] = (char)toupper((unsigned char)name[0]);
    name[1] = (char)tolower((unsigned char)name[1]);
    const bool unassigned = !strcmp(name, "C") || !strcmp(name, "Cn");
    if (unassigned) {
      negated = !negated;
      append_assigned(&inside, name[1] == 'n');
    } else {
      ld_category_append(&inside, name);
    }
  } else { /* a script; PCRE2 would otherwise include its extensions */
    ld_text_printf(&inside, "\\p{sc:%s}", name);
    if (!strcasecmp(name, "Han"))
      ld_text_puts(&inside, "\\x{2ffc}-\\x{2fff}\\x{31350}-\\x{323af}\\x{2b739}\\x{2ebf0}-\\x{2ee5d}");
  }
  if (negated)
    ld_text_printf(&set->complements, "|[^%s]", inside.bytes);
  else
    ld_text_append(&set->inside, inside.bytes, inside.length);
  ld_text_free(&inside);
  return 0;
}

static void append_union(ld_text *out, const char_set *set) {
  if (set->inside.length) ld_text_printf(out, "[%s]", set->inside.bytes);
  if (set->complements.length) ld_text_puts(out, set->complements.bytes + (set->inside.length ? 0 : 1));
}

static void write_set(ld_text *out, const char_set *set, bool negated) {
  if (!set->complements.length) {
    ld_text_printf(out, negated ? "[^%s]" : "[%s]", set->inside.bytes ? set->inside.bytes : "");
    return;
  }
  ld_text_puts(out, negated ? "(?:(?!" : "(?:");
  append_union(out, set);
  ld_text_puts(out, negated ? ")(?s:.))" : ")");
}

static void free_set(char_set *set) {
  ld_text_free(&set->inside);
  ld_text_free(&set->complements);
}

static uint32_t read_digits(translation *t, int base, size_t most) {
  uint32_t value = 0;
  for (size_t n = 0; n < most && t->at < t->length; n++, t->at++) {
    const unsigned char c = (unsigned char)t->s[t->at];
    const int digit = isdigit(c) ? c - '0' : isxdigit(c) ? (c | 0x20) - 'a' + 10 : 99;
    if (digit >= base) break;
    value = value > 0x110000 ? value : value * (uint32_t)base + (uint32_t)digit;
  }
  return value;
}

/* A backslash with what follows, when it stands for one character; t->at is at the character after the
 * backslash and advances. */
static int read_escaped(translation *t, uint32_t *code) {
  static const char letters[] = "ntrfeav", codes[] = "\n\t\r\f\x1b\a\v";
  if (t->at >= t->length) return refuse(t, "a backslash at its end");
  const char c = t->s[t->at];
  const char *letter = c ? strchr(letters, c) : NULL;
  if (letter) {
    t->at++;
    *code = (unsigned char)codes[letter - letters];
    return 0;
  }
  if (c == 'x' && next_is(t, 1, '{')) {
    t->at += 2;
    *code = read_digits(t, 16, 8);
    if (*code > 0x10ffff || t->at >= t->length || t->s[t->at] != '}') return refuse(t, "a broken \\x{}");
    t->at++;
    return 0;
  }
  if (c == 'x' || c == 'u' || c == '0') {
    t->at++;
    *code = read_digits(t, c == '0' ? 8 : 16, c == 'u' ? 4 : 2);
    if (*code >= 0x80 && c != 'u') return refuse(t, "a byte that is not ASCII");
    return 0;
  }
  if (isalnum((unsigned char)c)) return refuse(t, (char[]){'\\', c, 0});
  *code = ld_utf8_next(t->s, &t->at);
  return 0;
}

/* [:name:] at its [; only those with the meaning of a backslash letter. */
static int read_posix(translation *t, char_set *set) {
  static const struct {
    const char *name;
    char letter;
  } names[] = {{"[:space:]", 's'}, {"[:digit:]", 'd'}, {"[:xdigit:]", 'h'}, {"[:word:]", 'w'}};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    const size_t n = strlen(names[i].name);
    if (t->length - t->at < n || memcmp(t->s + t->at, names[i].name, n)) continue;
    append_set(&set->inside, names[i].letter, true);
    t->at += n;
    return 0;
  }
  return refuse(t, "a class within a class");
}

/* One character or one set within brackets; *is_set says which. */
static int read_atom(translation *t, char_set *set, bool *is_set, uint32_t *code) {
  *is_set = true;
  if (t->s[t->at] == '[') return read_posix(t, set);
  if (next_is(t, 0, '&') && next_is(t, 1, '&')) return refuse(t, "&&");
  if (t->s[t->at] == '\\' && t->at + 1 < t->length) {
    const char c = t->s[++t->at];
    if (c == 'p' || c == 'P') return read_property(t, set);
    if (append_set(&set->inside, c, true)) return t->at++, 0;
    if (strchr("SWDH", c) && c) {
      ld_text_puts(&set->complements, "|[^");
      append_set(&set->complements, (char)tolower((unsigned char)c), true);
      ld_text_puts(&set->complements, "]");
      return t->at++, 0;
    }
    *is_set = false;
    if (c == 'b') return t->at++, *code = '\b', 0;
    return read_escaped(t, code);
  }
  *is_set = false;
  *code = ld_utf8_next(t->s, &t->at);
  return 0;
}

/* At the character after the [. */
static int read_class(translation *t, char_set *set, bool *negated) {
  *negated = next_is(t, 0, '^');
  if (*negated) t->at++;
  for (bool first = true;; first = false) {
    if (t->at >= t->length) return refuse(t, "a [ without its ]");
    if (t->s[t->at] == ']' && !first) return t->at++, 0;
    bool is_set;
    uint32_t low, high;
    int rc = read_atom(t, set, &is_set, &low);
    if (rc || is_set) {
      if (rc) return rc;
      continue;
    }
    append_code(&set->inside, low);
    const bool range = next_is(t, 0, '-') && t->at + 1 < t->length && t->s[t->at + 1] != ']';
    if (!range) continue;
    t->at++;
    rc = read_atom(t, set, &is_set, &high);
    if (rc) return rc;
    if (is_set) return refuse(t, "a range that ends in a class");
    if (high < low) return refuse(t, "a range that runs backwards");
    ld_text_puts(&set->inside, "-");
    append_code(&set->inside, high);
  }
}

static int translate_class(translation *t) {
  char_set set = {0};
  bool negated;
  t->at++;
  const int rc = read_class(t, &set, &negated);
  if (!rc) write_set(t->out, &set, negated);
  free_set(&set);
  return rc;
}

static void append_boundary(ld_text *out, bool negated) {
  ld_text word = {0};
  append_word(&word, false);
  const char *w = word.bytes;
  if (negated)
    ld_text_printf(out, "(?:(?<=[%s])(?=[%s])|(?<![%s])(?![%s]))", w, w, w, w);
  else
    ld_text_printf(out, "(?:(?<=[%s])(?![%s])|(?<![%s])(?=[%s]))", w, w, w, w);
  ld_text_free(&word);
}

static int translate_escape(translation *t) {
  if (++t->at >= t->length) return refuse(t, "a backslash at its end");
  const char c = t->s[t->at];
  char_set set = {0};
  int rc = 0;
  if (c == 'p' || c == 'P') {
    rc = read_property(t, &set);
    if (!rc) write_set(t->out, &set, false);
  } else if (c && strchr("swdhSWDH", c)) {
    append_set(&set.inside, (char)tolower((unsigned char)c), false);
    write_set(t->out, &set, isupper((unsigned char)c));
    t->at++;
  } else if (c == 'b' || c == 'B') {
    append_boundary(t->out, c == 'B');
    t->at++;
  } else if (c && strchr("AzZGKR123456789", c)) {
    ld_text_printf(t->out, "\\%c", c);
    t->at++;
  } else {
    uint32_t code = 0;
    rc = read_escaped(t, &code);
    if (!rc) append_code(t->out, code);
  }
  free_set(&set);
  return rc;
}

/* {n}, {n,}, {,m}, {n,m}; anything else is a plain brace. */
static int translate_brace(translation *t) {
  size_t at = t->at + 1, low = 0, high = 0;
  while (at < t->length && isdigit((unsigned char)t->s[at])) at++, low++;
  const bool comma = at < t->length && t->s[at] == ',';
  if (comma) at++;
  while (comma && at < t->length && isdigit((unsigned char)t->s[at])) at++, high++;
  if (at >= t->length || t->s[at] != '}' || low + high == 0) {
    t->at++;
    ld_text_puts(t->out, "\\{");
    return 0;
  }
  ld_text_puts(t->out, low ? "{" : "{0");
  ld_text_append(t->out, t->s + t->at + 1, at - t->at);
  t->at = at + 1;
  if (next_is(t, 0, '+')) return refuse(t, "{}+");
  if (!comma && next_is(t, 0, '?')) return refuse(t, "{n}?");
  return 0;
}

/* (?imx-imx: or (?imx-imx), at the first letter; Ruby's m is Perl's s. */
static int translate_options(translation *t) {
  size_t at = t->at;
  while (at < t->length && strchr("im-", t->s[at]) && t->s[at]) at++;
  if (at == t->at || at >= t->length || (t->s[at] != ':' && t->s[at] != ')'))
    return refuse(t, "an unknown group (?");
  ld_text_puts(t->out, "(?");
  for (size_t i = t->at; i < at; i++) ld_text_append(t->out, t->s[i] == 'm' ? "s" : &t->s[i], 1);
  ld_text_puts(t->out, ":");
  if (t->s[at] == ':')
    t->closes[++t->depth] = 0;
  else
    t->closes[t->depth]++; /* it holds to the end of the surrounding group */
  t->at = at + 1;
  return 0;
}

static int translate_group(translation *t) {
  static const char *const prefixes[] = {"(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!"};
  if (t->depth >= MAX_GROUPS) return refuse(t, "groups nested too deep");
  if (next_is(t, 1, '*')) return refuse(t, "(*");
  if (!next_is(t, 1, '?')) {
    t->closes[++t->depth] = 0;
    ld_text_puts(t->out, "(");
    t->at++;
    return 0;
  }
  for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
    const size_t n = strlen(prefixes[i]);
    if (t->length - t->at < n || memcmp(t->s + t->at, prefixes[i], n)) continue;
    t->closes[++t->depth] = 0;
    ld_text_puts(t->out, prefixes[i]);
    t->at += n;
    return 0;
  }
  t->at += 2;
  return translate_options(t);
}

static int translate_close(translation *t) {
  if (!t->depth) return refuse(t, "a ) without its (");
  for (int i = t->closes[t->depth--]; i >= 0; i--) ld_text_puts(t->out, ")");
  t->at++;
  return 0;
}

static int translate_one(translation *t) {
  const char c = t->s[t->at];
  if (c == '\\') return translate_escape(t);
  if (c == '[') return translate_class(t);
  if (c == '(') return translate_group(t);
  if (c == ')') return translate_close(t);
  if (c == '{') return translate_brace(t);
  if (c && strchr("^$.|*+?", c)) {
    ld_text_append(t->out, &c, 1);
    t->at++;
    return 0;
  }
  append_code(t->out, ld_utf8_next(t->s, &t->at));
  return 0;
}

int ld_regex_translate(const char *pattern, size_t length, ld_text *out, ld_error *err) {
  translation t = {.s = pattern, .length = length, .out = out, .err = err};
  while (t.at < length) {
    const int rc = translate_one(&t);
    if (rc) return rc;
  }
  for (int i = 0; i < t.closes[0]; i++) ld_text_puts(out, ")");
  return 0;
}
