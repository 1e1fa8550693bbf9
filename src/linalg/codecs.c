#include "linalg/codecs.h"

#include "base/text.h"

static const struct {
  ld_dtype dtype;
  const ld_codec *codec;
} table[] = {
    {LD_F32, &ld_codec_f32},
    {LD_F16, &ld_codec_f16},
    {LD_BF16, &ld_codec_bf16},
};
enum { N_CODECS = sizeof table / sizeof *table };

const ld_codec *ld_codec_of(ld_dtype dtype) {
  for (int i = 0; i < N_CODECS; i++)
    if (table[i].dtype == dtype) return table[i].codec;
  return NULL;
}

char *ld_codec_names(void) {
  ld_text names = {0};
  for (int i = 0; i < N_CODECS; i++) ld_text_printf(&names, "%s%s", i ? ", " : "", table[i].codec->name);
  return names.bytes;
}

ld_coded ld_coded_of(const ld_stored *tensor) {
  return (ld_coded){ld_codec_of(tensor->dtype), tensor->data, tensor->beside, 0};
}

ld_coded ld_coded_floats(const float *data) {
  return (ld_coded){&ld_codec_f32, data, NULL, 0};
}
