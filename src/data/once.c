#include "data/once.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/machine.h"
#include "base/memory.h"
#include "io/file.h"

/* The lowest rank of the host that sees the same as this one. */
static int leader_of(ld_comm *node, uint64_t see) {
  void *all;
  size_t bytes;
  ld_comm_gather_all(node, &see, sizeof see, &all, &bytes);
  int leader = 0;
  while (((const uint64_t *)all)[leader] != see) leader++;
  free(all);
  return leader;
}

int ld_once_a_host(ld_comm *comm, uint64_t see, int (*find)(void *user, ld_error *err), void *user,
                   void *result, size_t bytes, ld_error *err) {
  ld_comm *node = ld_comm_of_node(comm);
  const int leader = leader_of(node, see);
  const bool leads = leader == ld_comm_rank(node);
  const int rc = leads ? ld_comm_meanwhile(comm, find, user, err) : 0;
  void *all;
  size_t total;
  ld_comm_gather_all(node, result, bytes, &all, &total);
  memcpy(result, (const char *)all + (size_t)leader * bytes, bytes);
  free(all);
  ld_comm_leave(node);
  return rc;
}

bool ld_once_is_one_copy(ld_comm *comm, bool there, uint64_t see) {
  uint64_t first = see;
  ld_comm_broadcast(comm, &first, sizeof first, 0);
  int64_t differs = !there || first != see || ld_comm_nodes(comm) > 1;
  ld_comm_max_i64(comm, &differs, 1);
  return !differs;
}

/* The number of cores that this rank may use, or that all ranks of its host have together. */
static int n_threads(const ld_comm *comm, const ld_options *options) {
  uint64_t cores[LD_CORE_WORDS];
  ld_machine_cores(cores);
  const int mine = ld_machine_count_cores(cores), ranks = (int)options->threads * ld_comm_node_size(comm);
  return mine > ranks ? mine : ranks;
}

/* Rank 0's files, read and written beside the watch. */
typedef struct keeping {
  ld_digests *digests;
  const char *folder;
} keeping;

static int read_kept(void *self, ld_error *err) {
  const keeping *k = self;
  (void)err;
  ld_digests_read(k->digests, k->folder);
  return 0;
}

const char *ld_once_folder(const ld_options *options, const char *own) {
  if (!options->cache) return own;
  return strcmp(options->cache, "none") ? options->cache : NULL;
}

ld_digests *ld_once_open(ld_comm *comm, const ld_options *options, const char *folder) {
  ld_digests *digests = ld_digests_create(ld_comm_host(comm), n_threads(comm, options));
  if (!folder || options->verify) return digests;
  ld_text lines = {0};
  ld_comm_by_first(comm, read_kept, &(keeping){digests, folder}, NULL);
  if (ld_comm_rank(comm) == 0) ld_digests_put(digests, false, &lines);
  ld_comm_broadcast_text(comm, &lines, 0);
  if (ld_comm_rank(comm)) ld_digests_take(digests, lines.bytes, lines.length, false);
  ld_text_free(&lines);
  return digests;
}

static int keep(void *self, ld_error *err) {
  const keeping *k = self;
  const int rc = ld_make_folders(k->folder, err);
  return rc ? rc : ld_digests_write(k->digests, k->folder, err);
}

void ld_once_keep(ld_comm *comm, ld_digests *digests, const char *folder) {
  if (!folder) return;
  ld_text mine = {0};
  void *all;
  size_t bytes;
  ld_digests_put(digests, true, &mine);
  ld_comm_gather_all(comm, mine.bytes, mine.length, &all, &bytes);
  ld_text_free(&mine);
  keeping k = {digests, folder};
  ld_error why = {0};
  if (ld_comm_rank(comm) == 0 && bytes && !ld_digests_gave_up(digests)) {
    ld_digests_take(digests, all, bytes, true);
    if (ld_comm_meanwhile(comm, keep, &k, &why)) {
      ld_digests_give_up(digests);
      ld_warn("%s; the digests are not kept, so the next start reads all files again", why.text);
    }
  }
  free(all);
}
