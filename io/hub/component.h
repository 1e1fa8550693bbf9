/* The parts of an image generator: unet, text_encoder, ... A diffusers folder has a folder for each, and the
 * paths of its modules begin with that name: "unet.conv_in". */
#ifndef LD_COMPONENT_H
#define LD_COMPONENT_H

#include "io/hub/adapter.h"

/* The parts that an adapter can change; NULL after the last. */
extern const char *const ld_component_names[];

/* The part that a module path lies in; NULL for a path of another kind of model, such as GPT-2's
 * "transformer.h.0.attn.c_attn". */
const char *ld_component_of(const char *path);

/* The part of a path that does not begin with one, by the names that diffusers' networks use; NULL where
 * these do not tell. */
const char *ld_component_guess(const char *path);

/* CLIP's text model is below "text_model." on disk, in CLIPTextModelWithProjection and before transformers 5; its
 * CLIPTextModel has the layers at the top. Here the paths are those on disk. This gives the path of a module
 * of a part without "text_model." (inside `path`), and the full path for one with or without it, which the
 * caller frees. */
const char *ld_component_short(const char *path);
char *ld_component_long(const char *component, const char *path);

/* Whether the adapter is of an image generator: all its modules lie in parts. */
bool ld_component_all(const ld_adapter *adapter);

/* A view of the adapter's modules in one part, with paths as they are within it. It borrows everything but
 * the array of modules: `free(view.modules)` is all there is to free. */
ld_adapter ld_component_view(const ld_adapter *adapter, const char *component);

#endif
