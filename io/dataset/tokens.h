/* Tokens and targets, for code that makes samples (data_form.h). */
#ifndef LD_DATASET_TOKENS_H
#define LD_DATASET_TOKENS_H

#include "base/value.h"
#include "io/dataset/record.h"

/* Encodes a text with the data set's tokenizer. */
int ld_data_encode(const ld_dataset *dataset, const char *text, size_t length, bool add_special, ld_ids *out,
                   ld_error *err);

/* The tokens of a text; of one that several tokenizers encoded, the most of any (LD_NEXT_TOKENIZER). */
size_t ld_data_longest(const ld_ids *ids);

/* Encodes an input with its special tokens into lists that are empty. One of more than `most` tokens (0: no limit)
 * is truncated so that these stay; *n_whole is the number of tokens before that. */
int ld_data_encode_most(const ld_dataset *dataset, ld_input input, int most, ld_ids *ids, ld_ids *types,
                        size_t *n_whole, ld_error *err);

/* Fills the sample with the input of an encoder, a text or a pair (NULL for none), cut to seq_len. */
int ld_data_encode_input(const ld_dataset *dataset, const char *text, const char *pair, ld_sample *sample,
                         ld_error *err);

/* Appends eos, if there is one to append and it is not at the end already. */
void ld_data_end(const ld_dataset *dataset, ld_ids *ids);

/* Sets the targets of a sample whose tokens are complete: 0 before token `from`, 1 from there on. */
void ld_data_targets(ld_sample *sample, size_t from);

/* Ends the sample of a record that a model is asked about: without an end of text, which some tokenizers add,
 * and with its last seq_len tokens if it has more, since the text goes on after these. LD_EFORMAT where there
 * is no token. `answer` is what the record says itself, for ld_data_references. */
int ld_data_ask(const ld_dataset *dataset, const ld_value *values, const char *answer, ld_sample *sample,
                ld_error *err);

/* The number of ids at the beginning that both have in common. */
size_t ld_data_common(const ld_ids *a, const int32_t *ids, size_t n);

/* The string member `key`; LD_EFORMAT when it is missing or not a string. It belongs to the tree. */
int ld_data_string(const ld_value *map, const char *key, const char **out, ld_error *err);

/* Adds the texts with which a text made by the model is compared: the list "references", or
 * else `target` (NULL: none). */
int ld_data_references(const ld_value *values, const char *target, ld_sample *sample, ld_error *err);

#endif
