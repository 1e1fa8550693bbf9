/* Records that came from a rank with the data. */
#include "io/dataset/source_received.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

typedef struct record_place {
  uint64_t offset, n; /* in units */
  const char *at, *name;
  size_t length;
} record_place;

typedef struct received {
  char *opening, *bytes;
  record_place *places; /* into `bytes`, sorted by offset */
  size_t n, room;
} received;

/* The head of a record; its name, with a NUL, and its bytes follow. All ranks of a job have one byte order. */
typedef struct record_head {
  uint64_t offset, n, name_length /* with the NUL; 0 without a name */, length;
} record_head;

int ld_source_put(const ld_source *source, uint64_t offset, uint64_t n, ld_text *out, ld_error *err) {
  ld_bytes bytes;
  const int rc = ld_source_read(source, offset, n, &bytes, err);
  if (rc) return rc;
  const record_head h = {offset, n, bytes.name ? strlen(bytes.name) + 1 : 0, bytes.length};
  ld_text_append(out, &h, sizeof h);
  if (bytes.name) ld_text_append(out, bytes.name, h.name_length);
  ld_text_append(out, bytes.at, bytes.length);
  ld_bytes_free(&bytes);
  return 0;
}

static int by_offset(const void *a, const void *b) {
  const uint64_t x = ((const record_place *)a)->offset, y = ((const record_place *)b)->offset;
  return (x > y) - (x < y);
}

static int received_read(const ld_source *source, uint64_t offset, uint64_t n, ld_bytes *out, ld_error *err) {
  const received *r = source->own;
  const record_place key = {.offset = offset};
  const record_place *found = r->n ? bsearch(&key, r->places, r->n, sizeof key, by_offset) : NULL;
  if (!found)
    return ld_fail(err, LD_EFILE, "%s: a record is read that was not fetched by this rank", source->path);
  if (found->n != n)
    return ld_fail(err, LD_EMISMATCH, "%s: a record was received with another length than the index gives it",
                   source->path);
  *out = (ld_bytes){.at = found->at, .length = found->length, .name = found->name};
  return 0;
}

static void received_close(ld_source *source) {
  received *r = source->own;
  free(r->opening);
  free(r->bytes);
  free(r->places);
  free(r);
}

static const ld_source_kind kind = {.read = received_read, .close = received_close};

typedef struct opening_head {
  uint64_t source_length, length;
} opening_head;

void ld_source_put_opening(const ld_source *source, ld_text *out) {
  const opening_head h = {source->length, source->opening.length};
  ld_text_append(out, &h, sizeof h);
  ld_text_append(out, source->opening.at, source->opening.length);
}

int ld_source_of_opening(const char *path, const char *bytes, size_t length, ld_source **out, ld_error *err) {
  opening_head h;
  *out = NULL;
  if (length >= sizeof h) memcpy(&h, bytes, sizeof h);
  if (length < sizeof h || h.length != length - sizeof h)
    return ld_fail(err, LD_EFORMAT, "%s: its opening was received incomplete", path);
  ld_source *source = *out = ld_source_create(&kind, path);
  received *r = source->own = ld_alloc(1, sizeof *r);
  source->length = h.source_length;
  r->opening = memcpy(ld_alloc(h.length, 1), bytes + sizeof h, h.length);
  source->opening = (ld_bytes){.at = r->opening, .length = h.length};
  return 0;
}

/* Takes one record from [*at, end) and moves *at past it; false when it is incomplete. */
static bool take(received *r, const char **at, const char *end) {
  record_head h;
  if ((size_t)(end - *at) < sizeof h) return false;
  memcpy(&h, *at, sizeof h);
  *at += sizeof h;
  const size_t rest = (size_t)(end - *at);
  if (h.name_length > rest || h.length > rest - h.name_length) return false;
  if (h.name_length && (*at)[h.name_length - 1]) return false;
  r->places = ld_grow(r->places, r->n, &r->room, sizeof *r->places);
  r->places[r->n++] = (record_place){.offset = h.offset,
                                     .n = h.n,
                                     .at = *at + h.name_length,
                                     .name = h.name_length ? *at : NULL,
                                     .length = h.length};
  *at += h.name_length + h.length;
  return true;
}

int ld_source_receive(ld_source *source, char *bytes, size_t length, ld_error *err) {
  received *r = source->own;
  free(r->bytes);
  r->bytes = bytes;
  r->n = 0;
  const char *at = bytes;
  while (length && at < bytes + length) {
    if (take(r, &at, bytes + length)) continue;
    r->n = 0;
    return ld_fail(err, LD_EFORMAT, "%s: the records were received incomplete", source->path);
  }
  if (r->n) qsort(r->places, r->n, sizeof *r->places, by_offset);
  return 0;
}
