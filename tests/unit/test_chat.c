#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "io/chat/chat.h"
#include "io/file.h"
#include "io/json.h"

static const ld_chat_layout *layout_named(const char *name) {
  ld_error err = {0};
  const ld_chat_layout *layout = ld_chat_find(name, NULL, NULL, &err);
  cr_assert(layout, "%s", err.text);
  return layout;
}

static const char *string(const ld_value *map, const char *key) {
  const char *out = NULL;
  cr_assert(!ld_value_string(map, key, NULL, &out, NULL) && out, "golden without %s", key);
  return out;
}

static ld_message *messages_of(const ld_value *list) {
  ld_message *messages = ld_alloc(list->n_items, sizeof *messages);
  for (size_t i = 0; i < list->n_items; i++)
    messages[i] = (ld_message){string(&list->items[i], "role"), string(&list->items[i], "content")};
  return messages;
}

static bool ends_with(const ld_text *text, size_t end, const char *token) {
  const size_t n = strlen(token);
  return end >= n && end <= text->length && !memcmp(text->bytes + end - n, token, n);
}

static bool begins_with(const ld_text *text, size_t at, const char *token) {
  return text->length >= at + strlen(token) && !memcmp(text->bytes + at, token, strlen(token));
}

static void check_spans(const char *name, const ld_text *text, const ld_span *spans, size_t n) {
  const char *first = !strcmp(name, "chatml")   ? "<|im_start|>assistant\n"
                      : !strcmp(name, "llama3") ? "<|start_header_id|>assistant<|end_header_id|>\n\n"
                                                : "<s>[INST] ";
  const char *head = !strcmp(name, "llama2") ? " [/INST]" : first;
  const char *last = !strcmp(name, "chatml")   ? "<|im_end|>"
                     : !strcmp(name, "llama3") ? "<|eot_id|>"
                                               : " </s>";
  for (size_t i = 0, from = 0; i < n; from = spans[i++].end) {
    cr_assert_leq(from, spans[i].turn);
    cr_assert_leq(spans[i].turn, spans[i].begin);
    cr_assert(begins_with(text, spans[i].turn, first));
    cr_assert(ends_with(text, spans[i].begin, head));
    cr_assert(ends_with(text, spans[i].end, last));
  }
}

static void check_rendering(const ld_value *golden) {
  const char *name = string(golden, "layout"), *expected = string(golden, "text");
  const ld_value *list = ld_value_get(golden, "messages");
  ld_message *messages = messages_of(list);
  ld_spans spans = {.items = ld_alloc(list->n_items, sizeof *spans.items)};
  ld_text text = {0};
  ld_error err = {0};
  size_t said = 0;
  bool prompt = false;
  ld_value_bool(golden, "prompt", false, &prompt, NULL);
  for (size_t i = 0; i < list->n_items; i++) said += !strcmp(messages[i].role, "assistant");
  cr_assert_eq(ld_chat_render(layout_named(name), messages, list->n_items, prompt, &text, &spans, &err), 0,
               "%s", err.text);
  cr_assert_eq(text.length, strlen(expected), "%s: <%s> is not <%s>", name, text.bytes, expected);
  cr_assert(!memcmp(text.bytes, expected, text.length), "%s: <%s> is not <%s>", name, text.bytes, expected);
  cr_assert_eq(spans.n, said);
  check_spans(name, &text, spans.items, spans.n);
  ld_text_free(&text);
  free(messages);
  free(spans.items);
}

Test(chat, renders_what_transformers_renders) {
  ld_map map;
  ld_error err = {0};
  cr_assert_eq(ld_map_open(LD_TESTS_DIR "/golden/chat.rendered.jsonl", &map, &err), 0, "%s", err.text);
  size_t cases = 0;
  for (const char *at = map.bytes, *end = at + map.length, *stop; at < end; at = stop + 1, cases++) {
    stop = memchr(at, '\n', (size_t)(end - at));
    cr_assert(stop);
    ld_value *golden = ld_json_parse(at, (size_t)(stop - at), "chat.rendered.jsonl", &err);
    cr_assert(golden, "%s", err.text);
    check_rendering(golden);
    ld_value_free(golden);
  }
  cr_assert_geq(cases, 60);
  ld_map_close(&map);
}

Test(chat, wants_no_place_for_spans) {
  const ld_message messages[] = {{"user", "q"}, {"assistant", "a"}};
  ld_text text = {0};
  cr_assert_eq(ld_chat_render(layout_named("chatml"), messages, 2, false, &text, NULL, NULL), 0);
  cr_assert_str_eq(text.bytes, "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n");
  ld_text_free(&text);
}

/* roles of the messages by letter; what the error says */
static const struct {
  const char *layout, *roles;
  bool prompt;
  const char *error;
} refused[] = {
    {"chatml", "", false, "at least one message"},
    {"llama3", "ut", false, "messages[1].role is \"tool\", expected \"system\", \"user\" or \"assistant\""},
    {"llama2", "a", false, "messages[0].role is \"assistant\", but the chat layout llama2 wants \"user\""},
    {"llama2", "uu", false, "messages[1].role is \"user\""},
    {"llama2", "sua", true, "wants a user message at the end"},
    {"llama2", "s", false, "wants a user message after the system message"},
    {"llama2", "usa", false, "messages[1].role is \"system\""},
    {"llama2", "ssu", false, "messages[1].role is \"system\""},
};

Test(chat, refuses_what_a_layout_lacks) {
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    ld_message messages[4];
    const size_t n = strlen(refused[i].roles);
    for (size_t j = 0; j < n; j++) {
      const char letter = refused[i].roles[j];
      messages[j].role = letter == 's'   ? "system"
                         : letter == 'u' ? "user"
                         : letter == 'a' ? "assistant"
                                         : "tool";
      messages[j].content = "x";
    }
    ld_text text = {0};
    ld_error err = {0};
    const ld_chat_layout *layout = layout_named(refused[i].layout);
    cr_assert_eq(ld_chat_render(layout, messages, n, refused[i].prompt, &text, NULL, &err), LD_EFORMAT,
                 "case %zu", i);
    cr_assert(strstr(err.text, refused[i].error), "case %zu: %s", i, err.text);
    ld_text_free(&text);
  }
}

static ld_tokenizer *open_tokenizer(const char *name) {
  ld_tokenizer *tokenizer = NULL;
  ld_error err = {0};
  cr_assert_eq(ld_tokenizer_open(name, &tokenizer, &err), 0, "%s", err.text);
  return tokenizer;
}

static ld_tokenizer *tokenizer_of(const char *added, const char *vocabulary) {
  char *json = ld_format(
      "{\"version\": \"1.0\", \"added_tokens\": [%s], \"normalizer\": null, \"pre_tokenizer\": null,"
      "\"post_processor\": null, \"decoder\": null, \"model\": {\"type\": \"BPE\", \"vocab\": {%s},"
      "\"merges\": [], \"unk_token\": null}}",
      added, vocabulary);
  ld_tokenizer *tokenizer = NULL;
  ld_error err = {0};
  cr_assert_eq(ld_tokenizer_parse(json, strlen(json), "test", &tokenizer, &err), 0, "%s", err.text);
  free(json);
  return tokenizer;
}

#define ADDED(id, token)                                                                                     \
  "{\"id\": " #id ", \"content\": \"" token                                                                  \
  "\", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, "                                       \
  "\"normalized\": false, \"special\": true}"

/* added tokens; vocabulary; the layout found, or NULL */
static const char *const choices[][3] = {
    {ADDED(0, "<|im_start|>") "," ADDED(1, "<|im_end|>"), "", "chatml"},
    {"", "\"<|im_start|>\": 0, \"<|im_end|>\": 1", NULL}, /* no text gives these */
    {ADDED(0, "<|start_header_id|>") "," ADDED(1, "<|end_header_id|>") "," ADDED(2, "<|eot_id|>"), "",
     "llama3"},
    {ADDED(1, "<s>") "," ADDED(2, "</s>"), "\"<unk>\": 0, \"<s>\": 1, \"</s>\": 2, \"\u2581\": 29871",
     "llama2"},
    {ADDED(1, "<s>") "," ADDED(2, "</s>"), "\"<unk>\": 0, \"<s>\": 1, \"</s>\": 2, \"\u2581\": 28705", NULL},
    {ADDED(0, "<s>") "," ADDED(1, "</s>"), "\"<s>\": 0, \"</s>\": 1, \"\u2581\": 29871", NULL},
    {ADDED(0, "<|im_start|>"), "", NULL},
};

Test(chat, is_chosen_from_the_special_tokens) {
  for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
    ld_tokenizer *tokenizer = tokenizer_of(choices[i][0], choices[i][1]);
    ld_error err = {0};
    const ld_chat_layout *layout = ld_chat_find(NULL, NULL, tokenizer, &err);
    if (choices[i][2])
      cr_assert(layout && !strcmp(ld_chat_name(layout), choices[i][2]), "case %zu", i);
    else
      cr_assert(!layout && err.code == LD_EUSAGE, "case %zu", i);
    ld_tokenizer_free(tokenizer);
  }
}

Test(chat, needs_its_tokens) {
  ld_tokenizer *tokenizer = tokenizer_of(ADDED(0, "<|im_start|>"), "");
  ld_error err = {0};
  cr_assert_null(ld_chat_find("chatml", NULL, tokenizer, &err));
  cr_assert_eq(err.code, LD_EUSAGE);
  cr_assert(strstr(err.text, "chatml") && strstr(err.text, "needs the token <|im_end|>"), "%s", err.text);
  ld_tokenizer_free(tokenizer);
}

Test(chat, takes_the_layout_of_a_known_template) {
  ld_chat_template own = {.source = (char *)"m/chat_template.jinja"};
  ld_error err = {0};
  ld_text_puts(&own.form,
               "%for message in messages%<|im_start|>{message.role}\n{message.content}<|im_end|>\n%endfor%"
               "%if add_generation_prompt%<|im_start|>assistant\n%endif%");
  const ld_chat_layout *layout = ld_chat_find(NULL, &own, NULL, &err);
  cr_assert(layout && !strcmp(ld_chat_name(layout), "chatml"), "%s", err.text);
  cr_assert_str_eq(ld_chat_end(layout), "<|im_end|>");
  ld_text_free(&own.form);
}

Test(chat, lists_the_names) {
  ld_error err = {0};
  cr_assert_null(ld_chat_find("vicuna", NULL, NULL, &err));
  cr_assert_eq(err.code, LD_EUSAGE);
  cr_assert_str_eq(err.text, "--chat-template vicuna: no such chat layout, known are chatml, llama3, llama2");
  ld_tokenizer *tokenizer = open_tokenizer(LD_TESTS_DIR "/golden/chat.sentencepiece.json");
  cr_assert_null(ld_chat_find(NULL, NULL, tokenizer, &err));
  cr_assert_eq(err.code, LD_EUSAGE);
  cr_assert(strstr(err.text, "--chat-template (chatml, llama3, llama2)"), "%s", err.text);
  ld_tokenizer_free(tokenizer);
}
