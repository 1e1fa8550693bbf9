/* What HDF5 takes on trust of a file's chunks, checked before it reads them. Internal to io.
 *
 * The library (1.10.8) takes memory of the size that a chunk is said to be stored in, subtracts the checksum
 * from it unseen, and reads a whole chunk out of whatever its filters leave, be it shorter.
 */
#ifndef LD_HDF5_CHUNK_H
#define LD_HDF5_CHUNK_H

#include <hdf5.h>
#include <stdbool.h>

/* Whether each chunk that has elements of the region is stored, if at all, in a way that gives just `bytes`
 * bytes when its filters (deflate, shuffle, and a checksum after them: others, and a set without, are refused)
 * are undone. `chunk` is the shape of a chunk; `first` and `count` are the region, within the set; `length`
 * is that of the file. */
bool ld_hdf5_chunks_whole(hid_t set, int ndim, const hsize_t *chunk, size_t bytes, const hsize_t *first,
                          const hsize_t *count, size_t length);

/* Looks up each chunk of a set of that shape, which reads all of its index. */
void ld_hdf5_chunks_visit(hid_t set, int ndim, const hsize_t *chunk, const hsize_t *shape);

#endif
