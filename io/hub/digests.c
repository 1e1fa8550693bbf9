#include "io/hub/digests.h"

#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/log.h"
#include "base/memory.h"
#include "io/file.h"
#include "io/hash.h"
#include "io/hub/safetensors.h"

#define FILE_NAME "digests.txt"
#define NAME_OF_FORMAT "lora_dist digests "
#define HEAD NAME_OF_FORMAT "2, sealed "

/* The coarsest file system clocks tick every two seconds (FAT). */
static const int64_t TICK = 2000000000;

enum { LINE = 3 * 17, MOST_ENTRIES = 4096 };

typedef struct known_file {
  uint64_t stamp; /* includes the path */
  ld_contents contents;
  bool found; /* found by this process or another one of its job */
  bool kept;  /* kept, or to be kept: its stamp was old enough */
} known_file;

struct ld_digests {
  char *host;
  int n_threads;
  known_file *entries;
  size_t n, room;
  double bytes, seconds;
  bool gave_up;
};

void ld_digest_show(uint64_t hash, char text[LD_DIGEST_TEXT + 1]) {
  snprintf(text, LD_DIGEST_TEXT + 1, "2:%016" PRIx64, hash);
}

bool ld_digest_is_old(const char *text) {
  return !strchr(text, ':');
}

static int64_t nanoseconds(struct timespec time) {
  return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

int64_t ld_digests_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return nanoseconds(now);
}

void ld_stamp_add(ld_stamp *stamp, const char *path) {
  struct stat info;
  if (stat(path, &info) || !S_ISREG(info.st_mode)) {
    *stamp = (ld_stamp){.bytes = -1};
    return;
  }
  if (stamp->bytes < 0) return;
  const int64_t modified = nanoseconds(info.st_mtim), changed = nanoseconds(info.st_ctim);
  stamp->device = info.st_dev;
  stamp->inode = info.st_ino;
  stamp->id = ld_hash_u64(stamp->id, info.st_dev);
  stamp->id = ld_hash_u64(stamp->id, info.st_ino);
  stamp->id = ld_hash_u64(stamp->id, (uint64_t)info.st_size);
  stamp->id = ld_hash_u64(stamp->id, (uint64_t)modified);
  stamp->id = ld_hash_u64(stamp->id, (uint64_t)changed);
  stamp->bytes += info.st_size;
  if (modified > stamp->newest) stamp->newest = modified;
  if (changed > stamp->newest) stamp->newest = changed;
}

ld_stamp ld_stamp_of(const char *path) {
  ld_stamp stamp = {0};
  ld_stamp_add(&stamp, path);
  return stamp;
}

ld_digests *ld_digests_create(const char *host, int n_threads) {
  ld_digests *d = ld_alloc(1, sizeof *d);
  d->host = ld_strdup(host);
  d->n_threads = n_threads;
  return d;
}

void ld_digests_free(ld_digests *d) {
  if (!d) return;
  free(d->entries);
  free(d->host);
  free(d);
}

int ld_digests_threads(const ld_digests *d) {
  return d->n_threads;
}

void ld_digests_give_up(ld_digests *d) {
  d->gave_up = true;
}

bool ld_digests_gave_up(const ld_digests *d) {
  return d->gave_up;
}

void ld_digests_cost(const ld_digests *d, double *bytes, double *seconds) {
  *bytes = d->bytes;
  *seconds = d->seconds;
}

/* The same key however the path is spelled. */
static uint64_t key_of(const ld_digests *d, const char *path, const ld_stamp *stamp) {
  char *real = realpath(path, NULL);
  uint64_t key = ld_hash_string(0, d->host);
  key = ld_hash_string(key, real ? real : path);
  free(real);
  return ld_hash_u64(key, stamp->id);
}

static known_file *find(const ld_digests *d, uint64_t key) {
  for (size_t i = 0; i < d->n; i++)
    if (d->entries[i].stamp == key) return &d->entries[i];
  return NULL;
}

static void add(ld_digests *d, const known_file *e) {
  known_file *same = find(d, e->stamp);
  if (same) {
    *same = *e;
    return;
  }
  d->entries = ld_grow(d->entries, d->n, &d->room, sizeof *d->entries);
  d->entries[d->n++] = *e;
}

bool ld_digests_find(const ld_digests *d, const char *path, const ld_stamp *stamp, ld_contents *out) {
  const known_file *found = stamp->bytes < 0 ? NULL : find(d, key_of(d, path, stamp));
  if (found) *out = found->contents;
  return found != NULL;
}

void ld_digests_add(ld_digests *d, const char *path, const ld_stamp *stamp, int64_t since,
                    const ld_contents *contents) {
  d->bytes += (double)stamp->bytes;
  d->seconds += 1e-9 * (double)(ld_digests_now() - since);
  add(d, &(known_file){.stamp = key_of(d, path, stamp),
                       .contents = *contents,
                       .found = true,
                       .kept = stamp->newest < since - TICK});
}

uint64_t ld_tensor_hash(const char *name, const ld_stored *tensor, uint64_t content) {
  uint64_t hash = ld_hash_string(0, name);
  hash = ld_hash_string(hash, ld_dtype_name(tensor->dtype));
  for (int i = 0; i < tensor->ndim; i++) hash = ld_hash_u64(hash, (uint64_t)tensor->shape[i]);
  return ld_hash_u64(hash, content);
}

static void hash_whole(const ld_map *map, int n_threads, ld_contents *out) {
  ld_region region = {map->bytes, map->length, 0};
  ld_hash_regions(&region, 1, n_threads);
  *out = (ld_contents){.bytes = region.hash};
}

/* Header and tensors are all of the file's bytes; the header says where each tensor is. */
static void hash_tensors(const ld_map *map, const ld_safetensors *file, int n_threads, ld_contents *out) {
  const size_t n = ld_safetensors_count(file);
  ld_region *regions = ld_alloc(n + 1, sizeof *regions);
  uint64_t header;
  memcpy(&header, map->bytes, sizeof header);
  regions[n] = (ld_region){map->bytes, sizeof header + le64toh(header), 0};
  for (size_t i = 0; i < n; i++) {
    const ld_stored *t = ld_safetensors_tensor(file, i);
    regions[i] = (ld_region){t->data, ld_stored_bytes(t), 0};
  }
  ld_hash_regions(regions, n + 1, n_threads);
  *out = (ld_contents){.bytes = regions[n].hash};
  for (size_t i = 0; i < n; i++) {
    const uint64_t content = regions[i].hash;
    out->bytes = ld_hash_u64(out->bytes, content);
    out->tensors += ld_tensor_hash(ld_safetensors_name(file, i), ld_safetensors_tensor(file, i), content);
  }
  free(regions);
}

/* A file that only looks like a safetensors file is hashed as plain bytes. */
static int hash_file(const char *path, int n_threads, ld_contents *out, ld_error *err) {
  ld_map map;
  const int rc = ld_map_open(path, &map, err);
  if (rc) return rc;
  const size_t length = strlen(path);
  const bool tensors = length > 12 && !strcmp(path + length - 12, ".safetensors");
  ld_safetensors *file = NULL;
  if (tensors) ld_safetensors_parse(map.bytes, map.length, path, &file, NULL);
  if (file)
    hash_tensors(&map, file, n_threads, out);
  else
    hash_whole(&map, n_threads, out);
  ld_safetensors_close(file);
  ld_map_close(&map);
  return 0;
}

int ld_digests_of_file(ld_digests *d, const char *path, ld_contents *out, ld_error *err) {
  for (int tries = 0; tries < 2; tries++) {
    const int64_t since = ld_digests_now();
    const ld_stamp before = ld_stamp_of(path);
    if (ld_digests_find(d, path, &before, out)) return 0;
    const int rc = hash_file(path, d->n_threads, out, err);
    if (rc) return rc;
    const ld_stamp after = ld_stamp_of(path);
    if (after.id != before.id) continue;
    ld_digests_add(d, path, &before, since, out);
    return 0;
  }
  return ld_fail(err, LD_EFILE, "%s: changes while it is read: wait until whatever writes it is done", path);
}

int ld_digests_settle(const char *path, const ld_stamp *was, const ld_stamp *now, bool (*changed)(void *user),
                      void *user, ld_error *err) {
  const bool in_place = now->bytes >= 0 && now->device == was->device && now->inode == was->inode;
  const bool cut = in_place && now->bytes < was->bytes; /* its end must not be read */
  if (cut || changed(user))
    return ld_fail(err, LD_EMISMATCH,
                   "%s: was %s while it was in use: restore it, and run the same command again", path,
                   cut ? "cut short" : "changed");
  ld_warn("%s: was %s while it is in use; this run continues with the bytes that it started with, which "
          "are still there",
          path,
          in_place         ? "touched"
          : now->bytes < 0 ? "removed"
                           : "replaced");
  return 0;
}

void ld_digests_put(const ld_digests *d, bool found, ld_text *out) {
  for (size_t i = 0; i < d->n; i++) {
    const known_file *e = &d->entries[i];
    if (e->kept && (e->found || !found))
      ld_text_printf(out, "%016" PRIx64 " %016" PRIx64 " %016" PRIx64 "\n", e->stamp, e->contents.bytes,
                     e->contents.tensors);
  }
}

void ld_digests_take(ld_digests *d, const char *lines, size_t length, bool found) {
  for (; length >= LINE && d->n < MOST_ENTRIES; lines += LINE, length -= LINE) {
    char line[LINE + 1] = "";
    known_file e = {.found = found, .kept = true};
    memcpy(line, lines, LINE);
    if (sscanf(line, "%16" SCNx64 " %16" SCNx64 " %16" SCNx64, &e.stamp, &e.contents.bytes,
               &e.contents.tensors) == 3 &&
        !find(d, e.stamp))
      add(d, &e);
  }
}

/* Makes the first line of a file with these lines. */
static void make_head(const char *lines, size_t length, ld_text *out) {
  ld_text_printf(out, HEAD "%016" PRIx64 "\n", ld_hash(0, lines, length));
}

static void read_kept(ld_digests *d, const ld_map *map) {
  const char *end = map->length ? memchr(map->bytes, '\n', map->length) : NULL;
  if (!end) return;
  const size_t length = map->length - (size_t)(end + 1 - map->bytes);
  ld_text head = {0};
  make_head(end + 1, length, &head);
  if (head.length == map->length - length && !memcmp(head.bytes, map->bytes, head.length))
    ld_digests_take(d, end + 1, length, false);
  ld_text_free(&head);
}

void ld_digests_read(ld_digests *d, const char *folder) {
  char *path = ld_path_join(folder, FILE_NAME);
  ld_map map;
  if (!ld_map_open(path, &map, NULL)) read_kept(d, &map);
  ld_map_close(&map);
  free(path);
}

/* Writes the newest entries as a file. */
static void put_file(const ld_digests *d, ld_text *out) {
  ld_text lines = {0};
  ld_digests_put(d, false, &lines);
  const size_t most = (size_t)MOST_ENTRIES * LINE, skipped = lines.length > most ? lines.length - most : 0;
  make_head(lines.bytes + skipped, lines.length - skipped, out);
  ld_text_append(out, lines.bytes + skipped, lines.length - skipped);
  ld_text_free(&lines);
}

/* Fails for a file of that name that another program made; it stays as it is. */
static int check_ours(const char *path, ld_error *err) {
  ld_map map;
  if (ld_map_open(path, &map, NULL)) return 0;
  const size_t length = strlen(NAME_OF_FORMAT);
  const bool ours = map.length >= length && memcmp(map.bytes, NAME_OF_FORMAT, length) == 0;
  ld_map_close(&map);
  return ours ? 0 : ld_fail(err, LD_EFILE, "%s: was not made by this program, and stays as it is", path);
}

int ld_digests_write(ld_digests *d, const char *folder, ld_error *err) {
  bool any = false;
  for (size_t i = 0; i < d->n; i++) any = any || (d->entries[i].found && d->entries[i].kept);
  if (!any) return 0;
  ld_digests_read(d, folder);
  char *path = ld_path_join(folder, FILE_NAME);
  ld_text text = {0};
  put_file(d, &text);
  int rc = check_ours(path, err);
  if (!rc) rc = ld_file_write(path, text.bytes, text.length, err);
  ld_text_free(&text);
  free(path);
  return rc;
}
