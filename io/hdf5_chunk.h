/* What HDF5 takes on trust of a file's chunks, checked before it reads them. Internal to io.
 */
#ifndef LD_HDF5_CHUNK_H
#define LD_HDF5_CHUNK_H

#include <hdf5.h>
#include <stdbool.h>

enum { LD_FLETCHER_BYTES = 4 }; /* the checksum behind a chunk */

/* Whether each chunk that has elements of the region is stored in `least` to `most` bytes, or not at all. The
 * library takes memory of the stored size, and its checksum filter subtracts 4 from it. `chunk` is the shape
 * of a chunk; `first` and `count` are the region, within the set. */
bool ld_hdf5_chunks_sound(hid_t set, int ndim, const hsize_t *chunk, const hsize_t *first,
                          const hsize_t *count, hsize_t least, hsize_t most);

#endif
