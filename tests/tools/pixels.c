/* Writes the pixels that a model gets for an image, for comparison with another implementation.
 *
 *   pixels CONFIG IMAGE PROCESSOR CHANNELS SIZE > values
 *
 * CONFIG is a preprocessor_config.json; PROCESSOR is the type for a file that names none ("" for none);
 * CHANNELS and SIZE are the model's. Writes the height and the width as 32-bit integers, then float32 values
 * (CHANNELS, height, width). Errors go to standard error, with status 1. */
#include <stdio.h>
#include <stdlib.h>

#include "data/augment.h"
#include "io/image/decode.h"
#include "io/image/fit.h"
#include "io/json.h"

static int fail(const ld_error *err) {
  fprintf(stderr, "%s\n", err->text);
  return 1;
}

int main(int argc, char **argv) {
  ld_error err = {0};
  ld_image_rule rule;
  ld_image in = {0}, out = {0};
  if (argc != 6) return 2;
  ld_value *config = ld_json_read(argv[1], &err);
  const char *processor = argv[3][0] ? argv[3] : NULL;
  if (!config || ld_image_rule_read(config, argv[1], processor, atoi(argv[4]), atoi(argv[5]), &rule, &err) ||
      ld_image_read(argv[2], &in, &err) || ld_image_fit(&in, &rule, argv[2], &out, &err))
    return fail(&err);
  const size_t n = (size_t)rule.channels * (size_t)rule.height * (size_t)rule.width;
  float *pixels = malloc(n * sizeof *pixels);
  if (!pixels) return 2;
  ld_image_put(&out, &rule, &(ld_augment){0}, 0, 1, pixels);
  const int32_t sizes[2] = {rule.height, rule.width};
  fwrite(sizes, sizeof sizes, 1, stdout);
  fwrite(pixels, sizeof *pixels, n, stdout);
  ld_value_free(config);
  ld_image_free(&in);
  ld_image_free(&out);
  free(pixels);
  return 0;
}
