/* Any bytes as an image, decoded and fitted; after an odd first byte as a preprocessor_config.json, by which
 * a small image is fitted. */
#include <stdint.h>
#include <stdlib.h>

#include "io/image/decode.h"
#include "io/image/fit.h"
#include "io/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fit_and_free(ld_image *in, const ld_image_rule *rule) {
  ld_image out = {0};
  const int rc = ld_image_fit(in, rule, "fuzz", &out, NULL);
  if (rc ? !rule->loose
         : out.height != rule->height || out.width != rule->width || out.channels != rule->channels)
    abort();
  ld_image_free(&out);
}

static void try_rule(const char *bytes, size_t length) {
  ld_error err = {0};
  ld_image_rule rule;
  uint8_t pixels[3 * 5 * 7] = {1, 2, 3, 250};
  ld_image in = {.height = 5, .width = 7, .channels = 3, .pixels = pixels, .room = sizeof pixels};
  ld_value *config = ld_json_parse(bytes, length, "p.json", &err);
  if (!config) return;
  const char *processor = length % 3 ? NULL : "ConvNextImageProcessor";
  const int rc = ld_image_rule_read(config, "p.json", processor, 1 + 2 * (length % 2), 224, &rule, &err);
  if (!rc && (int64_t)rule.height * rule.width <= 1 << 16)
    fit_and_free(&in, &rule);
  else if (rc && !err.text[0])
    abort();
  ld_value_free(config);
}

static void try_image(const uint8_t *bytes, size_t length) {
  ld_error err = {0};
  ld_image image = {0};
  const ld_image_rule rule = {.shortest_edge = 9, .height = 8, .width = 8, .channels = 1 + 2 * (length % 2)};
  int rc = ld_image_decode(bytes, length, "fuzz", &image, &err);
  if (!rc)
    fit_and_free(&image, &rule);
  else if (!err.text[0])
    abort();
  const ld_image_rule covers = ld_image_rule_cover(rule.channels, 8, 5 + (int)(length % 7), 1);
  rc = ld_image_decode_on_white(bytes, length, "fuzz", &image, &err);
  if (!rc) fit_and_free(&image, &covers);
  ld_image_free(&image);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 1) return 0;
  if (data[0] % 2)
    try_rule((const char *)data + 1, size - 1);
  else
    try_image(data + 1, size - 1);
  return 0;
}
