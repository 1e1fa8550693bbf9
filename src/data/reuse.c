/* The file: a hash table of keys and places, which all ranks of the host map, and after it the results. A rank adds a
 * result at the end, then its key. Where two ranks add the same one at the same time, one copy is not found again. */
#include "data/reuse.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "io/file.h"

/* Reading a number takes about as long as so many multiply-adds. */
enum { LEAST_WORK = 500 };

typedef struct slot {
  _Atomic uint64_t key;   /* 0: free */
  _Atomic uint64_t place; /* of its bytes in the file; 0: not there yet */
} slot;

typedef struct table {
  _Atomic uint64_t end; /* of the file */
  uint64_t mask;        /* slots - 1 */
  slot slots[];
} table;

struct ld_reuse {
  ld_keeper keeper;
  table *table;
  size_t table_bytes;
  int file;
  bool full; /* nothing more can be written */
  char *folder;
};

/* The key's slot, or the free one for it; NULL when the table is full. */
static slot *find(const ld_reuse *r, uint64_t key) {
  for (uint64_t i = 0; i <= r->table->mask; i++) {
    slot *s = &r->table->slots[(key + i) & r->table->mask];
    const uint64_t found = atomic_load_explicit(&s->key, memory_order_acquire);
    if (!found || found == key) return s;
  }
  return NULL;
}

static uint64_t place_of(const ld_reuse *r, uint64_t key) {
  const slot *s = find(r, key);
  if (!s || atomic_load_explicit(&s->key, memory_order_acquire) != key) return 0;
  return atomic_load_explicit(&s->place, memory_order_acquire);
}

static bool has(void *self, uint64_t key) {
  return place_of(self, key | 1) != 0;
}

static bool read_result(void *self, uint64_t key, float *out, size_t n) {
  const ld_reuse *r = self;
  off_t at = (off_t)place_of(r, key | 1);
  char *to = (char *)out;
  for (size_t left = n * sizeof *out; left;) {
    const ssize_t got = pread(r->file, to, left, at);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    to += got;
    at += got;
    left -= (size_t)got;
  }
  return true;
}

static bool write_at(const ld_reuse *r, const float *numbers, size_t n, uint64_t place) {
  const char *from = (const char *)numbers;
  off_t at = (off_t)place;
  for (size_t left = n * sizeof *numbers; left;) {
    const ssize_t written = pwrite(r->file, from, left, at);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    from += written;
    at += written;
    left -= (size_t)written;
  }
  return true;
}

static void write_result(void *self, uint64_t key, const float *numbers, size_t n) {
  ld_reuse *r = self;
  key |= 1;
  slot *s = r->full ? NULL : find(r, key);
  uint64_t none = 0;
  if (!s) return;
  const uint64_t place = atomic_fetch_add(&r->table->end, n * sizeof *numbers);
  if (!write_at(r, numbers, n, place)) {
    r->full = true;
    ld_warn(
        "%s: no more results of frozen layers can be kept there (%s): those that are missing are computed in "
        "each epoch; --scratch names another folder",
        r->folder, strerror(errno ? errno : ENOSPC));
    return;
  }
  while (!atomic_compare_exchange_strong(&s->key, &none, key)) {
    if (none == key) return; /* another rank was first */
    s = find(r, key);
    none = 0;
    if (!s) return;
  }
  atomic_store_explicit(&s->place, place, memory_order_release);
}

/* The size of the table for so many results: at most half of its slots are used. */
static uint64_t slots_for(int64_t n_results) {
  uint64_t n = 64;
  while (n < 2 * (uint64_t)n_results) n *= 2;
  return n;
}

static bool map_table(ld_reuse *r, uint64_t n_slots, bool makes) {
  r->table_bytes = sizeof(table) + n_slots * sizeof(slot);
  if (makes && ftruncate(r->file, (off_t)r->table_bytes)) return false;
  void *memory = mmap(NULL, r->table_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, r->file, 0);
  if (memory == MAP_FAILED) return false;
  r->table = memory;
  if (!makes) return true;
  r->table->mask = n_slots - 1;
  atomic_store(&r->table->end, (r->table_bytes + 63) / 64 * 64);
  return true;
}

/* The first rank of a host makes the file; the others open it before its name goes. */
static bool open_file(ld_comm *node, ld_reuse *r, uint64_t n_slots) {
  const bool makes = ld_comm_rank(node) == 0;
  char *path = makes ? ld_path_join(r->folder, "lora_dist.kept.XXXXXX") : NULL;
  ld_text name = {0};
  if (makes) {
    r->file = mkostemp(path, O_CLOEXEC);
    if (r->file >= 0 && map_table(r, n_slots, true)) ld_text_puts(&name, path);
  }
  ld_comm_broadcast_text(node, &name, 0);
  if (!makes && name.length) {
    r->file = open(name.bytes, O_RDWR | O_CLOEXEC);
    if (r->file >= 0) map_table(r, n_slots, false);
  }
  ld_comm_barrier(node);
  if (makes && r->file >= 0) unlink(path);
  ld_text_free(&name);
  free(path);
  return r->table != NULL;
}

ld_reuse *ld_reuse_open(ld_comm *comm, const char *folder, int64_t n_results, bool all) {
  ld_comm *node = ld_comm_of_node(comm);
  ld_reuse *r = ld_alloc(1, sizeof *r);
  r->file = -1;
  r->folder = ld_strdup(folder ? folder : ld_temporary_folder());
  r->keeper = (ld_keeper){r, all ? 0 : LEAST_WORK, has, read_result, write_result};
  errno = 0;
  const bool here = open_file(node, r, slots_for(n_results));
  const int why = errno;
  ld_comm_leave(node);
  int64_t failed = !here;
  ld_comm_max_i64(comm, &failed, 1);
  if (!failed) return r;
  if (!here)
    ld_warn(
        "%s: results of frozen layers cannot be kept there (%s), and are computed in each epoch; --scratch "
        "names another folder",
        r->folder, strerror(why));
  ld_reuse_close(r);
  return NULL;
}

void ld_reuse_close(ld_reuse *r) {
  if (!r) return;
  if (r->table) munmap(r->table, r->table_bytes);
  if (r->file >= 0) close(r->file);
  free(r->folder);
  free(r);
}

const ld_keeper *ld_reuse_keeper(const ld_reuse *r) {
  return &r->keeper;
}

int64_t ld_reuse_bytes(const ld_reuse *r) {
  return (int64_t)(atomic_load(&r->table->end) - (r->table_bytes + 63) / 64 * 64);
}

const char *ld_reuse_folder(const ld_reuse *r) {
  return r->folder;
}
