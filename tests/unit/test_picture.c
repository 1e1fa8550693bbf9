/* Images for a model that makes images, against tests/golden/pictures (make_pictures.py). */
#include "scratch.h"

#include <math.h>

#include "data/augment.h"
#include "io/hub/safetensors.h"
#include "io/image/decode.h"
#include "io/image/fit.h"
#include "io/json.h"

#define PICTURES LD_TESTS_DIR "/golden/pictures/"

static ld_safetensors *expected(void) {
  ld_safetensors *file;
  ld_error err = {0};
  cr_assert_eq(ld_safetensors_open(PICTURES "expected.safetensors", &file, &err), 0, "%s", err.text);
  return file;
}

static int decode(const char *name, ld_image *out, ld_error *err) {
  ld_map map;
  char *path = ld_path_join(PICTURES, name);
  cr_assert_eq(ld_map_open(path, &map, err), 0, "%s", err->text);
  const int rc = ld_image_decode_on_white(map.bytes, map.length, name, out, err);
  ld_map_close(&map);
  free(path);
  return rc;
}

/* The largest difference of a pixel. */
static int difference(const ld_image *image, const ld_safetensors *file, const char *key) {
  const ld_stored *tensor = ld_safetensors_find(file, key);
  cr_assert(tensor && tensor->dtype == LD_U8, "%s", key);
  cr_assert(tensor->shape[0] == image->height && tensor->shape[1] == image->width, "%s", key);
  cr_assert_eq(tensor->ndim == 3 ? tensor->shape[2] : 1, image->channels, "%s", key);
  const uint8_t *want = tensor->data;
  int most = 0;
  for (int64_t i = 0; i < ld_stored_count(tensor); i++) {
    const int d = abs(image->pixels[i] - want[i]);
    if (d > most) most = d;
  }
  return most;
}

Test(picture, transparency_is_put_on_white_as_pillow_does) {
  ld_safetensors *file = expected();
  ld_image image = {0};
  size_t n, n_images = 0, n_blended = 0, n_turned = 0;
  char **names = ld_folder_names(PICTURES, &n, NULL);
  for (size_t i = 0; i < n; i++) {
    if (!ld_image_is_named(names[i]) || !ld_safetensors_find(file, names[i])) continue;
    ld_error err = {0};
    cr_assert_eq(decode(names[i], &image, &err), 0, "%s", err.text);
    cr_assert_leq(difference(&image, file, names[i]), strstr(names[i], ".jpg") ? 2 : 0, "%s", names[i]);
    cr_assert_eq(image.blended, strstr(names[i], "alpha") || strstr(names[i], "one_color"), "%s", names[i]);
    n_images++;
    n_blended += image.blended;
    n_turned += image.turned;
  }
  cr_assert_eq(n_images, 15);
  cr_assert_eq(n_blended, 6);
  cr_assert_eq(n_turned, 1);
  ld_names_free(names, n);
  ld_image_free(&image);
  ld_safetensors_close(file);
}

static void check_values(const ld_image *image, const ld_image_rule *rule, bool flip,
                         const ld_safetensors *file, const char *key) {
  const ld_stored *tensor = ld_safetensors_find(file, key);
  if (!tensor) return;
  const int64_t n = ld_stored_count(tensor);
  const float *want = tensor->data;
  float *values = ld_alloc((size_t)n, sizeof *values);
  const ld_augment augment = {.flip = flip};
  ld_image_put(image, rule, &augment, 0, 1, values);
  for (int64_t i = 0; i < n; i++) cr_assert_float_eq(values[i], want[i], 2e-7, "%s: %lld", key, (long long)i);
  free(values);
}

static void mirror(ld_image *image) {
  for (int y = 0; y < image->height; y++)
    for (int x = 0; x < image->width / 2; x++)
      for (int c = 0; c < image->channels; c++) {
        uint8_t *row = image->pixels + (size_t)(y * image->width * image->channels);
        uint8_t *a = row + x * image->channels + c, *b = row + (image->width - 1 - x) * image->channels + c;
        const uint8_t kept = *a;
        *a = *b;
        *b = kept;
      }
}

static void check_case(const ld_value *c, size_t i, const ld_safetensors *file) {
  ld_error err = {0};
  ld_image in = {0}, out = {0};
  const ld_image_size size = {(int)ld_value_get(c, "height")->integer,
                              (int)ld_value_get(c, "width")->integer};
  const ld_image_rule rule = ld_image_rule_cover(3, size.height, size.width, 1);
  const ld_value *share = ld_value_get(c, "share");
  const bool flip = ld_value_get(c, "flip")->boolean;
  ld_crop crop = {0};
  if (share) crop = (ld_crop){true, (float)share->items[0].real, (float)share->items[1].real};
  cr_assert_eq(decode(ld_value_get(c, "image")->string, &in, &err), 0, "%s", err.text);
  ld_image_cover(&in, &rule, size, crop, &out);
  char *key = ld_format("values.%zu", i), *pixels = ld_format("case.%zu", i);
  check_values(&out, &rule, flip, file, key);
  if (flip) mirror(&out);
  cr_assert_eq(difference(&out, file, pixels), 0, "case %zu", i);
  free(key);
  free(pixels);
  ld_image_free(&in);
  ld_image_free(&out);
}

Test(picture, is_resized_and_cropped_as_in_training_scripts) {
  ld_safetensors *file = expected();
  ld_error err = {0};
  ld_value *cases = ld_json_read(PICTURES "cases.json", &err);
  cr_assert(cases && cases->n_items == 19, "%s", err.text);
  for (size_t i = 0; i < cases->n_items; i++) check_case(&cases->items[i], i, file);
  ld_value_free(cases);
  ld_safetensors_close(file);
}

Test(picture, refuses_broken_webp) {
  ld_image image = {0};
  ld_error err = {0};
  cr_assert_eq(decode("cut.webp", &image, &err), LD_EFORMAT);
  cr_assert(strstr(err.text, "cut.webp: broken WebP (the file is cut off)"), "%s", err.text);
  cr_assert_eq(decode("animated.webp", &image, &err), LD_EFORMAT);
  cr_assert(strstr(err.text, "animated.webp: an animated WebP"), "%s", err.text);
  size_t length;
  char *bytes = scratch_read(PICTURES "lossless_alpha.webp", &length);
  for (size_t cut = 0; cut < length; cut++) {
    char *part = ld_realloc(NULL, cut + 1, 1);
    memcpy(part, bytes, cut);
    cr_assert_eq(ld_image_decode_on_white(part, cut, "a", &image, &err), LD_EFORMAT, "%zu", cut);
    free(part);
  }
  free(bytes);
  ld_image_free(&image);
}

static void check_size(const char *text, int step, int height, int width) {
  ld_image_size size;
  ld_error err = {0};
  cr_assert_eq(ld_image_size_parse(text, step, &size, &err), 0, "%s", err.text);
  cr_assert(size.height == height && size.width == width, "%s: %d x %d", text, size.width, size.height);
}

static void refused_size(const char *text, int step, const char *why) {
  ld_image_size size;
  ld_error err = {0};
  cr_assert_eq(ld_image_size_parse(text, step, &size, &err), LD_EUSAGE, "%s", text);
  cr_assert(strstr(err.text, why), "%s", err.text);
}

Test(picture, a_resolution_is_a_number_or_two) {
  check_size("512", 8, 512, 512);
  check_size("768x512", 64, 512, 768);
  check_size("1", 1, 1, 1);
  for (const char *const *bad =
           (const char *const[]){"", "x", "5x", "x5", "0", "-1", "5 ", "5x5x5", "512X512", NULL};
       *bad; bad++)
    refused_size(*bad, 1, "expected a number of pixels");
  refused_size("500", 8, "multiples of 8");
  refused_size("512x500", 8, "multiples of 8");
  refused_size("4097", 1, "at most 4096");
  refused_size("99999999999999999999", 1, "at most 4096");
}

static int count_sizes(ld_image_size around, int step, ld_image_size *sizes) {
  const int n = ld_image_sizes(around, step, sizes);
  for (int i = 0; i < n; i++) {
    cr_assert(sizes[i].height % step == 0 && sizes[i].width % step == 0 && sizes[i].height > 0);
    cr_assert_leq((int64_t)sizes[i].height * sizes[i].width, (int64_t)around.height * around.width);
    const int self = ld_image_size_nearest(sizes, n, sizes[i].height, sizes[i].width);
    cr_assert_eq(self, i);
  }
  return n;
}

/* The numbers of sizes are those of kohya's make_bucket_resolutions, with its default limits at 512. */
Test(picture, buckets_are_kohyas) {
  ld_image_size sizes[LD_MOST_SIZES];
  cr_assert_eq(count_sizes((ld_image_size){512, 512}, 8, sizes), 17);
  cr_assert(sizes[0].width == 256 && sizes[0].height == 832 && sizes[3].height == 1024);
  cr_assert_eq(count_sizes((ld_image_size){1024, 1024}, 8, sizes), 33);
  int n = count_sizes((ld_image_size){64, 64}, 8, sizes);
  cr_assert(n > 5 && sizes[0].width == 32 && sizes[n - 1].width == 128, "%d", n);
  n = ld_image_sizes((ld_image_size){512, 512}, 8, sizes);
  const ld_image_size found = sizes[ld_image_size_nearest(sizes, n, 720, 1280)];
  cr_assert(found.width == 640 && found.height == 384, "%d x %d", found.width, found.height);
  cr_assert_geq(count_sizes((ld_image_size){1, 1}, 1, sizes), 1);
  cr_assert_geq(count_sizes((ld_image_size){4096, 4096}, 24, sizes), 1);
  cr_assert_geq(count_sizes((ld_image_size){96, 96}, 96, sizes), 1);
}
