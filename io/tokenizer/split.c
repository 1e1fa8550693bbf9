#include "io/tokenizer/split.h"

#include "base/utf8.h"
#include "io/tokenizer/budget.h"
#include "io/tokenizer/pieces.h"
#include "io/tokenizer/regex.h"
#include "io/tokenizer/unicode.h"

enum { PORTION = 1 << 12 /* pieces */ };

/* Splits pieces: matches and gaps become pieces of `out`. */
typedef struct cutter {
  ld_sink sink;
  const ld_splitter *how;
  const ld_next *next;
  const char *bytes;
  const ld_piece *of;
  ld_pieces out; /* a portion */
  ld_match open; /* the last one, which may be joined with what follows */
  bool is_open;
} cutter;

/* The receiver may rewrite the portion; the next portion uses the same bytes again. */
static int flush(cutter *c, ld_error *err) {
  ld_pieces *out = &c->out;
  ld_pieces_swap(out, false);
  const int rc = ld_pieces_pass(out, c->next, err);
  if (out->budget) out->budget->done += out->own.length;
  ld_text_clear(&out->own);
  out->bytes = c->bytes;
  out->n = out->n_spare = 0;
  return rc;
}

static void close_open(cutter *c) {
  if (c->is_open) ld_pieces_cut(&c->out, c->of, c->open.start, c->open.end, -1);
  c->is_open = false;
}

/* A merged match joins its neighbour only if exactly one of the two is a match. */
static bool joins(const cutter *c, const ld_match *match) {
  const bool same = c->open.is_match == match->is_match;
  if (!c->is_open) return false;
  if (c->how->behavior == LD_CONTIGUOUS) return same;
  if (c->how->behavior == LD_MERGED_WITH_PREVIOUS) return !same && match->is_match;
  return c->how->behavior == LD_MERGED_WITH_NEXT && !same && c->open.is_match;
}

static int take_match(ld_sink *sink, ld_match match, ld_error *err) {
  cutter *c = (cutter *)sink;
  match.is_match = match.is_match != c->how->invert;
  if (c->how->behavior == LD_REMOVED && match.is_match) return 0;
  if (joins(c, &match)) {
    c->open.end = match.end;
    c->open.is_match = match.is_match;
    return 0;
  }
  close_open(c);
  c->open = match;
  c->is_open = true;
  return c->out.n_spare < PORTION ? 0 : flush(c, err);
}

static int find_class(bool (*is)(uint32_t code), const char *s, size_t length, ld_sink *sink, ld_error *err) {
  size_t last = 0;
  int rc = 0;
  for (size_t start = 0, i = 0; !rc && i < length; start = i)
    if (is(ld_utf8_next(s, &i))) {
      rc = ld_sink_match(sink, last, start, i, err);
      last = i;
    }
  return !rc && last < length ? sink->take(sink, (ld_match){last, length, false}, err) : rc;
}

static int split_piece(cutter *c, const ld_piece *piece, ld_error *err) {
  const char *s = c->bytes + piece->start;
  if (piece->id >= 0) {
    ld_pieces_add(&c->out, *piece);
    return 0;
  }
  c->of = piece;
  const int rc = c->how->regex ? ld_regex_find(c->how->regex, s, piece->length, c->out.budget, &c->sink, err)
                               : find_class(c->how->is, s, piece->length, &c->sink, err);
  close_open(c);
  return rc;
}

int ld_split(ld_pieces *pieces, const ld_splitter *how, const ld_next *next, ld_error *err) {
  cutter c = {.sink = {take_match},
              .how = how,
              .next = next,
              .bytes = pieces->bytes,
              .out = {.bytes = pieces->bytes, .budget = pieces->budget}};
  int rc = ld_budget_check(pieces->budget, pieces->own.length, err);
  for (size_t i = 0; !rc && i < pieces->n; i++) rc = split_piece(&c, &pieces->items[i], err);
  if (!rc) rc = flush(&c, err);
  ld_pieces_free(&c.out);
  return rc;
}

const ld_splitter ld_at_spaces = {.is = ld_is_space, .behavior = LD_REMOVED};

typedef struct second_split {
  ld_next self;
  const ld_splitter *splitter;
  const ld_next *then;
} second_split;

static int run_second(const ld_next *self, ld_pieces *pieces, ld_error *err) {
  const second_split *second = (const second_split *)self;
  return ld_split(pieces, second->splitter, second->then, err);
}

int ld_split_twice(ld_pieces *pieces, const ld_splitter *first, const ld_splitter *second,
                   const ld_next *next, ld_error *err) {
  const second_split then = {{run_second}, second, next};
  return ld_split(pieces, first, &then.self, err);
}
