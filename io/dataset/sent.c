/* Records that were sent to where their file is not.
 *
 * Text keeps its offsets: the records stand at their places in a file in memory that is as long as the real
 * one and holds nothing else, so that a format reads them as it always does. Images lie one behind the other.
 */
#include "io/dataset/format.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/memory.h"

typedef struct place {
  uint64_t offset; /* of the record */
  size_t at, bytes;
} place;

struct ld_sent {
  int file;      /* of text; -1 of images */
  ld_text bytes; /* of images */
  place *places; /* sorted by offset */
  size_t n, room;
};

/* What stands before a record's bytes on the way. */
typedef struct head {
  uint64_t offset, bytes;
} head;

void ld_sent_put(uint64_t offset, const void *bytes, size_t length, ld_text *out) {
  const head h = {offset, length};
  ld_text_append(out, &h, sizeof h);
  ld_text_append(out, bytes, length);
}

static int fail_memory(const ld_dataset *dataset, ld_error *err) {
  return ld_fail(err, LD_EMEMORY, "%s: no memory for the records that are sent to this host: %s",
                 dataset->path, strerror(errno));
}

static int map_text(ld_dataset *dataset, ld_error *err) {
  ld_sent *sent = dataset->sent;
  sent->file = memfd_create("lora_dist data", MFD_CLOEXEC);
  if (sent->file < 0 || ftruncate(sent->file, (off_t)dataset->length)) return fail_memory(dataset, err);
  void *bytes = mmap(NULL, dataset->length, PROT_READ, MAP_SHARED, sent->file, 0);
  if (bytes == MAP_FAILED) return fail_memory(dataset, err);
  dataset->map = (ld_map){bytes, dataset->length};
  return 0;
}

int ld_sent_open(ld_dataset *dataset, ld_error *err) {
  dataset->sent = ld_alloc(1, sizeof *dataset->sent);
  dataset->sent->file = -1;
  if (dataset->form == LD_DATA_IMAGES || !dataset->length) return 0;
  return map_text(dataset, err);
}

void ld_sent_close(ld_sent *sent) {
  if (!sent) return;
  if (sent->file >= 0) close(sent->file);
  ld_text_free(&sent->bytes);
  free(sent->places);
  free(sent);
}

static void forget(ld_dataset *dataset) {
  ld_sent *sent = dataset->sent;
  sent->n = 0;
  ld_text_clear(&sent->bytes);
  if (sent->file >= 0)
    (void)fallocate(sent->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)dataset->length);
}

static int write_at(int file, uint64_t offset, const char *bytes, size_t n) {
  while (n) {
    const ssize_t written = pwrite(file, bytes, n, (off_t)offset);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return -1;
    bytes += written;
    offset += (uint64_t)written;
    n -= (size_t)written;
  }
  return 0;
}

static int take(ld_dataset *dataset, const head *h, const char *bytes, ld_error *err) {
  ld_sent *sent = dataset->sent;
  if (h->offset > dataset->length)
    return ld_fail(err, LD_EFORMAT, "%s: a record was sent that is not in it", dataset->path);
  sent->places = ld_grow(sent->places, sent->n, &sent->room, sizeof *sent->places);
  sent->places[sent->n++] = (place){h->offset, sent->bytes.length, h->bytes};
  if (sent->file < 0) {
    ld_text_append(&sent->bytes, bytes, h->bytes);
    return 0;
  }
  if (h->bytes > dataset->length - h->offset)
    return ld_fail(err, LD_EFORMAT, "%s: a record was sent that is not in it", dataset->path);
  return write_at(sent->file, h->offset, bytes, h->bytes) ? fail_memory(dataset, err) : 0;
}

static int by_offset(const void *a, const void *b) {
  const uint64_t x = ((const place *)a)->offset, y = ((const place *)b)->offset;
  return (x > y) - (x < y);
}

int ld_dataset_deliver(ld_dataset *dataset, const void *bytes, size_t length, ld_error *err) {
  const char *at = bytes;
  int rc = 0;
  forget(dataset);
  while (!rc && length) {
    head h;
    if (length < sizeof h)
      return ld_fail(err, LD_EFORMAT, "%s: records were cut off on their way", dataset->path);
    memcpy(&h, at, sizeof h);
    at += sizeof h, length -= sizeof h;
    if (length < h.bytes)
      return ld_fail(err, LD_EFORMAT, "%s: records were cut off on their way", dataset->path);
    rc = take(dataset, &h, at, err);
    at += h.bytes, length -= h.bytes;
  }
  if (dataset->sent->n)
    qsort(dataset->sent->places, dataset->sent->n, sizeof *dataset->sent->places, by_offset);
  return rc;
}

int ld_sent_find(const ld_dataset *dataset, const ld_record *record, const char **bytes, size_t *length,
                 ld_error *err) {
  const ld_sent *sent = dataset->sent;
  const place key = {.offset = record->offset};
  const place *found = sent->n ? bsearch(&key, sent->places, sent->n, sizeof key, by_offset) : NULL;
  if (!found)
    return ld_fail(err, LD_EFILE, "%s: a record is read that was not sent to this host", dataset->path);
  *bytes = sent->file < 0 ? sent->bytes.bytes + found->at : dataset->map.bytes + found->offset;
  *length = found->bytes;
  return 0;
}
