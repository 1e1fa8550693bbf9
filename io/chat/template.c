#include "io/chat/template.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/chat/form.h"
#include "io/file.h"
#include "io/json.h"

static ld_chat_template *create(const char *path, const char *bytes, size_t length) {
  ld_chat_template *own = ld_alloc(1, sizeof *own);
  own->source = ld_strdup(path);
  ld_text_append(&own->text, bytes, length);
  return own;
}

static int read_file(const char *folder, const char *name, ld_chat_template **out, ld_error *err) {
  char *path = ld_path_join(folder, name);
  ld_map map = {0};
  const int rc = ld_file_is_named(path) ? ld_map_open(path, &map, err) : 0;
  if (map.bytes) *out = create(path, map.bytes, map.length);
  ld_map_close(&map);
  free(path);
  return rc;
}

/* The default among several named templates; NULL when there is none. */
static const ld_value *choose(const ld_value *value) {
  if (!value || value->type != LD_LIST) return value;
  for (size_t i = 0; i < value->n_items; i++) {
    const ld_value *name = ld_value_get(&value->items[i], "name");
    if (name && name->type == LD_STRING && !strcmp(name->string, "default"))
      return ld_value_get(&value->items[i], "template");
  }
  return NULL;
}

static int read_member(const char *folder, const char *name, ld_chat_template **out, ld_error *err) {
  char *path = ld_path_join(folder, name);
  ld_error why = {0};
  ld_value *root = ld_file_exists(path) ? ld_json_read(path, &why) : NULL;
  const ld_value *value = root && root->type == LD_MAP ? ld_value_get(root, "chat_template") : NULL;
  const ld_value *text = choose(value);
  if (text && text->type == LD_STRING)
    *out = create(path, text->string, strlen(text->string));
  else if (value && value->type != LD_NULL)
    *out = create(path, "", 0); /* not a default template */
  ld_value_free(root);
  free(path);
  return why.code ? ld_fail(err, why.code, "%s", why.text) : 0;
}

int ld_chat_template_read(const char *folder, const char *bos, const char *eos, ld_chat_template **out,
                          ld_error *err) {
  *out = NULL;
  int rc = read_file(folder, "additional_chat_templates/default.jinja", out, err);
  if (!rc && !*out) rc = read_file(folder, "chat_template.jinja", out, err);
  if (!rc && !*out) rc = read_member(folder, "tokenizer_config.json", out, err);
  if (!rc && !*out) rc = read_member(folder, "chat_template.json", out, err);
  if (rc || !*out) return rc;
  if (!ld_chat_form((*out)->text.bytes, (*out)->text.length, bos, eos, &(*out)->form))
    ld_text_clear(&(*out)->form);
  return 0;
}

void ld_chat_template_free(ld_chat_template *own) {
  if (!own) return;
  free(own->source);
  ld_text_free(&own->text);
  ld_text_free(&own->form);
  free(own);
}

/* Most templates tell the model "You are ..."; the same words explain tools. */
static bool has_system_message(const char *text) {
  static const char tools[] = "You are provided with function";
  if (strstr(text, "Knowledge Date") || strstr(text, "Knowledge Cutoff") || strstr(text, "default_system"))
    return true;
  for (const char *at = text; (at = strstr(at, "You are ")); at++)
    if (strncmp(at, tools, sizeof tools - 1) != 0) return true;
  return false;
}

void ld_chat_template_extras(const ld_chat_template *own, ld_text *out) {
  static const struct {
    const char *word, *means;
  } marks[] = {{"<think", "a thinking block"},    {"thinking", "a thinking block"},
               {"reasoning", "a thinking block"}, {"strftime_now", "a date"},
               {"date_string", "a date"},         {"tools", "tools"},
               {"tool_calls", "tools"},           {"documents", "documents"}};
  const char *last = NULL;
  if (has_system_message(own->text.bytes)) ld_text_puts(out, "a default system message");
  for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
    if ((last && !strcmp(last, marks[i].means)) || !strstr(own->text.bytes, marks[i].word)) continue;
    last = marks[i].means;
    ld_text_printf(out, "%s%s", out->length ? ", " : "", last);
  }
}
