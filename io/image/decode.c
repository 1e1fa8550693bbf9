#include "io/image/decode.h"

#include <string.h>

#include "io/file.h"
#include "io/image/format.h"
#include "io/image/orientation.h"

static const ld_image_format *const formats[] = {&ld_image_png, &ld_image_jpeg};

int ld_image_decode(const void *bytes, size_t length, const char *name, ld_image *out, ld_error *err) {
  const ld_image_format *format = NULL;
  for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
    if (length >= formats[i]->n_magic && !memcmp(bytes, formats[i]->magic, formats[i]->n_magic))
      format = formats[i];
  out->turned = false;
  if (!format)
    return ld_fail(err, LD_EFORMAT, "%s: %s: replace or remove it", name,
                   length ? "neither PNG nor JPEG" : "an empty file");
  const int rc = format->decode(bytes, length, name, out, err);
  return rc ? rc : ld_image_turn(out, ld_image_orientation(bytes, length), name, err);
}

int ld_image_read(const char *path, ld_image *out, ld_error *err) {
  ld_map map;
  int rc = ld_map_open(path, &map, err);
  if (!rc) rc = ld_image_decode(map.bytes, map.length, path, out, err);
  ld_map_close(&map);
  return rc;
}
