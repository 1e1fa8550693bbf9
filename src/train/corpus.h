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
  const ld_options *options;
  bool labelled;
  ld_dataset *dataset;
  ld_record *records; /* of all ranks, in file order */
  int64_t n_records;
  int64_t n_skipped;      /* broken images */
  ld_error first_skipped; /* what was wrong with the first */
  bool *reads;            /* (n_ranks) whether a rank reads the data itself (train/fetch.h) */
  int n_ranks, n_readers;
  int64_t unit_bytes; /* ld_source_unit_bytes, where some ranks do not */
  ld_labels labels;   /* of a classifier's data: names or numbers as they are written */
  ld_plan *plan;
  char digest[LD_DIGEST_TEXT + 1]; /* ld_source_digest of rank 0's; empty until it is needed */
} ld_corpus;

/* Opens a data file, indexes this rank's part of it and joins the parts. Rank 0 must be able to read it; a
 * rank that sees nothing at the path, or other bytes, gets the records that it needs by ld_corpus_fetch.
 * Collective: an error of one rank is everyone's. The base and the options are borrowed. Without `labelled` a
 * classifier's labels are ignored: for prediction. A classifier's data has no plan before
 * ld_corpus_plan. */
int ld_corpus_open(const char *path, const ld_base *base, const ld_options *options, ld_comm *comm,
                   bool labelled, ld_corpus **out, ld_error *err);
void ld_corpus_close(ld_corpus *corpus);

/* LD_EMISMATCH when the data file, whose digest is known, was changed since it was opened. Not collective. */
int ld_corpus_check(const ld_corpus *corpus, ld_error *err);

/* Turns labels into the base's classes and plans the rows. LD_EMISMATCH for a label that the base does not
 * have, LD_EFORMAT for data without a target. The same on every rank. */
int ld_corpus_plan(ld_corpus *corpus, ld_error *err);

/* The memory that each rank has for the index of the records, their plan, and reading the longest of them. */
size_t ld_corpus_bytes(const ld_corpus *corpus);

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

/* The record of a row of a classifier's data, and its truth: its class, or its number. */
const ld_record *ld_corpus_record(const ld_corpus *corpus, int64_t row);
int32_t ld_corpus_class(const ld_corpus *corpus, int64_t row);
float ld_corpus_value(const ld_corpus *corpus, int64_t row);

#endif
