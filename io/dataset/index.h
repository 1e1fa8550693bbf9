/* The index of a data set: where its records are, and what they hold.
 */
#ifndef LD_INDEX_H
#define LD_INDEX_H

#include "io/dataset/label.h"
#include "io/file.h"

/* The index of a part, or of all of them. Free with ld_index_free. */
typedef struct ld_index {
  ld_record *records; /* its own, or in `map` */
  ld_map map;         /* of a file with the index (index_file.h); empty without one */
  size_t n, room;
  ld_labels labels;
  ld_tally unused;        /* unused keys of records */
  size_t n_empty;         /* records whose text has no tokens: they are not in the index */
  size_t n_turned;        /* images that are not stored upright */
  size_t n_blended;       /* images with transparency, which was put on white */
  size_t n_skipped;       /* unreadable images */
  ld_error first_skipped; /* the first one's error */
} ld_index;

void ld_index_free(ld_index *index);

/* Rewrites the label numbers of an index, and its names, by the names in `all` (in any order: merged ones, or
 * a model's). Numeric labels stay as they are. LD_EMISMATCH, with nothing changed, for a name that `all` does
 * not have. */
int ld_index_renumber(ld_index *index, const ld_labels *all, ld_error *err);

#endif
