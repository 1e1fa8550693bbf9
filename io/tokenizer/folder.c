/* The files of a tokenizer's folder: its vocabulary and the settings beside it, merged as in transformers
 * (5.24):
 *
 *   tokenizer.json           or, without one, vocab.txt, or vocab.json and merges.txt, or a SentencePiece model
 *   tokenizer_config.json    the class with its options, and the special and added tokens
 *   special_tokens_map.json  used if there is no added_tokens_decoder; overrides tokenizer_config
 *   added_tokens.json        used if there is no added_tokens_decoder
 *   config.json              the class when tokenizer_config.json names none, and model_type */
#include "io/tokenizer/folder.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "io/file.h"
#include "io/json.h"
#include "io/tokenizer/roles.h"
#include "io/tokenizer/sentencepiece.h"
#include "io/tokenizer/unicode.h"

static int parse_object(const char *path, const ld_map *map, json_t **out, ld_error *err) {
  json_error_t problem;
  const int rc = ld_json_check_budget(map->bytes, map->length, path, err);
  if (rc) return rc;
  /* Of a repeated key the last one counts, as in Python. */
  *out = json_loadb(map->bytes ? map->bytes : "", map->length, JSON_ALLOW_NUL, &problem);
  /* model_max_length is often 10^30, for "no limit"; in such a file no integer is needed exactly. */
  if (!*out && json_error_code(&problem) == json_error_numeric_overflow)
    *out = json_loadb(map->bytes, map->length, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &problem);
  if (!*out)
    return ld_fail(err, LD_EFORMAT, "%s: line %d, column %d: %s", path, problem.line, problem.column,
                   problem.text);
  return json_is_object(*out) ? 0 : ld_fail(err, LD_EFORMAT, "%s: must be a JSON object", path);
}

/* The JSON object in a file, and the file's size; *out stays NULL when the file does not exist. */
static int read_sized(const char *folder, const char *name, json_t **out, size_t *bytes, ld_error *err) {
  char *path = ld_path_join(folder, name);
  ld_map map;
  int rc = 0;
  *out = NULL;
  if (ld_file_is_named(path) && !(rc = ld_map_open(path, &map, err))) {
    rc = parse_object(path, &map, out, err);
    *bytes += map.length;
    ld_map_close(&map);
  }
  free(path);
  return rc;
}

static int read_object(const char *folder, const char *name, json_t **out, ld_error *err) {
  size_t bytes = 0;
  return read_sized(folder, name, out, &bytes, err);
}

/* Calls `add` for each line, without its end. */
static void each_line(const ld_map *map,
                      void (*add)(json_t *out, size_t number, const char *s, size_t length), json_t *out) {
  const char *s = map->bytes;
  size_t length = map->length;
  for (size_t number = 0; s && length; number++) {
    const char *newline = memchr(s, '\n', length);
    const size_t n = newline ? (size_t)(newline - s) : length, step = n + (newline != NULL);
    add(out, number, s, newline && n && s[n - 1] == '\r' ? n - 1 : n);
    s += step;
    length -= step;
  }
}

/* A token per line, with the line's number as its id; of a repeated token the last one counts. */
static void add_token_line(json_t *out, size_t number, const char *s, size_t length) {
  for (size_t before; length; length = before)
    if (!ld_is_space(ld_utf8_before(s, length, &before))) break;
  json_object_setn_new(out, s, length, json_integer((json_int_t)number));
}

static void add_merge_line(json_t *out, size_t number, const char *s, size_t length) {
  (void)number;
  json_array_append_new(out, json_stringn(s, length));
}

/* Reads a file of lines; `add` turns each into an entry of `out`. */
static int read_lines(const char *path, void (*add)(json_t *out, size_t number, const char *s, size_t length),
                      json_t *out, size_t *bytes, ld_error *err) {
  ld_map map;
  int rc = ld_map_open(path, &map, err);
  if (rc) return rc;
  *bytes += map.length;
  if (ld_utf8_valid(map.bytes ? map.bytes : "", map.length))
    each_line(&map, add, out);
  else
    rc = ld_fail(err, LD_EFORMAT, "%s: is not UTF-8", path);
  ld_map_close(&map);
  return rc;
}

static int read_sentencepiece(const char *path, ld_token_files *files, ld_error *err) {
  ld_map map;
  int rc = ld_map_open(path, &map, err);
  if (rc) return rc;
  files->bytes = map.length;
  rc = ld_sentencepiece_read(map.bytes, map.length, path, &files->source, err);
  ld_map_close(&map);
  return rc;
}

/* Turns an older vocabulary into a tokenizer.json with nothing but its model. */
static int read_vocabulary(const char *folder, const char *vocabulary, ld_token_files *files, ld_error *err) {
  const bool lines = !strcmp(vocabulary, "vocab.txt");
  char *path = ld_path_join(folder, vocabulary), *merges_path = ld_path_join(folder, "merges.txt");
  json_t *model = json_pack("{s:s}", "type", lines ? "WordPiece" : "BPE"), *vocab = NULL;
  int rc = 0;
  if (lines) {
    rc = read_lines(path, add_token_line, vocab = json_object(), &files->bytes, err);
  } else {
    json_t *merges = json_array();
    json_object_set_new(model, "merges", merges);
    rc = read_sized(folder, vocabulary, &vocab, &files->bytes, err);
    if (!rc) rc = read_lines(merges_path, add_merge_line, merges, &files->bytes, err);
  }
  json_object_set_new(model, "vocab", vocab ? vocab : json_null());
  files->source = json_pack("{s:o}", "model", model);
  free(path);
  free(merges_path);
  return rc;
}

/* In special_tokens_map.json a description is of a special token, and is a token at once. In
 * tokenizer_config.json it becomes one only after added_tokens.json is read (see special_tokens.c). */
static void mark_special(json_t *token) {
  if (!json_is_object(token)) return;
  json_object_set_new(token, LD_FROM_MAP, json_true());
  json_object_set_new(token, "__type", json_string("AddedToken"));
  json_object_set_new(token, "special", json_true());
}

static void join_list(json_t *settings, const char *key, json_t *more) {
  const json_t *before = json_object_get(settings, key);
  json_t *joined = json_is_array(before) ? json_copy((json_t *)before) : json_array();
  for (size_t i = 0; i < json_array_size(more); i++) mark_special(json_array_get(more, i));
  json_array_extend(joined, more);
  json_object_set_new(settings, key, joined);
}

/* extra_special_tokens, if given, overrides the older name. */
static void rename_additional(json_t *settings) {
  json_t *additional = json_object_get(settings, "additional_special_tokens");
  const json_t *extra = json_object_get(settings, "extra_special_tokens");
  if (!additional || json_array_size(extra) || json_object_size(extra)) return;
  json_object_set(settings, "extra_special_tokens", additional);
  json_object_del(settings, "additional_special_tokens");
}

/* Extra tokens with names are the model's own. They leave the list empty, and the older name may fill it. */
static void take_named(json_t *settings) {
  json_t *extra = json_object_get(settings, "extra_special_tokens");
  if (!json_is_object(extra)) return;
  json_t *own = json_object_get(settings, LD_MODEL_TOKENS);
  json_t *joined = json_is_object(own) ? json_incref(own) : json_object();
  json_object_update(joined, extra);
  json_object_set_new(settings, LD_MODEL_TOKENS, joined);
  json_object_del(settings, "extra_special_tokens");
}

/* Lists of extra tokens are joined. A token outside the seven roles ("image_token") keeps the spelling of
 * tokenizer_config.json; for everything else special_tokens_map.json has precedence. */
static void join_map(json_t *settings, json_t *map) {
  for (void *at = json_object_iter(map); at; at = json_object_iter_next(map, at)) {
    const char *key = json_object_iter_key(at);
    json_t *value = json_object_iter_value(at);
    const bool extra = !strcmp(key, "extra_special_tokens");
    if (ld_is_other_token(key) && json_is_string(json_object_get(settings, key))) continue;
    if (extra && json_is_array(value)) {
      join_list(settings, key, value);
      continue;
    }
    if (!extra) mark_special(value);
    json_object_set(settings, key, value);
  }
  take_named(settings);
}

static int read_settings(const char *folder, ld_token_files *files, ld_error *err) {
  json_t *map = NULL;
  int rc = read_object(folder, "tokenizer_config.json", &files->settings, err);
  if (!rc && !files->settings) files->settings = json_object();
  if (rc) return rc;
  rename_additional(files->settings);
  take_named(files->settings);
  rc = read_object(folder, "config.json", &files->config, err);
  if (rc || json_object_get(files->settings, "added_tokens_decoder")) return rc;
  rc = read_object(folder, "special_tokens_map.json", &map, err);
  if (!rc) rc = read_object(folder, "added_tokens.json", &files->added, err);
  if (!rc && map) join_map(files->settings, map);
  json_decref(map);
  return rc;
}

static bool has(const char *folder, const char *name) {
  char *path = ld_path_join(folder, name);
  const bool there = ld_file_is_named(path);
  free(path);
  return there;
}

/* The names that SentencePiece models have, by the class of the tokenizer. */
static const char *const sentencepiece_names[] = {"spiece.model", "sentencepiece.bpe.model", "spm.model"};

static bool is_sentencepiece(const char *name) {
  for (size_t i = 0; i < sizeof sentencepiece_names / sizeof *sentencepiece_names; i++)
    if (!strcmp(name, sentencepiece_names[i])) return true;
  return false;
}

/* The vocabulary to use; NULL when there is none. */
static const char *find_vocabulary(const char *folder) {
  if (has(folder, "tokenizer.json")) return "tokenizer.json";
  if (has(folder, "vocab.txt")) return "vocab.txt";
  if (has(folder, "vocab.json") && has(folder, "merges.txt")) return "vocab.json";
  for (size_t i = 0; i < sizeof sentencepiece_names / sizeof *sentencepiece_names; i++)
    if (has(folder, sentencepiece_names[i])) return sentencepiece_names[i];
  return NULL;
}

/* Fails with a hint if the only vocabulary is one that is not supported. */
static int no_vocabulary(const char *folder, ld_error *err) {
  if (has(folder, "tokenizer.model"))
    return ld_fail(err, LD_EFILE, "%s: a tokenizer.model alone is not read: " LD_SAVE_TOKENIZER, folder,
                   folder, folder);
  return ld_fail(err, LD_EFILE,
                 "%s: has no tokenizer.json, vocab.txt, vocab.json with merges.txt, or SentencePiece model "
                 "(spiece.model, sentencepiece.bpe.model, spm.model)",
                 folder);
}

static int read_files(const char *folder, const char *vocabulary, ld_token_files *files, ld_error *err) {
  files->name = ld_path_join(folder, vocabulary);
  files->settings_name = ld_path_join(folder, "tokenizer_config.json");
  files->older = strcmp(vocabulary, "tokenizer.json") != 0;
  const int rc = is_sentencepiece(vocabulary) ? read_sentencepiece(files->name, files, err)
                 : files->older               ? read_vocabulary(folder, vocabulary, files, err)
                                : read_sized(folder, vocabulary, &files->source, &files->bytes, err);
  return rc ? rc : read_settings(folder, files, err);
}

int ld_token_files_read(const char *path, ld_token_files *files, ld_error *err) {
  *files = (ld_token_files){0};
  if (ld_is_folder(path)) {
    const char *vocabulary = find_vocabulary(path);
    return vocabulary ? read_files(path, vocabulary, files, err) : no_vocabulary(path, err);
  }
  const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
  if (strcmp(base, "vocab.txt") && strcmp(base, "vocab.json") && !is_sentencepiece(base)) {
    ld_map map;
    files->name = ld_strdup(path);
    files->settings_name = ld_strdup(path);
    files->settings = json_object();
    int rc = ld_map_open(path, &map, err);
    if (rc) return rc;
    rc = parse_object(path, &map, &files->source, err);
    files->bytes = map.length;
    ld_map_close(&map);
    return rc;
  }
  char *folder = !slash ? ld_strdup(".") : ld_strndup(path, slash == path ? 1 : (size_t)(slash - path));
  const int rc = read_files(folder, base, files, err);
  free(folder);
  return rc;
}

void ld_token_files_free(ld_token_files *files) {
  free(files->name);
  free(files->settings_name);
  json_decref(files->source);
  json_decref(files->settings);
  json_decref(files->added);
  json_decref(files->config);
}
