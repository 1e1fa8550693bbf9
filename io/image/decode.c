#include "io/image/decode.h"

#include <string.h>
#include <strings.h>

#include "io/file.h"
#include "io/image/format.h"
#include "io/image/orientation.h"

static const ld_image_format *const formats[] = {&ld_image_png, &ld_image_jpeg, &ld_image_webp};

enum { N_FORMATS = sizeof formats / sizeof *formats };

bool ld_image_is_named(const char *name) {
  const char *dot = strrchr(name, '.');
  for (size_t i = 0; dot && i < N_FORMATS; i++)
    for (const char *const *ending = formats[i]->endings; *ending; ending++)
      if (!strcasecmp(dot, *ending)) return true;
  return false;
}

static const ld_image_format *format_of(const void *bytes, size_t length) {
  for (size_t i = 0; i < N_FORMATS; i++)
    if (length >= formats[i]->n_magic && !memcmp(bytes, formats[i]->magic, formats[i]->n_magic))
      return formats[i];
  return NULL;
}

/* Removes the last channel: what it makes transparent shows white. Rounded as in Pillow. */
static void put_on_white(ld_image *image) {
  enum { OPAQUE = 255 };
  const size_t colors = (size_t)image->channels - 1, n = (size_t)image->height * (size_t)image->width;
  const uint8_t *from = image->pixels;
  uint8_t *to = image->pixels;
  for (size_t i = 0; i < n; i++, from += colors + 1) {
    const uint32_t alpha = from[colors];
    image->blended |= alpha < OPAQUE;
    for (size_t c = 0; c < colors; c++) {
      const uint32_t sum = from[c] * alpha + OPAQUE * (OPAQUE - alpha) + 128;
      *to++ = (uint8_t)((sum + (sum >> 8)) >> 8);
    }
  }
  image->channels = (int)colors;
}

static int decode(const void *bytes, size_t length, const char *name, bool alpha, ld_image *out,
                  ld_error *err) {
  const ld_image_format *format = format_of(bytes, length);
  out->turned = out->blended = false;
  if (!format)
    return ld_fail(err, LD_EFORMAT, "%s: %s: replace or remove it", name,
                   length ? "neither PNG nor JPEG nor WebP" : "an empty file");
  const int rc = format->decode(bytes, length, name, alpha, out, err);
  if (rc) return rc;
  if (out->channels % 2 == 0) put_on_white(out);
  return ld_image_turn(out, ld_image_orientation(bytes, length), name, err);
}

int ld_image_decode(const void *bytes, size_t length, const char *name, ld_image *out, ld_error *err) {
  return decode(bytes, length, name, false, out, err);
}

int ld_image_decode_on_white(const void *bytes, size_t length, const char *name, ld_image *out,
                             ld_error *err) {
  return decode(bytes, length, name, true, out, err);
}

int ld_image_read(const char *path, ld_image *out, ld_error *err) {
  ld_map map;
  int rc = ld_map_open(path, &map, err);
  if (!rc) rc = ld_image_decode(map.bytes, map.length, path, out, err);
  ld_map_close(&map);
  return rc;
}
