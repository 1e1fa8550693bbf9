/* Records and samples, and what a data set is asked for.
 */
#ifndef LD_RECORD_H
#define LD_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/tally.h"
#include "base/text.h"
#include "io/chat/template.h"
#include "io/image/image.h"
#include "io/image/rule.h"
#include "io/tokenizer/tokenizer.h"

typedef struct ld_dataset ld_dataset;

typedef struct ld_data_form ld_data_form;

typedef struct ld_dataset_options {
  const ld_data_form *const *forms;     /* those that are taken, NULL after the last (data_form.h) */
  const ld_tokenizer *tokenizer;        /* of text; must outlive the dataset */
  const ld_image_rule *image_rule;      /* of images; must outlive the dataset */
  bool unlabelled;                      /* labels are ignored */
  bool strict;                          /* a broken image is an error; otherwise it is skipped and counted */
  int32_t eos;                          /* id appended as the end of a text or completion; -1 for none */
  int seq_len;                          /* records longer than this are cut when read; 0: never */
  bool mask_prompt;                     /* targets are completions and assistant turns only */
  const char *chat_template;            /* a name that ld_chat_find knows; NULL: as the model has it */
  const ld_chat_template *own_template; /* the model's; NULL for none; needed only while opening */
} ld_dataset_options;

/* One record: where it is, and what it holds. */
typedef struct ld_record {
  uint64_t offset, bytes; /* in units of the source: bytes of a file; images */
  int32_t n_tokens;       /* special tokens and eos included, before cutting; 1 of an image; never 0 */
  int32_t n_targets;      /* after cutting; can be 0; of labelled data 1 where there is a label */
  int32_t label; /* a name's index in ld_labels, or the integer itself; -1 for none and for another number */
  float value;   /* a label that is a number; NaN otherwise */
  int32_t n_parts; /* of tagged text its words; otherwise 0 */
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
  ld_ids
      parts; /* of tagged text: for each token the number of the word that it is the target of; -1 for none */
  int32_t n_parts;  /* of tagged text: its words, also those without a token */
  ld_text tags;     /* of tagged text: for each target the name of its class, ended by a NUL */
  bool turned;      /* the image was stored lying on a side, and is upright now */
  ld_tally *unused; /* borrowed: where a record's keys without a use are counted; NULL: nowhere */
} ld_sample;

void ld_sample_free(ld_sample *sample);

#endif
