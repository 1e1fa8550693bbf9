#include "io/chat/chat.h"

#include <stdint.h>
#include <string.h>
#include <utf8proc.h>

#include "base/log.h"
#include "base/utf8.h"
#include "io/chat/known.h"

/* A token whose id identifies a layout: many vocabularies share some spellings. */
typedef struct sign {
  const char *token;
  int32_t id;
} sign;

/* What a conversation is rendered into. */
typedef struct chat_page {
  ld_text *out;
  ld_span *spans; /* NULL when not needed */
  size_t n_spans;
} chat_page;

struct ld_chat_layout {
  const char *name;
  const char *marks[4]; /* its tokens; without them in the vocabulary they would be read as plain text */
  sign signs[4];        /* what a vocabulary must also contain for this layout to be chosen */
  int (*render)(const ld_chat_layout *layout, const ld_message *messages, size_t n, bool prompt,
                chat_page *page, ld_error *err);
  /* For layouts that write every turn in the same way: bos, then for each message open, role, close, content,
   * end, after. */
  const char *bos, *open, *close, *end, *after;
  const char *turn; /* what a template of this kind contains */
  bool trim;
};

/* Templates trim as Python's str.strip() does, by Unicode and not by ASCII. */
static bool is_space(uint32_t code) {
  const utf8proc_property_t *property = utf8proc_get_property((utf8proc_int32_t)code);
  return property->category == UTF8PROC_CATEGORY_ZS || property->bidi_class == UTF8PROC_BIDI_CLASS_WS ||
         property->bidi_class == UTF8PROC_BIDI_CLASS_B || property->bidi_class == UTF8PROC_BIDI_CLASS_S;
}

/* Bytes of the character at `text` when it is a space, else 0. */
static size_t space_at(const char *text, size_t length) {
  size_t n = 0;
  uint32_t code;
  return length && ld_utf8_read(text, length, &n, &code) && is_space(code) ? n : 0;
}

static size_t skip_spaces(const char *text, size_t length) {
  size_t at = 0, n;
  while (at < length && (n = space_at(text + at, length - at))) at += n;
  return at;
}

/* The length without trailing spaces. */
static size_t drop_spaces(const char *text, size_t length) {
  while (length > 0) {
    size_t start = length - 1;
    while (start > 0 && ld_utf8_goes_on(text[start])) start--;
    if (space_at(text + start, length - start) != length - start) break;
    length = start;
  }
  return length;
}

static void put_trimmed(ld_text *out, const char *content) {
  content += skip_spaces(content, strlen(content));
  ld_text_append(out, content, drop_spaces(content, strlen(content)));
}

static void add_span(chat_page *page, size_t turn, size_t begin) {
  if (page->spans) page->spans[page->n_spans] = (ld_span){turn, begin, page->out->length};
  page->n_spans++;
}

static bool is_role(const ld_message *message, const char *role) {
  return !strcmp(message->role, role);
}

static void put_head(const ld_chat_layout *layout, const char *role, ld_text *out) {
  ld_text_puts(out, layout->open);
  ld_text_puts(out, role);
  ld_text_puts(out, layout->close);
}

static int render_turns(const ld_chat_layout *layout, const ld_message *messages, size_t n, bool prompt,
                        chat_page *page, ld_error *err) {
  (void)err;
  ld_text_puts(page->out, layout->bos);
  for (size_t i = 0; i < n; i++) {
    const size_t turn = page->out->length;
    put_head(layout, messages[i].role, page->out);
    const size_t begin = page->out->length;
    if (layout->trim)
      put_trimmed(page->out, messages[i].content);
    else
      ld_text_puts(page->out, messages[i].content);
    ld_text_puts(page->out, layout->end);
    if (is_role(&messages[i], "assistant")) add_span(page, turn, begin);
    ld_text_puts(page->out, layout->after);
  }
  if (prompt) put_head(layout, "assistant", page->out);
  return 0;
}

/* The template trims the system message and the user's text as one string. */
static void put_llama2_user(const char *system, const char *content, ld_text *out) {
  ld_text_puts(out, "<s>[INST] ");
  if (system) {
    ld_text_printf(out, "<<SYS>>\n%s\n<</SYS>>\n\n", system);
    ld_text_puts(out, content);
    out->length = drop_spaces(out->bytes, out->length);
  } else {
    put_trimmed(out, content);
  }
  ld_text_puts(out, " [/INST]");
}

static void put_llama2_assistant(const char *content, ld_text *out) {
  ld_text_puts(out, " ");
  put_trimmed(out, content);
  ld_text_puts(out, " </s>");
}

static int render_llama2(const ld_chat_layout *layout, const ld_message *messages, size_t n, bool prompt,
                         chat_page *page, ld_error *err) {
  const size_t first = is_role(&messages[0], "system") ? 1 : 0;
  const char *system = first ? messages[0].content : NULL;
  size_t turn = 0;
  for (size_t i = first; i < n; i++) {
    const bool user = (i - first) % 2 == 0;
    if (!is_role(&messages[i], user ? "user" : "assistant"))
      return ld_fail(
          err, LD_EFORMAT,
          "messages[%zu].role is \"%s\", but the chat layout %s wants \"%s\" here (at most one system "
          "message, first, then user and assistant in turn)",
          i, messages[i].role, layout->name, user ? "user" : "assistant");
    if (user) {
      turn = page->out->length;
      put_llama2_user(i == first ? system : NULL, messages[i].content, page->out);
    } else {
      const size_t begin = page->out->length;
      put_llama2_assistant(messages[i].content, page->out);
      add_span(page, turn, begin);
    }
  }
  if (n == first || (prompt && is_role(&messages[n - 1], "assistant")))
    return ld_fail(err, LD_EFORMAT, "messages: the chat layout %s wants a user message %s", layout->name,
                   prompt ? "at the end" : "after the system message");
  return 0;
}

static const ld_chat_layout layouts[] = {
    {.name = "chatml",
     .marks = {"<|im_start|>", "<|im_end|>"},
     .render = render_turns,
     .bos = "",
     .open = "<|im_start|>",
     .close = "\n",
     .end = "<|im_end|>",
     .after = "\n",
     .turn = "<|im_start|>"},
    {.name = "llama3",
     .marks = {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"},
     .render = render_turns,
     .bos = "<|begin_of_text|>",
     .open = "<|start_header_id|>",
     .close = "<|end_header_id|>\n\n",
     .end = "<|eot_id|>",
     .after = "",
     .turn = "<|start_header_id|>",
     .trim = true},
    /* Other vocabularies (with other layouts) have <s> and </s> too; only Llama 2's has the single space at
     * this id. */
    {.name = "llama2",
     .marks = {"<s>", "</s>"},
     .signs = {{"<s>", 1}, {"</s>", 2}, {"\u2581", 29871}},
     .render = render_llama2,
     .end = "</s>",
     .turn = "[INST]"},
};

enum { n_layouts = sizeof layouts / sizeof *layouts };

static const ld_chat_layout *find_name(const char *name) {
  for (size_t i = 0; i < n_layouts; i++)
    if (!strcmp(name, layouts[i].name)) return &layouts[i];
  return NULL;
}

/* The layout that renders as the model's own template does; NULL when none is known to. */
static const ld_chat_layout *recognise(const ld_chat_template *own) {
  const char *name = own && own->form.length ? ld_chat_known(own->form.bytes) : NULL;
  return name ? find_name(name) : NULL;
}

static bool is_one_token(const ld_tokenizer *tokenizer, const char *mark) {
  const int32_t id = ld_tokenizer_id(tokenizer, mark);
  ld_ids ids = {0};
  bool found = false;
  if (id >= 0) ld_tokenizer_encode(tokenizer, mark, strlen(mark), false, &ids, NULL);
  for (size_t i = 0; i < ids.n; i++) found = found || ids.ids[i] == id;
  ld_ids_free(&ids);
  return found;
}

/* The layout's first token that the vocabulary lacks; NULL when it has all of them. */
static const char *missing_mark(const ld_chat_layout *layout, const ld_tokenizer *tokenizer) {
  for (const char *const *mark = layout->marks; *mark; mark++)
    if (!is_one_token(tokenizer, *mark)) return *mark;
  return NULL;
}

static const ld_chat_layout *find_by_vocabulary(const ld_tokenizer *tokenizer) {
  for (size_t i = 0; i < n_layouts; i++) {
    const sign *s = layouts[i].signs;
    while (s->token && ld_tokenizer_id(tokenizer, s->token) == s->id) s++;
    if (!s->token && !missing_mark(&layouts[i], tokenizer)) return &layouts[i];
  }
  return NULL;
}

static void put_names(ld_text *out) {
  for (size_t i = 0; i < n_layouts; i++) ld_text_printf(out, "%s%s", i ? ", " : "", layouts[i].name);
}

static void fail_with_names(const char *name, const ld_chat_template *own, ld_error *err) {
  ld_text names = {0};
  put_names(&names);
  if (name)
    ld_fail(err, LD_EUSAGE, "--chat-template %s: no such chat layout, known are %s", name, names.bytes);
  else
    ld_fail(err, LD_EUSAGE,
            "%s%scannot tell the chat layout from the tokenizer's special tokens: choose one with "
            "--chat-template (%s)",
            own ? own->source : "", own ? ": the model's own chat template is not interpreted yet, and " : "",
            names.bytes);
  ld_text_free(&names);
}

static void warn_of_template(const ld_chat_template *own, const ld_chat_layout *layout) {
  const bool marks = strstr(own->text.bytes, layout->turn);
  ld_text extras = {0}, how = {0};
  ld_chat_template_extras(own, &extras);
  if (!marks) ld_text_puts(&how, "which marks turns in another way");
  if (extras.length) ld_text_printf(&how, "%s lacks %s", marks ? "which" : " and", extras.bytes);
  ld_warn("%s: the model's own chat template is not interpreted yet: the chat layout %s is used, %s",
          own->source, layout->name, how.length ? how.bytes : "which may differ from it");
  ld_text_free(&extras);
  ld_text_free(&how);
}

const ld_chat_layout *ld_chat_find(const char *name, const ld_chat_template *own,
                                   const ld_tokenizer *tokenizer, ld_error *err) {
  const ld_chat_layout *recognised = recognise(own), *layout = name ? find_name(name) : recognised;
  if (!layout && !name) layout = find_by_vocabulary(tokenizer);
  if (!layout) {
    fail_with_names(name, own, err);
    return NULL;
  }
  const char *missing = tokenizer ? missing_mark(layout, tokenizer) : NULL;
  if (missing) {
    ld_fail(err, LD_EUSAGE,
            "the chat layout %s (%s) needs the token %s, which the model's tokenizer does not have: give a "
            "--chat-template whose tokens it has, or another model",
            layout->name, name ? "--chat-template" : own->source, missing);
    return NULL;
  }
  if (own && layout != recognised) warn_of_template(own, layout);
  return layout;
}

const char *ld_chat_end(const ld_chat_layout *layout) {
  return layout->end;
}

const char *ld_chat_name(const ld_chat_layout *layout) {
  return layout->name;
}

static int check_roles(const ld_message *messages, size_t n, ld_error *err) {
  for (size_t i = 0; i < n; i++)
    if (!is_role(&messages[i], "system") && !is_role(&messages[i], "user") &&
        !is_role(&messages[i], "assistant"))
      return ld_fail(err, LD_EFORMAT,
                     "messages[%zu].role is \"%.80s\", expected \"system\", \"user\" or \"assistant\"", i,
                     messages[i].role);
  return n ? 0 : ld_fail(err, LD_EFORMAT, "messages: expected at least one message");
}

int ld_chat_render(const ld_chat_layout *layout, const ld_message *messages, size_t n_messages, bool prompt,
                   ld_text *out, ld_spans *spans, ld_error *err) {
  chat_page page = {out, spans ? spans->items : NULL, 0};
  int rc = check_roles(messages, n_messages, err);
  if (!rc) rc = layout->render(layout, messages, n_messages, prompt, &page, err);
  if (spans) spans->n = rc ? 0 : page.n_spans;
  return rc;
}
