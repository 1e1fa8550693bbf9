/* Heap memory: an allocator that never returns NULL, strings, and the arena.
 *
 * Small bookkeeping allocations come from ld_alloc. When the system has no memory left, it ends the process
 * with an error that says so: no caller could do better. Sizes that come from a file must first be checked
 * against the file's length. Large working memory comes from an arena: sized once, carved by moving a mark,
 * reset as a whole. */
#ifndef LD_MEMORY_H
#define LD_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* The remedy, for the end of an error. */
#define LD_MEMORY_REMEDY                                                                                     \
  "raise the limit (ulimit -v, or what the batch system was asked for), or start fewer ranks on a host"

/* Ends the process with status 1 and this one error; `bytes` were requested. */
void ld_out_of_memory(size_t bytes) __attribute__((noreturn));

/* `count` zeroed items of `size` bytes; the caller frees with free(). Never NULL (count 0 gives one byte). */
void *ld_alloc(size_t count, size_t size) __attribute__((returns_nonnull));

/* `old` grown to `count` items, the new part not zeroed. Never NULL. */
void *ld_realloc(void *old, size_t count, size_t size) __attribute__((returns_nonnull));

/* Makes room for one more item in an array that grows by doubling; it has `used` items and room for `*room`. */
void *ld_grow(void *array, size_t used, size_t *room, size_t size) __attribute__((returns_nonnull));

/* Copies; the caller frees. */
char *ld_strdup(const char *text);
char *ld_strndup(const char *text, size_t length);

/* printf into fresh memory; the caller frees. */
char *ld_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Whether so much could be allocated right now, for libraries that crash when an allocation fails. */
bool ld_memory_is_there(size_t bytes);

typedef struct ld_arena {
  char *memory; /* NULL while it only counts */
  size_t size;  /* bytes at `memory` */
  size_t used;  /* the mark */
  size_t peak;  /* highest mark since ld_arena_init */
} ld_arena;

/* An arena without memory: ld_arena_take returns NULL and counts. */
void ld_arena_init(ld_arena *arena);

/* Gives it `bytes` bytes of memory (64-byte aligned, zeroed by the system) and resets it. False when the
 * system does not have enough. */
bool ld_arena_reserve(ld_arena *arena, size_t bytes) __attribute__((warn_unused_result));

/* `bytes`, 64-byte aligned, not zeroed; NULL while it counts. Taking more than was reserved is a bug and ends
 * the process. */
void *ld_arena_take(ld_arena *arena, size_t bytes);

void ld_arena_free(ld_arena *arena);

#endif
