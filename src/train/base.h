/* A base model as the commands use it: folder, tokenizer or image rule, model, and what is trained on it.
 */
#ifndef LD_BASE_H
#define LD_BASE_H

#include "io/adapter.h"
#include "io/dataset/dataset.h"
#include "io/model_folder.h"
#include "io/tokenizer/tokenizer.h"
#include "adapt/params.h"
#include "model/model.h"
#include "train/options.h"

enum { LD_MAX_STOPS = LD_MAX_EOS + 2 }; /* the tokenizer's end of a text, and a chat layout's end of a turn */

typedef struct ld_base {
  ld_model_folder *folder;
  ld_tokenizer *tokenizer;  /* NULL for a model that takes no text */
  ld_chat_template *chat_template; /* the model's own; NULL for none */
  ld_image_rule image_rule; /* of a model that takes images */
  ld_model *model;
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

/* What kind of data the base takes. */
ld_data_use ld_base_use(const ld_base *base);

/* Gives a classifier a head of n_outputs (0: as many as it has), with `fresh` a new one in any case. Before
 * anything is trained on it. The labels are numbers then; ld_base_set_labels names them. */
int ld_base_set_head(ld_base *base, int n_outputs, bool fresh, ld_error *err);
void ld_base_set_labels(ld_base *base, const char *const *names, size_t n);
void ld_base_close(ld_base *base);

/* Ids from the tokenizer must be within the model's vocabulary, and types (may be NULL) among its types: some
 * tokenizers hold added tokens that their model lacks, and that is well as long as no text has them. */
int ld_base_check_ids(const ld_base *base, const int32_t *ids, const int32_t *types, size_t n, ld_error *err);

/* The paths of all its linear modules and convolutions, for ld_peft_write. The caller frees the array; the texts
 * are the model's. */
const char **ld_base_module_paths(const ld_base *base, size_t *n);

/* Reads an adapter from an .h5 file, a PEFT folder, or a run folder (its newest good checkpoint). The caller
 * frees. */
int ld_adapter_load(const char *path, ld_adapter **out, ld_error *err);

/* The file of which ld_adapter_load takes an adapter that is no PEFT folder: of a run folder its newest good
 * checkpoint. The path itself where there is none. The caller frees. */
char *ld_adapter_file(const char *path);

/* Says where the base lies, for PEFT: by its absolute path, so that it is found from any folder and however it
 * was spelled here. */
void ld_adapter_set_base_path(ld_adapter *adapter, const char *path);

/* The adapter no longer says which base it is of, and fits any whose modules have its shapes. */
void ld_adapter_forget_base(ld_adapter *adapter);

/* For ld_checkpoint_newest: warns of a damaged checkpoint that is passed over. */
void ld_warn_damaged(const char *path, const ld_error *why, void *user);

/* Puts the adapter's matrices and whole modules on the base, whose head takes the size of the adapter's.
 * LD_EMISMATCH, naming it, for a module that the base lacks, another shape, or a base with another digest.
 * `dropout` is that of training, 0 else. `source` names the adapter in errors. */
int ld_base_adapt(ld_base *base, const ld_adapter *adapter, const char *source, double dropout,
                  ld_error *err);

/* The same from a path that ld_adapter_load takes; with `other_base` whatever base it was trained on. */
int ld_base_adapt_from(ld_base *base, const char *path, bool other_base, ld_error *err);

/* Puts a fresh adapter on the base, and trains modules whole, as the options say. */
int ld_base_adapt_fresh(ld_base *base, const ld_options *options, ld_error *err);

/* Makes an open base ready for use, with the adapter of that path (NULL: none), as ld_base_adapt_from.
 * LD_EMISMATCH when a module that the folder lacks does not come with the adapter. */
int ld_base_make_ready(ld_base *base, const char *adapter, bool other_base, ld_error *err);

/* The base's adapter as it is to be saved. It knows its base by the digest alone: where that lies, or how its
 * path was spelled, is no part of the result. The caller frees with ld_adapter_free. */
ld_adapter *ld_base_adapter(const ld_base *base, const ld_options *options);

#endif
