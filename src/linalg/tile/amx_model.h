/* What AMX's instructions for tiles of bfloat16 do, in floats, for processors that lack them. Source: Intel, "Architecture
 * Instruction Set Extensions Programming Reference", LDTILECFG, TDPBF16PS and the others. */
#ifndef LD_TILE_AMX_MODEL_H
#define LD_TILE_AMX_MODEL_H

#include <string.h>

#include "linalg/tile/lanes.h"

enum { AMX_ROWS = 16, AMX_WORDS = 16, AMX_REGISTERS = 8 };

typedef struct amx_register {
  int rows, bytes;
  _Alignas(64) float words[AMX_ROWS][AMX_WORDS];
} amx_register;

static _Thread_local amx_register amx_registers[AMX_REGISTERS];

/* The 64 bytes of a configuration: those of a row from byte 16 on, the rows from byte 48 on. */
static inline void amx_configure(const void *configuration) {
  for (int t = 0; t < AMX_REGISTERS; t++) {
    const uint8_t *from = configuration;
    amx_registers[t] =
        (amx_register){.rows = from[48 + t], .bytes = from[16 + 2 * t] | from[17 + 2 * t] << 8};
  }
}

static inline void amx_zero(int t) {
  memset(amx_registers[t].words, 0, sizeof amx_registers[t].words);
}

/* Rows `stride` bytes apart. */
static inline void amx_load(int t, const float *from, ptrdiff_t stride) {
  for (int i = 0; i < amx_registers[t].rows; i++)
    memcpy(amx_registers[t].words[i], (const char *)from + i * stride, (size_t)amx_registers[t].bytes);
}

static inline void amx_store(int t, float *to, ptrdiff_t stride) {
  for (int i = 0; i < amx_registers[t].rows; i++)
    memcpy((char *)to + i * stride, amx_registers[t].words[i], (size_t)amx_registers[t].bytes);
}

/* The even or the odd numbers of words. */
INLINE vec amx_half(vec words, bool odd) {
  return (vec)(odd ? (bits)words & 0xffff0000u : (bits)words << 16);
}

/* Not inlined: so that no sum is computed in another mode. */
static __attribute__((noinline)) void amx_add_products(amx_register *sum, const amx_register *left,
                                                       const amx_register *right) {
  enum { VECS = AMX_WORDS / LANES };
  for (int i = 0; i < sum->rows; i++) {
    vec even[VECS], odd[VECS];
    UNROLL for (int v = 0; v < VECS; v++) even[v] = odd[v] = (vec){0};
    for (int k = 0; k < right->rows; k++) {
      const vec pair = {left->words[i][k]};
      const float a_even = amx_half(pair, false)[0], a_odd = amx_half(pair, true)[0];
      UNROLL for (int v = 0; v < VECS; v++) {
        const vec words = load(right->words[k] + v * LANES);
        even[v] = multiply_add(&a_even, amx_half(words, false), even[v]);
        odd[v] = multiply_add(&a_odd, amx_half(words, true), odd[v]);
      }
    }
    UNROLL for (int v = 0; v < VECS; v++) {
      float *to = sum->words[i] + v * LANES;
      store(to, load(to) + (even[v] + odd[v]));
    }
  }
}

/* What is too small for a normal number becomes 0. */
static inline void amx_multiply(int sum, int left, int right) {
  const unsigned mode = _mm_getcsr();
  _mm_setcsr(mode | _MM_FLUSH_ZERO_ON | 0x40); /* 0x40: factors */
  amx_add_products(&amx_registers[sum], &amx_registers[left], &amx_registers[right]);
  _mm_setcsr(mode);
}

#endif
