#include "io/image/png_write.h"

#include <png.h>
#include <setjmp.h>

/* Where libpng goes when it fails, which it does only without memory. */
typedef struct png_target {
  ld_text *out;
  jmp_buf failed;
} png_target;

static void on_error(png_structp png, png_const_charp message) {
  (void)message;
  longjmp(((png_target *)png_get_error_ptr(png))->failed, 1);
}

static void on_warning(png_structp png, png_const_charp message) {
  (void)png;
  (void)message;
}

static void on_bytes(png_structp png, png_bytep bytes, size_t length) {
  ld_text_append(((png_target *)png_get_io_ptr(png))->out, bytes, length);
}

static void on_flush(png_structp png) {
  (void)png;
}

static void write_image(png_structp png, png_infop info, const ld_image *image) {
  static const int colors[] = {PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGB,
                               PNG_COLOR_TYPE_RGB_ALPHA};
  enum { LEVEL = 6, BITS = 8 };
  png_set_IHDR(png, info, (png_uint_32)image->width, (png_uint_32)image->height, BITS,
               colors[image->channels - 1], PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  png_set_compression_level(png, LEVEL);
  png_set_filter(png, PNG_FILTER_TYPE_BASE, PNG_ALL_FILTERS);
  png_write_info(png, info);
  for (int y = 0; y < image->height; y++)
    png_write_row(png, image->pixels + (size_t)y * (size_t)image->width * (size_t)image->channels);
  png_write_end(png, info);
}

int ld_png_encode(const ld_image *image, ld_text *out, ld_error *err) {
  png_target target = {.out = out};
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &target, on_error, on_warning);
  png_infop info = png ? png_create_info_struct(png) : NULL;
  int rc = LD_EMEMORY;
  if (info && setjmp(target.failed) == 0) {
    png_set_write_fn(png, &target, on_bytes, on_flush);
    write_image(png, info, image);
    rc = 0;
  }
  png_destroy_write_struct(&png, &info);
  return rc ? ld_fail(err, rc, "no memory to write a PNG of %d x %d", image->width, image->height) : 0;
}
