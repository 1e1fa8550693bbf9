#include "data_digest.h"
#include "data_forms.h"
#include "scratch.h"

#include "io/dataset/dataset.h"
#include "io/hub/safetensors.h"
#include "io/image/convert.h"
#include "io/image/hdf5.h"
#include "io/image/list.h"

#define IMAGES LD_TESTS_DIR "/golden/images/"

static ld_dataset_options options(void) {
  return (ld_dataset_options){.forms = of_images, .image_rule = &image_rule, .strict = true, .eos = -1};
}

static ld_dataset *open_data(const char *path) {
  ld_dataset *dataset;
  ld_error err = {0};
  const ld_dataset_options o = options();
  cr_assert_eq(ld_dataset_open(path, &o, &dataset, &err), 0, "%s", err.text);
  cr_assert_eq(ld_dataset_form(dataset), &ld_form_image);
  return dataset;
}

static void fails_to_open(const char *path, const char *why) {
  ld_dataset *dataset;
  ld_error err = {0};
  const ld_dataset_options o = options();
  const int rc = ld_dataset_open(path, &o, &dataset, &err);
  cr_assert(rc == LD_EFORMAT || rc == LD_EFILE, "%s", path);
  cr_assert(!dataset && strstr(err.text, path) && strstr(err.text, why), "%s: %s", path, err.text);
}

static void copy(const char *image, const char *folder, const char *name) {
  size_t length;
  char *path = ld_path_join(IMAGES, image), *bytes = scratch_read(path, &length);
  free(scratch_file(folder, name, bytes, length));
  free(bytes);
  free(path);
}

static void make(const char *folder, const char *name) {
  char *path = ld_path_join(folder, name);
  ld_error err = {0};
  cr_assert_eq(ld_make_folders(path, &err), 0, "%s", err.text);
  free(path);
}

static char *class_folders(void) {
  char *folder = scratch_new();
  make(folder, "b/a/z");
  make(folder, "b/a-x");
  make(folder, "B");
  make(folder, ".hidden");
  copy("rgb8.png", folder, "b/2.PNG");
  copy("rgb_alpha8.png", folder, "b/1.png");
  copy("grey8.png", folder, "b/a/z/0.png");
  copy("palette8.png", folder, "b/a-x/0.png");
  copy("jpeg_420.jpg", folder, "B/k.JPeG");
  copy("jpeg_grey.jpg", folder, "B/k.jpg");
  copy("jpeg_grey.jpg", folder, ".hidden/k.jpg");
  copy("jpeg_grey.jpg", folder, "loose.jpg");
  scratch_text(folder, "b/notes.txt", "no image");
  scratch_text(folder, "b/.1.png", "no image");
  return folder;
}

/* The label's name and the sum of the pixels, to identify an image. */
static long read_sum(const ld_dataset *dataset, uint64_t i, ld_sample *sample) {
  ld_error err = {0};
  const ld_record record = {.offset = i, .bytes = 1};
  cr_assert_eq(ld_dataset_read(dataset, &record, sample, &err), 0, "%s", err.text);
  const ld_image *image = &sample->image;
  cr_assert(image->height == 9 && image->width == 11 && image->channels == 3);
  long sum = 0;
  for (int k = 0; k < 9 * 11 * 3; k++) sum += image->pixels[k] * (k % 17 + 1);
  return sum;
}

static long golden_sum(const char *image) {
  char *path = ld_path_join(IMAGES, image);
  ld_dataset *dataset = open_data(path);
  ld_sample sample = {0};
  const long sum = read_sum(dataset, 0, &sample);
  cr_assert_eq(sample.label_kind, LD_LABEL_NONE);
  ld_sample_free(&sample);
  ld_dataset_close(dataset);
  free(path);
  return sum;
}

Test(image_data, class_folders_in_torchvisions_order) {
  static const char *const order[][2] = {{"B", "jpeg_420.jpg"},   {"B", "jpeg_grey.jpg"},
                                         {"b", "rgb_alpha8.png"}, {"b", "rgb8.png"},
                                         {"b", "palette8.png"},   {"b", "grey8.png"}};
  char *folder = class_folders();
  ld_dataset *dataset = open_data(folder);
  ld_index index;
  ld_error err = {0};
  ld_sample sample = {0};
  cr_assert_eq(ld_dataset_index(dataset, 0, 1, &index, &err), 0, "%s", err.text);
  cr_assert_eq(index.n, 6);
  ld_index_free(&index);
  for (int i = 5; i >= 0; i--) {
    cr_assert_eq(read_sum(dataset, (uint64_t)i, &sample), golden_sum(order[i][1]), "%d", i);
    cr_assert_eq(sample.label_kind, LD_LABEL_NAME);
    cr_assert_str_eq(sample.label_name.bytes, order[i][0]);
  }
  ld_sample_free(&sample);
  ld_dataset_close(dataset);
  scratch_end(folder);
}

Test(image_data, a_folder_of_images_has_no_labels) {
  char *folder = scratch_new();
  fails_to_open(folder, "no PNG, JPEG or WebP files");
  copy("rgb8.png", folder, "b.png");
  copy("jpeg_420.jpg", folder, "a.jpg");
  ld_dataset *dataset = open_data(folder);
  ld_sample sample = {0};
  cr_assert_eq(read_sum(dataset, 1, &sample), golden_sum("rgb8.png"));
  cr_assert_eq(sample.label_kind, LD_LABEL_NONE);
  char before[LD_DIGEST_TEXT + 1], after[LD_DIGEST_TEXT + 1], old[17], old_after[17];
  data_digest(dataset, before);
  ld_source_old_digest(ld_dataset_source(dataset), old);
  ld_dataset_close(dataset);
  copy("rgb8_interlaced.png", folder, "b.png");
  dataset = open_data(folder);
  data_digest(dataset, after);
  ld_source_old_digest(ld_dataset_source(dataset), old_after);
  cr_assert_str_neq(before, after);
  cr_assert_str_neq(old, old_after);
  ld_dataset_close(dataset);
  make(folder, "empty class");
  fails_to_open(folder, "empty class: this class has no");
  ld_sample_free(&sample);
  scratch_end(folder);
}

Test(image_data, other_files_are_counted) {
  char *folder = class_folders();
  scratch_text(folder, "b/1.gif", "");
  scratch_text(folder, "b/2.GIF", "");
  scratch_text(folder, "b/notes", "");
  scratch_text(folder, "B/.DS_Store", "");
  scratch_text(folder, "c.png", "");
  ld_image_list list;
  ld_text text = {0};
  ld_error err = {0};
  cr_assert_eq(ld_image_list_read(folder, &list, &err), 0, "%s", err.text);
  ld_tally_list(&list.others, "", &text);
  cr_assert(strstr(text.bytes, ".gif (2)") && strstr(text.bytes, "no ending (1)"), "%s", text.bytes);
  cr_assert(strstr(text.bytes, ".png beside the class folders (1)"), "%s", text.bytes);
  cr_assert(strstr(text.bytes, "hidden ("), "%s", text.bytes);
  ld_image_list_free(&list);
  ld_text_free(&text);
  scratch_end(folder);
}

Test(image_data, splits_are_no_classes) {
  static const char *const folders[][3] = {
      {"train", "valid", "x"}, {"TRAIN", "test", NULL}, {"val", NULL, NULL}};
  for (size_t i = 0; i < 3; i++) {
    char *folder = scratch_new();
    for (size_t k = 0; k < 3 && folders[i][k]; k++) {
      char *file = ld_format("%s.png", folders[i][k]), *class = ld_path_join(folder, folders[i][k]);
      make(folder, folders[i][k]);
      copy("rgb8.png", class, file);
      free(class);
      free(file);
    }
    fails_to_open(folder, "is a split of a data set, not a class");
    ld_dataset_options o = options();
    ld_dataset *dataset;
    o.unlabelled = true;
    cr_assert_eq(ld_dataset_open(folder, &o, &dataset, NULL), 0);
    ld_dataset_close(dataset);
    scratch_end(folder);
  }
}

Test(image_data, turned_images_are_counted) {
  char *folder = scratch_new();
  ld_index index;
  ld_error err = {0};
  copy("turned_6.jpg", folder, "a.jpg");
  copy("turned_1.jpg", folder, "b.jpg");
  copy("turned_png_exif.png", folder, "c.png");
  ld_dataset *dataset = open_data(folder);
  cr_assert_eq(ld_dataset_index(dataset, 0, 1, &index, &err), 0, "%s", err.text);
  cr_assert(index.n == 3 && index.n_turned == 2);
  ld_index_free(&index);
  ld_dataset_close(dataset);
  scratch_end(folder);
}

Test(image_data, a_link_to_a_folder_above_ends) {
  char *folder = class_folders(), *link = ld_path_join(folder, "b/up");
  cr_assert_eq(symlink("..", link), 0);
  fails_to_open(folder, "link");
  free(link);
  scratch_end(folder);
}

Test(image_data, an_image_that_is_changed_later_is_refused) {
  char *folder = class_folders();
  const ld_dataset_options o = options();
  ld_dataset *dataset;
  ld_index index;
  ld_sample sample = {0};
  ld_error err = {0};
  cr_assert_eq(ld_dataset_open(folder, &o, &dataset, &err), 0, "%s", err.text);
  cr_assert_eq(ld_dataset_index(dataset, 0, 1, &index, &err), 0, "%s", err.text);
  copy("palette8.png", folder, "b/2.PNG");
  copy("rgb_alpha8.png", folder, "b/1.png"); /* the same bytes again */
  for (size_t i = 0; i < index.n; i++) {
    const char *name = ld_source_name(ld_dataset_source(dataset), index.records[i].offset);
    const int rc = ld_dataset_read(dataset, &index.records[i], &sample, &err);
    cr_assert_eq(rc, strcmp(name, "b/2.PNG") ? 0 : LD_EMISMATCH, "%s: %s", name, err.text);
  }
  cr_assert(strstr(err.text, "b/2.PNG: was changed while it was in use"), "%s", err.text);
  ld_sample_free(&sample);
  ld_index_free(&index);
  ld_dataset_close(dataset);
  scratch_end(folder);
}

Test(image_data, broken_images_are_counted_or_refused) {
  char *folder = class_folders();
  ld_dataset_options o = options();
  ld_dataset *dataset;
  ld_index index;
  ld_error err = {0};
  scratch_text(folder, "b/0.png", "no image");
  cr_assert_eq(ld_dataset_open(folder, &o, &dataset, &err), 0, "%s", err.text);
  cr_assert_eq(ld_dataset_index(dataset, 0, 1, &index, &err), LD_EFORMAT);
  cr_assert(strstr(err.text, "b/0.png"), "%s", err.text);
  ld_dataset_close(dataset);
  o.strict = false;
  cr_assert_eq(ld_dataset_open(folder, &o, &dataset, &err), 0, "%s", err.text);
  cr_assert_eq(ld_dataset_index(dataset, 0, 1, &index, &err), 0, "%s", err.text);
  cr_assert(index.n == 6 && index.n_skipped == 1 && strstr(index.first_skipped.text, "b/0.png"));
  ld_index_free(&index);
  ld_dataset_close(dataset);
  scratch_end(folder);
}

/* Recorded by make_images.py. */
static ld_safetensors *expected(void) {
  ld_safetensors *file;
  ld_error err = {0};
  cr_assert_eq(ld_safetensors_open(IMAGES "expected.safetensors", &file, &err), 0, "%s", err.text);
  return file;
}

static ld_image_store *open_store(const char *path) {
  ld_image_store *store;
  ld_error err = {0};
  size_t length;
  free(scratch_read(path, &length));
  cr_assert_eq(ld_image_store_open(path, length, true, &store, &err), 0, "%s", err.text);
  return store;
}

Test(image_data, hdf5_by_h5py) {
  ld_safetensors *file = expected();
  const uint8_t *want = ld_safetensors_find(file, "h5.images")->data;
  ld_error err = {0};
  ld_image image = {0};
  ld_image_store *store = open_store(IMAGES "good.h5");
  cr_assert_eq(ld_image_store_count(store), 5);
  for (int i = 4; i >= 0; i--) {
    cr_assert_eq(ld_image_store_read(store, i, &image, &err), 0, "%s", err.text);
    cr_assert(image.height == 6 && image.width == 7 && image.channels == 3);
    cr_assert_eq(memcmp(image.pixels, want + i * 126, 126), 0);
    cr_assert_eq(ld_image_store_label(store, i), "\2\0\1\1\3"[i]);
  }
  ld_image_store_close(store);
  store = open_store(IMAGES "plain.h5");
  cr_assert_eq(ld_image_store_read(store, 3, &image, &err), 0, "%s", err.text);
  cr_assert(image.channels == 1 && image.pixels[41] == want[3 * 126 + 41 * 3]);
  cr_assert_eq(ld_image_store_label(store, 3), -1);
  ld_image_store_close(store);
  ld_image_free(&image);
  ld_safetensors_close(file);
}

/* The file chunks.h5 with other chunk lengths in the index, a B-tree whose keys begin with them; returns its
 * path. */
static char *with_lengths(const char *folder, const uint32_t *lengths) {
  enum { HEADER = 24, STEP = 4 + 4 + 5 * 8 + 8 };
  size_t length;
  char *bytes = scratch_read(IMAGES "chunks.h5", &length), *tree = memmem(bytes, length, "TREE\1", 5);
  cr_assert(tree);
  for (int i = 0; i < 5; i++) {
    cr_assert_eq(tree[HEADER + i * STEP], 126);
    memcpy(tree + HEADER + i * STEP, &lengths[i], sizeof *lengths);
  }
  char *path = scratch_file(folder, "chunks.h5", bytes, length);
  free(bytes);
  return path;
}

/* A chunk without filters is as long as its shape says, whatever the index says: nothing is read or written
 * beyond. */
Test(image_data, hdf5_whose_index_has_other_lengths) {
  static const uint32_t cases[][5] = {
      {126, 126, 126, 126, 126}, {126, 1000, 126, 126, 126}, {0, 1, 126, 125, 378}, {1000, 0, 0, 0, 0}};
  ld_safetensors *file = expected();
  const uint8_t *want = ld_safetensors_find(file, "h5.images")->data;
  ld_error err = {0};
  ld_image image = {0};
  for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
    char *folder = scratch_new(), *path = with_lengths(folder, cases[k]);
    ld_image_store *store = open_store(path);
    for (int i = 0; i < 5; i++) {
      cr_assert_eq(ld_image_store_read(store, i, &image, &err), 0, "%s", err.text);
      cr_assert_eq(memcmp(image.pixels, want + i * 126, 126), 0, "case %zu, image %d", k, i);
    }
    ld_image_store_close(store);
    free(path);
    scratch_end(folder);
  }
  ld_image_free(&image);
  ld_safetensors_close(file);
}

Test(image_data, hdf5_as_a_dataset) {
  ld_dataset *dataset = open_data(IMAGES "good.h5");
  ld_index index;
  ld_error err = {0};
  ld_sample sample = {0};
  for (int n_parts = 1, joined = 0; n_parts <= 7; n_parts++, joined = 0) {
    for (int part = 0; part < n_parts; part++) {
      cr_assert_eq(ld_dataset_index(dataset, part, n_parts, &index, &err), 0, "%s", err.text);
      for (size_t i = 0; i < index.n; i++) {
        cr_assert_eq(index.records[i].offset, (uint64_t)joined);
        cr_assert_eq(index.records[i].label, "\2\0\1\1\3"[joined++]);
      }
      ld_index_free(&index);
    }
    cr_assert_eq(joined, 5);
  }
  read_sum(dataset, 4, &sample);
  cr_assert(sample.label_kind == LD_LABEL_INTEGER && sample.label_value == 3);
  char digest[LD_DIGEST_TEXT + 1];
  data_digest(dataset, digest);
  ld_sample_free(&sample);
  ld_dataset_close(dataset);
}

/* As many images as in a real data set, one chunk each: a look-up must not walk through all of them. */
Test(image_data, hdf5_of_many_chunks, .timeout = 30) {
  enum { N = 60000, SIDE = 4, HEADER = 16 };
  static uint8_t idx[HEADER + N * SIDE * SIDE] = {0, 0, 8, 3,    0, 0, N >> 8, N & 255,
                                                  0, 0, 0, SIDE, 0, 0, 0,      SIDE};
  for (size_t i = HEADER; i < sizeof idx; i++) idx[i] = (uint8_t)(i * 7 / 5);
  char *folder = scratch_new(),
       *from = scratch_file(folder, "images.idx3-ubyte", (const char *)idx, sizeof idx);
  char *path = ld_path_join(folder, "images.h5");
  ld_converted converted;
  ld_error err = {0};
  ld_sample sample = {0};
  cr_assert_eq(ld_image_convert(from, NULL, path, &converted, &err), 0, "%s", err.text);
  ld_dataset *dataset = open_data(path);
  read_sum(dataset, N - 1, &sample);
  ld_sample_free(&sample);
  ld_dataset_close(dataset);
  free(path);
  free(from);
  scratch_end(folder);
}

/* However h5py writes the names of classes. */
Test(image_data, hdf5_names) {
  static const char *const cases[] = {"names_list.h5", "names_objects.h5",    "names_ascii.h5",
                                      "names_json.h5", "names_json_fixed.h5", "names_more.h5"};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char *path = ld_path_join(IMAGES, cases[i]);
    ld_dataset *dataset = open_data(path);
    ld_index index;
    ld_error err = {0};
    cr_assert_eq(ld_dataset_index(dataset, 0, 1, &index, &err), 0, "%s", err.text);
    cr_assert(index.n == 5 && index.labels.kind == LD_LABEL_NAME && index.labels.n_names == 4, "%s", path);
    for (size_t k = 0; k < 5; k++)
      cr_assert_eq(index.labels.names[index.records[k].label][0], "cabbd"[k], "%s", path);
    ld_index_free(&index);
    ld_dataset_close(dataset);
    free(path);
  }
}

Test(image_data, hdf5_refuses) {
  static const char *const cases[][2] = {
      {"no_images.h5", "expected a dataset 'images'"},
      {"float_images.h5", "uint8"},
      {"channels_first.h5", "(5, 3, 6, 7)"},
      {"flat.h5", "2 dimensions"},
      {"few_labels.h5", "each of the 5"},
      {"float_labels.h5", "integers"},
      {"negative_label.h5", "image 1"},
      {"large_label.h5", "out of range"},
      {"same_names.h5", "\"rose\" twice"},
      {"lzf.h5", "stored in a way"},
      {"sparse.h5", "claims more"},
      {"linked.h5", "'images' is a link"},
      {"newer.h5", "libver='earliest'"},
      {"virtual.h5", "stored in a way"},
      {"external.h5", "stored in a way"},
      {"names_few.h5", "3 names, but image 4 has label 3"},
      {"names_one.h5", "'names' of 'labels' is one text"},
      {"names_object.h5", "'names' of 'labels' is one text"},
      {"names_numbers.h5", "'names' of 'labels' must be a list"},
      {"names_square.h5", "'names' of 'labels' must be a list"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char *path = ld_path_join(IMAGES, cases[i][0]);
    fails_to_open(path, cases[i][1]);
    free(path);
  }
}

/* Truncated or changed anywhere, the file gives an error or other pixels, and nothing else. */
Test(image_data, hdf5_that_is_damaged) {
  size_t length;
  char *folder = scratch_new(), *bytes = scratch_read(IMAGES "good.h5", &length);
  for (size_t cut = 0; cut < length; cut += 97) {
    char *path = scratch_file(folder, "cut.h5", bytes, cut);
    fails_to_open(path, cut ? "HDF5" : "cut.h5");
    free(path);
  }
  free(bytes);
  scratch_end(folder);
}
