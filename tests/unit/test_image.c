#include "scratch.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

#include <jpeglib.h>

#include "io/hub/safetensors.h"
#include "io/image/decode.h"
#include "io/image/fit.h"
#include "io/json.h"

#define IMAGES LD_TESTS_DIR "/golden/images/"

static ld_safetensors *expected(void) {
  ld_safetensors *file;
  ld_error err = {0};
  cr_assert_eq(ld_safetensors_open(IMAGES "expected.safetensors", &file, &err), 0, "%s", err.text);
  return file;
}

static void same_pixels(const ld_image *image, const ld_safetensors *file, const char *prefix,
                        const char *name) {
  char *key = ld_format("%s%s", prefix, name);
  const ld_stored *tensor = ld_safetensors_find(file, key);
  cr_assert(tensor && tensor->dtype == LD_U8, "%s", key);
  cr_assert(tensor->shape[0] == image->height && tensor->shape[1] == image->width, "%s", key);
  cr_assert_eq(tensor->ndim == 3 ? tensor->shape[2] : 1, image->channels, "%s", key);
  const uint8_t *want = tensor->data;
  for (int64_t i = 0; i < ld_stored_count(tensor); i++)
    cr_assert_eq(image->pixels[i], want[i], "%s: byte %lld: %d, expected %d", key, (long long)i,
                 image->pixels[i], want[i]);
  free(key);
}

static void read_golden(const char *file, ld_image *image) {
  char *path = ld_path_join(IMAGES, file);
  ld_error err = {0};
  cr_assert_eq(ld_image_read(path, image, &err), 0, "%s", err.text);
  free(path);
}

Test(image, reads_what_pillow_reads) {
  ld_safetensors *file = expected();
  ld_image image = {0};
  size_t n, n_images = 0;
  char **names = ld_folder_names(IMAGES, &n, NULL);
  for (size_t i = 0; i < n; i++) {
    char *dot = strrchr(names[i], '.');
    if ((strcmp(dot, ".png") != 0 && strcmp(dot, ".jpg") != 0) || !strcmp(names[i], "cmyk.jpg")) continue;
    read_golden(names[i], &image);
    *dot = 0;
    same_pixels(&image, file, "", names[i]);
    n_images++;
  }
  cr_assert_eq(n_images, 70);
  ld_names_free(names, n);
  ld_image_free(&image);
  ld_safetensors_close(file);
}

static ld_image_rule read_rule(const ld_value *config, int channels, int size) {
  ld_image_rule rule;
  ld_error err = {0};
  cr_assert_eq(ld_image_rule_read(config, "p.json", NULL, channels, size, &rule, &err), 0, "%s", err.text);
  return rule;
}

Test(image, fits_as_pillow_torchvision_and_transformers_do) {
  ld_safetensors *file = expected();
  ld_error err = {0};
  ld_value *cases = ld_json_read(IMAGES "fit.json", &err);
  ld_image in = {0}, out = {0};
  cr_assert(cases && cases->n_items == 14, "%s", err.text);
  for (size_t i = 0; i < cases->n_items; i++) {
    const ld_value *c = &cases->items[i];
    const ld_image_rule rule =
        read_rule(ld_value_get(c, "config"), (int)ld_value_get(c, "channels")->integer, 224);
    read_golden(ld_value_get(c, "image")->string, &in);
    cr_assert_eq(ld_image_fit(&in, &rule, "a", &out, NULL), 0);
    same_pixels(&out, file, "fit.", ld_value_get(c, "name")->string);
  }
  ld_image_free(&in);
  ld_image_free(&out);
  ld_value_free(cases);
  ld_safetensors_close(file);
}

/* However long and narrow an image is, only the crop is computed. */
Test(image, fits_extreme_shapes) {
  const size_t n = LD_IMAGE_SIDE;
  ld_image in = {
      .height = 1, .width = LD_IMAGE_SIDE, .channels = 3, .pixels = ld_alloc(3 * n, 1), .room = 3 * n};
  ld_image out = {0};
  memset(in.pixels, 200, 3 * n);
  ld_image_rule rule = {
      .shortest_edge = 4000, .height = 5, .width = 7, .channels = 3, .resample = LD_BICUBIC};
  cr_assert_eq(ld_image_fit(&in, &rule, "a", &out, NULL), 0);
  for (int i = 0; i < 5 * 7 * 3; i++) cr_assert_eq(out.pixels[i], 200);
  rule = (ld_image_rule){.resize_height = 1, .resize_width = 1, .height = 4096, .width = 3, .channels = 1};
  cr_assert_eq(ld_image_fit(&in, &rule, "a", &out, NULL), 0);
  cr_assert(out.height == 4096 && out.width == 3 && out.channels == 1);
  for (int i = 0; i < 4096 * 3; i++) cr_assert_eq(out.pixels[i], i == 2047 * 3 + 1 ? 200 : 0, "%d", i);
  ld_image_free(&in);
  ld_image_free(&out);
}

static void refused(const void *bytes, size_t length, const char *what, const char *why) {
  ld_image image = {0};
  ld_error err = {0};
  cr_assert_eq(ld_image_decode(bytes, length, "a.png", &image, &err), LD_EFORMAT, "%s", what);
  cr_assert(strstr(err.text, "a.png: ") && strstr(err.text, why), "%s: %s", what, err.text);
  ld_image_free(&image);
}

static char *golden_bytes(const char *file, size_t *length) {
  char *path = ld_path_join(IMAGES, file), *bytes = scratch_read(path, length);
  free(path);
  return bytes;
}

Test(image, refuses_files_that_are_cut_off) {
  static const char *const files[] = {"rgb8.png",     "palette4_interlaced.png", "grey16.png",
                                      "jpeg_420.jpg", "jpeg_grey.jpg",           "jpeg_progressive.jpg"};
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    size_t length;
    char *bytes = golden_bytes(files[i], &length);
    for (size_t cut = 0; cut < length; cut++) {
      char *part = ld_strndup(bytes, 0);
      part = ld_realloc(part, cut + 1, 1);
      memcpy(part, bytes, cut);
      refused(part, cut, files[i], "remove");
      free(part);
    }
    free(bytes);
  }
}

Test(image, refuses_what_is_damaged) {
  size_t length;
  char *bytes = golden_bytes("rgb8.png", &length);
  bytes[100] ^= 1; /* a checksum no longer matches */
  refused(bytes, length, "a changed byte", "broken PNG");
  free(bytes);
  bytes = golden_bytes("jpeg_420.jpg", &length);
  memset(bytes + length - 60, 0xff, 30);
  refused(bytes, length, "a hole", "broken JPEG");
  free(bytes);
  bytes = golden_bytes("cmyk.jpg", &length);
  refused(bytes, length, "CMYK", "CMYK");
  free(bytes);
  refused("", 0, "nothing", "empty");
  refused("GIF89a..........", 16, "a GIF", "neither PNG nor JPEG");
}

static void put_size(char *at, uint32_t size) {
  for (int i = 0; i < 4; i++) at[i] = (char)(size >> (24 - 8 * i));
}

/* CRC-32 as PNG uses it, bit by bit. */
static uint32_t crc32_of(const char *bytes, size_t length) {
  uint32_t crc = ~0u;
  for (size_t i = 0; i < length; i++) {
    crc ^= (uint8_t)bytes[i];
    for (int k = 0; k < 8; k++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
  }
  return ~crc;
}

static void png_of_size(uint32_t width, uint32_t height, const char *why) {
  size_t length;
  char *bytes = golden_bytes("rgb8.png", &length);
  put_size(bytes + 16, width);
  put_size(bytes + 20, height);
  put_size(bytes + 29, crc32_of(bytes + 12, 17));
  refused(bytes, length, "a false size", why);
  free(bytes);
}

Test(image, allocates_nothing_for_false_sizes) {
  png_of_size(16000, 16000, "too short for its pixels");
  png_of_size(65000, 65000, "too short for its pixels");
  png_of_size(70000, 1, "broken PNG");
  png_of_size(0, 5, "broken PNG");
  png_of_size(0xffffffffu, 0xffffffffu, "broken PNG");
  size_t length;
  char *bytes = golden_bytes("jpeg_420.jpg", &length);
  for (size_t i = 2; i + 9 < length; i++)
    if ((uint8_t)bytes[i] == 0xff && (uint8_t)bytes[i + 1] == 0xc0) {
      memcpy(bytes + i + 5, "\x40\x00\x40\x00", 4);
      break;
    }
  refused(bytes, length, "a JPEG of 16384 x 16384", "too short for its pixels");
  free(bytes);
}

/* A white square as progressive JPEG: the means, then its other coefficients in `n` scans, each bit by
 * itself. */
static unsigned char *many_scans(unsigned side, int n, unsigned long *length) {
  struct jpeg_compress_struct jpeg;
  struct jpeg_error_mgr errors;
  jpeg_scan_info scans[100] = {{.comps_in_scan = 1}};
  for (int i = 0; i < n; i++)
    scans[i + 1] = (jpeg_scan_info){.comps_in_scan = 1,
                                    .Ss = 1 + i % 63,
                                    .Se = n < 63 && i + 1 == n ? 63 : 1 + i % 63,
                                    .Ah = i < 63 ? 0 : 1,
                                    .Al = i < 63 && i + 63 < n ? 1 : 0};
  unsigned char *bytes = NULL, *row = ld_alloc(side, 1);
  memset(row, 255, side);
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_compress(&jpeg);
  jpeg_mem_dest(&jpeg, &bytes, length);
  jpeg.image_width = jpeg.image_height = side;
  jpeg.input_components = 1;
  jpeg.in_color_space = JCS_GRAYSCALE;
  jpeg_set_defaults(&jpeg);
  jpeg.scan_info = scans;
  jpeg.num_scans = n + 1;
  jpeg_start_compress(&jpeg, TRUE);
  for (unsigned y = 0; y < side; y++) jpeg_write_scanlines(&jpeg, &row, 1);
  jpeg_finish_compress(&jpeg);
  jpeg_destroy_compress(&jpeg);
  free(row);
  return bytes;
}

/* Pixels, and the scans over them, are limited by the file's length. */
Test(image, has_a_budget) {
  unsigned long length = 0;
  ld_image image = {0};
  ld_error err = {0};
  unsigned char *jpeg = many_scans(2000, 90, &length);
  refused((char *)jpeg, length, "90 scans", "too many scans, at least ");
  free(jpeg);
  jpeg = many_scans(2000, 9, &length);
  cr_assert_eq(ld_image_decode(jpeg, length, "a.jpg", &image, &err), 0, "%s", err.text);
  cr_assert(image.width == 2000 && image.pixels[0] == 255 && image.pixels[3999999] == 255);
  ld_image_free(&image);
  free(jpeg);

  size_t n_head;
  char *head = golden_bytes("rgb8.png", &n_head), *png = ld_alloc(1 << 20, 1);
  memcpy(png, head, 33);
  put_size(png + 16, 65500);
  put_size(png + 20, 4098);
  put_size(png + 29, crc32_of(png + 12, 17));
  put_size(png + 33, (1 << 20) - 45);
  memcpy(png + 37, "IDAT", 4);
  refused(png, 1 << 20, "a long and wide PNG", "65500 x 4098 pixels, too many for a file of 1048576 bytes");
  free(head);
  free(png);
}

static void put_bits(char *to, size_t *at, const char *bits) {
  for (; *bits; bits++, ++*at)
    if (*bits == '1') to[*at / 8] = (char)(to[*at / 8] | 1 << *at % 8);
}

/* A chunk whose `length` bytes inflate to 158 times as many zeros. */
static void put_zeros(char *chunk, size_t length) {
  size_t at = 8 * 10;
  put_size(chunk, (uint32_t)length);
  memcpy(chunk + 4, "IDAT\x78\x01", 6);
  put_bits(chunk, &at, "11000110000"); /* the last block, with fixed codes; a zero */
  while (at < 8 * length) put_bits(chunk, &at, "1100010100000"); /* 258 more copies of the previous byte */
  put_size(chunk + 8 + length, crc32_of(chunk + 4, 4 + length));
}

/* Only the rows are inflated: inflating everything would take more than a second. */
Test(image, inflates_no_more_than_its_rows) {
  const size_t length = 8 << 20;
  size_t n_head;
  ld_image image = {0};
  ld_error err = {0};
  char *head = golden_bytes("rgb8.png", &n_head), *png = ld_alloc(length + 64, 1);
  memcpy(png, head, 33);
  put_size(png + 16, 32);
  put_size(png + 20, 32);
  put_size(png + 29, crc32_of(png + 12, 17));
  put_zeros(png + 33, length);
  memcpy(png + 33 + 12 + length, head + n_head - 12, 12);
  const clock_t start = clock();
  cr_assert_eq(ld_image_decode(png, 33 + 12 + length + 12, "a.png", &image, &err), 0, "%s", err.text);
  cr_assert((double)(clock() - start) < 0.5 * CLOCKS_PER_SEC);
  cr_assert(image.width == 32 && image.height == 32);
  for (int i = 0; i < 32 * 32 * 3; i++) cr_assert_eq(image.pixels[i], 0);
  ld_image_free(&image);
  free(head);
  free(png);
}

static ld_value *parse(const char *text) {
  ld_error err = {0};
  ld_value *value = ld_json_parse(text, strlen(text), "p.json", &err);
  cr_assert(value, "%s", err.text);
  return value;
}

Test(image_rule, without_a_file) {
  ld_image_rule rule = read_rule(NULL, 3, 32);
  cr_assert(rule.height == 32 && rule.width == 32 && rule.resize_height == 32 && rule.resize_width == 32);
  cr_assert(rule.scale == 1.0f / 255.0f && rule.mean[1] == 0.456f && rule.std[2] == 0.225f);
  rule = read_rule(NULL, 1, 28);
  cr_assert(rule.channels == 1 && fabsf(rule.mean[0] - 0.449f) < 1e-6f &&
            fabsf(rule.std[0] - 0.226f) < 1e-6f);
}

Test(image_rule, keys_and_defaults) {
  ld_value *config =
      parse("{\"size\": {\"height\": 30, \"width\": 20}, \"rescale_factor\": 0.5, \"image_mean\": "
            "[1, 2, 3], \"image_std\": 4, \"resample\": 3, \"do_convert_rgb\": true}");
  ld_image_rule rule = read_rule(config, 3, 224);
  cr_assert(rule.height == 30 && rule.width == 20 && rule.resize_height == 30 && rule.resize_width == 20);
  cr_assert(rule.scale == 0.5f && rule.mean[2] == 3 && rule.std[0] == 4 && rule.std[2] == 4);
  cr_assert(rule.resample == LD_BICUBIC && !rule.crop_down);
  ld_value_free(config);

  config =
      parse("{\"image_processor_type\": \"ConvNextImageProcessorFast\", \"size\": {\"shortest_edge\": 224}}");
  rule = read_rule(config, 3, 224);
  cr_assert(rule.shortest_edge == 256 && rule.height == 224 && rule.width == 224 && rule.crop_down);
  cr_assert(rule.resample == LD_BICUBIC && rule.mean[0] == 0.5f && rule.std[0] == 0.5f);
  ld_value_free(config);

  config =
      parse("{\"feature_extractor_type\": \"ConvNextFeatureExtractor\", \"size\": 384, \"resample\": 2}");
  rule = read_rule(config, 3, 224);
  cr_assert(rule.shortest_edge == 0 && rule.resize_height == 384 && rule.width == 384 &&
            rule.resample == LD_BILINEAR);
  ld_value_free(config);

  config = parse("{\"do_resize\": false, \"do_rescale\": false, \"do_normalize\": false, \"image_mean\": 1}");
  rule = read_rule(config, 3, 28);
  cr_assert(!rule.shortest_edge && !rule.resize_height && rule.height == 28);
  cr_assert(rule.scale == 1 && rule.mean[0] == 0 && rule.std[0] == 1);
  ld_value_free(config);
}

/* A null is not a default; a ResNet's file without a type is ConvNext's; sizes that the file leaves open must
 * be equal. */
Test(image_rule, nulls_types_and_open_sizes) {
  ld_value *config = parse("{\"image_processor_type\": \"ViTImageProcessor\", \"do_rescale\": null, "
                           "\"do_normalize\": null, \"crop_size\": null, \"do_center_crop\": null}");
  ld_image_rule rule = read_rule(config, 3, 224);
  cr_assert(rule.scale == 1 && rule.std[0] == 1 && rule.height == 224 && !rule.loose);
  ld_value_free(config);

  config = parse("{\"size\": 224}");
  ld_error err = {0};
  cr_assert_eq(ld_image_rule_read(config, "p.json", "ConvNextImageProcessor", 3, 32, &rule, &err), 0, "%s",
               err.text);
  cr_assert(rule.shortest_edge == 256 && rule.height == 224 && rule.crop_down);
  ld_value_free(config);

  static const char *const open[] = {"{\"do_resize\": false}", "{\"size\": {\"shortest_edge\": 7}}"};
  uint8_t pixels[8 * 7 * 3] = {0};
  for (size_t i = 0; i < 2; i++) {
    ld_image in = {.height = 7, .width = 7, .channels = 3, .pixels = pixels}, out = {0};
    config = parse(open[i]);
    cr_assert_eq(ld_image_rule_read(config, "p.json", NULL, 3, 7, &rule, &err), 0, "%s", err.text);
    cr_assert_eq(ld_image_fit(&in, &rule, "a.png", &out, &err), 0, "%s", err.text);
    in.height = 8;
    cr_assert_eq(ld_image_fit(&in, &rule, "a.png", &out, &err), LD_EFORMAT);
    cr_assert(strstr(err.text, "a.png: the image has 7 x 8 pixels"), "%s", err.text);
    ld_value_free(config);
    ld_image_free(&out);
  }
}

Test(image_rule, refuses) {
  static const char *const cases[][2] = {
      {"[1]", "expected an object"},
      {"{\"size\": 0}", "size: 0 is out of range"},
      {"{\"size\": 1000000000000}", "size: 1000000000000 is out of range"},
      {"{\"size\": \"x\"}", "size: expected an integer"},
      {"{\"size\": {\"longest_edge\": 3}}", "'longest_edge' is not known"},
      {"{\"size\": {\"shortest_edge\": 3, \"longest_edge\": 9}}", "'longest_edge' is not known"},
      {"{\"size\": {\"height\": 3}}", "size: expected"},
      {"{\"size\": {\"height\": 3, \"width\": -1}}", "size: -1 is out of range"},
      {"{\"size\": [1]}", "two integers"},
      {"{\"resample\": 0}", "nearest"},
      {"{\"resample\": 1}", "Lanczos"},
      {"{\"resample\": 77}", "resample: 77"},
      {"{\"resample\": \"bicubic\"}", "resample: expected an integer"},
      {"{\"image_mean\": [1, 2], \"image_std\": 1}", "image_mean: has 2 numbers"},
      {"{\"image_mean\": [1, 2, \"x\"], \"image_std\": 1}", "image_mean: expected"},
      {"{\"image_mean\": 1, \"image_std\": [1, 0, 1]}", "image_std: expected numbers above 0"},
      {"{\"image_mean\": 1, \"image_std\": [1, 1e300, 1]}", "image_std"},
      {"{\"image_mean\": 1}", "image_std: missing"},
      {"{\"rescale_factor\": 0}", "rescale_factor"},
      {"{\"do_resize\": 1}", "do_resize: expected true or false"},
      {"{\"do_resize\": true}", "size: missing"},
      {"{\"do_center_crop\": true}", "crop_size"},
      {"{\"do_pad\": true}", "do_pad"},
      {"{\"image_processor_type\": \"LevitImageProcessor\"}", "'LevitImageProcessor' is not known"},
      {"{\"image_processor_type\": 3}", "image_processor_type: expected a string"},
      {"{\"image_processor_type\": \"ConvNextImageProcessor\", \"crop_pct\": 0}", "crop_pct"},
      {"{\"image_processor_type\": \"ConvNextImageProcessor\", \"size\": 9, \"crop_pct\": null}",
       "crop_pct: null"},
      {"{\"image_processor_type\": \"ConvNextImageProcessor\", \"size\": 9, \"default_to_square\": true}",
       "shortest_edge"},
      {"{\"image_processor_type\": \"ViTImageProcessor\", \"size\": null}", "size: null"},
      {"{\"image_processor_type\": \"ViTImageProcessor\", \"resample\": null}", "resample: null"},
      {"{\"image_processor_type\": \"ViTImageProcessor\", \"rescale_factor\": null}", "rescale_factor: null"},
      {"{\"image_processor_type\": \"ViTImageProcessor\", \"image_std\": null}", "image_std: missing"},
      {"{\"image_processor_type\": \"BitImageProcessor\", \"crop_size\": null}", "crop_size"},
      {"{\"image_processor_type\": \"CLIPImageProcessor\", \"use_square_size\": true}",
       "use_square_size: this step"},
      {"{\"image_processor_type\": \"ViTImageProcessor\", \"do_flip_channel_order\": true}",
       "do_flip_channel_order"},
      {"{\"image_processor_type\": \"ConvNextImageProcessor\", \"size\": 9, \"crop_pct\": 1e-9}", "crop_pct"},
      {"{\"image_processor_type\": \"ConvNextImageProcessor\", \"size\": [9, 9]}", "shortest_edge"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ld_value *config = parse(cases[i][0]);
    ld_image_rule rule;
    ld_error err = {0};
    const int rc = ld_image_rule_read(config, "p.json", NULL, 3, 224, &rule, &err);
    cr_assert(rc == LD_EFORMAT || rc == LD_EUNSUPPORTED, "%s", cases[i][0]);
    cr_assert(strstr(err.text, "p.json: ") && strstr(err.text, cases[i][1]), "%s: %s", cases[i][0], err.text);
    ld_value_free(config);
  }
}
