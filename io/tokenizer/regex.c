/* Regular expressions of tokenizer.json files, matched by PCRE2.
 *
 * The library that defines those files matches with Oniguruma; regex_translate.c rewrites its syntax for
 * PCRE2. Both search from the left and backtrack in the order written, so the matches are the same. */
#include "io/tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "io/tokenizer/budget.h"
#include "io/tokenizer/regex_translate.h"

struct ld_regex {
  pcre2_code *code;
};

/* First in every pattern: calls give_up wherever a match could begin. */
#define MARK "(?C)"

static int give_up(pcre2_callout_block *block, void *budget) {
  (void)block;
  return ld_budget_is_spent(budget) ? PCRE2_ERROR_CALLOUT : 0;
}

/* Compiled code uses the machine's stack, and crashes where that ends; the interpreter uses the heap. Both
 * find the same matches. */
static bool stack_is_ample(void) {
  enum { AMPLE = 512 << 10 };
  struct rlimit limit;
  return !getrlimit(RLIMIT_STACK, &limit) && limit.rlim_cur >= AMPLE;
}

/* ^ and $ match at every line in Ruby's syntax, where a line ends by \n only. */
static ld_regex *compile(const char *pattern, size_t length, const char *shown, int code_of_failure,
                         ld_error *err) {
  pcre2_compile_context *context = pcre2_compile_context_create(NULL);
  if (!context) {
    ld_fail(err, LD_EMEMORY, "no memory for a regular expression");
    return NULL;
  }
  pcre2_set_newline(context, PCRE2_NEWLINE_LF);
  const uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;
  int number;
  PCRE2_SIZE offset;
  pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, length, options, &number, &offset, context);
  pcre2_compile_context_free(context);
  if (!code) {
    PCRE2_UCHAR text[256] = "";
    pcre2_get_error_message(number, text, sizeof text);
    ld_fail(err, code_of_failure, "the regular expression \"%.200s\" cannot be used (%s)", shown,
            (char *)text);
    return NULL;
  }
  if (stack_is_ample()) pcre2_jit_compile(code, PCRE2_JIT_COMPLETE); /* else pcre2_match interprets */
  ld_regex *regex = ld_alloc(1, sizeof *regex);
  regex->code = code;
  return regex;
}

ld_regex *ld_regex_new(const char *pattern, size_t length, ld_error *err) {
  ld_text translated = {0};
  ld_regex *regex = NULL;
  ld_text_puts(&translated, MARK);
  char *shown = ld_strndup(pattern, length);
  if (!ld_regex_translate(pattern, length, &translated, err))
    regex = compile(translated.bytes, translated.length, shown, LD_EFORMAT, err);
  free(shown);
  ld_text_free(&translated);
  return regex;
}

ld_regex *ld_regex_literal(const char *string, size_t length, ld_error *err) {
  ld_text pattern = {0};
  ld_text_puts(&pattern, MARK);
  for (size_t i = 0; i < length;) ld_text_printf(&pattern, "\\x{%x}", ld_utf8_next(string, &i));
  ld_regex *regex = compile(pattern.bytes, pattern.length, string, LD_EFORMAT, err);
  ld_text_free(&pattern);
  return regex;
}

void ld_regex_free(ld_regex *regex) {
  if (!regex) return;
  pcre2_code_free(regex->code);
  free(regex);
}

size_t ld_regex_shortest(const ld_regex *regex) {
  uint32_t length = 0;
  pcre2_pattern_info(regex->code, PCRE2_INFO_MINLENGTH, &length);
  return length;
}

typedef struct search {
  const ld_regex *regex;
  const char *s;
  size_t length;
  pcre2_match_data *data;
  pcre2_match_context *context;
} search;

static int match_at(const search *in, size_t at) {
  const PCRE2_SPTR text = (PCRE2_SPTR)in->s;
  const uint32_t options = PCRE2_NO_UTF_CHECK;
  int rc = pcre2_match(in->regex->code, text, in->length, at, options, in->data, in->context);
  /* Compiled code has a small stack; the interpreter takes what it needs from the heap. */
  if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
    rc = pcre2_match(in->regex->code, text, in->length, at, options | PCRE2_NO_JIT, in->data, in->context);
  return rc;
}

/* The reason why matching ended early. */
static int too_much(int rc, ld_budget *budget, ld_error *err) {
  const int spent = rc == PCRE2_ERROR_CALLOUT ? ld_budget_check(budget, 0, err) : 0;
  if (spent) return spent;
  return ld_fail(err, LD_EFORMAT,
                 "a regular expression of the tokenizer needs too many steps on this text (PCRE2 %d)", rc);
}

static int find_all(const search *in, ld_sink *sink, ld_budget *budget, ld_error *err) {
  const PCRE2_SIZE *found = pcre2_get_ovector_pointer(in->data);
  const size_t length = in->length;
  size_t at = 0, last_end = 0;
  bool any = false;
  while (at <= length) {
    const int n = match_at(in, at);
    if (n == PCRE2_ERROR_NOMATCH) break;
    if (n < 0) return too_much(n, budget, err);
    /* \K can put the start after the end, or with lookbehind before what was already taken. */
    const size_t end = found[1], start = found[0] > end ? end : found[0] < last_end ? last_end : found[0];
    if (start == end && any && end == last_end) { /* no empty match right after a match */
      if (at == length) break;
      ld_utf8_next(in->s, &at);
      continue;
    }
    const int rc = ld_sink_match(sink, last_end, start, end, err);
    if (rc) return rc;
    at = last_end = end;
    any = true;
  }
  return last_end < length ? sink->take(sink, (ld_match){last_end, length, false}, err) : 0;
}

int ld_regex_find(const ld_regex *regex, const char *s, size_t length, ld_budget *budget, ld_sink *sink,
                  ld_error *err) {
  const search in = {regex, s, length, pcre2_match_data_create(1, NULL), pcre2_match_context_create(NULL)};
  int rc;
  if (in.data && in.context) {
    pcre2_set_callout(in.context, give_up, budget);
    rc = find_all(&in, sink, budget, err);
  } else {
    rc = ld_fail(err, LD_EMEMORY, "no memory for a regular expression");
  }
  pcre2_match_data_free(in.data);
  pcre2_match_context_free(in.context);
  return rc;
}

int ld_sink_match(ld_sink *sink, size_t last, size_t start, size_t end, ld_error *err) {
  const int rc = last < start ? sink->take(sink, (ld_match){last, start, false}, err) : 0;
  return rc ? rc : sink->take(sink, (ld_match){start, end, true}, err);
}
