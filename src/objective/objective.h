/* Objectives: what a model is trained for. One file each; objectives.c has the table.
 *
 * An objective says which records it takes, how a model's outputs become a loss, which answers are scored
 * against the truth, by which metrics, and how a prediction is written. The trainer, the evaluation,
 * metrics.jsonl and the report read this; nothing else asks which objective it is. To add one, write its file
 * and its line in the table; a family that serves it needs a head of its kind (model/model.h). */
#ifndef LD_OBJECTIVE_H
#define LD_OBJECTIVE_H

#include "io/dataset/forms.h"
#include "io/dataset/label.h"
#include "metric/metric.h"
#include "metric/score.h"
#include "metric/text_metric.h"
#include "model/model.h"

enum { LD_MAX_COUNTS = LD_MAX_METRICS * LD_MOST_COUNTS };

/* The truth and the model's answer for one target: a class, or the bits of a float. */
typedef struct ld_answer {
  uint32_t truth, given;
} ld_answer;

_Static_assert(sizeof(ld_answer) == sizeof(int64_t), "answers of all ranks are joined as integers");

/* The answers for all targets of a data set, in their order. */
typedef struct ld_answers {
  const ld_answer *list; /* those of record i are first[i] to first[i + 1] */
  const int64_t *first;  /* (n_records + 1) */
  int64_t n, n_records;
  const int64_t *counts;   /* (LD_MAX_COUNTS) of all records, for objectives that count */
  double loss;             /* mean over the targets */
  int n_classes;           /* outputs of the head */
  const ld_labels *labels; /* the classes, for objectives with named outputs */
} ld_answers;

/* How pictures are noised for training; zeros: plainly. */
typedef struct ld_noising {
  double min_snr;      /* gamma of the loss's weights by signal-to-noise ratio; 0: all weights are 1 */
  double prior_weight; /* of the loss of a record that is prior, which min_snr leaves alone */
  double offset;       /* of a noise that is the same for all pixels of a channel */
  double
      caption_dropout; /* the part of the captions that are replaced by the empty one, and of the classes by none */
  bool logit_normal; /* timesteps are drawn more often from the middle: n / (1 + e^-z), z from N(0, 1) */
} ld_noising;

/* What is laid into a batch at a time: a record's sample or, for continuous text, its tokens [first, first +
 * count). */
typedef struct ld_laid {
  const ld_sample *sample;
  const ld_record *record;
  const ld_labels *labels; /* the base's */
  const ld_model *model;
  int first, count;
  int height, width; /* of its image in the batch; 0 without */
  bool mirrored;     /* its image is laid so */
  bool continues;    /* its first token continues the row before */
  /* What random numbers are keyed by: the run's seed, the epoch (negative: an evaluation, which is the same each
   * time), and a number: the record's or, where an epoch may have a record more than once, its row's. */
  uint64_t seed;
  int64_t epoch, number;
  ld_noising noising;
} ld_laid;

/* The model's outputs (rows, cols) for a record: one row for a whole record, else one per token or sentence. */
typedef struct ld_outputs {
  const float *data;
  int rows, cols, stride;
  const int32_t *parts;    /* (rows) as they were laid */
  int n_parts;             /* of the record */
  const ld_sample *sample; /* the record, for objectives that count; NULL for others */
  int sentences;           /* --sentences */
} ld_outputs;

typedef struct ld_objective {
  const char *name;                 /* in metrics.jsonl: "classes" */
  const char *model;                /* the kind of model that serves it, for messages: "a classifier" */
  const ld_data_form *const *forms; /* the forms that it takes; NULL after the last */
  bool named;                       /* its outputs are classes, which have names */
  const char *problem;              /* transformers' problem_type; NULL for none */
  const char *loss_unit;            /* shown in the report: "nats"; NULL: no unit */
  const ld_metric *metrics;         /* the first is shown beside the loss; {NULL} after the last */
  ld_head head;                     /* the kind of head that it needs, */
  int least_outputs, most_outputs;  /* with as many outputs; 0: any number */
  bool by_output;                   /* a record with labels has a target for each output, not one in all */
  /* Adds a sample to the fields: its tokens, with ld_lay_text (images are there already), and to "targets" ids
   * (-1 for none) or numbers (NaN for none). Where a prediction needs it, the targets' `positions` get the part
   * of the record (a word) that each belongs to. */
  void (*lay)(const ld_laid *laid, ld_lanes *lanes);
  /* LD_EMISMATCH, naming no file, when data with these labels does not suit a head with so many outputs.
   * NULL: it has no labels. */
  int (*suit)(const ld_labels *labels, int n_outputs, ld_error *err);
  /* The same when data with these labels cannot train a new head with so many outputs. NULL: any can. */
  int (*suit_new)(const ld_labels *labels, int n_outputs, ld_error *err);
  /* What is to be predicted for a record, in words: ", label positive". NULL: the tokens of its text that are
   * targets. */
  void (*put_target)(const ld_field *targets, const ld_labels *labels, ld_text *out);
  /* The forward pass and the summed loss of the batch's targets. Ends the tape. Returns the outputs (B, n),
   * or NULL if there are none. */
  ld_tensor *(*loss)(const ld_model *model, ld_tape *tape, const ld_batch *batch, double *loss);
  /* One answer for each target of the batch. NULL: only the loss is scored. */
  void (*answer)(const ld_tensor *outputs, const ld_batch *batch, ld_answer *out);
  /* Counts in a record what its metrics are computed from, into LD_MAX_COUNTS zeros: integers, so that their sums
   * over all ranks are exact. NULL: its metrics are of answers or of the loss. */
  void (*count)(const ld_outputs *outputs, int64_t *counts);
  /* The metrics' values and, for classes, how often one was taken for another. NULL: it has no metrics. */
  void (*score)(const ld_answers *answers, ld_scores *out);
  /* What a model reads (source) or continues (text), to write a text for a record, whose sample comes from its
   * form's `ask`. What it writes begins with the decoder's start token where `text` is left empty. NULL: it
   * writes no texts. */
  void (*prompt)(const ld_sample *sample, ld_ids *source, ld_ids *text);
  /* Appends the members of the JSON object that is a record's prediction; nulls for a record that cannot be
   * read (outputs NULL). NULL: its predictions are texts, or there are none. */
  void (*put_prediction)(const ld_labels *labels, const ld_outputs *outputs, ld_text *line);
} ld_objective;

/* Adds the tokens of a sample to the field "text"; nothing for an image. */
void ld_lay_text(const ld_laid *laid, ld_lanes *lanes);

extern const ld_objective ld_objective_language, ld_objective_value, ld_objective_classes,
    ld_objective_tokens, ld_objective_multilabel, ld_objective_seq2seq, ld_objective_extract,
    ld_objective_denoise;

#endif
