#include "io/tokenizer/normal.h"

#include "base/utf8.h"
#include "io/tokenizer/budget.h"
#include "io/tokenizer/component.h"
#include "io/tokenizer/unicode.h"

void ld_normal_swap(ld_normal *normal, size_t head) {
  ld_text_swap(&normal->text, &normal->scratch);
  ld_text_clear(&normal->scratch);
  normal->head = head;
}

int ld_normalize(const ld_component *normalizer, ld_normal *normal, ld_error *err) {
  if (!normalizer->kind) return 0;
  const int rc = normalizer->kind->normalize(normalizer->data, normal, err);
  return rc ? rc : ld_budget_check(normal->budget, normal->before + normal->text.length, err);
}

/* Rewrites character by character. */
void ld_normal_each(ld_normal *normal, void (*append)(ld_text *out, uint32_t code)) {
  size_t head = 0;
  for (size_t i = 0; i < normal->text.length;) {
    append(&normal->scratch, ld_utf8_next(normal->text.bytes, &i));
    if (i <= normal->head) head = normal->scratch.length;
  }
  ld_normal_swap(normal, head);
}

/* The head is taken to be the normal form of the old head alone. That is so unless a mark after it moves
 * before one of its own, which only matters to a Metaspace "first" that a Split put inside the character. */
int ld_normal_form(ld_normal *normal, ld_form form, ld_error *err) {
  if (!ld_form_is_fast(normal->text.bytes, normal->text.length))
    return ld_fail(err, LD_EFORMAT,
                   "the text has thousands of accents on one letter, which the tokenizer sorts");
  const size_t head = normal->head < normal->text.length ? normal->head : normal->text.length;
  ld_form_append(&normal->scratch, normal->text.bytes ? normal->text.bytes : "", head, form);
  const size_t new_head = normal->scratch.length;
  ld_text_clear(&normal->scratch);
  ld_form_append(&normal->scratch, normal->text.bytes ? normal->text.bytes : "", normal->text.length, form);
  ld_normal_swap(normal, new_head < normal->scratch.length ? new_head : normal->scratch.length);
  return 0;
}
