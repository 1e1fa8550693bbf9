/* Turns conversations into tokens, and marks the assistant's as targets. Only for use in io/dataset. */
#ifndef LD_CONVERSATION_H
#define LD_CONVERSATION_H

#include "io/dataset/parsed.h"
#include "io/dataset/record.h"

/* Tokens and targets of {"messages": ...}, by the data set's layout. */
int ld_data_conversation(const ld_dataset *dataset, const ld_parsed *parsed, ld_sample *sample,
                         ld_error *err);

/* The tokens of {"messages": ...} up to where the assistant answers: the last message, which is then the
 * reference, or after it. */
int ld_data_ask_conversation(const ld_dataset *dataset, const ld_parsed *parsed, ld_sample *sample,
                             ld_error *err);

#endif
