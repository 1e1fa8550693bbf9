#include "generate/prompts.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/file.h"
#include "io/json.h"

void ld_prompts_free(ld_prompts *prompts) {
  for (int i = 0; i < prompts->n; i++) ld_prompt_free(&prompts->list[i]);
  *prompts = (ld_prompts){.stop = -1};
}

/* A file of prompts as it is read. */
typedef struct reading {
  const ld_base *base;
  const ld_chat_layout *layout; /* of the data; NULL: it holds no conversations */
  const ld_options *options;
  bool json;
  ld_prompts *prompts;
} reading;

/* Each turn is a role and a text; the texts belong to the list. */
static int take_turns(const ld_value *list, ld_message *messages, ld_error *err) {
  for (size_t i = 0; i < list->n_items; i++) {
    const bool map = list->items[i].type == LD_MAP;
    const ld_value *role = map ? ld_value_get(&list->items[i], "role") : NULL;
    const ld_value *content = map ? ld_value_get(&list->items[i], "content") : NULL;
    if (!role || role->type != LD_STRING || !content || content->type != LD_STRING)
      return ld_fail(err, LD_EFORMAT,
                     "messages[%zu]: expected an object with the strings \"role\" and \"content\"", i);
    messages[i] = (ld_message){role->string, content->string};
  }
  return 0;
}

static int take_messages(const reading *r, const ld_message *messages, size_t n, ld_prompt *prompt,
                         ld_error *err) {
  const ld_base *base = r->base;
  const ld_chat_layout *layout =
      r->layout ? r->layout
                : ld_chat_find(r->options->chat_template, base->chat_template, base->tokenizer, err);
  if (!layout) return err->code;
  r->prompts->stop = ld_tokenizer_id(base->tokenizer, ld_chat_end(layout));
  return ld_prompt_of_messages(base, layout, messages, n, prompt, err);
}

static int take_record(const reading *r, const ld_value *record, ld_prompt *prompt, ld_error *err) {
  const bool map = record->type == LD_MAP;
  const ld_value *text = map ? ld_value_get(record, "prompt") : NULL;
  const ld_value *list = map ? ld_value_get(record, "messages") : NULL;
  if (text && text->type == LD_STRING)
    return ld_prompt_of_text(r->base, r->options, text->string, prompt, err);
  if (!list || list->type != LD_LIST || !list->n_items)
    return ld_fail(err, LD_EFORMAT, "expected an object with \"prompt\", a string, or \"messages\", a list");
  ld_message *messages = ld_alloc(list->n_items, sizeof *messages);
  int rc = take_turns(list, messages, err);
  if (!rc) rc = take_messages(r, messages, list->n_items, prompt, err);
  free(messages);
  return rc;
}

static int take_json(const reading *r, const char *line, ld_prompt *prompt, ld_error *err) {
  ld_value *record = ld_json_parse(line, strlen(line), "JSON", err);
  const int rc = record ? take_record(r, record, prompt, err) : err->code;
  ld_value_free(record);
  return rc;
}

/* One line, ended by a NUL. */
static int take_line(const reading *r, const char *line, ld_error *err) {
  ld_prompts *prompts = r->prompts;
  if (!line[strspn(line, " \t")]) return 0;
  if (prompts->n == LD_MOST_PROMPTS)
    return ld_fail(err, LD_EUSAGE, "is one prompt too many: at most %d are generated from at each evaluation",
                   (int)LD_MOST_PROMPTS);
  ld_prompt *prompt = &prompts->list[prompts->n++];
  if (r->json) return take_json(r, line, prompt, err);
  if (!r->layout) return ld_prompt_of_text(r->base, r->options, line, prompt, err);
  return take_messages(r, &(ld_message){"user", line}, 1, prompt, err);
}

int ld_prompts_read(const char *path, const ld_base *base, const ld_chat_layout *layout,
                    const ld_options *options, ld_prompts *prompts, ld_error *err) {
  const char *ending = strrchr(path, '.');
  const reading r = {base, layout, options, ending && !strcmp(ending, ".jsonl"), prompts};
  ld_map map;
  int rc = ld_map_open(path, &map, err), number = 1;
  if (rc) return rc;
  prompts->stop = -1;
  for (size_t at = 0; !rc && at < map.length; number++) {
    const char *begin = map.bytes + at, *end = memchr(begin, '\n', map.length - at);
    const size_t length = end ? (size_t)(end - begin) : map.length - at;
    char *line = ld_strndup(begin, length && begin[length - 1] == '\r' ? length - 1 : length);
    rc = memchr(begin, 0, length) ? ld_fail(err, LD_EFORMAT, "holds a NUL byte: not a text")
                                  : take_line(&r, line, err);
    if (rc) ld_fail_prefix(err, rc, "%s: line %d", path, number);
    free(line);
    at += length + 1;
  }
  ld_map_close(&map);
  if (!rc && !prompts->n) rc = ld_fail(err, LD_EUSAGE, "%s: has no prompts", path);
  return rc;
}

/* The number of tokens of a record's prompt; 0 where nothing follows it. */
static size_t prompt_of(const ld_sample *sample) {
  enum { PLAIN = 16 }; /* tokens of plain text; of a short one, half */
  const size_t n = sample->tokens.n;
  size_t first = 0;
  while (first < n && !sample->target[first]) first++;
  if (first == n) return 0;
  return first > 1 ? first : n / 2 < PLAIN ? n / 2 : PLAIN;
}

/* Takes the prompt of this record, if it has one. */
static int choose(const ld_corpus *corpus, int64_t i, ld_sample *sample, ld_prompts *prompts, ld_error *err) {
  const ld_base *base = corpus->base;
  const int rc = ld_dataset_read(corpus->dataset, &corpus->records[i], sample, err);
  const size_t n = rc ? 0 : prompt_of(sample), most = (size_t)base->model->max_positions;
  if (!n || (most && n >= most)) return rc;
  ld_sample asked = {0};
  if (corpus->plan->bos) ld_ids_push(&asked.tokens, base->bos);
  for (size_t k = 0; k < n; k++) ld_ids_push(&asked.tokens, sample->tokens.ids[k]);
  const int made = ld_prompt_of_sample(base, &asked, &prompts->list[prompts->n++], err);
  ld_sample_free(&asked);
  return made;
}

int ld_prompts_choose(const ld_corpus *corpus, ld_prompts *prompts, ld_error *err) {
  enum { WANTED = 2, TRIED = 100 };
  const char *template = ld_dataset_layout(corpus->dataset);
  const ld_tokenizer *tokenizer = corpus->base->tokenizer;
  const ld_chat_layout *layout = template ? ld_chat_find(template, NULL, NULL, err) : NULL;
  ld_sample sample = {0};
  int64_t next = 0;
  int rc = 0;
  prompts->stop = layout ? ld_tokenizer_id(tokenizer, ld_chat_end(layout)) : -1;
  for (int k = 0; k < WANTED && !rc; k++) {
    const int64_t middle = corpus->n_records * k / WANTED;
    int64_t i = middle > next ? middle : next;
    const int64_t end = i + TRIED < corpus->n_records ? i + TRIED : corpus->n_records;
    for (; i < end && prompts->n <= k && !rc; i++) rc = choose(corpus, i, &sample, prompts, err);
    next = i;
  }
  ld_sample_free(&sample);
  return rc;
}
