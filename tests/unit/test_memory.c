#include <criterion/criterion.h>
#include <stdint.h>

#include "base/memory.h"

Test(arena, counts_then_gives) {
  ld_arena arena;
  ld_arena_init(&arena);
  for (int round = 0; round < 2; round++) {
    char *a = ld_arena_take(&arena, 1), *b = ld_arena_take(&arena, 100);
    cr_assert(arena.peak == 192);
    if (!round) {
      cr_assert(!a && !b);
      cr_assert(ld_arena_reserve(&arena, arena.peak));
      continue;
    }
    cr_assert((uintptr_t)a % 64 == 0 && b == a + 64);
    b[99] = 1;
  }
  ld_arena_free(&arena);
}
