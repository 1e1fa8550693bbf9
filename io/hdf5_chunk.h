/* Checks what HDF5 assumes about a file's chunks before HDF5 reads them. Only for use in io.
 *
 * The library (1.10.8) allocates the stored size that a chunk claims, subtracts the checksum from it without
 * a check, and reads a whole chunk out of whatever its filters leave, even if that is shorter. */
#ifndef LD_HDF5_CHUNK_H
#define LD_HDF5_CHUNK_H

#include <hdf5.h>
#include <stdbool.h>

/* Whether each chunk with elements of the region, if it is stored at all, gives exactly `bytes` bytes when
 * its filters are undone. The filters are deflate, shuffle, and a checksum after them; others, and a set
 * without any, are refused. `chunk` is the shape of a chunk; `first` and `count` are the region, within the
 * set; `length` is the file's. */
bool ld_hdf5_chunks_whole(hid_t set, int ndim, const hsize_t *chunk, size_t bytes, const hsize_t *first,
                          const hsize_t *count, size_t length);

/* Looks up each chunk of a set of that shape, which reads all of its index. */
void ld_hdf5_chunks_visit(hid_t set, int ndim, const hsize_t *chunk, const hsize_t *shape);

#endif
