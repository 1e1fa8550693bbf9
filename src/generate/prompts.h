/* Lists of prompts, from a file or from data.
 *
 * A file has one per line; blank lines are ignored. In a .jsonl file each line is an object, {"prompt"} or
 * {"messages"}, which ends where the assistant would answer. For a model that learns conversations, a line of
 * text is a user's message. */
#ifndef LD_PROMPTS_H
#define LD_PROMPTS_H

#include "data/corpus.h"
#include "generate/prompt.h"

enum { LD_MOST_PROMPTS = 16 }; /* per run: each is generated from at every evaluation */

typedef struct ld_prompts {
  ld_prompt list[LD_MOST_PROMPTS];
  int n;
  int32_t stop; /* the end of an assistant's turn, where generation also ends; -1: none */
} ld_prompts;

/* Leaves *prompts empty. Call it also after an error. */
void ld_prompts_free(ld_prompts *prompts);

/* Reads a whole file, for a model whose data has this chat layout. NULL: the data has no conversations;
 * {"messages"} then use options->chat_template, or the model's own layout. Errors name file and line. *prompts
 * comes zeroed; free it also after an error. */
int ld_prompts_read(const char *path, const ld_base *base, const ld_chat_layout *layout,
                    const ld_options *options, ld_prompts *prompts, ld_error *err);

/* Takes two prompts from a data set, from its beginning and its middle: what comes before a record's first
 * target or, in plain text or where prompts are targets too, its first tokens. Fewer, or none, where records
 * have no prompt. Not collective: this rank must have the data. */
int ld_prompts_choose(const ld_corpus *corpus, ld_prompts *prompts, ld_error *err);

#endif
