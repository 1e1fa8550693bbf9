/* The table of codecs.
 */
#ifndef LD_CODECS_H
#define LD_CODECS_H

#include "linalg/codec.h"

/* The codec of a type; NULL for types that cannot be computed with. */
const ld_codec *ld_codec_of(ld_dtype dtype);

/* "F32, F16, BF16": the types with a codec, for errors. The caller frees. */
char *ld_codec_names(void);

/* The numbers of a stored tensor; without a codec if its type has none. */
ld_coded ld_coded_of(const ld_stored *tensor);

/* An array of floats. */
ld_coded ld_coded_floats(const float *data);

/* The data itself if it is floats, to be read in place; NULL for other codecs. */
static inline const float *ld_coded_in_place(const ld_coded *from) {
  return from->codec == &ld_codec_f32 ? ld_coded_block(from, 0) : NULL;
}

#endif
