#include "data/join.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "data/once.h"
#include "io/dataset/files.h"
#include "io/file.h"
#include "io/hash.h"
#include "io/kept_file.h"

/* What rank 0 does beside the watch. */
typedef struct joining {
  const char *data, *cache;
  const ld_dataset_options *options;
  ld_digests *digests;
  ld_join *out;
  char **paths;
  size_t n;
  ld_join_rule rule;
  char *kept;       /* where it is kept; NULL: nowhere */
  bool keeps;       /* it may be written there */
  uint64_t hash;    /* of the text */
  ld_error damaged; /* what a warning says of a kept one, and of one that could not be kept */
  ld_error unkept;
} joining;

/* A number for the contents and the names of all files. */
static int find_key(joining *j, uint64_t *key, ld_error *err) {
  int rc = 0;
  *key = 0;
  for (size_t i = 0; i < j->n && !rc; i++) {
    ld_contents contents = {0};
    rc = ld_digests_of_file(j->digests, j->paths[i], &contents, err);
    *key = ld_hash_u64(ld_hash_string(*key, j->paths[i]), contents.bytes);
  }
  return rc;
}

/* Opens a joined file and reads all of it. */
static int look(joining *j, const char *path, ld_error *err) {
  ld_joined *joined;
  const int rc = ld_joined_open(path, ld_digests_threads(j->digests), 0, &joined, err);
  if (rc) return rc;
  j->hash = joined->hash;
  ld_joined_close(joined);
  ld_text_clear(&j->out->file);
  ld_text_puts(&j->out->file, path);
  return 0;
}

static int keep(joining *j, ld_error *err) {
  ld_kept_file file;
  int rc = ld_kept_file_begin(j->kept, ld_joined_is_name, &file, err);
  if (rc) return rc;
  rc = ld_kept_file_end(&file, ld_joined_put(file.file, file.part, j->paths, j->n, &j->rule, err), err);
  return rc ? rc : look(j, j->kept, err);
}

static int put_aside(joining *j, ld_error *err) {
  char *path = ld_path_join(ld_temporary_folder(), "lora_dist.data.XXXXXX");
  const int file = mkostemp(path, O_CLOEXEC);
  int rc = file < 0 ? ld_file_fail(path, "cannot create", err) : 0;
  if (!rc) rc = ld_joined_put(file, path, j->paths, j->n, &j->rule, err);
  if (file >= 0) rc = ld_close_written(file, path, rc, err);
  if (!rc) rc = look(j, path, err);
  j->out->aside = !rc;
  if (rc && file >= 0) unlink(path);
  if (rc == LD_EFILE)
    ld_fail_prefix(err, rc, "%s: cannot be unpacked there (TMPDIR or --cache DIR names a place with room)",
                   j->data);
  free(path);
  return rc;
}

/* The joined file, from the cache or made now. What cannot be kept is put aside, unless the data are at fault. */
static int make(joining *j, ld_error *err) {
  if (j->kept) {
    const int found = look(j, j->kept, &j->damaged);
    if (!found || found != LD_EFORMAT) j->damaged = (ld_error){0};
    if (!found) return 0;
  }
  if (j->kept && j->keeps) {
    const int rc = keep(j, &j->unkept);
    if (!rc) return 0;
    if (rc != LD_EFILE) return ld_fail(err, rc, "%s", j->unkept.text);
  }
  return put_aside(j, err);
}

static int find(void *self, ld_error *err) {
  joining *j = self;
  uint64_t key;
  int rc = ld_data_files(j->data, j->options, &j->paths, &j->n, err);
  if (rc || !j->n) return rc;
  rc = ld_data_join_rule(j->paths, j->n, j->options, &j->rule, err);
  if (!rc) rc = find_key(j, &key, err);
  if (!rc && j->cache) j->kept = ld_joined_path(j->cache, key);
  if (!rc) rc = make(j, err);
  if (rc) return rc;
  ld_text_clear(&j->out->label);
  ld_text_puts(&j->out->label, j->paths[0]);
  if (j->n > 1) ld_text_printf(&j->out->label, " and %zu more", j->n - 1);
  ld_text_puts(&j->out->name, j->paths[0]);
  return 0;
}

/* Says what happened, on rank 0. */
static void report(const joining *j) {
  if (j->damaged.code) ld_warn("%s: it is made again", j->damaged.text);
  if (j->unkept.code) {
    ld_digests_give_up(j->digests);
    ld_warn("%s; %s is not kept unpacked, so the next start unpacks it again", j->unkept.text,
            j->out->label.bytes);
  }
}

/* The file is read whole by rank 0; ranks on other hosts, which may see another file, read it whole too. */
static void set_options(const joining *j, const ld_comm *comm, ld_dataset_options *options) {
  const bool same_host = !strcmp(ld_comm_host(comm), ld_comm_host_of(comm, 0));
  options->joined = j->out->file.bytes;
  options->joined_name = j->out->name.bytes;
  options->joined_hash = j->hash;
  options->joined_threads = same_host ? 0 : 1;
}

int ld_join_begin(ld_join *out, const char *data, const ld_corpus *corpus, ld_dataset_options *options,
                  ld_comm *comm, ld_error *err) {
  *out = (ld_join){0};
  joining j = {.data = data,
               .cache = ld_once_folder(corpus->options, corpus->options->out),
               .options = options,
               .digests = corpus->base->digests,
               .out = out};
  j.keeps = !corpus->options->dry_run && !(j.digests && ld_digests_gave_up(j.digests));
  ld_digests *own = j.digests ? NULL : (j.digests = ld_digests_create(ld_comm_host(comm), 1));
  ld_text_puts(&out->label, data);
  const int rc = ld_comm_by_first(comm, find, &j, err);
  if (!rc && ld_comm_rank(comm) == 0) report(&j);
  ld_comm_broadcast_text(comm, &out->label, 0);
  ld_comm_broadcast_text(comm, &out->file, 0);
  ld_comm_broadcast_text(comm, &out->name, 0);
  ld_comm_broadcast(comm, &j.hash, sizeof j.hash, 0);
  if (!rc && out->file.length) set_options(&j, comm, options);
  ld_digests_free(own);
  ld_names_free(j.paths, j.n);
  free(j.kept);
  return rc;
}

void ld_join_end(ld_join *join, const ld_comm *comm) {
  if (join->aside && ld_comm_rank(comm) == 0) unlink(join->file.bytes);
  ld_text_free(&join->label);
  ld_text_free(&join->file);
  ld_text_free(&join->name);
}
