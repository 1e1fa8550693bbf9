#include "io/tokenizer/pieces.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/tokenizer/budget.h"

void ld_pieces_add(ld_pieces *pieces, ld_piece piece) {
  if (!piece.length) return;
  pieces->spare = ld_grow(pieces->spare, pieces->n_spare, &pieces->room_spare, sizeof *pieces->spare);
  pieces->spare[pieces->n_spare++] = piece;
}

void ld_pieces_cut(ld_pieces *pieces, const ld_piece *of, size_t start, size_t end, int32_t id) {
  size_t head = of->head > start ? of->head - start : 0;
  if (head > end - start) head = end - start;
  ld_pieces_add(pieces, (ld_piece){of->start + start, end - start, head, id});
}

void ld_pieces_swap(ld_pieces *pieces, bool rewritten) {
  ld_piece *items = pieces->items;
  const size_t room = pieces->room;
  pieces->items = pieces->spare;
  pieces->n = pieces->n_spare;
  pieces->room = pieces->room_spare;
  pieces->spare = items;
  pieces->n_spare = 0;
  pieces->room_spare = room;
  if (!rewritten) return;
  ld_text_swap(&pieces->own, &pieces->scratch);
  ld_text_clear(&pieces->scratch);
  pieces->bytes = pieces->own.bytes ? pieces->own.bytes : "";
}

void ld_pieces_free(ld_pieces *pieces) {
  free(pieces->items);
  free(pieces->spare);
  ld_text_free(&pieces->own);
  ld_text_free(&pieces->scratch);
}

int ld_pieces_pass(ld_pieces *pieces, const ld_next *next, ld_error *err) {
  const int rc = ld_budget_check(pieces->budget, pieces->own.length, err);
  return rc ? rc : next->take(next, pieces, err);
}
