#include "io/image/image.h"

#include <stdlib.h>
#include <string.h>

void ld_image_free(ld_image *image) {
  free(image->pixels);
  memset(image, 0, sizeof *image);
}

int ld_image_make(ld_image *image, int64_t height, int64_t width, int channels, const char *name,
                  ld_error *err) {
  if (height < 1 || width < 1 || height > LD_IMAGE_SIDE || width > LD_IMAGE_SIDE ||
      height * width > LD_IMAGE_PIXELS)
    return ld_fail(err, LD_EFORMAT,
                   "%s: the image has %lld x %lld pixels: make it smaller (at most %d in all)", name,
                   (long long)width, (long long)height, (int)LD_IMAGE_PIXELS);
  const size_t bytes = (size_t)(height * width) * (size_t)channels;
  if (bytes > image->room) {
    uint8_t *pixels = realloc(image->pixels, bytes);
    if (!pixels) return ld_fail(err, LD_EMEMORY, "%s: no memory for an image of %zu bytes", name, bytes);
    image->pixels = pixels;
    image->room = bytes;
  }
  image->height = (int)height;
  image->width = (int)width;
  image->channels = channels;
  return 0;
}

int ld_image_check_budget(int64_t height, int64_t width, size_t length, const char *name, ld_error *err) {
  enum { ALWAYS = 1 << 26, A_BYTE = 64 };
  if (height * width <= ALWAYS + A_BYTE * (int64_t)length) return 0;
  return ld_fail(err, LD_EFORMAT,
                 "%s: the image has %lld x %lld pixels, too many for a file of %zu bytes: make it smaller",
                 name, (long long)width, (long long)height, length);
}
