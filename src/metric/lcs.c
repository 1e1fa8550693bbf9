/* With t[i][j] for the length of the longest common subsequence of the first i words of `a` and the first
 * j of `b`, column j of the table grows by 0 or 1 from each i to the next. A column is thus a row of
 * bits, and is made from the one before by whole words of 64 bits: H. Hyyrö, "Bit-parallel LCS-length
 * computation revisited", 2004. Bit i of column j is 0 where t[i + 1][j] > t[i][j]. */
#include "metric/lcs.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

static size_t blocks_of(ld_numbers a) {
  return (a.n + 63) / 64;
}

/* Bit i: word 64 block + i of `a` is this word. */
static uint64_t where(ld_numbers a, size_t block, uint32_t word) {
  const uint32_t *at = a.at + 64 * block;
  const size_t n = a.n - 64 * block < 64 ? a.n - 64 * block : 64;
  uint64_t bits = 0;
  for (size_t i = 0; i < n; i++) bits |= (uint64_t)(at[i] == word) << i;
  return bits;
}

/* The column after one more word of `b`; `next` may be `column`. */
static void advance(ld_numbers a, uint32_t word, const uint64_t *column, uint64_t *next) {
  uint64_t carry = 0;
  for (size_t k = 0; k < blocks_of(a); k++) {
    const uint64_t old = column[k], same = where(a, k, word), sum = old + (old & same);
    next[k] = (sum + carry) | (old & ~same);
    carry = sum < old || sum + carry < sum;
  }
}

size_t ld_lcs_length(ld_numbers a, ld_numbers b) {
  const size_t blocks = blocks_of(a);
  uint64_t *column = ld_alloc(blocks, sizeof *column);
  size_t length = 0;
  memset(column, 0xff, blocks * sizeof *column);
  for (size_t j = 0; j < b.n; j++) advance(a, b.at[j], column, column);
  for (size_t i = 0; i < a.n; i++) length += !(column[i / 64] >> i % 64 & 1);
  free(column);
  return length;
}

/* Walks back from the table's corner. The columns of the whole table would need much memory for long
 * texts: one in `stride` is kept, and those between are computed again, a stride at a time. */
void ld_lcs_mark(ld_numbers a, ld_numbers b, bool *marks) {
  const size_t blocks = blocks_of(a);
  size_t stride = 1;
  while (stride * stride < b.n) stride++;
  uint64_t *kept = ld_alloc((b.n / stride + 1) * blocks, sizeof *kept);
  uint64_t *columns = ld_alloc((stride + 1) * blocks, sizeof *columns);
  memset(columns, 0xff, blocks * sizeof *columns);
  for (size_t j = 0; j < b.n; j++) {
    if (j % stride == 0) memcpy(kept + j / stride * blocks, columns, blocks * sizeof *columns);
    advance(a, b.at[j], columns, columns);
  }
  for (size_t i = a.n, j = b.n; i && j;) {
    const size_t begin = (j - 1) / stride * stride;
    memcpy(columns, kept + begin / stride * blocks, blocks * sizeof *columns);
    for (size_t k = begin; k < j; k++)
      advance(a, b.at[k], columns + (k - begin) * blocks, columns + (k + 1 - begin) * blocks);
    while (i && j > begin) {
      const bool grows = !(columns[(j - begin) * blocks + (i - 1) / 64] >> (i - 1) % 64 & 1);
      if (a.at[i - 1] == b.at[j - 1])
        marks[--i] = true, j--;
      else if (grows)
        j--;
      else
        i--;
    }
  }
  free(kept);
  free(columns);
}
