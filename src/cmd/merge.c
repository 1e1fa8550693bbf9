/* lora_dist merge: a model folder with the adapter added in. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/gemm.h"
#include "base/log.h"
#include "base/memory.h"
#include "cmd/command.h"
#include "io/file.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "train/base.h"

/* Files of a model folder that go along as they are. */
static const char *const companions[] = {"config.json",
                                         "tokenizer.json",
                                         "tokenizer_config.json",
                                         "generation_config.json",
                                         "special_tokens_map.json",
                                         "vocab.json",
                                         "merges.txt",
                                         "vocab.txt",
                                         "tokenizer.model",
                                         "chat_template.jinja",
                                         "added_tokens.json"};

/* W + scaling B A (transposed where W is stored (in, out)), as floats; the caller frees. */
static float *merged_weight(const ld_linear *linear) {
  const ld_lora *lora = linear->lora;
  const ld_weight *W = &linear->weight;
  float *sum = ld_alloc((size_t)W->rows * (size_t)W->cols, sizeof *sum);
  ld_dtype_to_f32(sum, W->data, W->dtype, 0, (int64_t)W->rows * W->cols);
  const float *A = lora->A->data, *B = lora->B->data;
  if (linear->transposed)
    ld_gemm(true, true, linear->in, linear->out, lora->rank, lora->scaling, A, linear->in, B, lora->rank, 1,
            sum, W->cols);
  else
    ld_gemm(false, false, linear->out, linear->in, lora->rank, lora->scaling, B, lora->rank, A, linear->in, 1,
            sum, W->cols);
  return sum;
}

static const ld_linear *adapted_by_data(const ld_base *base, const void *data) {
  for (size_t i = 0; i < base->lora->n_loras; i++)
    if (base->lora->choices[i].linear->weight.data == data) return base->lora->choices[i].linear;
  return NULL;
}

static ld_dtype wanted_type(const ld_options *options, ld_dtype stored) {
  if (!options->dtype || (stored != LD_F32 && stored != LD_F16 && stored != LD_BF16)) return stored;
  return !strcmp(options->dtype, "f32") ? LD_F32 : !strcmp(options->dtype, "f16") ? LD_F16 : LD_BF16;
}

/* What a tensor is made from when its turn to be written comes. */
typedef struct source {
  const ld_stored *stored;
  const ld_linear *linear; /* NULL: not adapted */
} source;

static void *make_tensor(const ld_named *named) {
  const source *from = named->user;
  const int64_t n = ld_stored_count(from->stored);
  float *floats = from->linear ? merged_weight(from->linear) : ld_alloc((size_t)n, sizeof *floats);
  if (!from->linear) ld_dtype_to_f32(floats, from->stored->data, from->stored->dtype, 0, n);
  void *out = ld_alloc((size_t)n, ld_dtype_size(named->tensor.dtype));
  ld_dtype_from_f32(out, floats, named->tensor.dtype, n);
  free(floats);
  return out;
}

static int write_weights(const ld_options *options, const ld_base *base, const char *folder, ld_error *err) {
  const size_t n = ld_model_folder_count(base->folder);
  ld_named *tensors = ld_alloc(n, sizeof *tensors);
  source *sources = ld_alloc(n, sizeof *sources);
  for (size_t i = 0; i < n; i++) {
    const ld_stored *stored = ld_model_folder_tensor(base->folder, i);
    sources[i] = (source){stored, adapted_by_data(base, stored->data)};
    tensors[i] = (ld_named){.name = ld_model_folder_name(base->folder, i), .tensor = *stored};
    tensors[i].tensor.dtype = wanted_type(options, stored->dtype);
    if (!sources[i].linear && tensors[i].tensor.dtype == stored->dtype) continue;
    tensors[i].make = make_tensor;
    tensors[i].user = &sources[i];
  }
  char *path = ld_path_join(folder, "model.safetensors");
  const int rc = ld_safetensors_write(path, tensors, n, err);
  free(path);
  free(sources);
  free(tensors);
  return rc;
}

static int copy_file(const char *from, const char *to, ld_error *err) {
  ld_map map;
  int rc = ld_map_open(from, &map, err);
  if (!rc) rc = ld_file_write(to, map.bytes, map.length, err);
  ld_map_close(&map);
  return rc;
}

/* config.json names the type of the weights, and transformers loads them as that; NULL leaves it as it is. */
static int write_config(const char *from, const char *to, const char *dtype, ld_error *err) {
  static const char *const keys[] = {"dtype", "torch_dtype", NULL};
  if (!dtype) return copy_file(from, to, err);
  const char *type = !strcmp(dtype, "f32") ? "float32" : !strcmp(dtype, "f16") ? "float16" : "bfloat16";
  ld_text text = {0};
  ld_map map;
  int rc = ld_map_open(from, &map, err);
  if (!rc) rc = ld_json_replace(map.bytes, map.length, from, keys, type, &text, err);
  if (!rc) rc = ld_file_write(to, text.bytes, text.length, err);
  ld_map_close(&map);
  ld_text_free(&text);
  return rc;
}

static int copy_companion(const ld_options *options, const char *folder, const char *name, ld_error *err) {
  char *from = ld_path_join(options->model, name), *to = ld_path_join(folder, name);
  int rc = 0;
  if (!strcmp(name, "config.json"))
    rc = write_config(from, to, options->dtype, err);
  else if (ld_file_exists(from))
    rc = copy_file(from, to, err);
  free(from);
  free(to);
  return rc;
}

/* Writing over the base would destroy it while it is mapped. */
static int check_out(const ld_options *options, ld_error *err) {
  struct stat from, to;
  if (!stat(options->model, &from) && !stat(options->out, &to) && from.st_dev == to.st_dev &&
      from.st_ino == to.st_ino)
    return ld_fail(err, LD_EUSAGE, "--out %s: is the base model's own folder; give another", options->out);
  return 0;
}

static int write_folder(const ld_options *options, const ld_base *base, ld_error *err) {
  char *part = ld_folder_begin(options->out, err);
  if (!part) return err->code;
  int rc = write_weights(options, base, part, err);
  for (size_t i = 0; !rc && i < sizeof companions / sizeof *companions; i++)
    rc = copy_companion(options, part, companions[i], err);
  return ld_folder_end(part, options->out, rc, err);
}

int ld_cmd_merge(const ld_options *options, const char *path, ld_comm *comm, ld_error *err) {
  (void)path;
  (void)comm;
  ld_base base;
  int rc = ld_base_open_model(options->model, &base, err);
  if (!rc) rc = ld_base_adapt_from(&base, options->adapter, err);
  if (!rc && base.model->head_tied && base.model->head->lora)
    rc = ld_fail(err, LD_EUNSUPPORTED,
                 "%s: adapts lm_head, which shares its weight with the embedding in this base; merged, it "
                 "would change both",
                 options->adapter);
  if (!rc) rc = check_out(options, err);
  if (!rc) rc = write_folder(options, &base, err);
  if (!rc) ld_info("%s: %zu modules merged", options->out, base.lora->n_loras);
  ld_base_close(&base);
  return rc;
}
