/* BERT's normalizer and pre-tokenizer.
 */
#include <stdlib.h>

#include "base/memory.h"
#include "io/tokenizer/component.h"
#include "io/tokenizer/kinds.h"
#include "io/tokenizer/normal.h"
#include "io/tokenizer/pieces.h"
#include "io/tokenizer/split.h"
#include "io/tokenizer/unicode.h"

typedef struct bert_options {
  bool clean_text, handle_chinese_chars, strip_accents, lowercase;
} bert_options;

static int load_normalizer(ld_component *component, const json_t *json, ld_load *load) {
  bert_options *data = component->data = ld_alloc(1, sizeof *data);
  int rc = ld_load_bool(load, json, "clean_text", &data->clean_text);
  if (!rc) rc = ld_load_bool(load, json, "handle_chinese_chars", &data->handle_chinese_chars);
  if (!rc) rc = ld_load_bool(load, json, "lowercase", &data->lowercase);
  return rc ? rc : ld_load_bool_or(load, json, "strip_accents", data->lowercase, &data->strip_accents);
}

/* Spaces of every kind become one kind; U+0000, U+FFFD and characters that are neither letters, marks nor
 * signs are dropped. */
static void append_clean(ld_text *out, uint32_t code) {
  if (code == '\t' || code == '\n' || code == '\r')
    ld_text_append(out, " ", 1);
  else if (code != 0xfffd && !ld_is_other(code))
    ld_text_put_code(out, ld_is_space(code) ? ' ' : code);
}

/* The library's ranges, with 0x2b920 where the original has 0x2b820. */
static bool is_chinese(uint32_t c) {
  if (c < 0x3400) return false;
  return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x20000 && c <= 0x2a6df) ||
         (c >= 0x2a700 && c <= 0x2b81f) || (c >= 0x2b920 && c <= 0x2ceaf) || (c >= 0xf900 && c <= 0xfaff) ||
         (c >= 0x2f800 && c <= 0x2fa1f);
}

static void append_spaced(ld_text *out, uint32_t code) {
  const size_t chinese = is_chinese(code);
  ld_text_append(out, " ", chinese);
  ld_text_put_code(out, code);
  ld_text_append(out, " ", chinese);
}

static void append_unless_nonspacing(ld_text *out, uint32_t code) {
  if (!ld_is_nonspacing(code)) ld_text_put_code(out, code);
}

static int normalize(const void *data, ld_normal *normal, ld_error *err) {
  const bert_options *b = data;
  if (b->clean_text) ld_normal_each(normal, append_clean);
  if (b->handle_chinese_chars) ld_normal_each(normal, append_spaced);
  if (b->strip_accents) {
    const int rc = ld_normal_form(normal, LD_NFD, err);
    if (rc) return rc;
    ld_normal_each(normal, append_unless_nonspacing);
  }
  if (b->lowercase) ld_normal_each(normal, ld_lower_append);
  return 0;
}

const ld_component_kind ld_bert_normalizer = {"BertNormalizer", load_normalizer, free, {normalize}};

/* Splits at spaces; each punctuation character becomes a word. */
static int pre_tokenize(const void *data, ld_pieces *pieces, const ld_next *next, ld_error *err) {
  static const ld_splitter punctuation = {.is = ld_is_punctuation, .behavior = LD_ISOLATED};
  (void)data;
  return ld_split_twice(pieces, &ld_at_spaces, &punctuation, next, err);
}

const ld_component_kind ld_bert_pre_tokenizer = {.type = "BertPreTokenizer", .pre_tokenize = pre_tokenize};
