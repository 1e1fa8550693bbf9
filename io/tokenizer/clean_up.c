#include "io/tokenizer/clean_up.h"

#include <string.h>

/* Replaces every `from` in the text by `to`, which is not longer. */
static void replace_all(ld_text *text, const char *from, const char *to) {
  const size_t n_from = strlen(from), n_to = strlen(to);
  char *write = text->bytes, *read = text->bytes, *end = text->bytes + text->length, *found;
  while ((found = memmem(read, (size_t)(end - read), from, n_from))) {
    const size_t before = (size_t)(found - read);
    memmove(write, read, before);
    memcpy(write + before, to, n_to);
    write += before + n_to;
    read = found + n_from;
  }
  memmove(write, read, (size_t)(end - read));
  text->length = (size_t)(write - text->bytes) + (size_t)(end - read);
}

void ld_clean_up(ld_text *text, bool contract) {
  static const char *const pairs[][2] = {
      {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},    {" n't", "n't"},
      {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
  };
  if (!text->length || !memchr(text->bytes, ' ', text->length)) return;
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
    if (contract || strcmp(pairs[i][0], " do not")) replace_all(text, pairs[i][0], pairs[i][1]);
}
