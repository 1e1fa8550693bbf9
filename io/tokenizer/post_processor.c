/* Post-processors: the special tokens around a text or a pair of texts, and the type ids.
 */
#include "io/tokenizer/post_processor.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/tokenizer/component.h"
#include "io/tokenizer/ids.h"

const ld_template *ld_template_of(const ld_component *post_processor, bool pair) {
  return post_processor->kind ? post_processor->kind->template(post_processor->data, pair) : NULL;
}

size_t ld_template_added(const ld_template *template) {
  size_t n = 0;
  for (size_t i = 0; template && i < template->n; i++) n += template->slots[i].special.n;
  return n;
}

static void append(const ld_ids *ids, int32_t type, ld_ids *out, ld_ids *types) {
  for (size_t i = 0; i < ids->n; i++) {
    ld_ids_push(out, ids->ids[i]);
    if (types) ld_ids_push(types, type);
  }
}

void ld_template_fill(const ld_template *template, const ld_ids texts[2], bool add_special, ld_ids *out,
                      ld_ids *types) {
  if (!template) {
    append(&texts[0], 0, out, types);
    append(&texts[1], 1, out, types);
    return;
  }
  for (size_t i = 0; i < template->n; i++) {
    const ld_slot *slot = &template->slots[i];
    if (slot->text >= 0 || add_special)
      append(slot->text < 0 ? &slot->special : &texts[slot->text], slot->type, out, types);
  }
}

void ld_template_free(ld_template *template) {
  for (size_t i = 0; i < template->n; i++) ld_ids_free(&template->slots[i].special);
  free(template->slots);
  *template = (ld_template){0};
}

/* For one text, and for two. */
typedef struct templates {
  ld_template of[2];
} templates;

static void free_templates(void *data) {
  templates *t = data;
  for (int k = 0; k < 2; k++) ld_template_free(&t->of[k]);
  free(t);
}

static const ld_template *choose(const void *data, bool pair) {
  return &((const templates *)data)->of[pair];
}

static ld_slot *add_slot(ld_template *template, int text, int32_t type) {
  template->slots = ld_realloc(template->slots, template->n + 1, sizeof *template->slots);
  template->slots[template->n] = (ld_slot){.text = text, .type = type};
  return &template->slots[template->n++];
}

ld_template ld_template_replace(const ld_template *template, int32_t old, int32_t new) {
  ld_template copy = {.copies = template->copies};
  for (size_t i = 0; i < template->n; i++) {
    const ld_slot *from = &template->slots[i];
    ld_slot *to = add_slot(&copy, from->text, from->type);
    for (size_t k = 0; k < from->special.n; k++)
      ld_ids_push(&to->special, from->special.ids[k] == old ? new : from->special.ids[k]);
  }
  return copy;
}

/* Appends the ids of one entry of special_tokens, which the list `key` names. */
static int load_special(const ld_load *load, const json_t *json, const char *key, const char *id,
                        ld_ids *out) {
  const json_t *ids = json_object_get(json_object_get(json_object_get(json, "special_tokens"), id), "ids");
  if (!json_is_array(ids))
    return ld_fail(load->err, LD_EFORMAT,
                   "%s: post_processor TemplateProcessing: special_tokens lacks the ids of "
                   "\"%.100s\", which %s names",
                   load->name, id, key);
  for (size_t i = 0; i < json_array_size(ids); i++) {
    const json_t *value = json_array_get(ids, i);
    const json_int_t n = json_is_integer(value) ? json_integer_value(value) : -1;
    if (n < 0 || n > LD_MAX_TOKEN_ID)
      return ld_load_fail(load, LD_EFORMAT, "special_tokens", "must have ids from 0 to 4194303");
    ld_ids_push(out, (int32_t)n);
  }
  return 0;
}

enum { MAX_COPIES = 8 }; /* of texts in a template: bounds what a long text becomes */

/* One entry of the list: a text or a special token, with its type id. */
static int load_slot(const ld_load *load, const json_t *json, const char *key, const json_t *entry,
                     ld_template *out) {
  const json_t *sequence = json_object_get(entry, "Sequence");
  const json_t *special = json_object_get(entry, "SpecialToken");
  const char *id = json_string_value(json_object_get(sequence ? sequence : special, "id"));
  const int text = !id || !sequence ? -1 : !strcmp(id, "A") ? 0 : !strcmp(id, "B") ? 1 : 2;
  if (!id || text > (strcmp(key, "pair") ? 0 : 1))
    return ld_load_fail(load, LD_EFORMAT, key,
                        "must be of {\"Sequence\": {\"id\": \"A\"}} (in a pair also \"B\") and "
                        "{\"SpecialToken\": {\"id\": ...}}");
  if (text >= 0 && out->copies++ == MAX_COPIES)
    return ld_load_fail(load, LD_EUNSUPPORTED, key, "repeats its texts more often than any tokenizer needs");
  int32_t type;
  int rc = ld_load_id(load, sequence ? sequence : special, "type_id", &type);
  if (rc) return rc;
  ld_slot *slot = add_slot(out, text, type);
  return sequence ? 0 : load_special(load, json, key, id, &slot->special);
}

static int load_template(ld_component *component, const json_t *json, ld_load *load) {
  static const char *const keys[] = {"single", "pair"};
  templates *t = component->data = ld_alloc(1, sizeof *t);
  for (int k = 0; k < 2; k++) {
    const json_t *list = json_object_get(json, keys[k]);
    if (!json_is_array(list)) return ld_load_fail(load, LD_EFORMAT, keys[k], "must be a list");
    for (size_t i = 0; i < json_array_size(list); i++) {
      const int rc = load_slot(load, json, keys[k], json_array_get(list, i), &t->of[k]);
      if (rc) return rc;
    }
  }
  return 0;
}

/* ["token", id] */
static int load_token(const ld_load *load, const json_t *json, const char *key, int32_t *id) {
  const json_t *value = json_array_get(json_object_get(json, key), 1);
  const json_int_t n = json_is_integer(value) ? json_integer_value(value) : -1;
  if (n < 0 || n > LD_MAX_TOKEN_ID) return ld_load_fail(load, LD_EFORMAT, key, "must be [token, id]");
  *id = (int32_t)n;
  return 0;
}

/* cls A sep, then B sep; in RoBERTa sep B sep, without types. */
static int load_cls_sep(ld_component *component, const json_t *json, ld_load *load, bool roberta) {
  templates *t = component->data = ld_alloc(1, sizeof *t);
  int32_t cls = 0, sep = 0;
  int rc = load_token(load, json, "cls", &cls);
  if (!rc) rc = load_token(load, json, "sep", &sep);
  if (rc) return rc;
  for (int k = 0; k < 2; k++) {
    ld_ids_push(&add_slot(&t->of[k], -1, 0)->special, cls);
    add_slot(&t->of[k], 0, 0);
    ld_ids_push(&add_slot(&t->of[k], -1, 0)->special, sep);
  }
  if (roberta) ld_ids_push(&add_slot(&t->of[1], -1, 0)->special, sep);
  add_slot(&t->of[1], 1, !roberta);
  ld_ids_push(&add_slot(&t->of[1], -1, !roberta)->special, sep);
  return 0;
}

static int load_bert(ld_component *component, const json_t *json, ld_load *load) {
  return load_cls_sep(component, json, load, false);
}

static int load_roberta(ld_component *component, const json_t *json, ld_load *load) {
  return load_cls_sep(component, json, load, true);
}

/* ByteLevel only moves offsets, which are not needed here. */
static const ld_template *choose_none(const void *data, bool pair) {
  (void)data;
  (void)pair;
  return NULL;
}

static int load_sequence(ld_component *component, const json_t *json, ld_load *load) {
  const int rc = ld_sequence_load(component, json, "processors", load);
  const ld_components *components = component->data;
  size_t adding = 0;
  for (size_t i = 0; !rc && i < components->n; i++)
    adding += ld_template_of(&components->items[i], false) != NULL;
  /* A second one would take the pieces of the first for a pair of texts. */
  if (adding > 1)
    return ld_load_fail(load, LD_EUNSUPPORTED, "processors", "has more than one that adds tokens");
  return rc;
}

static const ld_template *choose_of_sequence(const void *data, bool pair) {
  const ld_components *components = data;
  const ld_template *found = NULL;
  for (size_t i = 0; !found && i < components->n; i++) found = ld_template_of(&components->items[i], pair);
  return found;
}

static const ld_component_kind sequence = {
    .type = "Sequence", .load = load_sequence, .free_data = ld_sequence_free, .template = choose_of_sequence};
static const ld_component_kind template_processing = {
    .type = "TemplateProcessing", .load = load_template, .free_data = free_templates, .template = choose};
static const ld_component_kind bert = {
    .type = "BertProcessing", .load = load_bert, .free_data = free_templates, .template = choose};
static const ld_component_kind roberta_processing = {
    .type = "RobertaProcessing", .load = load_roberta, .free_data = free_templates, .template = choose};
static const ld_component_kind byte_level = {.type = "ByteLevel", .template = choose_none};

const ld_component_kind *const ld_post_processor_kinds[] = {
    &sequence, &template_processing, &bert, &roberta_processing, &byte_level, NULL,
};
