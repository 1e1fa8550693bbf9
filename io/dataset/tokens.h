/* Tokens and targets, for those who make samples (data_form.h).
 */
#ifndef LD_DATASET_TOKENS_H
#define LD_DATASET_TOKENS_H

#include "base/value.h"
#include "io/dataset/record.h"

/* Tokens of a text by the data set's tokenizer. */
int ld_data_encode(const ld_dataset *dataset, const char *text, size_t length, bool add_special, ld_ids *out,
                   ld_error *err);

/* Appends eos where there is one to append and none at the end yet. */
void ld_data_end(const ld_dataset *dataset, ld_ids *ids);

/* Sets the targets of a sample whose tokens are complete: 0 before token `from`, 1 from there on. */
void ld_data_targets(ld_sample *sample, size_t from);

/* How many ids at the beginning of both are the same. */
size_t ld_data_common(const ld_ids *a, const int32_t *ids, size_t n);

/* The string member `key`; LD_EFORMAT when it is missing or no string. It belongs to the tree. */
int ld_data_string(const ld_value *map, const char *key, const char **out, ld_error *err);

#endif
