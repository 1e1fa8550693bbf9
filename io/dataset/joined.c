/* The file: the text; for each part where it begins, its first line's number, and its path with a NUL; a tail. */
#include "io/dataset/joined.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "io/dataset/packings.h"
#include "io/hash.h"

#define MAGIC "lora_dist data 1"
#define BEGINNING "data-"
#define ENDING ".bin"

enum { HEX = 16, LONGEST_HEADER = 1 << 20, PIECE = 1 << 24 };

typedef struct tail {
  uint64_t text_bytes, table_bytes, n_parts;
  uint64_t text_hash;
  uint64_t table_hash; /* of the table and the numbers above */
  char magic[16];
} tail;

_Static_assert(sizeof(tail) == 56, "the file's tail has no gaps");

char *ld_joined_path(const char *folder, uint64_t key) {
  char *name = ld_format(BEGINNING "%016" PRIx64 ENDING, key);
  char *path = ld_path_join(folder, name);
  free(name);
  return path;
}

bool ld_joined_is_name(const char *name) {
  const size_t before = strlen(BEGINNING);
  return strlen(name) == before + HEX + strlen(ENDING) && !strncmp(name, BEGINNING, before) &&
         strspn(name + before, "0123456789abcdef") == HEX && !strcmp(name + before + HEX, ENDING);
}

/* Files as they are joined. */
typedef struct joining {
  int file;
  const char *out, *path; /* of the part */
  const ld_join_rule *rule;
  bool first, holds; /* its beginning is still held */
  ld_text held, header, table;
  uint64_t written, begin; /* begin: of the part */
  char last;               /* byte */
} joining;

static int write_text(joining *j, const char *bytes, size_t n, ld_error *err) {
  if (!n) return 0;
  j->written += n;
  j->last = bytes[n - 1];
  return ld_write_all(j->file, bytes, n, j->out, err);
}

static void put_part(joining *j, uint64_t line) {
  ld_text_append(&j->table, &j->begin, sizeof j->begin);
  ld_text_append(&j->table, &line, sizeof line);
  ld_text_append(&j->table, j->path, strlen(j->path) + 1);
}

/* The first line with its end. */
static size_t first_line(const char *text, size_t n) {
  const char *end = n ? memchr(text, '\n', n) : NULL;
  return end ? (size_t)(end - text) + 1 : n;
}

/* Without the end of the line. */
static size_t trimmed(const char *line, size_t n) {
  while (n && (line[n - 1] == '\n' || line[n - 1] == '\r')) n--;
  return n;
}

/* Writes the beginning of a part, which is held until its first line is known. */
static int release(joining *j, ld_error *err) {
  const char *at = j->held.bytes;
  size_t n = j->held.length, line = 0;
  const size_t mark = n >= 3 && !memcmp(at, "\xEF\xBB\xBF", 3) ? 3 : 0;
  j->holds = false;
  if (j->rule->header) line = first_line(at + mark, n - mark);
  if (j->first) {
    ld_text_append(&j->header, at + mark, trimmed(at + mark, line));
    put_part(j, 1);
    return write_text(j, at, n, err);
  }
  const size_t length = trimmed(at + mark, line);
  if (j->rule->header && (length != j->header.length || memcmp(at + mark, j->header.bytes, length) != 0))
    return ld_fail(
        err, LD_EFORMAT,
        "%s: its first line is not that of the files before it: give files with the same columns in the "
        "same order",
        j->path);
  put_part(j, j->rule->header ? 2 : 1);
  return write_text(j, at + mark + line, n - mark - line, err);
}

static int put_bytes(void *user, const char *bytes, size_t n, ld_error *err) {
  joining *j = user;
  if (!j->holds) return write_text(j, bytes, n, err);
  ld_text_append(&j->held, bytes, n);
  const bool line = j->held.length && memchr(j->held.bytes, '\n', j->held.length);
  return line || j->held.length > LONGEST_HEADER ? release(j, err) : 0;
}

static int copy(const ld_map *map, joining *j, ld_error *err) {
  int rc = 0;
  for (size_t at = 0; at < map->length && !rc; at += PIECE)
    rc = put_bytes(j, map->bytes + at, map->length - at < PIECE ? map->length - at : PIECE, err);
  return rc;
}

static int add_map(joining *j, const ld_map *map, ld_error *err) {
  const ld_packing *named = ld_packing_named(j->path), *is = ld_packing_of_bytes(map->bytes, map->length);
  if (!map->length) return ld_fail(err, LD_EFORMAT, "%s: is empty", j->path);
  if (named && is != named)
    return ld_fail(err, LD_EFORMAT, "%s: is not %s data, as its name says: give it the name of what it is",
                   j->path, named->name);
  int rc = named ? named->unpack(map->bytes, map->length, j->path, put_bytes, j, err) : copy(map, j, err);
  if (!rc && j->holds) rc = release(j, err);
  return rc;
}

static int add_file(joining *j, const char *path, bool last, ld_error *err) {
  ld_map map;
  j->path = path;
  j->begin = j->written;
  j->holds = true;
  ld_text_clear(&j->held);
  int rc = ld_map_open(path, &map, err);
  if (!rc) rc = add_map(j, &map, err);
  ld_map_close(&map);
  if (rc || last) return rc;
  if (j->last != '\n') rc = write_text(j, "\n", 1, err);
  return rc ? rc : write_text(j, j->rule->between, strlen(j->rule->between), err);
}

static uint64_t hash_table(const char *table, const tail *t) {
  return ld_hash(ld_hash(0, table, t->table_bytes), t, offsetof(tail, table_hash));
}

static uint64_t hash_text(const char *text, uint64_t n, int n_threads) {
  ld_region region = {text, n, 0};
  ld_hash_regions(&region, 1, n_threads);
  return region.hash;
}

/* Writes the table and the tail after the text, whose hash is found by reading it again. */
static int end_file(joining *j, size_t n, ld_error *err) {
  ld_map map;
  int rc = ld_map_open(j->out, &map, err);
  if (rc) return rc;
  tail t = {.text_bytes = j->written, .table_bytes = j->table.length, .n_parts = n, .magic = MAGIC};
  t.text_hash = hash_text(map.bytes, j->written, 1);
  t.table_hash = hash_table(j->table.bytes, &t);
  ld_map_close(&map);
  rc = ld_write_all(j->file, j->table.bytes, j->table.length, j->out, err);
  return rc ? rc : ld_write_all(j->file, &t, sizeof t, j->out, err);
}

int ld_joined_put(int file, const char *out, char *const *paths, size_t n, const ld_join_rule *rule,
                  ld_error *err) {
  joining j = {.file = file, .out = out, .rule = rule};
  int rc = 0;
  for (size_t i = 0; i < n && !rc; i++) {
    j.first = i == 0;
    rc = add_file(&j, paths[i], i + 1 == n, err);
  }
  if (!rc) rc = end_file(&j, n, err);
  ld_text_free(&j.held);
  ld_text_free(&j.header);
  ld_text_free(&j.table);
  return rc;
}

static int fail_damaged(const char *path, ld_error *err) {
  return ld_fail(err, LD_EFORMAT, "%s: is damaged", path);
}

/* Reads the table, which has passed its checksum. */
static bool read_table(ld_joined *joined, const char *at, const tail *t) {
  const char *end = at + t->table_bytes;
  if (!t->n_parts || t->n_parts > t->table_bytes) return false;
  joined->parts = ld_alloc(t->n_parts, sizeof *joined->parts);
  for (; joined->n < t->n_parts; joined->n++) {
    ld_joined_part *p = &joined->parts[joined->n];
    if (end - at < 17) return false;
    memcpy(&p->begin, at, sizeof p->begin);
    memcpy(&p->line, at + 8, sizeof p->line);
    at += 16;
    const char *nul = memchr(at, 0, (size_t)(end - at));
    if (!nul || p->begin > t->text_bytes || (joined->n ? p->begin < p[-1].begin : p->begin != 0))
      return false;
    p->path = ld_strdup(at);
    at = nul + 1;
  }
  return at == end;
}

static int read_file(ld_joined *joined, const char *path, int n_threads, ld_error *err) {
  const ld_map *map = &joined->map;
  tail t;
  if (map->length < sizeof t) return fail_damaged(path, err);
  const uint64_t rest = map->length - sizeof t;
  memcpy(&t, map->bytes + rest, sizeof t);
  if (memcmp(t.magic, MAGIC, sizeof t.magic) != 0 || t.text_bytes > rest ||
      t.table_bytes != rest - t.text_bytes)
    return fail_damaged(path, err);
  const char *table = map->bytes + t.text_bytes;
  if (hash_table(table, &t) != t.table_hash || !read_table(joined, table, &t)) return fail_damaged(path, err);
  if (n_threads && hash_text(map->bytes, t.text_bytes, n_threads) != t.text_hash)
    return fail_damaged(path, err);
  joined->text = t.text_bytes;
  joined->hash = t.text_hash;
  return 0;
}

int ld_joined_open(const char *path, int n_threads, uint64_t hash, ld_joined **out, ld_error *err) {
  ld_joined *joined = ld_alloc(1, sizeof *joined);
  int rc = ld_map_open(path, &joined->map, err);
  if (!rc) rc = read_file(joined, path, n_threads, err);
  if (!rc && !n_threads && joined->hash != hash)
    rc = ld_fail(err, LD_EMISMATCH, "%s: is another file than the one that is expected there", path);
  *out = rc ? NULL : joined;
  if (rc) ld_joined_close(joined);
  return rc;
}

void ld_joined_close(ld_joined *joined) {
  if (!joined) return;
  for (size_t i = 0; i < joined->n; i++) free(joined->parts[i].path);
  free(joined->parts);
  ld_map_close(&joined->map);
  free(joined);
}

const ld_joined_part *ld_joined_find(const ld_joined *joined, uint64_t offset) {
  size_t i = joined->n - 1;
  while (i && joined->parts[i].begin > offset) i--;
  return &joined->parts[i];
}

static int read_units(const ld_source *source, uint64_t offset, uint64_t n, ld_bytes *out, ld_error *err) {
  (void)err;
  out->at = source->map.bytes + offset;
  out->length = n;
  return 0;
}

static uint64_t stamp(const ld_source *source) {
  return source->joined->hash;
}

static int digest(const ld_source *source, ld_digests *digests, ld_contents *out, ld_error *err) {
  (void)digests, (void)err;
  *out = (ld_contents){.bytes = source->joined->hash};
  return 0;
}

static void close_joined(ld_source *source) {
  ld_joined_close((ld_joined *)(uintptr_t)source->joined);
  source->map = (ld_map){0};
}

static const ld_source_kind kind = {
    .read = read_units, .stamp = stamp, .digest = digest, .close = close_joined};

ld_source *ld_source_joined(const char *path, ld_joined *joined) {
  ld_source *source = ld_source_create(&kind, path);
  source->joined = joined;
  source->map = (ld_map){joined->map.bytes, joined->text};
  source->length = joined->text;
  return source;
}
