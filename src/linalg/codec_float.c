/* The codecs of plain floating-point numbers, which base/dtype.h converts; a block is one number. */
#include "linalg/codec.h"

static void widen_f32(float *out, const ld_coded *from, int64_t first, int64_t n) {
  ld_dtype_to_f32(out, from->data, LD_F32, first, n);
}

static void widen_f16(float *out, const ld_coded *from, int64_t first, int64_t n) {
  ld_dtype_to_f32(out, from->data, LD_F16, first, n);
}

static void widen_bf16(float *out, const ld_coded *from, int64_t first, int64_t n) {
  ld_dtype_to_f32(out, from->data, LD_BF16, first, n);
}

const ld_codec ld_codec_f32 = {"F32", LD_F32_ELEMENTS, LD_F32_BYTES, 1, widen_f32};
const ld_codec ld_codec_f16 = {"F16", LD_F16_ELEMENTS, LD_F16_BYTES, 1, widen_f16};
const ld_codec ld_codec_bf16 = {"BF16", LD_BF16_ELEMENTS, LD_BF16_BYTES, 1, widen_bf16};
