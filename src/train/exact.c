#include "train/exact.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/vmath.h"

/* A peak is kept between 2^LOW and the overflow limit. When a step shows that it is outside, it is moved to
 * 2^(limit - HEADROOM). */
enum { SUM_BITS = 62, LOW = 34, HEADROOM = 12, FIRST_EXPONENT = 46, MAX_EXPONENT = 900 };
#define INFINITE_BITS 0x7f800000u

enum { WORD_BITS = 48 };
static const double loss_units[LD_LOSS_WORDS] = {0x1p66, 0x1p18, 0x1p-30}, largest_loss = 0x1p100;

/* Brings each word but the highest into [0, 2^WORD_BITS), so that every sum has one form only. */
static void carry(int64_t words[LD_LOSS_WORDS]) {
  const int64_t base = (int64_t)1 << WORD_BITS;
  for (int i = LD_LOSS_WORDS - 1; i > 0; i--) {
    const int64_t rest = (words[i] % base + base) % base;
    words[i - 1] += (words[i] - rest) / base;
    words[i] = rest;
  }
}

bool ld_exact_add_loss(int64_t words[LD_LOSS_WORDS], double loss) {
  if (!(fabs(loss) <= largest_loss)) return false;
  for (int i = 0; i < LD_LOSS_WORDS; i++) {
    const double unit = loss_units[i], n = i < LD_LOSS_WORDS - 1 ? trunc(loss / unit) : rint(loss / unit);
    words[i] += (int64_t)n;
    loss -= n * unit;
  }
  carry(words);
  return true;
}

double ld_exact_loss(const int64_t words[LD_LOSS_WORDS]) {
  int64_t sum[LD_LOSS_WORDS];
  double loss = 0;
  memcpy(sum, words, sizeof sum);
  carry(sum);
  for (int i = 0; i < LD_LOSS_WORDS; i++) loss += (double)sum[i] * loss_units[i];
  return loss;
}

void ld_exact_create(ld_exact *exact, const ld_param *params, size_t n_params) {
  *exact = (ld_exact){.params = params, .n_params = n_params};
  exact->first = ld_alloc(n_params + 1, sizeof *exact->first);
  exact->first[0] = LD_EXACT_COUNTERS;
  for (size_t i = 0; i < n_params; i++) exact->first[i + 1] = exact->first[i] + params[i].count;
  exact->n_floats = exact->first[n_params] - LD_EXACT_COUNTERS;
  exact->sums = ld_alloc(LD_EXACT_COUNTERS + exact->n_floats, sizeof *exact->sums);
  exact->exponent = ld_alloc(n_params, sizeof *exact->exponent);
  exact->used = ld_alloc(n_params, sizeof *exact->used);
  exact->peak = ld_alloc(n_params, sizeof *exact->peak);
  for (size_t i = 0; i < n_params; i++) exact->exponent[i] = FIRST_EXPONENT;
}

void ld_exact_free(ld_exact *exact) {
  free(exact->sums);
  free(exact->first);
  free(exact->exponent);
  free(exact->used);
  free(exact->peak);
}

void ld_exact_reset(ld_exact *exact) {
  memset(exact->sums, 0, (LD_EXACT_COUNTERS + exact->n_floats) * sizeof *exact->sums);
  memcpy(exact->used, exact->exponent, exact->n_params * sizeof *exact->used);
  memset(exact->peak, 0, exact->n_params * sizeof *exact->peak);
}

/* The bits of |x| order as the numbers do, with NaN last. */
LD_VECTOR static uint32_t peak_bits(const float *g, size_t n, uint32_t peak) {
  for (size_t i = 0; i < n; i++) {
    uint32_t bits;
    memcpy(&bits, &g[i], sizeof bits);
    bits &= 0x7fffffffu;
    peak = bits > peak ? bits : peak;
  }
  return peak;
}

LD_VECTOR static void add(int64_t *sums, const float *g, size_t n, double scale) {
  const double limit = 0x1p62;
  for (size_t i = 0; i < n; i++) {
    double x = (double)g[i] * scale;
    x = x >= -limit ? x : -limit; /* also for NaN, which the peak records */
    x = x <= limit ? x : limit;
    x += x < 0 ? -0.5 : 0.5;
    /* Wrapping is harmless: a sum that could overflow is thrown away. */
    sums[i] = (int64_t)((uint64_t)sums[i] + (uint64_t)(int64_t)x);
  }
}

void ld_exact_add(ld_exact *exact, size_t i) {
  const ld_param *param = &exact->params[i];
  exact->peak[i] = peak_bits(param->grad, param->count, exact->peak[i]);
  add(exact->sums + exact->first[i], param->grad, param->count, ldexp(1, exact->used[i]));
}

static float bits_to_float(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

bool ld_exact_fit(ld_exact *exact, int64_t n_summands) {
  int summand_bits = 0;
  while ((int64_t)1 << summand_bits < n_summands) summand_bits++;
  const int limit = SUM_BITS - 1 - summand_bits;
  bool fit = true;
  for (size_t i = 0; i < exact->n_params; i++) {
    if (!exact->peak[i] || exact->peak[i] >= INFINITE_BITS) continue;
    const int top = ilogbf(bits_to_float(exact->peak[i])) + 1;
    const int place = top + exact->used[i];
    if (place > limit || place < LOW) fit = false;
    exact->exponent[i] = limit - HEADROOM - top;
    if (exact->exponent[i] > MAX_EXPONENT) exact->exponent[i] = MAX_EXPONENT;
  }
  return fit;
}

const ld_param *ld_exact_not_finite(const ld_exact *exact) {
  for (size_t i = 0; i < exact->n_params; i++)
    if (exact->peak[i] >= INFINITE_BITS) return &exact->params[i];
  return NULL;
}

void ld_exact_mean(const ld_exact *exact, double divisor) {
  for (size_t i = 0; i < exact->n_params; i++) {
    const ld_param *param = &exact->params[i];
    const int64_t *sums = exact->sums + exact->first[i];
    const double scale = ldexp(1, -exact->used[i]) / divisor;
    for (size_t k = 0; k < param->count; k++) param->grad[k] = (float)((double)sums[k] * scale);
  }
}
