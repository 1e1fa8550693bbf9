/* exp and tanh without branches, so that the compiler vectorises loops over them, and the mark for functions
 * that are compiled once per vector width and chosen when the program starts.
 *
 * Where a multiply-add is fused, LD_FMA says so; the build forbids compilers to fuse any other
 * (-ffp-contract=off). So the bits are the same with every compiler, level of optimisation and vector width. */
#ifndef LD_VMATH_H
#define LD_VMATH_H

#include <stdint.h>
#include <string.h>

/* Only for static functions: clang 14 gives others a wrong name.
 *
 * On 64-bit ARM one version is enough: all of these processors have the same vectors, and fused
 * multiply-adds. At -O2, gcc makes vectors only of loops of known length.
 *
 * The versions are chosen by functions that run before a sanitizer is ready, so builds with one do without.
 * gcc 12 knows levels of x86-64 ("arch=haswell" would mean Intel's only); clang and older gcc choose by
 * single features, of which "avx2" does not include fused multiply-add. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LD_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define LD_SANITIZED
#endif
#endif
#if defined(__aarch64__) && defined(__GNUC__) && !defined(__clang__) && !defined(LD_SANITIZED)
#define LD_VECTOR __attribute__((optimize("O3")))
#elif !defined(__x86_64__) || !defined(__gnu_linux__) || defined(LD_SANITIZED)
#define LD_VECTOR
#elif defined(__clang__) && __clang_major__ >= 14
#define LD_VECTOR __attribute__((target_clones("avx512dq", "fma", "default")))
#elif !defined(__clang__) && defined(__GNUC__) && __GNUC__ >= 12
#define LD_VECTOR                                                                                            \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default"), optimize("O3")))
#elif !defined(__clang__) && defined(__GNUC__) && __GNUC__ >= 9
#define LD_VECTOR __attribute__((target_clones("avx512f", "fma", "default"), optimize("O3")))
#else
#define LD_VECTOR
#endif

/* a * b + c, rounded once: an instruction where the processor has it, else a slow function of libm. */
#define LD_FMA(a, b, c) __builtin_fmaf(a, b, c)

/* e^x, relative error below 2e-7 where the result is a normal number; below -87 it is 0, above 88 it stays
 * finite. x = n ln2 + r, |r| <= ln2 / 2, e^r by its series to the seventh power. */
static inline float ld_expf(float x) {
  const float low = x < -87.0f ? 0.0f : 1.0f;
  x = x < -87.0f ? -87.0f : x;
  x = x > 88.0f ? 88.0f : x;
  /* Adding 1.5 * 2^23 rounds to an integer and leaves that integer in the low bits of the sum. */
  const float shift = 12582912.0f;
  const float sum = LD_FMA(x, 1.44269504f, shift);
  const float n = sum - shift;
  const float r = LD_FMA(n, 2.12194440e-4f, LD_FMA(n, -0.693359375f, x));
  float p = 1.98412698e-4f;
  p = LD_FMA(p, r, 1.38888889e-3f);
  p = LD_FMA(p, r, 8.33333333e-3f);
  p = LD_FMA(p, r, 4.16666667e-2f);
  p = LD_FMA(p, r, 1.66666667e-1f);
  p = LD_FMA(p, r, 0.5f);
  p = LD_FMA(p * r, r, r) + 1.0f;
  uint32_t bits;
  memcpy(&bits, &sum, sizeof bits);
  bits = (bits - 0x4B400000u + 127u) << 23;
  float power;
  memcpy(&power, &bits, sizeof power);
  return low * p * power;
}

/* tanh x, absolute error below 2e-7. */
static inline float ld_tanhf(float x) {
  const float a = x < 0 ? -x : x;
  const float e = ld_expf(-2.0f * a);
  const float t = (1.0f - e) / (1.0f + e);
  return x < 0 ? -t : t;
}

/* The normal distribution function (1 + erf(x / sqrt 2)) / 2, absolute error below 1.5e-7 and in the lower
 * tail relative error below 1e-6, from `bell` = e^(-x^2 / 2). With u = |x| / sqrt 2: below 1 by erf(u) / u in
 * powers of u^2, above by e^(u^2) erfc(u) in powers of 1 / (1 + 0.4 u); both fitted to the least relative
 * error. */
__attribute__((always_inline)) static inline float ld_normal_cdf(float x, float bell) {
  const float u = (x < 0 ? -x : x) * 0.70710678f, z = u * u, t = 1.0f / (1.0f + 0.4f * u);
  float p = -5.63142181e-4f;
  p = LD_FMA(p, z, 4.91755130e-3f);
  p = LD_FMA(p, z, -2.67113112e-2f);
  p = LD_FMA(p, z, 1.12801798e-1f);
  p = LD_FMA(p, z, -3.76123250e-1f);
  p = LD_FMA(p, z, 1.12837911f);
  float q = -1.17489107e-1f;
  q = LD_FMA(q, t, 2.46958777e-1f);
  q = LD_FMA(q, t, 4.55398252e-3f);
  q = LD_FMA(q, t, 2.15173528e-1f);
  q = LD_FMA(q, t, 1.98120013e-1f);
  q = LD_FMA(q, t, 2.26799220e-1f);
  q = LD_FMA(q, t, 2.25620106e-1f);
  const float upper = u < 1.0f ? 0.5f - 0.5f * u * p : 0.5f * bell * q * t;
  return x < 0 ? upper : 1.0f - upper;
}

/* 1 / (1 + e^-x). */
static inline float ld_sigmoidf(float x) {
  return 1.0f / (1.0f + ld_expf(-x));
}

#endif
