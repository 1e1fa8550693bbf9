/* A base model as the commands use it: folder, tokenizer or image rule, model, and what is trained on it.
 */
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
enum { LD_MAX_STOPS = LD_MAX_EOS + 2 }; /* the tokenizer's end of a text, and a chat layout's end of a turn */

typedef struct ld_base {
  ld_model_folder *folder;
  ld_weight_store *weights;        /* of the folder */
  ld_tokenizer *tokenizer;         /* NULL for a model that takes no text */
  ld_chat_template *chat_template; /* the model's own; NULL for none */
  ld_image_rule image_rule;        /* of a model that takes images */
  ld_model *model;
  const ld_objective *objective; /* what the model's head is for */
  const ld_data_form
      *forms[LD_MAX_FORMS + 1]; /* of records that it takes; NULL after the last. Of a body without a head
                                                  those of several objectives: see ld_base_follow */
  ld_labels labels;  /* a classifier's: a name for each class; a number as text where there is no name */
  bool labels_named; /* by config.json, an adapter or data; otherwise the names are the classes' numbers */
  ld_params *params; /* NULL without an adapter */
  int32_t bos, eos;  /* bos: what the tokenizer puts before a text; -1 for none */
  int32_t stops[LD_MAX_STOPS]; /* ids at which generation ends */
  int n_stops;
  ld_digests *digests; /* borrowed: what the files of the job are known to hold; NULL: nothing */
} ld_base;

/* Opens a model folder with its tokenizer or image rule. Zero-fill or pass fresh; ld_base_close frees, also
 * after an error. A classifier's head is the stored one; a folder without has a new one, whose size
 * ld_base_set_head changes. */
int ld_base_open(const char *path, ld_base *base, ld_error *err);

/* The same without its tokenizer or image rule, for what touches no data. */
int ld_base_open_model(const char *path, ld_base *base, ld_error *err);

/* Gives a body without a head the kind of head that this form of records, or PEFT's task type, is for; nothing when the
 * base has it, or cannot. Before anything is trained on it. */
int ld_base_follow(ld_base *base, const ld_data_form *form, ld_error *err);
int ld_base_follow_task(ld_base *base, const char *task_type, ld_error *err);

/* Gives a classifier a head of n_outputs (0: as many as it has), with `fresh` a new one in any case. Before
 * anything is trained on it. The labels are numbers then; ld_base_set_labels names them. */
int ld_base_set_head(ld_base *base, int n_outputs, bool fresh, ld_error *err);
void ld_base_set_labels(ld_base *base, const char *const *names, size_t n);
void ld_base_close(ld_base *base);

/* Generation ends at this id too; nothing for -1. */
void ld_base_stop_at(ld_base *base, int32_t id);

/* Ids from the tokenizer must be within the model's vocabulary, and types (may be NULL) among its types: some
 * tokenizers hold added tokens that their model lacks, and that is well as long as no text has them. */
int ld_base_check_ids(const ld_base *base, const int32_t *ids, const int32_t *types, size_t n, ld_error *err);

#endif
