/* Prompts: the ids that a generation continues, from a text, a conversation, a file of prompts, or data.
 *
 * A file of prompts has one per line; blank lines are ignored. In a .jsonl file each line is an object,
 * {"prompt"} or {"messages"}, which ends where the assistant would answer. For a model that learns
 * conversations, a line of text is a user's message. */
#ifndef LD_PROMPT_H
#define LD_PROMPT_H

#include "data/corpus.h"
#include "io/chat/chat.h"

enum { LD_MOST_PROMPTS = 16 }; /* per run: each is generated from at every evaluation */

typedef struct ld_prompts {
  ld_ids ids[LD_MOST_PROMPTS];
  int n;
  int32_t stop; /* the end of an assistant's turn, where generation also ends; -1: none */
} ld_prompts;

/* Leaves *prompts empty. Call it also after an error. */
void ld_prompts_free(ld_prompts *prompts);

/* The ids of one prompt: at least one, all in the model's vocabulary, no more than its positions, and without
 * the end of text that some tokenizers add. The caller frees, also after an error. LD_EUSAGE for an empty
 * prompt where the tokenizer has no token that begins a text; LD_EMISMATCH for one that is too long. */
int ld_prompt_of_text(const ld_base *base, const char *text, ld_ids *ids, ld_error *err);

/* The same for a conversation, in a chat layout. */
int ld_prompt_of_messages(const ld_base *base, const ld_chat_layout *layout, const ld_message *messages,
                          size_t n, ld_ids *ids, ld_error *err);

/* Reads a whole file, for a model whose data has this chat layout. NULL: the data has no conversations;
 * {"messages"} then use the layout called `template`, or the model's own. Errors name file and line. *prompts
 * comes zeroed; free it also after an error. */
int ld_prompts_read(const char *path, const ld_base *base, const ld_chat_layout *layout, const char *template,
                    ld_prompts *prompts, ld_error *err);

/* Takes two prompts from a data set, from its beginning and its middle: what comes before a record's first
 * target or, in plain text or where prompts are targets too, its first tokens. Fewer, or none, where records
 * have no prompt. Not collective: this rank must have the data. */
int ld_prompts_choose(const ld_corpus *corpus, ld_prompts *prompts, ld_error *err);

#endif
