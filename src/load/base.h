/* A base model as the commands use it: folder, tokenizer or image rule, model, and what is trained on it. */
#ifndef LD_BASE_H
#define LD_BASE_H

#include "adapt/params.h"
#include "io/dataset/dataset.h"
#include "io/hub/model_folder.h"
#include "io/tokenizer/tokenizer.h"
#include "model/model.h"
#include "objective/objectives.h"
#include "options/options.h"

enum { LD_MAX_FORMS = 7 };
enum { LD_MAX_STOPS = LD_MAX_EOS + 2 }; /* the tokenizer's end of text, and a chat layout's end of turn */

typedef struct ld_base {
  ld_model_folder *folder;
  ld_weight_store *weights;        /* of the folder */
  ld_tokenizer *tokenizer;         /* NULL for a model that takes no text */
  ld_chat_template *chat_template; /* from the model folder; NULL for none */
  ld_image_rule image_rule;        /* of a model that takes images */
  ld_model *model;
  char *problem;                 /* transformers' problem_type of the head; NULL: not known */
  char *unfit_head;              /* why a new head replaces the stored one; NULL: it does not */
  const ld_objective *objective; /* what the model's head is for */
  /* The forms of records that it takes; NULL after the last. A body without a head has those of several
   * objectives: see ld_base_follow. */
  const ld_data_form *forms[LD_MAX_FORMS + 1];
  ld_labels labels;  /* a classifier's: a name for each class; a number as text where there is no name */
  bool labels_named; /* by config.json, an adapter or data; otherwise the names are the classes' numbers */
  ld_params *params; /* NULL without an adapter */
  int32_t bos, eos;  /* bos: what the tokenizer puts before a text; -1 for none */
  int32_t stops[LD_MAX_STOPS]; /* ids at which generation ends */
  int n_stops;
  ld_digests *digests; /* borrowed: the known digests of the job's files; NULL: none */
} ld_base;

/* Opens a model folder with its tokenizer or image rule. `base` may be uninitialised; ld_base_close frees it,
 * also after an error. A classifier has the stored head; without one it has a new head, whose size
 * ld_base_set_head changes. */
int ld_base_open(const char *path, ld_base *base, ld_error *err);

/* The same without tokenizer or image rule, for commands that touch no data. */
int ld_base_open_model(const char *path, ld_base *base, ld_error *err);

/* Gives a body without a head the kind of head that this form of records, or PEFT's task type, is for. Does
 * nothing when the base has that head, or cannot have it. Call before anything is trained on the base. */
int ld_base_follow(ld_base *base, const ld_data_form *form, ld_error *err);
int ld_base_follow_task(ld_base *base, const char *task_type, ld_error *err);

/* The same for transformers' problem_type, which tells what a head for records is for; NULL: what its number of outputs
 * tells. */
int ld_base_follow_problem(ld_base *base, const char *problem, ld_error *err);

/* Gives a classifier a head of n_outputs (0: as many as it has); with `fresh` always a new one. Call before
 * anything is trained on the base. The labels are then numbers, until ld_base_set_labels names them. */
int ld_base_set_head(ld_base *base, int n_outputs, bool fresh, ld_error *err);

/* Gives a head that scores sentences so many layers of its own. Call before anything is trained on the base. */
int ld_base_set_layers(ld_base *base, int n_layers, ld_error *err);

void ld_base_set_labels(ld_base *base, const char *const *names, size_t n);

/* The classes of the pictures that the base makes, none if it knows none. The caller frees. */
ld_labels ld_base_picture_classes(const ld_base *base);

void ld_base_close(ld_base *base);

/* Adds an id at which generation ends; -1 adds nothing. */
void ld_base_stop_at(ld_base *base, int32_t id);

/* Checks that ids from the tokenizer are within the model's vocabulary, and types (may be NULL) among its
 * types. Some tokenizers have added tokens that their model lacks, which is fine until a text uses them. */
int ld_base_check_ids(const ld_base *base, const int32_t *ids, const int32_t *types, size_t n, ld_error *err);

#endif
