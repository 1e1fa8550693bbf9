#include "io/chat/form.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

typedef enum token_kind { NAME, STRING, NUMBER, SIGN } token_kind;

/* A word of a tag; its text is [begin, end) of `words`, for a string without quotes and escapes. */
typedef struct token {
  token_kind kind;
  size_t begin, end;
} token;

typedef struct form_reader {
  const char *at, *end;
  const char *bos, *eos;
  ld_text *form;
  ld_text words; /* of the current tag */
  token *tokens; /* of the current tag */
  size_t n, room;
  bool cut_spaces, cut_newline; /* what the previous tag removes from the text after it */
  bool line_starts;             /* whether that text begins a line */
} form_reader;

static bool is(const form_reader *r, size_t i, token_kind kind, const char *text) {
  const token *t = &r->tokens[i];
  return i < r->n && t->kind == kind && t->end - t->begin == strlen(text) &&
         !memcmp(r->words.bytes + t->begin, text, t->end - t->begin);
}

static void put_literal(form_reader *r, const char *text, size_t length) {
  for (size_t i = 0; i < length; i++) {
    if (strchr("%{}\\", text[i]) && text[i]) ld_text_puts(r->form, "\\");
    ld_text_append(r->form, text + i, 1);
  }
}

static void add_token(form_reader *r, token_kind kind, size_t begin) {
  r->tokens = ld_grow(r->tokens, r->n, &r->room, sizeof *r->tokens);
  r->tokens[r->n++] = (token){kind, begin, r->words.length};
}

static bool read_string(form_reader *r) {
  static const char codes[] = "n\nt\tr\r\\\\'\'\"\"";
  const char quote = *r->at++;
  const size_t begin = r->words.length;
  for (; r->at < r->end && *r->at != quote; r->at++) {
    const char *code = r->at;
    if (*r->at == '\\') {
      if (++r->at == r->end) return false;
      for (code = codes; *code && *code != *r->at;) code += 2;
      if (!*code++) return false;
    }
    ld_text_append(&r->words, code, 1);
  }
  if (r->at == r->end) return false;
  r->at++;
  add_token(r, STRING, begin);
  return true;
}

static void read_word(form_reader *r) {
  const size_t begin = r->words.length;
  const token_kind kind = isdigit((unsigned char)*r->at) ? NUMBER : NAME;
  const char *from = r->at;
  while (r->at < r->end && (isalnum((unsigned char)*r->at) || *r->at == '_')) r->at++;
  ld_text_append(&r->words, from, (size_t)(r->at - from));
  add_token(r, kind, begin);
}

static void read_sign(form_reader *r) {
  const size_t begin = r->words.length;
  const bool two = r->end - r->at > 1 && r->at[1] == '=' && strchr("=!<>", *r->at);
  ld_text_append(&r->words, r->at, two ? 2 : 1);
  r->at += two ? 2 : 1;
  add_token(r, SIGN, begin);
}

static bool reads(form_reader *r, const char *text) {
  const size_t n = strlen(text);
  if ((size_t)(r->end - r->at) < n || memcmp(r->at, text, n)) return false;
  r->at += n;
  return true;
}

/* Reads the words of a tag up to its end, which says what it removes from the text after it. */
static bool read_tag(form_reader *r, const char *close, const char *close_cut) {
  int open = 0; /* unclosed braces within the expression */
  ld_text_clear(&r->words);
  ld_text_puts(&r->words, "");
  r->n = 0;
  while (r->at < r->end) {
    if (isspace((unsigned char)*r->at)) {
      r->at++;
      continue;
    }
    if (!open && ((r->cut_spaces = reads(r, close_cut)) || reads(r, close))) return true;
    if (*r->at == '{') open++;
    if (*r->at == '}') open--;
    if (*r->at == '"' || *r->at == '\'') {
      if (!read_string(r)) return false;
    } else if (isalnum((unsigned char)*r->at) || *r->at == '_') {
      read_word(r);
    } else {
      read_sign(r);
    }
  }
  return false;
}

/* message['role'] means message.role. */
static bool is_key(const form_reader *r, size_t i, size_t end) {
  return i && i + 2 < end && is(r, i, SIGN, "[") && is(r, i + 2, SIGN, "]") &&
         r->tokens[i - 1].kind != STRING && (is(r, i + 1, STRING, "role") || is(r, i + 1, STRING, "content"));
}

static void put_token(form_reader *r, size_t i) {
  const token *t = &r->tokens[i];
  const char *text = r->words.bytes + t->begin;
  if (is(r, i, SIGN, "%")) ld_text_puts(r->form, "\\");
  if (t->kind != STRING) {
    ld_text_append(r->form, text, t->end - t->begin);
    return;
  }
  ld_text_puts(r->form, "'");
  for (size_t k = 0; k < t->end - t->begin; k++) {
    if (text[k] == '\'' || text[k] == '\\') ld_text_puts(r->form, "\\");
    ld_text_append(r->form, text + k, 1);
  }
  ld_text_puts(r->form, "'");
}

static void put_tokens(form_reader *r, size_t from, size_t end) {
  for (size_t i = from; i < end; i++) {
    if (is_key(r, i, end)) {
      ld_text_puts(r->form, is(r, i + 1, STRING, "role") ? ".role" : ".content");
      i += 2;
      continue;
    }
    if (i > from && r->tokens[i].kind != SIGN && r->tokens[i - 1].kind != SIGN) ld_text_puts(r->form, " ");
    put_token(r, i);
  }
}

static int depth_of(const form_reader *r, size_t i) {
  if (is(r, i, SIGN, "(") || is(r, i, SIGN, "[") || is(r, i, SIGN, "{")) return 1;
  return is(r, i, SIGN, ")") || is(r, i, SIGN, "]") || is(r, i, SIGN, "}") ? -1 : 0;
}

static bool is_plus(const form_reader *r, size_t i) {
  return is(r, i, SIGN, "+") || is(r, i, SIGN, "~");
}

/* Whether the tokens concatenate texts, without any operator of lower precedence. */
static bool is_sum(const form_reader *r, size_t from, size_t end) {
  static const char *const looser[] = {"if", "else", "and", "or", "not", "in", "is"};
  int depth = 0;
  for (size_t i = from; i < end; i++) {
    depth += depth_of(r, i);
    if (depth) continue;
    for (size_t k = 0; k < sizeof looser / sizeof *looser; k++)
      if (is(r, i, NAME, looser[k])) return false;
    const bool binds = is_plus(r, i) || is(r, i, SIGN, ".") || is(r, i, SIGN, "|") || depth_of(r, i);
    if (r->tokens[i].kind == SIGN && !binds) return false;
  }
  return true;
}

/* Whether one pair of parentheses encloses all tokens. */
static bool is_wrapped(const form_reader *r, size_t from, size_t end) {
  int depth = 0;
  if (end - from < 2 || !is(r, from, SIGN, "(")) return false;
  for (size_t i = from; i < end; i++) {
    depth += depth_of(r, i);
    if (!depth) return i == end - 1;
  }
  return false;
}

enum { MAX_NESTING = 50 };

static void put_sum(form_reader *r, size_t from, size_t end, int nesting);

static void put_term(form_reader *r, size_t from, size_t end, int nesting) {
  const token *t = &r->tokens[from];
  if (is_wrapped(r, from, end) && nesting < MAX_NESTING) {
    put_sum(r, from + 1, end - 1, nesting + 1);
  } else if (end - from == 1 && t->kind == STRING) {
    put_literal(r, r->words.bytes + t->begin, t->end - t->begin);
  } else if (end - from == 1 && (is(r, from, NAME, "bos_token") || is(r, from, NAME, "eos_token"))) {
    const char *spelling = is(r, from, NAME, "bos_token") ? r->bos : r->eos;
    if (spelling) put_literal(r, spelling, strlen(spelling));
  } else {
    ld_text_puts(r->form, "{");
    put_tokens(r, from, end);
    ld_text_puts(r->form, "}");
  }
}

static void put_sum(form_reader *r, size_t from, size_t end, int nesting) {
  const bool sum = is_sum(r, from, end);
  int depth = 0;
  size_t term = from;
  for (size_t i = from; sum && i < end; i++) {
    depth += depth_of(r, i);
    if (depth || !is_plus(r, i)) continue;
    put_term(r, term, i, nesting);
    term = i + 1;
  }
  put_term(r, term, end, nesting);
}

static bool put_statement(form_reader *r) {
  if (r->n == 1 && (is(r, 0, NAME, "generation") || is(r, 0, NAME, "endgeneration"))) return true;
  if (is(r, 0, NAME, "raw")) return false;
  ld_text_puts(r->form, "%");
  if (r->n > 3 && is(r, 0, NAME, "set") && is(r, 2, SIGN, "=")) {
    put_tokens(r, 0, 3);
    put_sum(r, 3, r->n, 0);
  } else {
    put_tokens(r, 0, r->n);
  }
  ld_text_puts(r->form, "%");
  return true;
}

/* Puts the text up to `tag` (the end when there is none), without what the surrounding tags remove. */
static void put_text(form_reader *r, const char *tag) {
  const char *from = r->at, *end = tag ? tag : r->end;
  if (r->cut_newline && from < end && *from == '\n') from++, r->line_starts = true;
  while (r->cut_spaces && from < end && isspace((unsigned char)*from)) from++;
  const bool cut = tag && r->end - tag > 2 && tag[2] == '-', keep = tag && r->end - tag > 2 && tag[2] == '+';
  if (cut) {
    while (end > from && isspace((unsigned char)end[-1])) end--;
  } else if (tag && tag[1] != '{' && !keep) {
    const char *start = end;
    while (start > from && (start[-1] == ' ' || start[-1] == '\t')) start--;
    if (start > from ? start[-1] == '\n' : r->line_starts) end = start;
  }
  put_literal(r, from, (size_t)(end - from));
  r->at = tag ? tag + (cut || keep ? 3 : 2) : r->end;
}

static const char *next_tag(const form_reader *r) {
  for (const char *at = r->at; r->end - at > 1; at++)
    if (*at == '{' && strchr("{%#", at[1])) return at;
  return NULL;
}

static bool pass_comment(form_reader *r) {
  while (r->end - r->at > 1 && memcmp(r->at, "#}", 2)) r->at++;
  if (r->end - r->at < 2 || r->at[-1] == '+') return false;
  r->cut_spaces = r->at[-1] == '-';
  r->at += 2;
  return true;
}

/* Puts one tag and the text before it. */
static bool put_tag(form_reader *r, const char *tag) {
  const char kind = tag[1];
  put_text(r, tag);
  bool good;
  if (kind == '#')
    good = pass_comment(r);
  else
    good = kind == '%' ? read_tag(r, "%}", "-%}") : read_tag(r, "}}", "-}}");
  r->cut_newline = kind != '{';
  r->line_starts = false;
  if (!good || kind == '#') return good;
  if (!r->n) return false;
  if (kind == '%') return put_statement(r);
  put_sum(r, 0, r->n, 0);
  return true;
}

bool ld_chat_form(const char *source, size_t length, const char *bos, const char *eos, ld_text *form) {
  if (length && source[length - 1] == '\n') length--; /* as in Jinja */
  form_reader r = {
      .at = source, .end = source + length, .bos = bos, .eos = eos, .form = form, .line_starts = true};
  bool good = !memchr(source, 0, length) && !memchr(source, '\r', length);
  for (const char *tag; good && (tag = next_tag(&r));) good = put_tag(&r, tag);
  if (good) put_text(&r, NULL);
  ld_text_free(&r.words);
  free(r.tokens);
  return good;
}
