#include "model/registry.h"

#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "model/build.h"
#include "model/families.h"

static const ld_family *const families[] = {&ld_gpt2,
                                            &ld_llama,
                                            &ld_mistral,
                                            &ld_qwen2,
                                            &ld_qwen3,
                                            &ld_bert,
                                            &ld_roberta,
                                            &ld_distilbert,
                                            &ld_resnet,
                                            &ld_resnet_cifar,
                                            &ld_bert_tokens,
                                            &ld_roberta_tokens,
                                            &ld_distilbert_tokens,
                                            &ld_bert_sentences,
                                            &ld_roberta_sentences,
                                            &ld_distilbert_sentences,
                                            &ld_t5,
                                            &ld_mt5,
                                            &ld_umt5,
                                            &ld_bart,
                                            &ld_mbart,
                                            &ld_pegasus,
                                            &ld_stable_diffusion,
                                            &ld_sdxl,
                                            &ld_ddpm,
                                            &ld_ddim,
                                            &ld_dit};
enum { N_FAMILIES = sizeof families / sizeof *families };

static bool serves(const ld_family *family, const char *architecture) {
  for (int i = 0; i < LD_MAX_ARCHITECTURES && family->architectures[i]; i++)
    if (!strcmp(family->architectures[i], architecture)) return true;
  return false;
}

/* The purpose of a class: "ForCausalLM" of "LlamaForCausalLM". */
static const char *purpose(const char *architecture) {
  const char *end = strstr(architecture, "For");
  return end ? end : architecture;
}

/* Whether config.json names the family's class, or one of the same purpose. */
static bool is_named(const ld_family *family, const ld_value *config) {
  const ld_value *list = ld_value_get(config, "architectures");
  for (size_t i = 0; list && i < list->n_items; i++)
    if (list->items[i].type == LD_STRING &&
        !strcmp(purpose(list->items[i].string), purpose(family->architectures[0])))
      return true;
  return false;
}

static int fail_unknown(const char *type, const char *source, ld_error *err) {
  ld_text known = {0};
  for (int i = 0; i < N_FAMILIES; i++) {
    bool listed = false;
    for (int k = 0; k < i; k++) listed = listed || !strcmp(families[k]->model_type, families[i]->model_type);
    if (!listed) ld_text_printf(&known, "%s%s", i ? ", " : "", families[i]->model_type);
  }
  ld_fail(err, LD_EUNSUPPORTED, "%s/config.json: model_type %s%s%s is not supported (known: %s)", source,
          type ? "\"" : "", type ? type : "is missing, and without it the model", type ? "\"" : "",
          known.bytes);
  ld_text_free(&known);
  return 0;
}

int ld_model_families(const ld_value *config, const char *source, const ld_family **out, ld_error *err) {
  const char *type;
  int n = 0;
  if (ld_value_string(config, "model_type", NULL, &type, err)) {
    ld_fail_prefix(err, LD_EFORMAT, "%s/config.json", source);
    return 0;
  }
  for (int i = 0; type && i < N_FAMILIES; i++) {
    if (strcmp(families[i]->model_type, type) != 0) continue;
    if (is_named(families[i], config)) {
      out[0] = families[i];
      return 1;
    }
    if (n < LD_MOST_HEADS) out[n++] = families[i];
  }
  return n ? n : fail_unknown(type, source, err);
}

/* Whether the class, of any family, has the purpose of this family's classes. */
static bool has_purpose(const ld_family *family, const char *architecture) {
  for (int i = 0; i < N_FAMILIES; i++)
    for (int k = 0; k < LD_MAX_ARCHITECTURES && families[i]->architectures[k]; k++)
      if (families[i]->head == family->head && !strcmp(families[i]->input, family->input) &&
          !strcmp(purpose(families[i]->architectures[k]), purpose(architecture)))
        return true;
  return false;
}

/* A class with another head would be trained with the wrong loss. As in transformers' automatic classes,
 * model_type decides on the family, whatever class of the same purpose is named. */
static void check_architecture(ld_builder *builder, const ld_family *family) {
  const ld_value *list = ld_value_get(builder->config, "architectures");
  if (!list || list->type != LD_LIST || !list->n_items) return;
  const char *first = list->items[0].string ? list->items[0].string : "?", *other = NULL;
  for (size_t i = 0; i < list->n_items; i++) {
    const char *name = list->items[i].string;
    if (name && serves(family, name)) return;
    if (name && !other && has_purpose(family, name)) other = name;
  }
  if (other) {
    ld_build_warn(builder,
                  "architectures \"%.64s\" is not a class of model_type \"%s\", which decides, as in "
                  "transformers",
                  other, family->model_type);
    return;
  }
  ld_text known = {0};
  for (int i = 0; i < LD_MAX_ARCHITECTURES && family->architectures[i]; i++)
    ld_text_printf(&known, "%s%s", i ? ", " : "", family->architectures[i]);
  ld_build_refuse(builder, "architectures", "\"%.64s\" is not supported for model_type \"%s\" (known: %s)",
                  first, family->model_type, known.bytes);
  ld_text_free(&known);
}

/* Accepts torch's names of types. */
static void check_dtype(ld_builder *builder, const char *key) {
  static const char *const known[] = {"float32", "float", "float16", "half", "bfloat16", "float64", "double"};
  const char *name = ld_build_string(builder, key, "float32");
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (!strcmp(known[i], name)) return;
  ld_build_refuse(builder, key, "\"%.64s\" is not a type of weights", name);
}

/* Checks the keys that all classes of transformers use. */
static void check_shared(ld_builder *builder, const ld_family *family) {
  check_architecture(builder, family);
  check_dtype(builder, "dtype");
  check_dtype(builder, "torch_dtype");
  const bool causal = family->head == LD_HEAD_NEXT_TOKEN;
  if (ld_build_flag(builder, "is_causal", causal) != causal)
    ld_build_refuse(builder, "is_causal", "must be %s for model_type \"%s\"", causal ? "true" : "false",
                    family->model_type);
  if (!ld_build_flag(builder, "return_dict", true))
    ld_build_refuse(builder, "return_dict", "must be true: transformers does not run a model without");
  if (strcmp(ld_build_string(builder, "transformers_weights", "model.safetensors"), "model.safetensors"))
    ld_build_refuse(builder, "transformers_weights",
                    "is not supported: rename that file to model.safetensors");
  if (ld_value_get(builder->config, "per_layer_config"))
    ld_build_refuse(builder, "per_layer_config", "is not supported");
  if (ld_value_get(builder->config, "quantization_config"))
    ld_build_refuse(builder, "quantization_config",
                    "asks for quantised weights; use the float32, float16 or bfloat16 model");
}

int ld_model_build(const ld_value *config, const ld_weight_store *weights, const ld_head_request *head,
                   ld_model **out, ld_error *err) {
  const ld_family *known[LD_MOST_HEADS] = {head ? head->family : NULL};
  if (!known[0]) ld_model_families(config, weights->source, known, err);
  const ld_family *family = known[0];
  if (!family) return err->code;
  ld_model *model = ld_alloc(1, sizeof *model);
  model->family = family;
  model->forced_eos = -1;
  model->default_targets = family->default_targets;
  model->default_whole = family->default_whole;
  ld_builder builder = {.model = model,
                        .config = config,
                        .whole = config,
                        .body = family->body,
                        .weights = weights,
                        .block = LD_NO_BLOCK,
                        .err = err};
  memcpy(builder.keys, family->keys, sizeof builder.keys);
  if (head) builder.request = *head;
  builder.failed = ld_config_check(config, family->keys, weights->source, err);
  check_shared(&builder, family);
  if (!builder.failed) family->build(&builder);
  if (builder.failed) {
    ld_model_free(model);
    return builder.failed;
  }
  *out = model;
  return 0;
}
