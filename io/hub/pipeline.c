#include "io/hub/pipeline.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "io/file.h"
#include "io/json.h"

const ld_pipeline_part ld_pipeline_parts[] = {
    {"unet", "config.json", "diffusion_pytorch_model"},
    {"transformer", "config.json", "diffusion_pytorch_model"},
    {"vae", "config.json", "diffusion_pytorch_model"},
    {"text_encoder", "config.json", "model"},
    {"text_encoder_2", "config.json", "model"},
    {"scheduler", "scheduler_config.json", NULL},
    {"tokenizer", NULL, NULL},
    {"tokenizer_2", NULL, NULL},
    {NULL, NULL, NULL},
};

bool ld_pipeline_is(const char *folder) {
  char *index = ld_path_join(folder, LD_PIPELINE_INDEX);
  const bool is = ld_file_is_named(index);
  free(index);
  return is;
}

/* diffusers writes the default of one number, "no limit", as Python spells it and JSON does not: `"lambda_min_clipped":
 * -Infinity`. Here it becomes the lowest number that has as many letters. */
static void spell_infinity(char *text) {
  static const char key[] = "\"lambda_min_clipped\"", python[] = "-Infinity", json[] = "-1e+00308";
  char *at = strstr(text, key);
  if (!at) return;
  at += strlen(key);
  at += strspn(at, " \t\n\r:");
  if (!strncmp(at, python, strlen(python))) memcpy(at, json, strlen(json));
}

static int read_map(const char *path, ld_value **out, ld_error *err) {
  ld_map map;
  *out = NULL;
  const int rc = ld_map_open(path, &map, err);
  if (rc) return rc;
  ld_text text = {0};
  ld_text_append(&text, map.bytes, map.length);
  ld_map_close(&map);
  spell_infinity(text.bytes);
  *out = ld_json_parse(text.bytes, text.length, path, err);
  ld_text_free(&text);
  if (!*out) return err->code;
  if ((*out)->type == LD_MAP) return 0;
  ld_value_free(*out);
  *out = NULL;
  return ld_fail(err, LD_EFORMAT, "%s: expected a JSON object", path);
}

/* A component is ["library", "Class"], or [null, null] where the pipeline was saved without it. */
static bool is_component(const ld_value *member) {
  return member->type == LD_LIST && member->n_items == 2 && member->items[0].type == LD_STRING &&
         member->items[1].type == LD_STRING;
}

static bool is_known(const char *name) {
  const ld_pipeline_part *c = ld_pipeline_parts;
  while (c->name && strcmp(c->name, name) != 0) c++;
  return c->name != NULL;
}

static void note_ignored(const char *folder, const ld_value *index) {
  ld_text names = {0};
  for (size_t i = 0; i < index->n_items; i++)
    if (is_component(&index->items[i]) && !is_known(index->items[i].key))
      ld_text_printf(&names, "%s%s", names.length ? ", " : "", index->items[i].key);
  if (names.length) ld_info("base  %s: ignored, because training does not need it: %s", folder, names.bytes);
  ld_text_free(&names);
}

/* Moves the members of `from`, which is freed, to `to`. */
static void move_members(ld_value *to, ld_value *from) {
  to->type = LD_MAP;
  to->items = from->items;
  to->n_items = from->n_items;
  from->items = NULL;
  from->n_items = 0;
  ld_value_free(from);
}

static int add_component(const char *folder, const ld_pipeline_part *c, ld_value *all, size_t *room,
                         ld_error *err) {
  char *place = ld_path_join(folder, c->name), *path = c->config ? ld_path_join(place, c->config) : NULL;
  ld_value *config = NULL;
  int rc = 0;
  if (!ld_is_folder(place))
    rc = ld_fail(err, LD_EFILE,
                 "%s: " LD_PIPELINE_INDEX " names the component '%s', but there is no such folder: is the "
                 "download complete?",
                 folder, c->name);
  else if (path)
    rc = read_map(path, &config, err);
  if (!rc) {
    ld_value *member = ld_value_add(all, ld_strdup(c->name), room);
    member->type = LD_MAP;
    if (config) move_members(member, config);
  }
  free(place);
  free(path);
  return rc;
}

/* Settings of a pipeline are flags beside the components. */
static void add_flags(const ld_value *index, ld_value *all, size_t *room) {
  for (size_t i = 0; i < index->n_items; i++) {
    if (index->items[i].type != LD_BOOLEAN) continue;
    ld_value *flag = ld_value_add(all, ld_strdup(index->items[i].key), room);
    flag->type = LD_BOOLEAN;
    flag->boolean = index->items[i].boolean;
  }
}

/* Moves the names of classes, which a pipeline has beside its components. */
static void move_labels(ld_value *all, ld_value *index, size_t *room) {
  for (size_t i = 0; i < index->n_items; i++) {
    ld_value *labels = &index->items[i];
    if (strcmp(labels->key, "id2label") != 0 || labels->type != LD_MAP) continue;
    ld_value *member = ld_value_add(all, ld_strdup(labels->key), room);
    member->type = LD_MAP;
    member->items = labels->items;
    member->n_items = labels->n_items;
    labels->items = NULL;
    labels->n_items = 0;
  }
}

int ld_pipeline_read(const char *folder, ld_value **out, ld_error *err) {
  char *path = ld_path_join(folder, LD_PIPELINE_INDEX);
  ld_value *index = NULL, *all = ld_alloc(1, sizeof *all);
  const char *class = NULL;
  size_t room = 0;
  all->type = LD_MAP;
  int rc = read_map(path, &index, err);
  if (!rc) rc = ld_value_string(index, "_class_name", NULL, &class, err);
  if (!rc && !class) rc = ld_fail(err, LD_EFORMAT, "_class_name is missing");
  if (rc && index) ld_fail_prefix(err, rc, "%s", path);
  if (!rc) {
    ld_value *type = ld_value_add(all, ld_strdup("model_type"), &room);
    type->type = LD_STRING;
    type->string = ld_strdup(class);
  }
  for (const ld_pipeline_part *c = ld_pipeline_parts; c->name && !rc; c++) {
    const ld_value *member = ld_value_get(index, c->name);
    if (member && is_component(member)) rc = add_component(folder, c, all, &room, err);
  }
  if (!rc) add_flags(index, all, &room);
  if (!rc) move_labels(all, index, &room);
  if (!rc) note_ignored(folder, index);
  ld_value_free(index);
  free(path);
  if (rc)
    ld_value_free(all);
  else
    *out = all;
  return rc;
}
