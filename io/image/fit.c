/* Resampling as Pillow does it on 8-bit images, and torchvision and transformers with it. Each axis has a
 * table of weights (the filter, widened by the factor of reduction, normalised, as fixed-point integers with
 * 22 fraction bits). It is applied first along rows, then along columns (or the other way round), with a
 * rounding to 8 bits after each.
 *
 * Only pixels of the crop are computed, so that no image, however long and narrow, becomes a huge one. An
 * axis that keeps its size has the weights 0, 1, 0 and passes unchanged. */
#include "io/image/fit.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/vmath.h"

enum { WEIGHT_BITS = 32 - 8 - 2, WEIGHT_ONE = 1 << WEIGHT_BITS };

/* One axis of a resize and crop: output position i sums count[i] inputs from first[i] on, with `taps` slots
 * for their weights. Positions outside begin .. end lie beyond the image and have count 0. */
typedef struct axis {
  int n, begin, end, taps;
  int *first, *count;
  int32_t *weight; /* from position `begin` on */
} axis;

static int32_t *weights_of(const axis *a, int i) {
  return a->weight + (a->count[i] ? (size_t)(i - a->begin) * (size_t)a->taps : 0);
}

static double bilinear(double x) {
  x = fabs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

/* Keys' cubic convolution, a = -1/2. */
static double bicubic(double x) {
  const double a = -0.5;
  x = fabs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
  if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
  return 0.0;
}

static double sinc(double x) {
  const double pi_x = x * 3.14159265358979323846;
  return x == 0.0 ? 1.0 : sin(pi_x) / pi_x;
}

static double lanczos(double x) {
  return -3.0 <= x && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0;
}

/* By ld_resample: the filter, which is 0 beyond the reach on both sides. */
static const struct {
  double (*filter)(double x), reach;
} kernels[] = {[LD_BILINEAR] = {bilinear, 1.0}, [LD_BICUBIC] = {bicubic, 2.0}, [LD_LANCZOS] = {lanczos, 3.0}};

static int32_t to_fixed(double weight) {
  return (int32_t)(weight * WEIGHT_ONE + (weight < 0 ? -0.5 : 0.5));
}

/* The weights of position `i` of the axis, which is pixel `at` when `in` pixels become `out`. */
static void weigh(axis *a, int i, int in, int out, int at, ld_resample kind, double *scratch) {
  const double scale = (double)in / out, widened = scale > 1.0 ? scale : 1.0;
  const double reach = kernels[kind].reach * widened, center = (at + 0.5) * scale;
  const double narrow = 1.0 / widened;
  const int from = center - reach + 0.5 < 0 ? 0 : (int)(center - reach + 0.5);
  const int to = center + reach + 0.5 > in ? in : (int)(center + reach + 0.5);
  double sum = 0;
  for (int t = 0; t < to - from; t++) {
    const double x = (t + from - center + 0.5) * narrow;
    scratch[t] = kernels[kind].filter(x);
    sum += scratch[t];
  }
  a->first[i] = from;
  a->count[i] = to - from;
  int32_t *weight = weights_of(a, i);
  for (int t = 0; t < to - from; t++) weight[t] = to_fixed(scratch[t] / sum);
}

/* `offset` is where the crop begins in the resized image; negative for padding. */
static axis make_axis(int in, int out, int offset, int n, ld_resample kind) {
  const double scale = (double)in / out;
  const double reach = kernels[kind].reach * (scale > 1.0 ? scale : 1.0);
  axis a = {.n = n, .taps = (int)ceil(reach) * 2 + 1};
  a.first = ld_alloc((size_t)n, sizeof *a.first);
  a.count = ld_alloc((size_t)n, sizeof *a.count);
  a.begin = offset < 0 ? -offset : 0;
  a.end = out - offset < n ? out - offset : n;
  a.weight = ld_alloc((size_t)(a.end - a.begin) * (size_t)a.taps, sizeof *a.weight);
  double *scratch = ld_alloc((size_t)a.taps, sizeof *scratch);
  for (int i = a.begin; i < a.end; i++) weigh(&a, i, in, out, offset + i, kind, scratch);
  free(scratch);
  return a;
}

static void free_axis(axis *a) {
  free(a->first);
  free(a->count);
  free(a->weight);
}

static uint8_t to_pixel(int32_t sum) {
  const int32_t value = sum >> WEIGHT_BITS;
  return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

static void resample_row(const uint8_t *in, int channels, const axis *x, uint8_t *out) {
  for (int i = 0; i < x->n; i++) {
    const uint8_t *at = in + (size_t)x->first[i] * (size_t)channels;
    const int32_t *weight = weights_of(x, i);
    int32_t sum[3] = {WEIGHT_ONE / 2, WEIGHT_ONE / 2, WEIGHT_ONE / 2};
    if (channels == 3)
      for (int t = 0; t < x->count[i]; t++, at += 3)
        for (int c = 0; c < 3; c++) sum[c] += at[c] * weight[t];
    else
      for (int t = 0; t < x->count[i]; t++) sum[0] += at[t] * weight[t];
    for (int c = 0; c < channels && c < 3; c++) *out++ = to_pixel(sum[c]);
  }
}

/* Makes a row of `bytes` bytes from `count` rows that lie `stride` bytes apart; sums holds `bytes`. */
LD_VECTOR static void blend_rows(const uint8_t *in, size_t stride, size_t bytes, const int32_t *weight,
                                 int count, int32_t *sums, uint8_t *out) {
  for (size_t i = 0; i < bytes; i++) sums[i] = WEIGHT_ONE / 2;
  for (int t = 0; t < count; t++) {
    const int32_t w = weight[t];
    const uint8_t *at = in + (size_t)t * stride;
    for (size_t i = 0; i < bytes; i++) sums[i] += at[i] * w;
  }
  for (size_t i = 0; i < bytes; i++) out[i] = to_pixel(sums[i]);
}

static void down_columns(const uint8_t *in, size_t stride, size_t bytes, const axis *y, uint8_t *out) {
  int32_t *sums = ld_alloc(bytes, sizeof *sums);
  for (int i = 0; i < y->n; i++)
    blend_rows(in + (size_t)y->first[i] * stride, stride, bytes, weights_of(y, i), y->count[i], sums,
               out + (size_t)i * bytes);
  free(sums);
}

/* Counts the axis's inputs from the first that the crop uses, and returns that first one; *n: how many. */
static int trim(axis *a, int *n) {
  const int first = a->first[a->begin];
  *n = 0;
  for (int i = a->begin; i < a->end; i++) {
    a->first[i] -= first;
    if (a->first[i] + a->count[i] > *n) *n = a->first[i] + a->count[i];
  }
  return first;
}

/* Fills `out` (y->n, x->n, channels of in); consumes the axes. */
static void resample(const ld_image *in, axis *y, axis *x, bool columns_first, uint8_t *out) {
  int rows, columns;
  const size_t channels = (size_t)in->channels, stride = (size_t)in->width * channels;
  const uint8_t *at = in->pixels + (size_t)trim(y, &rows) * stride;
  at += (size_t)trim(x, &columns) * channels;
  const size_t out_row = (size_t)x->n * channels, in_row = (size_t)columns * channels;
  uint8_t *middle = ld_alloc(columns_first ? (size_t)y->n * in_row : (size_t)rows * out_row, 1);
  if (columns_first) {
    down_columns(at, stride, in_row, y, middle);
    for (int i = 0; i < y->n; i++)
      resample_row(middle + (size_t)i * in_row, in->channels, x, out + (size_t)i * out_row);
  } else {
    for (int i = 0; i < rows; i++)
      resample_row(at + (size_t)i * stride, in->channels, x, middle + (size_t)i * out_row);
    down_columns(middle, out_row, out_row, y, out);
  }
  free(middle);
}

/* ITU-R 601 luma in 16-bit fixed point, Pillow's convert("L"). */
static void make_grey(const ld_image *in, ld_image *out) {
  const size_t n = (size_t)in->height * (size_t)in->width;
  *out = (ld_image){
      .height = in->height, .width = in->width, .channels = 1, .pixels = ld_alloc(n, 1), .room = n};
  for (size_t i = 0; i < n; i++) {
    const uint8_t *p = in->pixels + 3 * i;
    out->pixels[i] = (uint8_t)((19595u * p[0] + 38470u * p[1] + 7471u * p[2] + 0x8000u) >> 16);
  }
}

/* In place, from the end, so that nothing is overwritten before it is read. */
static void repeat_grey(uint8_t *pixels, size_t n) {
  for (size_t i = n; i-- > 0;) {
    const uint8_t grey = pixels[i];
    memset(pixels + 3 * i, grey, 3);
  }
}

/* torchvision's Resize with one number: the longer side is truncated to an integer, not rounded. */
static void resized(const ld_image *in, const ld_image_rule *rule, int *height, int *width) {
  *height = rule->resize_height ? rule->resize_height : in->height;
  *width = rule->resize_width ? rule->resize_width : in->width;
  if (!rule->shortest_edge) return;
  const bool upright = in->width <= in->height;
  const double longer = upright ? in->height : in->width, shorter = upright ? in->width : in->height;
  const int longest = (int)(rule->shortest_edge * longer / shorter);
  *height = upright ? longest : rule->shortest_edge;
  *width = upright ? rule->shortest_edge : longest;
}

/* Where the crop begins. Of an odd padding transformers (`down`) puts the larger half on this side,
 * torchvision the smaller. */
static int crop_offset(int size, int crop, bool down) {
  if (size < crop) return -((crop - size + down) / 2);
  const int half = (size - crop) / 2;
  return (size - crop) % 2 && !down ? half + half % 2 : half;
}

/* Pillow 13 begins with the columns when that discards far more; older versions, and torchvision's tensors,
 * always begin with rows. With the rounding, the order changes a pixel by one level, except for bicubic
 * overshoot. */
static bool columns_first(const ld_image *in, int height, int width) {
  return in->height > height && in->height - height > 2 * ((int64_t)in->width - width);
}

static void make_room(ld_image *image, int height, int width, int channels) {
  const size_t bytes = (size_t)height * (size_t)width * (size_t)channels;
  if (bytes > image->room) {
    image->pixels = ld_realloc(image->pixels, bytes, 1);
    image->room = bytes;
  }
  image->height = height;
  image->width = width;
  image->channels = channels;
}

static int check_size(const ld_image_rule *rule, int height, int width, const char *name, ld_error *err) {
  if (!rule->loose || (height == rule->height && width == rule->width)) return 0;
  return ld_fail(
      err, LD_EFORMAT,
      "%s: the image has %d x %d pixels by preprocessor_config.json (%s), but all images of a batch must "
      "have %d x %d: write do_center_crop and crop_size there, or a size of height and width",
      name, width, height, rule->loose, rule->width, rule->height);
}

/* A resize, and the crop of its result. */
typedef struct geometry {
  ld_image_size resized, crop;
  int down, right; /* where the crop begins; negative for padding */
} geometry;

static void fit(const ld_image *in, const ld_image_rule *rule, const geometry *g, ld_image *out) {
  ld_image grey = {0};
  if (in->channels == 3 && rule->channels == 1) {
    make_grey(in, &grey);
    in = &grey;
  }
  make_room(out, g->crop.height, g->crop.width, rule->channels);
  axis y = make_axis(in->height, g->resized.height, g->down, g->crop.height, rule->resample);
  axis x = make_axis(in->width, g->resized.width, g->right, g->crop.width, rule->resample);
  resample(in, &y, &x, columns_first(in, g->resized.height, g->resized.width), out->pixels);
  if (in->channels == 1 && rule->channels == 3)
    repeat_grey(out->pixels, (size_t)g->crop.height * (size_t)g->crop.width);
  free_axis(&y);
  free_axis(&x);
  ld_image_free(&grey);
}

int ld_image_fit(const ld_image *in, const ld_image_rule *rule, const char *name, ld_image *out,
                 ld_error *err) {
  const ld_image_size size = {rule->height, rule->width};
  if (rule->cover) {
    ld_image_cover(in, rule, size, (ld_crop){0}, out);
    return 0;
  }
  int height, width;
  resized(in, rule, &height, &width);
  const int rc = check_size(rule, height, width, name, err);
  if (rc) return rc;
  const geometry g = {{height, width},
                      size,
                      crop_offset(height, rule->height, rule->crop_down),
                      crop_offset(width, rule->width, rule->crop_down)};
  fit(in, rule, &g, out);
  return 0;
}

/* One side of the image after it was scaled; `least` is what it must cover. */
static int scaled(int side, double scale, int least) {
  const int whole = (int)(side * scale + 0.5);
  return whole > least ? whole : least;
}

static ld_image_size covering(const ld_image *in, ld_image_size size) {
  if (size.height == size.width) {
    const ld_image_rule square = {.shortest_edge = size.height};
    ld_image_size found;
    resized(in, &square, &found.height, &found.width);
    return found;
  }
  const bool wider = (double)in->width / in->height > (double)size.width / size.height;
  const double scale = wider ? (double)size.height / in->height : (double)size.width / in->width;
  return (ld_image_size){scaled(in->height, scale, size.height), scaled(in->width, scale, size.width)};
}

static int place_crop(int margin, bool drawn, float share) {
  if (!drawn) return crop_offset(margin, 0, false);
  const int at = (int)((double)share * (margin + 1));
  return at < margin ? at : margin;
}

ld_image_origin ld_image_cover(const ld_image *in, const ld_image_rule *rule, ld_image_size size,
                               ld_crop crop, ld_image *out) {
  const ld_image_size whole = covering(in, size);
  const geometry g = {whole, size, place_crop(whole.height - size.height, crop.drawn, crop.down),
                      place_crop(whole.width - size.width, crop.drawn, crop.right)};
  fit(in, rule, &g, out);
  return (ld_image_origin){in->height, in->width, g.down, g.right, whole.width - size.width - g.right};
}
