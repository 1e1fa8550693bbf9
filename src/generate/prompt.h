/* Prompts: the ids that a generation goes on from, of a text, a conversation, a file of prompts, or data.
 *
 * A file of prompts has one a line; blank lines are ignored. In a .jsonl file each line is an object, {"prompt"} or
 * {"messages"} that ends where the assistant would speak. For a model that learns conversations a line of text is what a
 * user says.
 */
#ifndef LD_PROMPT_H
#define LD_PROMPT_H

#include "data/corpus.h"
#include "io/chat/chat.h"

enum { LD_MOST_PROMPTS = 16 }; /* of a run: each is generated from at every evaluation */

typedef struct ld_prompts {
  ld_ids ids[LD_MOST_PROMPTS];
  int n;
  int32_t stop; /* the end of an assistant's turn, where generation is to end too; -1: none */
} ld_prompts;

/* Zero-fills, also after an error. */
void ld_prompts_free(ld_prompts *prompts);

/* The ids of one prompt, at least one, all in the model's vocabulary and no more than its positions; without an end of
 * text, which some tokenizers add. The caller frees, also after an error. LD_EUSAGE for an empty prompt where the tokenizer
 * has no token that begins a text, LD_EMISMATCH for one that is too long. */
int ld_prompt_of_text(const ld_base *base, const char *text, ld_ids *ids, ld_error *err);

/* The same of a conversation, in a chat layout. */
int ld_prompt_of_messages(const ld_base *base, const ld_chat_layout *layout, const ld_message *messages,
                          size_t n, ld_ids *ids, ld_error *err);

/* All of a file, of a model whose data has this chat layout (NULL: no conversations; then that of {"messages"} is the
 * one called `template`, or the model's own). Errors name file and line. *prompts comes zeroed; free it also after an
 * error. */
int ld_prompts_read(const char *path, const ld_base *base, const ld_chat_layout *layout, const char *template,
                    ld_prompts *prompts, ld_error *err);

/* Two of a data set, from its beginning and its middle: what stands before a record's first target; of plain text, or
 * where prompts are targets too, its first tokens. Fewer, or none, where no record has such. Not collective: this rank must
 * have the data. */
int ld_prompts_choose(const ld_corpus *corpus, ld_prompts *prompts, ld_error *err);

#endif
