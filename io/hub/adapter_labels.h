/* The names of a classifier's classes as JSON: a list in checkpoints; an object from numbers to names
 * (Hugging Face's id2label) beside a PEFT adapter and in a merged model's config.json. */
#ifndef LD_ADAPTER_LABELS_H
#define LD_ADAPTER_LABELS_H

#include "base/error.h"
#include "base/text.h"
#include "base/value.h"
#include "io/hub/adapter.h"

void ld_adapter_labels_put_list(ld_text *out, const ld_adapter *adapter);

/* Appends "{}" when there are no labels. */
void ld_adapter_labels_put_map(ld_text *out, char *const *labels, size_t n);

/* Fills the labels of an adapter that has none, from either form; an empty form adds none. LD_EFORMAT when
 * the tree is neither form, or the numbers are not 0, 1, 2, ... each once. */
int ld_adapter_labels_read(const ld_value *tree, const char *name, ld_adapter *adapter, ld_error *err);

#endif
