/* A run of text that normalizers rewrite, and their tools. */
#ifndef LD_NORMAL_H
#define LD_NORMAL_H

#include "base/text.h"
#include "io/tokenizer/budget.h"
#include "io/tokenizer/component.h"
#include "io/tokenizer/unicode.h"

/* A run of UTF-8, and how many of its first bytes come from the very start of the user's text, for
 * Metaspace's "first". */
typedef struct ld_normal {
  ld_text text, scratch; /* a normalizer writes scratch and calls ld_normal_swap */
  size_t head;
  size_t before; /* bytes made from the text's other pieces */
  ld_budget *budget;
} ld_normal;

/* Makes scratch the text. */
void ld_normal_swap(ld_normal *normal, size_t head);

/* Runs the normalizer, if there is one. */
int ld_normalize(const ld_component *normalizer, ld_normal *normal, ld_error *err);

/* Rewrites character by character, or into a normalisation form. */
void ld_normal_each(ld_normal *normal, void (*append)(ld_text *out, uint32_t code));
int ld_normal_form(ld_normal *normal, ld_form form, ld_error *err);

#endif
