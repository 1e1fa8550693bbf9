#include "scratch.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "io/hash.h"
#include "io/hub/digests.h"
#include "io/hub/safetensors.h"

/* The specification's value for no bytes. */
Test(hash, is_xxh3) {
  cr_assert_eq(ld_hash(0, "", 0), 0x2d06800538d394c2u);
  cr_assert_neq(ld_hash_string(0, NULL), ld_hash_string(0, ""));
  cr_assert_neq(ld_hash_string(ld_hash_string(0, "ab"), "c"), ld_hash_string(ld_hash_string(0, "a"), "bc"));
}

Test(hash, of_regions_is_the_same_on_any_number_of_threads_and_of_every_byte) {
  const size_t length = (9u << 20) + 5;
  char *bytes = ld_alloc(length, 1);
  for (size_t i = 0; i < length; i++) bytes[i] = (char)(i * 2654435761u >> 24);
  ld_region one[] = {{bytes, length, 0}, {bytes, 3, 0}, {bytes, 0, 0}}, more[3];
  ld_hash_regions(one, 3, 1);
  for (int threads = 0; threads < 6; threads++) {
    memcpy(more, one, sizeof more);
    for (int i = 0; i < 3; i++) more[i].hash = 0;
    ld_hash_regions(more, 3, threads);
    for (int i = 0; i < 3; i++) cr_assert_eq(more[i].hash, one[i].hash);
  }
  for (size_t at = 0; at < length; at += length / 7) {
    bytes[at] ^= 1;
    ld_hash_regions(more, 1, 3);
    cr_assert_neq(more[0].hash, one[0].hash);
    bytes[at] ^= 1;
  }
  free(bytes);
}

static ld_contents contents_of(ld_digests *digests, const char *path) {
  ld_contents found = {0};
  ld_error err = {0};
  cr_assert_eq(ld_digests_of_file(digests, path, &found, &err), 0, "%s", err.text);
  return found;
}

static double bytes_read(const ld_digests *digests) {
  double bytes, seconds;
  ld_digests_cost(digests, &bytes, &seconds);
  return bytes;
}

/* A stamp that is old enough to be kept, without waiting: it says that the file was changed an hour ago. */
static void add_old_file(ld_digests *digests, const char *path, uint64_t whole) {
  ld_stamp stamp = ld_stamp_of(path);
  stamp.newest -= 3600000000000;
  ld_digests_add(digests, path, &stamp, ld_digests_now(), &(ld_contents){whole, 7});
}

Test(digests, what_was_kept_is_not_read_again) {
  char *folder = scratch_new(), *path = scratch_file(folder, "data", "abc", 3);
  char *kept = ld_path_join(folder, "digests.txt");
  ld_error err = {0};
  ld_digests *first = ld_digests_create("h1", 1);
  add_old_file(first, path, 42);
  cr_assert_eq(ld_digests_write(first, folder, &err), 0, "%s", err.text);
  ld_digests_free(first);

  ld_digests *again = ld_digests_create("h1", 1), *elsewhere = ld_digests_create("h2", 1);
  ld_digests_read(again, folder);
  ld_digests_read(elsewhere, folder);
  cr_assert_eq(contents_of(again, path).bytes, 42);
  cr_assert_eq(contents_of(again, path).tensors, 7);
  cr_assert_eq(bytes_read(again), 0);
  cr_assert_neq(contents_of(elsewhere, path).bytes, 42); /* each host has its own copy */
  char *dotted = ld_format("%s/./data", folder);
  cr_assert_eq(contents_of(again, dotted).bytes, 42);

  chmod(path, 0600); /* another change time */
  cr_assert_neq(contents_of(again, path).bytes, 42);
  cr_assert_eq(bytes_read(again), 3);
  free(dotted);
  ld_digests_free(again);
  ld_digests_free(elsewhere);
  free(kept);
  free(path);
  scratch_end(folder);
}

Test(digests, a_file_that_was_just_written_is_not_kept) {
  char *folder = scratch_new(), *path = scratch_file(folder, "data", "abc", 3);
  char *kept = ld_path_join(folder, "digests.txt");
  ld_digests *digests = ld_digests_create("h1", 1);
  contents_of(digests, path);
  cr_assert_eq(ld_digests_write(digests, folder, NULL), 0);
  cr_assert(!ld_file_exists(kept));
  ld_digests_free(digests);
  free(kept);
  free(path);
  scratch_end(folder);
}

/* A damaged file counts as empty, and is written again; a missing folder is an error that the caller may
 * ignore. */
Test(digests, a_damaged_file_is_ignored) {
  char *folder = scratch_new(), *path = scratch_file(folder, "data", "abc", 3);
  char *kept = ld_path_join(folder, "digests.txt");
  ld_digests *first = ld_digests_create("h1", 1);
  add_old_file(first, path, 42);
  cr_assert_eq(ld_digests_write(first, folder, NULL), 0);
  size_t length;
  char *good = scratch_read(kept, &length);
  for (size_t cut = 0; cut <= length; cut++) {
    for (int flip = 0; flip < 2; flip++) {
      char *bytes = ld_strndup(good, length);
      if (flip && cut < length) bytes[cut] ^= 4;
      free(scratch_file(folder, "digests.txt", bytes, flip ? length : cut));
      free(bytes);
      ld_digests *digests = ld_digests_create("h1", 1);
      ld_digests_read(digests, folder);
      const bool whole = cut == length;
      cr_assert_eq(contents_of(digests, path).bytes == 42, whole, "cut or changed at %zu", cut);
      ld_digests_free(digests);
    }
  }
  cr_assert_eq(ld_digests_write(first, folder, NULL), 0);
  free(good);
  good = scratch_read(kept, &length);
  cr_assert(strstr(good, "000000000000002a 0000000000000007\n"));
  cr_assert_neq(ld_digests_write(first, "/nowhere/at/all", NULL), 0);
  free(good);
  ld_digests_free(first);
  free(kept);
  free(path);
  scratch_end(folder);
}

/* Two jobs write one after the other: the digests of both are kept. */
Test(digests, two_jobs_share_the_file) {
  char *folder = scratch_new(), *a = scratch_file(folder, "a", "a", 1),
       *b = scratch_file(folder, "b", "b", 1);
  ld_digests *one = ld_digests_create("h", 1), *two = ld_digests_create("h", 1),
             *read = ld_digests_create("h", 1);
  add_old_file(one, a, 1);
  add_old_file(two, b, 2);
  cr_assert_eq(ld_digests_write(one, folder, NULL), 0);
  cr_assert_eq(ld_digests_write(two, folder, NULL), 0);
  ld_digests_read(read, folder);
  cr_assert(contents_of(read, a).bytes == 1 && contents_of(read, b).bytes == 2);
  ld_digests_free(one), ld_digests_free(two), ld_digests_free(read);
  free(a), free(b);
  scratch_end(folder);
}

Test(digests, of_safetensors_tell_tensors_from_their_file) {
  char *folder = scratch_new(), *one = ld_path_join(folder, "one.safetensors");
  char *two = ld_path_join(folder, "two.safetensors"), *bytes = ld_path_join(folder, "broken.safetensors");
  float numbers[] = {1, 2, 3, 4};
  const ld_named tensors[] = {
      {.name = "a", .tensor = {.data = numbers, .dtype = LD_F32, .ndim = 1, .shape = {2}}},
      {.name = "b", .tensor = {.data = numbers + 2, .dtype = LD_F32, .ndim = 1, .shape = {2}}}};
  ld_digests *digests = ld_digests_create("h", 2);
  cr_assert_eq(ld_safetensors_write(one, tensors, 2, NULL), 0);
  cr_assert_eq(ld_safetensors_write_noted(two, tensors, 2, &(ld_note){"key", "value"}, 1, NULL), 0);
  const ld_contents x = contents_of(digests, one), y = contents_of(digests, two);
  cr_assert_eq(x.tensors, y.tensors);
  cr_assert_neq(x.bytes, y.bytes);
  scratch_text(folder, "broken.safetensors", "no safetensors file");
  cr_assert_eq(contents_of(digests, bytes).tensors, 0);
  cr_assert_neq(contents_of(digests, bytes).bytes, 0);
  ld_contents none;
  ld_error err = {0};
  cr_assert_eq(ld_digests_of_file(digests, folder, &none, &err), LD_EFILE);
  cr_assert_eq(ld_digests_of_file(digests, "/nowhere", &none, &err), LD_EFILE);
  ld_digests_free(digests);
  free(one), free(two), free(bytes);
  scratch_end(folder);
}
