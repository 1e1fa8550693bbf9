/* Makes microbatches from a corpus. */
#ifndef LD_FEED_H
#define LD_FEED_H

#include "data/corpus.h"
#include "nn/batch.h"

/* The memory of a microbatch being made; reused, and grown when needed. Zero-initialise. */
typedef struct ld_feed {
  ld_lanes lanes;
  ld_sample sample;
} ld_feed;

void ld_feed_free(ld_feed *feed);

/* Reads the rows, each by its number in the plan, and lays them one after the other. With `epoch` not
 * negative, images are augmented as the options say, depending on seed, epoch and record. The batch borrows
 * the feed's memory. */
int ld_corpus_batch(const ld_corpus *corpus, const int64_t *rows, int n_rows, int64_t epoch, ld_feed *feed,
                    ld_batch *batch, ld_error *err);

/* A possible shape of a row: the tokens that a model reads (1 for an image), and the number of targets, which
 * are among these tokens or a text of their own. */
typedef struct ld_row_shape {
  int n_input, n_targets;
  int size; /* of its image (ld_corpus_size) */
} ld_row_shape;

/* The shape of a record, or of a row of continuous text (size 0). */
ld_row_shape ld_corpus_shape_of(const ld_corpus *corpus, int n_tokens, int64_t n_targets, int size);

/* How many tokens rows of that shape have in all. */
int ld_corpus_tokens_of(const ld_corpus *corpus, ld_row_shape shape);

/* The shape of a row that would need the most memory: the longest, with as many targets as it could have. Its image has
 * size 0, for the caller to change. */
ld_row_shape ld_corpus_longest(const ld_corpus *corpus);

/* The same for a row that reads n_input tokens. */
ld_row_shape ld_corpus_shape(const ld_corpus *corpus, int n_input);

/* A batch of n_rows rows of that shape, all zeros, for a dry pass. LD_EUSAGE when that is too much for one
 * pass. */
int ld_corpus_blank(const ld_corpus *corpus, int64_t n_rows, ld_row_shape shape, ld_feed *feed,
                    ld_batch *batch, ld_error *err);

#endif
