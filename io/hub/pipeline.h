/* A diffusers folder: model_index.json names the class of a pipeline and its components, each of which is a
 * folder of its own:
 *
 *   model_index.json  {"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"], ...}
 *   unet/             config.json  diffusion_pytorch_model.safetensors
 *   text_encoder/     config.json  model.safetensors
 *   scheduler/        scheduler_config.json
 *   tokenizer/        vocab.json  merges.txt ...
 *
 * Here it is one model, whose tensors have their component's name before their own: "unet.conv_in.weight". */
#ifndef LD_PIPELINE_H
#define LD_PIPELINE_H

#include <stdbool.h>

#include "base/error.h"
#include "base/value.h"

#define LD_PIPELINE_INDEX "model_index.json"

/* A component that is read. Others (a safety checker, a feature extractor) are ignored. */
typedef struct ld_pipeline_part {
  const char *name;    /* its folder */
  const char *config;  /* its config file; NULL: none */
  const char *weights; /* the name of its files of weights up to ".safetensors"; NULL: none */
} ld_pipeline_part;

extern const ld_pipeline_part ld_pipeline_parts[]; /* the name is NULL after the last */

/* Whether the folder is one of diffusers. */
bool ld_pipeline_is(const char *folder);

/* Reads the index and the configs of its components into one map: {"model_type": the pipeline's class, "unet":
 * {...}, "scheduler": {...}, ..., "id2label": the names of classes}; components without a config file are empty maps,
 * and those that the index does not name, or names as null, are missing. Flags of the index are members too. The caller
 * frees. LD_EFILE or LD_EFORMAT names the component. */
int ld_pipeline_read(const char *folder, ld_value **out, ld_error *err);

#endif
