#include "io/tokenizer/word_end.h"

#include <string.h>

#include "base/utf8.h"
#include "io/tokenizer/stage.h"
#include "io/tokenizer/unicode.h"

static void end_token(ld_stage *stage) {
  (void)stage;
}

/* How many bytes at the end may be the start of a mark. */
static size_t open_mark(const char *bytes, size_t length, const char *mark) {
  size_t n = strlen(mark) - 1;
  for (n = n < length ? n : length; n; n--)
    if (!memcmp(bytes + length - n, mark, n)) break;
  return n;
}

/* A mark may lie in several tokens; its start waits. */
static void mark_feed(ld_stage *stage, const char *bytes, size_t length) {
  const char *mark = stage->data, *found;
  ld_text *hold = &stage->hold;
  ld_text_append(hold, bytes, length);
  const char *at = hold->bytes, *end = at + hold->length;
  while ((found = memmem(at, (size_t)(end - at), mark, strlen(mark)))) {
    ld_stage_feed(stage->next, at, (size_t)(found - at));
    ld_stage_feed(stage->next, " ", 1);
    at = found + strlen(mark);
  }
  const size_t waiting = open_mark(at, (size_t)(end - at), mark);
  ld_stage_feed(stage->next, at, (size_t)(end - at) - waiting);
  memmove(hold->bytes, end - waiting, waiting);
  hold->length = waiting;
}

static void finish(ld_stage *stage) {
  ld_stage_end(stage->next);
  ld_stage_finish(stage->next);
}

static void mark_finish(ld_stage *stage) {
  ld_stage_feed(stage->next, stage->hold.bytes, stage->hold.length);
  finish(stage);
}

const ld_component_kind ld_word_end_kind = {.type = "", .decode = {mark_feed, end_token, mark_finish}};

/* As Python's str.strip(), which also counts four control characters. */
static bool is_blank(uint32_t code) {
  return ld_is_space(code) || (code >= 0x1c && code <= 0x1f);
}

/* White space waits for what follows it; at the start it is dropped. */
static void strip_feed(ld_stage *stage, const char *bytes, size_t length) {
  for (size_t i = 0; i < length;) {
    const size_t from = i;
    const bool blank = is_blank(ld_utf8_next(bytes, &i));
    if (blank && stage->inside) ld_text_append(&stage->hold, bytes + from, i - from);
    if (blank) continue;
    ld_stage_feed(stage->next, stage->hold.bytes, stage->hold.length);
    ld_text_clear(&stage->hold);
    ld_stage_feed(stage->next, bytes + from, i - from);
    stage->inside = true;
  }
}

const ld_component_kind ld_strip_ends_kind = {.type = "", .decode = {strip_feed, end_token, finish}};
