#include "io/hdf5_chunk.h"

#include "base/dtype.h"

static bool is_sound(hid_t set, const hsize_t *at, hsize_t least, hsize_t most) {
  unsigned skipped = 0;
  haddr_t where = HADDR_UNDEF;
  hsize_t size = 0;
  if (H5Dget_chunk_info_by_coord(set, at, &skipped, &where, &size) < 0) return false;
  return where == HADDR_UNDEF || (size >= least && size <= most);
}

/* Moves on to the next chunk of the region, the last dimension first; false behind the last chunk. */
static bool next_chunk(hsize_t *at, int ndim, const hsize_t *chunk, const hsize_t *first,
                       const hsize_t *count) {
  for (int d = ndim - 1; d >= 0; d--) {
    at[d] += chunk[d];
    if (at[d] < first[d] + count[d]) return true;
    at[d] = first[d] / chunk[d] * chunk[d];
  }
  return false;
}

bool ld_hdf5_chunks_sound(hid_t set, int ndim, const hsize_t *chunk, const hsize_t *first,
                          const hsize_t *count, hsize_t least, hsize_t most) {
  hsize_t at[LD_MAX_DIMS];
  for (int d = 0; d < ndim; d++) at[d] = first[d] / chunk[d] * chunk[d];
  do
    if (!is_sound(set, at, least, most)) return false;
  while (next_chunk(at, ndim, chunk, first, count));
  return true;
}
