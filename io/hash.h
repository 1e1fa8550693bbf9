/* Hashes of contents: XXH3 (64 bits), which is as fast as memory. It is not cryptographic.
 *
 * A hash of several things is a chain, where each hash is seeded by the previous one:
 *   hash = ld_hash_string(0, name);
 *   hash = ld_hash(hash, bytes, length);
 * XXH3 includes lengths, so "ab", "c" and "a", "bc" differ.
 * https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md */
#ifndef LD_HASH_H
#define LD_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t ld_hash(uint64_t before, const void *bytes, size_t length);
uint64_t ld_hash_u64(uint64_t before, uint64_t value);        /* the same on every processor */
uint64_t ld_hash_string(uint64_t before, const char *string); /* NULL differs from "" */

/* A range of memory, and the hash that ld_hash_regions finds for it. */
typedef struct ld_region {
  const void *bytes;
  size_t length;
  uint64_t hash;
} ld_region;

/* Fills in the hash of each region: a chain over the hashes of its pieces of 4 MiB, so that up to n_threads
 * threads share the work however the bytes are spread over regions. Mapped files are requested piece by
 * piece. The threads may run on any core that this process's control group allows: the caller waits for them,
 * and so do the other ranks of the host. */
void ld_hash_regions(ld_region *regions, size_t n, int n_threads);

#endif
