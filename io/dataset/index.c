#include "io/dataset/index.h"

#include <stdlib.h>

#include "base/memory.h"

void ld_index_free(ld_index *index) {
  if (!index->map.bytes) free(index->records);
  ld_map_close(&index->map);
  ld_labels_free(&index->labels);
  ld_tally_free(&index->unused);
  *index = (ld_index){0};
}

int ld_index_renumber(ld_index *index, const ld_labels *all, ld_error *err) {
  if (index->labels.kind != LD_LABEL_NAME) return 0;
  ld_labels names = ld_labels_copy_names(all);
  int32_t *number = ld_alloc(index->labels.n_names, sizeof *number);
  const int rc = ld_labels_match(&index->labels, &names, number, err);
  for (size_t i = 0; !rc && i < index->n; i++)
    if (index->records[i].label >= 0 && number[index->records[i].label] != index->records[i].label)
      index->records[i].label = number[index->records[i].label]; /* a page that is not written stays shared */
  ld_labels_free(rc ? &names : &index->labels);
  if (!rc) index->labels = names;
  free(number);
  return rc;
}
