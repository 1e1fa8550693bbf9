/* Where sentences end: the rules in base/sentences.h, and no byte that is lost or counted twice. */
#include "base/sentences.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

#include "base/text.h"

/* The sentences, each with a | after it. */
static void check(const char *text, const char *wanted) {
  ld_text found = {0};
  ld_sentence s;
  for (size_t at = 0; ld_sentence_next(text, strlen(text), &at, &s);) {
    ld_text_append(&found, s.at, s.length);
    ld_text_puts(&found, "|");
  }
  cr_assert_str_eq(found.length ? found.bytes : "", wanted);
  ld_text_free(&found);
}

Test(sentences, marks_and_lines) {
  check("It rained. Nobody came! Why? We left.", "It rained.|Nobody came!|Why?|We left.|");
  check("a title\nIt rained\r\n\n  We left  ", "a title|It rained|We left|");
  check("Wait... Then he came.", "Wait...|Then he came.|");
  check("Wait\xe2\x80\xa6 Then he came.", "Wait\xe2\x80\xa6|Then he came.|");
  check("What?! No.", "What?!|No.|");
  check("It ended. 3 came. (Two left.)", "It ended.|3 came.|(Two left.)|");
  check("", "");
  check(" \n\t ", "");
  check(".", ".|");
}

Test(sentences, quotes_and_brackets_stay_with_the_end) {
  check("He said \"go.\" She went.", "He said \"go.\"|She went.|");
  check("He said \xe2\x80\x9cgo.\xe2\x80\x9d She went.", "He said \xe2\x80\x9cgo.\xe2\x80\x9d|She went.|");
  check("\"Go!\" she said.", "\"Go!\" she said.|");
  check("It ended (at last.) Then we left.", "It ended (at last.)|Then we left.|");
}

Test(sentences, full_stops_that_end_nothing) {
  check("It costs 3.50 dollars at example.com today.", "It costs 3.50 dollars at example.com today.|");
  check("Dr. Smith met J. R. Olsen in the U.S. Army.", "Dr. Smith met J. R. Olsen in the U.S. Army.|");
  check("See Fig. 3 and Sec. 2.1. It is so.", "See Fig. 3 and Sec. 2.1.|It is so.|");
  check("We took vitamin a. Then we left.", "We took vitamin a.|Then we left.|");
  check("He said no. Then he left.", "He said no.|Then he left.|");
  check("It came on Jan. 5. We left.", "It came on Jan. 5.|We left.|");
  check("Smith et al. Showed it, e.g. This one.", "Smith et al. Showed it, e.g. This one.|");
  check("It is it's. We left. caf\xc3\xa9. We came.", "It is it's.|We left. caf\xc3\xa9.|We came.|");
}

Test(sentences, full_stops_without_white_space) {
  check("\xe9\x9b\xa8\xe3\x80\x82\xe9\xa2\xa8\xef\xbc\x81x",
        "\xe9\x9b\xa8\xe3\x80\x82|\xe9\xa2\xa8\xef\xbc\x81|x|");
}

/* Any bytes: every sentence lies after the one before, and only white space is left out. */
Test(sentences, random_bytes) {
  static const char *const parts[] = {
      ".",    "!",   "?", " ", "\n", "a", "B", "3", "\"", ")", "dr", "\xe2\x80\xa6", "\xe3\x80\x82",
      "\xff", "\xc3"};
  uint64_t state = 1;
  for (int round = 0; round < 3000; round++) {
    ld_text text = {0};
    ld_text_puts(&text, "");
    for (int i = 0; i < 40; i++) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      ld_text_puts(&text, parts[(state >> 33) % (sizeof parts / sizeof *parts)]);
    }
    size_t at = 0, end = 0;
    ld_sentence s;
    while (ld_sentence_next(text.bytes, text.length, &at, &s)) {
      const size_t begin = (size_t)(s.at - text.bytes);
      cr_assert(s.length && begin >= end && begin + s.length <= text.length);
      for (size_t i = end; i < begin; i++) cr_assert(text.bytes[i] == ' ' || text.bytes[i] == '\n');
      end = begin + s.length;
    }
    for (size_t i = end; i < text.length; i++) cr_assert(text.bytes[i] == ' ' || text.bytes[i] == '\n');
    ld_text_free(&text);
  }
}
