/* Post-processors: the special tokens around a single text.
 */
#include "io/tokenizer/internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* The ids around the text's own, for each time the text stands in a template: before[0] text before[1] text
 * ... before[n_texts]. */
typedef struct template {
  ld_ids *before;
  size_t n_texts;
}
template;

static void free_template(void *data) {
  template *t = data;
  for (size_t i = 0; i <= t->n_texts; i++) ld_ids_free(&t->before[i]);
  free(t->before);
  free(t);
}

static template *new_template(size_t n_texts) {
  template *t = ld_alloc(1, sizeof *t);
  t->n_texts = n_texts;
  t->before = ld_alloc(n_texts + 1, sizeof *t->before);
  return t;
}

static void append_ids(ld_ids *out, const ld_ids *ids, size_t start) {
  for (size_t i = start; i < ids->n; i++) ld_ids_push(out, ids->ids[i]);
}

static void run_template(const void *data, ld_ids *ids, size_t start, bool add_special) {
  const template *t = data;
  if (!add_special && t->n_texts == 1) return;
  ld_ids out = {0};
  for (size_t i = 0; i <= t->n_texts; i++) {
    if (add_special) append_ids(&out, &t->before[i], 0);
    if (i < t->n_texts) append_ids(&out, ids, start);
  }
  ids->n = start;
  append_ids(ids, &out, 0);
  ld_ids_free(&out);
}

/* Appends the ids of one entry of special_tokens. */
static int load_special(const ld_load *load, const json_t *json, const char *id, ld_ids *out) {
  const json_t *ids = json_object_get(json_object_get(json_object_get(json, "special_tokens"), id), "ids");
  if (!json_is_array(ids))
    return ld_fail(load->err, LD_EFORMAT,
                   "%s: post_processor TemplateProcessing: special_tokens lacks the ids of "
                   "\"%.100s\", which single names",
                   load->name, id);
  for (size_t i = 0; i < json_array_size(ids); i++) {
    const json_t *value = json_array_get(ids, i);
    const json_int_t n = json_is_integer(value) ? json_integer_value(value) : -1;
    if (n < 0 || n > LD_MAX_TOKEN_ID)
      return ld_load_fail(load, LD_EFORMAT, "special_tokens", "must have ids from 0 to 4194303");
    ld_ids_push(out, (int32_t)n);
  }
  return 0;
}

/* `pair` is for two texts and not looked at. */
static int load_template(ld_part *part, const json_t *json, ld_load *load) {
  const json_t *single = json_object_get(json, "single");
  if (!json_is_array(single)) return ld_load_fail(load, LD_EFORMAT, "single", "must be a list");
  size_t n_texts = 0, at = 0;
  for (size_t i = 0; i < json_array_size(single); i++)
    n_texts += json_object_get(json_array_get(single, i), "Sequence") != NULL;
  template *t = part->data = new_template(n_texts);
  for (size_t i = 0; i < json_array_size(single); i++) {
    const json_t *sequence = json_object_get(json_array_get(single, i), "Sequence");
    const json_t *special = json_object_get(json_array_get(single, i), "SpecialToken");
    const char *id = json_string_value(json_object_get(sequence ? sequence : special, "id"));
    if (!id || (sequence && strcmp(id, "A")))
      return ld_load_fail(load, LD_EFORMAT, "single",
                          "must be of {\"Sequence\": {\"id\": \"A\"}} and "
                          "{\"SpecialToken\": {\"id\": ...}}");
    const int rc = sequence ? 0 : load_special(load, json, id, &t->before[at]);
    if (rc) return rc;
    at += sequence != NULL;
  }
  return 0;
}

/* ["token", id] */
static int load_pair(const ld_load *load, const json_t *json, const char *key, ld_ids *out) {
  const json_t *value = json_array_get(json_object_get(json, key), 1);
  const json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
  if (id < 0 || id > LD_MAX_TOKEN_ID) return ld_load_fail(load, LD_EFORMAT, key, "must be [token, id]");
  ld_ids_push(out, (int32_t)id);
  return 0;
}

/* BERT and RoBERTa: cls text sep. */
static int load_bert(ld_part *part, const json_t *json, ld_load *load) {
  template *t = part->data = new_template(1);
  const int rc = load_pair(load, json, "cls", &t->before[0]);
  return rc ? rc : load_pair(load, json, "sep", &t->before[1]);
}

/* Only moves offsets, which nobody asks for here. */
static void run_byte_level(const void *data, ld_ids *ids, size_t start, bool add_special) {
  (void)data;
  (void)ids;
  (void)start;
  (void)add_special;
}

static int load_sequence(ld_part *part, const json_t *json, ld_load *load) {
  ld_parts *parts = part->data = ld_alloc(1, sizeof *parts);
  const int rc = ld_parts_load(parts, json, "processors", ld_post_processor_kinds, load);
  size_t adding = 0;
  for (size_t i = 0; !rc && i < parts->n; i++) adding += parts->items[i].kind->post_process != run_byte_level;
  /* A second one would see the pieces of the first as a pair of texts. */
  if (adding > 1)
    return ld_load_fail(load, LD_EUNSUPPORTED, "processors", "has more than one that adds tokens");
  return rc;
}

static void free_sequence(void *data) {
  ld_parts_free(data);
  free(data);
}

static void run_sequence(const void *data, ld_ids *ids, size_t start, bool add_special) {
  const ld_parts *parts = data;
  for (size_t i = 0; i < parts->n; i++)
    parts->items[i].kind->post_process(parts->items[i].data, ids, start, add_special);
}

static const ld_part_kind sequence = {
    .type = "Sequence", .load = load_sequence, .free_data = free_sequence, .post_process = run_sequence};
static const ld_part_kind template_processing = {.type = "TemplateProcessing",
                                                 .load = load_template,
                                                 .free_data = free_template,
                                                 .post_process = run_template};
static const ld_part_kind bert = {
    .type = "BertProcessing", .load = load_bert, .free_data = free_template, .post_process = run_template};
static const ld_part_kind roberta = {
    .type = "RobertaProcessing", .load = load_bert, .free_data = free_template, .post_process = run_template};
static const ld_part_kind byte_level = {.type = "ByteLevel", .post_process = run_byte_level};

const ld_part_kind *const ld_post_processor_kinds[] = {
    &sequence, &template_processing, &bert, &roberta, &byte_level, NULL,
};
