/* A data set in use: its index, joined over the ranks, and its plan. */
#ifndef LD_CORPUS_H
#define LD_CORPUS_H

#include "data/plan.h"
#include "io/dataset/dataset.h"
#include "load/base.h"
#include "mpi/comm.h"

/* What a data set is used for. */
typedef enum ld_corpus_use {
  LD_CORPUS_LEARN, /* to train, with the options' class_data */
  LD_CORPUS_SCORE, /* to compare with what the model makes of it */
  LD_CORPUS_ASK    /* to predict; its labels are ignored */
} ld_corpus_use;

typedef struct ld_corpus {
  const ld_base *base;
  const ld_options *options;
  bool labelled;
  ld_image_rule image_rule; /* the base's, at the size that the options say */
  ld_image_size *sizes;     /* of images that have several */
  int n_sizes;              /* 0: all have the rule's */
  ld_dataset *dataset;
  ld_record *records;         /* of all ranks, in file order; this process's own, or in `map` */
  char *kept;                 /* on rank 0: the file in which the index was kept now; NULL: it was not */
  ld_map map;                 /* of an index that the ranks of the host share; empty without one */
  int64_t n_records, n_prior; /* n_prior: those of class_data */
  int64_t n_skipped;          /* unreadable images */
  ld_error first_skipped;     /* the first one's error */
  bool *reads;                /* (n_ranks) whether a rank reads the data itself (data/fetch.h) */
  int n_ranks, n_readers;
  int64_t unit_bytes; /* ld_source_unit_bytes, where some ranks do not */
  ld_labels labels;   /* of a classifier's data: names or numbers as written */
  ld_plan *plan;
  char digest[LD_DIGEST_TEXT + 1]; /* ld_source_digest of rank 0's data; empty until it is needed */
} ld_corpus;

void ld_corpus_close(ld_corpus *corpus);

/* LD_EMISMATCH when the data file, whose digest is known, has changed since it was opened. Not collective. */
int ld_corpus_check(const ld_corpus *corpus, ld_error *err);

/* How many tokens a sample, and a target that is a text of its own, may have. */
int ld_corpus_seq_len(const ld_corpus *corpus);
int ld_corpus_target_len(const ld_corpus *corpus);

/* The memory that each rank needs for the index of the records, their plan, and reading the longest of them; and what the
 * ranks of a host need once, because they share the index. */
size_t ld_corpus_bytes(const ld_corpus *corpus);
size_t ld_corpus_shared_bytes(const ld_corpus *corpus);

/* The size of images of that number (ld_record). */
ld_image_size ld_corpus_size(const ld_corpus *corpus, int size);

/* Whether a row has images of that size. */
bool ld_corpus_has_size(const ld_corpus *corpus, int size);

/* The first record of a row. */
const ld_record *ld_corpus_record(const ld_corpus *corpus, int64_t row);

#endif
