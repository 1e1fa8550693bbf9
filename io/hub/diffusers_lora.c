#include "io/hub/diffusers_lora.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/value.h"
#include "io/file.h"
#include "io/hub/component.h"
#include "io/hub/lora_file.h"
#include "io/hub/peft_config.h"
#include "io/hub/peft_saved.h"
#include "io/hub/safetensors.h"
#include "io/json.h"

#define METADATA LD_DIFFUSERS_METADATA
#define TEXT_ENCODER "text_encoder"

enum { MOST_PARTS = 6 };

/* The settings of one part, from the metadata. */
typedef struct part {
  char *component; /* "" for members and tensors without a prefix */
  ld_value config; /* a map; LD_NULL without metadata */
  size_t room;
  char *name; /* of the settings in errors */
} part;

typedef struct reader {
  ld_lora_file file;
  const ld_safetensors *tensors;
  part parts[MOST_PARTS]; /* those of ld_component_names and "" */
  size_t n_parts;
  bool has_metadata;
} reader;

/* How the names of tensors end. */
static const struct {
  const char *end, *role;
} ends[] = {
    {".lora_A.weight", "lora_A"},
    {".lora_B.weight", "lora_B"},
    {".lora.down.weight", "lora_A"},
    {".lora.up.weight", "lora_B"},
    {".lora_linear_layer.down.weight", "lora_A"},
    {".lora_linear_layer.up.weight", "lora_B"},
    {"_lora.down.weight", "lora_A"},
    {"_lora.up.weight", "lora_B"},
    {".lora_magnitude_vector.weight", "lora_magnitude_vector"},
    {".lora_magnitude_vector", "lora_magnitude_vector"},
    {".lora.alpha", LD_LORA_ALPHA},
    {".alpha", LD_LORA_ALPHA},
};

/* The role of a key; *path receives the rest, which the caller frees. NULL for none. */
static const char *role_of(const char *key, char **path) {
  const size_t length = strlen(key);
  for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
    const size_t n = strlen(ends[i].end);
    if (length <= n || strcmp(key + length - n, ends[i].end) != 0) continue;
    *path = ld_strndup(key, length - n);
    return ends[i].role;
  }
  return NULL;
}

static bool begins(const char *text, const char *with) {
  return !strncmp(text, with, strlen(with));
}

/* Old files name an attention's processor, to which its matrices belonged. */
static void remove_processor(char *path) {
  static const char processor[] = ".processor.";
  char *at = strstr(path, processor);
  if (at) memmove(at + 1, at + sizeof processor - 1, strlen(at + sizeof processor - 1) + 1);
}

/* The full path of a module, as diffusers and transformers name it today; the caller frees. */
static char *modern_path(const char *component, const char *spelled) {
  static const char *const text[][2] = {
      {".to_q", ".q_proj"}, {".to_k", ".k_proj"}, {".to_v", ".v_proj"}, {".to_out", ".out_proj"}};
  const bool is_text = begins(component, TEXT_ENCODER);
  char *path = ld_strdup(spelled);
  remove_processor(path);
  const char *dot = strrchr(path, '.'), *end = dot ? dot : "";
  const char *last = end;
  for (size_t i = 0; is_text && i < sizeof text / sizeof *text; i++)
    if (!strcmp(end, text[i][0])) last = text[i][1];
  if (!is_text && !strcmp(end, ".to_out")) last = ".to_out.0";
  char *modern = ld_format("%.*s%s", (int)(strlen(path) - strlen(end)), path, last);
  char *full = ld_component_long(component, modern);
  free(modern);
  free(path);
  return full;
}

static part *part_of(reader *r, const char *component) {
  for (size_t i = 0; i < r->n_parts; i++)
    if (!strcmp(r->parts[i].component, component)) return &r->parts[i];
  return NULL;
}

/* The part whose name the text begins with, else the one without a name; *rest is what follows. */
static part *split(reader *r, const char *text, const char **rest) {
  for (size_t i = 0; i < r->n_parts; i++) {
    const size_t length = strlen(r->parts[i].component);
    if (!length || !begins(text, r->parts[i].component) || text[length] != '.') continue;
    *rest = text + length + 1;
    return &r->parts[i];
  }
  *rest = text;
  return part_of(r, "");
}

static void make_parts(reader *r) {
  for (size_t i = 0; i < MOST_PARTS; i++) {
    const char *component = ld_component_names[i] ? ld_component_names[i] : "";
    part *p = &r->parts[r->n_parts++];
    p->component = ld_strdup(component);
    p->name = ld_format("%s: " METADATA "%s%s", r->file.name, *component ? " of " : "", component);
    if (!ld_component_names[i]) break;
  }
}

static void free_parts(reader *r) {
  for (size_t i = 0; i < r->n_parts; i++) {
    free(r->parts[i].component);
    free(r->parts[i].name);
    ld_value_clear(&r->parts[i].config);
  }
}

/* Moves each member of the metadata to its part. */
static void sort_members(reader *r, ld_value *tree) {
  for (size_t i = 0; i < tree->n_items; i++) {
    const char *rest;
    ld_value *from = &tree->items[i];
    part *p = split(r, from->key, &rest);
    p->config.type = LD_MAP;
    ld_value *to = ld_value_add(&p->config, ld_strdup(rest), &p->room);
    char *key = to->key;
    *to = *from;
    to->key = key;
    *from = (ld_value){.type = LD_NULL, .key = from->key};
  }
}

/* The common rank and alpha are those of the first part with settings. */
static int follow_common(reader *r, const part *p) {
  ld_adapter *a = r->file.adapter, own = {0};
  int rc = ld_peft_config_common(&p->config, p->name, &own, r->file.err);
  if (rc) return rc;
  if (a->rank && own.rslora != a->rslora)
    return ld_fail(r->file.err, LD_EUNSUPPORTED, "%s: use_rslora differs from that of another part", p->name);
  if (a->rank) return 0;
  a->rank = own.rank;
  a->alpha = own.alpha;
  a->dropout = own.dropout;
  a->rslora = own.rslora;
  return 0;
}

static int read_metadata(reader *r) {
  const char *text = ld_safetensors_metadata(r->tensors, METADATA);
  if (!text) return 0;
  char *name = ld_format("%s: " METADATA, r->file.name);
  ld_value *tree = ld_json_parse(text, strlen(text), name, r->file.err);
  int rc = tree ? 0 : LD_EFORMAT;
  if (!rc && tree->type != LD_MAP) rc = ld_fail(r->file.err, LD_EFORMAT, "%s: expected a JSON object", name);
  if (!rc) sort_members(r, tree);
  r->has_metadata = !rc;
  ld_value_free(tree);
  free(name);
  for (size_t i = 0; i < r->n_parts && !rc; i++) {
    const part *p = &r->parts[i];
    if (p->config.type != LD_MAP) continue;
    rc = ld_peft_config_check(&p->config, r->file.forms, p->name, r->file.err);
    if (!rc) rc = follow_common(r, p);
  }
  return rc;
}

static int bad_key(const reader *r, const char *key) {
  if (begins(key, "base_model.model."))
    return ld_fail(r->file.err, LD_EFORMAT,
                   "%s: '%s' is a name of PEFT's: give the folder with adapter_config.json", r->file.name,
                   key);
  return ld_fail(r->file.err, LD_EUNSUPPORTED, "%s: '%s' is not a tensor of a LoRA or DoRA that is supported",
                 r->file.name, key);
}

/* Gives a complete module its rank and alpha by the part's settings. `spelled` is its path as in the file. */
static int apply_settings(reader *r, const part *p, const char *spelled, ld_adapter_module *m) {
  ld_adapter own = {0};
  const ld_lora_file *f = &r->file;
  int rc = ld_peft_config_common(&p->config, p->name, &own, f->err);
  if (!rc) rc = ld_peft_config_module(&p->config, &own, spelled, p->name, m, f->err);
  if (rc) return rc;
  const ld_adapter_form *form = ld_peft_config_form(&p->config, f->forms);
  if (form && !strcmp(form->kind, m->kind)) return 0;
  return ld_fail(f->err, LD_EFORMAT, "%s: says that the module is of the kind %s, but '%s' is of the kind %s",
                 p->name, form ? form->kind : "(none)", m->path, m->kind);
}

static int no_settings(const reader *r, const part *p, const ld_adapter_module *m) {
  return ld_fail(r->file.err, LD_EFORMAT, "%s: is missing, but the file has '%s'", p->name, m->path);
}

static int complete(reader *r, const part *p, const char *spelled, ld_adapter_module *m) {
  const bool has_alpha = ld_lora_has_alpha(m);
  int rc = ld_lora_complete(&r->file, m);
  if (rc) return rc;
  if (!r->has_metadata) return ld_lora_check(&r->file, m);
  if (has_alpha)
    return ld_fail(r->file.err, LD_EFORMAT,
                   "%s: '%s' has an alpha both as a tensor and in " METADATA ": which one holds is not known",
                   r->file.name, m->path);
  if (p->config.type != LD_MAP) return no_settings(r, p, m);
  rc = apply_settings(r, p, spelled, m);
  return rc ? rc : ld_lora_check(&r->file, m);
}

/* What a key says: its part, the module's path within it as spelled there, and in full as spelled today. */
typedef struct place {
  part *part;
  const char *role;
  char *before, *full; /* what stands before the role; the path */
  const char *spelled; /* inside `before` */
} place;

static void free_place(place *p) {
  free(p->before);
  free(p->full);
}

static int find_place(reader *r, const char *key, place *out) {
  *out = (place){0};
  out->role = role_of(key, &out->before);
  if (!out->role || begins(key, "base_model.")) return bad_key(r, key);
  out->part = split(r, out->before, &out->spelled);
  const char *component = out->part->component;
  if (!*component) component = ld_component_guess(out->spelled);
  if (!component)
    return ld_fail(r->file.err, LD_EFORMAT,
                   "%s: '%s' does not say which part of an image generator it belongs to (unet, transformer, "
                   "text_encoder, ...)",
                   r->file.name, key);
  out->full = modern_path(component, out->spelled);
  return 0;
}

static int read_tensor(reader *r, size_t i) {
  place p;
  const char *key = ld_safetensors_name(r->tensors, i);
  int rc = find_place(r, key, &p);
  if (!rc) rc = ld_lora_put(&r->file, key, p.full, p.role, ld_safetensors_tensor(r->tensors, i));
  free_place(&p);
  return rc;
}

/* Completes the module of a key, when all tensors are read; once for each module. */
static int complete_of(reader *r, size_t i) {
  place p;
  int rc = find_place(r, ld_safetensors_name(r->tensors, i), &p);
  ld_adapter_module *m = rc ? NULL : ld_adapter_module_at(r->file.adapter, p.full);
  if (m && !m->kind[0]) rc = complete(r, p.part, p.spelled, m);
  free_place(&p);
  return rc;
}

static int read_all(reader *r) {
  const size_t n = ld_safetensors_count(r->tensors);
  const char *digest = ld_safetensors_metadata(r->tensors, LD_PEFT_BASE_DIGEST);
  if (digest) r->file.adapter->base_digest = ld_strdup(digest);
  int rc = read_metadata(r);
  for (size_t i = 0; i < n && !rc; i++) rc = read_tensor(r, i);
  for (size_t i = 0; i < n && !rc; i++) rc = complete_of(r, i);
  return rc ? rc : ld_lora_finish(&r->file);
}

static int read_tensors(const ld_safetensors *tensors, const char *name, const ld_adapter_form *const *forms,
                        ld_adapter **out, ld_error *err) {
  ld_adapter *adapter = ld_alloc(1, sizeof *adapter);
  reader r = {.file = {name, forms, adapter, err}, .tensors = tensors};
  make_parts(&r);
  const int rc = read_all(&r);
  free_parts(&r);
  if (rc)
    ld_adapter_free(adapter);
  else
    *out = adapter;
  return rc;
}

int ld_diffusers_lora_parse(const void *bytes, size_t length, const char *name,
                            const ld_adapter_form *const *forms, ld_adapter **out, ld_error *err) {
  ld_safetensors *tensors;
  *out = NULL;
  int rc = ld_safetensors_parse(bytes, length, name, &tensors, err);
  if (rc) return rc;
  rc = read_tensors(tensors, name, forms, out, err);
  ld_safetensors_close(tensors);
  return rc;
}

int ld_diffusers_lora_read(const char *path, const ld_adapter_form *const *forms, ld_adapter **out,
                           ld_error *err) {
  ld_safetensors *tensors = NULL;
  *out = NULL;
  char *present = ld_folder_present(path);
  char *file = ld_is_folder(present) ? ld_path_join(present, LD_DIFFUSERS_LORA_NAME) : ld_strdup(path);
  int rc = ld_safetensors_open(file, &tensors, err);
  if (!rc) rc = read_tensors(tensors, file, forms, out, err);
  if (tensors) ld_safetensors_close(tensors);
  free(file);
  free(present);
  return rc;
}
