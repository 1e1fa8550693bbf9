/* Adapter files of image generators: diffusers', kohya's, and PEFT's folders of parts. The files in golden/files
 * are diffusers' own; each has the layers that it was saved from (make_lora_files.py). */
#include "adapters.h"
#include "scratch.h"

#include <math.h>

#include "io/hub/adapter_formats.h"
#include "io/hub/component.h"
#include "io/hub/diffusers_lora.h"
#include "io/hub/kohya.h"
#include "io/hub/kohya_names.h"
#include "io/hub/safetensors.h"

#define FILES LD_TESTS_DIR "/golden/files/"

static const char *const cases[] = {"lora_sd",   "lora_sd_dora",  "lora_sd_plain",      "lora_sd_old",
                                    "lora_sdxl", "lora_kohya_sd", "lora_kohya_sd_dora", "lora_kohya_sdxl"};

enum { N_CASES = sizeof cases / sizeof *cases };

/* The base's modules of a case, one a line. */
typedef struct modules {
  char *text;
  const char **paths;
  size_t n;
} modules;

static modules read_modules(const char *folder) {
  modules m = {0};
  size_t length, room = 0;
  char *file = ld_path_join(folder, "modules.txt"), *bytes = scratch_read(file, &length);
  m.text = ld_strndup(bytes, length);
  for (char *line = strtok(m.text, "\n"); line; line = strtok(NULL, "\n")) {
    m.paths = ld_grow(m.paths, m.n, &room, sizeof *m.paths);
    m.paths[m.n++] = line;
  }
  free(bytes), free(file);
  return m;
}

static void free_modules(modules *m) {
  free(m->text), free(m->paths);
}

static ld_adapter *read_at(const char *path, const modules *m) {
  ld_adapter *adapter = NULL;
  ld_error err = {0};
  const ld_adapter_format *format = ld_adapter_format_at(path);
  cr_assert(format, "%s", path);
  const ld_adapter_context context = {ld_adapter_forms(), m ? m->paths : NULL, m ? m->n : 0};
  cr_assert_eq(format->read(path, &context, &adapter, &err), 0, "%s", err.text);
  return adapter;
}

static void check_tensor(const ld_safetensors *expected, const ld_adapter_module *m,
                         const ld_adapter_tensor *t) {
  char *name = ld_format("%s.%s", m->path, t->role);
  const ld_stored *stored = ld_safetensors_find(expected, name);
  cr_assert(stored, "%s", name);
  cr_assert_eq(stored->ndim, t->ndim, "%s", name);
  for (int d = 0; d < t->ndim; d++) cr_assert_eq(stored->shape[d], t->shape[d], "%s", name);
  cr_assert_eq(memcmp(stored->data, t->data, (size_t)ld_adapter_count(t) * sizeof *t->data), 0, "%s", name);
  free(name);
}

static void check_scaling(const ld_safetensors *expected, const ld_adapter_module *m, const char *from) {
  char *name = ld_format("%s.scaling", m->path);
  const ld_stored *stored = ld_safetensors_find(expected, name);
  cr_assert(stored, "%s: %s", from, name);
  const double scaling = *(const double *)stored->data;
  cr_assert_float_eq(m->scaling, scaling, 1e-7 * scaling, "%s: %s", from, m->path);
  free(name);
}

/* Equal tensors and scales, none missing. */
static void check_layers(const ld_adapter *adapter, const char *folder, const char *from) {
  char *file = ld_path_join(folder, "expected.safetensors");
  ld_safetensors *expected;
  ld_error err = {0};
  cr_assert_eq(ld_safetensors_open(file, &expected, &err), 0, "%s", err.text);
  cr_assert_eq(ld_safetensors_count(expected), ld_adapter_n_tensors(adapter) + adapter->n_modules, "%s",
               from);
  for (size_t i = 0; i < adapter->n_modules; i++) {
    const ld_adapter_module *m = &adapter->modules[i];
    check_scaling(expected, m, from);
    for (size_t k = 0; k < m->n_tensors; k++) check_tensor(expected, m, &m->tensors[k]);
  }
  ld_safetensors_close(expected);
  free(file);
}

Test(lora_files, read_what_diffusers_and_kohya_wrote) {
  for (size_t c = 0; c < N_CASES; c++) {
    char *folder = ld_format(FILES "%s", cases[c]);
    modules m = read_modules(folder);
    ld_adapter *adapter = read_at(folder, &m);
    check_layers(adapter, folder, cases[c]);
    ld_adapter_free(adapter);
    free_modules(&m);
    free(folder);
  }
}

/* Every case in every format, and back: the same layers, and the same digest where the common rank is stored. */
Test(lora_files, written_and_read_again) {
  char *scratch = scratch_new();
  for (size_t c = 0; c < N_CASES; c++)
    for (size_t f = 0; ld_adapter_formats[f]; f++) {
      char *folder = ld_format(FILES "%s", cases[c]),
           *out = ld_format("%s/%zu-%zu.safetensors", scratch, c, f);
      modules m = read_modules(folder);
      ld_error err = {0};
      ld_adapter *adapter = read_at(folder, &m);
      const ld_adapter_context context = {ld_adapter_forms(), m.paths, m.n};
      cr_assert_eq(ld_adapter_formats[f]->check(adapter, &context, "it", &err), 0, "%s", err.text);
      cr_assert_eq(ld_adapter_formats[f]->write(out, adapter, &context, &err), 0, "%s", err.text);
      cr_assert_eq(ld_adapter_format_at(out), ld_adapter_formats[f], "%s", out);
      ld_adapter *again = read_at(out, &m);
      check_layers(again, folder, ld_adapter_formats[f]->name);
      ld_adapter_free(adapter), ld_adapter_free(again);
      free_modules(&m);
      free(folder), free(out);
    }
  scratch_end(scratch);
}

Test(lora_files, an_image_generator_has_its_own_format) {
  ld_adapter *adapter = new_adapter();
  cr_assert_str_eq(ld_adapter_format_for(adapter)->name, "peft");
  add_lora(adapter, "unet.conv_in", 1, 2, 2);
  add_lora(adapter, "transformer.transformer_blocks.0.attn1.to_q", 1, 2, 2);
  cr_assert_str_eq(ld_adapter_format_for(adapter)->name, "diffusers");
  add_lora(adapter, "transformer.h.0.attn.c_attn", 1, 2, 2);
  cr_assert_str_eq(ld_adapter_format_for(adapter)->name, "peft");
  cr_assert(ld_adapter_format_has(&ld_adapter_format_diffusers, "pytorch_lora_weights.safetensors"));
  cr_assert(!ld_adapter_format_has(&ld_adapter_format_peft, "pytorch_lora_weights.safetensors"));
  ld_adapter_free(adapter);
}

/* Names of SDXL, known from files that others wrote for it: two steps a block, three on the way up. */
Test(lora_files, first_layout_of_sdxl) {
  static const char *const rows[][2] = {
      {"unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q",
       "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q"},
      {"unet.down_blocks.2.attentions.1.proj_in", "lora_unet_input_blocks_8_1_proj_in"},
      {"unet.mid_block.attentions.0.proj_out", "lora_unet_middle_block_1_proj_out"},
      {"unet.mid_block.resnets.1.conv2", "lora_unet_middle_block_2_out_layers_3"},
      {"unet.up_blocks.0.attentions.2.proj_in", "lora_unet_output_blocks_2_1_proj_in"},
      {"unet.up_blocks.1.attentions.0.proj_in", "lora_unet_output_blocks_3_1_proj_in"},
      {"unet.up_blocks.2.resnets.2.conv1", "lora_unet_output_blocks_8_0_in_layers_2"},
      {"text_encoder.text_model.encoder.layers.1.mlp.fc1", "lora_te1_text_model_encoder_layers_1_mlp_fc1"},
      {"text_encoder_2.text_projection", "lora_te2_text_projection"}};
  modules m = read_modules(FILES "lora_sdxl");
  ld_kohya_names *names = ld_kohya_names_new(m.paths, m.n);
  const char *several;
  cr_assert(ld_kohya_is_xl(names));
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    char *name = ld_kohya_name(names, rows[i][0]);
    cr_assert(name && !strcmp(name, rows[i][1]), "%s: %s", rows[i][0], name ? name : "(none)");
    cr_assert_str_eq(ld_kohya_module(names, name, &several), rows[i][0]);
    free(name);
  }
  ld_kohya_names_free(names);
  free_modules(&m);
}

/* All of the modules of a base have names of their own in every spelling. */
Test(lora_files, every_module_has_a_name) {
  static const char *const folders[] = {FILES "lora_sd", FILES "lora_sdxl"};
  for (size_t f = 0; f < 2; f++) {
    modules m = read_modules(folders[f]);
    ld_kohya_names *names = ld_kohya_names_new(m.paths, m.n);
    const char *several;
    for (size_t i = 0; i < m.n; i++) {
      char *name = ld_kohya_name(names, m.paths[i]);
      cr_assert(name, "%s", m.paths[i]);
      cr_assert_str_eq(ld_kohya_module(names, name, &several), m.paths[i], "%s", name);
      free(name);
    }
    ld_kohya_names_free(names);
    free_modules(&m);
  }
}

/* A file with these names of tensors, all with this shape, and metadata. */
typedef struct made {
  const char *names[6];
  int ndim;
  int64_t shape[4];
  const char *metadata;
  const char *error; /* what the message says; NULL: it is read */
} made;

static void make_file(const char *path, const made *m) {
  static const float ones[64] = {1, 1, 1, 1};
  ld_named tensors[6];
  size_t n = 0;
  for (; n < 6 && m->names[n]; n++) {
    tensors[n] = (ld_named){.name = m->names[n], .tensor = {.data = ones, .dtype = LD_F32, .ndim = m->ndim}};
    memcpy(tensors[n].tensor.shape, m->shape, sizeof m->shape);
    if (strstr(m->names[n], "alpha")) tensors[n].tensor.ndim = 0;
  }
  const ld_note note = {LD_DIFFUSERS_METADATA, m->metadata};
  cr_assert_eq(ld_safetensors_write_noted(path, tensors, n, &note, 1, NULL), 0);
}

static void check_made(const made *list, size_t n) {
  static const char *const paths[] = {"unet.a.b_c", "unet.a_b.c", "unet.conv_in", "unet.down_blocks.0.x"};
  char *scratch = scratch_new(), *path = ld_path_join(scratch, "one.safetensors");
  for (size_t i = 0; i < n; i++) {
    ld_error err = {0};
    ld_adapter *adapter = NULL;
    make_file(path, &list[i]);
    const ld_adapter_context context = {ld_adapter_forms(), (const char **)(uintptr_t)paths, 4};
    const int rc = ld_adapter_format_at(path)->read(path, &context, &adapter, &err);
    if (!list[i].error) cr_assert_eq(rc, 0, "%zu: %s", i, err.text);
    if (list[i].error) cr_assert(rc && !adapter && strstr(err.text, list[i].error), "%zu: '%s'", i, err.text);
    cr_assert(!rc || !strncmp(err.text, path, strlen(path)), "%zu: %s", i, err.text);
    ld_adapter_free(adapter);
  }
  free(path);
  scratch_end(scratch);
}

#define A "unet.conv_in.lora_A.weight"
#define B "unet.conv_in.lora_B.weight"
#define SQUARE                                                                                               \
  2, {                                                                                                       \
    2, 2                                                                                                     \
  }

Test(lora_files, diffusers_files_that_are_refused) {
  static const made list[] = {
      {{A, B}, SQUARE, NULL, NULL},
      {{A, B, "unet.conv_in.alpha"}, SQUARE, NULL, NULL},
      {{"conv_in.lora_A.weight", "conv_in.lora_B.weight"},
       SQUARE,
       "{\"peft_type\": \"LORA\", \"r\": 2}",
       NULL},
      {{A}, SQUARE, NULL, "has a lora_A but no lora_B"},
      {{B}, SQUARE, NULL, "has a lora_B but no lora_A"},
      {{"unet.conv_in.alpha"}, SQUARE, NULL, "has an alpha but no lora_A"},
      {{A, B, "unet.conv_in.lora.down.weight"}, SQUARE, NULL, "is the second lora_A"},
      {{A, B, "unet.conv_in.bias"}, SQUARE, NULL, "'unet.conv_in.bias' is not a tensor"},
      {{"base_model.model.conv_in.lora_A.weight"}, SQUARE, NULL, "give the folder with adapter_config.json"},
      {{"layers.0.lora_A.weight"}, SQUARE, NULL, "does not say which part"},
      {{A, B}, 2, {2, 3}, NULL, "lora_B"},
      {{A, B}, 1, {2}, NULL, "must be matrices"},
      {{A, B}, SQUARE, "[]", "expected a JSON object"},
      {{A, B}, SQUARE, "{", "lora_adapter_metadata"},
      {{A, B}, SQUARE, "{\"transformer.peft_type\": \"LORA\"}", "of unet: is missing"},
      {{A, B}, SQUARE, "{\"unet.peft_type\": \"IA3\"}", "of unet: peft_type: 'IA3'"},
      {{A, B}, SQUARE, "{\"unet.peft_type\": \"LORA\", \"unet.r\": 3}", "its rank is 3"},
      {{A, B}, SQUARE, "{\"unet.peft_type\": \"LORA\", \"unet.r\": 0}", "0 is not a rank"},
      {{A, B},
       SQUARE,
       "{\"unet.peft_type\": \"LORA\", \"unet.r\": 2, \"unet.lora_alpha\": \"x\"}",
       "lora_alpha"},
      {{A, B}, SQUARE, "{\"unet.peft_type\": \"LORA\", \"unet.r\": 2, \"unet.use_dora\": true}", "kind dora"},
      {{A, B, "unet.conv_in.alpha"},
       SQUARE,
       "{\"unet.peft_type\": \"LORA\", \"unet.r\": 2}",
       "both as a tensor"},
  };
  check_made(list, sizeof list / sizeof *list);
}

#define DOWN "lora_unet_conv_in.lora_down.weight"
#define UP "lora_unet_conv_in.lora_up.weight"

Test(lora_files, kohya_files_that_are_refused) {
  static const made list[] = {
      {{DOWN, UP}, SQUARE, NULL, NULL},
      {{DOWN, UP, "lora_unet_conv_in.alpha"}, SQUARE, NULL, NULL},
      {{DOWN}, SQUARE, NULL, "has a lora_A but no lora_B"},
      {{DOWN, UP, "lora_unet_conv_in.lora_mid.weight"}, SQUARE, NULL, "not supported"},
      {{"lora_unet_conv_in.hada_w1_a"}, SQUARE, NULL, "LoHa"},
      {{DOWN, UP, "lora_unet_conv_in.dora_scale"}, 2, {4, 4}, NULL, "dora_scale"},
      {{DOWN, UP, "lora_unet_nowhere.alpha", "lora_unet_other.alpha"},
       SQUARE,
       NULL,
       "2 of its 4 tensors fit no module of the base, the first is 'lora_unet_nowhere.alpha'"},
      {{"lora_unet_a_b_c.lora_down.weight"}, SQUARE, NULL, "name of several modules"},
  };
  check_made(list, sizeof list / sizeof *list);
}

Test(lora_files, kohya_needs_the_base) {
  ld_adapter *adapter = NULL;
  ld_error err = {0};
  cr_assert_eq(ld_kohya_read(FILES "lora_kohya_sd", ld_adapter_forms(), NULL, 0, &adapter, &err),
               LD_EUNSUPPORTED);
  cr_assert(strstr(err.text, "give --model"), "%s", err.text);
  adapter = new_adapter();
  add_lora(adapter, "unet.conv_in", 1, 2, 2);
  cr_assert_eq(ld_kohya_write("never.safetensors", adapter, NULL, 0, &err), LD_EUNSUPPORTED);
  cr_assert(strstr(err.text, "--model"), "%s", err.text);
  ld_adapter_free(adapter);
}

Test(lora_files, what_cannot_be_written) {
  static const char *const paths[] = {"unet.conv_in"};
  const ld_adapter_context context = {ld_adapter_forms(), (const char **)(uintptr_t)paths, 1};
  ld_adapter *language = new_adapter(), *full = new_adapter();
  ld_error err = {0};
  add_lora(language, "transformer.h.0.attn.c_attn", 1, 2, 2);
  ld_adapter_put(ld_adapter_add(full, "unet.conv_in", LD_ADAPTER_WHOLE), "weight", 1, (int64_t[]){2}, NULL);
  cr_assert_eq(ld_adapter_format_diffusers.write("never", language, &context, &err), LD_EUNSUPPORTED);
  cr_assert(strstr(err.text, "'transformer.h.0.attn.c_attn' is in no part"), "%s", err.text);
  cr_assert_eq(ld_adapter_format_kohya.write("never.safetensors", language, &context, &err), LD_EUNSUPPORTED);
  cr_assert(strstr(err.text, "has no name"), "%s", err.text);
  cr_assert_eq(ld_adapter_format_kohya.write("never", language, &context, &err), LD_EUSAGE);
  cr_assert_eq(ld_adapter_format_diffusers.write("never", full, &context, &err), LD_EUNSUPPORTED);
  cr_assert_eq(ld_adapter_format_kohya.write("never.safetensors", full, &context, &err), LD_EUNSUPPORTED);
  cr_assert(strstr(err.text, "trained in full"), "%s", err.text);
  ld_adapter_free(language), ld_adapter_free(full);
}

/* rsLoRA's scale survives in kohya's alpha. */
Test(lora_files, rslora_becomes_an_alpha) {
  static const char *const paths[] = {"unet.conv_in"};
  char *scratch = scratch_new(), *file = ld_path_join(scratch, "one.safetensors");
  const ld_adapter_context context = {ld_adapter_forms(), (const char **)(uintptr_t)paths, 1};
  ld_adapter *adapter = new_adapter(), *again;
  ld_error err = {0};
  adapter->rslora = true, adapter->rank = 4, adapter->alpha = 8;
  ld_adapter_module *m = add_lora(adapter, "unet.conv_in", 4, 2, 2);
  m->scaling = 4;
  cr_assert_eq(ld_adapter_format_kohya.write(file, adapter, &context, &err), 0, "%s", err.text);
  cr_assert_eq(ld_adapter_format_kohya.read(file, &context, &again, &err), 0, "%s", err.text);
  cr_assert(!again->rslora && again->modules[0].scaling == 4 && again->modules[0].alpha == 16);
  ld_adapter_free(adapter), ld_adapter_free(again);
  free(file);
  scratch_end(scratch);
}
