#include "io/tokenizer/class_parts.h"

#include <string.h>

int ld_class_fail(const ld_class_input *in, const char *key, const char *problem) {
  return ld_fail(in->err, LD_EFORMAT, "%s: %s %s", in->files->settings_name, key, problem);
}

int ld_class_setting(const ld_class_input *in, const char *key, bool fallback, bool *out) {
  const json_t *value = json_object_get(in->files->settings, key);
  *out = value ? json_is_true(value) : fallback;
  return !value || json_is_boolean(value) ? 0 : ld_class_fail(in, key, "must be true or false");
}

/* The same, with null for the fallback. */
int ld_class_setting_or_null(const ld_class_input *in, const char *key, bool fallback, bool *out) {
  *out = fallback;
  return json_is_null(json_object_get(in->files->settings, key)) ? 0
                                                                 : ld_class_setting(in, key, fallback, out);
}

json_t *ld_class_id(const ld_class_input *in, int role) {
  return json_object_get(in->tokens->ids, ld_special_token(in->tokens, role));
}

int ld_class_need(const ld_class_input *in, int role) {
  return ld_special_token_need(in->files, in->tokens, role, in->err);
}

static void append_special(const ld_class_input *in, int role, int type, json_t *list) {
  const char *token = ld_special_token(in->tokens, role);
  json_array_append_new(list, json_pack("{s:{s:s, s:i}}", "SpecialToken", "id", token, "type_id", type));
}

/* bos text eos, for text A or, with type 1, text B. */
static void append_text(const ld_class_input *in, int type, bool bos, bool eos, json_t *list) {
  if (bos) append_special(in, LD_BOS, type, list);
  json_array_append_new(list,
                        json_pack("{s:{s:s, s:i}}", "Sequence", "id", type ? "B" : "A", "type_id", type));
  if (eos) append_special(in, LD_EOS, type, list);
}

/* The file's post-processor; otherwise by add_bos_token and add_eos_token, which only count with an older
 * vocabulary. */
int ld_class_post_process(const ld_class_input *in, json_t *root) {
  bool bos = false, eos = false;
  int rc = 0;
  if (in->post_processor) return json_object_set(root, "post_processor", in->post_processor), 0;
  if (in->files->older) rc = ld_class_setting(in, "add_bos_token", false, &bos);
  if (!rc && in->files->older) rc = ld_class_setting(in, "add_eos_token", false, &eos);
  bos = bos && ld_class_id(in, LD_BOS);
  eos = eos && ld_class_id(in, LD_EOS);
  if (rc || (!bos && !eos)) return rc;
  json_t *single = json_array(), *pair = json_array(), *special = json_object();
  append_text(in, 0, bos, eos, single);
  append_text(in, 0, bos, eos, pair);
  append_text(in, 1, bos, eos, pair);
  for (int role = LD_BOS; role <= LD_EOS; role++)
    if (ld_class_id(in, role))
      json_object_set_new(special, ld_special_token(in->tokens, role),
                          json_pack("{s:[O]}", "ids", ld_class_id(in, role)));
  json_object_set_new(root, "post_processor",
                      json_pack("{s:s, s:o, s:o, s:o}", "type", "TemplateProcessing", "single", single,
                                "pair", pair, "special_tokens", special));
  return 0;
}
