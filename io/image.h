/* Images: PNG and JPEG bytes to pixels, and pixels to the size that a model takes.
 *
 * What a model wants is said by the preprocessor_config.json of its folder, as transformers' image processors
 * read it: resize (bilinear or bicubic, with antialiasing, rounded to 8 bits as Pillow and torchvision do for
 * 8-bit images), centre crop, rescale, normalise. This part ends with 8-bit pixels; rescaling and normalising
 * are for whoever makes the tensor.
 *
 * Measured: decoded PNGs and fitted images are those of Pillow 13, of torchvision 0.28 on Pillow images and
 * of transformers' Pillow processors to the bit, decoded JPEGs too (libjpeg-turbo 2.1.5 here, 3.2 there).
 * torchvision on 8-bit tensors is within 1 level of 255 for bilinear, and for bicubic within 2 on
 * photographs.
 */
#ifndef LD_IMAGE_H
#define LD_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/value.h"

enum {
  LD_MAX_CHANNELS = 4,
  LD_IMAGE_SIDE = 65500,       /* the longest side of an image that is read */
  LD_IMAGE_PIXELS = 1 << 28,   /* and the most pixels */
  LD_IMAGE_RULE_SIDE = 1 << 12 /* the longest side of what a rule makes */
};

/* Pixel (y, x) has its channels at pixels + (y * width + x) * channels. Zero-initialise, reuse, free with
 * ld_image_free. */
typedef struct ld_image {
  int height, width, channels;
  uint8_t *pixels;
  size_t room;
  bool turned; /* decoding turned it upright, by the orientation in the file */
} ld_image;

void ld_image_free(ld_image *image);

typedef enum ld_resample { LD_BILINEAR, LD_BICUBIC } ld_resample;

typedef struct ld_image_rule {
  int shortest_edge;               /* resize so that the shorter side has this; 0: not so */
  int resize_height, resize_width; /* resize to this; 0: not so */
  ld_resample resample;
  int height, width; /* centre crop, padded with black where the image is smaller: the size of the result */
  bool crop_down; /* half of an odd margin is rounded down, as transformers does; else to the even number, as
                     torchvision does */
  int channels;   /* of the result: 1 (grey) or 3 (red, green, blue) */
  float scale;    /* of a pixel, 1/255 most often; 1 when not rescaled */
  float mean[LD_MAX_CHANNELS],
      std[LD_MAX_CHANNELS]; /* (scale * pixel - mean) / std; 0 and 1 when not normalised */
  const char *loose;        /* the key by which images keep sizes of their own, which must be height and width
                               then; NULL: all get the same */
} ld_image_rule;

/* Reads a preprocessor_config.json (`config` NULL: none there, then `size` x `size` and ImageNet's mean and
 * deviation) for a model that takes `channels` (1 or 3). Known: the processors of ConvNext and ResNet (with
 * crop_pct), ViT, DeiT, Siglip, BiT and CLIP with their own defaults for keys that are left out; null is no
 * default. A file without a type has `processor` ("ConvNextImageProcessor"), as transformers knows it for the
 * model's type; where that is NULL it crops as torchvision does, and must have "size" to be resized and
 * "image_mean" and "image_std" to be normalised. LD_EFORMAT names the key and `name`, the file;
 * LD_EUNSUPPORTED for another resample, processor or step. */
int ld_image_rule_read(const ld_value *config, const char *name, const char *processor, int channels,
                       int size, ld_image_rule *out, ld_error *err);

/* Decodes PNG or JPEG, told by their first bytes, to 8-bit grey or RGB, as Pillow's convert("L") and
 * convert("RGB") do: palettes are resolved, an alpha channel is dropped, of 16 bits the upper 8 are kept (but
 * of 16-bit grey without alpha Pillow keeps the lower 8 and makes all above 255 white). The image is turned
 * upright by the orientation that a camera noted, as transformers' load_image does. CMYK is refused.
 * LD_EFORMAT names `name` for what is broken, cut off or too large for the file's length. */
int ld_image_decode(const void *bytes, size_t length, const char *name, ld_image *out, ld_error *err);

/* Decodes the file `path`. LD_EFILE when it cannot be opened. */
int ld_image_read(const char *path, ld_image *out, ld_error *err);

/* The image by the rule: resized, cropped, with the rule's channels (grey is repeated; colours become grey by
 * Pillow's weights). `in` and `out` must differ. LD_EFORMAT names `name` when the rule leaves the image in
 * another size than others have. */
int ld_image_fit(const ld_image *in, const ld_image_rule *rule, const char *name, ld_image *out,
                 ld_error *err);

#endif
