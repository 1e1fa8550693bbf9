/* Translates Oniguruma's syntax of regular expressions to PCRE2's. */
#ifndef LD_REGEX_TRANSLATE_H
#define LD_REGEX_TRANSLATE_H

#include <stddef.h>

#include "base/error.h"
#include "base/text.h"

/* The pattern in PCRE2's syntax. */
int ld_regex_translate(const char *pattern, size_t length, ld_text *out, ld_error *err);

#endif
