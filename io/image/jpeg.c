/* JPEG by libjpeg-turbo with its defaults (accurate integer DCT, smooth upsampling), which are also Pillow's.
 *
 * libjpeg continues after almost anything with a warning. A warning about lost pixels is an error here. */
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

#include "io/image/format.h"

/* A Huffman code has at least one bit, and every block of 8 x 8 has a code, so a byte holds at most so many
 * pixels. */
enum { MOST_PIXELS_A_BYTE = 8 * 64, MOST_SCANS = 100, ALWAYS_WALKED = 1 << 28, WALKED_A_BYTE = 256 };

typedef struct decoder {
  struct jpeg_decompress_struct jpeg;
  struct jpeg_error_mgr errors;
  struct jpeg_progress_mgr progress;
  const char *name;
  size_t length;
  char why[JMSG_LENGTH_MAX];
  jmp_buf failed;
} decoder;

static void on_error(j_common_ptr jpeg) {
  decoder *d = jpeg->client_data;
  d->errors.format_message(jpeg, d->why);
  longjmp(d->failed, 1);
}

static void on_message(j_common_ptr jpeg, int level) {
  if (level >= 0) return;
  switch (jpeg->err->msg_code) {
  case JWRN_JPEG_EOF:
  case JWRN_HIT_MARKER:
  case JWRN_HUFF_BAD_CODE:
  case JWRN_ARITH_BAD_CODE:
  case JWRN_MUST_RESYNC:
    on_error(jpeg);
  }
}

static void on_output(j_common_ptr jpeg) {
  (void)jpeg;
}

/* Scans cost few bytes and a walk over all pixels each. So the pixels over all scans are limited by the
 * file's length. A photograph of ten scans needs a tenth of the limit. */
static void on_progress(j_common_ptr info) {
  decoder *d = info->client_data;
  const int scans = d->jpeg.input_scan_number;
  const double pixels = (double)d->jpeg.image_width * d->jpeg.image_height;
  if (scans <= MOST_SCANS && scans * pixels <= ALWAYS_WALKED + (double)WALKED_A_BYTE * (double)d->length)
    return;
  snprintf(d->why, sizeof d->why, "too many scans, at least %d, for a file of %zu bytes", scans, d->length);
  longjmp(d->failed, 1);
}

static int choose_form(decoder *d, ld_error *err) {
  struct jpeg_decompress_struct *jpeg = &d->jpeg;
  const int n = jpeg->num_components;
  if (n == 4) return ld_fail(err, LD_EFORMAT, "%s: a JPEG in CMYK: convert it to RGB", d->name);
  if (n != 1 && n != 3)
    return ld_fail(err, LD_EFORMAT, "%s: a JPEG of %d colours: convert it to RGB", d->name, n);
  if (!jpeg->arith_code && (size_t)jpeg->image_width * jpeg->image_height / MOST_PIXELS_A_BYTE > d->length)
    return ld_fail(err, LD_EFORMAT,
                   "%s: broken JPEG (the file is too short for its pixels): replace or remove it", d->name);
  jpeg->out_color_space = n == 1 ? JCS_GRAYSCALE : JCS_RGB;
  return 0;
}

static int read_pixels(decoder *d, const void *bytes, ld_image *out, ld_error *err) {
  struct jpeg_decompress_struct *jpeg = &d->jpeg;
  jpeg_create_decompress(jpeg);
  jpeg->progress = &d->progress;
  jpeg_mem_src(jpeg, bytes, d->length);
  jpeg_read_header(jpeg, TRUE);
  int rc = choose_form(d, err);
  if (!rc) rc = ld_image_check_budget(jpeg->image_height, jpeg->image_width, d->length, d->name, err);
  if (!rc) rc = ld_image_make(out, jpeg->image_height, jpeg->image_width, jpeg->num_components, d->name, err);
  if (rc) return rc;
  jpeg_start_decompress(jpeg);
  const size_t row = (size_t)out->width * (size_t)out->channels;
  while (jpeg->output_scanline < jpeg->output_height) {
    JSAMPROW at = out->pixels + jpeg->output_scanline * row;
    jpeg_read_scanlines(jpeg, &at, 1);
  }
  jpeg_finish_decompress(jpeg);
  return 0;
}

static int decode(const void *bytes, size_t length, const char *name, bool alpha, ld_image *out,
                  ld_error *err) {
  (void)alpha;
  decoder d = {.name = name, .length = length};
  d.jpeg.err = jpeg_std_error(&d.errors);
  d.jpeg.client_data = &d;
  d.errors.error_exit = on_error;
  d.errors.emit_message = on_message;
  d.errors.output_message = on_output;
  d.progress.progress_monitor = on_progress;
  int rc;
  if (setjmp(d.failed) == 0)
    rc = read_pixels(&d, bytes, out, err);
  else
    rc = ld_fail(err, LD_EFORMAT, "%s: broken JPEG (%s): replace or remove it", name, d.why);
  jpeg_destroy_decompress(&d.jpeg);
  return rc;
}

const ld_image_format ld_image_jpeg = {{".jpg", ".jpeg"}, "\xff\xd8\xff", 3, decode};
