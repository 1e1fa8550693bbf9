/* The making of microbatches from a corpus.
 */
#ifndef LD_FEED_H
#define LD_FEED_H

#include "data/corpus.h"
#include "nn/tensor.h"

/* The memory of a microbatch being made; reused, grown when needed. Zero-initialise. */
typedef struct ld_feed {
  int32_t *ids, *positions, *types, *targets, *segment;
  float *values, *pixels;
  size_t room, segment_room, pixel_room;
  ld_sample sample;
} ld_feed;

void ld_feed_free(ld_feed *feed);

/* Reads the rows, each by its number in the plan, and lays them back to back. Images are augmented as the
 * options say when `epoch` is not negative: by what follows from seed, epoch and record. The batch borrows
 * the feed's memory. */
int ld_corpus_batch(const ld_corpus *corpus, const int64_t *rows, int n_rows, int64_t epoch, ld_feed *feed,
                    ld_batch *batch, ld_error *err);

/* A batch of the largest size that n_rows rows can have, of zeros, for a dry pass. LD_EUSAGE when that is too
 * much for one pass. */
int ld_corpus_blank(const ld_corpus *corpus, int64_t n_rows, ld_feed *feed, ld_batch *batch, ld_error *err);

#endif
