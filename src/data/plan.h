/* The plan of the data: which tokens are in which row, and which rows in which step.
 *
 * A row is one sequence of the batch: a record, several short records (packed), or a window of a continuous
 * text. Rows depend on the records' lengths and the options only; the order in an epoch depends on the seed
 * and the epoch's number. So every rank makes the same plan by itself. */
#ifndef LD_PLAN_H
#define LD_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Tokens [first, first + count) of a record. */
typedef struct ld_row_piece {
  int64_t record;
  int32_t first, count;
} ld_row_piece;

typedef struct ld_row {
  size_t first_piece;
  int32_t n_pieces, n_tokens;
  int64_t n_targets;
} ld_row;

typedef struct ld_plan {
  ld_row *rows;
  int64_t n_rows;
  ld_row_piece *pieces;
  uint16_t *sizes; /* of the rows' images; rows of one size stand together; NULL: all have size 0 */
  bool paired;     /* rows 2 i and 2 i + 1 are a pair (ld_plan_pairs) */
  bool continuous; /* the pieces of a row are one text; otherwise each is its own segment */
  bool bos;        /* a row of continuous text begins with the beginning-of-text token */
  int longest;     /* tokens of the longest row */
  int longest_input, most_targets; /* of a row: tokens that are not targets, and targets */
  int64_t n_targets, n_tokens;
  int64_t n_cut, n_target_cut; /* records of which the input, and the target, was truncated */
  int64_t n_parts_cut;         /* records without some of their sentences */
  int64_t n_idle;              /* records left out because they have no target */
} ld_plan;

/* The length of a record, as in the dataset's index. */
typedef struct ld_length {
  int32_t n_tokens, n_targets;
  uint8_t cut;   /* LD_CUT_INPUT, LD_CUT_TARGET, LD_CUT_PARTS */
  bool prior;    /* to be learnt beside the others (ld_plan_pairs) */
  uint16_t size; /* of its image */
} ld_length;

/* One record per row; with `pack` as many as fit in seq_len tokens, by best fit over decreasing lengths. No
 * record is longer. */
ld_plan *ld_plan_records(const ld_length *lengths, int64_t n, int seq_len, bool pack);

/* One record per row, in pairs of a record and one that is `prior`, as many as there are of the more numerous kind; the
 * others are used again. Only the first of a pair counts as a target, so that the loss of a batch is the mean of the
 * firsts' and, added to it, that of the seconds'. There is at least one of each. */
ld_plan *ld_plan_pairs(const ld_length *lengths, int64_t n);

/* Windows of seq_len tokens over all records joined; with `bos` one of these is the beginning-of-text token. */
ld_plan *ld_plan_stream(const ld_length *lengths, int64_t n, int seq_len, bool bos);

void ld_plan_free(ld_plan *plan);

/* The bytes of its rows and pieces. */
size_t ld_plan_bytes(const ld_plan *plan);

/* Steps of one epoch; the last one may have fewer rows. */
int64_t ld_plan_steps(const ld_plan *plan, int64_t batch_size);

/* Writes the order of the rows in an epoch to order (n_rows). Pairs stay together. */
void ld_plan_order(const ld_plan *plan, uint64_t seed, int64_t epoch, bool shuffle, int64_t *order);

/* How many of the n rows are one microbatch: at most `micro`, of one size. rows NULL: the plan's own order from row
 * `first` on; otherwise rows[first], ... */
int64_t ld_plan_take(const ld_plan *plan, const int64_t *rows, int64_t first, int64_t n, int64_t micro);

/* How many microbatches n rows have, and how many any n rows have at most. */
int64_t ld_plan_microbatches(const ld_plan *plan, const int64_t *rows, int64_t n, int64_t micro);
int64_t ld_plan_most_microbatches(const ld_plan *plan, int64_t n, int64_t micro);

/* Rearranges the n rows of one step so that its microbatches, `micro` consecutive rows each, hold about the
 * same number of tokens; otherwise ranks wait for the longest. Rows of several sizes are put together by size
 * instead. `scratch` holds 2 n numbers. */
void ld_plan_balance(const ld_plan *plan, int64_t micro, int64_t *rows, int64_t n, int64_t *scratch);

#endif
