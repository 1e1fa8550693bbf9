#include "data/distribute.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "base/machine.h"
#include "base/memory.h"
#include "data/fetch.h"
#include "data/once.h"
#include "io/file.h"
#include "io/hash.h"
#include "io/hub/adapter_formats.h"
#include "io/state/checkpoint_folder.h"
#include "load/base_adapter.h"

/* The bytes sent at a time, which a receiving host holds twice. */
enum { CHUNK = 32 << 20 };

/* Rank 0's files. `root` is their folder, or the file itself; then there is one name, which is empty. */
typedef struct file_list {
  char *root;
  char **names;
  size_t n;
} file_list;

/* A file as one rank sees it; -1 bytes: it cannot be read. */
typedef struct look {
  int64_t bytes;
  uint64_t hash;
} look;

static void free_list(file_list *list) {
  free(list->root);
  ld_names_free(list->names, list->n);
  *list = (file_list){0};
}

static char *file_path(const file_list *list, size_t i) {
  return list->names[i][0] ? ld_path_join(list->root, list->names[i]) : ld_strdup(list->root);
}

static file_list list_model(const char *path) {
  file_list list = {.root = ld_strdup(path)};
  list.names = ld_model_folder_files(path, &list.n);
  return list;
}

static file_list list_file(const char *path) {
  file_list list = {.root = ld_strdup(path), .names = ld_alloc(1, sizeof(char *))};
  if (ld_file_exists(path)) list.names[list.n++] = ld_strdup("");
  return list;
}

/* The files of a folder in one of the formats of adapters. */
static file_list list_format(const ld_adapter_format *format, const char *path) {
  file_list list = {.root = ld_folder_present(path), .names = ld_alloc(1, sizeof(char *))};
  size_t room = 1;
  for (size_t i = 0; format->files && format->files[i]; i++) {
    char *file = ld_path_join(list.root, format->files[i]);
    if (ld_file_exists(file)) {
      list.names = ld_grow(list.names, list.n, &room, sizeof *list.names);
      list.names[list.n++] = ld_strdup(format->files[i]);
    }
    free(file);
  }
  return list;
}

static file_list list_adapter(const char *path) {
  for (size_t i = 0; ld_adapter_formats[i]; i++) {
    file_list list = list_format(ld_adapter_formats[i], path);
    if (list.n) return list;
    free_list(&list);
  }
  char *file = ld_adapter_file(path);
  file_list list = list_file(file);
  free(file);
  return list;
}

/* Gives all ranks rank 0's list: the root and the names, each followed by a NUL. */
static void broadcast_list(ld_comm *comm, file_list *list) {
  ld_text text = {0};
  if (list->root) {
    ld_text_append(&text, list->root, strlen(list->root) + 1);
    for (size_t i = 0; i < list->n; i++) ld_text_append(&text, list->names[i], strlen(list->names[i]) + 1);
  }
  ld_comm_broadcast_text(comm, &text, 0);
  free_list(list);
  size_t room = 0;
  const char *at = text.bytes, *end = at + text.length;
  list->root = ld_strdup(at);
  for (at += strlen(at) + 1; at < end; at += strlen(at) + 1) {
    list->names = ld_grow(list->names, list->n, &room, sizeof *list->names);
    list->names[list->n++] = ld_strdup(at);
  }
  ld_text_free(&text);
}

/* One transfer as a rank sees it. */
typedef struct transfer {
  ld_comm *all, *node,
      *part;     /* all; the ranks of this host; rank 0 and one rank of each receiving host, NULL on others */
  bool receives; /* this rank receives for its host */
  const file_list *list;
  look *looks; /* rank 0's */
  ld_digests *digests;
  ld_distributed *out;
} transfer;

static int fail_memory(const transfer *t, const char *why, ld_error *err) {
  return ld_fail(
      err, LD_EMEMORY,
      "%s: host %s cannot take the %.1f MiB that it receives (%s): free memory there, or put the files "
      "where the host can read them",
      t->list->root, ld_comm_host(t->all), (double)t->out->bytes / 0x1p20, why);
}

static int make_files(transfer *t, ld_error *err) {
  ld_distributed *out = t->out;
  const int64_t there = ld_machine_memory();
  if (there >= 0 && there < out->bytes) return fail_memory(t, "not enough there", err);
  out->files = ld_alloc(t->list->n, sizeof *out->files);
  for (size_t i = 0; i < t->list->n; i++) {
    const int file = memfd_create("lora_dist file", MFD_CLOEXEC);
    if (file < 0) return fail_memory(t, strerror(errno), err);
    out->files[out->n_files++] = file;
  }
  return 0;
}

/* Sends one file to all of the part. A rank that fails keeps receiving, for the sake of the others. */
static int send_file(transfer *t, size_t i, char *room, ld_error *err) {
  ld_map map = {0};
  char *path = file_path(t->list, i);
  const bool sends = ld_comm_rank(t->part) == 0;
  int rc = sends ? ld_map_open(path, &map, err) : 0;
  const int64_t bytes = t->looks[i].bytes;
  if (!rc && sends && (int64_t)map.length != bytes)
    rc = ld_fail(err, LD_EFILE, "%s: changed while other hosts received it", path);
  const bool readable = sends && !rc;
  for (int64_t at = 0; at < bytes; at += CHUNK) {
    const size_t n = bytes - at < CHUNK ? (size_t)(bytes - at) : CHUNK;
    char *chunk = readable ? (char *)(uintptr_t)(map.bytes + at) : room; /* the sender's is only read */
    ld_comm_broadcast(t->part, chunk, n, 0);
    if (!rc && t->receives && ld_write_all(t->out->files[i], chunk, n, path, NULL))
      rc = fail_memory(t, strerror(errno), err);
  }
  ld_map_close(&map);
  free(path);
  return rc;
}

static int send_files(transfer *t, ld_error *err) {
  int rc = t->receives ? make_files(t, err) : 0;
  rc = ld_comm_agree(t->part, rc, err);
  char *room = rc ? NULL : ld_alloc(CHUNK, 1);
  for (size_t i = 0; !rc && i < t->list->n; i++) rc = ld_comm_agree(t->part, send_file(t, i, room, err), err);
  free(room);
  return rc;
}

static const char *link_name(const file_list *list, size_t i) {
  const char *slash = strrchr(list->root, '/');
  if (list->names[i][0]) return list->names[i];
  return slash ? slash + 1 : list->root;
}

/* A folder in which the files in memory appear under their names. They belong to this process, so only links
 * can outlive it. */
static int make_links(transfer *t, ld_error *err) {
  char *folder = ld_path_join(ld_temporary_folder(), "lora_dist.XXXXXX");
  int rc = 0;
  if (!mkdtemp(folder))
    rc = ld_fail(err, LD_EFILE,
                 "%s: cannot make this folder on host %s: %s: set TMPDIR to one that can be written to",
                 folder, ld_comm_host(t->all), strerror(errno));
  else
    t->out->links = ld_strdup(folder);
  for (size_t i = 0; !rc && i < t->out->n_files; i++) {
    char *file = ld_format("/proc/%ld/fd/%d", (long)getpid(), t->out->files[i]);
    char *link = ld_path_join(folder, link_name(t->list, i)), *place = ld_path_parent(link);
    rc = ld_make_folders(place, err);
    if (!rc && symlink(file, link))
      rc = ld_fail(err, LD_EFILE, "%s: cannot be made: %s", link, strerror(errno));
    free(link);
    free(place);
    free(file);
  }
  free(folder);
  return rc;
}

/* Gives the ranks of a receiving host the path at which they read. */
static int broadcast_path(transfer *t, ld_error *err) {
  ld_text text = {0};
  if (t->receives) ld_text_puts(&text, t->out->links);
  ld_comm_broadcast_text(t->node, &text, 0);
  const bool single = !t->list->names[0][0];
  char *path = single ? ld_path_join(text.bytes, link_name(t->list, 0)) : ld_strdup(text.bytes);
  ld_text_free(&text);
  free(t->out->path);
  t->out->path = path;
  char *first = single ? ld_strdup(path) : ld_path_join(path, t->list->names[0]);
  const int rc = ld_file_exists(first)
                     ? 0
                     : ld_fail(err, LD_EFILE,
                               "%s: host %s received it, but a rank there cannot read the memory of "
                               "another: start the ranks of a host in one container, by one user",
                               t->list->root, ld_comm_host(t->all));
  free(first);
  return rc;
}

static int send_all(ld_comm *comm, transfer *t, bool lacking, ld_error *err) {
  t->part = ld_comm_among(comm, t->receives || ld_comm_rank(comm) == 0);
  int rc = t->part ? send_files(t, err) : 0;
  ld_comm_leave(t->part);
  if (!rc && t->receives) rc = make_links(t, err);
  rc = ld_comm_agree(comm, rc, err);
  if (!rc && lacking) rc = broadcast_path(t, err);
  if (ld_comm_rank(comm) == 0 && lacking) { /* the only rank known to see the originals */
    free(t->out->path);
    t->out->path = ld_strdup(t->list->root);
    rc = 0;
  }
  return ld_comm_agree(comm, rc, err);
}

/* The stamps of all files as one number; the sizes go to `looks`. */
static uint64_t stamp_all(const file_list *list, look *looks) {
  uint64_t all = 0;
  for (size_t i = 0; i < list->n; i++) {
    char *path = file_path(list, i);
    const ld_stamp stamp = ld_stamp_of(path);
    looks[i] = (look){.bytes = stamp.bytes};
    all = ld_hash_u64(all, stamp.bytes < 0 ? 0 : stamp.id);
    free(path);
  }
  return all;
}

/* What one rank reads for its host. */
typedef struct host_reading {
  const transfer *t;
  look *looks; /* this rank's */
} host_reading;

/* Only files of the right sizes are read. A file that cannot be read counts as missing. */
static int read_looks(void *self, ld_error *err) {
  const host_reading *r = self;
  for (size_t i = 0; i < r->t->list->n; i++) {
    ld_contents contents = {0};
    char *path = file_path(r->t->list, i);
    const bool fits = r->looks[i].bytes == r->t->looks[i].bytes;
    if (fits && r->looks[i].bytes >= 0 && ld_digests_of_file(r->t->digests, path, &contents, err))
      r->looks[i].bytes = -1;
    r->looks[i].hash = contents.bytes;
    free(path);
  }
  return 0;
}

/* Warns of another file under the name of rank 0's: it may be a damaged copy. */
static void warn_of_others(ld_comm *comm, const transfer *t, const look *mine) {
  ld_error other = {0};
  for (size_t i = 0; i < t->list->n && !other.code; i++) {
    if (mine[i].bytes < 0 || !memcmp(&mine[i], &t->looks[i], sizeof *mine)) continue;
    char *path = file_path(t->list, i);
    ld_fail(&other, LD_EMISMATCH,
            "%s: rank %d on host %s sees another file than rank 0 on host %s (%s): it receives rank 0's",
            path, ld_comm_rank(comm), ld_comm_host(comm), ld_comm_host_of(comm, 0),
            mine[i].bytes == t->looks[i].bytes ? "the same length, other bytes" : "another length");
    free(path);
  }
  if (ld_comm_agree(comm, other.code, &other)) ld_warn("%s", other.text);
}

/* Whether any rank of this host sees other files than rank 0; finds the rank that receives for the host. */
static bool must_receive(ld_comm *comm, transfer *t) {
  const size_t size = t->list->n * sizeof(look);
  look *mine = ld_alloc(t->list->n, sizeof *mine);
  const uint64_t see = stamp_all(t->list, mine);
  memcpy(t->looks, mine, size);
  ld_comm_broadcast(comm, t->looks, size, 0);
  for (size_t i = 0; i < t->list->n; i++) t->out->bytes += t->looks[i].bytes > 0 ? t->looks[i].bytes : 0;
  int64_t differs = 0;
  if (!ld_once_is_one_copy(comm, true, see)) {
    host_reading r = {t, mine};
    ld_once_a_host(comm, see, read_looks, &r, mine, size, NULL);
    if (ld_comm_rank(comm) == 0) memcpy(t->looks, mine, size);
    ld_comm_broadcast(comm, t->looks, size, 0);
    differs = memcmp(t->looks, mine, size) != 0;
    warn_of_others(comm, t, mine);
  }
  free(mine);
  ld_comm_max_i64(t->node, &differs, 1);
  t->receives = differs && ld_comm_rank(t->node) == 0;
  return differs;
}

static int distribute_files(ld_comm *comm, const char *path, file_list (*list_files)(const char *path),
                            ld_digests *digests, ld_distributed *out, ld_error *err) {
  *out = (ld_distributed){.path = ld_strdup(path), .n_reading = ld_comm_nodes(comm)};
  if (ld_comm_size(comm) == 1) return 0;
  file_list list = {0};
  if (ld_comm_rank(comm) == 0) list = list_files(path);
  broadcast_list(comm, &list);
  transfer t = {.all = comm,
                .node = ld_comm_of_node(comm),
                .list = &list,
                .looks = ld_alloc(list.n, sizeof *t.looks),
                .digests = digests,
                .out = out};
  const bool lacking = list.n && must_receive(comm, &t);
  int64_t n_receiving = t.receives;
  ld_comm_sum_i64(comm, &n_receiving, 1);
  out->n_receiving = (int)n_receiving;
  out->n_reading -= (int)n_receiving;
  if (list.n) {
    free(out->path);
    out->path = ld_strdup(list.root);
  }
  out->received = lacking;
  const int rc = n_receiving ? send_all(comm, &t, lacking, err) : 0;
  ld_comm_leave(t.node);
  free(t.looks);
  free_list(&list);
  if (rc) ld_distributed_close(out);
  return rc;
}

int ld_distribute_model(ld_comm *comm, const char *path, ld_digests *digests, ld_distributed *out,
                        ld_error *err) {
  return distribute_files(comm, path, list_model, digests, out, err);
}

int ld_distribute_adapter(ld_comm *comm, const char *path, ld_digests *digests, ld_distributed *out,
                          ld_error *err) {
  return distribute_files(comm, path, list_adapter, digests, out, err);
}

int ld_distribute_file(ld_comm *comm, const char *path, ld_digests *digests, ld_distributed *out,
                       ld_error *err) {
  return distribute_files(comm, path, list_file, digests, out, err);
}

void ld_distributed_close(ld_distributed *distributed) {
  if (distributed->links) ld_remove_tree(distributed->links);
  for (size_t i = 0; i < distributed->n_files; i++) close(distributed->files[i]);
  free(distributed->files);
  free(distributed->links);
  free(distributed->path);
  *distributed = (ld_distributed){.n_reading = distributed->n_reading,
                                  .n_receiving = distributed->n_receiving,
                                  .received = distributed->received,
                                  .bytes = distributed->bytes};
}

/* What a rank reads while the others may check that it is alive. */
typedef struct opening {
  ld_base *base;
  const char *folder, *adapter;
  bool other_base;
} opening;

static int open_base(void *self, ld_error *err) {
  const opening *o = self;
  return ld_base_open(o->folder, o->base, err);
}

static int make_ready(void *self, ld_error *err) {
  const opening *o = self;
  return ld_base_make_ready(o->base, o->adapter, o->other_base, err);
}

/* The whole base is read only when an adapter must fit it, or when several hosts must hold the same one. */
int ld_distribute_open_ready(ld_comm *comm, const char *model, const char *adapter, bool other_base,
                             ld_digests *digests, ld_base *base, ld_error *err) {
  ld_distributed folder = {0}, file = {0};
  *base = (ld_base){0};
  int rc = ld_distribute_model(comm, model, digests, &folder, err);
  if (!rc && adapter) rc = ld_distribute_adapter(comm, adapter, digests, &file, err);
  opening o = {base, folder.path, file.path, other_base};
  if (!rc) rc = ld_comm_agree(comm, ld_comm_meanwhile(comm, open_base, &o, err), err);
  base->digests = digests;
  if (!rc && (adapter || ld_comm_nodes(comm) > 1))
    rc = ld_distribute_digest(comm, base->folder, digests, err);
  if (!rc) rc = ld_comm_agree(comm, ld_comm_meanwhile(comm, make_ready, &o, err), err);
  ld_distributed_close(&file);
  ld_distributed_close(&folder);
  return rc;
}

/* The digest of a rank's base, found once per host. */
typedef struct base_reading {
  const ld_model_folder *folder;
  ld_digests *digests;
  char digest[LD_DIGEST_TEXT + 1];
} base_reading;

static int read_base(void *self, ld_error *err) {
  base_reading *r = self;
  return ld_model_folder_find_digest(r->folder, r->digests, r->digest, err);
}

int ld_distribute_digest(ld_comm *comm, ld_model_folder *folder, ld_digests *digests, ld_error *err) {
  base_reading r = {.folder = folder, .digests = digests};
  char first[sizeof r.digest];
  int rc = ld_once_a_host(comm, ld_model_folder_stamp(folder), read_base, &r, r.digest, sizeof r.digest, err);
  rc = ld_comm_agree(comm, rc, err);
  if (rc) return rc;
  memcpy(first, r.digest, sizeof first);
  ld_comm_broadcast(comm, first, sizeof first, 0);
  if (strcmp(first, r.digest))
    rc = ld_fail(err, LD_EMISMATCH,
                 "%s: holds other weights on host %s than on host %s: copy it again, or remove it",
                 ld_model_folder_path(folder), ld_comm_host(comm), ld_comm_host_of(comm, 0));
  ld_model_folder_set_digest(folder, r.digest);
  return ld_comm_agree(comm, rc, err);
}

int ld_distribute_adapt(ld_comm *comm, const ld_options *options, ld_base *base, ld_error *err) {
  ld_digests *digests = ld_once_open(comm, options, ld_once_folder(options, NULL));
  int rc = ld_distribute_digest(comm, base->folder, digests, err);
  if (!rc) ld_once_keep(comm, digests, ld_once_folder(options, NULL));
  if (!rc) rc = ld_base_adapt_from(base, options->adapter, options->other_base, err);
  ld_digests_free(digests);
  return rc;
}

static void put_data(const char *name, const ld_corpus *data, ld_text *out) {
  if (!data) return;
  if (!ld_corpus_is_fetched(data))
    ld_text_printf(out, "; %s read by every rank", name);
  else
    ld_text_printf(out, "; %s read by %d rank%s, received by %d other%s", name, data->n_readers,
                   ld_plural(data->n_readers, "", "s"), data->n_ranks - data->n_readers,
                   ld_plural(data->n_ranks - data->n_readers, "", "s"));
}

void ld_distributed_put(const ld_distributed *model, const ld_corpus *data, const ld_corpus *valid,
                        ld_text *out) {
  const int n_reading = model->n_reading ? model->n_reading : 1; /* rank 0 reads in any case */
  if (!model->n_receiving && !ld_corpus_is_fetched(data) && !(valid && ld_corpus_is_fetched(valid))) {
    ld_text_puts(out, "read directly by every host");
    return;
  }
  if (model->n_receiving)
    ld_text_printf(out, "model read by %d host%s, received by %d (%.1f MiB each)", n_reading,
                   ld_plural(n_reading, "", "s"), model->n_receiving, (double)model->bytes / 0x1p20);
  else
    ld_text_puts(out, "model read by every host");
  put_data("data", data, out);
  put_data("validation data", valid, out);
}
