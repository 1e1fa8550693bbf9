/* The labels of records: checks and numbers them, and joins the sets of several parts. */
#ifndef LD_LABEL_H
#define LD_LABEL_H

#include "base/value.h"
#include "io/dataset/record.h"

/* The labels of an index, all of one kind; integers together with reals are reals. */
typedef struct ld_labels {
  ld_label_kind kind;
  char **names; /* of LD_LABEL_NAME: each once; in an index in the order of first use */
  size_t n_names, room;
  int64_t largest; /* of LD_LABEL_INTEGER */
} ld_labels;

enum { LD_MOST_LABELS = 1000000, LD_LONGEST_LABEL = 256 /* bytes of a name */ };

void ld_labels_free(ld_labels *labels);

/* Whether a name is among the labels; a linear search. */
bool ld_labels_have(const ld_labels *labels, const char *name);

/* Appends the labels as bytes for other ranks, and reads them back, moving *at past them.
 * *out is zeroed first, and empty on failure; the caller frees it. */
void ld_labels_put(const ld_labels *labels, ld_text *out);
int ld_labels_take(const char **at, const char *end, ld_labels *out, ld_error *err);

/* The union of all parts, names sorted by their bytes. LD_EFORMAT for names in one part and numbers in
 * another. *out is zeroed first, and empty on failure; the caller frees it. */
int ld_labels_merge(const ld_labels *parts, size_t n_parts, ld_labels *out, ld_error *err);

/* The number in `all` of each name of `mine`. LD_EMISMATCH for a name that `all` does not have. */
int ld_labels_match(const ld_labels *mine, ld_labels *all, int32_t *number, ld_error *err);

/* A copy of the names. */
ld_labels ld_labels_copy_names(const ld_labels *labels);

/* The value of a label written as text in a table: null when it is empty, a number when it is written as one,
 * else a string. LD_EFORMAT for NaN and infinities. */
int ld_label_parse(const char *text, ld_value *out, ld_error *err);

/* The labels of an index while it is built; names are found by their hash. */
typedef struct ld_label_set {
  ld_labels *labels;
  int32_t *slots; /* an index into the names, plus 1; 0: free */
  size_t n_slots; /* a power of 2 */
} ld_label_set;

/* Checks the sample's label, adds it to the set and fills label, value and n_targets of the record. */
int ld_label_set_add(ld_label_set *set, const ld_sample *sample, ld_record *record, ld_error *err);

/* Adds the name of a token's label. */
int ld_label_set_add_name(ld_label_set *set, const char *name, ld_error *err);

void ld_label_set_free(ld_label_set *set); /* its labels stay */

#endif
