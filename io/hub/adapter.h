/* An adapter in memory, and its form in the ecosystem: the PEFT folder. (Its HDF5 form: io/state/checkpoint.h.)
 *
 * The PEFT folder is adapter_config.json and adapter_model.safetensors. Tensor names there are
 * "base_model.model." + the Hugging Face module path + ".lora_A.weight" or ".lora_B.weight"; tensors of
 * modules that were trained whole keep their path. Ours may hold a third file, which PEFT passes over:
 * labels.json, the names of a classifier's classes in the form of Hugging Face's id2label.
 * https://huggingface.co/docs/peft/developer_guides/checkpoint
 */
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

/* A trained tensor of a module, in the shape that PEFT's file has. */
typedef struct ld_adapter_tensor {
  char *role; /* "lora_A", "lora_B"; of a module that is trained in full "weight", "bias", ... */
  int ndim;
  int64_t shape[LD_MAX_DIMS];
  float *data; /* a "num_batches_tracked" is an I64 scalar in PEFT's file and a float here */
} ld_adapter_tensor;

/* What is trained of one module. */
typedef struct ld_adapter_module {
  char *path; /* Hugging Face module path, "model.layers.0.self_attn.q_proj" */
  char *kind; /* "lora", ...: a kind of src/adapt */
  int rank;   /* of a kind of low rank; 0 of others, as the next two */
  double alpha, scaling;
  ld_adapter_tensor *tensors; /* in the order of the kind's roles */
  size_t n_tensors, room_tensors;
} ld_adapter_module;

/* How a kind of adapter stands in a PEFT folder. The kinds themselves are in src/adapt; the PEFT reader and writer
 * are given a list of these, NULL after the last. */
typedef struct ld_adapter_form {
  const char *kind;
  const char *flag; /* of adapter_config.json, which asks for this kind: "use_dora"; NULL: no flag is on */
  struct {
    const char *role, *key; /* "lora_A", and its name in the file after the module's path: "lora_A.weight" */
  } roles[LD_ADAPTER_ROLES + 1]; /* all of the kind's, in order; {NULL, NULL} after the last */
  /* Whether the module's tensors, which are all there, fit each other and its rank. */
  int (*check)(const ld_adapter_module *module, const char *name, ld_error *err);
} ld_adapter_form;

/* A frozen tensor of the base of which the adapter's file has a copy. */
typedef struct ld_adapter_copy {
  char *path; /* the base's name, "lm_head.weight" */
  ld_stored tensor;
  bool of_adapted; /* it stands in the file as what an adapter changes: "lm_head.base_layer.weight" */
} ld_adapter_copy;

typedef struct ld_adapter {
  int rank; /* the common r and alpha; single modules may differ (rank_pattern, alpha_pattern) */
  double alpha, dropout;
  bool rslora;
  bool fan_in_fan_out; /* base weights stored [in, out] (GPT-2's Conv1D) */
  char *base_name;     /* base_model_name_or_path */
  char *base_digest; /* ld_model_folder_digest; NULL when not known (PEFT folders of others); in ours it is in
                        the metadata of adapter_model.safetensors */
  char *architecture;         /* "LlamaForCausalLM"; NULL when not known */
  char *task_type;            /* "CAUSAL_LM", "SEQ_CLS"; NULL for none */
  ld_adapter_module *modules; /* those that are trained in full last */
  size_t n_modules, room_modules;
  /* Of a PEFT folder, for ld_base_adapt to compare with the base: copies of its tensors, mapped from `source`;
   * modules_to_save as it stands there; and its adapter_config.json (NULL of other adapters). */
  ld_adapter_copy *copies;
  size_t n_copies;
  struct ld_safetensors *source;
  char **saved;
  size_t n_saved;
  struct ld_value *config;
  char **labels; /* of a classifier: the names of its classes in order; NULL when not known */
  size_t n_labels;
} ld_adapter;

/* The digest of what the adapter adds to its base: "2:" and 16 hexadecimal digits over modules and full tensors
 * in any order, the common rank, alpha and labels. The same from a PEFT folder and from an HDF5 file. */
void ld_adapter_digest(const ld_adapter *adapter, char digest[LD_DIGEST_TEXT + 1]);

/* Frees the struct and all below it (NULL is fine). */
void ld_adapter_free(ld_adapter *adapter);

/* Adds a module, and a tensor to one, which takes over `data`, or has zeros when that is NULL. What is returned is
 * valid until the next is added. */
ld_adapter_module *ld_adapter_add(ld_adapter *adapter, const char *path, const char *kind);
ld_adapter_tensor *ld_adapter_put(ld_adapter_module *module, const char *role, int ndim, const int64_t *shape,
                                  float *data);

/* NULL when there is none. */
ld_adapter_module *ld_adapter_module_at(const ld_adapter *adapter, const char *path);
ld_adapter_tensor *ld_adapter_tensor_of(const ld_adapter_module *module, const char *role);

bool ld_adapter_is_whole(const ld_adapter_module *module);

/* The tensors of all modules. */
size_t ld_adapter_n_tensors(const ld_adapter *adapter);

/* The count of a tensor's elements. */
int64_t ld_adapter_count(const ld_adapter_tensor *tensor);

/* alpha / rank, or alpha / sqrt(rank) with rsLoRA. */
double ld_adapter_scaling(double alpha, int rank, bool rslora);

/* Whether a text can be a module path or parameter name: UTF-8, at most 512 bytes, parts between dots that
 * are not empty, no slash, no blank or control character. */
bool ld_adapter_path_ok(const char *path);

/* What every writer demands: good paths, none twice, ranks and sizes above zero, each scaling that of its alpha
 * and rank; labels in UTF-8. LD_EMISMATCH names what is wrong; `name` stands for the file. */
int ld_adapter_check(const ld_adapter *adapter, const char *name, ld_error *err);

/* LD_ENUMERIC, naming the first tensor that holds NaN or infinite values. */
int ld_adapter_check_finite(const ld_adapter *adapter, const char *name, ld_error *err);

#endif
