/* A prompt: what a model continues, or reads, to write a text. */
#ifndef LD_PROMPT_H
#define LD_PROMPT_H

#include "io/chat/chat.h"
#include "load/base.h"

/* Zero-initialise, free with ld_prompt_free. */
typedef struct ld_prompt {
  ld_ids source;   /* what an encoder-decoder reads; empty for other models */
  ld_ids text;     /* what is continued; empty where the text begins with the decoder's start token */
  uint64_t record; /* names its random numbers */
} ld_prompt;

void ld_prompt_free(ld_prompt *prompt);

/* The prompt that a sample of a form's `ask` is (io/dataset/data_form.h), as the base's objective has it.
 * LD_EMISMATCH for ids outside the vocabulary. */
int ld_prompt_of_sample(const ld_base *base, const ld_sample *sample, ld_prompt *prompt, ld_error *err);

/* The prompt of a text, with the options' prefix and in their language, if it is a source. It has at least one id, no more than the model's
 * positions and, where it is continued, no end of text, which some tokenizers add. LD_EUSAGE for an empty one
 * where the tokenizer has no token that begins a text; LD_EMISMATCH for one that is too long. */
int ld_prompt_of_text(const ld_base *base, const ld_options *options, const char *text, ld_prompt *prompt,
                      ld_error *err);

/* The same for a conversation, in a chat layout. */
int ld_prompt_of_messages(const ld_base *base, const ld_chat_layout *layout, const ld_message *messages,
                          size_t n, ld_prompt *prompt, ld_error *err);

#endif
