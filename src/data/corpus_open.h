/* Opening data: finds the form of its records, and, once it is indexed, matches labels with the base's and plans the
 * rows. */
#ifndef LD_CORPUS_OPEN_H
#define LD_CORPUS_OPEN_H

#include "data/corpus.h"

/* Opens a data file and finds the form of its records. Rank 0 must be able to read the file; a rank that finds
 * nothing at the path, or other bytes, gets the records that it needs by ld_corpus_fetch (data/fetch.h). The
 * base and the options are borrowed. Collective: an error on one rank is everyone's. */
int ld_corpus_open(const char *path, const ld_base *base, const ld_options *options, ld_comm *comm,
                   ld_corpus_use use, ld_corpus **out, ld_error *err);

/* Turns labels into the base's classes and plans the rows. LD_EMISMATCH for a label that the base does not
 * have, LD_EFORMAT for data without a target. The same on every rank. */
int ld_corpus_plan(ld_corpus *corpus, ld_error *err);

#endif
