/* Loads the components of a tokenizer.json, by their type from the table of a family, and their fields. */
#include "io/tokenizer/component.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "io/tokenizer/budget.h"
#include "io/tokenizer/regex.h"

int ld_load_fail(const ld_load *load, int code, const char *key, const char *problem) {
  return ld_fail(load->err, code, "%s: %s %s: %s%s%s", load->name, load->where, load->type, key,
                 *key ? " " : "", problem);
}

int ld_load_bool(const ld_load *load, const json_t *json, const char *key, bool *out) {
  const json_t *value = json_object_get(json, key);
  if (!json_is_boolean(value)) return ld_load_fail(load, LD_EFORMAT, key, "must be true or false");
  *out = json_is_true(value);
  return 0;
}

int ld_load_bool_or(const ld_load *load, const json_t *json, const char *key, bool fallback, bool *out) {
  *out = fallback;
  const json_t *value = json_object_get(json, key);
  return !value || json_is_null(value) ? 0 : ld_load_bool(load, json, key, out);
}

int ld_load_string(const ld_load *load, const json_t *json, const char *key, const char **out,
                   size_t *length) {
  const json_t *value = json_object_get(json, key);
  if (!json_is_string(value)) return ld_load_fail(load, LD_EFORMAT, key, "must be a string");
  *out = json_string_value(value);
  *length = json_string_length(value);
  return 0;
}

int ld_load_id(const ld_load *load, const json_t *json, const char *key, int32_t *out) {
  const json_t *value = json_object_get(json, key);
  const json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
  if (id < 0 || id > LD_MAX_TOKEN_ID)
    return ld_load_fail(load, LD_EFORMAT, key, "must be a token id, an integer from 0 to 4194303");
  *out = (int32_t)id;
  return 0;
}

int ld_load_char(const ld_load *load, const json_t *json, const char *key, uint32_t *out) {
  const char *string;
  size_t length, at = 0;
  const int rc = ld_load_string(load, json, key, &string, &length);
  if (rc) return rc;
  if (length) *out = ld_utf8_next(string, &at);
  if (!length || at != length) return ld_load_fail(load, LD_EFORMAT, key, "must be one character");
  return 0;
}

int ld_load_pattern(const ld_load *load, const json_t *json, ld_regex **out) {
  const json_t *pattern = json_object_get(json, "pattern");
  const json_t *string = json_object_get(pattern, "String"), *regex = json_object_get(pattern, "Regex");
  if (json_object_size(pattern) != 1 || !(json_is_string(string) || json_is_string(regex)))
    return ld_load_fail(load, LD_EFORMAT, "pattern", "must be {\"String\": ...} or {\"Regex\": ...}");
  if (string)
    *out = ld_regex_literal(json_string_value(string), json_string_length(string), load->err);
  else
    *out = ld_regex_new(json_string_value(regex), json_string_length(regex), load->err);
  if (*out) return 0;
  return ld_fail_prefix(load->err, LD_EFORMAT, "%s: %s %s", load->name, load->where, load->type);
}

int ld_component_load(ld_component *component, const json_t *json, const ld_load *load) {
  if (!json || json_is_null(json)) return 0;
  const char *type = json_string_value(json_object_get(json, "type"));
  if (!type)
    return ld_fail(load->err, LD_EFORMAT, "%s: %s must be an object with a \"type\"", load->name,
                   load->where);
  if (load->depth >= LD_MAX_COMPONENT_DEPTH)
    return ld_fail(load->err, LD_EFORMAT, "%s: %s has Sequence in Sequence more than %d deep", load->name,
                   load->where, LD_MAX_COMPONENT_DEPTH);
  const ld_component_kind *const *kinds = load->kinds;
  while (*kinds && strcmp((*kinds)->type, type)) kinds++;
  if (!*kinds)
    return ld_fail(load->err, LD_EUNSUPPORTED, "%s: %s of type \"%.100s\" is not supported", load->name,
                   load->where, type);
  ld_load inner = *load;
  inner.type = type;
  inner.depth++;
  component->kind = *kinds;
  const int rc = component->kind->load ? component->kind->load(component, json, &inner) : 0;
  return rc || !ld_budget_check(load->budget, 0, load->err)
             ? rc
             : ld_fail_prefix(load->err, LD_EFORMAT, "%s: %s", load->name, load->where);
}

const char *ld_model_type(const json_t *model) {
  const char *type = json_string_value(json_object_get(model, "type"));
  if (type) return type;
  if (json_object_get(model, "merges")) return "BPE";
  return json_is_array(json_object_get(model, "vocab")) ? "Unigram" : "WordPiece";
}

void ld_component_free(ld_component *component) {
  if (component->kind && component->kind->free_data && component->data)
    component->kind->free_data(component->data);
  *component = (ld_component){0};
}

int ld_sequence_load(ld_component *component, const json_t *json, const char *key, const ld_load *load) {
  ld_components *components = component->data = ld_alloc(1, sizeof *components);
  const json_t *array = json_object_get(json, key);
  if (!json_is_array(array)) return ld_load_fail(load, LD_EFORMAT, key, "must be a list");
  components->n = json_array_size(array);
  components->items = ld_alloc(components->n, sizeof *components->items);
  for (size_t i = 0; i < components->n; i++) {
    const json_t *item = json_array_get(array, i);
    if (json_is_null(item)) return ld_load_fail(load, LD_EFORMAT, key, "must not contain null");
    const int rc = ld_component_load(&components->items[i], item, load);
    if (rc) return rc;
  }
  return 0;
}

void ld_sequence_free(void *data) {
  ld_components *components = data;
  for (size_t i = 0; i < components->n; i++) ld_component_free(&components->items[i]);
  free(components->items);
  free(components);
}
