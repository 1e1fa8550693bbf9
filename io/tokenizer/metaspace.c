/* Metaspace: spaces as a visible character, as in SentencePiece. A pre-tokenizer and a decoder. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "io/tokenizer/component.h"
#include "io/tokenizer/kinds.h"
#include "io/tokenizer/pieces.h"
#include "io/tokenizer/regex.h"
#include "io/tokenizer/split.h"
#include "io/tokenizer/stage.h"

typedef enum prepend_scheme { ALWAYS, FIRST, NEVER } prepend_scheme;

typedef struct metaspace {
  ld_text replacement;
  uint32_t code;
  prepend_scheme scheme;
  ld_regex *regex; /* NULL without split */
} metaspace;

static int load_scheme(const ld_load *load, const json_t *json, prepend_scheme *out) {
  static const char *const names[] = {"always", "first", "never"};
  *out = ALWAYS;
  const json_t *value = json_object_get(json, "prepend_scheme");
  const char *name = json_string_value(value);
  int found = value ? 3 : ALWAYS;
  for (int i = 0; name && i < 3; i++)
    if (!strcmp(name, names[i])) found = i;
  if (found == 3) return ld_load_fail(load, LD_EFORMAT, "prepend_scheme", "must be always, first or never");
  *out = (prepend_scheme)found;
  if (json_is_false(json_object_get(json, "add_prefix_space")) && found != NEVER)
    return ld_load_fail(load, LD_EFORMAT, "add_prefix_space", "is false, but prepend_scheme is not never");
  return 0;
}

static int load_metaspace(ld_component *component, const json_t *json, ld_load *load) {
  metaspace *data = component->data = ld_alloc(1, sizeof *data);
  bool split;
  int rc = ld_load_char(load, json, "replacement", &data->code);
  if (!rc) rc = load_scheme(load, json, &data->scheme);
  if (!rc) rc = ld_load_bool_or(load, json, "split", true, &split);
  if (rc) return rc;
  ld_text_put_code(&data->replacement, data->code);
  if (!split) return 0;
  data->regex = ld_regex_literal(data->replacement.bytes, data->replacement.length, load->err);
  return data->regex ? 0 : ld_fail_prefix(load->err, LD_ESYSTEM, "%s: Metaspace", load->name);
}

static void free_metaspace(void *data) {
  metaspace *m = data;
  ld_text_free(&m->replacement);
  ld_regex_free(m->regex);
  free(m);
}

/* Appends the text with every space replaced. */
static void append_replaced(ld_text *out, const metaspace *m, const char *s, size_t length) {
  while (length) {
    const char *space = memchr(s, ' ', length);
    const size_t run = space ? (size_t)(space - s) : length;
    ld_text_append(out, s, run);
    if (!space) return;
    ld_text_append(out, m->replacement.bytes, m->replacement.length);
    s += run + 1;
    length -= run + 1;
  }
}

static bool wants_prefix(const metaspace *m, const ld_piece *piece, const char *s) {
  if (m->scheme == NEVER || (m->scheme == FIRST && !piece->head)) return false;
  const size_t n = m->replacement.length;
  return *s != ' ' && !(piece->length >= n && !memcmp(s, m->replacement.bytes, n));
}

static void rewrite_piece(ld_pieces *pieces, const metaspace *m, ld_piece piece) {
  const char *s = pieces->bytes + piece.start;
  ld_text *out = &pieces->scratch;
  const size_t start = out->length, length = piece.length, head = piece.head;
  if (piece.id >= 0) {
    ld_text_append(out, s, length);
  } else {
    if (wants_prefix(m, &piece, s)) ld_text_append(out, m->replacement.bytes, m->replacement.length);
    append_replaced(out, m, s, head);
    if (head) piece.head = out->length - start;
    append_replaced(out, m, s + head, length - head);
  }
  piece.start = start;
  piece.length = out->length - start;
  ld_pieces_add(pieces, piece);
}

static int run_pre_tokenizer(const void *data, ld_pieces *pieces, const ld_next *next, ld_error *err) {
  const metaspace *m = data;
  const ld_splitter splitter = {.regex = m->regex, .behavior = LD_MERGED_WITH_NEXT};
  for (size_t i = 0; i < pieces->n; i++) rewrite_piece(pieces, m, pieces->items[i]);
  ld_pieces_swap(pieces, true);
  return m->regex ? ld_split(pieces, &splitter, next, err) : ld_pieces_pass(pieces, next, err);
}

const ld_component_kind ld_metaspace_pre_tokenizer = {.type = "Metaspace",
                                                      .load = load_metaspace,
                                                      .free_data = free_metaspace,
                                                      .pre_tokenize = run_pre_tokenizer};

/* The first token loses its replacement characters, unless nothing was prepended. */
static void decode_feed(ld_stage *stage, const char *bytes, size_t length) {
  const metaspace *m = stage->data;
  const bool drop = !stage->index && m->scheme != NEVER;
  size_t run = 0;
  for (size_t i = 0; i < length;) {
    const size_t start = i;
    if (ld_utf8_next(bytes, &i) != m->code) continue;
    ld_stage_feed(stage->next, bytes + run, start - run);
    ld_stage_feed(stage->next, " ", !drop);
    run = i;
  }
  ld_stage_feed(stage->next, bytes + run, length - run);
}

static void decode_end(ld_stage *stage) {
  ld_stage_end(stage->next);
}

static void decode_finish(ld_stage *stage) {
  ld_stage_finish(stage->next);
}

const ld_component_kind ld_metaspace_decoder = {.type = "Metaspace",
                                                .load = load_metaspace,
                                                .free_data = free_metaspace,
                                                .decode = {decode_feed, decode_end, decode_finish}};
