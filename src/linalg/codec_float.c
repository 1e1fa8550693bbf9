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

const ld_codec ld_codec_f32 = {.name = "F32",
                               .elements = LD_F32_ELEMENTS,
                               .bytes = LD_F32_BYTES,
                               .step = 1,
                               .plain = LD_PLAIN_F32,
                               .widen = widen_f32};
const ld_codec ld_codec_f16 = {.name = "F16",
                               .elements = LD_F16_ELEMENTS,
                               .bytes = LD_F16_BYTES,
                               .step = 1,
                               .plain = LD_PLAIN_F16,
                               .widen = widen_f16};
const ld_codec ld_codec_bf16 = {.name = "BF16",
                                .elements = LD_BF16_ELEMENTS,
                                .bytes = LD_BF16_BYTES,
                                .step = 1,
                                .plain = LD_PLAIN_BF16,
                                .widen = widen_bf16};
