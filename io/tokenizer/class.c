/* Tokenizer classes: how transformers (5.24) builds a tokenizer from a vocabulary, by the class that the
 * settings name.
 *
 * Most of its classes take only the vocabulary, the merges and the post-processor from a tokenizer.json, and
 * build the rest by their own code and the settings beside it: a contradicting normalizer or pre-tokenizer in
 * the file is ignored. Here each such class writes the parts of the resulting tokenizer.json, which the one
 * loader then reads. A class without `build` takes the file as it is. */
#include "io/tokenizer/class.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "io/tokenizer/class_clip.h"
#include "io/tokenizer/class_parts.h"
#include "io/tokenizer/class_unigram.h"
#include "io/tokenizer/component.h"
#include "io/tokenizer/folder.h"
#include "io/tokenizer/kinds.h"
#include "io/tokenizer/special_tokens.h"

static json_t *cls_sep(const ld_class_input *in, const char *type) {
  return json_pack("{s:s, s:[s,O], s:[s,O]}", "type", type, "sep", ld_special_token(in->tokens, LD_SEP),
                   ld_class_id(in, LD_SEP), "cls", ld_special_token(in->tokens, LD_CLS),
                   ld_class_id(in, LD_CLS));
}

static int build_bert(const ld_class_input *in, json_t *root) {
  bool lower, chinese, strip = false;
  int rc = ld_class_setting(in, "do_lower_case", true, &lower);
  if (!rc) rc = ld_class_setting(in, "tokenize_chinese_chars", true, &chinese);
  if (!rc) rc = ld_class_setting_or_null(in, "strip_accents", lower, &strip);
  if (!rc) rc = ld_class_need(in, LD_UNK);
  if (!rc) rc = ld_class_need(in, LD_SEP);
  if (!rc) rc = ld_class_need(in, LD_CLS);
  if (rc) return rc;
  const char *unknown = ld_special_token(in->tokens, LD_UNK);
  if (!json_object_get(in->vocab, unknown))
    return ld_fail(in->err, LD_EFORMAT,
                   "%s: lacks %s, which stands for unknown words: is it BERT's vocabulary?", in->files->name,
                   unknown);
  json_object_set_new(root, "normalizer",
                      json_pack("{s:s, s:b, s:b, s:b, s:b}", "type", "BertNormalizer", "clean_text", true,
                                "handle_chinese_chars", chinese, "strip_accents", strip, "lowercase", lower));
  json_object_set_new(root, "pre_tokenizer", json_pack("{s:s}", "type", "BertPreTokenizer"));
  json_object_set_new(root, "post_processor", cls_sep(in, "BertProcessing"));
  json_object_set_new(root, "decoder",
                      json_pack("{s:s, s:s, s:b}", "type", "WordPiece", "prefix", "##", "cleanup", true));
  json_object_set_new(root, "model",
                      json_pack("{s:s, s:s, s:s, s:i, s:O}", "type", "WordPiece", "unk_token", unknown,
                                "continuing_subword_prefix", "##", "max_input_chars_per_word", 100, "vocab",
                                in->vocab));
  return 0;
}

static json_t *bpe(const ld_class_input *in, bool sentencepiece) {
  return json_pack("{s:s, s:b, s:b, s:O, s:O}", "type", "BPE", "fuse_unk", sentencepiece, "byte_fallback",
                   sentencepiece, "vocab", in->vocab, "merges", in->merges);
}

static json_t *byte_level(bool prefix_space, bool use_regex) {
  return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", prefix_space,
                   "trim_offsets", true, "use_regex", use_regex);
}

static int build_byte_level(const ld_class_input *in, json_t *root) {
  bool prefix_space;
  const int rc = ld_class_setting(in, "add_prefix_space", false, &prefix_space);
  if (rc) return rc;
  json_object_set_new(root, "pre_tokenizer", byte_level(prefix_space, true));
  json_object_set_new(root, "decoder", json_pack("{s:s}", "type", "ByteLevel"));
  json_object_set_new(root, "model", bpe(in, false));
  return 0;
}

static int build_gpt2(const ld_class_input *in, json_t *root) {
  const int rc = build_byte_level(in, root);
  return rc ? rc : ld_class_post_process(in, root);
}

static int build_roberta(const ld_class_input *in, json_t *root) {
  int rc = ld_class_need(in, LD_SEP);
  if (!rc) rc = ld_class_need(in, LD_CLS);
  if (!rc) rc = build_byte_level(in, root);
  if (!rc) json_object_set_new(root, "post_processor", cls_sep(in, "RobertaProcessing"));
  return rc;
}

static int build_qwen2(const ld_class_input *in, json_t *root) {
  static const char pattern[] =
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
      "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
  bool prefix_space;
  const int rc = ld_class_setting_or_null(in, "add_prefix_space", false, &prefix_space);
  if (rc) return rc;
  json_object_set_new(root, "normalizer", json_pack("{s:s}", "type", "NFC"));
  json_object_set_new(root, "pre_tokenizer",
                      json_pack("{s:s, s:[{s:s, s:{s:s}, s:s, s:b}, o]}", "type", "Sequence", "pretokenizers",
                                "type", "Split", "pattern", "Regex", pattern, "behavior", "Isolated",
                                "invert", false, byte_level(prefix_space, false)));
  json_object_set_new(root, "decoder", json_pack("{s:s}", "type", "ByteLevel"));
  json_object_set_new(root, "model", bpe(in, false));
  return ld_class_post_process(in, root);
}

#define SPACE "\xe2\x96\x81" /* SentencePiece's visible space */

static json_t *decode_spaces(bool strip) {
  json_t *list = json_pack("[{s:s, s:{s:s}, s:s}, {s:s}, {s:s}]", "type", "Replace", "pattern", "String",
                           SPACE, "content", " ", "type", "ByteFallback", "type", "Fuse");
  if (strip)
    json_array_append_new(
        list, json_pack("{s:s, s:s, s:i, s:i}", "type", "Strip", "content", " ", "start", 1, "stop", 0));
  return json_pack("{s:s, s:o}", "type", "Sequence", "decoders", list);
}

/* Where a space is put before the text; with `legacy` also before each text after a special token. */
static int build_llama(const ld_class_input *in, json_t *root) {
  bool prefix_space, legacy;
  int rc = ld_class_setting_or_null(in, "add_prefix_space", true, &prefix_space);
  if (!rc) rc = ld_class_setting_or_null(in, "legacy", false, &legacy);
  if (rc) return rc;
  const char *scheme = !prefix_space ? "never" : legacy ? "always" : "first";
  json_object_set_new(root, "pre_tokenizer",
                      json_pack("{s:s, s:s, s:s, s:b}", "type", "Metaspace", "replacement", SPACE,
                                "prepend_scheme", scheme, "split", false));
  json_object_set_new(root, "decoder", decode_spaces(prefix_space));
  json_object_set_new(root, "model", bpe(in, true));
  return ld_class_post_process(in, root);
}

static int build_gemma(const ld_class_input *in, json_t *root) {
  const char *unknown = ld_special_token(in->tokens, LD_UNK);
  json_t *model = bpe(in, true);
  if (unknown) json_object_set_new(model, "unk_token", json_string(unknown));
  json_object_set_new(
      root, "normalizer",
      json_pack("{s:s, s:{s:s}, s:s}", "type", "Replace", "pattern", "String", " ", "content", SPACE));
  json_object_set_new(root, "pre_tokenizer",
                      json_pack("{s:s, s:{s:s}, s:s, s:b}", "type", "Split", "pattern", "String", " ",
                                "behavior", "MergedWithPrevious", "invert", false));
  json_object_set_new(root, "decoder", decode_spaces(false));
  json_object_set_new(root, "model", model);
  return ld_class_post_process(in, root);
}

/* The file's post-processor is ignored: add_bos_token and add_eos_token always decide. */
static int build_gpt_neox(const ld_class_input *in, json_t *root) {
  ld_class_input own = *in;
  own.post_processor = NULL;
  const int rc = build_byte_level(in, root);
  json_object_set_new(root, "normalizer", json_pack("{s:s}", "type", "NFC"));
  return rc ? rc : ld_class_post_process(&own, root);
}

#define END "<|endoftext|>"
#define BERT(...)                                                                                            \
  {                                                                                                          \
    .model = "WordPiece", .vocabulary = "vocab.txt",                                                         \
    .special.roles = {NULL, NULL, "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"}, .build = build_bert,        \
    __VA_ARGS__                                                                                              \
  }

static const ld_token_class as_it_stands = {
    .model = "", .vocabulary = "", .special.kept = true, .no_types = true};
static const ld_token_class bert = BERT(.no_types = false);
static const ld_token_class distilbert = BERT(.no_types = true);
static const ld_token_class gpt2 = {.model = "BPE",
                                    .vocabulary = "vocab.json",
                                    .special.roles = {END, END, END},
                                    .no_types = true,
                                    .build = build_gpt2};
static const ld_token_class roberta = {
    .model = "BPE",
    .vocabulary = "vocab.json",
    .special.roles = {"<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"},
    .no_types = true,
    .build = build_roberta};
static const ld_token_class qwen2 = {.model = "BPE",
                                     .vocabulary = "vocab.json",
                                     .special.roles = {NULL, END, END, NULL, END},
                                     .special.plain = true,
                                     .no_types = true,
                                     .build = build_qwen2};
static const ld_token_class llama = {.model = "BPE",
                                     .vocabulary = "",
                                     .special.roles = {"<s>", "</s>", "<unk>"},
                                     .no_types = true,
                                     .build = build_llama};
static const ld_token_class gemma = {
    .model = "BPE",
    .vocabulary = "",
    .special.roles = {"<bos>", "<eos>", "<unk>", NULL, "<pad>", NULL, "<mask>"},
    .no_types = true,
    .build = build_gemma};
static const ld_token_class gpt_neox = {.model = "BPE",
                                        .vocabulary = "",
                                        .special.roles = {END, END, END, NULL, "<|padding|>"},
                                        .no_types = true,
                                        .build = build_gpt_neox};

/* tokenizer_class, without its "Fast". */
static const struct {
  const char *name;
  const ld_token_class *class;
} classes[] = {
    {"BertTokenizer", &bert},
    {"DistilBertTokenizer", &distilbert},
    {"ElectraTokenizer", &bert},
    {"MobileBertTokenizer", &bert},
    {"SqueezeBertTokenizer", &bert},
    {"LxmertTokenizer", &bert},
    {"GPT2Tokenizer", &gpt2},
    {"RobertaTokenizer", &roberta},
    {"BartTokenizer", &roberta},
    {"LongformerTokenizer", &roberta},
    {"LEDTokenizer", &roberta},
    {"LlamaTokenizer", &llama},
    {"Qwen2Tokenizer", &qwen2},
    {"GemmaTokenizer", &gemma},
    {"GPTNeoXTokenizer", &gpt_neox},
    {"CLIPTokenizer", &ld_clip_class},
    {"T5Tokenizer", &ld_t5_class},
    {"XLMRobertaTokenizer", &ld_xlm_roberta_class},
    {"AlbertTokenizer", &ld_albert_class},
    {"DebertaV2Tokenizer", &ld_deberta_class},
    {"PegasusTokenizer", &ld_pegasus_class},
    {"MBartTokenizer", &ld_mbart_class},
    {"MBart50Tokenizer", &ld_mbart50_class},
    {"PreTrainedTokenizer", &as_it_stands},
    {"TokenizersBackend", &as_it_stands},
    {"PythonBackend", &as_it_stands},
    {"BloomTokenizer", &as_it_stands},
};

/* Other classes of transformers that build a tokenizer by their own code. */
static const char *const refused[] = {
    "BarthezTokenizer",    "BigBirdTokenizer",    "CamembertTokenizer", "FNetTokenizer",
    "LayoutXLMTokenizer",  "MLukeTokenizer",      "NllbTokenizer",      "RemBertTokenizer",
    "UdopTokenizer",       "XGLMTokenizer",       "XLNetTokenizer",     "BertJapaneseTokenizer",
    "BertweetTokenizer",   "BlenderbotTokenizer", "CodeGenTokenizer",   "CodeLlamaTokenizer",
    "CohereTokenizer",     "DebertaTokenizer",    "FunnelTokenizer",    "HerbertTokenizer",
    "LayoutLMv2Tokenizer", "LayoutLMv3Tokenizer", "LukeTokenizer",      "MPNetTokenizer",
    "MarkupLMTokenizer",   "OpenAIGPTTokenizer",  "PhobertTokenizer",   "Qwen3_5Tokenizer",
    "Siglip2Tokenizer",    "SplinterTokenizer",   "WhisperTokenizer",
};

/* By config.json's model_type: the class that transformers uses when none is named; for some model types
 * whatever is named. */
static const struct {
  const char *model_type;
  const ld_token_class *class;
  bool always;
} models[] = {
    {"bert", &bert, false},
    {"distilbert", &bert, false},
    {"electra", &bert, false},
    {"gpt2", &gpt2, false},
    {"roberta", &roberta, false},
    {"qwen2", &qwen2, true},
    {"qwen3", &qwen2, false},
    {"mistral", &as_it_stands, true},
    {"mixtral", &as_it_stands, true},
    {"gpt_neox", &gpt_neox, false},
    {"clip", &ld_clip_class, false},
    {"bart", &roberta, false},
    {"t5", &ld_t5_class, false},
    {"mt5", &ld_t5_class, false},
    {"umt5", &as_it_stands, true},
    {"pegasus", &ld_pegasus_class, false},
    {"mbart", &ld_mbart_class, false},
    {"mbart50", &ld_mbart50_class, false},
    {"albert", &ld_albert_class, false},
    {"deberta-v2", &ld_deberta_class, false},
    {"xlm-roberta", &ld_xlm_roberta_class, false},
};

/* Whether `name` is `class` or its fast form. */
static bool is_class(const char *name, const char *class) {
  const size_t n = strlen(class);
  return !strncmp(name, class, n) && (!name[n] || !strcmp(name + n, "Fast"));
}

static const ld_token_class *class_by_name(const char *name) {
  for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
    if (is_class(name, classes[i].name)) return classes[i].class;
  return NULL;
}

static bool is_refused(const char *name) {
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
    if (is_class(name, refused[i])) return true;
  return false;
}

static bool has_byte_level(const json_t *component) {
  for (void *at = json_object_iter((json_t *)component); at;
       at = json_object_iter_next((json_t *)component, at)) {
    const json_t *value = json_object_iter_value(at);
    const char *text = json_string_value(value);
    if ((text && !strcmp(text, "ByteLevel")) || (json_is_object(value) && has_byte_level(value))) return true;
    for (size_t i = 0; i < json_array_size(value); i++)
      if (has_byte_level(json_array_get(value, i))) return true;
  }
  return false;
}

/* Llama 3's files name LlamaTokenizer but are of another kind: they are taken as they are. */
static bool is_byte_level(const json_t *source) {
  static const char *const components[] = {"normalizer", "pre_tokenizer", "post_processor", "decoder"};
  for (size_t i = 0; i < sizeof components / sizeof *components; i++)
    if (has_byte_level(json_object_get(source, components[i]))) return true;
  return false;
}

static const ld_token_class *choose_named(const ld_token_files *files, const char *name) {
  const ld_token_class *class = class_by_name(name);
  if (class == &llama && is_byte_level(files->source)) return &as_it_stands;
  if (class) return class;
  if (!files->older && !is_refused(name))
    ld_warn("%s: tokenizer_class \"%.100s\" is unknown: tokenizer.json is used as it is",
            files->settings_name, name);
  return &as_it_stands;
}

static const char *model_type(const json_t *source) {
  return ld_model_type(json_object_get(source, "model"));
}

static const char *older_vocabulary(const ld_token_files *files) {
  const char *slash = strrchr(files->name, '/');
  return slash ? slash + 1 : files->name;
}

static const ld_token_class *choose(const ld_token_files *files, const char *name) {
  const char *model = json_string_value(json_object_get(files->config, "model_type"));
  const ld_token_class *registered = NULL;
  for (size_t i = 0; model && i < sizeof models / sizeof *models; i++) {
    if (strcmp(models[i].model_type, model)) continue;
    registered = models[i].class;
    if (models[i].always) return registered;
  }
  if (name) return choose_named(files, name);
  if (!files->older) return registered ? registered : &as_it_stands;
  const char *vocabulary = older_vocabulary(files);
  if (registered && !strcmp(registered->vocabulary, vocabulary)) return registered;
  if (!strcmp(model_type(files->source), "Unigram")) return registered ? registered : &as_it_stands;
  return strcmp(vocabulary, bert.vocabulary) ? &gpt2 : &bert;
}

/* Stands for a class's name when only the model has one. */
static const char *model_name(const ld_token_files *files) {
  const char *model = json_string_value(json_object_get(files->config, "model_type"));
  return model ? model : "";
}

static int refuse_older(const ld_token_files *files, const char *name, ld_error *err) {
  const char *slash = strrchr(files->name, '/');
  char *folder = slash ? ld_strndup(files->name, (size_t)(slash - files->name)) : ld_strdup(".");
  const int rc = ld_fail(
      err, LD_EUNSUPPORTED,
      "%s: tokenizer_class \"%.100s\" in tokenizer_config.json needs a tokenizer.json: " LD_SAVE_TOKENIZER,
      files->name, name, folder, folder);
  free(folder);
  return rc;
}

static int check_class(const ld_token_files *files, const ld_token_class *class, const char *name,
                       ld_error *err) {
  const char *type = model_type(files->source);
  if (name && class == &as_it_stands && is_refused(name))
    return ld_fail(
        err, LD_EUNSUPPORTED,
        "%s: tokenizer_class \"%s\" is not supported: set it to \"PreTrainedTokenizerFast\" to take "
        "tokenizer.json as it is",
        files->settings_name, name);
  if (files->older && strcmp(class->vocabulary, older_vocabulary(files)))
    return refuse_older(files, name ? name : model_name(files), err);
  if (class->build && strcmp(class->model, type))
    return ld_fail(err, LD_EUNSUPPORTED,
                   "%s: tokenizer_class %s is of a %s tokenizer, but tokenizer.json has %s: set it to "
                   "\"PreTrainedTokenizerFast\" to take the file as it is",
                   files->settings_name, name ? name : model_name(files), class->model, type);
  return 0;
}

int ld_token_class_choose(const ld_token_files *files, const ld_token_class **out, ld_error *err) {
  const char *name = json_string_value(json_object_get(files->settings, "tokenizer_class"));
  if (!name) name = json_string_value(json_object_get(files->config, "tokenizer_class"));
  *out = choose(files, name);
  return check_class(files, *out, name, err);
}

void ld_token_class_arrange(const ld_token_class *class, const ld_token_files *files) {
  json_t *pieces = json_object_get(files->source, "pieces"), *model = json_object_get(files->source, "model");
  if (!files->older || !pieces) return;
  json_object_set(files->settings, "additional_special_tokens", pieces);
  if (class->arrange)
    json_object_set_new(model, "vocab", class->arrange(files, json_object_get(model, "vocab")));
}

int ld_token_class_build(const ld_token_class *class, const ld_token_files *files,
                         const ld_special_tokens *tokens, json_t **root, ld_error *err) {
  const json_t *model = json_object_get(files->source, "model");
  json_t *post_processor = json_object_get(files->source, "post_processor");
  const ld_class_input in = {.files = files,
                             .tokens = tokens,
                             .vocab = json_object_get(model, "vocab"),
                             .merges = json_object_get(model, "merges"),
                             .post_processor = json_is_null(post_processor) ? NULL : post_processor,
                             .err = err};
  *root = class->build ? json_pack("{s:s}", "version", "1.0") : json_copy(files->source);
  json_object_set(*root, "added_tokens", tokens->added);
  if (!class->build) return 0;
  if (!strcmp(class->model, "Unigram")) return class->build(&in, *root);
  if (!json_is_object(in.vocab) || (!strcmp(class->model, "BPE") && !json_is_array(in.merges)))
    return ld_fail(err, LD_EFORMAT, "%s: model: vocab must be an object of ids%s", files->name,
                   strcmp(class->model, "BPE") ? "" : ", merges a list");
  return class->build(&in, *root);
}

/* A list of versions of tokenizer.json, of which transformers takes the newest that it supports. */
static int check_versions(const ld_token_files *files, ld_error *err) {
  const json_t *list = json_object_get(files->settings, "fast_tokenizer_files");
  for (size_t i = 0; i < json_array_size(list); i++) {
    const char *name = json_string_value(json_array_get(list, i));
    if (!name || strcmp(name, "tokenizer.json"))
      return ld_fail(err, LD_EUNSUPPORTED,
                     "%s: fast_tokenizer_files is not supported: keep one tokenizer.json",
                     files->settings_name);
  }
  return 0;
}

/* With it transformers replaces the pre-tokenizer of large vocabularies that are Mistral's. */
static int check_mistral(const ld_class_input *in) {
  const char *model = json_string_value(json_object_get(in->files->config, "model_type"));
  const json_t *vocab = json_object_get(json_object_get(in->files->source, "model"), "vocab");
  bool repair;
  const int rc = ld_class_setting_or_null(in, "fix_mistral_regex", false, &repair);
  if (rc || !repair || !model || strcmp(model, "mistral") || json_object_size(vocab) < 100000) return rc;
  return ld_fail(in->err, LD_EUNSUPPORTED,
                 "%s: fix_mistral_regex is not supported: have transformers save the repaired tokenizer.json",
                 in->files->settings_name);
}

static bool names_types(const json_t *inputs) {
  for (size_t i = 0; i < json_array_size(inputs); i++) {
    const char *name = json_string_value(json_array_get(inputs, i));
    if (name && !strcmp(name, "token_type_ids")) return true;
  }
  return false;
}

/* When the settings do not say it, the file's own truncation has the side. */
static int read_side(const ld_class_input *in, bool *left) {
  const json_t *side = json_object_get(in->files->settings, "truncation_side");
  if (!side) side = json_object_get(json_object_get(in->files->source, "truncation"), "direction");
  const char *name = json_string_value(side);
  *left = name && (*name == 'l' || *name == 'L');
  if (!side || (name && (!strcmp(name + 1, "eft") || !strcmp(name + 1, "ight")))) return 0;
  return ld_class_fail(in, "truncation_side", "must be \"left\" or \"right\"");
}

/* Files without a limit have a huge number. */
static int32_t read_most(const json_t *settings) {
  const json_t *most = json_object_get(settings, "model_max_length");
  const double n = json_number_value(most ? most : json_object_get(settings, "max_len"));
  return n >= 1 && n <= INT32_MAX ? (int32_t)n : 0;
}

#define CLEAN_BPE "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output"

int ld_token_settings_read(const ld_token_class *class, const ld_token_files *files,
                           const ld_component *model, ld_token_settings *out, ld_error *err) {
  const ld_class_input in = {.files = files, .err = err};
  const json_t *inputs = json_object_get(files->settings, "model_input_names");
  bool clean, clean_bpe;
  int rc = check_versions(files, err);
  if (!rc) rc = ld_class_setting_or_null(&in, "split_special_tokens", false, &out->split_special);
  if (!rc) rc = check_mistral(&in);
  if (!rc) rc = read_side(&in, &out->cut_left);
  if (!rc) rc = ld_class_setting_or_null(&in, "clean_up_tokenization_spaces", false, &clean);
  if (!rc) rc = ld_class_setting_or_null(&in, CLEAN_BPE, false, &clean_bpe);
  if (rc) return rc;
  out->clean_up = clean && (clean_bpe || model->kind != &ld_bpe_kind);
  out->word_end = class->word_end;
  out->most = read_most(files->settings);
  out->no_types = json_is_array(inputs) ? !names_types(inputs) : class->no_types;
  return 0;
}
