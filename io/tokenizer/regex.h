/* The regular expressions of a tokenizer.json, which are Oniguruma's, by PCRE2.
 */
#ifndef LD_REGEX_H
#define LD_REGEX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "io/tokenizer/budget.h"

/* A match of a pattern, or what lies between two. */
typedef struct ld_match {
  size_t start, end;
  bool is_match;
} ld_match;

/* Takes them one by one: in order, covering the text. The first member of a struct of what it needs. What is
 * not 0 ends the search. */
typedef struct ld_sink {
  int (*take)(struct ld_sink *sink, ld_match match, ld_error *err);
} ld_sink;

/* Gives it what lies between `last`, the end of the match before, and the match [start, end); then this. */
int ld_sink_match(ld_sink *sink, size_t last, size_t start, size_t end, ld_error *err);

typedef struct ld_regex ld_regex;

ld_regex *ld_regex_new(const char *pattern, size_t length, ld_error *err);
ld_regex *ld_regex_literal(const char *string, size_t length, ld_error *err);
void ld_regex_free(ld_regex *regex);

int ld_regex_find(const ld_regex *regex, const char *s, size_t length, ld_budget *budget, ld_sink *sink,
                  ld_error *err);

/* No match has fewer characters. */
size_t ld_regex_shortest(const ld_regex *regex);

#endif
