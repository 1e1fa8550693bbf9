/* What all sources have in common, and the source of one mapped file. */
#include "io/dataset/source.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/digest.h"
#include "io/hash.h"

ld_source *ld_source_create(const ld_source_kind *kind, const char *path) {
  ld_source *source = ld_alloc(1, sizeof *source);
  source->kind = kind;
  source->path = ld_strdup(path);
  return source;
}

int ld_source_map(const char *path, const ld_source_kind *kind, ld_source **out, ld_error *err) {
  const ld_stamp stamp = ld_stamp_of(path);
  ld_map map;
  *out = NULL;
  const int rc = ld_map_open(path, &map, err);
  if (rc) return rc;
  ld_source *source = *out = ld_source_create(kind, path);
  source->stamp = stamp;
  source->map = map;
  source->length = map.length;
  return 0;
}

static int file_read(const ld_source *source, uint64_t offset, uint64_t n, ld_bytes *out, ld_error *err) {
  (void)err;
  out->at = source->map.bytes + offset;
  out->length = n;
  return 0;
}

const ld_source_kind ld_source_file = {.read = file_read};

ld_bytes ld_source_start(const ld_source *source) {
  if (!source->map.bytes) return source->opening;
  return (ld_bytes){.at = source->map.bytes + source->begin, .length = source->map.length - source->begin};
}

void ld_source_keep(ld_source *source, const char *at, size_t length) {
  source->opening = (ld_bytes){.at = at, .length = length};
}

void ld_source_close(ld_source *source) {
  if (!source) return;
  if (source->kind->close) source->kind->close(source);
  ld_map_close(&source->map);
  free(source->path);
  free(source);
}

const char *ld_source_path(const ld_source *source) {
  return source->path;
}

uint64_t ld_source_length(const ld_source *source) {
  return source->length;
}

const char *ld_source_name(const ld_source *source, uint64_t offset) {
  return source->kind->name ? source->kind->name(source, offset) : NULL;
}

int ld_source_read(const ld_source *source, uint64_t offset, uint64_t n, ld_bytes *out, ld_error *err) {
  *out = (ld_bytes){0};
  if (offset <= source->length && n <= source->length - offset)
    return source->kind->read(source, offset, n, out, err);
  return ld_fail(err, LD_EMISMATCH, "%s: a record of the index lies beyond its end: has the file changed?",
                 source->path);
}

void ld_bytes_free(ld_bytes *bytes) {
  ld_map_close(&bytes->map);
  free(bytes->own);
  *bytes = (ld_bytes){0};
}

size_t ld_source_unit_bytes(const ld_source *source) {
  return source->kind->unit_bytes ? source->kind->unit_bytes(source) : 1;
}

uint64_t ld_source_stamp(const ld_source *source) {
  return source->kind->stamp ? source->kind->stamp(source) : source->stamp.id;
}

static int digest_file(const ld_source *source, ld_digests *digests, ld_contents *out, ld_error *err) {
  const int rc = ld_digests_of_file(digests, source->path, out, err);
  if (rc || ld_stamp_of(source->path).id == source->stamp.id) return rc;
  return ld_fail(err, LD_EFILE, "%s: changed while it was opened: run the same command again", source->path);
}

int ld_source_digest(const ld_source *source, ld_digests *digests, char digest[LD_DIGEST_TEXT + 1],
                     ld_error *err) {
  ld_contents contents;
  const int rc = (source->kind->digest ? source->kind->digest : digest_file)(source, digests, &contents, err);
  if (!rc) ld_digest_show(contents.bytes, digest);
  return rc;
}

static uint64_t old_digest_file(const ld_source *source) {
  return ld_digest_words(source->map.bytes, source->map.length);
}

void ld_source_old_digest(const ld_source *source, char digest[17]) {
  const uint64_t hash = (source->kind->old_digest ? source->kind->old_digest : old_digest_file)(source);
  snprintf(digest, 17, "%016" PRIx64, hash);
}

/* The bytes in use, and the digest that they had. */
typedef struct mapped {
  const ld_map *map;
  const char *digest;
} mapped;

static bool has_changed(void *self) {
  const mapped *m = self;
  char found[LD_DIGEST_TEXT + 1];
  ld_region region = {m->map->bytes, m->map->length, 0};
  ld_hash_regions(&region, 1, 1);
  ld_digest_show(region.hash, found);
  return strcmp(found, m->digest) != 0;
}

int ld_source_check(ld_source *source, const char *digest, ld_error *err) {
  if (!source->map.bytes || source->joined) return 0; /* a copy of the files stays as it is */
  const ld_stamp now = ld_stamp_of(source->path), was = source->stamp;
  if (now.id == was.id) return 0;
  source->stamp = now;
  return ld_digests_settle(source->path, &was, &now, has_changed, &(mapped){&source->map, digest}, err);
}
