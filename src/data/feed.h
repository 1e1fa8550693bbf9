/* Makes microbatches from a corpus. */
#ifndef LD_FEED_H
#define LD_FEED_H

#include "data/corpus.h"
#include "nn/batch.h"

/* The memory of a microbatch being made; reused, and grown when needed. Zero-initialise. */
typedef struct ld_feed {
  ld_lane input, targets;
  ld_sample sample;
} ld_feed;

void ld_feed_free(ld_feed *feed);

/* Reads the rows, each by its number in the plan, and lays them one after the other. With `epoch` not
 * negative, images are augmented as the options say, depending on seed, epoch and record. The batch borrows
 * the feed's memory. */
int ld_corpus_batch(const ld_corpus *corpus, const int64_t *rows, int n_rows, int64_t epoch, ld_feed *feed,
                    ld_batch *batch, ld_error *err);

/* A possible shape of a row: tokens (1 for an image), and the number of targets. */
typedef struct ld_row_shape {
  int n_tokens, n_targets;
} ld_row_shape;

/* The shape of the longest row, with as many targets as it could have. */
ld_row_shape ld_corpus_longest(const ld_corpus *corpus);

/* A batch of n_rows rows of that shape, all zeros, for a dry pass. LD_EUSAGE when that is too much for one
 * pass. */
int ld_corpus_blank(const ld_corpus *corpus, int64_t n_rows, ld_row_shape shape, ld_feed *feed,
                    ld_batch *batch, ld_error *err);

#endif
