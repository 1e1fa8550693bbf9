/* Brings images to the size that a model takes, rounding to 8 bits as Pillow and torchvision do for 8-bit
 * images. Rescaling and normalising are left to the code that makes the tensor.
 *
 * Measured: fitted images are identical to those of Pillow 13, of torchvision 0.28 on Pillow images and of
 * transformers' Pillow processors. torchvision on 8-bit tensors is within 1 level of 255 for bilinear, and
 * for bicubic within 2 on photographs. */
#ifndef LD_IMAGE_FIT_H
#define LD_IMAGE_FIT_H

#include "io/image/image.h"
#include "io/image/rule.h"
#include "io/image/size.h"

/* Where a crop lies in what is larger: in the middle, or drawn at random. */
typedef struct ld_crop {
  bool drawn;
  float down,
      right; /* drawn: from 0 to 1 (not included), the share of the margin that lies above and on the left */
} ld_crop;

/* What an image is a part of: the image in the file, upright, and, after this was resized, where the part lies. */
typedef struct ld_image_origin {
  int height, width;     /* of the file's */
  int down, right, rest; /* pixels above the part, on its left and on its right */
} ld_image_origin;

/* Fits the image by the rule: resized, cropped, with the rule's channels (grey is repeated; colours become
 * grey by Pillow's weights). `in` and `out` must differ. LD_EFORMAT, with `name`, when the result has another
 * size than all images must have. */
int ld_image_fit(const ld_image *in, const ld_image_rule *rule, const char *name, ld_image *out,
                 ld_error *err);

/* The same for a rule that covers, to another size (size.h), with the crop placed. The longer side of a square is
 * rounded down, as in torchvision's Resize; otherwise to the nearest, as in kohya's scripts. */
ld_image_origin ld_image_cover(const ld_image *in, const ld_image_rule *rule, ld_image_size size,
                               ld_crop crop, ld_image *out);

#endif
