/* Any bytes as an HDF5 image set: opening, indexing in parts, and reading every image must neither crash nor
 * disagree. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/data_forms.h"
#include "io/dataset/dataset.h"
#include "scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);
const char *__asan_default_options(void);

/* HDF5 leaks memory on damaged metadata. */
const char *__lsan_default_suppressions(void) {
  return "leak:libhdf5";
}

/* It asks for memory of any size that a damaged file states, and does not check the result. */
const char *__asan_default_options(void) {
  return "allocator_may_return_null=1";
}

enum { PARTS = 2, MOST_READ = 64 };

static void check_parts(const ld_dataset *dataset, size_t n, size_t n_skipped) {
  ld_error err = {0};
  for (int i = 0; i < PARTS; i++) {
    ld_index part;
    if (ld_dataset_index(dataset, i, PARTS, &part, &err)) abort();
    n -= part.n;
    n_skipped -= part.n_skipped;
    ld_index_free(&part);
  }
  if (n || n_skipped) abort();
}

static void read_all(const ld_dataset *dataset, const ld_index *index, const ld_image_rule *rule) {
  ld_sample sample = {0};
  ld_error err = {0};
  for (size_t i = 0; i < index->n && i < MOST_READ; i++) {
    if (ld_dataset_read(dataset, &index->records[i], &sample, &err)) {
      if (!err.text[0]) abort();
      continue;
    }
    if (sample.image.height != rule->height || sample.image.channels != rule->channels) abort();
  }
  ld_sample_free(&sample);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const ld_image_rule rule = {.resize_height = 4, .resize_width = 4, .height = 4, .width = 4, .channels = 3};
  const ld_dataset_options options = {.forms = of_images, .image_rule = &rule, .eos = -1};
  ld_error err = {0};
  ld_dataset *dataset;
  ld_index index = {0};
  char path[128];
  if (!size) return 0;
  scratch_write("images.h5", data, size, path);
  int rc = ld_dataset_open(path, &options, &dataset, &err);
  if (!rc) rc = ld_dataset_index(dataset, 0, 1, &index, &err);
  if (!rc) {
    check_parts(dataset, index.n, index.n_skipped);
    read_all(dataset, &index, &rule);
    ld_digests *digests = ld_digests_create("host", 1);
    char digest[LD_DIGEST_TEXT + 1];
    if (ld_source_digest(ld_dataset_source(dataset), digests, digest, &err)) abort();
    ld_digests_free(digests);
  } else if (!err.text[0]) {
    abort();
  }
  ld_index_free(&index);
  ld_dataset_close(dataset);
  return 0;
}
