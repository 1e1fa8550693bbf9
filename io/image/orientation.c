/* The orientation that a camera recorded, and turning an image upright by it, as Pillow's
 * ImageOps.exif_transpose does. It comes from the tag Orientation of EXIF, which JPEG has in its segment
 * APP1, WebP in its chunk EXIF, and PNG in its chunk eXIf or in a text that ImageMagick writes; without that tag, from
 * tiff:Orientation in XMP. Other texts of a PNG are not even inflated.
 *
 *   1 upright    2 mirrored          3 upside down               4 mirrored upside down
 *   5 transposed 6 lies on its left  7 transposed upside down    8 lies on its right */
#include "io/image/orientation.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/memory.h"

enum { TAG_ORIENTATION = 0x0112, SHORT = 3, LONG = 4, SIGNED_SHORT = 8, SIGNED_LONG = 9, ENTRY_BYTES = 12 };
enum { NOT_FOUND = -1, MOST_TEXT = 1 << 20 /* bytes of an inflated text, as in Pillow */ };

typedef struct bytes {
  const uint8_t *at;
  size_t length;
} bytes;

static bool begins(bytes b, const char *with, size_t n) {
  return b.length >= n && !memcmp(b.at, with, n);
}

static bytes after(bytes b, size_t n) {
  return (bytes){b.at + n, b.length - n};
}

/* The number of n bytes (2 or 4) at `offset`; 0 beyond the end. */
static uint32_t number(bytes b, size_t offset, size_t n, bool little) {
  uint32_t value = 0;
  if (offset > b.length || b.length - offset < n) return 0;
  for (size_t i = 0; i < n; i++) value |= (uint32_t)b.at[offset + i] << 8 * (little ? i : n - 1 - i);
  return value;
}

/* The first of an entry's numbers: in the entry itself if they fit into 4 bytes, else at the offset there. */
static int64_t entry_value(bytes b, size_t entry, bool little) {
  const uint32_t type = number(b, entry + 2, 2, little), count = number(b, entry + 4, 4, little);
  const bool is_short = type == SHORT || type == SIGNED_SHORT, is_long = type == LONG || type == SIGNED_LONG;
  const size_t size = is_short ? 2 : 4;
  if (!count || !(is_short || is_long)) return NOT_FOUND;
  return number(b, count * size > 4 ? number(b, entry + 8, 4, little) : entry + 8, size, little);
}

static bool is_tiff(bytes b) {
  static const char heads[][5] = {"II*\0", "II\0*", "MM\0*", "MM*\0", "MM\0+"};
  for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
    if (b.length >= 8 && begins(b, heads[i], 4)) return true;
  return false;
}

/* From a TIFF header and its first directory. */
static int64_t by_tiff(bytes b) {
  static const char mark[] = "Exif\0"; /* with its NUL; some writers have it twice */
  for (int i = 0; i < 2 && begins(b, mark, sizeof mark); i++) b = after(b, sizeof mark);
  if (!is_tiff(b)) return NOT_FOUND;
  const bool little = *b.at == 'I';
  const size_t first = number(b, 4, 4, little);
  const size_t n = number(b, first, 2, little);
  for (size_t i = 0; i < n; i++) {
    const size_t entry = first + 2 + i * ENTRY_BYTES;
    if (entry > b.length || b.length - entry < ENTRY_BYTES) break;
    if (number(b, entry, 2, little) == TAG_ORIENTATION) return entry_value(b, entry, little);
  }
  return NOT_FOUND;
}

static int64_t by_xmp(bytes b) {
  static const char key[] = "tiff:Orientation";
  const size_t n = sizeof key - 1;
  if (!b.length) return NOT_FOUND;
  const uint8_t *at = b.at, *end = at + b.length;
  while ((at = memmem(at, (size_t)(end - at), key, n))) {
    at += n;
    const size_t skip = end - at > 2 && !memcmp(at, "=\"", 2) ? 2 : end - at > 1 && *at == '>' ? 1 : 0;
    if (skip && at + skip < end && at[skip] >= '0' && at[skip] <= '9') return at[skip] - '0';
  }
  return NOT_FOUND;
}

/* A text as stored. */
typedef struct text {
  bytes stored;
  bool deflated;
} text;

/* The last text of each kind in a file; no bytes where there is none. */
typedef struct notes {
  bytes exif;
  text xmp, profile; /* `profile`: EXIF as ImageMagick's text, in hexadecimal digits */
} notes;

static void look_at_app1(bytes b, notes *out) {
  static const char exif[] = "Exif\0", xmp[] = "http://ns.adobe.com/xap/1.0/"; /* each with its NUL */
  if (begins(b, exif, sizeof exif) && !out->exif.at)
    out->exif = b;
  else if (begins(b, xmp, sizeof xmp))
    out->xmp = (text){after(b, sizeof xmp), false};
}

/* The segments before the first scan. */
static void look_at_jpeg(bytes b, notes *out) {
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

/* The bytes after the next NUL; none if there is no NUL. */
static bytes past_nul(bytes b) {
  const uint8_t *nul = b.length ? memchr(b.at, 0, b.length) : NULL;
  return nul ? after(b, (size_t)(nul + 1 - b.at)) : (bytes){0};
}

/* A text of PNG, by the type of its chunk: tEXt, zTXt or iTXt. */
static void look_at_text(const char *type, bytes chunk, notes *out) {
  static const char xmp[] = "XML:com.adobe.xmp", profile[] = "Raw profile type exif"; /* each with its NUL */
  const bool is_xmp = begins(chunk, xmp, sizeof xmp), is_profile = begins(chunk, profile, sizeof profile);
  if (!is_xmp && !is_profile) return;
  const bool international = *type == 'i';
  bytes b = past_nul(chunk);
  const bool deflated = *type == 'z' || (international && b.length && *b.at);
  if (*type == 'z') b = b.length ? after(b, 1) : b;
  if (international) b = b.length > 2 ? past_nul(past_nul(after(b, 2))) : (bytes){0};
  *(is_xmp ? &out->xmp : &out->profile) = (text){b, deflated};
}

static void look_at_png(bytes b, notes *out) {
  for (size_t at = 8; at + 12 <= b.length;) {
    const size_t length = number(b, at, 4, false);
    const char *type = (const char *)b.at + at + 4;
    const bytes data = {b.at + at + 8, length};
    if (length > b.length - at - 12) return;
    if (!memcmp(type, "eXIf", 4)) out->exif = data;
    if (!memcmp(type, "tEXt", 4) || !memcmp(type, "zTXt", 4) || !memcmp(type, "iTXt", 4))
      look_at_text(type, data, out);
    at += 12 + length;
  }
}

static void look_at_webp(bytes b, notes *out) {
  enum { HEAD = 12 /* of the file */, CHUNK_HEAD = 8 };
  for (size_t at = HEAD; at + CHUNK_HEAD <= b.length;) {
    const size_t length = number(b, at + 4, 4, true), rest = b.length - at - CHUNK_HEAD;
    const bytes data = {b.at + at + CHUNK_HEAD, length};
    if (length > rest) return;
    if (!memcmp(b.at + at, "EXIF", 4) && !out->exif.at) out->exif = data;
    if (!memcmp(b.at + at, "XMP ", 4)) out->xmp = (text){data, false};
    at += CHUNK_HEAD + length + length % 2;
  }
}

static int digit(uint8_t c) {
  return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* ImageMagick's text: an empty line, a name, a length, then lines of digits. */
static int64_t by_profile(bytes b) {
  for (int line = 0; line < 3; line++) {
    const uint8_t *end = b.length ? memchr(b.at, '\n', b.length) : NULL;
    if (!end) return NOT_FOUND;
    b = after(b, (size_t)(end + 1 - b.at));
  }
  uint8_t *exif = ld_alloc(b.length, 1);
  size_t n = 0;
  for (size_t i = 0; i < b.length; i++) {
    const int value = digit(b.at[i]);
    if (value < 0) continue;
    exif[n / 2] = (uint8_t)(exif[n / 2] << 4 | value);
    n++;
  }
  const int64_t found = by_tiff((bytes){exif, n / 2});
  free(exif);
  return found;
}

/* What `by` finds in the text, inflated if necessary. A truncated text is used as far as it goes; a broken or
 * too large one finds nothing. */
static int64_t by_text(const text *t, int64_t (*by)(bytes b)) {
  if (!t->deflated || !t->stored.length) return by(t->stored);
  uint8_t *plain = ld_alloc(MOST_TEXT, 1);
  z_stream z = {.next_in = (uint8_t *)(uintptr_t)t->stored.at,
                .avail_in = (uInt)t->stored.length,
                .next_out = plain,
                .avail_out = MOST_TEXT};
  if (inflateInit(&z) != Z_OK) ld_out_of_memory(MOST_TEXT);
  const int rc = inflate(&z, Z_SYNC_FLUSH);
  const bool good = rc == Z_STREAM_END || ((rc == Z_OK || rc == Z_BUF_ERROR) && z.avail_out);
  const int64_t found = good ? by((bytes){plain, MOST_TEXT - z.avail_out}) : NOT_FOUND;
  inflateEnd(&z);
  free(plain);
  return found;
}

int ld_image_orientation(const void *file, size_t length) {
  const bytes b = {file, length};
  notes found = {0};
  if (begins(b, "\xff\xd8", 2))
    look_at_jpeg(b, &found);
  else if (begins(b, "RIFF", 4))
    look_at_webp(b, &found);
  else
    look_at_png(b, &found);
  int64_t value = found.exif.at ? by_tiff(found.exif) : by_text(&found.profile, by_profile);
  if (value == NOT_FOUND) value = by_text(&found.xmp, by_xmp);
  return value >= 1 && value <= 8 ? (int)value : 1;
}

/* Where the upright pixel (y, x) comes from: which stored axis is y's, and from which end each one counts. */
static const struct {
  bool swapped, from_bottom, from_right;
} turns[9] = {[2] = {false, false, true}, [3] = {false, true, true}, [4] = {false, true, false},
              [5] = {true, false, false}, [6] = {true, true, false}, [7] = {true, true, true},
              [8] = {true, false, true}};

int ld_image_turn(ld_image *image, int orientation, const char *name, ld_error *err) {
  if (orientation == 1) return 0;
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
  upright.turned = true;
  upright.blended = image->blended;
  ld_image_free(image);
  *image = upright;
  return 0;
}
