/* Objectives: what a model is trained for. One file each; objectives.c has the table.
 *
 * An objective says which records it takes, how the outputs of a model become a loss, what of them is scored against the
 * truth, by which metrics, and how a prediction is written. The trainer, evaluation, metrics.jsonl and the report read
 * these; nothing else asks which objective it is dealing with. To add one, write its file and its line in the table; a
 * family that is to serve it needs a head of its kind (model/model.h).
 */
#ifndef LD_OBJECTIVE_H
#define LD_OBJECTIVE_H

#include "io/dataset/forms.h"
#include "io/dataset/label.h"
#include "model/model.h"
#include "objective/score.h"

/* A number that says how good a model is. */
typedef struct ld_metric {
  const char *key;   /* in metrics.jsonl: "macro_f1" */
  const char *name;  /* for people: "macro F1" */
  const char *title; /* where there is room for more; NULL: the name */
  bool falls;        /* the lower, the better */
  bool of_loss;      /* it follows from the loss */
  int digits;        /* shown after the point */
} ld_metric;

enum { LD_MAX_METRICS = 6 };

/* What was true and what the model gave for one target: a class, or the bits of a float. */
typedef struct ld_answer {
  uint32_t truth, given;
} ld_answer;

_Static_assert(sizeof(ld_answer) == sizeof(int64_t), "answers of all ranks are joined as integers");

/* The answers for the targets of a data set, in their order. */
typedef struct ld_answers {
  const ld_answer *list; /* those of record i from first[i] to first[i + 1] */
  const int64_t *first;  /* (n_records + 1) */
  int64_t n, n_records;
  double loss;             /* the mean over the targets */
  int n_classes;           /* outputs of the head */
  const ld_labels *labels; /* where the objective is named: the classes */
} ld_answers;

/* What is laid into a batch at a time: a record's sample; of text that continues, its tokens [first, first + count). */
typedef struct ld_laid {
  const ld_sample *sample;
  const ld_record *record;
  const ld_labels *labels; /* the base's */
  int first, count;
  bool continues;   /* its first token goes on from the row before */
  int32_t *targets; /* the rows of the field "targets" that belong to it, as ids (-1 for none), */
  float *values;    /* and as numbers (NaN for none), whichever the objective has */
  int32_t *parts;   /* beside targets: which part of the record each is of, a word; need not be filled */
} ld_laid;

/* What the model gave for a record: its outputs (rows, cols), of a whole record in one row, else one row a token. */
typedef struct ld_outputs {
  const float *data;
  int rows, cols, stride;
  const int32_t *parts; /* (rows) as they were laid */
  int n_parts;          /* of the record */
} ld_outputs;

typedef struct ld_objective {
  const char *name;                 /* in metrics.jsonl: "classes" */
  const char *model;                /* what serves it, for people: "a classifier" */
  const ld_data_form *const *forms; /* that it takes; NULL after the last */
  bool named;                       /* its outputs are classes, which have names */
  const char *problem;              /* transformers' problem_type; NULL for none */
  const char *loss_unit;            /* of the report: "nats"; NULL: as it is */
  const ld_metric *metrics;         /* the first is the one to show beside the loss; {NULL} after the last */
  ld_head head;                     /* the kind of head that it needs, */
  int n_outputs;                    /* with so many outputs; 0: any number */
  /* Lays the targets of a sample, one for each of its tokens or one for all of it; returns how many. */
  int (*lay)(const ld_laid *laid);
  /* LD_EMISMATCH, naming no file, when data with these labels is not for a head with so many outputs. NULL: it has no
   * labels. */
  int (*suit)(const ld_labels *labels, int n_outputs, ld_error *err);
  /* What is to be predicted of a record, for people: ", label positive". NULL: the tokens of its text that are targets. */
  void (*put_target)(const ld_field *targets, const ld_labels *labels, ld_text *out);
  /* The forward pass and the summed loss of the batch's targets. Ends the tape. Gives the outputs (B, n), if there are
   * any, else NULL. */
  ld_tensor *(*loss)(const ld_model *model, ld_tape *tape, const ld_batch *batch, double *loss);
  /* One answer for each target of the batch. NULL: nothing but the loss is scored. */
  void (*answer)(const ld_tensor *outputs, const ld_batch *batch, ld_answer *out);
  /* The metrics' values, and where there are classes how often one was taken for another. */
  void (*score)(const ld_answers *answers, ld_scores *out);
  /* Members of the JSON object that a record's prediction is; null for a record that cannot be read (outputs NULL).
   * NULL: it predicts nothing for a record. */
  void (*put_prediction)(const ld_labels *labels, const ld_outputs *outputs, ld_text *line);
} ld_objective;

extern const ld_objective ld_objective_language, ld_objective_value, ld_objective_classes,
    ld_objective_tokens;

#endif
