/* Several files as --data, and compressed ones: rank 0 makes one file of them (io/dataset/joined.h), in --cache, where
 * the next start finds it again, or for this job alone in TMPDIR, or /tmp. Ranks that do not see that file have
 * no data, and fetch their records (fetch.h). */
#ifndef LD_JOIN_H
#define LD_JOIN_H

#include "data/corpus.h"

typedef struct ld_join {
  ld_text label; /* how messages name the data: a path, and how many more there are */
  ld_text file;  /* the joined file; empty where the data are read as they are */
  ld_text name;  /* of the first file */
  bool aside;    /* the file is for this job alone, and loses its name once all ranks have opened it */
} ld_join;

/* Finds or makes the joined file of `data`, and sets what `options` says of it, which borrow from *out. The caller calls
 * ld_join_end, once all ranks have opened the data or never will. Collective: an error on rank 0 is everyone's. */
int ld_join_begin(ld_join *out, const char *data, const ld_corpus *corpus, ld_dataset_options *options,
                  ld_comm *comm, ld_error *err);
void ld_join_end(ld_join *join, const ld_comm *comm);

#endif
