/* The orientation that a camera noted, and turning an image upright by it, as Pillow's
 * ImageOps.exif_transpose does: by the tag Orientation of EXIF (JPEG's segment APP1, PNG's chunk eXIf), and
 * where there is none by tiff:Orientation in XMP. What PNG keeps in compressed texts is ignored.
 *
 *   1 upright    2 mirrored          3 upside down               4 mirrored upside down
 *   5 transposed 6 lies on its left  7 transposed upside down    8 lies on its right
 */
#include <string.h>

#include "io/image/internal.h"

enum { TAG_ORIENTATION = 0x0112, SHORT = 3, LONG = 4, SIGNED_SHORT = 8, SIGNED_LONG = 9, ENTRY_BYTES = 12 };

typedef struct bytes {
  const uint8_t *at;
  size_t length;
} bytes;

/* n bytes (2 or 4) at `offset`; 0 beyond the end. */
static uint32_t number(bytes b, size_t offset, size_t n, bool little) {
  uint32_t value = 0;
  if (offset > b.length || b.length - offset < n) return 0;
  for (size_t i = 0; i < n; i++) value |= (uint32_t)b.at[offset + i] << 8 * (little ? i : n - 1 - i);
  return value;
}

/* By a TIFF header and its first directory; 0 where the tag is missing. */
static uint32_t by_tiff(bytes b) {
  if (b.length < 8 || (memcmp(b.at, "II*\0", 4) != 0 && memcmp(b.at, "MM\0*", 4) != 0)) return 0;
  const bool little = *b.at == 'I';
  const size_t first = number(b, 4, 4, little);
  const size_t n = number(b, first, 2, little);
  for (size_t i = 0; i < n; i++) {
    const size_t entry = first + 2 + i * ENTRY_BYTES;
    if (entry > b.length) break;
    if (number(b, entry, 2, little) != TAG_ORIENTATION) continue;
    const uint32_t type = number(b, entry + 2, 2, little);
    const bool is_short = type == SHORT || type == SIGNED_SHORT,
               is_long = type == LONG || type == SIGNED_LONG;
    if (number(b, entry + 4, 4, little) != 1 || !(is_short || is_long)) return 1;
    return number(b, entry + 8, is_short ? 2 : 4, little);
  }
  return 0;
}

static uint32_t by_xmp(bytes b) {
  static const char key[] = "tiff:Orientation";
  const size_t n = sizeof key - 1;
  const uint8_t *at = b.at, *end = at + b.length;
  while ((at = memmem(at, (size_t)(end - at), key, n))) {
    at += n;
    const size_t skip = end - at > 2 && !memcmp(at, "=\"", 2) ? 2 : end - at > 1 && *at == '>' ? 1 : 0;
    if (skip && at + skip < end && at[skip] >= '0' && at[skip] <= '9') return at[skip] - '0';
  }
  return 0;
}

/* What the segments or chunks say; EXIF goes before XMP. */
typedef struct found {
  uint32_t exif, xmp;
} found;

static bool begins(bytes b, const char *with, size_t n) {
  return b.length >= n && !memcmp(b.at, with, n);
}

static void look_at_app1(bytes b, found *out) {
  static const char exif[] = "Exif\0", xmp[] = "http://ns.adobe.com/xap/1.0/"; /* each with its NUL */
  if (begins(b, exif, sizeof exif) && !out->exif)
    out->exif = by_tiff((bytes){b.at + sizeof exif, b.length - sizeof exif});
  else if (begins(b, xmp, sizeof xmp))
    out->xmp = by_xmp((bytes){b.at + sizeof xmp, b.length - sizeof xmp});
}

/* The segments before the first scan. */
static void look_at_jpeg(bytes b, found *out) {
  for (size_t at = 2; at + 4 <= b.length && b.at[at] == 0xFF;) {
    const uint8_t marker = b.at[at + 1];
    if (marker == 0xFF) { /* a fill byte */
      at++;
      continue;
    }
    if (marker == 0xDA || marker == 0xD9) return;
    const size_t length = number(b, at + 2, 2, false);
    if (length < 2 || length > b.length - at - 2) return;
    if (marker == 0xE1) look_at_app1((bytes){b.at + at + 4, length - 2}, out);
    at += 2 + length;
  }
}

static void look_at_png(bytes b, found *out) {
  static const char xmp[] = "XML:com.adobe.xmp\0"; /* and after its NUL another one: not compressed */
  for (size_t at = 8; at + 12 <= b.length;) {
    const size_t length = number(b, at, 4, false);
    const bytes data = {b.at + at + 8, length};
    if (length > b.length - at - 12) return;
    if (!memcmp(b.at + at + 4, "eXIf", 4) && !out->exif) out->exif = by_tiff(data);
    if (!memcmp(b.at + at + 4, "iTXt", 4) && begins(data, xmp, sizeof xmp)) out->xmp = by_xmp(data);
    at += 12 + length;
  }
}

int ld_image_orientation(const void *file, size_t length) {
  const bytes b = {file, length};
  found f = {0};
  if (begins(b, "\xff\xd8", 2))
    look_at_jpeg(b, &f);
  else
    look_at_png(b, &f);
  const uint32_t value = f.exif ? f.exif : f.xmp;
  return value >= 1 && value <= 8 ? (int)value : 1;
}

/* How the upright pixel (y, x) is found: which of the stored axes is y's, and from which end they count. */
static const struct {
  bool swapped, from_bottom, from_right;
} turns[9] = {[2] = {false, false, true}, [3] = {false, true, true}, [4] = {false, true, false},
              [5] = {true, false, false}, [6] = {true, true, false}, [7] = {true, true, true},
              [8] = {true, false, true}};

int ld_image_turn(ld_image *image, int orientation, const char *name, ld_error *err) {
  const bool swapped = turns[orientation].swapped;
  const int H = image->height, W = image->width, C = image->channels;
  ld_image upright = {0};
  const int rc = ld_image_make(&upright, swapped ? W : H, swapped ? H : W, C, name, err);
  if (rc) return rc;
  uint8_t *out = upright.pixels;
  for (int y = 0; y < upright.height; y++)
    for (int x = 0; x < upright.width; x++) {
      const int row = swapped ? x : y, column = swapped ? y : x;
      const size_t from = (size_t)(turns[orientation].from_bottom ? H - 1 - row : row) * (size_t)W +
                          (size_t)(turns[orientation].from_right ? W - 1 - column : column);
      for (int c = 0; c < C; c++) *out++ = image->pixels[from * (size_t)C + (size_t)c];
    }
  ld_image_free(image);
  upright.turned = true;
  *image = upright;
  return 0;
}
