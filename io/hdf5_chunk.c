#include "io/hdf5_chunk.h"

#include <stdlib.h>
#include <zlib.h>

#include "base/dtype.h"
#include "base/memory.h"

enum { SUM_BYTES = 4 };

/* The positions of the filters in a set's pipeline; -1: none. */
typedef struct filters {
  int deflate, sum;
} filters;

static bool find_filters(hid_t set, filters *out) {
  const hid_t list = H5Dget_create_plist(set);
  const int n = list < 0 ? -1 : H5Pget_nfilters(list);
  bool known = n > 0;
  *out = (filters){-1, -1};
  for (int i = 0; known && i < n; i++) {
    unsigned flags, config;
    size_t values = 0;
    const H5Z_filter_t kind = H5Pget_filter2(list, (unsigned)i, &flags, &values, NULL, 0, NULL, &config);
    known = out->sum < 0 && (kind != H5Z_FILTER_DEFLATE || out->deflate < 0) &&
            (kind == H5Z_FILTER_DEFLATE || kind == H5Z_FILTER_SHUFFLE || kind == H5Z_FILTER_FLETCHER32);
    if (kind == H5Z_FILTER_DEFLATE) out->deflate = i;
    if (kind == H5Z_FILTER_FLETCHER32) out->sum = i;
  }
  if (list >= 0) H5Pclose(list);
  return known;
}

static bool inflates_to(const unsigned char *packed, size_t n, size_t bytes) {
  unsigned char *plain = ld_alloc(bytes, 1);
  uLongf found = bytes;
  const bool good = uncompress(plain, &found, packed, n) == Z_OK && found == bytes;
  free(plain);
  return good;
}

/* A filter that gained nothing was left out, as a bit of `skipped` says. */
static bool is_applied(int filter, uint32_t skipped) {
  return filter >= 0 && !(skipped >> filter & 1);
}

/* Whether the chunk, as stored, is whole. (HDF5 1.10's query for a chunk's address walks the whole index each
 * time, so its size and its bytes are looked up instead. H5Dread_chunk reads that size only for a set with
 * filters; otherwise it reads the chunk's own size, whatever the index says.) */
static bool is_whole(hid_t set, const filters *f, const hsize_t *at, size_t bytes, size_t length) {
  uint32_t skipped = 0;
  hsize_t stored = 0;
  if (H5Dget_chunk_storage_size(set, at, &stored) < 0 || stored > length) return false;
  if (!stored) return true;
  unsigned char *packed = ld_alloc((size_t)stored, 1);
  bool whole = H5Dread_chunk(set, H5P_DEFAULT, at, &skipped, packed) >= 0;
  const size_t sum = is_applied(f->sum, skipped) ? SUM_BYTES : 0, n = (size_t)stored - sum;
  whole =
      whole && stored > sum && (is_applied(f->deflate, skipped) ? inflates_to(packed, n, bytes) : n == bytes);
  free(packed);
  return whole;
}

/* Advances to the next chunk of the region, last dimension first; false after the last chunk. */
static bool next_chunk(hsize_t *at, int ndim, const hsize_t *chunk, const hsize_t *first,
                       const hsize_t *count) {
  for (int d = ndim - 1; d >= 0; d--) {
    at[d] += chunk[d];
    if (at[d] < first[d] + count[d]) return true;
    at[d] = first[d] / chunk[d] * chunk[d];
  }
  return false;
}

bool ld_hdf5_chunks_whole(hid_t set, int ndim, const hsize_t *chunk, size_t bytes, const hsize_t *first,
                          const hsize_t *count, size_t length) {
  hsize_t at[LD_MAX_DIMS];
  filters f;
  if (!find_filters(set, &f)) return false;
  for (int d = 0; d < ndim; d++) at[d] = first[d] / chunk[d] * chunk[d];
  do
    if (!is_whole(set, &f, at, bytes, length)) return false;
  while (next_chunk(at, ndim, chunk, first, count));
  return true;
}

void ld_hdf5_chunks_visit(hid_t set, int ndim, const hsize_t *chunk, const hsize_t *shape) {
  const hsize_t first[LD_MAX_DIMS] = {0};
  hsize_t at[LD_MAX_DIMS] = {0}, stored;
  do
    if (H5Dget_chunk_storage_size(set, at, &stored) < 0) return;
  while (next_chunk(at, ndim, chunk, first, shape));
}
