#include "io/tokenizer/grapheme.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/text.h"

/* Texts with a bar between the clusters; the names of the rules are those of UAX 29. */
static const struct {
  const char *rule, *text;
} cases[] = {
    {"GB3", "a|\r\n|\n|\r|b"},
    {"GB4, GB5", "a|\t|\xcc\x81|\x01|b"},
    {"GB6", "\xe1\x84\x80\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8|\xe1\x84\x80\xea\xb0\x80\xe1\x86\xa8"},
    {"GB7", "\xea\xb0\x80\xe1\x85\xa1\xe1\x86\xa8|\xe1\x84\x80"},
    {"GB8", "\xea\xb0\x81\xe1\x86\xa8|\xe1\x85\xa1"},
    {"GB9", "e\xcc\x81\xcc\x82|a\xe2\x80\x8d|b"},
    {"GB9a", "\xe0\xa4\x95\xe0\xa4\xbe|\xe0\xb8\x81\xe0\xb8\xb3"},
    {"GB9b", "\xd8\x80"
             "1|2"},
    {"GB9c", "\xe0\xa4\x95\xe0\xa5\x8d\xe0\xa4\x95\xe0\xa4\xbe|\xe0\xa4\x95|\xe0\xa4\x95"},
    {"GB9c with a joiner", "\xe0\xa4\x95\xe0\xa5\x8d\xe2\x80\x8d\xe0\xa4\x95|a"},
    {"GB9c with a non-joiner", "\xe0\xa4\x95\xe0\xa5\x8d\xe2\x80\x8c|\xe0\xa4\x95"},
    {"GB9c without a consonant", "a\xe0\xa5\x8d|\xe0\xa4\x95"},
    {"GB11", "\xf0\x9f\x91\xa8\xe2\x80\x8d\xf0\x9f\x91\xa9\xf0\x9f\x8f\xbd\xe2\x80\x8d\xf0\x9f\x91\xa7|"
             "\xf0\x9f\x98\x80"},
    {"GB11 without a pictograph", "a\xe2\x80\x8d|\xf0\x9f\x98\x80"},
    {"GB12, GB13", "\xf0\x9f\x87\xa9\xf0\x9f\x87\xaa|\xf0\x9f\x87\xab\xf0\x9f\x87\xb7|\xf0\x9f\x87\xab"},
    {"Unicode 16 and 17", "a\xe0\xa2\x97|\xf0\x96\xb5\xa3\xf0\x96\xb5\xa7|\xf0\x91\x8f\x91"
                          "a"},
    {"ASCII", "a|b| |c"},
};

Test(grapheme, clusters) {
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ld_text text = {0}, got = {0};
    for (const char *c = cases[i].text; *c; c++)
      if (*c != '|') ld_text_append(&text, c, 1);
    for (size_t start = 0, end; start < text.length; start = end) {
      end = ld_grapheme_end(text.bytes, text.length, start);
      cr_assert(end > start && end <= text.length, "%s", cases[i].rule);
      if (start) ld_text_append(&got, "|", 1);
      ld_text_append(&got, text.bytes + start, end - start);
    }
    cr_assert_str_eq(got.bytes, cases[i].text, "%s: %s", cases[i].rule, got.bytes);
    ld_text_free(&text);
    ld_text_free(&got);
  }
}
