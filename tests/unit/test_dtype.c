#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "base/dtype.h"
#include "io/hub/safetensors.h"

static uint32_t bits_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

/* The value of a half's bits, by the definition. */
static float half_by_definition(unsigned half) {
  const unsigned exponent = half >> 10 & 31, fraction = half & 1023;
  const double sign = half & 0x8000 ? -1 : 1;
  if (exponent == 31) return fraction ? NAN : (float)(sign * INFINITY);
  return (float)(sign * (exponent ? ldexp(1024 + fraction, (int)exponent - 25) : ldexp(fraction, -24)));
}

Test(dtype, every_half_converts_exactly_and_back) {
  static uint16_t in[65536], back[65536];
  static float out[65536];
  for (unsigned i = 0; i < 65536; i++) in[i] = (uint16_t)i;
  ld_dtype_to_f32(out, in, LD_F16, 0, 65536);
  ld_dtype_from_f32(back, out, LD_F16, 65536);
  for (unsigned i = 0; i < 65536; i++) {
    const float expected = half_by_definition(i);
    if (isnan(expected))
      cr_assert(isnan(out[i]) && (back[i] & 0x7fff) > 0x7c00, "%04x", i);
    else
      cr_assert(bits_of(out[i]) == bits_of(expected) && back[i] == i, "%04x", i);
  }
}

Test(dtype, every_bfloat_converts_exactly_and_back) {
  static uint16_t in[65536], back[65536];
  static float out[65536];
  for (unsigned i = 0; i < 65536; i++) in[i] = (uint16_t)i;
  ld_dtype_to_f32(out, in, LD_BF16, 0, 65536);
  ld_dtype_from_f32(back, out, LD_BF16, 65536);
  for (unsigned i = 0; i < 65536; i++) {
    cr_assert_eq(bits_of(out[i]), i << 16);
    if (isnan(out[i]))
      cr_assert_gt(back[i] & 0x7fff, 0x7f80);
    else
      cr_assert_eq(back[i], i);
  }
}

/* Between two neighbours of the small type: the nearer one, and from the middle the even one. */
static void check_rounding(ld_dtype dtype, uint16_t low) {
  const uint16_t pair[2] = {low, (uint16_t)(low + 1)};
  float ends[2];
  ld_dtype_to_f32(ends, pair, dtype, 0, 2);
  const float middle = (float)(((double)ends[0] + ends[1]) / 2);
  const float in[3] = {nextafterf(middle, ends[0]), middle, nextafterf(middle, ends[1])};
  uint16_t out[3];
  ld_dtype_from_f32(out, in, dtype, 3);
  cr_assert_eq(out[0], pair[0], "below the middle after %04x", low);
  cr_assert_eq(out[1], pair[0] % 2 ? pair[1] : pair[0], "the middle after %04x", low);
  cr_assert_eq(out[2], pair[1], "above the middle after %04x", low);
}

Test(dtype, rounds_to_nearest_even) {
  for (unsigned i = 0; i < 0x7bff; i++) check_rounding(LD_F16, (uint16_t)i);
  for (unsigned i = 0x80; i < 0x7f7f; i += 7) check_rounding(LD_BF16, (uint16_t)i);
}

Test(dtype, large_floats_become_infinite) {
  const float in[] = {65519.996f, 65520, 1e30f, INFINITY, -65520, 3.4028234e38f};
  uint16_t half[6], bfloat[6];
  ld_dtype_from_f32(half, in, LD_F16, 6);
  ld_dtype_from_f32(bfloat, in, LD_BF16, 6);
  cr_assert_eq(half[0], 0x7bff);
  for (int i = 1; i < 4; i++) cr_assert_eq(half[i], 0x7c00);
  cr_assert_eq(half[4], 0xfc00);
  cr_assert_eq(bfloat[5], 0x7f80);
}

Test(dtype, any_part_of_an_array) {
  uint16_t in[300];
  float whole[300], part[300];
  for (int i = 0; i < 300; i++) in[i] = (uint16_t)(i * 211);
  ld_dtype_to_f32(whole, in, LD_BF16, 0, 300);
  for (int start = 0; start < 300; start += 37) {
    memset(part, 0, sizeof part);
    const int n = 300 - start - 1;
    ld_dtype_to_f32(part, in, LD_BF16, start, n);
    cr_assert_eq(memcmp(part, whole + start, (size_t)n * sizeof *part), 0);
    cr_assert_eq(bits_of(part[n]), 0, "one element too many");
  }
}

Test(dtype, names_and_sizes) {
  ld_dtype dtype = LD_F32;
  cr_assert(ld_dtype_parse("BF16", &dtype) && dtype == LD_BF16);
  cr_assert(ld_dtype_parse("F8_E4M3", &dtype) && ld_dtype_size(dtype) == 1 && !ld_dtype_is_float(dtype));
  cr_assert_not(ld_dtype_parse("bf16", &dtype));
  cr_assert_str_eq(ld_dtype_name(LD_I64), "I64");
  int64_t count;
  cr_assert(ld_shape_count((int64_t[]){3, 4}, 2, &count) && count == 12);
  cr_assert(ld_shape_count(NULL, 0, &count) && count == 1);
  cr_assert(ld_shape_count((int64_t[]){INT64_MAX, 0}, 2, &count) && count == 0);
  cr_assert_not(ld_shape_count((int64_t[]){INT64_MAX, 2}, 2, &count));
  cr_assert_not(ld_shape_count((int64_t[]){-1}, 1, &count));
}

Test(dtype, agrees_with_torch) {
  ld_safetensors *file;
  ld_error err = {0};
  cr_assert_eq(ld_safetensors_open(LD_TESTS_DIR "/golden/files/half.safetensors", &file, &err), 0, "%s",
               err.text);
  const ld_stored *bits = ld_safetensors_find(file, "bits"), *expected = ld_safetensors_find(file, "f32");
  cr_assert(bits && expected);
  const int64_t n = ld_stored_count(bits);
  cr_assert_gt(n, 300);
  for (int64_t i = 0; i < n; i++) {
    float value;
    const float want = ((const float *)expected->data)[i];
    ld_dtype_to_f32(&value, bits->data, LD_F16, i, 1);
    cr_assert(isnan(want) ? isnan(value) : bits_of(value) == bits_of(want));
  }
  ld_safetensors_close(file);
}
