/* Checkpoints of image generators in one file, made into a diffusers folder. The tensors keep their type; they
 * are written from the mapped file, so that a large one never has to be in memory. */
#ifndef LD_SINGLE_FILE_H
#define LD_SINGLE_FILE_H

#include "base/error.h"

typedef struct ld_single_request {
  const char *prediction; /* "epsilon" or "v_prediction"; NULL: as the file or its kind has it */
  const char *tokenizer;  /* a folder with CLIP's tokenizer, or a diffusers folder; NULL: none */
} ld_single_request;

/* Writes the folder `out`, which is complete or does not exist, and says what was recognised, assumed and left
 * out. LD_EUNSUPPORTED names a kind of model that is not supported; LD_EFORMAT a missing tensor. */
int ld_single_file_convert(const char *path, const ld_single_request *request, const char *out,
                           ld_error *err);

#endif
