/* A base model as the commands use it: folder, tokenizer and model, and an adapter put on it.
 */
#ifndef LD_BASE_H
#define LD_BASE_H

#include "io/adapter.h"
#include "io/model_folder.h"
#include "io/tokenizer.h"
#include "model/lora.h"
#include "train/options.h"

enum { LD_MAX_STOPS = 16 };

typedef struct ld_base {
  ld_model_folder *folder;
  ld_tokenizer *tokenizer; /* NULL for a model that takes no text */
  ld_model *model;
  ld_lora_set *lora;           /* NULL without an adapter */
  int32_t bos, eos;            /* bos: what the tokenizer puts before a text; -1 for none */
  int32_t stops[LD_MAX_STOPS]; /* ids at which generation ends */
  int n_stops;
} ld_base;

/* Opens a model folder with its tokenizer. Zero-fill or pass fresh; ld_base_close frees, also after an error.
 */
int ld_base_open(const char *path, ld_base *base, ld_error *err);

/* The same without its tokenizer, for what touches no text. */
int ld_base_open_model(const char *path, ld_base *base, ld_error *err);
void ld_base_close(ld_base *base);

/* Ids from the tokenizer must be within the model's vocabulary: some tokenizers hold added tokens that their
 * model lacks, and that is well as long as no text has them. */
int ld_base_check_ids(const ld_base *base, const int32_t *ids, size_t n, ld_error *err);

/* Reads an adapter from an .h5 file, a PEFT folder, or a run folder (its newest good checkpoint). The caller
 * frees. */
int ld_adapter_load(const char *path, ld_adapter **out, ld_error *err);

/* For ld_checkpoint_newest: warns of a damaged checkpoint that is passed over. */
void ld_warn_damaged(const char *path, const ld_error *why, void *user);

/* Puts the adapter's matrices on the base. LD_EMISMATCH, naming it, for a module that the base lacks, another
 * shape, or a base with another digest. `dropout` is that of training, 0 else. `source` names the adapter in
 * errors. */
int ld_base_adapt(ld_base *base, const ld_adapter *adapter, const char *source, double dropout,
                  ld_error *err);

/* The same from a path that ld_adapter_load takes. */
int ld_base_adapt_from(ld_base *base, const char *path, ld_error *err);

/* Puts a fresh adapter on the base, as the options say. */
int ld_base_adapt_fresh(ld_base *base, const ld_options *options, ld_error *err);

/* The base's adapter as it is to be saved. The caller frees with ld_adapter_free. */
ld_adapter *ld_base_adapter(const ld_base *base, const ld_options *options);

#endif
