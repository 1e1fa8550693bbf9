/* Records and samples, and the options of a data set. */
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
#include "io/image/fit.h"
#include "io/image/rule.h"
#include "io/tokenizer/tokenizer.h"

typedef struct ld_dataset ld_dataset;

typedef struct ld_data_form ld_data_form;

/* What changes the index of the records belongs into ld_dataset_put_key too. */
typedef struct ld_dataset_options {
  const ld_data_form *const *forms; /* the accepted forms; NULL after the last (data_form.h) */
  bool settled;                  /* the first forms are the model's; otherwise its head may follow the data */
  const ld_tokenizer *tokenizer; /* for text; must outlive the dataset */
  const ld_image_rule *image_rule; /* for images; must outlive the dataset */
  const ld_image_size *sizes;      /* the sizes that images get, by aspect ratio, as many as n_sizes; must */
  int n_sizes;                     /* outlive the dataset; 0: the rule's */
  const char *caption;       /* of images without their own; NULL: that is an error; must outlive it too */
  const char *class_data,    /* a folder of further images, whose records are `prior`; NULL: none; must */
      *class_caption;        /* outlive it; the same as `caption`, of these; must too */
  bool unlabelled;           /* for prediction: a sample has no labels, nor what a model is to write */
  bool strict;               /* an unreadable image is an error; otherwise it is skipped and counted */
  int32_t eos;               /* id appended as the end of a text or completion; -1 for none */
  int seq_len;               /* longer records are truncated when read; 0: never */
  int target_len;            /* the same for targets that are a text of their own */
  int sentences;             /* most sentences of a summary that is chosen from a document */
  const char *source_prefix; /* put before each source; NULL: nothing; must outlive the dataset */
  const char *source_lang,
      *target_lang;          /* as in ld_input; NULL: the tokenizer's default; must outlive it too */
  bool mask_prompt;          /* targets are completions and assistant turns only */
  const char *chat_template; /* a name that ld_chat_find knows; NULL: the model's layout */
  const ld_chat_template *own_template; /* the model's; NULL for none; needed only while opening */
  const char *joined, /* the file that stands for several or compressed ones (joined.h); NULL: none */
      *joined_name;   /* the first one's name, which decides on the format; both needed only while opening */
  int joined_threads; /* as in ld_joined_open, with joined_hash */
  uint64_t joined_hash;
} ld_dataset_options;

/* One record: its position, and what it holds. */
typedef struct ld_record {
  uint64_t offset, bytes; /* in units of the source: bytes of a file; images */
  int32_t n_tokens;       /* with special tokens and eos, after truncation; 1 for an image; never 0 */
  int32_t n_targets;      /* after truncation; can be 0; for labelled data 1 if there is a label */
  int32_t label;   /* a name's index in ld_labels, or the integer itself; -1 for none and for a real number */
  float value;     /* a label that is a number; NaN otherwise */
  int32_t n_parts; /* of tagged text, its words; of a document, its sentences; otherwise 0 */
  uint8_t cut;     /* what was truncated: LD_CUT_INPUT, LD_CUT_TARGET, LD_CUT_PARTS */
  bool prior;      /* an image of the options' class_data */
  uint16_t size;   /* of an image: which of the options' sizes it has */
} ld_record;

enum { LD_CUT_INPUT = 1, LD_CUT_TARGET = 2, LD_CUT_PARTS = 4 /* sentences of a document */ };

/* A label as written in a record. */
typedef enum ld_label_kind { LD_LABEL_NONE, LD_LABEL_NAME, LD_LABEL_INTEGER, LD_LABEL_REAL } ld_label_kind;

/* A record that was read. Zero-initialise, reuse, free with ld_sample_free. target[i] says that ids[i] is to
 * be predicted (from the tokens before it). target[0] is always 0 except in raw text, whose records continue
 * each other. */
typedef struct ld_sample {
  ld_ids tokens;
  uint8_t *target;
  size_t room;
  size_t n_whole; /* tokens before truncation */
  uint8_t cut;    /* as in ld_record */
  uint16_t size;
  size_t n_source; /* of a source with its target: how many of the tokens are the source's; otherwise 0 */
  ld_text
      references; /* what a text made by the model is compared with: one or more texts, each ended by a NUL */
  ld_ids types;   /* of labelled text: the tokenizer's type ids, which tell the texts of a pair apart */
  ld_image image; /* fitted by the rule */
  ld_image_origin origin; /* of a picture */
  ld_crop crop;           /* set by the caller, and kept: where the crop of a picture lies */
  ld_label_kind label_kind;
  ld_text label_name; /* LD_LABEL_NAME */
  double label_value; /* LD_LABEL_INTEGER, LD_LABEL_REAL */
  ld_ids parts;      /* for each token the number of the word, or sentence, whose target it is; -1 for none */
  int32_t n_parts;   /* of tagged text: its words; of a document: its sentences; also those without a token */
  ld_text sentences; /* of a document: each ended by a NUL */
  ld_ids chosen;     /* of a document: for each sentence whether it is to be chosen, 0 or 1 */
  ld_text
      tags; /* of tagged text: for each target the name of its class; of several labels: each; ended by NULs */
  bool listed;      /* its labels were given as a list, which may be empty: the record is a target */
  bool turned;      /* the image was stored rotated, and is upright now */
  bool blended;     /* it has transparency, which was put on white */
  ld_tally *unused; /* borrowed: where a record's unused keys are counted; NULL: nowhere */
} ld_sample;

void ld_sample_free(ld_sample *sample);

#endif
