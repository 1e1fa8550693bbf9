#include "io/dataset/conversation.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/dataset/format.h"
#include "io/dataset/tokens.h"

typedef struct rendered {
  ld_text text;
  ld_spans spans;
} rendered;

/* Counts the keys of a message that no layout shows. */
static void count_unused(const ld_value *message, ld_tally *unused) {
  for (size_t i = 0; unused && i < message->n_items; i++) {
    const ld_value *item = &message->items[i];
    if (item->type == LD_NULL || !strcmp(item->key, "role") || !strcmp(item->key, "content")) continue;
    char *name = ld_format("messages[].%.60s", item->key);
    ld_tally_add(unused, name, 1);
    free(name);
  }
}

static int read_messages(const ld_value *list, ld_message *messages, ld_tally *unused, ld_error *err) {
  for (size_t i = 0; i < list->n_items; i++) {
    const ld_value *item = &list->items[i];
    if (item->type != LD_MAP)
      return ld_fail(err, LD_EFORMAT, "messages[%zu]: expected an object with \"role\" and \"content\"", i);
    int rc = ld_data_string(item, "role", &messages[i].role, err);
    if (!rc) rc = ld_data_string(item, "content", &messages[i].content, err);
    if (rc) return ld_fail_prefix(err, rc, "messages[%zu]", i);
    count_unused(item, unused);
  }
  return 0;
}

/* The list of messages; NULL with LD_EFORMAT. */
static const ld_value *list_of(const ld_value *record, ld_error *err) {
  const ld_value *list = ld_value_get(record, "messages");
  if (list && list->type == LD_LIST) return list;
  ld_fail(err, LD_EFORMAT, "messages: expected a list of messages");
  return NULL;
}

static int render(const ld_dataset *dataset, const ld_value *record, ld_tally *unused, rendered *out,
                  ld_error *err) {
  const ld_value *list = list_of(record, err);
  if (!list) return LD_EFORMAT;
  ld_message *messages = ld_alloc(list->n_items, sizeof *messages);
  out->spans.items = ld_alloc(list->n_items, sizeof *out->spans.items);
  int rc = read_messages(list, messages, unused, err);
  if (!rc) rc = ld_chat_render(dataset->layout, messages, list->n_items, false, &out->text, &out->spans, err);
  free(messages);
  return rc;
}

/* Walks over the ids of the whole conversation while its text is encoded again in pieces. */
typedef struct id_walk {
  const ld_dataset *dataset;
  const char *text;
  const ld_ids *all;
  size_t at;    /* tokens so far */
  bool differs; /* the pieces' ids differ from the whole's, so the walk is useless */
  ld_ids piece;
} id_walk;

/* How many tokens of the whole, from `at` on, are those of text [begin, end) alone. */
static int common(id_walk *walk, size_t begin, size_t end, size_t *n, ld_error *err) {
  walk->piece.n = 0;
  int rc = ld_data_encode(walk->dataset, walk->text + begin, end - begin, false, &walk->piece, err);
  *n = rc ? 0 : ld_data_common(&walk->piece, walk->all->ids + walk->at, walk->all->n - walk->at);
  return rc;
}

static int pass(id_walk *walk, size_t begin, size_t end, ld_error *err) {
  size_t n;
  int rc = common(walk, begin, end, &n, err);
  if (n != walk->piece.n) walk->differs = true;
  walk->at += n;
  return rc;
}

/* Marks the assistant's tokens in one pass over the text, assuming that it may be split at special tokens
 * before it is encoded; `differs` is set where this tokenizer splits differently. */
static int mark_by_pieces(id_walk *walk, const rendered *chat, uint8_t *target, ld_error *err) {
  size_t from = 0;
  int rc = 0;
  for (size_t i = 0; i < chat->spans.n && !rc && !walk->differs; i++) {
    const ld_span *span = &chat->spans.items[i];
    size_t head = 0;
    rc = pass(walk, from, span->turn, err);
    if (!rc) rc = common(walk, span->turn, span->begin, &head, err);
    const size_t begin = walk->at + head;
    if (!rc) rc = pass(walk, span->turn, span->end, err);
    if (walk->at > begin) memset(target + begin, 1, walk->at - begin);
    from = span->end;
  }
  if (!rc && !walk->differs) rc = pass(walk, from, chat->text.length, err);
  if (walk->at != walk->all->n) walk->differs = true;
  return rc;
}

/* The same for any tokenizer: each boundary is where the ids of the text up to it diverge from the whole's.
 * The time is quadratic in the number of turns, so it has a budget of bytes to encode. */
static int mark_by_prefixes(id_walk *walk, const rendered *chat, uint8_t *target, ld_error *err) {
  enum { MOST_BYTES = 1 << 28 };
  if (chat->spans.n && chat->text.length > MOST_BYTES / chat->spans.n)
    return ld_fail(
        err, LD_EUNSUPPORTED,
        "messages: %zu turns of the assistant in %zu bytes take too long with this tokenizer, split "
        "the conversation",
        chat->spans.n, chat->text.length);
  walk->at = 0;
  memset(target, 0, walk->all->n);
  for (size_t i = 0; i < chat->spans.n; i++) {
    size_t begin, end;
    int rc = common(walk, 0, chat->spans.items[i].begin, &begin, err);
    if (!rc) rc = common(walk, 0, chat->spans.items[i].end, &end, err);
    if (rc) return rc;
    if (end > begin) memset(target + begin, 1, end - begin);
  }
  return 0;
}

static int mark(const ld_dataset *dataset, const rendered *chat, ld_sample *sample, ld_error *err) {
  id_walk walk = {.dataset = dataset, .text = chat->text.bytes, .all = &sample->tokens};
  ld_data_targets(sample, SIZE_MAX);
  int rc = mark_by_pieces(&walk, chat, sample->target, err);
  if (!rc && walk.differs) rc = mark_by_prefixes(&walk, chat, sample->target, err);
  if (sample->tokens.n) sample->target[0] = 0;
  ld_ids_free(&walk.piece);
  return rc;
}

int ld_data_conversation(const ld_dataset *dataset, const ld_parsed *parsed, ld_sample *sample,
                         ld_error *err) {
  rendered chat = {0};
  int rc = render(dataset, parsed->values, parsed->unused, &chat, err);
  if (!rc) rc = ld_data_encode(dataset, chat.text.bytes, chat.text.length, false, &sample->tokens, err);
  if (!rc && dataset->options.mask_prompt)
    rc = mark(dataset, &chat, sample, err);
  else if (!rc)
    ld_data_targets(sample, 1);
  ld_text_free(&chat.text);
  free(chat.spans.items);
  return rc;
}

int ld_data_ask_conversation(const ld_dataset *dataset, const ld_parsed *parsed, ld_sample *sample,
                             ld_error *err) {
  const ld_value *list = list_of(parsed->values, err);
  if (!list) return LD_EFORMAT;
  ld_text text = {0};
  ld_message *messages = ld_alloc(list->n_items, sizeof *messages);
  int rc = read_messages(list, messages, parsed->unused, err);
  const size_t n = list->n_items, last = n - 1;
  const bool answered = !rc && n && !strcmp(messages[last].role, "assistant");
  if (!rc) rc = ld_chat_render(dataset->layout, messages, answered ? last : n, true, &text, NULL, err);
  if (!rc) rc = ld_data_encode(dataset, text.bytes, text.length, false, &sample->tokens, err);
  if (!rc) rc = ld_data_ask(dataset, parsed->values, answered ? messages[last].content : NULL, sample, err);
  free(messages);
  ld_text_free(&text);
  return rc;
}
