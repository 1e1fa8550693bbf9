#include "io/tokenizer/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "io/json.h"
#include "io/tokenizer/added_tokens.h"
#include "io/tokenizer/budget.h"
#include "io/tokenizer/class.h"
#include "io/tokenizer/component.h"
#include "io/tokenizer/decoder.h"
#include "io/tokenizer/folder.h"
#include "io/tokenizer/ids.h"
#include "io/tokenizer/keys.h"
#include "io/tokenizer/kinds.h"
#include "io/tokenizer/language.h"
#include "io/tokenizer/normal.h"
#include "io/tokenizer/normalizer.h"
#include "io/tokenizer/pieces.h"
#include "io/tokenizer/post_processor.h"
#include "io/tokenizer/pre_tokenizer.h"
#include "io/tokenizer/special_tokens.h"
#include "io/tokenizer/tokenizer_parts.h"
#include "io/tokenizer/vocabulary.h"

#include "io/tokenizer/tokenizer.h"

static const ld_component_kind *const model_kinds[] = {&ld_bpe_kind, &ld_wordpiece_kind, &ld_unigram_kind,
                                                       NULL};

static int load_model(ld_tokenizer *t, json_t *json, ld_load *load) {
  load->where = "model";
  if (!json_is_object(json)) return ld_fail(load->err, LD_EFORMAT, "%s: model is missing", load->name);
  if (!json_object_get(json, "type")) json_object_set_new(json, "type", json_string(ld_model_type(json)));
  load->kinds = model_kinds;
  return ld_component_load(&t->model, json, load);
}

/* The spelling that each id decodes to. A special token whose spelling was changed by normalisation is not
 * skipped, because the library goes by the spelling. */
static void index_spellings(ld_tokenizer *t) {
  const ld_vocabulary *vocabulary = t->model.kind->model.vocabulary(t->model.data);
  t->size = vocabulary->size;
  for (size_t i = 0; i < t->added.n; i++)
    if (t->added.items[i].id >= t->size) t->size = t->added.items[i].id + 1;
  t->spellings = ld_alloc((size_t)t->size, sizeof *t->spellings);
  t->skipped = ld_alloc((size_t)t->size, 1);
  for (int32_t id = 0; id < t->size; id++) {
    const ld_added *added = ld_added_find(&t->added, id);
    t->spellings[id] = added ? (ld_token_text){added->spelling.bytes, added->spelling.length}
                       : id < vocabulary->size ? vocabulary->tokens[id]
                                               : (ld_token_text){0};
    const ld_token_text s = t->spellings[id];
    t->skipped[id] = s.bytes && ld_keys_get(&t->added.special, s.bytes, s.length) >= 0;
  }
}

static int load_parts(ld_tokenizer *t, json_t *json, ld_load *load) {
  int rc = load_model(t, json_object_get(json, "model"), load);
  const struct {
    const char *where;
    ld_component *component;
    const ld_component_kind *const *kinds;
  } others[] = {{"normalizer", &t->normalizer, ld_normalizer_kinds},
                {"pre_tokenizer", &t->pre_tokenizer, ld_pre_tokenizer_kinds},
                {"post_processor", &t->post_processor, ld_post_processor_kinds},
                {"decoder", &t->decoder, ld_decoder_kinds}};
  for (size_t i = 0; !rc && i < sizeof others / sizeof *others; i++) {
    load->where = others[i].where;
    load->kinds = others[i].kinds;
    rc = ld_component_load(others[i].component, json_object_get(json, others[i].where), load);
  }
  load->where = "added_tokens";
  load->type = "entry";
  return rc ? rc
            : ld_added_load(&t->added, json_object_get(json, "added_tokens"), &t->model, &t->normalizer,
                            load);
}

/* Makes a tokenizer from a tree, which it takes ownership of; `bytes` is the size of its file. */
static int build(json_t *root, ld_load load, size_t bytes, ld_tokenizer **out) {
  const char *name = load.name;
  ld_error *err = load.err;
  *out = NULL;
  const json_t *version = json_object_get(root, "version");
  ld_tokenizer *t = ld_alloc(1, sizeof *t);
  ld_budget budget;
  size_t growth = 1;
  ld_budget_start(&budget, bytes);
  load.where = load.type = "";
  load.budget = &budget;
  load.growth = &growth;
  int rc;
  if (!json_is_object(root))
    rc = ld_fail(err, LD_EFORMAT, "%s: not a tokenizer.json (expected a JSON object)", name);
  else if (version && (!json_is_string(version) || strcmp(json_string_value(version), "1.0")))
    rc = ld_fail(err, LD_EUNSUPPORTED, "%s: version must be \"1.0\"", name);
  else
    rc = load_parts(t, root, &load);
  json_decref(root);
  if (rc) {
    ld_tokenizer_free(t);
    return rc;
  }
  index_spellings(t);
  t->eos = t->pad = -1;
  *out = t;
  return 0;
}

int ld_tokenizer_parse(const char *json, size_t length, const char *name, ld_tokenizer **out, ld_error *err) {
  *out = NULL;
  json_error_t problem;
  const int rc = ld_json_check_budget(json, length, name, err);
  if (rc) return rc;
  /* Of a repeated key the last one counts, as in the library. */
  json_t *root = json_loadb(json ? json : "", length, JSON_ALLOW_NUL, &problem);
  if (!root)
    return ld_fail(err, LD_EFORMAT, "%s: line %d, column %d: %s", name, problem.line, problem.column,
                   problem.text);
  return build(root, (ld_load){.name = name, .err = err}, length, out);
}

static void skip_named(ld_tokenizer *t, const ld_special_tokens *tokens) {
  for (size_t i = 0; i < json_array_size(tokens->skipped); i++) {
    const char *content = json_string_value(json_array_get(tokens->skipped, i));
    const int32_t id = ld_tokenizer_id(t, content);
    if (id >= 0 && t->spellings[id].length == strlen(content) &&
        !memcmp(t->spellings[id].bytes, content, t->spellings[id].length))
      t->skipped[id] = 1;
  }
}

static int read_settings(const ld_token_class *class, const ld_token_files *files, ld_tokenizer *t,
                         ld_error *err) {
  const int rc = ld_token_settings_read(class, files, &t->model, &t->settings, err);
  t->added.raw.split_special = t->added.normalized.split_special = t->settings.split_special;
  return rc;
}

static int32_t id_of_role(const ld_tokenizer *t, const ld_special_tokens *tokens, int role) {
  const char *token = ld_special_token(tokens, role);
  return token ? ld_tokenizer_id(t, token) : -1;
}

int ld_tokenizer_build(const ld_token_files *files, ld_tokenizer **out, ld_error *err) {
  const ld_token_class *class;
  ld_special_tokens tokens;
  json_t *root = NULL;
  *out = NULL;
  int rc = ld_token_class_choose(files, &class, err);
  if (rc) return rc;
  ld_token_class_arrange(class, files);
  rc = ld_special_tokens_merge(files, &class->special, &tokens, err);
  if (!rc) rc = ld_token_class_build(class, files, &tokens, &root, err);
  if (rc)
    json_decref(root);
  else
    rc = build(root, (ld_load){.name = files->name, .exact = class->build != NULL, .err = err}, files->bytes,
               out);
  if (!rc) rc = read_settings(class, files, *out, err);
  if (!rc) (*out)->eos = id_of_role(*out, &tokens, LD_EOS);
  if (!rc) (*out)->pad = id_of_role(*out, &tokens, LD_PAD);
  if (!rc) skip_named(*out, &tokens);
  ld_special_tokens_free(&tokens);
  if (!rc) return 0;
  ld_tokenizer_free(*out);
  *out = NULL;
  return rc;
}

int ld_tokenizer_open(const char *path, ld_tokenizer **out, ld_error *err) {
  ld_token_files files;
  *out = NULL;
  int rc = ld_token_files_read(path, &files, err);
  if (!rc) rc = ld_tokenizer_build(&files, out, err);
  ld_token_files_free(&files);
  return rc;
}

void ld_tokenizer_follow(ld_tokenizer *tokenizer, ld_tokenizer *next) {
  tokenizer->next = next;
}

void ld_tokenizer_free(ld_tokenizer *tokenizer) {
  if (!tokenizer) return;
  ld_tokenizer_free(tokenizer->next);
  ld_component_free(&tokenizer->normalizer);
  ld_component_free(&tokenizer->pre_tokenizer);
  ld_component_free(&tokenizer->model);
  ld_component_free(&tokenizer->post_processor);
  ld_component_free(&tokenizer->decoder);
  ld_added_free(&tokenizer->added);
  free(tokenizer->spellings);
  free(tokenizer->skipped);
  free(tokenizer);
}

/* Each piece of text is normalised separately; token pieces keep no text. */
static int normalize_pieces(const ld_component *normalizer, ld_pieces *pieces, ld_error *err) {
  if (!normalizer->kind) return 0;
  ld_normal normal = {.budget = pieces->budget};
  int rc = 0;
  for (size_t i = 0; !rc && i < pieces->n; i++) {
    ld_piece piece = pieces->items[i];
    normal.before = pieces->scratch.length;
    ld_text_clear(&normal.text);
    ld_text_append(&normal.text, pieces->bytes + piece.start, piece.length);
    normal.head = piece.head;
    rc = piece.id < 0 ? ld_normalize(normalizer, &normal, err)
                      : ld_budget_check(pieces->budget, normal.before + piece.length, err);
    piece = (ld_piece){pieces->scratch.length, normal.text.length, normal.head, piece.id};
    ld_text_append(&pieces->scratch, normal.text.bytes, normal.text.length);
    ld_pieces_add(pieces, piece);
  }
  ld_text_free(&normal.text);
  ld_text_free(&normal.scratch);
  ld_pieces_swap(pieces, true);
  return rc;
}

/* Passes pieces to the model. */
typedef struct to_ids {
  ld_next self;
  const ld_component *model;
  ld_ids *out;
} to_ids;

static int take_ids(const ld_next *self, ld_pieces *pieces, ld_error *err) {
  const to_ids *to = (const to_ids *)self;
  return to->model->kind->model.tokenize(to->model->data, pieces, to->out, err);
}

static int encode_pieces(const ld_tokenizer *t, ld_pieces *pieces, ld_ids *out, ld_error *err) {
  int rc = ld_added_split(&t->added.raw, pieces, err);
  if (!rc) rc = normalize_pieces(&t->normalizer, pieces, err);
  if (!rc) rc = ld_added_split(&t->added.normalized, pieces, err);
  const to_ids model = {{take_ids}, &t->model, out};
  return rc ? rc : ld_pre_tokenize(&t->pre_tokenizer, pieces, &model.self, err);
}

/* Appends the ids of one text, without the post-processor's. */
static int encode_text(const ld_tokenizer *t, const char *text, size_t length, bool is_word, ld_ids *out,
                       ld_error *err) {
  if (!ld_utf8_valid(text, length)) return ld_fail(err, LD_EFORMAT, "the text is not UTF-8");
  const size_t start = out->n;
  ld_budget budget;
  ld_budget_start(&budget, length);
  ld_pieces pieces = {.bytes = text, .budget = &budget, .of_word = is_word};
  size_t first = 0;
  if (length) ld_utf8_next(text, &first);
  ld_pieces_add(&pieces, (ld_piece){0, length, first, -1});
  ld_pieces_swap(&pieces, false);
  const int rc = encode_pieces(t, &pieces, out, err);
  ld_pieces_free(&pieces);
  if (rc) out->n = start;
  return rc;
}

static int encode_alone(const ld_tokenizer *tokenizer, const char *text, size_t length, bool add_special,
                        ld_ids *out, ld_error *err) {
  const ld_template *template = ld_template_of(&tokenizer->post_processor, false);
  if (!template) return encode_text(tokenizer, text, length, false, out, err);
  ld_ids texts[2] = {0};
  const int rc = encode_text(tokenizer, text, length, false, &texts[0], err);
  if (!rc) ld_template_fill(template, texts, add_special, out, NULL);
  ld_ids_free(&texts[0]);
  return rc;
}

int ld_tokenizer_encode(const ld_tokenizer *tokenizer, const char *text, size_t length, bool add_special,
                        ld_ids *out, ld_error *err) {
  const int rc = encode_alone(tokenizer, text, length, add_special, out, err);
  if (rc || !add_special || !tokenizer->next) return rc;
  ld_ids_push(out, LD_NEXT_TOKENIZER);
  return ld_tokenizer_encode(tokenizer->next, text, length, true, out, err);
}

static void cut(ld_ids *text, size_t n, bool left) {
  if (n >= text->n) return;
  if (left) memmove(text->ids, text->ids + (text->n - n), n * sizeof *text->ids);
  text->n = n;
}

/* Truncates only the longer text while that is enough, else both to half; of an odd number the originally
 * longer one gets more. */
static void cut_longest_first(ld_ids texts[2], size_t most, bool left) {
  if (texts[0].n + texts[1].n <= most) return;
  const int shorter = texts[1].n < texts[0].n;
  size_t n1 = texts[shorter].n, n2 = n1 > most || n1 > most - n1 ? n1 : most - n1;
  if (n1 + n2 > most) {
    n1 = most / 2;
    n2 = most - n1;
  }
  cut(&texts[shorter], n1, left);
  cut(&texts[!shorter], n2, left);
}

/* The language's token in a template; -1: it has none. */
static int32_t language_in(const ld_tokenizer *t, const ld_template *template) {
  for (size_t i = 0; template && i < template->n; i++) {
    const ld_ids *special = &template->slots[i].special;
    for (size_t k = 0; k < special->n; k++) {
      const char *token = ld_tokenizer_token(t, special->ids[k]);
      if (token && ld_is_language(token)) return special->ids[k];
    }
  }
  return -1;
}

int ld_tokenizer_language(const ld_tokenizer *tokenizer, const char *language, int32_t *id, ld_error *err) {
  if (language_in(tokenizer, ld_template_of(&tokenizer->post_processor, false)) < 0)
    return ld_fail(err, LD_EMISMATCH, "the model's tokenizer has no languages: leave out \"%s\"", language);
  *id = ld_is_language(language) ? ld_tokenizer_id(tokenizer, language) : -1;
  if (*id >= 0) return 0;
  ld_text list = {0};
  for (size_t i = 0; i < tokenizer->added.n; i++) {
    const ld_added *added = &tokenizer->added.items[i];
    if (added->special && ld_is_language(added->content)) ld_text_printf(&list, " %s", added->content);
  }
  ld_fail(err, LD_EMISMATCH, "the model's tokenizer does not have the language \"%s\"; it has%s", language,
          list.length ? list.bytes : " none");
  ld_text_free(&list);
  return LD_EMISMATCH;
}

static int encode_input_alone(const ld_tokenizer *tokenizer, const ld_input *input, ld_ids *out,
                              ld_ids *types, ld_error *err) {
  const ld_template *template = ld_template_of(&tokenizer->post_processor, input->pair != NULL);
  const size_t added = ld_template_added(template), most = input->most;
  if (most && most < added)
    return ld_fail(err, LD_EMISMATCH,
                   "%zu tokens at most leave no room for the %zu special tokens of an input: raise --seq-len",
                   most, added);
  ld_ids texts[2] = {0};
  ld_template own = {0};
  int32_t language = -1;
  int rc = input->language ? ld_tokenizer_language(tokenizer, input->language, &language, err) : 0;
  if (!rc && language >= 0) {
    own = ld_template_replace(template, language_in(tokenizer, template), language);
    template = &own;
  }
  if (!rc) rc = encode_text(tokenizer, input->text, input->length, false, &texts[0], err);
  if (!rc && input->pair) rc = encode_text(tokenizer, input->pair, input->pair_length, false, &texts[1], err);
  if (!rc && most) cut_longest_first(texts, most - added, tokenizer->settings.cut_left);
  if (!rc) ld_template_fill(template, texts, true, out, types);
  ld_template_free(&own);
  ld_ids_free(&texts[0]);
  ld_ids_free(&texts[1]);
  return rc;
}

int ld_tokenizer_encode_input(const ld_tokenizer *tokenizer, const ld_input *input, ld_ids *out,
                              ld_ids *types, ld_error *err) {
  const int rc = encode_input_alone(tokenizer, input, out, types, err);
  if (rc || !tokenizer->next) return rc;
  ld_ids_push(out, LD_NEXT_TOKENIZER);
  ld_ids_push(types, 0);
  return ld_tokenizer_encode_input(tokenizer->next, input, out, types, err);
}

/* How many special ids a template puts before the text. */
static size_t added_before(const ld_template *template) {
  ld_ids mark[2] = {0}, filled = {0};
  size_t n = 0;
  ld_ids_push(&mark[0], -1);
  ld_template_fill(template, mark, true, &filled, NULL);
  while (n < filled.n && filled.ids[n] != -1) n++;
  ld_ids_free(&mark[0]);
  ld_ids_free(&filled);
  return n;
}

int ld_tokenizer_encode_words(const ld_tokenizer *tokenizer, const ld_words *words, ld_ids *out, ld_ids *word,
                              size_t *n_whole, ld_error *err) {
  const ld_template *template = ld_template_of(&tokenizer->post_processor, false);
  const size_t added = ld_template_added(template);
  if (words->most && words->most < added)
    return ld_fail(err, LD_EMISMATCH,
                   "%zu tokens at most leave no room for the %zu special tokens of an input: raise --seq-len",
                   words->most, added);
  ld_ids texts[2] = {0}, of = {0}; /* of: the word of each token */
  int rc = 0;
  for (size_t i = 0; i < words->n && !rc; i++) {
    rc = encode_text(tokenizer, words->list[i], strlen(words->list[i]), true, &texts[0], err);
    while (of.n < texts[0].n) ld_ids_push(&of, (int32_t)i);
  }
  if (!rc) {
    const size_t before = added_before(template), start = out->n;
    *n_whole = texts[0].n + added;
    if (words->most && *n_whole > words->most) {
      cut(&texts[0], words->most - added, tokenizer->settings.cut_left);
      cut(&of, words->most - added, tokenizer->settings.cut_left);
    }
    ld_template_fill(template, texts, true, out, NULL);
    for (size_t i = 0; i < out->n - start; i++) {
      const bool is_of_word = i >= before && i - before < of.n;
      const int32_t *at = is_of_word ? &of.ids[i - before] : NULL;
      ld_ids_push(word, at && (i == before || at[0] != at[-1]) ? *at : -1);
    }
  }
  ld_ids_free(&texts[0]);
  ld_ids_free(&of);
  return rc;
}

struct ld_stream_decoder {
  const ld_tokenizer *tokenizer;
  bool skip_special;
  ld_chain chain;
};

static void decode_id(const ld_tokenizer *t, ld_chain *chain, int32_t id, bool skip_special, ld_text *out) {
  if (id < 0 || id >= t->size || !t->spellings[id].bytes || (skip_special && t->skipped[id])) return;
  ld_chain_token(chain, t->spellings[id].bytes, t->spellings[id].length, out);
}

void ld_tokenizer_decode(const ld_tokenizer *tokenizer, const int32_t *ids, size_t n, bool skip_special,
                         ld_text *out) {
  ld_chain chain;
  ld_chain_init(&chain, &tokenizer->decoder, tokenizer->settings.word_end, tokenizer->settings.clean_up);
  for (size_t i = 0; i < n; i++) decode_id(tokenizer, &chain, ids[i], skip_special, out);
  ld_chain_finish(&chain, out);
  ld_chain_free(&chain);
}

ld_stream_decoder *ld_stream_decoder_new(const ld_tokenizer *tokenizer, bool skip_special) {
  ld_stream_decoder *decoder = ld_alloc(1, sizeof *decoder);
  decoder->tokenizer = tokenizer;
  decoder->skip_special = skip_special;
  ld_chain_init(&decoder->chain, &tokenizer->decoder, tokenizer->settings.word_end,
                tokenizer->settings.clean_up);
  return decoder;
}

void ld_stream_decoder_push(ld_stream_decoder *decoder, int32_t id, ld_text *out) {
  decode_id(decoder->tokenizer, &decoder->chain, id, decoder->skip_special, out);
}

void ld_stream_decoder_finish(ld_stream_decoder *decoder, ld_text *out) {
  ld_chain_finish(&decoder->chain, out);
}

void ld_stream_decoder_free(ld_stream_decoder *decoder) {
  if (!decoder) return;
  ld_chain_free(&decoder->chain);
  free(decoder);
}

int32_t ld_tokenizer_id(const ld_tokenizer *tokenizer, const char *token) {
  const size_t length = strlen(token);
  const int32_t id = ld_keys_get(&tokenizer->added.by_content, token, length);
  if (id >= 0) return id;
  return ld_keys_get(&tokenizer->model.kind->model.vocabulary(tokenizer->model.data)->keys, token, length);
}

const char *ld_tokenizer_token(const ld_tokenizer *tokenizer, int32_t id) {
  return id >= 0 && id < tokenizer->size ? tokenizer->spellings[id].bytes : NULL;
}

bool ld_tokenizer_is_special(const ld_tokenizer *tokenizer, int32_t id) {
  const ld_added *added = ld_added_find(&tokenizer->added, id);
  return added && added->special;
}

bool ld_tokenizer_has_types(const ld_tokenizer *tokenizer) {
  return !tokenizer->settings.no_types;
}

int32_t ld_tokenizer_eos(const ld_tokenizer *tokenizer) {
  return tokenizer->eos;
}

int32_t ld_tokenizer_pad(const ld_tokenizer *tokenizer) {
  return tokenizer->pad;
}

int32_t ld_tokenizer_most(const ld_tokenizer *tokenizer) {
  return tokenizer->settings.most;
}

int32_t ld_tokenizer_size(const ld_tokenizer *tokenizer) {
  return tokenizer->size;
}
