/* What a data format gives to the dataset, and what the formats share. Not for use outside io/dataset.
 *
 * Offsets count bytes for text; a format of another kind may count what it likes (images, say), as long as
 * records lie one behind the other from `first` to `length`.
 */
#ifndef LD_DATASET_FORMAT_H
#define LD_DATASET_FORMAT_H

#include "base/value.h"
#include "io/chat.h"
#include "io/dataset.h"
#include "io/file.h"

typedef struct ld_data_format {
  const char *ending;
  /* Maps the file, sets first, length and form; fails when there is no record. */
  int (*open)(ld_dataset *dataset, ld_error *err);
  /* The first place behind `offset` where a record begins, else the length. It may depend on the file and on
   * `offset` alone, never on where a reader came from: this is what makes parts join without a seam. */
  uint64_t (*next)(const ld_dataset *dataset, uint64_t offset);
  /* Fills the sample, uncut; a sample without tokens is no record. */
  int (*tokenize)(const ld_dataset *dataset, const ld_record *record, ld_sample *sample, ld_error *err);
} ld_data_format;

extern const ld_data_format ld_data_jsonl, ld_data_raw;

struct ld_dataset {
  const ld_data_format *format;
  char *path;
  ld_map map;
  uint64_t first, length;
  ld_dataset_options options;
  ld_data_form form;
  const ld_chat_layout *layout; /* of LD_DATA_CHAT */
  bool adds_eos;                /* the tokenizer itself puts eos behind a text */
  char digest[17];
};

/* Maps a text file and sets first (behind a byte order mark) and length; a file of nothing but blanks fails.
 */
int ld_data_map_text(ld_dataset *dataset, ld_error *err);

bool ld_data_is_blank(const char *text, size_t length);

/* The line, from 1, in which a byte stands. Counts from the beginning of the file: for errors only. */
size_t ld_data_line(const ld_dataset *dataset, uint64_t offset);

/* Fails, naming the line, when the bytes are not UTF-8 or hold a NUL. */
int ld_data_check_text(const ld_dataset *dataset, uint64_t offset, uint64_t bytes, ld_error *err);

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

/* Tokens and targets of {"messages": ...}. */
int ld_data_conversation(const ld_dataset *dataset, const ld_value *record, ld_sample *sample, ld_error *err);

#endif
