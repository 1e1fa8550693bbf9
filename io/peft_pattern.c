#include "io/peft_pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

bool ld_peft_selects(const char *target, const char *path) {
  const size_t t = strlen(target), p = strlen(path);
  if (t > p || strcmp(path + p - t, target) != 0) return false;
  return t == p || path[p - t - 1] == '.';
}

/* 1 for a match, 0 for none, a negative code on failure. */
static int matches(const char *key, const char *path, const char *name, ld_error *err) {
  int error;
  PCRE2_SIZE offset;
  char *pattern = ld_format("(.*\\.)?(%s)$", key);
  pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_ANCHORED,
                                   &error, &offset, NULL);
  free(pattern);
  if (!code) {
    PCRE2_UCHAR text[128];
    pcre2_get_error_message(error, text, sizeof text);
    return ld_fail(err, LD_EFORMAT, "%s: '%s' is not a regular expression: %s", name, key, (const char *)text);
  }
  pcre2_match_data *data = pcre2_match_data_create_from_pattern(code, NULL);
  pcre2_match_context *context = pcre2_match_context_create(NULL);
  int found = PCRE2_ERROR_NOMEMORY;
  if (data && context) {
    /* A pattern that backtracks without end is an error, not a hang. */
    pcre2_set_match_limit(context, 200000);
    pcre2_set_heap_limit(context, 20000);
    found = pcre2_match(code, (PCRE2_SPTR)path, strlen(path), 0, 0, data, context);
  }
  pcre2_match_context_free(context);
  pcre2_match_data_free(data);
  pcre2_code_free(code);
  if (found >= 0) return 1;
  if (found == PCRE2_ERROR_NOMATCH) return 0;
  return ld_fail(err, LD_EFORMAT, "%s: '%s' cannot be matched with '%s' (error %d)", name, key, path, found);
}

int ld_peft_pattern(const ld_value *patterns, const char *path, const char *name, const ld_value **found,
                    ld_error *err) {
  *found = NULL;
  for (size_t i = 0; patterns && i < patterns->n_items; i++) {
    const int result = matches(patterns->items[i].key, path, name, err);
    if (result < 0) return result;
    if (result == 0) continue;
    *found = &patterns->items[i];
    return 0;
  }
  return 0;
}
