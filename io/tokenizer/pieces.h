/* A text's pieces, as it is turned into ids. */
#ifndef LD_PIECES_H
#define LD_PIECES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "io/tokenizer/budget.h"

/* A part of the text; `id` is an added token's, or -1. */
typedef struct ld_piece {
  size_t start, length;
  size_t head; /* bytes that come from the very start of the user's text, as in ld_normal */
  int32_t id;
} ld_piece;

typedef struct ld_pieces {
  const char *bytes; /* the memory that the pieces point to: the user's text, or `own` */
  ld_text own, scratch;
  ld_piece *items, *spare; /* spare: where a step puts the new pieces */
  size_t n, room, n_spare, room_spare;
  ld_budget *budget;
  bool of_word; /* the text is a word that was split before: a ByteLevel puts a blank before it */
} ld_pieces;

/* Adds to the new pieces, unless it is empty. */
void ld_pieces_add(ld_pieces *pieces, ld_piece piece);

/* Adds [start, end) of an old piece, counted from that piece's start. */
void ld_pieces_cut(ld_pieces *pieces, const ld_piece *of, size_t start, size_t end, int32_t id);

/* Makes the new pieces the current ones; with `rewritten` they lie in scratch. */
void ld_pieces_swap(ld_pieces *pieces, bool rewritten);
void ld_pieces_free(ld_pieces *pieces);

/* The next step for pieces once they are made. A long text is passed in portions, so that its pieces are not
 * all in memory at once. It is the first member of a struct with the step's data. */
typedef struct ld_next {
  int (*take)(const struct ld_next *next, ld_pieces *pieces, ld_error *err);
} ld_next;

/* Passes the pieces on, if they are within the budget. */
int ld_pieces_pass(ld_pieces *pieces, const ld_next *next, ld_error *err);

#endif
