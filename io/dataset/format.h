/* What a data format gives to the dataset, and what the formats share. Not for use outside io/dataset.
 *
 * A new format is one file with such a table, and a line in dataset.c. It says where records begin and decodes
 * their bytes; whether these come from a file or from rank 0 it cannot tell.
 */
#ifndef LD_DATASET_FORMAT_H
#define LD_DATASET_FORMAT_H

#include "base/text.h"
#include "base/value.h"
#include "io/chat.h"
#include "io/dataset.h"
#include "io/dataset/source_kind.h"

typedef struct ld_data_format {
  const char *endings[4]; /* of the file's name, then NULL; "/" is a folder */
  /* Makes dataset->source where the data is: ld_data_map_text for text. */
  int (*source)(ld_dataset *dataset, const char *path, ld_error *err);
  /* Sets the form, and dataset->own for the calls below, from ld_source_start; says by ld_source_keep which of
   * these bytes a rank without the data needs for that. */
  int (*open)(ld_dataset *dataset, ld_error *err);
  /* Frees dataset->own, which is not NULL. May be NULL. */
  void (*close)(ld_dataset *dataset);
  /* Where the data is, after `open`: what `next` needs and is found only by reading all of the file; sets
   * dataset->first, which is source->begin before; fails when there is no record. May be NULL. */
  int (*scan)(ld_dataset *dataset, ld_error *err);
  /* Where the data is: the first place after `offset` at which a record begins, else the length. It may depend on
   * the source and on `offset` alone, never on where a reader came from: this is what makes parts join without a
   * seam. */
  uint64_t (*next)(const ld_dataset *dataset, uint64_t offset);
  /* Fills the sample, which comes empty, with tokens or image, and label, from the record's bytes; a text without
   * tokens is no record. Tokens come uncut, but for labelled text, for which n_whole is set too. */
  int (*read)(const ld_dataset *dataset, const ld_record *record, const ld_bytes *bytes, ld_sample *sample,
              ld_error *err);
} ld_data_format;

extern const ld_data_format ld_data_jsonl, ld_data_raw, ld_data_tsv, ld_data_csv; /* the tables: table.c */
extern const ld_data_format ld_data_image_folder, ld_data_image_file, ld_data_image_hdf5;

struct ld_dataset {
  const ld_data_format *format;
  ld_source *source;
  uint64_t first; /* where records begin */
  ld_dataset_options options;
  ld_data_form form;
  const ld_chat_layout *layout; /* of LD_DATA_CHAT */
  bool adds_eos;                /* the tokenizer itself puts eos after a text */
  void *own;                    /* the format's */
};

/* The source of a text file, which begins after a byte order mark; a file of nothing but blanks fails. */
int ld_data_map_text(ld_dataset *dataset, const char *path, ld_error *err);

/* Whether the bytes are UTF-8 without a NUL. */
bool ld_data_is_text(const char *text, size_t length);

bool ld_data_is_blank(const char *text, size_t length);

/* The line, from 1, in which a byte stands. Counts from the beginning of the file: for errors only. 0 where
 * the file is not here. */
size_t ld_data_line(const ld_dataset *dataset, uint64_t offset);

/* Puts the file, and the line in which a byte stands, before an error; returns rc. */
int ld_data_fail_at(const ld_dataset *dataset, uint64_t offset, int rc, ld_error *err);

/* Fails, naming the line, when a text that stands at `offset` is not UTF-8 or holds a NUL. */
int ld_data_check_text(const ld_dataset *dataset, uint64_t offset, const char *text, size_t length,
                       ld_error *err);

int ld_data_encode(const ld_dataset *dataset, const char *text, size_t length, bool add_special, ld_ids *out,
                   ld_error *err);

/* Appends eos where there is one to append and none at the end yet. */
void ld_data_end(const ld_dataset *dataset, ld_ids *ids);

/* Sets the targets of a sample whose tokens are complete: 0 before token `from`, 1 from there on. */
void ld_data_targets(ld_sample *sample, size_t from);

/* Tokens and targets of plain text. */
int ld_data_text(const ld_dataset *dataset, const char *text, size_t length, ld_sample *sample,
                 ld_error *err);

/* Tokens of labelled text, cut to seq_len; `pair` may be NULL. */
int ld_data_labelled(const ld_dataset *dataset, const char *text, size_t length, const char *pair,
                     size_t pair_length, ld_sample *sample, ld_error *err);

/* How many ids at the beginning of both are the same. */
size_t ld_data_common(const ld_ids *a, const int32_t *ids, size_t n);

/* The string member `key`; LD_EFORMAT when it is missing or no string. It belongs to the tree. */
int ld_data_string(const ld_value *map, const char *key, const char **out, ld_error *err);

/* Tokens and targets of {"messages": ...}. */
int ld_data_conversation(const ld_dataset *dataset, const ld_value *record, ld_sample *sample, ld_error *err);

/* The label that a table's cell is: none where it is empty, a number where it is written as one, else a name.
 */
int ld_data_label(const char *text, size_t length, ld_sample *sample, ld_error *err);

/* Columns by their numbers, from 1; 0 where there is none. */
typedef struct ld_columns {
  size_t text, pair, label;
} ld_columns;

/* Finds the text, the other text of a pair and the label among n names. `what` these are ("columns", "keys")
 * is for errors: LD_EFORMAT when none is a text, or several are that form no known pair. */
int ld_columns_find(char *const *names, size_t n, const char *what, ld_columns *out, ld_error *err);

/* Whether a column of this name could be the label. */
bool ld_columns_is_label(const char *name);

/* Whether this label in a column of that name means that there is none: MNLI and SNLI write "-" as
 * gold_label. */
bool ld_columns_no_label(const char *column, const char *label, size_t length);

/* The name that the other text of a pair has by default; NULL when `text` begins no pair. */
const char *ld_columns_partner(const char *text);

/* The labels of an index while it is built; names are found by their hash. */
typedef struct ld_label_set {
  ld_labels *labels;
  int32_t *slots; /* an index into the names, plus 1; 0 is free */
  size_t n_slots; /* a power of 2 */
} ld_label_set;

/* Checks the sample's label, takes it into the set and fills label, value and n_targets of the record. */
int ld_label_set_add(ld_label_set *set, const ld_sample *sample, ld_record *record, ld_error *err);

void ld_label_set_free(ld_label_set *set); /* but not its labels */

#endif
