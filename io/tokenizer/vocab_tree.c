/* The tokenizer.json that transformers (5.24) makes of BERT's vocab.txt, or of GPT-2's or RoBERTa's
 * vocab.json and merges.txt, as a tree for the one loader.
 */
#include "io/json.h"
#include "io/tokenizer/internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* In transformers' order, in which those that the vocabulary lacks get new ids. */
enum { BOS, EOS, UNK, SEP, PAD, CLS, MASK, N_ROLES };

static const char *const roles[N_ROLES] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                           "pad_token", "cls_token", "mask_token"};

static const char *const defaults[][N_ROLES] = {
    [LD_VOCAB_BERT] = {NULL, NULL, "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"},
    [LD_VOCAB_GPT2] = {"<|endoftext|>", "<|endoftext|>", "<|endoftext|>", NULL, NULL, NULL, NULL},
    [LD_VOCAB_ROBERTA] = {"<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"},
};

typedef struct tree {
  const ld_vocab_files *files;
  json_t *vocab, *added;
  json_t *fixed;                /* those of added_tokens_decoder by content */
  json_t *known;                /* by content */
  const char *spelled[N_ROLES]; /* NULL: there is none */
  json_int_t next;              /* id of the next token that the vocabulary lacks */
  ld_error *err;
} tree;

static int fail(const tree *t, const char *key, const char *problem) {
  return ld_fail(t->err, LD_EFORMAT, "%s: tokenizer_config.json beside it: %s %s", t->files->name, key,
                 problem);
}

/* Calls `add` for each line, without its end. */
static void each_line(const char *s, size_t length,
                      void (*add)(json_t *out, size_t number, const char *s, size_t length), json_t *out) {
  for (size_t number = 0; length; number++) {
    const char *newline = memchr(s, '\n', length);
    const size_t n = newline ? (size_t)(newline - s) : length, step = n + (newline != NULL);
    add(out, number, s, newline && n && s[n - 1] == '\r' ? n - 1 : n);
    s += step;
    length -= step;
  }
}

/* A token a line, its id the line's number; of one that stands twice the last counts. */
static void add_token_line(json_t *out, size_t number, const char *s, size_t length) {
  for (size_t before; length; length = before)
    if (!ld_is_space(ld_utf8_before(s, length, &before))) break;
  json_object_setn_new(out, s, length, json_integer((json_int_t)number));
}

static void add_merge_line(json_t *out, size_t number, const char *s, size_t length) {
  (void)number;
  json_array_append_new(out, json_stringn(s, length));
}

static int read_vocab(tree *t) {
  const ld_vocab_files *f = t->files;
  if (!ld_utf8_valid(f->vocab, f->n_vocab) || !ld_utf8_valid(f->merges, f->n_merges))
    return ld_fail(t->err, LD_EFORMAT, "%s: %s is not UTF-8", f->name,
                   ld_utf8_valid(f->vocab, f->n_vocab) ? "merges.txt beside it" : "the file");
  if (f->family == LD_VOCAB_BERT) {
    t->vocab = json_object();
    each_line(f->vocab, f->n_vocab, add_token_line, t->vocab);
    return 0;
  }
  json_error_t problem;
  const int rc = ld_json_check_budget(f->vocab, f->n_vocab, f->name, t->err);
  if (rc) return rc;
  t->vocab = json_loadb(f->vocab, f->n_vocab, JSON_ALLOW_NUL, &problem);
  if (!t->vocab)
    return ld_fail(t->err, LD_EFORMAT, "%s: line %d, column %d: %s", f->name, problem.line, problem.column,
                   problem.text);
  if (json_is_object(t->vocab)) return 0;
  return ld_fail(t->err, LD_EFORMAT, "%s: must be a JSON object of ids", f->name);
}

/* A field of a token's description, or what it is where it says nothing. */
static json_t *field(const json_t *fields, const char *key, bool fallback) {
  json_t *value = json_object_get(fields, key);
  return value ? json_incref(value) : json_boolean(fallback);
}

/* `token` is a spelling or a description with "content". Of two descriptions of a token the last counts;
 * those in added_tokens_decoder count more, but for being special. */
static int add_token(tree *t, const char *key, const json_t *token, bool special, const char **spelled) {
  const json_t *content = json_is_object(token) ? json_object_get(token, "content") : token;
  if (!json_is_string(content)) return fail(t, key, "must be a token: a string, or an object with content");
  *spelled = json_string_value(content);
  json_t *entry = json_object_get(t->fixed, *spelled);
  if (entry && special) json_object_set_new(entry, "special", json_true());
  if (entry || !**spelled) return 0;
  entry = json_object_get(t->known, *spelled);
  if (!entry) {
    json_t *id = json_object_get(t->vocab, *spelled);
    entry =
        json_pack("{s:s, s:o}", "content", *spelled, "id", id ? json_incref(id) : json_integer(t->next++));
    json_object_set(t->known, *spelled, entry);
    json_array_append_new(t->added, entry);
  }
  const bool plain = json_is_string(token) || json_is_true(json_object_get(token, "special"));
  json_object_set_new(entry, "single_word", field(token, "single_word", false));
  json_object_set_new(entry, "lstrip", field(token, "lstrip", false));
  json_object_set_new(entry, "rstrip", field(token, "rstrip", false));
  json_object_set_new(entry, "normalized", field(token, "normalized", !plain));
  json_object_set_new(entry, "special", special ? json_true() : field(token, "special", false));
  return 0;
}

typedef struct numbered {
  long id;
  const json_t *token;
} numbered;

static int compare_numbered(const void *a, const void *b) {
  const long x = ((const numbered *)a)->id, y = ((const numbered *)b)->id;
  return (x > y) - (x < y);
}

static int add_decoder(tree *t) {
  json_t *decoder = json_object_get(t->files->settings, "added_tokens_decoder");
  if (!decoder) return 0;
  if (!json_is_object(decoder)) return fail(t, "added_tokens_decoder", "must be an object");
  numbered *tokens = ld_alloc(json_object_size(decoder), sizeof *tokens);
  size_t n = 0;
  for (void *at = json_object_iter(decoder); at; at = json_object_iter_next(decoder, at))
    tokens[n++] = (numbered){strtol(json_object_iter_key(at), NULL, 10), json_object_iter_value(at)};
  qsort(tokens, n, sizeof *tokens, compare_numbered);
  int rc = 0;
  const char *spelled;
  for (size_t i = 0; !rc && i < n; i++)
    rc = json_is_object(tokens[i].token)
             ? add_token(t, "added_tokens_decoder", tokens[i].token, false, &spelled)
             : fail(t, "added_tokens_decoder", "must have objects");
  free(tokens);
  return rc;
}

static int add_roles(tree *t) {
  int rc = 0;
  for (int i = 0; !rc && i < N_ROLES; i++) {
    json_t *value = json_object_get(t->files->settings, roles[i]);
    const char *fallback = defaults[t->files->family][i];
    if (json_is_null(value) || (!value && !fallback)) continue;
    json_t *token = value ? json_incref(value) : json_string(fallback);
    rc = add_token(t, roles[i], token, true, &t->spelled[i]);
    if (!rc)
      t->spelled[i] = json_string_value(json_object_get(json_object_get(t->known, t->spelled[i]), "content"));
    json_decref(token);
  }
  return rc;
}

static bool is_named(const tree *t, const json_t *token) {
  const char *content = json_string_value(json_object_get(token, "content"));
  for (int i = 0; content && i < N_ROLES; i++)
    if (t->spelled[i] && !strcmp(t->spelled[i], content)) return true;
  return false;
}

/* Lists of tokens; newer files have an object by name, too. */
static int add_extra(tree *t) {
  const json_t *settings = t->files->settings;
  const char *key = "extra_special_tokens", *spelled;
  json_t *extra = json_object_get(settings, key);
  if (!json_array_size(extra) && !json_object_size(extra))
    extra = json_object_get(settings, key = "additional_special_tokens");
  int rc = 0;
  for (size_t i = 0; !rc && i < json_array_size(extra); i++) {
    const json_t *token = json_array_get(extra, i);
    rc = add_token(t, key, token, json_is_string(token) || is_named(t, token), &spelled);
  }
  for (void *at = json_object_iter(extra); !rc && at; at = json_object_iter_next(extra, at))
    rc = add_token(t, key, json_object_iter_value(at), true, &spelled);
  return rc;
}

static int setting(const tree *t, const char *key, bool fallback, bool *out) {
  const json_t *value = json_object_get(t->files->settings, key);
  *out = value ? json_is_true(value) : fallback;
  return !value || json_is_boolean(value) ? 0 : fail(t, key, "must be true or false");
}

/* The id that a role's token has; the role is there. */
static json_t *id_of(const tree *t, int role) {
  return json_object_get(json_object_get(t->known, t->spelled[role]), "id");
}

static int need_role(const tree *t, int role) {
  return t->spelled[role] && *t->spelled[role] ? 0 : fail(t, roles[role], "must be a token");
}

static json_t *cls_sep(const tree *t, const char *type) {
  return json_pack("{s:s, s:[s,O], s:[s,O]}", "type", type, "sep", t->spelled[SEP], id_of(t, SEP), "cls",
                   t->spelled[CLS], id_of(t, CLS));
}

static int build_bert(tree *t, json_t *root) {
  bool lower, chinese, strip;
  int rc = setting(t, "do_lower_case", true, &lower);
  if (!rc) rc = setting(t, "tokenize_chinese_chars", true, &chinese);
  if (!rc && !json_is_null(json_object_get(t->files->settings, "strip_accents")))
    rc = setting(t, "strip_accents", lower, &strip);
  else
    strip = lower;
  if (!rc) rc = need_role(t, UNK);
  if (!rc) rc = need_role(t, SEP);
  if (!rc) rc = need_role(t, CLS);
  if (!rc && !json_object_get(t->vocab, t->spelled[UNK]))
    rc = ld_fail(t->err, LD_EFORMAT, "%s: lacks %s, which stands for unknown words: is it BERT's vocabulary?",
                 t->files->name, t->spelled[UNK]);
  if (rc) return rc;
  json_object_set_new(root, "normalizer",
                      json_pack("{s:s, s:b, s:b, s:b, s:b}", "type", "BertNormalizer", "clean_text", true,
                                "handle_chinese_chars", chinese, "strip_accents", strip, "lowercase", lower));
  json_object_set_new(root, "pre_tokenizer", json_pack("{s:s}", "type", "BertPreTokenizer"));
  json_object_set_new(root, "post_processor", cls_sep(t, "BertProcessing"));
  json_object_set_new(root, "decoder",
                      json_pack("{s:s, s:s, s:b}", "type", "WordPiece", "prefix", "##", "cleanup", true));
  json_object_set_new(root, "model",
                      json_pack("{s:s, s:s, s:s, s:i, s:O}", "type", "WordPiece", "unk_token",
                                t->spelled[UNK], "continuing_subword_prefix", "##",
                                "max_input_chars_per_word", 100, "vocab", t->vocab));
  return 0;
}

static int build_byte_level(tree *t, json_t *root) {
  bool prefix_space;
  const int rc = setting(t, "add_prefix_space", false, &prefix_space);
  if (rc) return rc;
  json_object_set_new(root, "pre_tokenizer",
                      json_pack("{s:s, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", prefix_space,
                                "trim_offsets", true));
  json_object_set_new(root, "decoder", json_pack("{s:s}", "type", "ByteLevel"));
  json_t *merges = json_array();
  each_line(t->files->merges, t->files->n_merges, add_merge_line, merges);
  json_object_set_new(root, "model",
                      json_pack("{s:s, s:O, s:o}", "type", "BPE", "vocab", t->vocab, "merges", merges));
  return rc;
}

static int build_roberta(tree *t, json_t *root) {
  int rc = need_role(t, SEP);
  if (!rc) rc = need_role(t, CLS);
  if (!rc) rc = build_byte_level(t, root);
  if (!rc) json_object_set_new(root, "post_processor", cls_sep(t, "RobertaProcessing"));
  return rc;
}

static void append_special(const tree *t, int role, int type, json_t *list) {
  json_array_append_new(list,
                        json_pack("{s:{s:s, s:i}}", "SpecialToken", "id", t->spelled[role], "type_id", type));
}

/* bos text eos, for text A or, with type 1, text B. */
static void append_text(const tree *t, int type, bool bos, bool eos, json_t *list) {
  if (bos) append_special(t, BOS, type, list);
  json_array_append_new(list,
                        json_pack("{s:{s:s, s:i}}", "Sequence", "id", type ? "B" : "A", "type_id", type));
  if (eos) append_special(t, EOS, type, list);
}

static int build_gpt2(tree *t, json_t *root) {
  bool bos, eos;
  int rc = setting(t, "add_bos_token", false, &bos);
  if (!rc) rc = setting(t, "add_eos_token", false, &eos);
  if (!rc && bos) rc = need_role(t, BOS);
  if (!rc && eos) rc = need_role(t, EOS);
  if (!rc) rc = build_byte_level(t, root);
  if (rc || (!bos && !eos)) return rc;
  json_t *single = json_array(), *pair = json_array(), *special = json_object();
  append_text(t, 0, bos, eos, single);
  append_text(t, 0, bos, eos, pair);
  append_text(t, 1, bos, eos, pair);
  for (int role = BOS; role <= EOS; role++)
    if (t->spelled[role] && *t->spelled[role])
      json_object_set_new(special, t->spelled[role], json_pack("{s:[O]}", "ids", id_of(t, role)));
  json_object_set_new(root, "post_processor",
                      json_pack("{s:s, s:o, s:o, s:o}", "type", "TemplateProcessing", "single", single,
                                "pair", pair, "special_tokens", special));
  return 0;
}

int ld_vocab_tree(const ld_vocab_files *files, json_t **root, ld_error *err) {
  static int (*const build[])(tree * t, json_t * root) = {
      [LD_VOCAB_BERT] = build_bert, [LD_VOCAB_GPT2] = build_gpt2, [LD_VOCAB_ROBERTA] = build_roberta};
  tree t = {.files = files, .added = json_array(), .known = json_object(), .err = err};
  int rc = read_vocab(&t);
  t.next = (json_int_t)json_object_size(t.vocab);
  if (!rc) rc = add_decoder(&t);
  t.fixed = json_copy(t.known);
  if (!rc) rc = add_roles(&t);
  if (!rc) rc = add_extra(&t);
  *root = json_pack("{s:s, s:O}", "version", "1.0", "added_tokens", t.added);
  if (!rc) rc = build[files->family](&t, *root);
  if (rc) {
    json_decref(*root);
    *root = NULL;
  }
  json_decref(t.vocab);
  json_decref(t.added);
  json_decref(t.known);
  json_decref(t.fixed);
  return rc;
}
