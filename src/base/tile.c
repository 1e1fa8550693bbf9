#include "base/tile.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

extern const ld_tile ld_tile_plain;
#ifdef LD_X86_TILES
extern const ld_tile ld_tile_avx2, ld_tile_avx512, ld_tile_bf16;
#endif

/* Whether the environment allows the kernel: without a wish any, with one that alone. */
static bool allowed(const char *name) {
  const char *wish = getenv("LORA_DIST_KERNEL");
  return !wish || !*wish || !strcmp(wish, name) || !strcmp(wish, "openblas");
}

static bool has_avx2(void) {
#ifdef LD_X86_TILES
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return false;
#endif
}

static bool has_avx512(void) {
#ifdef LD_X86_TILES
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl");
#else
  return false;
#endif
}

const ld_tile *ld_tile_pick(void) {
#ifdef LD_X86_TILES
  if (has_avx512() && allowed("avx512")) return &ld_tile_avx512;
  if (has_avx2() && allowed("avx2")) return &ld_tile_avx2;
#endif
  return &ld_tile_plain;
}

const ld_tile *ld_tile_plainest(void) {
  return &ld_tile_plain;
}

const ld_tile *ld_tile_pick_bf16(void) {
#ifdef LD_X86_TILES
  if (has_avx512() && __builtin_cpu_supports("avx512bf16") && allowed("avx512")) return &ld_tile_bf16;
#endif
  return NULL;
}

int ld_tile_height(const ld_tile *tile, int n) {
  const int n_tiles = (n + tile->rows - 1) / tile->rows;
  return (n + n_tiles - 1) / n_tiles;
}
