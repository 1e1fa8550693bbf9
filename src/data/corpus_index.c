#include "data/corpus_index.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "data/fetch.h"
#include "data/once.h"
#include "io/dataset/index_file.h"
#include "io/file.h"

/* Every rank learns the labels of all parts; this rank's records then number names by the union. */
static int join_labels(const ld_corpus *corpus, ld_index *index, ld_labels *all_labels, ld_comm *comm,
                       ld_error *err) {
  ld_text mine = {0};
  void *all;
  size_t bytes, n = 0;
  ld_labels_put(&index->labels, &mine);
  ld_comm_gather_all(comm, mine.bytes, mine.length, &all, &bytes);
  ld_text_free(&mine);
  ld_labels *parts = ld_alloc((size_t)ld_comm_size(comm), sizeof *parts);
  int rc = 0;
  for (const char *at = all, *end = at + bytes; !rc && at < end && n < (size_t)ld_comm_size(comm); n++)
    rc = ld_labels_take(&at, end, &parts[n], err);
  if (!rc) rc = ld_labels_merge(parts, n, all_labels, err);
  if (rc) ld_fail_prefix(err, rc, "%s", ld_dataset_path(corpus->dataset));
  if (!rc) rc = ld_index_renumber(index, all_labels, err);
  for (size_t i = 0; i < n; i++) ld_labels_free(&parts[i]);
  free(parts);
  free(all);
  return ld_comm_agree(comm, rc, err);
}

/* Reads all of a part, which takes time in proportion to its size. */
typedef struct index_work {
  const ld_dataset *dataset;
  int part, n_parts;
  ld_index *out;
} index_work;

static int index_part(void *user, ld_error *err) {
  const index_work *work = user;
  return ld_dataset_index(work->dataset, work->part, work->n_parts, work->out, err);
}

/* Adds up all ranks' counts of unused keys. */
static void join_unused(ld_tally *mine, ld_comm *comm) {
  ld_text bytes = {0};
  ld_tally joined = {0};
  void *all;
  size_t length;
  ld_tally_put(mine, &bytes);
  ld_comm_gather_all(comm, bytes.bytes, bytes.length, &all, &length);
  ld_text_free(&bytes);
  const char *at = all, *end = at + length;
  while (at < end && ld_tally_take(&at, end, &joined)) continue;
  ld_tally_free(mine);
  *mine = joined;
  free(all);
}

/* Adds up what the ranks have counted, and finds the first error of all. */
static void join_counts(ld_index *index, ld_comm *comm) {
  ld_error first = index->first_skipped; /* of the lowest rank that met one, as for an error */
  ld_comm_agree(comm, index->n_skipped ? first.code : 0, &first);
  int64_t counts[] = {(int64_t)index->n_empty, (int64_t)index->n_skipped, (int64_t)index->n_turned,
                      (int64_t)index->n_blended};
  ld_comm_sum_i64(comm, counts, sizeof counts / sizeof *counts);
  index->n_empty = (size_t)counts[0];
  index->n_skipped = (size_t)counts[1];
  index->n_turned = (size_t)counts[2];
  index->n_blended = (size_t)counts[3];
  index->first_skipped = first;
  join_unused(&index->unused, comm);
}

/* Gives rank 0 all records; the others keep none. */
static void collect_records(const ld_corpus *corpus, ld_index *index, ld_comm *comm) {
  for (int rank = 1; rank < corpus->n_ranks; rank++) {
    if (!corpus->reads[rank]) continue;
    uint64_t n = index->n;
    if (ld_comm_rank(comm) == rank) {
      ld_comm_send(comm, &n, sizeof n, 0);
      ld_comm_send(comm, index->records, n * sizeof *index->records, 0);
    } else if (ld_comm_rank(comm) == 0) {
      ld_comm_receive(comm, &n, sizeof n, rank);
      index->records = ld_realloc(index->records, index->n + n + 1, sizeof *index->records);
      ld_comm_receive(comm, index->records + index->n, n * sizeof *index->records, rank);
      index->n += n;
    }
  }
  if (ld_comm_rank(comm) == 0) return;
  free(index->records);
  index->records = NULL;
  index->n = 0;
}

/* Makes the index: all of it on rank 0, without the records on the others. Collective. */
static int make_index(const ld_corpus *corpus, ld_comm *comm, ld_index *index, ld_error *err) {
  const int rank = ld_comm_rank(comm);
  index_work work = {corpus->dataset, 0, corpus->n_readers, index};
  ld_labels all = {0};
  for (int i = 0; i < rank; i++) work.part += corpus->reads[i];
  int rc = corpus->reads[rank] ? ld_comm_meanwhile(comm, index_part, &work, err) : 0;
  rc = ld_comm_agree(comm, rc, err);
  if (!rc) rc = join_labels(corpus, index, &all, comm, err);
  ld_labels_free(&index->labels);
  index->labels = all;
  if (rc) return rc;
  join_counts(index, comm);
  collect_records(corpus, index, comm);
  return 0;
}

/* Where the index is kept, on rank 0. */
typedef struct kept {
  const ld_corpus *corpus;
  ld_index *index;
  char *path, *key; /* NULL: nowhere */
  uint64_t seal;    /* of the file; 0: there is none */
  int n_threads;
} kept;

/* Everything that the index follows from, as text. */
static char *make_key(const ld_corpus *corpus) {
  const ld_options *options = corpus->options;
  char settings[LD_DIGEST_TEXT + 1];
  ld_text key = {0};
  ld_model_folder_settings(options->model, settings);
  ld_text_printf(&key, "program %s\ndata %s\nsettings %s\nobjective %s\n", LD_VERSION, corpus->digest,
                 settings, corpus->base->objective->name);
  ld_model_folder_put_vocabularies(options->model, &key);
  ld_dataset_put_key(corpus->dataset, &key);
  return key.bytes;
}

/* The most tokens that the plan may find in a record. */
static int64_t most_tokens(const ld_corpus *corpus) {
  const ld_data_form *form = ld_dataset_form(corpus->dataset);
  if (form->continuous || form->pictures) return INT32_MAX;
  return ld_corpus_seq_len(corpus) + (form->apart ? ld_corpus_target_len(corpus) : 0);
}

/* LD_EFORMAT for a damaged index; LD_EFILE and LD_EMISMATCH where there is none of this key. */
static int read_kept(void *self, ld_error *err) {
  kept *k = self;
  const ld_corpus *c = k->corpus;
  int rc = ld_index_file_open(k->path, k->key, k->n_threads, k->index, &k->seal, err);
  const uint64_t units = ld_source_length(ld_dataset_source(c->dataset));
  if (!rc) rc = ld_index_check(k->index, units, c->n_sizes, most_tokens(c), err);
  if (!rc) return 0;
  ld_index_free(k->index);
  k->seal = 0;
  return rc;
}

/* Looks for the index in the folder, on rank 0. */
static void find_kept(kept *k, ld_comm *comm, const char *cache) {
  ld_error why = {0};
  k->key = make_key(k->corpus);
  k->path = ld_index_file_path(cache, k->key);
  if (ld_comm_meanwhile(comm, read_kept, k, &why) == LD_EFORMAT)
    ld_warn("%s (its checksum or its contents are wrong): the index of %s is made again", why.text,
            ld_dataset_path(k->corpus->dataset));
}

static int write_kept(void *self, ld_error *err) {
  kept *k = self;
  return ld_index_file_write(k->path, k->key, k->index, &k->seal, err);
}

/* Keeps a new index for the next start, and uses the file from now on. After a failure nothing else is kept, so that
 * there is one warning. On rank 0. */
static void keep(kept *k, ld_comm *comm) {
  ld_digests *digests = k->corpus->base->digests;
  ld_error why = {0};
  ld_index mapped = {0};
  if (ld_digests_gave_up(digests)) return;
  if (ld_comm_meanwhile(comm, write_kept, k, &why)) {
    k->seal = 0;
    ld_digests_give_up(digests);
    ld_warn(
        "%s; the index of %s is not kept, so the next start makes it again (--cache DIR keeps it elsewhere)",
        why.text, ld_dataset_path(k->corpus->dataset));
  } else if (!ld_index_file_map(k->path, k->seal, &mapped, NULL)) {
    ld_index_free(k->index);
    *k->index = mapped;
  }
}

/* Gives rank `root`'s index to all ranks of this communicator. Collective. */
static int broadcast_index(ld_comm *comm, ld_index *index, int root, ld_error *err) {
  const bool mine = ld_comm_rank(comm) == root;
  ld_text rest = {0};
  uint64_t n = index->n;
  int rc = 0;
  if (mine) ld_index_put_rest(index, &rest);
  ld_comm_broadcast_text(comm, &rest, root);
  ld_comm_broadcast(comm, &n, sizeof n, root);
  if (!mine) {
    ld_index_free(index);
    rc = ld_index_take_rest(rest.bytes, rest.length, index, err);
    index->records = ld_alloc(n + 1, sizeof *index->records);
    index->n = n;
  }
  ld_comm_broadcast(comm, index->records, n * sizeof *index->records, root);
  ld_text_free(&rest);
  return rc;
}

/* Reads the file at rank 0's path on another host, if it is there: a shared file system, or a copy. */
typedef struct look {
  const char *path;
  uint64_t seal;
  ld_index *index;
  int n_threads;
} look;

static int read_same(void *self, ld_error *err) {
  const look *l = self;
  ld_index found;
  const int rc = ld_index_file_map(l->path, l->seal, &found, err);
  if (rc) return rc;
  if (ld_index_file_seal(&found, l->n_threads) != l->seal) {
    ld_index_free(&found);
    return LD_EMISMATCH;
  }
  ld_index_free(l->index);
  *l->index = found;
  return 0;
}

/* The first rank of each host gets the index: from the file, or from rank 0. Collective. */
static int give_hosts(ld_comm *comm, bool leads, look *l, ld_error *err) {
  const bool first = ld_comm_rank(comm) == 0;
  const bool lacks = leads && !first && (!l->seal || ld_comm_meanwhile(comm, read_same, l, &(ld_error){0}));
  int64_t n_lacking = lacks;
  ld_comm_sum_i64(comm, &n_lacking, 1);
  if (!n_lacking) return 0;
  ld_comm *part = ld_comm_among(comm, lacks || first);
  const int rc = part ? broadcast_index(part, l->index, 0, err) : 0;
  ld_comm_leave(part);
  return ld_comm_agree(comm, rc, err);
}

/* Puts an index into a file that the other ranks of the host can map before its name goes. */
static int put_aside(void *self, ld_error *err) {
  look *l = self;
  char *path = ld_path_join(ld_temporary_folder(), "lora_dist.index.XXXXXX");
  ld_index mapped;
  const int file = mkostemp(path, O_CLOEXEC);
  int rc = file < 0 ? LD_EFILE : ld_index_file_put(file, path, "", l->index, &l->seal, err);
  if (file >= 0) close(file);
  if (!rc) rc = ld_index_file_map(path, l->seal, &mapped, err);
  if (rc) {
    if (file >= 0) unlink(path);
    free(path);
    return rc;
  }
  ld_index_free(l->index);
  *l->index = mapped;
  l->path = path;
  return 0;
}

/* The ranks of a host map their first rank's index; a rank that cannot has a copy. Collective. */
static int give_ranks(ld_comm *node, look *l, ld_error *err) {
  const bool leads = ld_comm_rank(node) == 0;
  if (ld_comm_size(node) == 1) return 0;
  const bool aside = leads && !l->index->map.bytes && !ld_comm_meanwhile(node, put_aside, l, &(ld_error){0});
  ld_text path = {0};
  if (leads && l->index->map.bytes) ld_text_puts(&path, l->path);
  ld_comm_broadcast_text(node, &path, 0);
  ld_comm_broadcast(node, &l->seal, sizeof l->seal, 0);
  ld_index mapped;
  const bool lacks = !leads && (!path.length || ld_index_file_map(path.bytes, l->seal, &mapped, NULL));
  if (!leads && !lacks) {
    ld_index_free(l->index);
    *l->index = mapped;
  }
  int64_t n_lacking = lacks;
  ld_comm_sum_i64(node, &n_lacking, 1);
  if (aside) unlink(path.bytes);
  if (aside) free((char *)(uintptr_t)l->path);
  ld_text_free(&path);
  ld_comm *part = n_lacking ? ld_comm_among(node, lacks || leads) : NULL;
  const int rc = part ? broadcast_index(part, l->index, 0, err) : 0;
  ld_comm_leave(part);
  return rc;
}

/* Gives rank 0's index to all ranks. Collective. */
static int share(kept *k, ld_comm *comm, ld_error *err) {
  ld_comm *node = ld_comm_of_node(comm);
  ld_text path = {0};
  if (k->seal) ld_text_puts(&path, k->path);
  ld_comm_broadcast_text(comm, &path, 0);
  ld_comm_broadcast(comm, &k->seal, sizeof k->seal, 0);
  look l = {.path = path.bytes, .seal = k->seal, .index = k->index, .n_threads = k->n_threads};
  int rc = give_hosts(comm, ld_comm_rank(node) == 0, &l, err);
  if (!rc) rc = give_ranks(node, &l, err);
  ld_comm_leave(node);
  ld_text_free(&path);
  return ld_comm_agree(comm, rc, err);
}

/* Reports the images that were skipped, turned, and put on white. */
static void report_images(const ld_corpus *corpus, const ld_index *index) {
  const char *class_data = ld_dataset_asked(corpus->dataset)->class_data;
  const long long n_skipped = (long long)index->n_skipped, n_turned = (long long)index->n_turned,
                  n_blended = (long long)index->n_blended;
  ld_text path = {0};
  ld_text_printf(&path, "%s%s%s", ld_dataset_path(corpus->dataset), class_data ? " and " : "",
                 class_data ? class_data : "");
  if (n_skipped && !(corpus->labelled && !corpus->n_records)) { /* otherwise ld_corpus_plan reports it */
    ld_warn("skipped: %s", index->first_skipped.text);
    ld_warn("%s: %lld unreadable %s skipped (--strict makes that an error)", path.bytes, n_skipped,
            ld_plural(n_skipped, "image is", "images are"));
  }
  if (n_turned)
    ld_info("images  %s: %lld %s turned upright as the orientation in the file says", path.bytes, n_turned,
            ld_plural(n_turned, "is", "are"));
  if (n_blended)
    ld_info("images  %s: %lld %s transparent parts, which are put on white", path.bytes, n_blended,
            ld_plural(n_blended, "has", "have"));
  ld_text_free(&path);
}

/* Reports what the records hold that is not used, whether they were indexed now or earlier. */
static void report(const ld_corpus *corpus, const ld_index *index) {
  const long long n_empty = (long long)index->n_empty;
  ld_dataset_warn_unused(corpus->dataset, "the keys", &index->unused);
  if (n_empty)
    ld_warn("%s: %lld %s left out", ld_dataset_path(corpus->dataset), n_empty,
            ld_plural(n_empty, "record has no token and is", "records have no token and are"));
  report_images(corpus, index);
}

/* The corpus takes what it needs of the index. */
static void take_index(ld_corpus *corpus, ld_index *index) {
  corpus->records = index->records;
  corpus->n_records = (int64_t)index->n;
  corpus->map = index->map;
  corpus->labels = index->labels;
  corpus->n_skipped = (int64_t)index->n_skipped;
  corpus->first_skipped = index->first_skipped;
  index->records = NULL;
  index->map = (ld_map){0};
  index->labels = (ld_labels){0};
}

/* Makes the index, and keeps it unless nothing is to be written. Collective. */
static int make_and_keep(kept *k, ld_comm *comm, ld_error *err) {
  int rc = make_index(k->corpus, comm, k->index, err);
  if (rc || ld_comm_rank(comm) || !k->path || k->corpus->options->dry_run) return rc;
  if (!ld_corpus_check(k->corpus, NULL))
    keep(k, comm); /* a change meanwhile is reported before the next step */
  return 0;
}

int ld_corpus_index(ld_corpus *corpus, ld_comm *comm, const char *cache, ld_error *err) {
  ld_index index = {0};
  kept k = {.corpus = corpus,
            .index = &index,
            .n_threads = corpus->base->digests ? ld_digests_threads(corpus->base->digests) : 1};
  ld_dataset_set_lengths(corpus->dataset, ld_corpus_seq_len(corpus), ld_corpus_target_len(corpus));
  int rc = cache ? ld_corpus_find_digest(corpus, comm, err) : 0;
  if (rc) return rc;
  if (cache && ld_comm_rank(comm) == 0) find_kept(&k, comm, cache);
  bool found = k.seal != 0;
  ld_comm_broadcast(comm, &found, sizeof found, 0);
  if (!found) rc = make_and_keep(&k, comm, err);
  if (!found && k.seal) corpus->kept = ld_strdup(k.path);
  if (found) ld_info("index   %s: read from %s", ld_dataset_path(corpus->dataset), k.path ? k.path : "");
  if (!rc) rc = share(&k, comm, err);
  if (!rc) take_index(corpus, &index);
  if (!rc) report(corpus, &index);
  ld_index_free(&index);
  free(k.path);
  free(k.key);
  return rc;
}
