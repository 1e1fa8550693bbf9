/* A Hugging Face model folder: config.json, one or many *.safetensors with their index, and the special
 * tokens that its tokenizer files name.
 *
 * As in transformers, model.safetensors comes first, then the shards that model.safetensors.index.json lists. */
#ifndef LD_MODEL_FOLDER_H
#define LD_MODEL_FOLDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/dtype.h"
#include "base/error.h"
#include "base/text.h"
#include "base/value.h"
#include "io/hub/digests.h"

typedef struct ld_model_folder ld_model_folder;

/* Opens and validates a folder. Errors: a missing folder, config or shard, an index that names tensors that
 * its shards lack, the same tensor in two shards, shard names that lead out of the folder, and other
 * malformed JSON files. The caller frees with ld_model_folder_close. */
int ld_model_folder_open(const char *path, ld_model_folder **out, ld_error *err);
void ld_model_folder_close(ld_model_folder *folder);

/* The one list of files that a model folder may hold besides its weights; a NULL name ends it. */
typedef struct ld_model_file {
  const char *name;
  bool is_read;    /* by this program */
  bool is_setting; /* affects the numbers: it counts in ld_model_folder_settings */
  bool is_copied;  /* into the folder of a merged model */
} ld_model_file;
extern const ld_model_file ld_model_files[];

/* The names of the files that are read from a model folder: config, tokenizer or image rule, and the weights.
 * Broken and missing files are left to ld_model_folder_open. The caller frees with ld_names_free. */
char **ld_model_folder_files(const char *path, size_t *n);

const char *ld_model_folder_path(const ld_model_folder *folder);
const ld_value *ld_model_folder_config(const ld_model_folder *folder);

/* The i-th part of the folder that has weights: "" for the whole folder, or the name of a component of a diffusers
 * folder (pipeline.h), which its tensors' names begin with; NULL after the last. *weights receives the name of its file of
 * weights without the ending. */
const char *ld_model_folder_part(const ld_model_folder *folder, size_t i, const char **weights);

/* NULL when there is none. */
const ld_stored *ld_model_folder_find(const ld_model_folder *folder, const char *name);

size_t ld_model_folder_count(const ld_model_folder *folder);
const char *ld_model_folder_name(const ld_model_folder *folder, size_t index); /* sorted by name, bytewise */
const ld_stored *ld_model_folder_tensor(const ld_model_folder *folder, size_t index);

/* The digest that identifies an adapter's base: "2:" and 16 hexadecimal digits over the names, dtypes, shapes
 * and every byte of all tensors. It does not depend on how the tensors are spread over files. It reads
 * everything that is mapped, unless the digest was set before. Not thread-safe, nor are the two below. */
const char *ld_model_folder_digest(ld_model_folder *folder);
void ld_model_folder_set_digest(ld_model_folder *folder, const char *digest);

/* The same from the folder's files, from `digests` or by reading them now. LD_EFILE when one of them is no
 * longer the file that was opened. */
int ld_model_folder_find_digest(const ld_model_folder *folder, ld_digests *digests,
                                char digest[LD_DIGEST_TEXT + 1], ld_error *err);

/* The digest of everything else in the folder that affects the numbers: every byte of config, tokenizer files
 * and image rule, by name. It is separate from the digest above, so that a model that another library saved
 * again is still the base of its adapters. */
void ld_model_folder_settings(const char *path, char digest[LD_DIGEST_TEXT + 1]);

/* Appends a line for each vocabulary of SentencePiece in the folder, which those digests leave out, with the hash of its
 * bytes. */
void ld_model_folder_put_vocabularies(const char *path, ld_text *out);

/* One number for the files of weights: ranks of a host with the same number mapped the same files. */
uint64_t ld_model_folder_stamp(const ld_model_folder *folder);

/* Whether a recorded digest is the folder's. A digest of version 1 is compared with one made in the same way,
 * from some blocks of each tensor. */
bool ld_model_folder_has_digest(ld_model_folder *folder, const char *digest);

/* LD_EMISMATCH, naming the file, when a file of weights has changed since it was opened. While their stamps
 * stay the same, only these are read. A file that was only touched, or that was replaced while the old one is
 * still mapped, gives one warning. */
int ld_model_folder_check(ld_model_folder *folder, ld_error *err);

/* A special token's spelling in tokenizer_config.json or special_tokens_map.json ("bos_token", "eos_token",
 * "pad_token"; a string, or an object with "content"); NULL when neither has it. */
const char *ld_model_folder_token(const ld_model_folder *folder, const char *role);

/* The contents of generation_config.json; NULL without one. Belongs to the folder. */
const ld_value *ld_model_folder_generation(const ld_model_folder *folder);

enum { LD_MAX_EOS = 16 };

/* Ids at which generation stops: generation_config.json's eos_token_id (a number or a list), else
 * config.json's. An id outside the model's vocabulary of `vocab` tokens is left out, with a warning.
 * LD_EFORMAT for a value of another type, LD_EUNSUPPORTED for more than LD_MAX_EOS. */
int ld_model_folder_eos(const ld_model_folder *folder, int vocab, int32_t ids[LD_MAX_EOS], int *n,
                        ld_error *err);

#endif
