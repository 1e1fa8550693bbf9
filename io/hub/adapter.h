/* An adapter in memory, and its form on a hub: the PEFT folder. (Its HDF5 form: io/state/checkpoint.h.)
 *
 * The PEFT folder is adapter_config.json and adapter_model.safetensors. Tensor names there are
 * "base_model.model." + the Hugging Face module path + ".lora_A.weight" or ".lora_B.weight"; tensors of
 * modules trained in full keep their path. Ours may hold a third file, which PEFT ignores: labels.json, the
 * names of a classifier's classes in the form of Hugging Face's id2label.
 * https://huggingface.co/docs/peft/developer_guides/checkpoint */
#ifndef LD_ADAPTER_H
#define LD_ADAPTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"
#include "base/error.h"
#include "io/hub/digests.h"

enum { LD_ADAPTER_ROLES = 4, LD_MOST_RANK = 1 << 20 };

/* The kind of a module that is trained in full (PEFT's modules_to_save). */
#define LD_ADAPTER_WHOLE "whole"

/* A trained tensor of a module, in the shape that it has in PEFT's file. */
typedef struct ld_adapter_tensor {
  char *role; /* "lora_A", "lora_B"; in a module trained in full "weight", "bias", ... */
  int ndim;
  int64_t shape[LD_MAX_DIMS];
  float *data; /* a "num_batches_tracked" is an I64 scalar in PEFT's file and a float here */
} ld_adapter_tensor;

/* The trained tensors of one module. */
typedef struct ld_adapter_module {
  char *path; /* Hugging Face module path, "model.layers.0.self_attn.q_proj" */
  char *kind; /* "lora", ...: a kind of src/adapt */
  int rank;   /* of low-rank kinds; 0 for others, and so are the next two */
  double alpha, scaling;
  ld_adapter_tensor *tensors; /* in the order of the kind's roles */
  size_t n_tensors, room_tensors;
} ld_adapter_module;

/* How a kind of adapter is stored in a PEFT folder. The kinds themselves are in src/adapt; the PEFT reader
 * and writer receive a list of these, NULL after the last. */
typedef struct ld_adapter_form {
  const char *kind;
  const char *flag; /* of adapter_config.json, selects this kind: "use_dora"; NULL: no flag is set */
  struct {
    const char *role, *key; /* "lora_A", and its name in the file after the module's path: "lora_A.weight" */
  } roles[LD_ADAPTER_ROLES + 1]; /* all roles of the kind, in order; {NULL, NULL} after the last */
  /* Checks that the module's tensors, which are all present, fit each other and its rank. */
  int (*check)(const ld_adapter_module *module, const char *name, ld_error *err);
} ld_adapter_form;

/* A frozen tensor of the base that the adapter's file holds a copy of. */
typedef struct ld_adapter_copy {
  char *path; /* the base's name, "lm_head.weight" */
  ld_stored tensor;
  bool of_adapted; /* it is stored as what an adapter changes: "lm_head.base_layer.weight" */
} ld_adapter_copy;

typedef struct ld_adapter {
  int rank; /* the common r and alpha; some modules may differ (rank_pattern, alpha_pattern) */
  double alpha, dropout;
  bool rslora;
  bool fan_in_fan_out; /* base weights stored [in, out] (GPT-2's Conv1D) */
  char *base_name;     /* base_model_name_or_path */
  char *base_digest;   /* ld_model_folder_digest; NULL when not known, as in PEFT folders from elsewhere */
  char *architecture;  /* "LlamaForCausalLM"; NULL when not known */
  char *task_type;     /* "CAUSAL_LM", "SEQ_CLS"; NULL for none */
  char *problem; /* transformers' problem_type, where the number of outputs does not tell it; else NULL */
  ld_adapter_module *modules; /* modules trained in full come last */
  size_t n_modules, room_modules;
  /* From a PEFT folder, for ld_base_adapt to compare with the base: copies of its tensors, mapped from
   * `source`; modules_to_save as written there; and its adapter_config.json (NULL for other adapters). */
  ld_adapter_copy *copies;
  size_t n_copies;
  struct ld_safetensors *source;
  char **saved;
  size_t n_saved;
  struct ld_value *config;
  char **labels; /* of a classifier: the names of its classes in order; NULL when not known */
  size_t n_labels;
} ld_adapter;

/* The digest of what the adapter adds to its base: "2:" and 16 hexadecimal digits over modules and full
 * tensors in any order, the common rank, alpha and labels. It is the same for a PEFT folder and an HDF5 file. */
void ld_adapter_digest(const ld_adapter *adapter, char digest[LD_DIGEST_TEXT + 1]);

/* Frees the struct and everything below it (NULL is fine). */
void ld_adapter_free(ld_adapter *adapter);

/* Adds a module, or a tensor to a module. The tensor takes ownership of `data`; NULL gives zeros. The
 * returned pointer is valid until the next one is added. */
ld_adapter_module *ld_adapter_add(ld_adapter *adapter, const char *path, const char *kind);
ld_adapter_tensor *ld_adapter_put(ld_adapter_module *module, const char *role, int ndim, const int64_t *shape,
                                  float *data);

/* NULL when there is none. */
ld_adapter_module *ld_adapter_module_at(const ld_adapter *adapter, const char *path);
ld_adapter_tensor *ld_adapter_tensor_of(const ld_adapter_module *module, const char *role);

/* Sorts the modules by their paths, in which numbers compare by value; those trained in full come last. */
void ld_adapter_sort(ld_adapter *adapter);

bool ld_adapter_is_whole(const ld_adapter_module *module);

/* The number of tensors in all modules. */
size_t ld_adapter_n_tensors(const ld_adapter *adapter);

/* The number of a tensor's elements. */
int64_t ld_adapter_count(const ld_adapter_tensor *tensor);

/* alpha / rank, or alpha / sqrt(rank) with rsLoRA. */
double ld_adapter_scaling(double alpha, int rank, bool rslora);

/* Whether a text can be a module path or parameter name: UTF-8, at most 512 bytes, no empty part between
 * dots, no slash, no blank or control character. */
bool ld_adapter_path_ok(const char *path);

/* What every writer requires: valid paths, none twice, ranks and sizes above zero, each scaling as its alpha
 * and rank give it; labels in UTF-8. LD_EMISMATCH says what is wrong; `name` is the file's name in errors. */
int ld_adapter_check(const ld_adapter *adapter, const char *name, ld_error *err);

/* LD_ENUMERIC, naming the first tensor with NaN or infinite values. */
int ld_adapter_check_finite(const ld_adapter *adapter, const char *name, ld_error *err);

#endif
