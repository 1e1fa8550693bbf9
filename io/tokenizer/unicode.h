/* Properties of characters, and forms of text, as the Unicode version of the tokenizers library has them.
 */
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
void ld_lower_append(ld_text *out, uint32_t code);

typedef enum ld_form { LD_NFC, LD_NFD, LD_NFKC, LD_NFKD } ld_form;

/* Whether that takes no more time than its length: no letter has thousands of marks. */
bool ld_form_is_fast(const char *s, size_t length);

/* Appends the normalisation form of `length` bytes. */
void ld_form_append(ld_text *out, const char *s, size_t length, ld_form form);

/* Appends \p{category} and what it lacks, as the inside of a character class; category has one or two
 * letters. */
void ld_category_append(ld_text *out, const char *category);

#endif
