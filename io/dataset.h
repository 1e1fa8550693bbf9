/* Text data: JSONL records and raw text, tokenised on demand.
 *
 * A dataset is a mapped file. An index of records (where each begins, how many tokens it has) is built in
 * parts, one part a rank; after the parts are joined in order, any record can be read again by anyone.
 * Nothing tokenised is kept.
 *
 * Forms, by ending and keys:
 *   .jsonl  {"text"} | {"prompt", "completion"} | {"messages": [{"role", "content"}, ...]}, one object a
 * line; a record may have further keys; the first record decides, and all others must have its form .txt raw
 * text: one stream of tokens, cut into records behind blank lines (and within long paragraphs)
 *
 * Tokens and targets, by form:
 *   text      the text with the tokenizer's special tokens, eos; targets are all but the first
 *   prompt    the same of prompt and completion written together; targets begin where the ids of the prompt
 * alone and of the whole part messages  the text of the chat layout, no more special tokens; targets are what
 * the assistant says, with the tokens that end its turns raw       no special tokens, eos behind the last
 * record; targets are all An eos that already stands at the end, from the tokenizer or from the text, is not
 * doubled.
 */
#ifndef LD_DATASET_H
#define LD_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "io/tokenizer.h"

typedef struct ld_dataset ld_dataset;

typedef enum ld_data_form { LD_DATA_TEXT, LD_DATA_PROMPT, LD_DATA_CHAT, LD_DATA_RAW } ld_data_form;

typedef struct ld_dataset_options {
  const ld_tokenizer *tokenizer; /* must outlive the dataset */
  int32_t eos;                   /* id appended as the end of a text or completion; -1 for none */
  int seq_len;                   /* records longer than this are cut when read; 0: never */
  bool mask_prompt;              /* targets are completions and assistant turns only */
  const char *chat_template; /* a name that ld_chat_find knows; NULL: from the tokenizer's special tokens */
} ld_dataset_options;

/* One record: where it is, and what it holds. */
typedef struct ld_record {
  uint64_t offset, bytes;
  int32_t n_tokens;  /* before cutting; special tokens and eos included; never 0 */
  int32_t n_targets; /* after cutting; can be 0 */
} ld_record;

/* A tokenised record. Zero-initialise, reuse, free with ld_sample_free. target[i] says that ids[i] is to be
 * predicted (from what stands before it); target[0] is always 0 but for raw text, whose records continue each
 * other. */
typedef struct ld_sample {
  ld_ids tokens;
  uint8_t *target;
  size_t room;
} ld_sample;

void ld_sample_free(ld_sample *sample);

/* Opens and finds out the form from the first record. LD_EUNSUPPORTED with the known endings for another one,
 * LD_EFORMAT for a file without records or without a known form. The caller frees with ld_dataset_close. */
int ld_dataset_open(const char *path, const ld_dataset_options *options, ld_dataset **out, ld_error *err);
void ld_dataset_close(ld_dataset *dataset);

ld_data_form ld_dataset_form(const ld_dataset *dataset);
const char *ld_dataset_path(const ld_dataset *dataset);

/* Indexes the records that begin in the part-th of n_parts equal byte ranges, in file order: joined, the
 * parts are the same list whatever n_parts is. The caller frees `records`, which is NULL with n 0 on failure.
 * An error names the line. */
int ld_dataset_index(const ld_dataset *dataset, int part, int n_parts, ld_record **records, size_t *n,
                     ld_error *err);

/* Tokenises one record, cut to seq_len (raw text is not cut). */
int ld_dataset_read(const ld_dataset *dataset, const ld_record *record, ld_sample *sample, ld_error *err);

/* 16 hexadecimal digits over the file's length and bytes; computed at the first call, which reads the whole
 * file. */
const char *ld_dataset_digest(ld_dataset *dataset);

#endif
