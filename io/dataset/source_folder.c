/* The files of a folder; each file is a unit. */
#include "io/dataset/source_folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "io/digest.h"
#include "io/hash.h"

typedef struct folder {
  char *second; /* the folder of the files from `first_second` on; NULL: none */
  size_t first_second;
  char **names;
  char **captions;  /* NULL: none */
  uint64_t *hashes; /* hash of each file's bytes once it was read; 0 before */
} folder;

static char *file_path(const ld_source *source, uint64_t i) {
  const folder *f = source->own;
  return ld_path_join(f->second && i >= f->first_second ? f->second : source->path, f->names[i]);
}

/* A run must see the same bytes as at first. A file that has changed is an error. */
static int check_unchanged(uint64_t *hash, const char *path, const ld_map *map, ld_error *err) {
  ld_region region = {map->bytes, map->length, 0};
  ld_hash_regions(&region, 1, 1);
  if (*hash && *hash != region.hash)
    return ld_fail(err, LD_EMISMATCH,
                   "%s: was changed while it was in use: restore it, and run the same command again", path);
  *hash = region.hash;
  return 0;
}

/* Puts the caption before the bytes of the file, which are copied. */
static void put_caption(const char *caption, ld_bytes *bytes) {
  const size_t n = strlen(caption) + 1;
  bytes->own = ld_realloc(NULL, n + bytes->length, 1);
  memcpy(bytes->own, caption, n);
  if (bytes->length) memcpy(bytes->own + n, bytes->at, bytes->length);
  bytes->at = bytes->own;
  bytes->length += n;
  ld_map_close(&bytes->map);
}

static int folder_read(const ld_source *source, uint64_t offset, uint64_t n, ld_bytes *out, ld_error *err) {
  (void)n;
  const folder *f = source->own;
  char *path = file_path(source, offset);
  int rc = ld_map_open(path, &out->map, err);
  if (!rc) rc = check_unchanged(&f->hashes[offset], path, &out->map, err);
  *out =
      (ld_bytes){.at = out->map.bytes, .length = out->map.length, .name = f->names[offset], .map = out->map};
  if (rc)
    ld_bytes_free(out);
  else if (f->captions)
    put_caption(f->captions[offset], out);
  free(path);
  return rc;
}

static const char *folder_name(const ld_source *source, uint64_t offset) {
  const folder *f = source->own;
  return f->names[offset];
}

/* Some files, spread evenly; all of them if there are few. */
enum { SAMPLES = 64 };

static size_t folder_unit_bytes(const ld_source *source) {
  const size_t n = source->length < SAMPLES ? source->length : SAMPLES;
  size_t sum = 0;
  for (size_t i = 0; i < n; i++) {
    struct stat info;
    char *path = file_path(source, source->length / n * i);
    if (!stat(path, &info)) sum += (size_t)info.st_size;
    free(path);
  }
  return n ? sum / n + 1 : 1;
}

static uint64_t add_name(uint64_t hash, const folder *f, size_t i) {
  if (f->second && i == f->first_second) hash = ld_hash_u64(hash, i);
  hash = ld_hash_string(hash, f->names[i]);
  return f->captions ? ld_hash_string(hash, f->captions[i]) : hash;
}

static uint64_t add_place(uint64_t hash, const char *path) {
  struct stat info = {0};
  (void)stat(path, &info);
  return ld_hash_u64(ld_hash_u64(hash, info.st_dev), info.st_ino);
}

/* The folders themselves and the names in them, with their captions. Stamps of all files would take a system call for each,
 * on every rank. */
static uint64_t folder_stamp(const ld_source *source) {
  const folder *f = source->own;
  uint64_t hash = add_place(0, source->path);
  if (f->second) hash = add_place(hash, f->second);
  for (size_t i = 0; i < source->length; i++) hash = add_name(hash, f, i);
  return hash;
}

/* So many files are mapped at a time. */
enum { HELD = 256 };

/* Adds the names and bytes of the files from `first` on. A file that cannot be read has no bytes here; the
 * error is reported where it is used. */
static uint64_t hash_some(const ld_source *source, size_t first, size_t n, int n_threads, uint64_t hash) {
  const folder *f = source->own;
  ld_map maps[HELD];
  ld_region regions[HELD];
  for (size_t i = 0; i < n; i++) {
    char *path = file_path(source, first + i);
    if (ld_map_open(path, &maps[i], NULL)) maps[i] = (ld_map){0};
    regions[i] = (ld_region){maps[i].bytes, maps[i].length, 0};
    free(path);
  }
  ld_hash_regions(regions, n, n_threads);
  for (size_t i = 0; i < n; i++) {
    hash = ld_hash_u64(add_name(hash, f, first + i), regions[i].hash);
    if (maps[i].bytes) f->hashes[first + i] = regions[i].hash;
    ld_map_close(&maps[i]);
  }
  return hash;
}

static ld_stamp stamp_files(const ld_source *source) {
  ld_stamp stamp = {.id = folder_stamp(source)};
  for (size_t i = 0; i < source->length; i++) {
    char *path = file_path(source, i);
    ld_stamp_add(&stamp, path);
    free(path);
  }
  return stamp;
}

static int folder_digest(const ld_source *source, ld_digests *digests, ld_contents *out, ld_error *err) {
  const size_t n = source->length;
  const int64_t since = ld_digests_now();
  const ld_stamp stamp = stamp_files(source);
  if (ld_digests_find(digests, source->path, &stamp, out)) return 0;
  *out = (ld_contents){0};
  for (size_t i = 0; i < n; i += HELD)
    out->bytes = hash_some(source, i, n - i < HELD ? n - i : HELD, ld_digests_threads(digests), out->bytes);
  if (stamp_files(source).id != stamp.id)
    return ld_fail(err, LD_EFILE,
                   "%s: images change while they are read: wait until whatever writes them is done",
                   source->path);
  ld_digests_add(digests, source->path, &stamp, since, out);
  return 0;
}

enum { EDGE = 1024 };

/* Adds the length and the first and last KiB. */
static void add_old(ld_digest *digest, const char *path) {
  char first[EDGE], last[EDGE];
  size_t n_first = 0, n_last = 0;
  struct stat info = {0};
  FILE *file = fopen(path, "rbe");
  if (file && fstat(fileno(file), &info) == 0) {
    n_first = fread(first, 1, sizeof first, file);
    if (info.st_size > EDGE && fseek(file, -EDGE, SEEK_END) == 0) n_last = fread(last, 1, sizeof last, file);
  }
  if (file) fclose(file);
  ld_digest_u64(digest, (uint64_t)info.st_size);
  ld_digest_bytes(digest, first, n_first);
  ld_digest_bytes(digest, last, n_last);
}

/* As in version 1. */
static uint64_t folder_old_digest(const ld_source *source) {
  const folder *f = source->own;
  ld_digest digest;
  ld_digest_init(&digest);
  for (size_t i = 0; i < source->length; i++) {
    ld_digest_string(&digest, f->names[i]);
    char *path = file_path(source, i);
    add_old(&digest, path);
    free(path);
  }
  return digest.state;
}

static void folder_close(ld_source *source) {
  folder *f = source->own;
  ld_names_free(f->names, source->length);
  if (f->captions) ld_names_free(f->captions, source->length);
  free(f->second);
  free(f->hashes);
  free(f);
}

static const ld_source_kind kind = {.read = folder_read,
                                    .name = folder_name,
                                    .unit_bytes = folder_unit_bytes,
                                    .stamp = folder_stamp,
                                    .digest = folder_digest,
                                    .old_digest = folder_old_digest,
                                    .close = folder_close};

ld_source *ld_source_folder(const char *path, char **names, size_t n) {
  ld_source *source = ld_source_create(&kind, path);
  folder *f = source->own = ld_alloc(1, sizeof *f);
  source->length = n;
  f->names = names;
  f->hashes = ld_alloc(n, sizeof *f->hashes);
  return source;
}

ld_source *ld_source_folder_captioned(const char *path, char **names, char **captions, size_t n) {
  ld_source *source = ld_source_folder(path, names, n);
  folder *f = source->own;
  f->captions = captions;
  return source;
}

/* Appends the texts of b to those of a, and frees the list b. */
static char **join(char **a, size_t n_a, char **b, size_t n_b) {
  a = ld_realloc(a, n_a + n_b, sizeof *a);
  memcpy(a + n_a, b, n_b * sizeof *b);
  free(b);
  return a;
}

void ld_source_folder_add(ld_source *source, const char *path, char **names, char **captions, size_t n) {
  folder *f = source->own;
  const size_t before = f->first_second = source->length;
  f->second = ld_strdup(path);
  f->names = join(f->names, before, names, n);
  f->captions = join(f->captions, before, captions, n);
  free(f->hashes);
  source->length += n;
  f->hashes = ld_alloc(source->length, sizeof *f->hashes);
}
