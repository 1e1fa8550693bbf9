/* Chat layouts: turn messages into the text that a chat model was trained on.
 *
 * There is one table entry per layout: ChatML (Qwen, SmolLM), Llama 2, Llama 3. Each renders what the models'
 * own templates render, byte for byte, with one exception: it never adds a default system message, which some
 * templates put before a conversation without one (and every model another one). If you want one, write it
 * into the data. */
#ifndef LD_CHAT_H
#define LD_CHAT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/text.h"
#include "io/chat/template.h"
#include "io/tokenizer/tokenizer.h"

typedef struct ld_chat_layout ld_chat_layout;

typedef struct ld_message {
  const char *role; /* "system", "user", "assistant" */
  const char *content;
} ld_message;

/* The layout of that name. For NULL, the layout that renders as the model's own template does, else the one
 * whose special tokens the tokenizer has. `own` is NULL for a model without a template; when the template
 * differs from the layout, a warning says so. Returns NULL with LD_EUSAGE when there is no such layout, or
 * when the tokenizer lacks its tokens (not checked for a NULL tokenizer). A layout belongs to the library. */
const ld_chat_layout *ld_chat_find(const char *name, const ld_chat_template *own,
                                   const ld_tokenizer *tokenizer, ld_error *err);
const char *ld_chat_name(const ld_chat_layout *layout);

/* The token that ends an assistant's turn. */
const char *ld_chat_end(const ld_chat_layout *layout);

/* A range [begin, end) of the rendered text that the assistant says, with its end token. `turn` is where the
 * surrounding turn begins. There is a special token at `turn` and one just before `end`, so the text between
 * them has the same ids on its own as within the whole. */
typedef struct ld_span {
  size_t turn, begin, end;
} ld_span;

/* With room for one per message. */
typedef struct ld_spans {
  ld_span *items;
  size_t n;
} ld_spans;

/* Appends the rendered conversation to `out` and the assistant's spans to `spans` (may be NULL). With
 * `prompt` the text ends where the assistant would answer. Equal to the model's own chat template with its
 * bos in the text. LD_EFORMAT, naming the message, for an unknown role or an order that the layout does not
 * allow; `out` may then hold a part. */
int ld_chat_render(const ld_chat_layout *layout, const ld_message *messages, size_t n_messages, bool prompt,
                   ld_text *out, ld_spans *spans, ld_error *err);

#endif
