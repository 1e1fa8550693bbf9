/* A data set in use: its index joined over the ranks, its plan, and the making of microbatches.
 */
#ifndef LD_CORPUS_H
#define LD_CORPUS_H

#include "io/dataset.h"
#include "mpi/comm.h"
#include "nn/tensor.h"
#include "train/base.h"
#include "train/plan.h"

typedef struct ld_corpus {
  const ld_base *base;
  ld_dataset *dataset;
  ld_record *records; /* of all ranks, in file order */
  int64_t n_records;
  ld_plan *plan;
  char digest[32]; /* ld_dataset_digest; rank 0 reads the whole file for it, the others are told */
} ld_corpus;

/* Opens a data file, indexes this rank's part of it and joins the parts. Collective: an error of one rank is
 * everyone's. Refuses data without a single target token. */
int ld_corpus_open(const char *path, const ld_base *base, const ld_options *options, ld_comm *comm,
                   ld_corpus **out, ld_error *err);
void ld_corpus_close(ld_corpus *corpus);

/* The memory of a microbatch being made; reused, grown when needed. Zero-initialise. */
typedef struct ld_feed {
  int32_t *ids, *positions, *targets, *segment;
  size_t room, segment_room;
  ld_sample sample;
} ld_feed;

void ld_feed_free(ld_feed *feed);

/* Reads the rows, each by its number in the plan, and lays them back to back. The batch borrows the feed's
 * memory. */
int ld_corpus_batch(const ld_corpus *corpus, const int64_t *rows, int n_rows, ld_feed *feed, ld_batch *batch,
                    ld_error *err);

/* A batch of n_tokens tokens 0 in segments of `longest`, for a dry pass. */
void ld_feed_blank(ld_feed *feed, int n_tokens, int longest, ld_batch *batch);

#endif
