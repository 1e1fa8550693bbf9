#include "scratch.h"

#include <zlib.h>

#include "io/image/convert.h"
#include "io/image/decode.h"
#include "io/image/hdf5.h"

#define IMAGES LD_TESTS_DIR "/golden/images/"

typedef struct scene {
  char *folder, *out;
  ld_converted converted;
  ld_image_store *store;
  ld_image image;
} scene;

static scene begin(void) {
  scene s = {.folder = scratch_new()};
  s.out = ld_path_join(s.folder, "out.h5");
  return s;
}

static void end(scene *s) {
  ld_image_store_close(s->store);
  ld_image_free(&s->image);
  free(s->out);
  scratch_end(s->folder);
}

static char *in(const scene *s, const char *name) {
  return ld_path_join(s->folder, name);
}

static void convert(scene *s, const char *name, const char *labels) {
  char *data = in(s, name), *labels_path = labels ? in(s, labels) : NULL;
  ld_error err = {0};
  size_t length;
  cr_assert_eq(ld_image_convert(data, labels_path, s->out, &s->converted, &err), 0, "%s", err.text);
  free(scratch_read(s->out, &length));
  ld_image_store_close(s->store);
  cr_assert_eq(ld_image_store_open(s->out, length, true, &s->store, &err), 0, "%s", err.text);
  cr_assert_eq(ld_image_store_count(s->store), s->converted.n);
  free(labels_path);
  free(data);
}

static void refuses(scene *s, const char *name, const char *labels, const char *why) {
  char *data = in(s, name), *labels_path = labels ? in(s, labels) : NULL;
  ld_error err = {0};
  cr_assert_lt(ld_image_convert(data, labels_path, s->out, &s->converted, &err), 0, "%s", name);
  cr_assert(strstr(err.text, s->folder) && strstr(err.text, why), "%s: %s", name, err.text);
  cr_assert_not(ld_file_exists(s->out));
  size_t n;
  char **names = ld_folder_names(s->folder, &n, &err);
  for (size_t i = 0; i < n; i++) cr_assert_not(strstr(names[i], ".tmp."), "%s", names[i]);
  ld_names_free(names, n);
  free(labels_path);
  free(data);
}

static void image_at(scene *s, int64_t i) {
  ld_error err = {0};
  cr_assert_eq(ld_image_store_read(s->store, i, &s->image, &err), 0, "%s", err.text);
}

/* Records whose pixel p of colour k is (label + 3 p + 50 k) mod 256. */
static void put_cifar(const scene *s, const char *name, const char *labels, size_t n, size_t label_bytes) {
  const size_t record = 3072 + label_bytes;
  uint8_t *bytes = ld_alloc(n + 1, record);
  for (size_t i = 0; i < n; i++) {
    memcpy(bytes + i * record, labels + i * label_bytes, label_bytes);
    for (size_t p = 0; p < 3072; p++)
      bytes[i * record + label_bytes + p] =
          (uint8_t)(labels[(i + 1) * label_bytes - 1] + 3 * (p % 1024) + 50 * (p / 1024));
  }
  free(scratch_file(s->folder, name, bytes, n * record));
  free(bytes);
}

static void check_cifar(scene *s, int64_t i, int label) {
  image_at(s, i);
  cr_assert(s->image.height == 32 && s->image.width == 32 && s->image.channels == 3);
  cr_assert_eq(ld_image_store_label(s->store, i), label);
  for (int p = 0; p < 3072; p++)
    cr_assert_eq(s->image.pixels[p], (uint8_t)(label + 3 * (p / 3) + 50 * (p % 3)), "%d", p);
}

Test(image_convert, cifar) {
  scene s = begin();
  put_cifar(&s, "one.bin", "\3\7\0", 3, 1);
  convert(&s, "one.bin", NULL);
  cr_assert(s.converted.n == 3 && s.converted.labelled && !strcmp(s.converted.form, "CIFAR-10"));
  check_cifar(&s, 0, 3);
  check_cifar(&s, 2, 0);
  put_cifar(&s, "fine.bin", "\x13\x63\0\2", 2, 2);
  convert(&s, "fine.bin", NULL);
  cr_assert_str_eq(s.converted.form, "CIFAR-100");
  check_cifar(&s, 0, 99);
  check_cifar(&s, 1, 2);
  end(&s);
}

Test(image_convert, cifar_batches_with_names) {
  scene s = begin();
  put_cifar(&s, "data_batch_2.bin", "\5", 1, 1);
  put_cifar(&s, "data_batch_1.bin", "\1\2", 2, 1);
  put_cifar(&s, "test_batch.bin", "\4", 1, 1);
  scratch_text(s.folder, "batches.meta.txt", "airplane\r\nautomobile\n\nbird");
  refuses(&s, "", NULL, "batches.meta.txt: has 3 names, but there are 10 classes");
  scratch_text(s.folder, "batches.meta.txt",
               "airplane\r\nautomobile\n\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n");
  convert(&s, "", NULL);
  cr_assert_eq(s.converted.n, 3);
  check_cifar(&s, 1, 2);
  check_cifar(&s, 2, 5);
  size_t length;
  char *bytes = scratch_read(s.out, &length);
  cr_assert(memmem(bytes, length, "airplane\0\0\0automobile\0bird", 26));
  cr_assert(memmem(bytes, length, "data_batch_1.bin, data_batch_2.bin", 35));
  free(bytes);
  end(&s);
}

Test(image_convert, cifar_refuses) {
  scene s = begin();
  put_cifar(&s, "bad_label.bin", "\3\x0a", 2, 1);
  refuses(&s, "bad_label.bin", NULL, "not a known set of images");
  put_cifar(&s, "empty.bin", "", 0, 1);
  refuses(&s, "empty.bin", NULL, "not a known set of images");
  scratch_text(s.folder, "short.bin", "too short");
  refuses(&s, "short.bin", NULL, "not a known set of images");
  refuses(&s, "absent.bin", NULL, "cannot open");
  put_cifar(&s, "good.bin", "\3", 1, 1);
  refuses(&s, "good.bin", "labels", "leave the labels' file out");
  ld_error err = {0};
  char *mixed = in(&s, "mixed");
  cr_assert_eq(ld_make_folders(mixed, &err), 0);
  put_cifar(&s, "mixed/data_batch_1.bin", "\3", 1, 1);
  put_cifar(&s, "mixed/data_batch_2.bin", "\3\7", 1, 2);
  refuses(&s, "mixed", NULL, "another kind");
  free(mixed);
  end(&s);
}

static void put_packed(const scene *s, const char *name, const void *bytes, size_t length) {
  char *path = in(s, name);
  gzFile file = gzopen(path, "wb");
  cr_assert(file && gzwrite(file, bytes, (unsigned)length) == (int)length && gzclose(file) == Z_OK);
  free(path);
}

#define IDX_IMAGES "\0\0\10\3\0\0\0\3\0\0\0\2\0\0\0\2abcdefghijkl"
#define IDX_LABELS "\0\0\10\1\0\0\0\3\7\0\2"

Test(image_convert, idx) {
  scene s = begin();
  free(scratch_file(s.folder, "t-images-idx3-ubyte", IDX_IMAGES, 28));
  convert(&s, "t-images-idx3-ubyte", NULL);
  cr_assert(s.converted.n == 3 && !s.converted.labelled && s.converted.channels == 1);
  cr_assert_eq(ld_image_store_label(s.store, 0), -1);
  put_packed(&s, "t-labels-idx1-ubyte.gz", IDX_LABELS, 11);
  convert(&s, "t-images-idx3-ubyte", NULL);
  image_at(&s, 2);
  cr_assert(s.image.height == 2 && s.image.width == 2 && s.image.channels == 1);
  cr_assert_eq(memcmp(s.image.pixels, "ijkl", 4), 0);
  cr_assert(ld_image_store_label(s.store, 0) == 7 && ld_image_store_label(s.store, 2) == 2);
  put_packed(&s, "images.gz", IDX_IMAGES, 28);
  convert(&s, "images.gz", "t-labels-idx1-ubyte.gz");
  cr_assert(s.converted.labelled && ld_image_store_label(s.store, 1) == 0);
  end(&s);
}

Test(image_convert, idx_refuses) {
  scene s = begin();
  free(scratch_file(s.folder, "good", IDX_IMAGES, 28));
  free(scratch_file(s.folder, "cut", IDX_IMAGES, 27));
  refuses(&s, "cut", NULL, "cut off");
  free(scratch_file(s.folder, "long", IDX_IMAGES "m", 29));
  refuses(&s, "long", NULL, "longer than its header says");
  free(scratch_file(s.folder, "none", "\0\0\10\3\0\0\0\0\0\0\0\2\0\0\0\2", 16));
  refuses(&s, "none", NULL, "holds nothing");
  free(scratch_file(s.folder, "huge", "\0\0\10\3\x7f\xff\xff\xff\x7f\xff\xff\xff\x7f\xff\xff\xff", 16));
  refuses(&s, "huge", NULL, "cut off");
  free(scratch_file(s.folder, "head", "\0\0\10\3\0\0\0\1\0\0", 10));
  refuses(&s, "head", NULL, "not a known set of images");
  free(scratch_file(s.folder, "ints", "\0\0\14\3\0\0\0\3\0\0\0\2\0\0\0\2abcdefghijkl", 28));
  refuses(&s, "ints", NULL, "not a known set of images");
  free(scratch_file(s.folder, "few", "\0\0\10\1\0\0\0\2\7\0", 10));
  refuses(&s, "good", "few", "has 2 labels, but there are 3 images");
  refuses(&s, "good", "good", "not an IDX file of labels");
  refuses(&s, "good", "absent", "cannot open");
  put_packed(&s, "packed", IDX_IMAGES, 28);
  char *path = in(&s, "packed");
  size_t length;
  char *bytes = scratch_read(path, &length);
  free(scratch_file(s.folder, "packed_cut", bytes, length - 5));
  refuses(&s, "packed_cut", NULL, "cut off");
  bytes[length - 6] ^= 1;
  free(scratch_file(s.folder, "packed_changed", bytes, length));
  refuses(&s, "packed_changed", NULL, "damaged");
  free(bytes);
  free(path);
  end(&s);
}

static void copy(const scene *s, const char *image, const char *name) {
  size_t length;
  char *path = ld_path_join(IMAGES, image), *bytes = scratch_read(path, &length);
  free(scratch_file(s->folder, name, bytes, length));
  free(bytes);
  free(path);
}

Test(image_convert, class_folders) {
  scene s = begin();
  ld_error err = {0};
  char *a = in(&s, "set/cats"), *b = in(&s, "set/dogs");
  cr_assert_eq(ld_make_folders(a, &err), 0);
  cr_assert_eq(ld_make_folders(b, &err), 0);
  copy(&s, "rgb8.png", "set/dogs/1.png");
  copy(&s, "rgb_alpha8.png", "set/cats/1.png");
  convert(&s, "set", NULL);
  cr_assert(s.converted.n == 2 && s.converted.height == 9 && s.converted.width == 11 &&
            s.converted.channels == 3);
  ld_image want = {0};
  cr_assert_eq(ld_image_read(IMAGES "rgb8.png", &want, &err), 0);
  image_at(&s, 1);
  cr_assert_eq(memcmp(s.image.pixels, want.pixels, 9 * 11 * 3), 0);
  cr_assert(ld_image_store_label(s.store, 0) == 0 && ld_image_store_label(s.store, 1) == 1);
  cr_assert_eq(remove(s.out), 0);
  copy(&s, "grey8.png", "set/dogs/2.png");
  refuses(&s, "set", NULL, "dogs/2.png");
  copy(&s, "jpeg_420.jpg", "set/dogs/2.png");
  refuses(&s, "set", NULL, "give all images one size");
  scratch_text(s.folder, "set/dogs/2.png", "broken");
  refuses(&s, "set", NULL, "neither PNG nor JPEG");
  ld_image_free(&want);
  free(a);
  free(b);
  end(&s);
}
