/* A LoRA adapter in memory, and its form in the ecosystem: the PEFT folder. (Its HDF5 form: io/checkpoint.h.)
 *
 * The PEFT folder is adapter_config.json and adapter_model.safetensors. Tensor names there are
 * "base_model.model." + the Hugging Face module path + ".lora_A.weight" or ".lora_B.weight"; tensors of
 * modules that were trained whole keep their path.
 * https://huggingface.co/docs/peft/developer_guides/checkpoint
 */
#ifndef LD_ADAPTER_H
#define LD_ADAPTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"
#include "base/error.h"

/* One adapted module: added weight = scaling * B A. */
typedef struct ld_adapter_module {
  char *path; /* Hugging Face module path, "model.layers.0.self_attn.q_proj" */
  int rank;
  double alpha, scaling;
  int64_t in, out;
  float *A; /* (rank, in) */
  float *B; /* (out, rank) */
} ld_adapter_module;

/* A tensor of a module that was trained whole (PEFT's modules_to_save). */
typedef struct ld_adapter_full {
  char *path; /* "classifier.weight" */
  int ndim;
  int64_t shape[LD_MAX_DIMS];
  float *data; /* a "num_batches_tracked" is an I64 scalar on disk and a float here */
} ld_adapter_full;

typedef struct ld_adapter {
  int rank; /* the common r and alpha; single modules may differ (rank_pattern, alpha_pattern) */
  double alpha, dropout;
  bool rslora;
  bool fan_in_fan_out; /* base weights stored [in, out] (GPT-2's Conv1D) */
  char *base_name;     /* base_model_name_or_path */
  char *base_digest;   /* ld_model_folder_digest; NULL when not known (PEFT folders of others) */
  char *architecture;  /* "LlamaForCausalLM"; NULL when not known */
  char *task_type;     /* "CAUSAL_LM", "SEQ_CLS"; NULL for none */
  ld_adapter_module *modules;
  size_t n_modules;
  ld_adapter_full *full;
  size_t n_full;
} ld_adapter;

/* Frees the struct and all below it (NULL is fine). */
void ld_adapter_free(ld_adapter *adapter);

/* alpha / rank, or alpha / sqrt(rank) with rsLoRA. */
double ld_adapter_scaling(double alpha, int rank, bool rslora);

/* Whether a text can be a module path or parameter name: UTF-8, at most 512 bytes, parts between dots that
 * are not empty, no slash, no blank or control character. */
bool ld_adapter_path_ok(const char *path);

/* What every writer demands: good paths, none twice, ranks and sizes above zero, each scaling that of its
 * alpha and rank. LD_EMISMATCH names what is wrong; `name` stands for the file. */
int ld_adapter_check(const ld_adapter *adapter, const char *name, ld_error *err);

/* PEFT folder (float32), written so that a killed run leaves the old one or the new one; an existing folder
 * is replaced only when it holds nothing but these two files.
 *
 * target_modules lists for each module the shortest suffix of its path that selects no other of `all_modules`
 * (all linear modules of the base) by PEFT's rule, the full path where that needs a layer's number; without
 * `all_modules` (n_all_modules 0) full paths. Where no list can do it, a regular expression. Modules with
 * another rank or alpha go into rank_pattern and alpha_pattern. LD_EUNSUPPORTED when there is no LoRA module:
 * PEFT cannot load that. */
int ld_peft_write(const char *folder, const ld_adapter *adapter, const char *const *all_modules,
                  size_t n_all_modules, ld_error *err);

/* Reads any PEFT LoRA folder (F32, F16, BF16). Modules come in the order of their names, numbers by value.
 * Strict: unknown keys in the safetensors file (a copy of an adapted module's base_layer.weight is passed
 * over), a lora_A without its lora_B, a shape that does not fit its rank are errors. LD_EUNSUPPORTED, naming
 * the field, for what would change the numbers and is not known: use_dora, lora_bias, bias other than none,
 * other peft_type, layer_replication, ...; also for an unknown field that is switched on. */
int ld_peft_read(const char *folder, ld_adapter **out, ld_error *err);

/* The same from the two files' bytes. */
int ld_peft_parse(const char *config, size_t config_length, const void *tensors, size_t tensors_length,
                  const char *name, ld_adapter **out, ld_error *err);

#endif
