/* The heap of the program never says no: where the system has no memory left, it ends with the one error for that,
 * whoever asked. Libraries are not written for a NULL: HDF5 crashes on most of them, and none could name a remedy.
 *
 * This file replaces the C library's functions in the program (not in its tests), for the libraries that it loads,
 * too; the memory still comes from the C library. With another one than glibc things stay as they are.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/memory.h"

#ifdef __GLIBC__

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);

void *malloc(size_t bytes) {
  void *memory = __libc_malloc(bytes);
  if (!memory) ld_out_of_memory(bytes);
  return memory;
}

void *calloc(size_t count, size_t size) {
  void *memory = __libc_calloc(count, size);
  if (!memory) ld_out_of_memory(count * size);
  return memory;
}

void *realloc(void *old, size_t bytes) {
  void *memory = __libc_realloc(old, bytes);
  if (!memory && bytes) ld_out_of_memory(bytes);
  return memory;
}

int posix_memalign(void **out, size_t alignment, size_t bytes) {
  if (!alignment || alignment % sizeof(void *) || (alignment & (alignment - 1))) return EINVAL;
  *out = __libc_memalign(alignment, bytes);
  if (!*out) ld_out_of_memory(bytes);
  return 0;
}

#endif
