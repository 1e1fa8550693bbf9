/* The index of a corpus: made by all ranks together, or taken from --cache, where an earlier start left it.
 *
 * Rank 0 decides: it looks for the index in its folder, or collects the parts that the ranks have made, and keeps them
 * there. The ranks of a host share one copy. That is the file in the folder where they see it; elsewhere the first rank
 * of the host receives the index from rank 0, and puts it into a file without a name in TMPDIR, or /tmp. */
#ifndef LD_CORPUS_INDEX_H
#define LD_CORPUS_INDEX_H

#include "data/corpus.h"

/* Finds the records of an open corpus. Samples are as long as the base's model takes, which must be the one for this
 * form. There is no plan before ld_corpus_plan. `cache` is rank 0's folder (NULL: none). The index is found there by the
 * digest of the data, which is then known, and by all else that it follows from. One that is damaged is made again,
 * and one that cannot be kept is not: both with a warning. Collective: an error on one rank is everyone's. */
int ld_corpus_index(ld_corpus *corpus, ld_comm *comm, const char *cache, ld_error *err);

#endif
