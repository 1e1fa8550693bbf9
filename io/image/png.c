/* PNG by libpng. What Pillow's convert("RGB") ignores (transparency, gamma, texts, profiles) is not even
 * read: such chunks can hide more compressed data than the image. */
#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include "io/image/internal.h"

typedef struct source {
  const char *name;
  const uint8_t *at;
  size_t left, length;
  char why[160];
  jmp_buf failed;
} source;

static void on_error(png_structp png, png_const_charp message) {
  source *s = png_get_error_ptr(png);
  snprintf(s->why, sizeof s->why, "%s", message);
  longjmp(s->failed, 1);
}

static void on_warning(png_structp png, png_const_charp message) {
  (void)png;
  (void)message;
}

static void on_read(png_structp png, png_bytep bytes, size_t n) {
  source *s = png_get_io_ptr(png);
  if (n > s->left) png_error(png, "the file is cut off");
  memcpy(bytes, s->at, n);
  s->at += n;
  s->left -= n;
}

/* Asks for 8-bit samples without alpha; true when the samples stay 16 bits wide (see narrow). */
static bool choose_form(png_structp png, png_infop info) {
  const int color = png_get_color_type(png, info);
  const bool wide = png_get_bit_depth(png, info) == 16;
  if (color == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
  if (color == PNG_COLOR_TYPE_GRAY && !wide) png_set_expand_gray_1_2_4_to_8(png);
  if (wide && color != PNG_COLOR_TYPE_GRAY) png_set_strip_16(png);
  png_set_strip_alpha(png);
  return wide && color == PNG_COLOR_TYPE_GRAY;
}

/* 16-bit grey as Pillow makes it 8-bit: all above 255 is 255. */
static void narrow(ld_image *image) {
  const size_t n = (size_t)image->height * (size_t)image->width;
  for (size_t i = 0; i < n; i++) image->pixels[i] = image->pixels[2 * i] ? 255 : image->pixels[2 * i + 1];
  image->channels = 1;
}

static int read_pixels(png_structp png, png_infop info, const source *s, ld_image *out, ld_error *err) {
  png_read_info(png, info);
  const png_uint_32 width = png_get_image_width(png, info), height = png_get_image_height(png, info);
  if ((png_get_rowbytes(png, info) * height) / LD_MOST_INFLATED > s->length)
    png_error(png, "the file is too short for its pixels");
  const bool wide = choose_form(png, info);
  const int passes = png_set_interlace_handling(png);
  png_read_update_info(png, info);
  const int channels = wide ? 2 : png_get_channels(png, info);
  if (png_get_rowbytes(png, info) != (size_t)width * (size_t)channels)
    png_error(png, "unknown kind of pixels");
  int rc = ld_image_check_budget(height, width, s->length, s->name, err);
  if (!rc) rc = ld_image_make(out, height, width, channels, s->name, err);
  if (rc) return rc;
  /* Each pass of an interlaced image puts its pixels between those of the passes before. */
  for (int pass = 0; pass < passes; pass++)
    for (png_uint_32 y = 0; y < height; y++)
      png_read_row(png, out->pixels + (size_t)y * width * (size_t)channels, NULL);
  png_read_end(png, NULL);
  if (wide) narrow(out);
  return 0;
}

int ld_image_decode_png(const void *bytes, size_t length, const char *name, ld_image *out, ld_error *err) {
  source s = {.name = name, .at = bytes, .left = length, .length = length};
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &s, on_error, on_warning);
  png_infop info = png ? png_create_info_struct(png) : NULL;
  int rc;
  if (!info)
    rc = ld_fail(err, LD_EMEMORY, "%s: no memory to read PNG", name);
  else if (setjmp(s.failed) == 0) {
    png_set_read_fn(png, &s, on_read);
    png_set_user_limits(png, LD_IMAGE_SIDE, LD_IMAGE_SIDE);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    rc = read_pixels(png, info, &s, out, err);
  } else
    rc = ld_fail(err, LD_EFORMAT, "%s: broken PNG (%s), replace or remove it", name, s.why);
  png_destroy_read_struct(&png, &info, NULL);
  return rc;
}
