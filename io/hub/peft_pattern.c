#include "io/hub/peft_pattern.h"

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

static pcre2_code *compile(const char *pattern, const char *shown, uint32_t options, const char *name,
                           ld_error *err) {
  int error;
  PCRE2_SIZE offset;
  pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                                   PCRE2_UTF | PCRE2_ANCHORED | options, &error, &offset, NULL);
  if (code) return code;
  PCRE2_UCHAR text[128];
  pcre2_get_error_message(error, text, sizeof text);
  ld_fail(err, LD_EFORMAT, "%s: '%s' is not a regular expression: %s", name, shown, (const char *)text);
  return NULL;
}

/* The number that the group `idx` matched; -1 when it matched none. */
static int layer_number(const pcre2_code *code, pcre2_match_data *data, const char *path) {
  const int group = pcre2_substring_number_from_name(code, (PCRE2_SPTR) "idx");
  const PCRE2_SIZE at = group > 0 ? pcre2_get_ovector_pointer(data)[2 * group] : PCRE2_UNSET;
  return at == PCRE2_UNSET ? -1 : atoi(path + at);
}

/* Returns 1 for a match, 0 for none, a negative code on failure. `shown` stands for the pattern in errors;
 * `layer` may be NULL. */
static int matches(const char *pattern, const char *shown, uint32_t options, const char *path,
                   const char *name, int *layer, ld_error *err) {
  pcre2_code *code = compile(pattern, shown, options, name, err);
  if (!code) return LD_EFORMAT;
  pcre2_match_data *data = pcre2_match_data_create_from_pattern(code, NULL);
  pcre2_match_context *context = pcre2_match_context_create(NULL);
  int found = PCRE2_ERROR_NOMEMORY;
  if (data && context) {
    /* Endless backtracking is an error, not a hang. */
    pcre2_set_match_limit(context, 200000);
    pcre2_set_heap_limit(context, 20000);
    found = pcre2_match(code, (PCRE2_SPTR)path, strlen(path), 0, 0, data, context);
  }
  if (found > 0 && layer) *layer = layer_number(code, data, path);
  pcre2_match_context_free(context);
  pcre2_match_data_free(data);
  pcre2_code_free(code);
  if (found >= 0) return 1;
  if (found == PCRE2_ERROR_NOMATCH) return 0;
  return ld_fail(err, LD_EFORMAT, "%s: '%s' cannot be matched with '%s' (error %d)", name, shown, path,
                 found);
}

int ld_peft_match(const char *pattern, const char *path, const char *name, bool *found, ld_error *err) {
  const int result = matches(pattern, pattern, PCRE2_ENDANCHORED, path, name, NULL, err);
  *found = result > 0;
  return result < 0 ? result : 0;
}

int ld_peft_layer(const char *layers, const char *path, const char *name, bool *found, int *layer,
                  ld_error *err) {
  char *pattern = layers ? ld_format("(?:^|.*?\\.)%s\\.(?P<idx>[0-9]+)\\.", layers)
                         : ld_strdup(".*?\\.[^.]*\\.(?P<idx>[0-9]+)\\.");
  *layer = -1;
  const int result = matches(pattern, layers ? layers : pattern, 0, path, name, layer, err);
  free(pattern);
  *found = result > 0;
  return result < 0 ? result : 0;
}

int ld_peft_pattern(const ld_value *patterns, const char *path, const char *name, const ld_value **found,
                    ld_error *err) {
  *found = NULL;
  for (size_t i = 0; patterns && i < patterns->n_items; i++) {
    const char *key = patterns->items[i].key;
    char *pattern = ld_format("(.*\\.)?(%s)$", key);
    const int result = matches(pattern, key, 0, path, name, NULL, err);
    free(pattern);
    if (result < 0) return result;
    if (result == 0) continue;
    *found = &patterns->items[i];
    return 0;
  }
  return 0;
}
