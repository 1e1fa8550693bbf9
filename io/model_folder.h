/* A Hugging Face model folder: config.json, one or many *.safetensors with their index, and the special
 * tokens that its tokenizer files name.
 *
 * As transformers does, model.safetensors comes first, then the shards that model.safetensors.index.json
 * lists.
 */
#ifndef LD_MODEL_FOLDER_H
#define LD_MODEL_FOLDER_H

#include <stdint.h>

#include "base/dtype.h"
#include "base/error.h"
#include "base/value.h"

typedef struct ld_model_folder ld_model_folder;

/* Opens and validates all of it. Errors: a missing folder, config or shard, an index that names tensors that
 * its shards lack, the same tensor in two shards, shard names that lead out of the folder, other JSON files
 * that are there and malformed. The caller frees with ld_model_folder_close. */
int ld_model_folder_open(const char *path, ld_model_folder **out, ld_error *err);
void ld_model_folder_close(ld_model_folder *folder);

/* The names of those files in a model folder that are read from it: config, tokenizer or image rule, and the
 * weights. What is broken or missing is left to ld_model_folder_open. The caller frees with ld_names_free. */
char **ld_model_folder_files(const char *path, size_t *n);

const char *ld_model_folder_path(const ld_model_folder *folder);
const ld_value *ld_model_folder_config(const ld_model_folder *folder);

/* NULL when there is none. */
const ld_stored *ld_model_folder_find(const ld_model_folder *folder, const char *name);

size_t ld_model_folder_count(const ld_model_folder *folder);
const char *ld_model_folder_name(const ld_model_folder *folder, size_t index); /* sorted by name, bytewise */
const ld_stored *ld_model_folder_tensor(const ld_model_folder *folder, size_t index);

/* The digest by which an adapter knows its base: 16 hexadecimal digits over the sorted names, dtypes, shapes
 * and contents of all tensors; the same however the tensors are spread over files. Of a tensor above 64 KiB
 * only 64 blocks of 1 KiB count, spread evenly from its first byte to its last: enough to tell other weights,
 * and fast for any size. Computed by the first call, which is not for two threads at once. */
const char *ld_model_folder_digest(ld_model_folder *folder);

/* Token spellings from tokenizer_config.json / special_tokens_map.json ("bos_token", "eos_token",
 * "pad_token"; a string, or an object with "content"); NULL when they say nothing. */
const char *ld_model_folder_token(const ld_model_folder *folder, const char *role);

/* Ids at which generation stops: generation_config.json's eos_token_id (a number or a list), else
 * config.json's. Returns how many were written to `ids` (at most `room`). */
int ld_model_folder_eos(const ld_model_folder *folder, int32_t *ids, int room);

#endif
