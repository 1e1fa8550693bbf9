/* Prepares images for a batch: flips and shifts them at random while training, scales and normalises them. */
#ifndef LD_AUGMENT_H
#define LD_AUGMENT_H

#include <stdbool.h>

#include "io/image/fit.h"

/* What is done to one image: mirrored, and shifted by so many pixels, with black in the gaps. All zeros:
 * nothing. */
typedef struct ld_augment {
  bool flip;
  int down, right;
} ld_augment;

/* A horizontal flip with probability 1/2, and a crop of the image's own size out of the image padded by
 * `crop` on each side, as torchvision's RandomCrop(size, padding=crop) and RandomHorizontalFlip. Depends only
 * on seed, epoch and the record's number. */
ld_augment ld_augment_draw(bool flip, int crop, uint64_t seed, uint64_t epoch, uint64_t record);

/* Where the crop of a picture lies, at random: the same for the same seed, epoch and record. */
ld_crop ld_crop_draw(uint64_t seed, uint64_t epoch, uint64_t record);

/* Writes the image, which has the size of the others, as number `index` of `n` images side by side: channel c, pixel
 * (y, x) goes to pixels[((c n + index) height + y) width + x], normalised by the rule. */
void ld_image_put(const ld_image *image, const ld_image_rule *rule, const ld_augment *augment, int index,
                  int n, float *pixels);

#endif
