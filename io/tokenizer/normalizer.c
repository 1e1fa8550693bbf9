/* Normalizers. Each rewrites one run of text, and keeps track of how much of it comes from the very start. */
#include "io/tokenizer/normalizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "io/tokenizer/budget.h"
#include "io/tokenizer/component.h"
#include "io/tokenizer/kinds.h"
#include "io/tokenizer/normal.h"
#include "io/tokenizer/regex.h"
#include "io/tokenizer/unicode.h"

static int load_sequence(ld_component *component, const json_t *json, ld_load *load) {
  return ld_sequence_load(component, json, "normalizers", load);
}

static int run_sequence(const void *data, ld_normal *normal, ld_error *err) {
  const ld_components *components = data;
  for (size_t i = 0; i < components->n; i++) {
    const int rc = ld_normalize(&components->items[i], normal, err);
    if (rc) return rc;
  }
  return 0;
}

static const ld_component_kind sequence = {"Sequence", load_sequence, ld_sequence_free, {run_sequence}};

typedef struct string {
  char *bytes;
  size_t length;
} string;

static string load_copy(const char *bytes, size_t length) {
  return (string){ld_strndup(bytes, length), length};
}

static int load_prepend(ld_component *component, const json_t *json, ld_load *load) {
  const char *bytes;
  size_t length;
  const int rc = ld_load_string(load, json, "prepend", &bytes, &length);
  if (rc) return rc;
  string *data = ld_alloc(1, sizeof *data);
  *data = load_copy(bytes, length);
  component->data = data;
  return 0;
}

static void free_prepend(void *data) {
  free(((string *)data)->bytes);
  free(data);
}

static int run_prepend(const void *data, ld_normal *normal, ld_error *err) {
  const string *s = data;
  if (!normal->text.length) return 0;
  const int rc = ld_budget_check(normal->budget, normal->before + normal->text.length + s->length, err);
  if (rc) return rc;
  ld_text_append(&normal->scratch, s->bytes, s->length);
  ld_text_append(&normal->scratch, normal->text.bytes, normal->text.length);
  ld_normal_swap(normal, normal->head ? normal->head + s->length : 0);
  return 0;
}

static const ld_component_kind prepend = {"Prepend", load_prepend, free_prepend, {run_prepend}};

typedef struct replace_data {
  ld_regex *regex;
  string content;
} replace_data;

static int load_replace(ld_component *component, const json_t *json, ld_load *load) {
  const char *bytes;
  size_t length;
  const int rc = ld_load_string(load, json, "content", &bytes, &length);
  if (rc) return rc;
  replace_data *data = component->data = ld_alloc(1, sizeof *data);
  data->content = load_copy(bytes, length);
  return ld_load_pattern(load, json, &data->regex);
}

static void free_replace(void *data) {
  replace_data *replace = data;
  ld_regex_free(replace->regex);
  free(replace->content.bytes);
  free(replace);
}

typedef struct replacing {
  ld_sink sink;
  const replace_data *replace;
  ld_normal *normal;
  size_t head;
  bool in_head;
} replacing;

/* A replacement counts as coming from where the match's last character comes from. */
static int put_match(ld_sink *sink, ld_match m, ld_error *err) {
  replacing *r = (replacing *)sink;
  ld_normal *normal = r->normal;
  const string content = r->replace->content;
  const size_t length = m.is_match ? content.length : m.end - m.start;
  const int rc = ld_budget_check(normal->budget, normal->before + normal->scratch.length + length, err);
  if (rc) return rc;
  ld_text_append(&normal->scratch, m.is_match ? content.bytes : normal->text.bytes + m.start, length);
  r->in_head = r->in_head && m.end <= normal->head;
  if (r->in_head)
    r->head = normal->scratch.length;
  else if (!m.is_match && m.start < normal->head)
    r->head = normal->scratch.length - (m.end - normal->head);
  return 0;
}

static int run_replace(const void *data, ld_normal *normal, ld_error *err) {
  const replace_data *replace = data;
  const ld_text *text = &normal->text;
  if (!text->length) return 0;
  replacing r = {{put_match}, replace, normal, 0, true};
  const int rc = ld_regex_find(replace->regex, text->bytes, text->length, normal->budget, &r.sink, err);
  if (!rc) ld_normal_swap(normal, r.head);
  return rc;
}

static const ld_component_kind replace_kind = {"Replace", load_replace, free_replace, {run_replace}};

typedef struct strip_data {
  bool left, right;
} strip_data;

static int load_strip(ld_component *component, const json_t *json, ld_load *load) {
  strip_data *data = component->data = ld_alloc(1, sizeof *data);
  const int rc = ld_load_bool(load, json, "strip_left", &data->left);
  return rc ? rc : ld_load_bool(load, json, "strip_right", &data->right);
}

static int run_strip(const void *data, ld_normal *normal, ld_error *err) {
  (void)err;
  const strip_data *strip = data;
  size_t start = 0, end = normal->text.length;
  for (size_t next = start; strip->left && start < end; start = next)
    if (!ld_is_space(ld_utf8_next(normal->text.bytes, &next))) break;
  for (size_t before = end; strip->right && end > start; end = before)
    if (!ld_is_space(ld_utf8_before(normal->text.bytes, end, &before))) break;
  ld_text_append(&normal->scratch, normal->text.length ? normal->text.bytes + start : "", end - start);
  const size_t head = normal->head > end ? end : normal->head;
  ld_normal_swap(normal, head > start ? head - start : 0);
  return 0;
}

static const ld_component_kind strip_kind = {"Strip", load_strip, free, {run_strip}};

static int run_lowercase(const void *data, ld_normal *normal, ld_error *err) {
  (void)data;
  (void)err;
  ld_normal_each(normal, ld_lower_append);
  return 0;
}

static void append_unless_mark(ld_text *out, uint32_t code) {
  if (!ld_is_mark(code)) ld_text_put_code(out, code);
}

static int run_strip_accents(const void *data, ld_normal *normal, ld_error *err) {
  (void)data;
  (void)err;
  ld_normal_each(normal, append_unless_mark);
  return 0;
}

/* SentencePiece's "nmt": control characters are dropped, other blanks become spaces. */
static void append_nmt(ld_text *out, uint32_t c) {
  if ((c >= 1 && c <= 8) || c == 0xb || (c >= 0xe && c <= 0x1f) || c == 0x7f || c == 0x8f || c == 0x9f)
    return;
  const bool blank = c == '\t' || c == '\n' || c == '\f' || c == '\r' || c == 0x1680 ||
                     (c >= 0x200b && c <= 0x200f) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
                     c == 0xfeff || c == 0xfffd;
  ld_text_put_code(out, blank ? ' ' : c);
}

static int run_nmt(const void *data, ld_normal *normal, ld_error *err) {
  (void)data;
  (void)err;
  ld_normal_each(normal, append_nmt);
  return 0;
}

static const ld_component_kind nmt = {"Nmt", NULL, NULL, {run_nmt}};
static const ld_component_kind lowercase = {"Lowercase", NULL, NULL, {run_lowercase}};
static const ld_component_kind strip_accents = {"StripAccents", NULL, NULL, {run_strip_accents}};

#define FORM_KIND(name, form)                                                                                \
  static int run_##name(const void *data, ld_normal *normal, ld_error *err) {                                \
    (void)data;                                                                                              \
    return ld_normal_form(normal, form, err);                                                                \
  }                                                                                                          \
  static const ld_component_kind name = {#name, NULL, NULL, {run_##name}};

FORM_KIND(NFC, LD_NFC)
FORM_KIND(NFD, LD_NFD)
FORM_KIND(NFKC, LD_NFKC)
FORM_KIND(NFKD, LD_NFKD)

const ld_component_kind *const ld_normalizer_kinds[] = {
    &sequence,
    &prepend,
    &replace_kind,
    &strip_kind,
    &lowercase,
    &strip_accents,
    &NFC,
    &NFD,
    &NFKC,
    &NFKD,
    &nmt,
    &ld_precompiled_normalizer,
    &ld_byte_level_normalizer,
    &ld_bert_normalizer,
    NULL,
};
