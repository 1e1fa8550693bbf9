/* Vocabularies without a tokenizer.json: which files there are, and the settings beside them.
 */
#include "io/json.h"
#include "io/tokenizer/internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/file.h"

/* The JSON object in a file; *out stays NULL when there is no such file. */
static int read_object(const char *folder, const char *name, json_t **out, ld_error *err) {
  char *path = ld_path_join(folder, name);
  ld_map map;
  json_error_t problem;
  int rc = 0;
  *out = NULL;
  if (ld_file_exists(path) && !(rc = ld_map_open(path, &map, err))) {
    rc = ld_json_check_budget(map.bytes, map.length, path, err);
    if (!rc) *out = json_loadb(map.bytes ? map.bytes : "", map.length, JSON_ALLOW_NUL, &problem);
    ld_map_close(&map);
    if (!rc && !*out)
      rc = ld_fail(err, LD_EFORMAT, "%s: line %d, column %d: %s", path, problem.line, problem.column,
                   problem.text);
    else if (!rc && !json_is_object(*out))
      rc = ld_fail(err, LD_EFORMAT, "%s: must be a JSON object", path);
  }
  free(path);
  return rc;
}

static const char *spelling(const json_t *token) {
  return json_string_value(json_is_object(token) ? json_object_get(token, "content") : token);
}

static bool is_role(const json_t *settings, const char *content) {
  static const char *const keys[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                     "pad_token", "cls_token", "mask_token"};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    const char *role = spelling(json_object_get(settings, keys[i]));
    if (role && !strcmp(role, content)) return true;
  }
  const json_t *extra = json_object_get(settings, "additional_special_tokens");
  for (size_t i = 0; i < json_array_size(extra); i++) {
    const char *token = spelling(json_array_get(extra, i));
    if (token && !strcmp(token, content)) return true;
  }
  return false;
}

/* {"content": id, ...}, in the form of added_tokens_decoder. */
static int take_added(json_t *settings, json_t *added, const char *folder, ld_error *err) {
  json_t *decoder = json_object();
  json_object_set_new(settings, "added_tokens_decoder", decoder);
  for (void *at = json_object_iter(added); at; at = json_object_iter_next(added, at)) {
    const char *content = json_object_iter_key(at);
    const json_t *id = json_object_iter_value(at);
    if (!json_is_integer(id))
      return ld_fail(err, LD_EFORMAT, "%s/added_tokens.json: \"%.100s\" must have an id", folder, content);
    char key[32];
    snprintf(key, sizeof key, "%lld", (long long)json_integer_value(id));
    json_object_set_new(decoder, key,
                        json_pack("{s:s, s:b}", "content", content, "special", is_role(settings, content)));
  }
  return 0;
}

/* tokenizer_config.json; where it has no added_tokens_decoder, also the older files of tokens, of which
 * special_tokens_map.json counts more. */
static int read_settings(const char *folder, json_t **settings, ld_error *err) {
  json_t *map = NULL, *added = NULL;
  int rc = read_object(folder, "tokenizer_config.json", settings, err);
  if (!rc && !*settings) *settings = json_object();
  if (rc || json_object_get(*settings, "added_tokens_decoder")) return rc;
  rc = read_object(folder, "special_tokens_map.json", &map, err);
  if (!rc) rc = read_object(folder, "added_tokens.json", &added, err);
  for (void *at = rc ? NULL : json_object_iter(map); at; at = json_object_iter_next(map, at)) {
    json_t *token = json_object_iter_value(at);
    if (json_is_object(token)) json_object_set_new(token, "special", json_true());
    json_object_set(*settings, json_object_iter_key(at), token);
  }
  if (!rc && added) rc = take_added(*settings, added, folder, err);
  json_decref(map);
  json_decref(added);
  return rc;
}

static bool is_class(const char *class, const char *name) {
  const size_t n = strlen(name);
  return !strncmp(class, name, n) && (!strcmp(class + n, "Tokenizer") || !strcmp(class + n, "TokenizerFast"));
}

/* By tokenizer_class; without one by the model. Another class may split otherwise: it is not guessed at. */
static int choose_family(const char *folder, ld_vocab_files *files, ld_error *err) {
  const char *class = json_string_value(json_object_get(files->settings, "tokenizer_class"));
  const bool text = files->family == LD_VOCAB_BERT;
  if (!class) {
    json_t *config = NULL;
    const int rc = text ? 0 : read_object(folder, "config.json", &config, err);
    const char *model = json_string_value(json_object_get(config, "model_type"));
    if (model && !strcmp(model, "roberta")) files->family = LD_VOCAB_ROBERTA;
    json_decref(config);
    return rc;
  }
  if (text && (is_class(class, "Bert") || is_class(class, "DistilBert") || is_class(class, "Electra") ||
               is_class(class, "MobileBert")))
    return 0;
  if (!text && is_class(class, "GPT2")) return 0;
  if (!text && is_class(class, "Roberta")) return files->family = LD_VOCAB_ROBERTA, 0;
  return ld_fail(err, LD_EUNSUPPORTED,
                 "%s: tokenizer_class \"%.100s\" in tokenizer_config.json needs a tokenizer.json: have "
                 "transformers save one",
                 files->name, class);
}

static int read_files(const char *folder, const char *vocabulary, json_t **root, char **name, ld_error *err) {
  const bool text = !strcmp(vocabulary, "vocab.txt");
  *name = ld_path_join(folder, vocabulary);
  char *merges_name = ld_path_join(folder, "merges.txt");
  ld_map vocab = {0}, merges = {0};
  ld_vocab_files files = {.name = *name, .family = text ? LD_VOCAB_BERT : LD_VOCAB_GPT2};
  int rc = ld_map_open(*name, &vocab, err);
  if (!rc && !text) rc = ld_map_open(merges_name, &merges, err);
  if (!rc) rc = read_settings(folder, &files.settings, err);
  if (!rc) rc = choose_family(folder, &files, err);
  files.vocab = vocab.bytes ? vocab.bytes : "";
  files.n_vocab = vocab.length;
  files.merges = merges.bytes ? merges.bytes : "";
  files.n_merges = merges.length;
  if (!rc) rc = ld_vocab_tree(&files, root, err);
  json_decref(files.settings);
  ld_map_close(&vocab);
  ld_map_close(&merges);
  free(merges_name);
  return rc;
}

static bool has(const char *folder, const char *name) {
  char *path = ld_path_join(folder, name);
  const bool there = ld_file_exists(path);
  free(path);
  return there;
}

static int read_folder(const char *folder, json_t **root, char **name, ld_error *err) {
  if (has(folder, "tokenizer.json")) return 0;
  if (has(folder, "vocab.txt")) return read_files(folder, "vocab.txt", root, name, err);
  if (has(folder, "vocab.json") && has(folder, "merges.txt"))
    return read_files(folder, "vocab.json", root, name, err);
  return ld_fail(err, LD_EFILE, "%s: has no tokenizer.json, vocab.txt, or vocab.json with merges.txt",
                 folder);
}

int ld_vocab_files_read(const char *path, json_t **root, char **name, ld_error *err) {
  *root = NULL;
  *name = NULL;
  if (ld_is_folder(path)) return read_folder(path, root, name, err);
  const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
  if (strcmp(base, "vocab.txt") && strcmp(base, "vocab.json")) return 0;
  char *folder = !slash ? ld_strdup(".") : ld_strndup(path, slash == path ? 1 : (size_t)(slash - path));
  const int rc = read_files(folder, base, root, name, err);
  free(folder);
  return rc;
}
