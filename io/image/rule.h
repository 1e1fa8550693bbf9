/* How a model's images must be prepared, as preprocessor_config.json tells the image processors of
 * transformers: resize (bilinear or bicubic, with antialiasing), centre crop, rescale, normalise. */
#ifndef LD_IMAGE_RULE_H
#define LD_IMAGE_RULE_H

#include <stdbool.h>

#include "base/error.h"
#include "base/value.h"
#include "io/image/image.h"

enum { LD_IMAGE_RULE_SIDE = 1 << 12 /* the longest side of a result */ };

typedef enum ld_resample { LD_BILINEAR, LD_BICUBIC, LD_LANCZOS } ld_resample;

typedef struct ld_image_rule {
  int shortest_edge;               /* resize so that the shorter side has this; 0: off */
  int resize_height, resize_width; /* resize to this; 0: off */
  bool cover; /* resize so that the image covers the result, and both have one side in common; then crop */
  int step;   /* of `cover`: sides of the result must be multiples of this */
  ld_resample resample;
  int height, width; /* centre crop, padded with black where the image is smaller: the size of the result */
  bool crop_down;    /* round half of an odd margin down, as transformers does; torchvision: to even */
  int channels;      /* of the result: 1 (grey) or 3 (red, green, blue) */
  float scale;       /* for each pixel, usually 1/255; 1 when not rescaled */
  float mean[LD_MAX_CHANNELS],
      std[LD_MAX_CHANNELS]; /* (scale * pixel - mean) / std; 0 and 1 when not normalised */
  const char *loose;        /* key that lets image sizes differ and must be height and width; NULL: none */
} ld_image_rule;

/* Reads a preprocessor_config.json for a model that takes `channels` (1 or 3). `config` is NULL when there is
 * none: then images have `size` x `size` and ImageNet's mean and deviation. Known: the processors of ConvNext
 * and ResNet (with crop_pct), ViT, DeiT, Siglip, BiT and CLIP with their own defaults for keys that are left
 * out; null is not a default. A file without a type has `processor` ("ConvNextImageProcessor"), the one that
 * transformers uses for the model's type. Where that is NULL it crops as torchvision does, and must have
 * "size" to be resized and "image_mean" and "image_std" to be normalised. LD_EFORMAT names the key and
 * `name`, the file; LD_EUNSUPPORTED for another resample, processor or step. */
int ld_image_rule_read(const ld_value *config, const char *name, const char *processor, int channels,
                       int size, ld_image_rule *out, ld_error *err);

/* The rule of a model that makes images, as in diffusers' training scripts: resized by Lanczos so that they cover
 * height x width, cropped, values from -1 to 1. The model takes sides that are multiples of `step`, which is at least 1.
 * Other sizes may be chosen (size.h). */
ld_image_rule ld_image_rule_cover(int channels, int height, int width, int step);

#endif
