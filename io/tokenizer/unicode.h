/* Properties of characters, and normalisation forms, in the Unicode versions of the tokenizers library. */
#ifndef LD_UNICODE_H
#define LD_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

bool ld_is_space(uint32_t code);
bool ld_is_word(uint32_t code);
bool ld_is_numeric(uint32_t code);
bool ld_is_punctuation(uint32_t code);
bool ld_is_mark(uint32_t code);
bool ld_is_nonspacing(uint32_t code); /* general category Mn */
bool ld_is_other(uint32_t code);      /* Cc, Cf and Co */

/* For grapheme clusters: the class, as UTF8PROC_BOUNDCLASS_*; and Unicode's Indic_Conjunct_Break. */
int ld_grapheme_class(uint32_t code);
bool ld_is_indic_consonant(uint32_t code);
bool ld_is_indic_linker(uint32_t code);
void ld_lower_append(ld_text *out, uint32_t code);

typedef enum ld_form { LD_NFC, LD_NFD, LD_NFKC, LD_NFKD } ld_form;

/* Whether normalising takes time linear in the length: no letter has thousands of marks. */
bool ld_form_is_fast(const char *s, size_t length);

/* Appends the normalisation form of `length` bytes. */
void ld_form_append(ld_text *out, const char *s, size_t length, ld_form form);

/* Appends \p{category} and what PCRE2's version of it lacks, as the inside of a character class; category has
 * one or two letters. */
void ld_category_append(ld_text *out, const char *category);

#endif
