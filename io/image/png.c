/* PNG by libpng. What Pillow's convert("RGB") ignores (gamma, texts, profiles) is not even read: such chunks can hide
 * more compressed data than the image. */
#include <png.h>
#include <setjmp.h>
#include <stdio.h>

#include "io/image/format.h"

typedef struct png_source {
  const char *name;
  size_t length;
  ld_image *out;
  bool alpha;   /* transparency is kept */
  bool wide;    /* grey of 16 bits, see narrow */
  int channels; /* bytes of a pixel */
  bool ended;   /* the chunk IEND was seen */
  int rc;       /* of an error that `err` holds already */
  ld_error *err;
  char why[160];
  jmp_buf failed;
} png_source;

static void on_error(png_structp png, png_const_charp message) {
  png_source *s = png_get_error_ptr(png);
  snprintf(s->why, sizeof s->why, "%s", message);
  longjmp(s->failed, 1);
}

static void on_warning(png_structp png, png_const_charp message) {
  (void)png;
  (void)message;
}

/* Asks for 8-bit samples; true when the samples stay 16 bits wide, and have no transparency then (see narrow). */
static bool choose_form(png_structp png, png_infop info, bool alpha) {
  const int color = png_get_color_type(png, info);
  const bool wide = png_get_bit_depth(png, info) == 16, wide_grey = wide && color == PNG_COLOR_TYPE_GRAY;
  if (color == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
  if (color == PNG_COLOR_TYPE_GRAY && !wide) png_set_expand_gray_1_2_4_to_8(png);
  if (alpha && !wide_grey && png_get_valid(png, info, PNG_INFO_tRNS)) png_set_tRNS_to_alpha(png);
  if (wide && !wide_grey) png_set_strip_16(png);
  if (!alpha || wide_grey) png_set_strip_alpha(png);
  return wide_grey;
}

/* Converts 16-bit grey to 8 bits as Pillow does: everything above 255 is 255. */
static void narrow(ld_image *image) {
  const size_t n = (size_t)image->height * (size_t)image->width;
  for (size_t i = 0; i < n; i++) image->pixels[i] = image->pixels[2 * i] ? 255 : image->pixels[2 * i + 1];
  image->channels = 1;
}

/* Called when all chunks before the pixels have been read. */
static void on_info(png_structp png, png_infop info) {
  png_source *s = png_get_progressive_ptr(png);
  const png_uint_32 width = png_get_image_width(png, info), height = png_get_image_height(png, info);
  if ((png_get_rowbytes(png, info) * height) / LD_MOST_INFLATED > s->length)
    png_error(png, "the file is too short for its pixels");
  s->wide = choose_form(png, info, s->alpha);
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
  s->channels = s->wide ? 2 : png_get_channels(png, info);
  if (png_get_rowbytes(png, info) != (size_t)width * (size_t)s->channels)
    png_error(png, "unknown kind of pixels");
  s->rc = ld_image_check_budget(height, width, s->length, s->name, s->err);
  if (!s->rc) s->rc = ld_image_make(s->out, height, width, s->channels, s->name, s->err);
  if (s->rc) longjmp(s->failed, 1);
}

/* Each pass of an interlaced image puts its pixels between those of the previous passes; a row without pixels
 * in this pass is NULL. */
static void on_row(png_structp png, png_bytep row, png_uint_32 y, int pass) {
  const png_source *s = png_get_progressive_ptr(png);
  (void)pass;
  if (y >= (png_uint_32)s->out->height) png_error(png, "too many rows");
  png_progressive_combine_row(png, s->out->pixels + (size_t)y * (size_t)s->out->width * (size_t)s->channels,
                              row);
}

static void on_end(png_structp png, png_infop info) {
  (void)info;
  ((png_source *)png_get_progressive_ptr(png))->ended = true;
}

/* Pushes the file into the decoder. The reader that pulls would also inflate what follows the last row: 4 GiB
 * can hide in 4 MB. This one stops there. */
static void read_pixels(png_structp png, png_infop info, png_source *s, const void *bytes) {
  enum { PASSES = 7 };
  png_process_data(png, info, (png_bytep)(uintptr_t)bytes, s->length);
  if (!s->ended) png_error(png, "the file is cut off");
  const bool whole = png_get_interlace_type(png, info) == PNG_INTERLACE_NONE
                         ? png_get_current_row_number(png) >= png_get_image_height(png, info)
                         : png_get_current_pass_number(png) >= PASSES;
  if (!whole) png_error(png, "too few rows");
  if (s->wide) narrow(s->out);
}

static int decode(const void *bytes, size_t length, const char *name, bool alpha, ld_image *out,
                  ld_error *err) {
  png_source s = {.name = name, .length = length, .out = out, .alpha = alpha, .err = err};
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &s, on_error, on_warning);
  png_infop info = png ? png_create_info_struct(png) : NULL;
  int rc;
  if (!info)
    rc = ld_fail(err, LD_EMEMORY, "%s: no memory to read PNG", name);
  else if (setjmp(s.failed) == 0) {
    png_set_progressive_read_fn(png, &s, on_info, on_row, on_end);
    png_set_user_limits(png, LD_IMAGE_SIDE, LD_IMAGE_SIDE);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    read_pixels(png, info, &s, bytes);
    rc = 0;
  } else
    rc = s.rc ? s.rc : ld_fail(err, LD_EFORMAT, "%s: broken PNG (%s): replace or remove it", name, s.why);
  png_destroy_read_struct(&png, &info, NULL);
  return rc;
}

const ld_image_format ld_image_png = {{".png"}, "\x89PNG\r\n\x1a\n", 8, decode};
