/* The file: a head, the key, what the index has besides its records, zeros up to a multiple of 64, the records. */
#include "io/dataset/index_file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/file.h"
#include "io/hash.h"
#include "io/kept_file.h"

#define MAGIC "lora_dist index\n"
#define BEGINNING "index-"
#define ENDING ".bin"

enum { VERSION = 1, ORDER = 0x01020304, ALIGN = 64, HEX = 16 };

typedef struct index_head {
  char magic[16];
  uint64_t seal; /* over every byte after it */
  uint32_t version, order;
  uint64_t key_bytes, rest_bytes, n_records, record_bytes;
} index_head;

_Static_assert(sizeof(index_head) == 64, "the file's head has no gaps");
_Static_assert(sizeof(ld_record) == 40, "a record has no gaps");

/* Where the seal ends. */
enum { SEALED = 24 };

/* What an index has besides its records and lists. */
typedef struct packed_counts {
  uint64_t n_empty, n_turned, n_blended, n_skipped,
      skipped_bytes; /* of the first one's error, with its NUL */
  int64_t skipped_code;
} packed_counts;

char *ld_index_file_path(const char *folder, const char *key) {
  char *name = ld_format(BEGINNING "%016" PRIx64 ENDING, ld_hash_string(0, key));
  char *path = ld_path_join(folder, name);
  free(name);
  return path;
}

bool ld_index_file_is_name(const char *name) {
  const size_t before = strlen(BEGINNING), after = strlen(ENDING);
  return strlen(name) == before + HEX + after && !strncmp(name, BEGINNING, before) &&
         strspn(name + before, "0123456789abcdef") == HEX && !strcmp(name + before + HEX, ENDING);
}

void ld_index_put_rest(const ld_index *index, ld_text *out) {
  const char *skipped = index->n_skipped ? index->first_skipped.text : "";
  const packed_counts counts = {index->n_empty,   index->n_turned,     index->n_blended,
                                index->n_skipped, strlen(skipped) + 1, index->first_skipped.code};
  ld_text_append(out, &counts, sizeof counts);
  ld_text_append(out, skipped, counts.skipped_bytes);
  ld_labels_put(&index->labels, out);
  ld_tally_put(&index->unused, out);
}

static int fail_rest(ld_error *err) {
  return ld_fail(err, LD_EFORMAT, "what an index has besides its records is damaged");
}

int ld_index_take_rest(const char *bytes, size_t length, ld_index *out, ld_error *err) {
  const char *at = bytes, *end = bytes + length;
  packed_counts c;
  if (length < sizeof c) return fail_rest(err);
  memcpy(&c, at, sizeof c);
  at += sizeof c;
  if (!c.skipped_bytes || c.skipped_bytes > (size_t)(end - at) || at[c.skipped_bytes - 1])
    return fail_rest(err);
  if (c.n_skipped) ld_fail(&out->first_skipped, (int)c.skipped_code, "%s", at);
  at += c.skipped_bytes;
  out->n_empty = c.n_empty;
  out->n_turned = c.n_turned;
  out->n_blended = c.n_blended;
  out->n_skipped = c.n_skipped;
  const int rc = ld_labels_take(&at, end, &out->labels, err);
  if (rc) return rc;
  return ld_tally_take(&at, end, &out->unused) && at == end ? 0 : fail_rest(err);
}

/* All that stands before the records; the seal is still to be found. */
static void put_front(const char *key, const ld_index *index, ld_text *front) {
  index_head head = {.magic = MAGIC,
                     .version = VERSION,
                     .order = ORDER,
                     .key_bytes = strlen(key) + 1,
                     .n_records = index->n,
                     .record_bytes = sizeof *index->records};
  ld_text_append(front, &head, sizeof head);
  ld_text_append(front, key, head.key_bytes);
  ld_index_put_rest(index, front);
  head.rest_bytes = front->length - sizeof head - head.key_bytes;
  memcpy(front->bytes, &head, sizeof head);
  while (front->length % ALIGN) ld_text_append(front, "", 1);
}

static uint64_t find_seal(const char *front, size_t length, const void *records, size_t bytes,
                          int n_threads) {
  ld_region regions[] = {{front + SEALED, length - SEALED, 0}, {records, bytes, 0}};
  ld_hash_regions(regions, 2, n_threads);
  const uint64_t seal = ld_hash_u64(regions[0].hash, regions[1].hash);
  return seal ? seal : 1;
}

/* The bytes before the records, with the seal. */
static uint64_t make_front(const char *key, const ld_index *index, ld_text *front) {
  put_front(key, index, front);
  const uint64_t seal =
      find_seal(front->bytes, front->length, index->records, index->n * sizeof *index->records, 1);
  memcpy(front->bytes + offsetof(index_head, seal), &seal, sizeof seal);
  return seal;
}

int ld_index_file_put(int file, const char *path, const char *key, const ld_index *index, uint64_t *seal,
                      ld_error *err) {
  ld_text front = {0};
  *seal = make_front(key, index, &front);
  int rc = ld_write_all(file, front.bytes, front.length, path, err);
  if (!rc) rc = ld_write_all(file, index->records, index->n * sizeof *index->records, path, err);
  ld_text_free(&front);
  return rc;
}

int ld_index_file_write(const char *path, const char *key, const ld_index *index, uint64_t *seal,
                        ld_error *err) {
  ld_kept_file file;
  int rc = ld_kept_file_begin(path, ld_index_file_is_name, &file, err);
  if (!rc) rc = ld_kept_file_end(&file, ld_index_file_put(file.file, path, key, index, seal, err), err);
  return rc;
}

static int fail_damaged(const char *path, ld_error *err) {
  return ld_fail(err, LD_EFORMAT, "%s: is damaged", path);
}

static int fail_other(const char *path, ld_error *err) {
  return ld_fail(err, LD_EMISMATCH, "%s: is another file than the one that is expected there", path);
}

/* Where the records begin in a file with this head; 0 when its length says otherwise. */
static uint64_t find_records(const index_head *head, uint64_t length) {
  if (head->key_bytes > length || head->rest_bytes > length) return 0;
  const uint64_t front = (sizeof *head + head->key_bytes + head->rest_bytes + ALIGN - 1) / ALIGN * ALIGN;
  if (front > length || (length - front) / sizeof(ld_record) != head->n_records) return 0;
  return (length - front) % sizeof(ld_record) ? 0 : front;
}

/* Reads the head and finds the parts of a mapped file. */
static int read_map(const char *path, ld_index *out, index_head *head, uint64_t *records, ld_error *err) {
  const ld_map *map = &out->map;
  if (map->length < sizeof *head) return fail_damaged(path, err);
  memcpy(head, map->bytes, sizeof *head);
  if (memcmp(head->magic, MAGIC, sizeof head->magic) != 0) return fail_damaged(path, err);
  if (head->version != VERSION || head->order != ORDER || head->record_bytes != sizeof(ld_record))
    return fail_other(path, err);
  *records = find_records(head, map->length);
  if (!*records) return fail_damaged(path, err);
  out->records = (ld_record *)(uintptr_t)(map->bytes + *records);
  out->n = head->n_records;
  return 0;
}

static int take_rest(const char *path, ld_index *out, const index_head *head, ld_error *err) {
  const char *rest = out->map.bytes + sizeof *head + head->key_bytes;
  return ld_index_take_rest(rest, head->rest_bytes, out, NULL) ? fail_damaged(path, err) : 0;
}

uint64_t ld_index_file_seal(const ld_index *index, int n_threads) {
  const char *records = (const char *)index->records;
  return find_seal(index->map.bytes, (size_t)(records - index->map.bytes), records,
                   index->n * sizeof(ld_record), n_threads);
}

int ld_index_file_open(const char *path, const char *key, int n_threads, ld_index *out, uint64_t *seal,
                       ld_error *err) {
  index_head head;
  uint64_t records = 0;
  *out = (ld_index){0};
  int rc = ld_map_open_own(path, &out->map, err);
  if (!rc) rc = read_map(path, out, &head, &records, err);
  if (!rc && (*seal = ld_index_file_seal(out, n_threads)) != head.seal) rc = fail_damaged(path, err);
  if (!rc &&
      (head.key_bytes != strlen(key) + 1 || memcmp(out->map.bytes + sizeof head, key, head.key_bytes) != 0))
    rc = fail_other(path, err);
  if (!rc) rc = take_rest(path, out, &head, err);
  if (rc) ld_index_free(out);
  return rc;
}

int ld_index_file_map(const char *path, uint64_t seal, ld_index *out, ld_error *err) {
  index_head head;
  uint64_t records = 0;
  *out = (ld_index){0};
  int rc = ld_map_open_own(path, &out->map, err);
  if (!rc) rc = read_map(path, out, &head, &records, err);
  if (!rc && head.seal != seal) rc = fail_other(path, err);
  if (!rc) rc = take_rest(path, out, &head, err);
  if (rc) ld_index_free(out);
  return rc;
}

static bool is_record(const ld_index *index, const ld_record *r, uint64_t units, int n_sizes) {
  if (r->offset > units || r->bytes > units - r->offset || r->n_tokens <= 0) return false;
  if (r->n_targets < 0 || r->n_targets > (int64_t)r->n_tokens + 1 || r->n_parts < 0 ||
      r->size >= (n_sizes ? n_sizes : 1) || r->label < -1)
    return false;
  const int64_t most =
      index->labels.kind == LD_LABEL_NAME ? (int64_t)index->labels.n_names - 1 : index->labels.largest;
  return r->label <= most || index->labels.kind == LD_LABEL_REAL;
}

int ld_index_check(const ld_index *index, uint64_t units, int n_sizes, int64_t most_tokens, ld_error *err) {
  for (size_t i = 0; i < index->n; i++)
    if (!is_record(index, &index->records[i], units, n_sizes) || index->records[i].n_tokens > most_tokens)
      return ld_fail(err, LD_EFORMAT, "record %zu of the index does not fit the data", i + 1);
  return 0;
}
