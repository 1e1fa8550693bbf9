/* WebP, lossless and lossy, by libwebp with its defaults, which are also Pillow's. */
#include <string.h>

#include <webp/decode.h>

#include "io/image/format.h"

static int fail(const char *name, const char *why, ld_error *err) {
  return ld_fail(err, LD_EFORMAT, "%s: broken WebP (%s): replace or remove it", name, why);
}

/* Whether the file is shorter than its head says. */
static bool is_cut(const uint8_t *bytes, size_t length) {
  enum { LENGTH_AT = 4, BEFORE = 8 /* bytes that the length does not count */, HEAD = 12 };
  if (length < HEAD) return true;
  uint32_t rest = 0;
  for (int i = 3; i >= 0; i--) rest = rest << 8 | bytes[LENGTH_AT + i];
  return rest > length - BEFORE;
}

static int read_features(const void *bytes, size_t length, const char *name, WebPBitstreamFeatures *out,
                         ld_error *err) {
  if (is_cut(bytes, length)) return fail(name, "the file is cut off", err);
  if (WebPGetFeatures(bytes, length, out) != VP8_STATUS_OK) return fail(name, "its head is not WebP's", err);
  if (out->has_animation)
    return ld_fail(err, LD_EFORMAT, "%s: an animated WebP: save one of its images as a file of its own",
                   name);
  return ld_image_check_budget(out->height, out->width, length, name, err);
}

static int decode(const void *bytes, size_t length, const char *name, bool alpha, ld_image *out,
                  ld_error *err) {
  WebPBitstreamFeatures features;
  int rc = read_features(bytes, length, name, &features, err);
  if (rc) return rc;
  alpha = alpha && features.has_alpha;
  rc = ld_image_make(out, features.height, features.width, alpha ? 4 : 3, name, err);
  if (rc) return rc;
  const size_t row = (size_t)out->width * (size_t)out->channels, size = row * (size_t)out->height;
  const uint8_t *done =
      (alpha ? WebPDecodeRGBAInto : WebPDecodeRGBInto)(bytes, length, out->pixels, size, (int)row);
  return done ? 0 : fail(name, "its pixels cannot be decoded", err);
}

const ld_image_format ld_image_webp = {{".webp"}, "RIFF", 4, decode};
