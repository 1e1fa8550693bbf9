/* Chat layouts: messages to the text that a chat model was trained on.
 *
 * One table entry a layout: ChatML (Qwen, SmolLM), Llama 2, Llama 3. Each renders what the models' own
 * templates render, byte for byte, with one exception: a default system message, which some of them put
 * before a conversation that has none (and every model another one), is never added. Who wants it writes it
 * into the data.
 */
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

/* The layout of that name; with NULL the one that gives what the model's own template gives, else the one whose
 * special tokens the tokenizer has. `own` is NULL for a model without a template; of another template than the
 * layout's a warning tells. NULL and LD_EUSAGE when there is no such layout, or the tokenizer lacks its tokens (a
 * NULL tokenizer is not asked). A layout belongs to the library. */
const ld_chat_layout *ld_chat_find(const char *name, const ld_chat_template *own,
                                   const ld_tokenizer *tokenizer, ld_error *err);
const char *ld_chat_name(const ld_chat_layout *layout);

/* The token that ends what the assistant says. */
const char *ld_chat_end(const ld_chat_layout *layout);

/* A stretch [begin, end) of the rendered text that the assistant says, its end token included. `turn` is
 * where the turn around it begins. A special token stands at `turn` and just before `end`, so the text
 * between them has the same ids on its own as within the whole. */
typedef struct ld_span {
  size_t turn, begin, end;
} ld_span;

/* With room for one for each message. */
typedef struct ld_spans {
  ld_span *items;
  size_t n;
} ld_spans;

/* Appends the rendered conversation to `out` and puts the assistant's spans into `spans` (may be NULL). With `prompt` the text ends where the assistant begins to
 * speak. Equal to the model's own chat template with its bos in the text. LD_EFORMAT, naming the message, for
 * an unknown role or an order that the layout lacks; `out` may then hold a part. */
int ld_chat_render(const ld_chat_layout *layout, const ld_message *messages, size_t n_messages, bool prompt,
                   ld_text *out, ld_spans *spans, ld_error *err);

#endif
