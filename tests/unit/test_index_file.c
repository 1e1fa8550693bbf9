/* An index as a file: what is written is read again, and every kind of damage is detected. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "io/dataset/index_file.h"
#include "io/file.h"
#include "scratch.h"

static const char key[] = "program 1\ndata 2:0123456789abcdef\n";

/* Three records with two names. */
static ld_index example(void) {
  ld_index index = {
      .n_empty = 2, .n_turned = 1, .n_skipped = 1, .first_skipped = {LD_EFORMAT, "b.png: is broken"}};
  index.labels = (ld_labels){.kind = LD_LABEL_NAME, .names = ld_alloc(2, sizeof(char *)), .n_names = 2};
  index.labels.names[0] = ld_strdup("sea");
  index.labels.names[1] = ld_strdup("weather");
  ld_tally_add(&index.unused, "id", 3);
  index.n = 3;
  index.records = ld_alloc(3, sizeof *index.records);
  for (int i = 0; i < 3; i++)
    index.records[i] = (ld_record){.offset = 10 * (uint64_t)i,
                                   .bytes = 10,
                                   .n_tokens = 5 + i,
                                   .n_targets = 1,
                                   .label = i - 1,
                                   .value = NAN};
  return index;
}

static char *folder, *path;

static void begin(void) {
  folder = scratch_new();
  path = ld_index_file_path(folder, key);
}

static void end(void) {
  free(path);
  scratch_end(folder);
}

TestSuite(index_file, .init = begin, .fini = end);

static void put(const char *bytes, size_t n) {
  FILE *file = fopen(path, "wb");
  cr_assert(file && fwrite(bytes, 1, n, file) == n && fclose(file) == 0);
}

static void write_example(uint64_t *seal) {
  ld_index index = example();
  ld_error err = {0};
  cr_assert(ld_index_file_write(path, key, &index, seal, &err) == 0, "%s", err.text);
  ld_index_free(&index);
}

Test(index_file, gives_back_what_was_written) {
  uint64_t seal, found;
  write_example(&seal);
  ld_index index, want = example();
  ld_error err = {0};
  cr_assert(ld_index_file_open(path, key, 2, &index, &found, &err) == 0, "%s", err.text);
  cr_assert(found == seal && index.n == 3 && index.n_empty == 2 && index.n_turned == 1 &&
            index.n_skipped == 1);
  cr_assert(memcmp(index.records, want.records, 3 * sizeof *want.records) == 0);
  cr_assert_str_eq(index.first_skipped.text, "b.png: is broken");
  cr_assert(index.labels.n_names == 2 && !strcmp(index.labels.names[1], "weather") && index.unused.n == 1);
  index.records[0].label = 1; /* this process's own */
  ld_index other;
  cr_assert(ld_index_file_map(path, seal, &other, &err) == 0 && other.records[0].label == -1);
  ld_index_free(&other);
  cr_assert(ld_index_file_map(path, seal + 1, &other, &err) == LD_EMISMATCH);
  ld_index_free(&index);
  ld_index_free(&want);
  cr_assert(ld_index_file_open(path, "another key", 1, &index, &found, &err) == LD_EMISMATCH);
  cr_assert(ld_index_file_open("nothing", key, 1, &index, &found, &err) == LD_EFILE);
}

Test(index_file, detects_every_changed_or_missing_byte) {
  uint64_t seal, found;
  write_example(&seal);
  ld_map map;
  cr_assert(ld_map_open(path, &map, NULL) == 0);
  char *bytes = memcpy(ld_alloc(map.length, 1), map.bytes, map.length);
  const size_t length = map.length;
  ld_map_close(&map);
  ld_index index;
  for (size_t i = 0; i < length; i++) {
    bytes[i] ^= 0x20;
    put(bytes, length);
    const int rc = ld_index_file_open(path, key, 1, &index, &found, NULL);
    cr_assert(rc == LD_EFORMAT || rc == LD_EMISMATCH, "byte %zu: %d", i, rc);
    cr_assert(!index.records && !index.map.bytes);
    bytes[i] ^= 0x20;
  }
  for (size_t n = 0; n < length; n++) {
    put(bytes, n);
    cr_assert(ld_index_file_open(path, key, 1, &index, &found, NULL) == LD_EFORMAT, "%zu bytes", n);
  }
  free(bytes);
}

Test(index_file, refuses_records_that_do_not_fit_the_data) {
  ld_index index = example();
  cr_assert(ld_index_check(&index, 30, 0, 7, NULL) == 0);
  cr_assert(ld_index_check(&index, 29, 0, 7, NULL) == LD_EFORMAT);
  cr_assert(ld_index_check(&index, 30, 0, 6, NULL) == LD_EFORMAT);
  const ld_record good = index.records[1];
  const ld_record bad[] = {{.offset = 40, .bytes = 1, .n_tokens = 1, .label = -1},
                           {.bytes = UINT64_MAX, .offset = 1, .n_tokens = 1},
                           {.bytes = 1},
                           {.bytes = 1, .n_tokens = -1},
                           {.bytes = 1, .n_tokens = 1, .n_targets = 3},
                           {.bytes = 1, .n_tokens = 1, .n_targets = -1},
                           {.bytes = 1, .n_tokens = 1, .label = 2},
                           {.bytes = 1, .n_tokens = 1, .label = -2},
                           {.bytes = 1, .n_tokens = 1, .size = 1}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    index.records[1] = bad[i];
    cr_assert(ld_index_check(&index, 30, 0, 7, NULL) == LD_EFORMAT, "record %zu", i);
  }
  index.records[1] = good;
  ld_index_free(&index);
}

Test(index_file, knows_its_names) {
  cr_assert(ld_index_file_is_name("index-0123456789abcdef.bin"));
  cr_assert(!ld_index_file_is_name("index-0123456789abcdeg.bin") && !ld_index_file_is_name("index-0123.bin"));
  cr_assert(!ld_index_file_is_name("index-0123456789abcdef.bin.tmp.1") && !ld_index_file_is_name("index-"));
}
