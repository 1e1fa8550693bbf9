#include "data/augment.h"

#include "base/rng.h"

ld_augment ld_augment_draw(bool flip, int crop, uint64_t seed, uint64_t epoch, uint64_t record) {
  const ld_stream stream = ld_rng_stream(seed, LD_RNG_AUGMENT, epoch, record);
  const float span = (float)(2 * crop + 1);
  ld_augment augment = {.flip = flip && ld_rng_uniform(&stream, 0) < 0.5f};
  augment.down = (int)(ld_rng_uniform(&stream, 1) * span) - crop;
  augment.right = (int)(ld_rng_uniform(&stream, 2) * span) - crop;
  return augment;
}

ld_crop ld_crop_draw(uint64_t seed, uint64_t epoch, uint64_t record) {
  const ld_stream stream = ld_rng_stream(seed, LD_RNG_AUGMENT, epoch, record);
  return (ld_crop){true, ld_rng_uniform(&stream, 3), ld_rng_uniform(&stream, 4)};
}

void ld_image_put(const ld_image *image, const ld_image_rule *rule, const ld_augment *augment, int index,
                  int n, float *pixels) {
  const int H = image->height, W = image->width, C = rule->channels;
  for (int c = 0; c < C; c++) {
    const float mean = rule->mean[c], std = rule->std[c];
    float *out = pixels + ((size_t)c * (size_t)n + (size_t)index) * (size_t)H * (size_t)W;
    for (int y = 0; y < H; y++)
      for (int x = 0; x < W; x++) {
        const int from_y = y - augment->down, from_x = (augment->flip ? W - 1 - x : x) - augment->right;
        const bool inside = from_y >= 0 && from_y < H && from_x >= 0 && from_x < W;
        const uint8_t pixel =
            inside ? image->pixels[((size_t)from_y * (size_t)W + (size_t)from_x) * (size_t)C + (size_t)c] : 0;
        *out++ = ((float)pixel * rule->scale - mean) / std;
      }
  }
}
