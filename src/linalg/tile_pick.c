#include "linalg/tile_pick.h"

#include <stdbool.h>
#include <string.h>
#ifdef LD_X86_TILES
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

const char *const ld_precision_names[LD_N_PRECISIONS] = {"f32", "bf16", "bf16-amx"};

extern const ld_tile ld_tile_plain;
#ifdef LD_X86_TILES
extern const ld_tile ld_tile_avx2, ld_tile_avx512, ld_tile_bf16_avx2, ld_tile_bf16_avx512, ld_tile_bf16,
    ld_tile_amx, ld_tile_amx_avx2;
#endif
#ifdef LD_ARM_TILES
extern const ld_tile ld_tile_neon;
#endif

/* Processor requirements of the tiles, the best tile first. */
static bool has_nothing(void) {
  return true;
}

#ifdef LD_X86_TILES
static bool has_avx2(void) {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_avx512(void) {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl");
}

static bool has_bf16(void) {
  return has_avx512() && __builtin_cpu_supports("avx512bf16");
}

/* The system gives AMX's registers to programs that ask for them. */
static bool has_amx(void) {
  enum { ASK = 0x1023, REGISTERS = 18, FOR_BF16 = 1 << 22, FOR_TILES = 1 << 24 };
  unsigned a, b, c, d;
  return has_bf16() && __get_cpuid_count(7, 0, &a, &b, &c, &d) && d & FOR_BF16 && d & FOR_TILES &&
         syscall(SYS_arch_prctl, ASK, REGISTERS) == 0;
}
#endif

static const struct {
  enum ld_precision precision;
  const ld_tile *tile;
  bool (*fits)(void);
} tiles[] = {
#ifdef LD_X86_TILES
    {LD_PRECISION_F32, &ld_tile_avx512, has_avx512},
    {LD_PRECISION_F32, &ld_tile_avx2, has_avx2},
    {LD_PRECISION_BF16, &ld_tile_bf16, has_bf16},
    {LD_PRECISION_BF16, &ld_tile_bf16_avx512, has_avx512},
    {LD_PRECISION_BF16, &ld_tile_bf16_avx2, has_avx2},
    {LD_PRECISION_BF16_AMX, &ld_tile_amx, has_amx},
    {LD_PRECISION_BF16_AMX, &ld_tile_amx_avx2, has_avx2},
#endif
#ifdef LD_ARM_TILES
    {LD_PRECISION_F32, &ld_tile_neon, has_nothing}, /* every 64-bit ARM has it */
#endif
    {LD_PRECISION_F32, &ld_tile_plain, has_nothing},
};
enum { N_TILES = sizeof tiles / sizeof *tiles };

const ld_tile *ld_tile_pick(enum ld_precision precision, const char *name) {
  for (int i = 0; i < N_TILES; i++)
    if (tiles[i].precision == precision && tiles[i].fits() && (!name || !strcmp(name, tiles[i].tile->name)))
      return tiles[i].tile;
  return NULL;
}

const char *ld_tile_name(enum ld_precision precision, int number) {
  for (int i = 0; i < N_TILES; i++)
    if (tiles[i].precision == precision && number-- == 0) return tiles[i].tile->name;
  return NULL;
}

const ld_tile *ld_tile_plainest(void) {
  return &ld_tile_plain;
}

int ld_tile_height(const ld_tile *tile, int n) {
  const int n_tiles = (n + tile->rows - 1) / tile->rows;
  return (n + n_tiles - 1) / n_tiles;
}
