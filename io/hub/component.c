#include "io/hub/component.h"

#include <string.h>

#include "base/memory.h"

const char *const ld_component_names[] = {"unet",           "transformer",    "text_encoder",
                                          "text_encoder_2", "text_encoder_3", NULL};

/* The first names within a part that are not those of a language model. */
static const struct {
  const char *component, *name;
} names[] = {
    {"unet", "down_blocks"},
    {"unet", "mid_block"},
    {"unet", "up_blocks"},
    {"unet", "conv_in"},
    {"unet", "conv_out"},
    {"unet", "time_embedding"},
    {"unet", "add_embedding"},
    {"unet", "class_embedding"},
    {"transformer", "transformer_blocks"},
    {"transformer", "single_transformer_blocks"},
    {"transformer", "proj_in"},
    {"transformer", "proj_out"},
    {"transformer", "proj_out_1"},
    {"transformer", "proj_out_2"},
    {"transformer", "pos_embed"},
    {"transformer", "x_embedder"},
    {"transformer", "context_embedder"},
    {"transformer", "time_text_embed"},
    {"transformer", "adaln_single"},
    {"transformer", "caption_projection"},
    {"transformer", "norm_out"},
    {"text_encoder", "text_model"},
};

/* What follows the first name of a path; NULL when that is not `name`. */
static const char *after(const char *path, const char *name) {
  const size_t length = strlen(name);
  return !strncmp(path, name, length) && path[length] == '.' ? path + length + 1 : NULL;
}

static bool begins(const char *path, const char *name) {
  return !strcmp(path, name) || after(path, name);
}

const char *ld_component_guess(const char *path) {
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (begins(path, names[i].name)) return names[i].component;
  return NULL;
}

/* Language models have a "transformer" too. */
const char *ld_component_of(const char *path) {
  for (size_t i = 0; ld_component_names[i]; i++) {
    const char *rest = after(path, ld_component_names[i]);
    if (!rest) continue;
    if (strcmp(ld_component_names[i], "transformer") != 0) return ld_component_names[i];
    const char *guess = ld_component_guess(rest);
    return guess && !strcmp(guess, "transformer") ? ld_component_names[i] : NULL;
  }
  return NULL;
}

const char *ld_component_short(const char *path) {
  const char *rest = after(path, "text_model");
  return rest ? rest : path;
}

char *ld_component_long(const char *component, const char *path) {
  const bool is_short = !strncmp(component, "text_encoder", 12) && !strncmp(path, "encoder.layers.", 15);
  return ld_format("%s.%s%s", component, is_short ? "text_model." : "", path);
}

bool ld_component_all(const ld_adapter *adapter) {
  for (size_t i = 0; i < adapter->n_modules; i++)
    if (!ld_component_of(adapter->modules[i].path)) return false;
  return adapter->n_modules > 0;
}

ld_adapter ld_component_view(const ld_adapter *adapter, const char *component) {
  ld_adapter view = *adapter;
  view.modules = ld_alloc(adapter->n_modules, sizeof *view.modules);
  view.n_modules = 0;
  for (size_t i = 0; i < adapter->n_modules; i++) {
    const char *of = ld_component_of(adapter->modules[i].path);
    if (!of || strcmp(of, component) != 0) continue;
    ld_adapter_module *module = &view.modules[view.n_modules++];
    *module = adapter->modules[i];
    module->path += strlen(component) + 1;
  }
  return view;
}
