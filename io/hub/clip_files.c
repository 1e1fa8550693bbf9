#include "io/hub/clip_files.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/value.h"
#include "io/file.h"
#include "io/json.h"

#define SETTINGS "tokenizer_config.json"
#define SPECIAL "special_tokens_map.json"

static bool has_file(const char *folder, const char *name) {
  char *path = ld_path_join(folder, name);
  const bool has = ld_file_exists(path);
  free(path);
  return has;
}

int ld_clip_files_find(const char *from, const char *name, char **out, ld_error *err) {
  char *own = ld_path_join(from, name), *first = ld_path_join(from, "tokenizer");
  char *found = ld_strdup(ld_is_folder(own) ? own : ld_is_folder(first) ? first : from);
  free(own);
  free(first);
  *out = NULL;
  if (!has_file(found, "tokenizer.json") &&
      !(has_file(found, "vocab.json") && has_file(found, "merges.txt"))) {
    const int rc =
        ld_fail(err, LD_EFILE,
                "--tokenizer %s: neither vocab.json with merges.txt nor tokenizer.json is there: give "
                "the folder of CLIP's tokenizer, or a diffusers folder with it",
                found);
    free(found);
    return rc;
  }
  *out = found;
  return 0;
}

/* A file's contents as an object; an empty one without the file. */
static int read_object(const char *folder, const char *name, ld_value **out, ld_error *err) {
  *out = NULL;
  if (!folder || !has_file(folder, name)) return 0;
  char *path = ld_path_join(folder, name);
  int rc = 0;
  *out = ld_json_read(path, err);
  if (!*out)
    rc = err->code;
  else if ((*out)->type != LD_MAP)
    rc = ld_fail(err, LD_EFORMAT, "%s: expected a JSON object", path);
  free(path);
  return rc;
}

/* A token is a string, or an object with "content". */
static const char *padding_of(const ld_value *settings) {
  const ld_value *token = ld_value_get(settings, "pad_token");
  if (token && token->type == LD_MAP) token = ld_value_get(token, "content");
  return token && token->type == LD_STRING ? token->string : NULL;
}

/* Whether the folder's padding token is `padding`. */
static int has_padding(const char *from, const char *padding, bool *has, ld_error *err) {
  ld_value *settings = NULL, *special = NULL;
  int rc = read_object(from, SETTINGS, &settings, err);
  if (!rc) rc = read_object(from, SPECIAL, &special, err);
  const char *in_settings = padding_of(settings), *in_special = padding_of(special);
  *has = !rc && (in_settings || in_special) && (!in_settings || !strcmp(in_settings, padding)) &&
         (!in_special || !strcmp(in_special, padding));
  ld_value_free(settings);
  ld_value_free(special);
  return rc;
}

/* Copies a file if it is there; with `padding` as its pad_token unless that is NULL. */
static int copy(const char *from, const char *folder, const char *name, const char *padding, ld_error *err) {
  if (!has_file(from, name)) return 0;
  char *source = ld_path_join(from, name), *target = ld_path_join(folder, name);
  ld_text edited = {0}, quoted = {0};
  ld_map map;
  int rc = ld_map_open(source, &map, err);
  if (!rc && padding) {
    ld_json_quote(&quoted, padding);
    const ld_json_member member = {"pad_token", quoted.bytes, strcmp(name, SETTINGS) != 0};
    rc = ld_json_edit(map.bytes, map.length, source, &member, 1, &edited, err);
  }
  if (!rc)
    rc = ld_file_write(target, padding ? edited.bytes : map.bytes, padding ? edited.length : map.length, err);
  ld_map_close(&map);
  ld_text_free(&edited);
  ld_text_free(&quoted);
  free(source);
  free(target);
  return rc;
}

/* What the files of the published models say. */
static int write_settings(const char *folder, const char *padding, ld_error *err) {
  ld_text text = {0};
  char *path = ld_path_join(folder, SETTINGS);
  ld_text_puts(&text, "{\n  \"add_prefix_space\": false,\n  \"bos_token\": \"<|startoftext|>\",\n");
  ld_text_puts(&text, "  \"do_lower_case\": true,\n  \"eos_token\": \"<|endoftext|>\",\n");
  ld_text_puts(&text, "  \"errors\": \"replace\",\n  \"model_max_length\": 77,\n");
  ld_text_printf(&text, "  \"pad_token\": \"%s\",\n  \"tokenizer_class\": \"CLIPTokenizer\",\n", padding);
  ld_text_puts(&text, "  \"unk_token\": \"<|endoftext|>\"\n}\n");
  const int rc = ld_file_write(path, text.bytes, text.length, err);
  ld_text_free(&text);
  free(path);
  return rc;
}

int ld_clip_files_write(const char *from, const char *folder, const char *padding, ld_error *err) {
  static const char *const names[] = {"vocab.json", "merges.txt", "tokenizer.json", "added_tokens.json"};
  int rc = ld_make_folders(folder, err);
  if (rc || !from || !has_file(from, SETTINGS)) {
    if (!rc) rc = write_settings(folder, padding, err);
    if (rc || !from) return rc;
  }
  bool same = false;
  rc = has_padding(from, padding, &same, err);
  for (size_t i = 0; i < sizeof names / sizeof *names && !rc; i++)
    rc = copy(from, folder, names[i], NULL, err);
  if (!rc) rc = copy(from, folder, SETTINGS, same ? NULL : padding, err);
  if (!rc) rc = copy(from, folder, SPECIAL, same ? NULL : padding, err);
  if (!rc && !same)
    ld_info("%s: the padding token is set to '%s', which this model was trained with", from, padding);
  return rc;
}
