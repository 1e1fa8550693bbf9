/* The regular expressions of a tokenizer.json, which have Oniguruma's syntax, matched by PCRE2. */
#ifndef LD_REGEX_H
#define LD_REGEX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "io/tokenizer/budget.h"

/* A match of a pattern, or the text between two matches. */
typedef struct ld_match {
  size_t start, end;
  bool is_match;
} ld_match;

/* Receives them one by one: in order, covering the text. It is the first member of a struct with the
 * receiver's data. A result other than 0 ends the search. */
typedef struct ld_sink {
  int (*take)(struct ld_sink *sink, ld_match match, ld_error *err);
} ld_sink;

/* Passes on the text between `last`, the end of the previous match, and the match [start, end); then the
 * match. */
int ld_sink_match(ld_sink *sink, size_t last, size_t start, size_t end, ld_error *err);

typedef struct ld_regex ld_regex;

ld_regex *ld_regex_new(const char *pattern, size_t length, ld_error *err);
ld_regex *ld_regex_literal(const char *string, size_t length, ld_error *err);
void ld_regex_free(ld_regex *regex);

int ld_regex_find(const ld_regex *regex, const char *s, size_t length, ld_budget *budget, ld_sink *sink,
                  ld_error *err);

/* The length in characters that every match has at least. */
size_t ld_regex_shortest(const ld_regex *regex);

#endif
