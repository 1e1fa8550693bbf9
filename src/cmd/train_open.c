/* Opens what a training job needs, and finds where it begins. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "cmd/train.h"
#include "io/file.h"
#include "io/json.h"

/* Rank 0 looks for the checkpoint to go on from; *path is NULL when training begins anew. What it had to read
 * on the way stays in *found. Collective. */
static int find_checkpoint(ld_job *j, char **path, ld_checkpoint **found, ld_error *err) {
  const char *resume = j->options.resume;
  *path = NULL;
  int rc = 0;
  if (ld_comm_rank(j->comm) == 0 && strcmp(resume, "auto") && strcmp(resume, "never"))
    *path = ld_strdup(resume);
  if (ld_comm_rank(j->comm) == 0 && !*path) {
    char *folder = ld_path_join(j->options.out, "checkpoints");
    *found = ld_checkpoint_newest(folder, path, ld_warn_damaged, NULL);
    free(folder);
    if (*path && !strcmp(resume, "never"))
      rc = ld_fail(err, LD_EUSAGE,
                   "--resume never: %s holds checkpoints already: give another --out, or remove them",
                   j->options.out);
  }
  rc = ld_comm_agree(j->comm, rc, err);
  int64_t length = *path ? (int64_t)strlen(*path) + 1 : 0;
  ld_comm_broadcast(j->comm, &length, sizeof length, 0);
  if (rc || !length) {
    free(*path);
    *path = NULL;
    return rc;
  }
  if (!*path) *path = ld_alloc((size_t)length, 1);
  ld_comm_broadcast(j->comm, *path, (size_t)length, 0);
  return 0;
}

static int same_digest(const ld_value *recorded, const char *key, const char *digest, const char *what,
                       const char *path, ld_error *err) {
  const char *was;
  if (ld_value_string(recorded, key, digest, &was, err) || !strcmp(was, digest)) return 0;
  return ld_fail(err, LD_EMISMATCH,
                 "%s: was trained with other %s (digest %s, now %s): give the same, or another --out", path,
                 what, was, digest);
}

/* Options and data must be those of the checkpoint: with others its adapter would be the function of neither.
 */
static int check_recorded(const ld_job *j, const ld_checkpoint *checkpoint, const char *path, ld_error *err) {
  ld_value *recorded = ld_json_parse(checkpoint->config, strlen(checkpoint->config), path, err);
  if (!recorded) return err->code;
  int rc = ld_options_same(&j->options, recorded, path, err);
  if (!rc) rc = same_digest(recorded, "data_digest", j->data->digest, "data", path, err);
  ld_value_free(recorded);
  return rc;
}

/* What is recorded of the run is what it does: the initial adapter's rank and scaling. */
static void adopt(ld_job *j, const ld_adapter *adapter) {
  j->options.rank = adapter->rank;
  j->options.alpha = adapter->alpha;
  j->options.rslora = adapter->rslora;
}

static int begin_anew(ld_job *j, ld_error *err) {
  const char *init = j->options.init_adapter;
  if (!init) return ld_base_adapt_fresh(&j->base, &j->options, err);
  ld_adapter *adapter;
  int rc = ld_adapter_load(init, &adapter, err);
  if (rc) return rc;
  adopt(j, adapter);
  rc = ld_base_adapt(&j->base, adapter, init, j->options.dropout, err);
  ld_adapter_free(adapter);
  return rc;
}

static int create_trainer(ld_job *j, ld_error *err) {
  return ld_trainer_create(&j->trainer, &j->options, j->comm, &j->base, j->data, j->valid, err);
}

/* Takes `checkpoint`, which is NULL where it is still to be read from `path`. Collective. */
static int go_on_from(ld_job *j, const char *path, ld_checkpoint *checkpoint, ld_error *err) {
  int rc = checkpoint ? 0 : ld_checkpoint_read(path, &checkpoint, err);
  if (!rc && j->options.init_adapter) adopt(j, checkpoint->adapter);
  if (!rc) rc = check_recorded(j, checkpoint, path, err);
  if (!rc) rc = ld_base_adapt(&j->base, checkpoint->adapter, path, j->options.dropout, err);
  rc = ld_comm_agree(j->comm, rc, err);
  if (!rc) rc = create_trainer(j, err);
  if (!rc) rc = ld_comm_agree(j->comm, ld_trainer_resume(&j->trainer, checkpoint, path, err), err);
  if (!rc) ld_info("resuming from %s, step %lld", path, (long long)checkpoint->progress.step);
  ld_checkpoint_free(checkpoint);
  return rc;
}

int ld_job_open(ld_job *j, ld_error *err) {
  const ld_options *options = &j->options;
  int rc = ld_comm_agree(j->comm, ld_base_open(options->model, &j->base, err), err);
  if (!rc) rc = ld_corpus_open(options->data, &j->base, options, j->comm, &j->data, err);
  if (!rc && options->valid) rc = ld_corpus_open(options->valid, &j->base, options, j->comm, &j->valid, err);
  char *path = NULL;
  ld_checkpoint *found = NULL;
  if (!rc) rc = find_checkpoint(j, &path, &found, err);
  if (rc) {
    ld_checkpoint_free(found);
  } else if (path) {
    rc = go_on_from(j, path, found, err);
  } else {
    rc = ld_comm_agree(j->comm, begin_anew(j, err), err);
    if (!rc) rc = create_trainer(j, err);
  }
  free(path);
  return rc;
}
