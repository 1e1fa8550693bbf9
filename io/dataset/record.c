#include "io/dataset/record.h"

#include <stdlib.h>
#include <string.h>

void ld_sample_free(ld_sample *sample) {
  ld_ids_free(&sample->tokens);
  ld_ids_free(&sample->types);
  free(sample->target);
  ld_image_free(&sample->image);
  ld_text_free(&sample->label_name);
  ld_ids_free(&sample->parts);
  ld_text_free(&sample->sentences);
  ld_ids_free(&sample->chosen);
  ld_text_free(&sample->tags);
  ld_text_free(&sample->references);
  memset(sample, 0, sizeof *sample);
}
