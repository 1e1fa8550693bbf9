/* What a data format gives to the dataset, and what the formats share. Not for use outside io/dataset.
 *
 * Offsets count bytes for text; a format of another kind may count what it likes (images, say), as long as
 * records lie one behind the other from `first` to `length`.
 */
#ifndef LD_DATASET_FORMAT_H
#define LD_DATASET_FORMAT_H

#include "base/text.h"
#include "base/value.h"
#include "io/chat.h"
#include "io/dataset.h"
#include "io/file.h"

typedef struct ld_data_format {
  const char *endings[4]; /* of the file's name, NULL behind the last; "/" is a folder */
  /* Maps the file, sets first, length and form; fails when there is no record. */
  int (*open)(ld_dataset *dataset, ld_error *err);
  /* The first place behind `offset` where a record begins, else the length. It may depend on the file and on
   * `offset` alone, never on where a reader came from: this is what makes parts join without a seam. */
  uint64_t (*next)(const ld_dataset *dataset, uint64_t offset);
  /* Fills the sample, which comes empty, with tokens or image, and label; a text without tokens is no record.
   * Tokens come uncut, but for labelled text, for which n_whole is set too. */
  int (*read)(const ld_dataset *dataset, const ld_record *record, ld_sample *sample, ld_error *err);
  /* May be NULL: frees dataset->own (which may be NULL). */
  void (*close)(ld_dataset *dataset);
  /* May be NULL, where records have no name of their own. */
  const char *(*name)(const ld_dataset *dataset, const ld_record *record);
  /* Of what is no single file, or NULL: ld_dataset_stamp, ld_dataset_digest, ld_dataset_old_digest. */
  uint64_t (*stamp)(const ld_dataset *dataset);
  int (*digest)(const ld_dataset *dataset, ld_digests *digests, ld_contents *out, ld_error *err);
  uint64_t (*old_digest)(const ld_dataset *dataset);
  /* For ld_dataset_describe. What `own` needs for reading what is sent, and making it again; NULL: nothing.
   */
  void (*describe)(const ld_dataset *dataset, ld_text *out);
  int (*open_described)(ld_dataset *dataset, const char *bytes, size_t length, ld_error *err);
  /* Of images, whose offsets count no bytes (text is sent as it stands in dataset->map): the mean of what
   * `fetch` appends; a record's bytes; and reading the record from these. */
  size_t (*mean_bytes)(const ld_dataset *dataset);
  int (*fetch)(const ld_dataset *dataset, const ld_record *record, ld_text *out, ld_error *err);
  int (*read_sent)(const ld_dataset *dataset, const ld_record *record, const char *bytes, size_t length,
                   ld_sample *sample, ld_error *err);
} ld_data_format;

extern const ld_data_format ld_data_jsonl, ld_data_raw, ld_data_tsv, ld_data_csv; /* the tables: table.c */
extern const ld_data_format ld_data_image_folder, ld_data_image_file, ld_data_image_hdf5;

typedef struct ld_sent ld_sent;

struct ld_dataset {
  const ld_data_format *format;
  char *path;
  ld_map map;
  uint64_t first, length;
  ld_dataset_options options;
  ld_data_form form;
  const ld_chat_layout *layout; /* of LD_DATA_CHAT */
  bool adds_eos;                /* the tokenizer itself puts eos behind a text */
  void *own;                    /* the format's */
  ld_sent *sent;                /* of a data set without its file; NULL otherwise */
  ld_stamp stamp;               /* of the file, when it was opened */
};

/* Maps a text file and sets first (behind a byte order mark) and length; a file of nothing but blanks fails.
 */
int ld_data_map_text(ld_dataset *dataset, ld_error *err);

/* Whether the bytes are UTF-8 without a NUL. */
bool ld_data_is_text(const char *text, size_t length);

bool ld_data_is_blank(const char *text, size_t length);

/* The line, from 1, in which a byte stands. Counts from the beginning of the file: for errors only. 0 where
 * the file is not here. */
size_t ld_data_line(const ld_dataset *dataset, uint64_t offset);

/* Fails, naming the line, when the bytes are not UTF-8 or hold a NUL. */
int ld_data_check_text(const ld_dataset *dataset, uint64_t offset, uint64_t bytes, ld_error *err);

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

/* What was sent of a data set whose form and length are known; for text it makes dataset->map. */
int ld_sent_open(ld_dataset *dataset, ld_error *err);
void ld_sent_close(ld_sent *sent); /* NULL is fine */

/* Appends a record as ld_dataset_deliver takes it. */
void ld_sent_put(uint64_t offset, const void *bytes, size_t length, ld_text *out);

/* The bytes of a record that was sent. */
int ld_sent_find(const ld_dataset *dataset, const ld_record *record, const char **bytes, size_t *length,
                 ld_error *err);

#endif
