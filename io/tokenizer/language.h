/* Languages of translation models, as their tokens spell them. */
#ifndef LD_LANGUAGE_H
#define LD_LANGUAGE_H

#include <stdbool.h>

/* Whether a token is the code of a language: "de_DE", "en_XX" (mBART), "deu_Latn" (NLLB). */
bool ld_is_language(const char *token);

#endif
