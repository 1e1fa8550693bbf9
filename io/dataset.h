/* Data sets: JSONL records, tables, raw text and images, read on demand.
 *
 * The bytes of a data set come from a file, from a folder, or from rank 0 (io/dataset/source.h). An index of records
 * (where each begins, how long it is, its label) is built in parts, one part a rank with the data; after the parts
 * are joined in order, any record can be read again by anyone. Nothing tokenised or decoded is kept.
 *
 * Forms, by ending, by keys, and by what the model takes:
 *   - .jsonl: one object a line, {"text"}, {"prompt", "completion"} or {"messages": [{"role", "content"},
 *     ...]}; a record may have further keys; the first record decides, and all others must have its form.
 *     For a classifier {"text", "label"}, with "text_pair" for pairs, or the names of a table's columns; the
 *     label is a name (a string), an integer or a real number; without a label, or with null, the record has
 *     none.
 *   - .tsv, .csv: a table whose first line names its columns: text (or sentence), for pairs text and
 *     text_pair (or the names of column.c: sentence1 and sentence2, premise and hypothesis, question and
 *     sentence, ...), and label. A label that is no number is a name, an empty one none. TSV has no quoting;
 *     CSV is that of RFC 4180, separated by commas or semicolons. For a language model the text column is
 *     plain text.
 *   - .txt: raw text, one stream of tokens, cut into records behind blank lines (and within long
 *     paragraphs).
 *   - a folder: class folders with PNG and JPEG files, whose label is the folder's name; or the images
 *     themselves, without labels.
 *   - .png, .jpg, .jpeg: one image without a label.
 *   - .h5, .hdf5: images (N, H, W, C) or (N, H, W) uint8, and labels (N) integers, whose attribute `names`
 *     may name the classes.
 *
 * Tokens and targets, by form:
 *   - text: the text with the tokenizer's special tokens, eos; targets are all but the first.
 *   - prompt: the same of prompt and completion written together; targets begin where the ids of the prompt
 *     alone and of the whole part.
 *   - messages: the text of the chat layout, no more special tokens; targets are what the assistant says,
 *     with the tokens that end its turns.
 *   - raw: no special tokens, eos behind the last record; targets are all.
 *   - labelled: the text or the pair with the tokenizer's special tokens, no eos; cut inside, so that these
 *     stay; no targets but the label.
 * An eos that already stands at the end, from the tokenizer or from the text, is not doubled.
 *
 * What the files hold and nobody uses (further keys, columns, files of other kinds) is counted and named in a
 * warning.
 */
#ifndef LD_DATASET_H
#define LD_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/tally.h"
#include "base/text.h"
#include "io/chat_template.h"
#include "io/dataset/source.h"
#include "io/image/image.h"
#include "io/image/rule.h"
#include "io/tokenizer/tokenizer.h"

typedef struct ld_dataset ld_dataset;

typedef enum ld_data_form {
  LD_DATA_TEXT,
  LD_DATA_PROMPT,
  LD_DATA_CHAT,
  LD_DATA_RAW,
  LD_DATA_LABELLED,
  LD_DATA_IMAGES
} ld_data_form;

/* What a model takes; a data set of another kind is refused. */
typedef enum ld_data_use {
  LD_USE_LANGUAGE, /* text to predict token by token */
  LD_USE_CLASSES,  /* texts with labels */
  LD_USE_IMAGES    /* images with labels */
} ld_data_use;

typedef struct ld_dataset_options {
  ld_data_use use;
  const ld_tokenizer *tokenizer;   /* of text; must outlive the dataset */
  const ld_image_rule *image_rule; /* of images; must outlive the dataset */
  bool unlabelled;                 /* labels are not looked at */
  bool strict;                     /* a broken image is an error; otherwise it is passed over and counted */
  int32_t eos;                     /* id appended as the end of a text or completion; -1 for none */
  int seq_len;                     /* records longer than this are cut when read; 0: never */
  bool mask_prompt;                /* targets are completions and assistant turns only */
  const char *chat_template;       /* a name that ld_chat_find knows; NULL: as the model has it */
  const ld_chat_template *own_template; /* the model's; NULL for none; needed only while opening */
} ld_dataset_options;

/* One record: where it is, and what it holds. */
typedef struct ld_record {
  uint64_t offset, bytes; /* in units of the source: bytes of a file; images */
  int32_t n_tokens;  /* special tokens and eos included, before cutting; 1 of an image; never 0 */
  int32_t n_targets; /* after cutting; can be 0; of labelled data 1 where there is a label */
  int32_t label; /* a name's index in ld_labels, or the integer itself; -1 for none and for another number */
  float value;   /* a label that is a number; NaN otherwise */
} ld_record;

/* A label as it is written in a record. */
typedef enum ld_label_kind { LD_LABEL_NONE, LD_LABEL_NAME, LD_LABEL_INTEGER, LD_LABEL_REAL } ld_label_kind;

/* A record that was read. Zero-initialise, reuse, free with ld_sample_free. target[i] says that ids[i] is to
 * be predicted (from what stands before it); target[0] is always 0 but for raw text, whose records continue
 * each other. */
typedef struct ld_sample {
  ld_ids tokens;
  uint8_t *target;
  size_t room;
  size_t n_whole; /* tokens before cutting */
  ld_ids types;   /* of labelled text: which text of a pair a token is of, as the tokenizer's type ids */
  ld_image image; /* of images: fitted by the rule */
  ld_label_kind label_kind;
  ld_text label_name; /* LD_LABEL_NAME */
  double label_value; /* LD_LABEL_INTEGER, LD_LABEL_REAL */
  bool turned;        /* the image was stored lying on a side, and is upright now */
  ld_tally *unused;   /* borrowed: where a record's keys without a use are counted; NULL: nowhere */
} ld_sample;

/* The labels that the records of an index have: of one kind, where integers and reals together are reals. */
typedef struct ld_labels {
  ld_label_kind kind;
  char **names; /* of LD_LABEL_NAME: each once; in an index in the order of their first use */
  size_t n_names, room;
  int64_t largest; /* of LD_LABEL_INTEGER */
} ld_labels;

enum { LD_MOST_LABELS = 1000000, LD_LONGEST_LABEL = 256 /* bytes of a name */ };

void ld_labels_free(ld_labels *labels);

/* Whether a name is among the labels; looks at one after the other. */
bool ld_labels_have(const ld_labels *labels, const char *name);

/* Appends the labels as bytes, and reads them back, moving *at behind them: for sending them to other ranks.
 * *out is zeroed first, and empty on failure; the caller frees it. */
void ld_labels_put(const ld_labels *labels, ld_text *out);
int ld_labels_take(const char **at, const char *end, ld_labels *out, ld_error *err);

/* The union of all parts, names sorted by their bytes. LD_EFORMAT for names in one part and numbers in
 * another. *out is zeroed first, and empty on failure; the caller frees it. */
int ld_labels_merge(const ld_labels *parts, size_t n_parts, ld_labels *out, ld_error *err);

/* The index of a part. Free with ld_index_free. */
typedef struct ld_index {
  ld_record *records;
  size_t n, room;
  ld_labels labels;
  ld_tally unused;        /* keys of records that have no use */
  size_t n_empty;         /* records whose text gives no token: they are not in the index */
  size_t n_turned;        /* images that are not stored upright */
  size_t n_skipped;       /* broken images */
  ld_error first_skipped; /* what was wrong with the first */
} ld_index;

void ld_index_free(ld_index *index);

/* Rewrites the label numbers of an index, and its names, by the names in `all` (of any order: merged ones, or
 * a model's). Does nothing to numbers. LD_EMISMATCH, with nothing changed, for a name that `all` lacks. */
int ld_index_renumber(ld_index *index, const ld_labels *all, ld_error *err);

/* Puts the place of a record, by line or number, before an error; returns rc. */
int ld_dataset_fail_at(const ld_dataset *dataset, const ld_record *record, int rc, ld_error *err);

void ld_sample_free(ld_sample *sample);

/* Opens and finds out the form from the first record. LD_EUNSUPPORTED for a file of a kind that is not known
 * or not for this use, LD_EFORMAT for one without records or without a known form. The caller frees with
 * ld_dataset_close. */
int ld_dataset_open(const char *path, const ld_dataset_options *options, ld_dataset **out, ld_error *err);
void ld_dataset_close(ld_dataset *dataset);

ld_data_form ld_dataset_form(const ld_dataset *dataset);
const char *ld_dataset_path(const ld_dataset *dataset);

/* Where its bytes come from. Belongs to the data set. */
ld_source *ld_dataset_source(const ld_dataset *dataset);

/* Warns of what the data holds and nobody uses, `what` it is ("the keys", "the columns") and which; nothing
 * when the tally is empty. The formats call it for what they know when they open the data. */
void ld_dataset_warn_unused(const ld_dataset *dataset, const char *what, const ld_tally *unused);

/* Indexes the records that begin in the part-th of n_parts equal ranges, in file order: joined, the parts are
 * the same list whatever n_parts is (but for the numbers of label names, which count within a part). An error
 * names the line. LD_EFORMAT for labels that mix names and numbers. *out is zeroed first, and empty on
 * failure. */
int ld_dataset_index(const ld_dataset *dataset, int part, int n_parts, ld_index *out, ld_error *err);

/* Reads one record: tokens cut to seq_len (raw text is not cut), or the image. */
int ld_dataset_read(const ld_dataset *dataset, const ld_record *record, ld_sample *sample, ld_error *err);

/* For a rank without the data: appends what ld_dataset_open_received makes the same data set of there, which
 * reads the records that its source receives (io/dataset/source.h) and cannot be indexed. Errors name `path`; the options
 * must be the same. The caller closes. */
void ld_dataset_put_opening(const ld_dataset *dataset, ld_text *out);
int ld_dataset_open_received(const char *path, const ld_dataset_options *options, const char *bytes,
                             size_t length, ld_dataset **out, ld_error *err);

/* The name of the chat layout in which conversations are read; NULL for other data. It can be set to rank
 * 0's, which may see a template that others do not. */
const char *ld_dataset_layout(const ld_dataset *dataset);
int ld_dataset_set_layout(ld_dataset *dataset, const char *name, ld_error *err);

#endif
