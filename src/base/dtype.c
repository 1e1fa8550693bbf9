/* The two conversions to float32 run over all frozen weights in every pass, often over few numbers at a time.
 * Their loops have no branch, so that compilers vectorise them; for half precision, x86 and ARM have an
 * instruction. */
#include "base/dtype.h"

#include <assert.h>
#include <string.h>

#include "base/vmath.h"

#if defined(__x86_64__) && !defined(LD_SANITIZED)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

static const struct {
  const char *text;
  int elements, bytes;
} types[] = {
#define LD_DTYPE_ROW(name, text, elements, bytes) [name] = {text, elements, bytes},
    LD_DTYPE_TABLE(LD_DTYPE_ROW)
#undef LD_DTYPE_ROW
};
enum { N_TYPES = sizeof types / sizeof *types };

size_t ld_dtype_size(ld_dtype dtype) {
  return (size_t)types[dtype].bytes;
}

const char *ld_dtype_name(ld_dtype dtype) {
  return types[dtype].text;
}

bool ld_dtype_parse(const char *text, ld_dtype *out) {
  for (int i = 0; i < N_TYPES; i++) {
    if (strcmp(types[i].text, text) != 0) continue;
    *out = (ld_dtype)i;
    return true;
  }
  return false;
}

bool ld_dtype_is_float(ld_dtype dtype) {
  return dtype == LD_F32 || dtype == LD_F16 || dtype == LD_BF16;
}

bool ld_shape_count(const int64_t *shape, int ndim, int64_t *count) {
  int64_t product = 1;
  bool empty = false;
  for (int i = 0; i < ndim; i++) {
    if (shape[i] < 0) return false;
    if (shape[i] == 0)
      empty = true;
    else if (__builtin_mul_overflow(product, shape[i], &product))
      return false;
  }
  *count = empty ? 0 : product;
  return true;
}

int64_t ld_stored_count(const ld_stored *tensor) {
  int64_t count = 1;
  for (int i = 0; i < tensor->ndim; i++) count *= tensor->shape[i];
  return count;
}

size_t ld_stored_bytes(const ld_stored *tensor) {
  const size_t each = (size_t)types[tensor->dtype].elements;
  return ((size_t)ld_stored_count(tensor) + each - 1) / each * ld_dtype_size(tensor->dtype);
}

static inline float float_of(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static inline uint32_t bits_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

/* Normal numbers move their exponent by 127 - 15 (twice for infinity and NaN, to reach 255); subnormal ones
 * are an integer multiple of 2^-24. Masks choose, so there is no branch. */
static inline float float_of_half(uint16_t half) {
  const uint32_t sign = (uint32_t)(half & 0x8000u) << 16, magnitude = half & 0x7fffu;
  const uint32_t special = 0u - (uint32_t)(magnitude >= 0x7c00u), tiny = 0u - (uint32_t)(magnitude < 0x0400u);
  const uint32_t normal = (magnitude << 13) + (112u << 23) + (special & (112u << 23));
  const uint32_t subnormal = bits_of((float)(int32_t)magnitude * 0x1p-24f);
  return float_of(sign | (tiny & subnormal) | (~tiny & normal));
}

LD_VECTOR static void f32_from_f16(float *restrict out, const uint16_t *restrict in, int64_t n) {
  for (int64_t i = 0; i < n; i++) out[i] = float_of_half(in[i]);
}

LD_VECTOR static void f32_from_bf16(float *restrict out, const uint16_t *restrict in, int64_t n) {
  for (int64_t i = 0; i < n; i++) out[i] = float_of((uint32_t)in[i] << 16);
}

/* With the instruction a signalling NaN becomes a quiet one; all other numbers are the same. */
#if defined(__x86_64__) && !defined(LD_SANITIZED)
__attribute__((target("avx,f16c"))) static void f32_from_f16_by_eights(float *out, const uint16_t *in,
                                                                       int64_t n) {
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(in + i))));
  for (; i < n; i++) out[i] = float_of_half(in[i]);
}

static void widen_half(float *out, const uint16_t *in, int64_t n) {
  if (__builtin_cpu_supports("avx2")) /* all processors with AVX2 have it */
    f32_from_f16_by_eights(out, in, n);
  else
    f32_from_f16(out, in, n);
}
#elif defined(__aarch64__)
static void widen_half(float *out, const uint16_t *in, int64_t n) {
  const int64_t whole = n & ~(int64_t)3;
  for (int64_t i = 0; i < whole; i += 4)
    vst1q_f32(out + i, vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(in + i))));
  f32_from_f16(out + whole, in + whole, n - whole);
}
#else
static void widen_half(float *out, const uint16_t *in, int64_t n) {
  f32_from_f16(out, in, n);
}
#endif

static uint16_t half_of(float value) {
  const uint32_t bits = bits_of(value), magnitude = bits & 0x7fffffffu;
  const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);
  if (magnitude > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | (magnitude >> 13 & 0x3ffu));
  if (magnitude >= 0x477ff000u) return sign | 0x7c00u; /* 65520 and above round to infinity */
  if (magnitude < 0x38800000u) {
    /* Below 2^-14: adding 0.5 makes the addition itself round to a multiple of 2^-24. */
    return (uint16_t)(sign | (bits_of(float_of(magnitude) + 0.5f) - 0x3f000000u));
  }
  const uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1u) - (112u << 23);
  return (uint16_t)(sign | rounded >> 13);
}

static uint16_t bfloat_of(float value) {
  const uint32_t bits = bits_of(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(bits >> 16 | 0x40u);
  return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

void ld_dtype_to_f32(float *out, const void *data, ld_dtype dtype, int64_t start, int64_t n) {
  assert(ld_dtype_is_float(dtype));
  if (n <= 0) return;
  if (dtype == LD_F32) {
    memcpy(out, (const float *)data + start, (size_t)n * sizeof *out);
    return;
  }
  const uint16_t *in = (const uint16_t *)data + start;
  (dtype == LD_F16 ? widen_half : f32_from_bf16)(out, in, n);
}

void ld_dtype_from_f32(void *out, const float *data, ld_dtype dtype, int64_t n) {
  assert(ld_dtype_is_float(dtype));
  if (n <= 0) return;
  if (dtype == LD_F32) {
    memcpy(out, data, (size_t)n * sizeof *data);
    return;
  }
  uint16_t *to = out;
  for (int64_t i = 0; i < n; i++) to[i] = dtype == LD_F16 ? half_of(data[i]) : bfloat_of(data[i]);
}
