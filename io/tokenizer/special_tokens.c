/* Merges the added tokens of a folder's files: order, flags and ids are those of transformers (5.24).
 *
 * First come the tokens of added_tokens_decoder (or, without it, of added_tokens.json and tokenizer.json) by
 * their index, then the special tokens that no file has yet. The index only decides the order: a token that
 * the vocabulary lacks gets the next free id. A token that tokenizer.json already has is added again if its
 * flags differ, and gets the new ones. */
#include "io/tokenizer/special_tokens.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/tokenizer/folder.h"
#include "io/tokenizer/roles.h"

typedef struct merging {
  const ld_token_files *files;
  const ld_token_rules *rules;
  ld_special_tokens *out;
  json_t *there;    /* by content: tokenizer.json's tokens, if they are kept */
  json_t *by_index; /* descriptions from the files of added tokens */
  json_t *names;    /* the tokens of the roles, in order */
  json_t *named;    /* their contents */
  json_t *taken;    /* contents in `there` or `by_index` */
  json_t *extra;    /* the settings' list of extra tokens, with the class's; may be NULL */
  json_t *specials; /* the special tokens that were looked at to be added */
  json_t *more;     /* the tokens to add */
  ld_error *err;
} merging;

static int fail(const merging *m, const char *key, const char *problem) {
  return ld_fail(m->err, LD_EFORMAT, "%s: %s %s", m->files->settings_name, key, problem);
}

static const char *content_of(const json_t *token) {
  return json_string_value(json_is_object(token) ? json_object_get(token, "content") : token);
}

static json_t *field(const json_t *token, const char *key, bool fallback) {
  json_t *value = json_object_get(token, key);
  return value && !json_is_null(value) ? json_incref(value) : json_boolean(fallback);
}

/* A spelling or a description in the form of tokenizer.json. A spelling is a special token. */
static json_t *entry_of(const json_t *token, bool special) {
  json_t *flag = special || json_is_string(token) ? json_true() : field(token, "special", false);
  const bool normalized = json_is_object(token) && !json_is_true(flag);
  return json_pack("{s:s, s:i, s:o, s:o, s:o, s:o, s:o}", "content", content_of(token), "id", 0,
                   "single_word", field(token, "single_word", false), "lstrip", field(token, "lstrip", false),
                   "rstrip", field(token, "rstrip", false), "normalized",
                   field(token, "normalized", normalized), "special", flag);
}

static bool contains(const json_t *set, const char *content) {
  return json_object_get(set, content) != NULL;
}

static void put(json_t *set, const char *content) {
  json_object_set_new(set, content, json_true());
}

static int describe(const merging *m, const char *index, json_t *token) {
  char *end;
  strtol(index, &end, 10);
  if (!content_of(token) || !json_is_object(token) || !*index || *end)
    return fail(m, "added_tokens_decoder", "must be an object of ids, each with a token's description");
  json_object_set(m->by_index, index, token);
  return 0;
}

static int describe_at(const merging *m, json_int_t index, json_t *token) {
  char key[32];
  snprintf(key, sizeof key, "%lld", (long long)index);
  return describe(m, key, token);
}

/* A setting as it reads before descriptions in tokenizer_config.json become tokens. */
static bool reads_as(const json_t *setting, const char *content) {
  if (json_is_object(setting) && !json_object_get(setting, LD_FROM_MAP)) return false;
  const char *token = content_of(setting);
  return token && !strcmp(token, content);
}

/* Whether settings make the token special; the class's own defaults do not count here. */
static bool is_set_special(const merging *m, const char *content) {
  const json_t *settings = m->files->settings, *extra = json_object_get(settings, "extra_special_tokens");
  for (int i = 0; i < LD_N_ROLES; i++)
    if (reads_as(json_object_get(settings, ld_token_roles[i]), content)) return true;
  for (size_t i = 0; i < json_array_size(extra); i++)
    if (reads_as(json_array_get(extra, i), content)) return true;
  return false;
}

/* added_tokens.json is {"content": id, ...}. */
static int describe_added(const merging *m) {
  json_t *added = m->files->added;
  for (void *at = json_object_iter(added); at; at = json_object_iter_next(added, at)) {
    const char *content = json_object_iter_key(at);
    const json_t *id = json_object_iter_value(at);
    if (!json_is_integer(id))
      return ld_fail(m->err, LD_EFORMAT, "%s: in added_tokens.json beside it \"%.100s\" must have an id",
                     m->files->name, content);
    const bool special = is_set_special(m, content);
    json_t *token =
        json_pack("{s:s, s:b, s:b}", "content", content, "special", special, "normalized", !special);
    const int rc = describe_at(m, json_integer_value(id), token);
    json_decref(token);
    if (rc) return rc;
  }
  return 0;
}

static int describe_source(const merging *m) {
  const json_t *list = json_object_get(m->files->source, "added_tokens");
  for (size_t i = 0; i < json_array_size(list); i++) {
    json_t *token = json_array_get(list, i), *id = json_object_get(token, "id");
    if (!json_is_integer(id) || !content_of(token))
      return ld_fail(m->err, LD_EFORMAT, "%s: added_tokens must be of objects with content and id",
                     m->files->name);
    const int rc = describe_at(m, json_integer_value(id), token);
    if (rc) return rc;
  }
  return 0;
}

static int describe_all(const merging *m) {
  json_t *decoder = json_object_get(m->files->settings, "added_tokens_decoder");
  int rc = 0;
  if (!decoder) {
    rc = describe_added(m);
    return rc ? rc : describe_source(m);
  }
  if (!json_is_object(decoder)) return fail(m, "added_tokens_decoder", "must be an object");
  for (void *at = json_object_iter(decoder); at && !rc; at = json_object_iter_next(decoder, at))
    rc = describe(m, json_object_iter_key(at), json_object_iter_value(at));
  return rc;
}

typedef struct numbered {
  long index;
  json_t *token;
} numbered;

static int compare_numbered(const void *a, const void *b) {
  const long x = ((const numbered *)a)->index, y = ((const numbered *)b)->index;
  return (x > y) - (x < y);
}

/* By their index, without those that exist with the same flags. */
static void add_described(const merging *m) {
  numbered *tokens = ld_alloc(json_object_size(m->by_index), sizeof *tokens);
  size_t n = 0;
  for (void *at = json_object_iter(m->by_index); at; at = json_object_iter_next(m->by_index, at))
    tokens[n++] = (numbered){strtol(json_object_iter_key(at), NULL, 10), json_object_iter_value(at)};
  qsort(tokens, n, sizeof *tokens, compare_numbered);
  for (size_t i = 0; i < n; i++) {
    const char *content = content_of(tokens[i].token);
    json_t *plain = entry_of(tokens[i].token, false);
    put(m->taken, content);
    if (!json_equal(json_object_get(m->there, content), plain))
      json_array_append_new(m->more, entry_of(tokens[i].token, contains(m->named, content)));
    json_decref(plain);
  }
  free(tokens);
}

/* The tokens of tokenizer.json; of a repeated content the last one counts. */
static void find_there(const merging *m) {
  const json_t *list = json_object_get(m->files->source, "added_tokens");
  for (size_t i = 0; i < json_array_size(list); i++) {
    const char *content = content_of(json_array_get(list, i));
    if (!content) continue;
    json_object_set_new(m->there, content, entry_of(json_array_get(list, i), false));
    put(m->taken, content);
  }
}

static int name(const merging *m, const char *key, const json_t *token) {
  const char *content = content_of(token);
  if (!content) return fail(m, key, "must be a token: a string, or an object with content");
  put(m->named, content);
  json_array_append_new(m->names, json_copy((json_t *)token));
  return 0;
}

/* A role's token without flags. */
static json_t *plain_role(const merging *m, int role, const char *content) {
  if (role != LD_MASK || !m->rules->mask_takes_space) return json_string(content);
  return json_pack("{s:s, s:b, s:b}", "content", content, "lstrip", true, "normalized", true);
}

/* The seven roles; without a setting, the class's token. */
static int name_roles(const merging *m) {
  const ld_token_rules *rules = m->rules;
  int rc = 0;
  for (int i = 0; i < LD_N_ROLES && !rc; i++) {
    const json_t *value = json_object_get(m->files->settings, ld_token_roles[i]);
    if (json_is_null(value) || (!value && !rules->roles[i])) continue;
    const char *plain = value ? json_string_value(value) : rules->roles[i];
    json_t *token = plain ? plain_role(m, i, plain) : json_incref((json_t *)value);
    rc = name(m, ld_token_roles[i], token);
    if (!rc) m->out->roles[i] = json_string(content_of(token));
    json_decref(token);
  }
  return rc;
}

/* Any other key that ends in _token and has a token ("image_token"), and the extra tokens with names. */
static int name_others(const merging *m) {
  json_t *settings = m->files->settings, *named = json_object_get(settings, LD_MODEL_TOKENS);
  int rc = 0;
  for (void *at = json_object_iter(settings); at && !rc; at = json_object_iter_next(settings, at)) {
    const char *key = json_object_iter_key(at);
    const json_t *value = json_object_iter_value(at);
    if (ld_is_other_token(key) && (json_is_string(value) || json_object_get(value, "__type")))
      rc = name(m, key, value);
  }
  for (void *at = json_object_iter(named); at && !rc; at = json_object_iter_next(named, at))
    rc = name(m, "extra_special_tokens", json_object_iter_value(at));
  return rc;
}

/* The older name is used when the newer one is absent. */
static int find_extra(merging *m) {
  json_t *extra = json_object_get(m->files->settings, "extra_special_tokens");
  json_t *additional = json_object_get(m->files->settings, "additional_special_tokens");
  const bool given = additional && !json_is_null(additional);
  m->extra = json_incref(extra ? extra : additional);
  if (extra || !m->rules->add_extra || (given && !json_is_array(additional))) return 0;
  m->extra = given ? json_copy(additional) : json_array();
  if (given) json_decref(additional);
  return m->rules->add_extra(m->files, m->extra, given, m->err);
}

/* Of several tokens with one content, the last counts that is not the same as an earlier one. A spelling and a
 * description are never the same. */
static void add_special(const merging *m, const json_t *token) {
  const char *content = content_of(token);
  if (contains(m->taken, content)) return;
  json_t *plain = json_is_object(token) ? entry_of(token, false) : json_string(content);
  bool again = false;
  for (size_t i = 0; !again && i < json_array_size(m->specials); i++)
    again = json_equal(json_array_get(m->specials, i), plain);
  if (!again) json_array_append_new(m->more, entry_of(token, contains(m->named, content)));
  json_array_append_new(m->specials, plain);
}

static int add_specials(const merging *m) {
  const json_t *extra = m->extra;
  if (extra && !json_is_null(extra) && !json_is_array(extra))
    return fail(m, "extra_special_tokens", "must be a list of tokens, or an object of them");
  for (size_t i = 0; i < json_array_size(m->names); i++) add_special(m, json_array_get(m->names, i));
  for (size_t i = 0; i < json_array_size(extra); i++) {
    const json_t *token = json_array_get(extra, i);
    if (!content_of(token)) return fail(m, "extra_special_tokens", "must be a list of tokens");
    add_special(m, token);
  }
  return 0;
}

/* A class that adds all special tokens again sets no flag but `special`. */
static void add_again(const merging *m) {
  const json_t *extra = m->extra;
  for (void *at = json_object_iter(m->named); at; at = json_object_iter_next(m->named, at)) {
    json_t *content = json_string(json_object_iter_key(at));
    json_array_append_new(m->more, entry_of(content, true));
    json_decref(content);
  }
  for (size_t i = 0; i < json_array_size(extra); i++) {
    json_t *content = json_string(content_of(json_array_get(extra, i)));
    json_array_append_new(m->more, entry_of(content, true));
    json_decref(content);
  }
}

/* The tokens of all roles. */
static void list_skipped(const merging *m) {
  for (size_t i = 0; i < json_array_size(m->names); i++)
    json_array_append_new(m->out->skipped, json_string(content_of(json_array_get(m->names, i))));
}

/* The ids of the added tokens that are in a list of tokens with scores; NULL for another vocabulary. */
static json_t *ids_in_list(const merging *m, const json_t *vocab) {
  if (!json_is_array(vocab)) return NULL;
  json_t *ids = json_object(), *wanted = json_object();
  for (size_t i = 0; i < json_array_size(m->out->added); i++) {
    const char *content = content_of(json_array_get(m->out->added, i));
    if (content) put(wanted, content);
  }
  for (size_t i = 0; i < json_array_size(vocab); i++) {
    const char *token = json_string_value(json_array_get(json_array_get(vocab, i), 0));
    if (token && contains(wanted, token)) json_object_set_new(ids, token, json_integer((json_int_t)i));
  }
  json_decref(wanted);
  return ids;
}

/* The ids that the added tokens will have, by content: the vocabulary's, or the next free ones. */
static void find_ids(const merging *m) {
  const json_t *vocab = json_object_get(json_object_get(m->files->source, "model"), "vocab");
  json_int_t next = (json_int_t)(json_is_array(vocab) ? json_array_size(vocab) : json_object_size(vocab));
  json_t *ids = ids_in_list(m, vocab);
  for (size_t i = 0; i < json_array_size(m->out->added); i++) {
    const char *content = content_of(json_array_get(m->out->added, i));
    if (!content || !*content || contains(m->out->ids, content)) continue;
    json_t *id = json_object_get(ids ? ids : vocab, content);
    json_object_set_new(m->out->ids, content, id ? json_incref(id) : json_integer(next++));
  }
  json_decref(ids);
}

static int merge(merging *m) {
  const ld_token_rules *rules = m->rules;
  if (rules->kept) find_there(m);
  int rc = find_extra(m);
  if (!rc) rc = name_roles(m);
  if (!rc) rc = name_others(m);
  if (!rc) rc = describe_all(m);
  if (rc) return rc;
  add_described(m);
  rc = add_specials(m);
  if (rc) return rc;
  if (rules->plain) add_again(m);
  list_skipped(m);
  json_t *before = rules->kept ? json_object_get(m->files->source, "added_tokens") : NULL;
  m->out->added = json_is_array(before) ? json_copy(before) : json_array();
  json_array_extend(m->out->added, m->more);
  find_ids(m);
  return 0;
}

int ld_special_tokens_merge(const ld_token_files *files, const ld_token_rules *rules, ld_special_tokens *out,
                            ld_error *err) {
  *out = (ld_special_tokens){.ids = json_object(), .skipped = json_array()};
  merging m = {.files = files,
               .rules = rules,
               .out = out,
               .there = json_object(),
               .by_index = json_object(),
               .names = json_array(),
               .named = json_object(),
               .taken = json_object(),
               .specials = json_array(),
               .more = json_array(),
               .err = err};
  const int rc = merge(&m);
  json_decref(m.extra);
  json_decref(m.there);
  json_decref(m.by_index);
  json_decref(m.names);
  json_decref(m.named);
  json_decref(m.taken);
  json_decref(m.specials);
  json_decref(m.more);
  return rc;
}

void ld_special_tokens_free(ld_special_tokens *tokens) {
  for (int i = 0; i < LD_N_ROLES; i++) json_decref(tokens->roles[i]);
  json_decref(tokens->added);
  json_decref(tokens->ids);
  json_decref(tokens->skipped);
}

const char *ld_special_token(const ld_special_tokens *tokens, int role) {
  return json_string_value(tokens->roles[role]);
}

int ld_special_token_need(const ld_token_files *files, const ld_special_tokens *tokens, int role,
                          ld_error *err) {
  const char *token = ld_special_token(tokens, role);
  if (token && *token) return 0;
  return ld_fail(err, LD_EFORMAT, "%s: %s must be a token", files->settings_name, ld_token_roles[role]);
}
