/* Tokenizer classes with a Unigram model: what transformers (5.24) takes from a tokenizer.json is the pieces
 * with their scores and the charsmap of SentencePiece; normalizers, pre-tokenizers and templates are the
 * class's. */
#include "io/tokenizer/class_unigram.h"

#include <stdio.h>
#include <string.h>

#include "io/tokenizer/class_parts.h"
#include "io/tokenizer/folder.h"
#include "io/tokenizer/roles.h"
#include "io/tokenizer/special_tokens.h"

#define SPACE "\xe2\x96\x81" /* SentencePiece's visible space */

/* The charsmap of the file's normalizer, as a normalizer by itself; NULL when there is none. */
static json_t *charsmap(const ld_class_input *in) {
  const json_t *normalizer = json_object_get(in->files->source, "normalizer");
  const json_t *list = json_object_get(normalizer, "normalizers");
  const char *type = json_string_value(json_object_get(normalizer, "type"));
  const bool several = type && !strcmp(type, "Sequence");
  for (size_t i = 0; i < (several ? json_array_size(list) : 1); i++) {
    const json_t *part = several ? json_array_get(list, i) : normalizer;
    const char *name = json_string_value(json_object_get(part, "type"));
    json_t *map = json_object_get(part, "precompiled_charsmap");
    if (name && !strcmp(name, "Precompiled") && map)
      return json_pack("{s:s, s:O}", "type", "Precompiled", "precompiled_charsmap", map);
  }
  return NULL;
}

/* true or false of the settings; null counts as false, as in Python. */
static int truth(const ld_class_input *in, const char *key, bool fallback, bool *out) {
  *out = false;
  return json_is_null(json_object_get(in->files->settings, key)) ? 0
                                                                 : ld_class_setting(in, key, fallback, out);
}

static json_t *simple(const char *type) {
  return json_pack("{s:s}", "type", type);
}

static json_t *replace(const char *kind, const char *pattern, const char *content) {
  return json_pack("{s:s, s:{s:s}, s:s}", "type", "Replace", "pattern", kind, pattern, "content", content);
}

static void add_unless_null(json_t *list, json_t *part) {
  if (part) json_array_append_new(list, part);
}

static void put_normalizers(json_t *root, json_t *list) {
  json_object_set_new(root, "normalizer", json_pack("{s:s, s:o}", "type", "Sequence", "normalizers", list));
}

static void put_model(const ld_class_input *in, json_t *root, json_int_t unk_id) {
  json_object_set_new(root, "model",
                      json_pack("{s:s, s:I, s:O}", "type", "Unigram", "unk_id", unk_id, "vocab", in->vocab));
}

/* Metaspace after another pre-tokenizer, or alone; and the decoder. */
static void put_metaspace(json_t *root, json_t *before, const char *scheme) {
  json_t *part = json_pack("{s:s, s:s, s:s, s:b}", "type", "Metaspace", "replacement", SPACE,
                           "prepend_scheme", scheme, "split", true);
  json_t *list = before ? json_pack("[o, O]", before, part) : json_pack("[O]", part);
  json_object_set_new(root, "pre_tokenizer",
                      json_pack("{s:s, s:o}", "type", "Sequence", "pretokenizers", list));
  json_object_set_new(root, "decoder", part);
}

/* A special token of a template. */
typedef struct special {
  const char *token;
  json_t *id;
} special;

/* "xA1y" is the special token x, text A with type 1, the special token y. */
static json_t *pieces_of(const char *pattern, const special tokens[2]) {
  json_t *list = json_array();
  for (const char *c = pattern; *c; c++) {
    const bool text = *c == 'A' || *c == 'B', typed = c[1] == '1';
    const char *id = text ? (char[]){*c, 0} : tokens[*c - 'x'].token;
    json_array_append_new(list, json_pack("{s:{s:s, s:i}}", text ? "Sequence" : "SpecialToken", "id", id,
                                          "type_id", (int)typed));
    c += typed;
  }
  return list;
}

static void put_template(json_t *root, const char *single, const char *pair, special x, special y) {
  const special tokens[2] = {x, y};
  json_t *named = json_object();
  for (int i = 0; i < 2; i++)
    if (tokens[i].token)
      json_object_set_new(named, tokens[i].token, json_pack("{s:[O]}", "ids", tokens[i].id));
  json_object_set_new(root, "post_processor",
                      json_pack("{s:s, s:o, s:o, s:o}", "type", "TemplateProcessing", "single",
                                pieces_of(single, tokens), "pair", pieces_of(pair, tokens), "special_tokens",
                                named));
}

static special special_of(const ld_class_input *in, int role) {
  return (special){ld_special_token(in->tokens, role), ld_class_id(in, role)};
}

/* The number of a piece, of equal ones the last; -1: none. */
static json_int_t find_piece(const json_t *vocab, const char *piece) {
  for (size_t i = json_array_size(vocab); i--;) {
    const char *other = json_string_value(json_array_get(json_array_get(vocab, i), 0));
    if (other && !strcmp(other, piece)) return (json_int_t)i;
  }
  return -1;
}

/* The first unk_token with score 0, which is how some classes find it; -1: none. */
static json_int_t find_unknown(const ld_class_input *in, size_t from) {
  const char *unknown = ld_special_token(in->tokens, LD_UNK);
  for (size_t i = from; unknown && i < json_array_size(in->vocab); i++) {
    const json_t *entry = json_array_get(in->vocab, i);
    const char *piece = json_string_value(json_array_get(entry, 0));
    if (piece && !strcmp(piece, unknown) && json_number_value(json_array_get(entry, 1)) == 0)
      return (json_int_t)i;
  }
  return -1;
}

static int build_t5(const ld_class_input *in, json_t *root) {
  const int rc = ld_class_need(in, LD_EOS);
  if (rc) return rc;
  json_t *map = charsmap(in);
  put_model(in, root, 2);
  if (map) json_object_set_new(root, "normalizer", map);
  put_metaspace(root, simple("WhitespaceSplit"), "always");
  put_template(root, "Ax", "AxBx", (special){"</s>", ld_class_id(in, LD_EOS)}, (special){0});
  return 0;
}

static int build_xlm_roberta(const ld_class_input *in, json_t *root) {
  bool prefix_space;
  int rc = truth(in, "add_prefix_space", true, &prefix_space);
  if (!rc) rc = ld_class_need(in, LD_BOS);
  if (!rc) rc = ld_class_need(in, LD_EOS);
  if (rc) return rc;
  json_t *map = charsmap(in);
  put_model(in, root, 3);
  if (map) json_object_set_new(root, "normalizer", map);
  put_metaspace(root, simple("WhitespaceSplit"), prefix_space ? "always" : "never");
  put_template(root, "xAy", "xAyyBy", special_of(in, LD_BOS), special_of(in, LD_EOS));
  return 0;
}

/* The ids in the class's template are those of pieces. */
static int put_albert_template(const ld_class_input *in, json_t *root) {
  const char *cls = ld_special_token(in->tokens, LD_CLS), *sep = ld_special_token(in->tokens, LD_SEP);
  const json_int_t ids[2] = {find_piece(in->vocab, cls), find_piece(in->vocab, sep)};
  if (ids[0] < 0 || ids[1] < 0)
    return ld_class_fail(in, ids[0] < 0 ? "cls_token" : "sep_token", "must be a piece of the vocabulary");
  json_t *first = json_integer(ids[0]), *last = json_integer(ids[1]);
  put_template(root, "xAy", "xAyB1y1", (special){"[CLS]", first}, (special){"[SEP]", last});
  json_decref(first);
  json_decref(last);
  return 0;
}

static int build_albert(const ld_class_input *in, json_t *root) {
  bool lower, accents, prefix_space;
  int rc = truth(in, "do_lower_case", true, &lower);
  if (!rc) rc = truth(in, "keep_accents", false, &accents);
  if (!rc) rc = truth(in, "add_prefix_space", true, &prefix_space);
  if (!rc) rc = ld_class_need(in, LD_CLS);
  if (!rc) rc = ld_class_need(in, LD_SEP);
  if (rc) return rc;
  json_t *list = json_pack("[o, o]", replace("String", "``", "\""), replace("String", "''", "\""));
  if (!accents) json_array_append_new(list, simple("NFKD"));
  if (!accents) json_array_append_new(list, simple("StripAccents"));
  if (lower) json_array_append_new(list, simple("Lowercase"));
  add_unless_null(list, charsmap(in));
  put_normalizers(root, list);
  put_model(in, root, 1);
  put_metaspace(root, simple("WhitespaceSplit"), prefix_space ? "always" : "never");
  const json_t *settings = in->files->settings;
  const bool flags = json_object_get(settings, "add_bos_token") || json_object_get(settings, "add_eos_token");
  if (in->post_processor || (in->files->older && flags)) return ld_class_post_process(in, root);
  return put_albert_template(in, root);
}

static int build_deberta(const ld_class_input *in, json_t *root) {
  bool lower, split, prefix_space;
  int rc = truth(in, "do_lower_case", false, &lower);
  if (!rc) rc = truth(in, "split_by_punct", false, &split);
  if (!rc) rc = truth(in, "add_prefix_space", true, &prefix_space);
  if (!rc) rc = ld_class_need(in, LD_CLS);
  if (!rc) rc = ld_class_need(in, LD_SEP);
  if (rc) return rc;
  const json_t *setting = json_object_get(in->files->settings, "unk_id");
  json_int_t unk_id = find_unknown(in, 0);
  if (unk_id < 0) unk_id = json_is_integer(setting) ? json_integer_value(setting) : 1;
  json_t *list = json_array();
  if (lower) json_array_append_new(list, simple("Lowercase"));
  json_array_append_new(list, replace("Regex", "\\s{2,}|[\\n\\r\\t]", " "));
  json_array_append_new(list, simple("NFC"));
  json_array_append_new(
      list, json_pack("{s:s, s:b, s:b}", "type", "Strip", "strip_left", false, "strip_right", true));
  put_normalizers(root, list);
  put_model(in, root, unk_id);
  put_metaspace(root, split ? json_pack("{s:s, s:s}", "type", "Punctuation", "behavior", "Isolated") : NULL,
                prefix_space ? "always" : "first");
  put_template(root, "xAy", "xAyB1y1", special_of(in, LD_CLS), special_of(in, LD_SEP));
  return 0;
}

static int build_pegasus(const ld_class_input *in, json_t *root) {
  const int rc = ld_class_need(in, LD_EOS);
  const json_int_t unk_id = find_unknown(in, 1);
  if (rc) return rc;
  if (unk_id < 0) return ld_class_fail(in, "unk_token", "must be a piece of score 0 in the vocabulary");
  json_t *map = charsmap(in);
  json_t *first = map ? map : replace("Regex", "\\n", " ");
  put_normalizers(root, json_pack("[o, o]", first, replace("Regex", " {2,}", " ")));
  put_model(in, root, unk_id);
  put_metaspace(root, NULL, "always");
  put_template(root, "Ax", "ABx", special_of(in, LD_EOS), (special){0});
  return 0;
}

/* src_lang, a language's token. */
static int find_language(const ld_class_input *in, const char **token, json_t **id) {
  const json_t *setting = json_object_get(in->files->settings, "src_lang");
  *token = json_string_value(setting);
  if (!setting || json_is_null(setting)) *token = "en_XX";
  json_t *added = *token ? json_object_get(in->tokens->ids, *token) : NULL;
  const json_int_t piece = *token && !added ? find_piece(in->vocab, *token) : -1;
  if (!added && piece < 0) return ld_class_fail(in, "src_lang", "must be a language that the tokenizer has");
  *id = added ? json_incref(added) : json_integer(piece);
  return 0;
}

static int put_language(const ld_class_input *in, json_t *root, const char *single, const char *pair) {
  special language = {0};
  int rc = ld_class_need(in, LD_EOS);
  if (!rc) rc = find_language(in, &language.token, &language.id);
  if (rc) return rc;
  put_template(root, single, pair, special_of(in, LD_EOS), language);
  json_decref(language.id);
  return 0;
}

static int build_mbart(const ld_class_input *in, json_t *root) {
  put_model(in, root, 3);
  put_metaspace(root, simple("WhitespaceSplit"), "always");
  return put_language(in, root, "Axy", "ABxy");
}

static int build_mbart50(const ld_class_input *in, json_t *root) {
  json_t *list = json_array();
  add_unless_null(list, charsmap(in));
  json_array_append_new(list, replace("Regex", " {2,}", " "));
  put_normalizers(root, list);
  put_model(in, root, 3);
  put_metaspace(root, NULL, "always");
  return put_language(in, root, "yAx", "yABx");
}

static const char *content_of(const json_t *token) {
  return json_string_value(json_is_object(token) ? json_object_get(token, "content") : token);
}

static bool contains(const json_t *list, const char *content) {
  for (size_t i = 0; i < json_array_size(list); i++) {
    const char *other = content_of(json_array_get(list, i));
    if (other && !strcmp(other, content)) return true;
  }
  return false;
}

/* A number of tokens that the settings may give. */
static int read_count(const ld_token_files *files, const char *key, int fallback, int *out, ld_error *err) {
  const json_t *value = json_object_get(files->settings, key);
  *out = value ? (int)json_integer_value(value) : fallback;
  if (!value ||
      (json_is_integer(value) && json_integer_value(value) >= 0 && json_integer_value(value) < 100000))
    return 0;
  return ld_fail(err, LD_EFORMAT, "%s: %s must be an integer from 0 to 99999", files->settings_name, key);
}

static void add_numbered(json_t *list, const char *format, int from, int end) {
  for (int i = from; i < end; i++) {
    char token[40];
    snprintf(token, sizeof token, format, i);
    json_array_append_new(list, json_string(token));
  }
}

/* <extra_id_0> and on, unless the settings have such tokens. */
static int add_t5_tokens(const ld_token_files *files, json_t *list, bool given, ld_error *err) {
  int wanted, there = 0;
  const int rc = read_count(files, "extra_ids", 100, &wanted, err);
  if (rc) return rc;
  for (size_t i = 0; i < json_array_size(list); i++) {
    const char *token = content_of(json_array_get(list, i));
    there += token && strstr(token, "<extra_id_");
  }
  if (given && there && wanted && there != wanted)
    return ld_fail(err, LD_EFORMAT,
                   "%s: extra_ids is %d, but additional_special_tokens has %d tokens <extra_id_...>",
                   files->settings_name, wanted, there);
  if (!there) add_numbered(list, "<extra_id_%d>", 0, wanted);
  return 0;
}

/* The mask of sentences and <unk_2> and on; given ones are replaced. */
static int add_pegasus_tokens(const ld_token_files *files, json_t *list, bool given, ld_error *err) {
  int offset;
  const json_t *setting = json_object_get(files->settings, "mask_token_sent");
  const char *mask = setting ? content_of(setting) : "<mask_1>";
  const int rc = read_count(files, "offset", 103, &offset, err);
  if (rc) return rc;
  const bool has_mask = given && mask && contains(list, mask);
  json_array_clear(list);
  if (!has_mask && mask) json_array_append_new(list, json_string(mask));
  add_numbered(list, "<unk_%d>", 2, offset);
  return 0;
}

static const char *const languages[] = {
    "ar_AR", "cs_CZ", "de_DE", "en_XX", "es_XX", "et_EE", "fi_FI", "fr_XX", "gu_IN", "hi_IN", "it_IT",
    "ja_XX", "kk_KZ", "ko_KR", "lt_LT", "lv_LV", "my_MM", "ne_NP", "nl_XX", "ro_RO", "ru_RU", "si_LK",
    "tr_TR", "vi_VN", "zh_CN", "af_ZA", "az_AZ", "bn_IN", "fa_IR", "he_IL", "hr_HR", "id_ID", "ka_GE",
    "km_KH", "mk_MK", "ml_IN", "mn_MN", "mr_IN", "pl_PL", "ps_AF", "pt_XX", "sv_SE", "sw_KE", "ta_IN",
    "te_IN", "th_TH", "tl_XX", "uk_UA", "ur_PK", "xh_ZA", "gl_ES", "sl_SI",
};

enum { MBART_LANGUAGES = 25, MBART50_LANGUAGES = sizeof languages / sizeof *languages };

static int add_mbart_tokens(const ld_token_files *files, json_t *list, bool given, ld_error *err) {
  (void)files;
  (void)given;
  (void)err;
  json_t *own = json_array();
  for (size_t i = 0; i < MBART_LANGUAGES; i++) json_array_append_new(own, json_string(languages[i]));
  for (size_t i = 0; i < json_array_size(list); i++) {
    json_t *token = json_array_get(list, i);
    const char *content = content_of(token);
    if (content && !contains(own, content)) json_array_append(own, token);
  }
  json_array_clear(list);
  json_array_extend(list, own);
  json_decref(own);
  return 0;
}

static int add_mbart50_tokens(const ld_token_files *files, json_t *list, bool given, ld_error *err) {
  (void)files;
  (void)given;
  (void)err;
  for (size_t i = 0; i < MBART50_LANGUAGES; i++) json_array_append_new(list, json_string(languages[i]));
  return 0;
}

/* A role's token in the settings, or the fallback; null reads "None", as in Python. */
static const char *role_of(const ld_token_files *files, const char *role, const char *fallback) {
  const json_t *setting = json_object_get(files->settings, role);
  const char *content = setting ? content_of(setting) : fallback;
  return content ? content : "None";
}

static void add_piece(json_t *list, const char *piece, double score) {
  json_array_append_new(list, json_pack("[s, f]", piece, score));
}

static void add_pieces(json_t *list, const json_t *pieces, size_t from) {
  for (size_t i = from; i < json_array_size(pieces); i++) json_array_append(list, json_array_get(pieces, i));
}

/* The order of fairseq: special tokens that SentencePiece has elsewhere, or lacks, come first. */
static json_t *fairseq_pieces(const ld_token_files *files, const json_t *pieces, const char *first,
                              size_t n_languages) {
  json_t *list = json_array();
  add_piece(list, role_of(files, first, "<s>"), 0);
  add_piece(list, role_of(files, "pad_token", "<pad>"), 0);
  add_piece(list, role_of(files, "eos_token", "</s>"), 0);
  add_piece(list, role_of(files, "unk_token", "<unk>"), 0);
  add_pieces(list, pieces, 3);
  for (size_t i = 0; i < n_languages; i++) add_piece(list, languages[i], 0);
  add_piece(list, role_of(files, "mask_token", "<mask>"), 0);
  return list;
}

static json_t *arrange_xlm_roberta(const ld_token_files *files, const json_t *pieces) {
  return fairseq_pieces(files, pieces, "bos_token", 0);
}

static json_t *arrange_mbart(const ld_token_files *files, const json_t *pieces) {
  return fairseq_pieces(files, pieces, "bos_token", MBART_LANGUAGES);
}

static json_t *arrange_mbart50(const ld_token_files *files, const json_t *pieces) {
  return fairseq_pieces(files, pieces, "cls_token", MBART50_LANGUAGES);
}

/* The <extra_id_...> at the end, in falling order. */
static json_t *arrange_t5(const ld_token_files *files, const json_t *pieces) {
  int n;
  json_t *list = json_array(), *extra = json_array();
  add_pieces(list, pieces, 0);
  if (!read_count(files, "extra_ids", 100, &n, NULL)) add_numbered(extra, "<extra_id_%d>", 0, n);
  for (size_t i = json_array_size(extra); i--;)
    add_piece(list, json_string_value(json_array_get(extra, i)), 0);
  json_decref(extra);
  return list;
}

/* Masks and <unk_...> before the pieces. */
static json_t *arrange_pegasus(const ld_token_files *files, const json_t *pieces) {
  const char *mask = role_of(files, "mask_token", "<mask_1>");
  const char *sentence_mask = role_of(files, "mask_token_sent", "<mask_2>");
  int offset;
  json_t *list = json_array(), *unknown = json_array();
  add_piece(list, role_of(files, "pad_token", "<pad>"), 0);
  add_piece(list, role_of(files, "eos_token", "</s>"), 0);
  if (strcmp(mask, "None")) add_piece(list, mask, 0);
  if (strcmp(sentence_mask, "None") && strcmp(sentence_mask, mask)) add_piece(list, sentence_mask, 0);
  if (!read_count(files, "offset", 103, &offset, NULL)) add_numbered(unknown, "<unk_%d>", 2, offset);
  for (size_t i = 0; i < json_array_size(unknown); i++)
    add_piece(list, json_string_value(json_array_get(unknown, i)), -100);
  add_pieces(list, pieces, 2);
  json_decref(unknown);
  return list;
}

#define UNIGRAM(file) .model = "Unigram", .vocabulary = file

const ld_token_class ld_t5_class = {UNIGRAM("spiece.model"),
                                    .special.roles = {NULL, "</s>", "<unk>", NULL, "<pad>"},
                                    .special.add_extra = add_t5_tokens,
                                    .no_types = true,
                                    .arrange = arrange_t5,
                                    .build = build_t5};
const ld_token_class ld_xlm_roberta_class = {
    UNIGRAM("sentencepiece.bpe.model"),
    .special.roles = {"<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"}, .no_types = true,
    .arrange = arrange_xlm_roberta, .build = build_xlm_roberta};
const ld_token_class ld_albert_class = {
    UNIGRAM("spiece.model"),
    .special.roles = {"[CLS]", "[SEP]", "<unk>", "[SEP]", "<pad>", "[CLS]", "[MASK]"}, .no_types = true,
    .build = build_albert};
const ld_token_class ld_deberta_class = {
    UNIGRAM("spm.model"), .special.roles = {"[CLS]", "[SEP]", "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"},
    .build = build_deberta};
const ld_token_class ld_pegasus_class = {
    UNIGRAM("spiece.model"),
    .special.roles = {NULL, "</s>", "<unk>", NULL, "<pad>", NULL, "<mask_2>"},
    .special.add_extra = add_pegasus_tokens,
    .no_types = true,
    .arrange = arrange_pegasus,
    .build = build_pegasus};
const ld_token_class ld_mbart_class = {
    UNIGRAM("sentencepiece.bpe.model"),
    .special.roles = {"<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"},
    .special.mask_takes_space = true,
    .special.add_extra = add_mbart_tokens,
    .no_types = true,
    .arrange = arrange_mbart,
    .build = build_mbart};
const ld_token_class ld_mbart50_class = {
    UNIGRAM("sentencepiece.bpe.model"),
    .special.roles = {NULL, "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"},
    .special.mask_takes_space = true,
    .special.add_extra = add_mbart50_tokens,
    .no_types = true,
    .arrange = arrange_mbart50,
    .build = build_mbart50};
