/* Any conversation in any layout: the spans must be in order within the text. The first byte chooses the
 * layout; each line is a message, whose first letter is the role. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/chat/chat.h"
#include "io/chat/form.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 16 };

static size_t read_messages(char *text, ld_message *messages) {
  size_t n = 0;
  char *rest = NULL;
  for (char *line = strtok_r(text, "\n", &rest); line && n < MOST; line = strtok_r(NULL, "\n", &rest)) {
    messages[n].role = *line == 's' ? "system" : *line == 'u' ? "user" : *line == 'a' ? "assistant" : line;
    messages[n++].content = line + 1;
  }
  return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char *const names[] = {"chatml", "llama2", "llama3"};
  if (!size) return 0;
  char *text = ld_strndup((const char *)data + 1, size - 1);
  ld_message messages[MOST];
  ld_span spans[MOST];
  const size_t n = read_messages(text, messages);
  ld_spans said = {.items = spans};
  size_t from = 0;
  ld_text out = {0};
  ld_error err = {0};
  ld_text form = {0};
  ld_chat_form((const char *)data, size, "<s>", NULL, &form);
  ld_text_free(&form);
  const ld_chat_layout *layout = ld_chat_find(names[data[0] % 3], NULL, NULL, &err);
  if (!layout) abort();
  if (!ld_chat_render(layout, messages, n, data[0] & 8, &out, &said, &err)) {
    if (said.n > n) abort();
    for (size_t i = 0; i < said.n; from = spans[i++].end)
      if (from > spans[i].turn || spans[i].turn > spans[i].begin || spans[i].begin >= spans[i].end) abort();
    if (from > out.length) abort();
  }
  ld_text_free(&out);
  free(text);
  return 0;
}
