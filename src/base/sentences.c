#include "base/sentences.h"

#include <stdint.h>
#include <string.h>

#include "base/utf8.h"

/* In small letters, without the last full stop. */
static const char *const abbreviations[] = {
    "mr",  "mrs", "ms",  "dr",  "prof", "sr",  "jr",     "st", "rev", "hon", "gen", "col",  "lt", "capt",
    "sgt", "gov", "sen", "rep", "pres", "mme", "messrs", "vs", "cf",  "al",  "viz", "resp", NULL};

/* The same only before a number. */
static const char *const numbered[] = {"no",  "nos", "fig",  "figs", "eq",  "eqs", "sec", "ch",
                                       "vol", "p",   "pp",   "art",  "jan", "feb", "mar", "apr",
                                       "aug", "sep", "sept", "oct",  "nov", "dec", NULL};

static bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

static char lower(char c) {
  return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_one_of(const char *word, size_t length, const char *const *list) {
  for (; *list; list++) {
    size_t i = 0;
    while (i < length && lower(word[i]) == (*list)[i]) i++; /* it ends with a NUL, which is no letter */
    if (i == length && !(*list)[i]) return true;
  }
  return false;
}

static bool is_before_number(const char *text, size_t length, size_t at) {
  while (at < length && is_blank(text[at])) at++;
  return at < length && text[at] >= '0' && text[at] <= '9';
}

/* Whether the full stop at `stop` may belong to the word before it. */
static bool is_abbreviation(const char *text, size_t length, size_t begin, size_t stop) {
  size_t word = stop;
  while (word > begin && is_letter(text[word - 1])) word--;
  const size_t n = stop - word;
  if (!n || (word > begin && ((text[word - 1] & 0x80) || text[word - 1] == '\'')))
    return false; /* "né.", "it's." */
  const bool initial = lower(text[word]) != text[word] || (word > begin && text[word - 1] == '.');
  return (n == 1 && initial) || is_one_of(text + word, n, abbreviations) ||
         (is_one_of(text + word, n, numbered) && is_before_number(text, length, stop + 1));
}

/* Quotes and brackets that may follow the end of a sentence. */
static bool closes(uint32_t code) {
  return code == '"' || code == '\'' || code == ')' || code == ']' || code == 0x201D || code == 0x2019 ||
         code == 0xBB;
}

static bool ends(uint32_t code) {
  return code == '.' || code == '!' || code == '?' || code == 0x2026;
}

static bool ends_alone(uint32_t code) {
  return code == 0x3002 || code == 0xFF01 || code == 0xFF1F;
}

/* The end of a sentence whose last mark stands before `at`, with what closes after it; 0 when none ends here. */
static size_t end_after(const char *text, size_t length, size_t at, bool alone) {
  uint32_t code;
  for (size_t next = at;
       next < length && ld_utf8_read(text, length, &next, &code) && (closes(code) || ends(code));)
    at = next;
  size_t next = at;
  while (next < length && is_blank(text[next])) next++;
  if (alone || next == length) return at;
  const bool small = text[next] >= 'a' && text[next] <= 'z';
  return next > at && !small ? at : 0;
}

/* The end of the sentence that begins at `begin`. */
static size_t find_end(const char *text, size_t length, size_t begin) {
  for (size_t at = begin, mark; at < length;) {
    uint32_t code;
    mark = at;
    if (text[at] == '\n') return at;
    if (!ld_utf8_read(text, length, &at, &code) || !(ends(code) || ends_alone(code))) continue;
    const bool again = at < length && text[at] == '.'; /* the last of several decides */
    if (code == '.' && (again || is_abbreviation(text, length, begin, mark))) continue;
    const size_t end = end_after(text, length, at, ends_alone(code));
    if (end) return end;
  }
  return length;
}

bool ld_sentence_next(const char *text, size_t length, size_t *from, ld_sentence *sentence) {
  size_t begin = *from;
  while (begin < length && is_blank(text[begin])) begin++;
  size_t end = find_end(text, length, begin);
  *from = end;
  while (end > begin && is_blank(text[end - 1])) end--;
  *sentence = (ld_sentence){text + begin, end - begin};
  return end > begin;
}
