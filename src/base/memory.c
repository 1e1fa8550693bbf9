#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void ld_out_of_memory(size_t bytes) {
  char text[256];
  const bool large = bytes >= 1 << 20;
  const int n =
      snprintf(text, sizeof text, "lora_dist: error: out of memory: the system refused %.1f %s more: %s\n",
               (double)bytes / (large ? 1048576 : 1024), large ? "MiB" : "KiB", LD_MEMORY_REMEDY);
  (void)!write(STDERR_FILENO, text, n > 0 ? (size_t)n : 0);
  _exit(1);
}

/* Ends the process if `memory` is NULL; `bytes` were requested. */
static void *must(void *memory, size_t bytes) {
  if (!memory) ld_out_of_memory(bytes);
  return memory;
}

void *ld_alloc(size_t count, size_t size) {
  return must(calloc(count ? count : 1, size ? size : 1), count * size);
}

void *ld_realloc(void *old, size_t count, size_t size) {
  if (!count || !size) count = size = 1;
  return must(reallocarray(old, count, size), count * size);
}

void *ld_grow(void *array, size_t used, size_t *room, size_t size) {
  if (used < *room) return array;
  *room = *room ? 2 * *room : 16;
  return ld_realloc(array, *room, size);
}

char *ld_strdup(const char *text) {
  return must(strdup(text), strlen(text));
}

char *ld_strndup(const char *text, size_t length) {
  char *copy = ld_alloc(length + 1, 1);
  memcpy(copy, text, length);
  return copy;
}

char *ld_format(const char *format, ...) {
  char *text;
  va_list args;
  va_start(args, format);
  if (vasprintf(&text, format, args) < 0) text = NULL;
  va_end(args);
  return must(text, strlen(format));
}

bool ld_memory_is_there(size_t bytes) {
  void *memory =
      mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return memory != MAP_FAILED && !munmap(memory, bytes);
}

/* Whole cache lines. */
static size_t in_lines(size_t bytes) {
  return (bytes + 63) / 64 * 64;
}

void ld_arena_init(ld_arena *arena) {
  memset(arena, 0, sizeof *arena);
}

bool ld_arena_reserve(ld_arena *arena, size_t bytes) {
  ld_arena_free(arena);
  if (!bytes) return true;
  bytes = in_lines(bytes);
  void *memory =
      mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return false;
  arena->memory = memory;
  arena->size = bytes;
  return true;
}

void *ld_arena_take(ld_arena *arena, size_t bytes) {
  const size_t start = arena->used;
  arena->used = start + in_lines(bytes);
  if (arena->used > arena->peak) arena->peak = arena->used;
  if (!arena->memory) return NULL;
  if (arena->used > arena->size) {
    fprintf(stderr, "lora_dist: internal error: arena of %zu bytes is short of %zu\n", arena->size,
            arena->used);
    abort();
  }
  return arena->memory + start;
}

void ld_arena_free(ld_arena *arena) {
  if (arena->memory) munmap(arena->memory, arena->size);
  ld_arena_init(arena);
}
