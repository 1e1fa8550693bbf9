/* Opens what a training job needs, and finds where it begins. */
#include "job/open.h"

#include <stdlib.h>
#include <unistd.h>
#include <string.h>

#include "adapt/kinds.h"
#include "base/log.h"
#include "base/memory.h"
#include "data/corpus_index.h"
#include "data/corpus_open.h"
#include "data/fetch.h"
#include "data/once.h"
#include "io/file.h"
#include "job/check.h"
#include "job/measure.h"
#include "job/resume.h"
#include "job/run_claim.h"
#include "job/sample.h"
#include "load/base_adapter.h"
#include "options/resolve.h"

/* The run records what it does: the initial adapter's kind, rank and scaling. */
static void adopt(ld_job *j, const ld_adapter *adapter) {
  const bool adapts = adapter->n_modules && !ld_adapter_is_whole(&adapter->modules[0]);
  const ld_adapter_kind *kind = adapts ? ld_adapter_kind_find(adapter->modules[0].kind) : NULL;
  if (kind) j->options.method = (char *)(uintptr_t)kind->name; /* these options borrow their texts */
  j->options.rank = adapter->rank;
  j->options.alpha = adapter->alpha;
  j->options.rslora = adapter->rslora;
}

/* The number of outputs that the labels of the data need. */
static int count_outputs(const ld_options *options, const ld_labels *labels) {
  if (options->labels) return (int)options->labels;
  if (labels->kind == LD_LABEL_REAL) return 1;
  return labels->kind == LD_LABEL_NAME ? (int)labels->n_names : (int)labels->largest + 1;
}

/* Whether the stored head fits these labels. */
static bool head_fits(const ld_base *base, const ld_options *options, const ld_labels *labels) {
  const ld_linear *head = base->model->head;
  if (head->is_new || options->new_head || (options->labels && options->labels != head->out)) return false;
  if (base->objective->suit(labels, head->out, NULL)) return false;
  for (size_t i = 0; i < labels->n_names; i++)
    if (!ld_labels_have(&base->labels, labels->names[i])) return false;
  return true;
}

/* Names the classes of a new head: the classes of the data, and unused numbers for the rest. */
static void name_head(ld_base *base, const ld_labels *labels) {
  const size_t n = (size_t)base->model->head->out;
  char **names = ld_alloc(n, sizeof *names);
  size_t i = 0;
  for (; i < labels->n_names; i++) names[i] = ld_strdup(labels->names[i]);
  for (size_t number = i; i < n; number++) {
    char *name = ld_format("%zu", number);
    if (ld_labels_have(labels, name))
      free(name);
    else
      names[i++] = name;
  }
  ld_base_set_labels(base, (const char *const *)names, n);
  ld_names_free(names, n);
}

static int check_learnable(const ld_job *j, int n_outputs, ld_error *err) {
  const ld_objective *objective = j->base.objective;
  const int rc = objective->suit_new ? objective->suit_new(&j->data->labels, n_outputs, err) : 0;
  return rc ? ld_fail_prefix(err, rc, "%s", ld_dataset_path(j->data->dataset)) : 0;
}

/* Checks that a new head can be made for the labels. */
static int check_new_head(const ld_job *j, int n_outputs, ld_error *err) {
  const ld_options *options = &j->options;
  const ld_labels *labels = &j->data->labels;
  if (j->base.unfit_head && !options->new_head)
    return ld_fail(err, LD_EUNSUPPORTED, "%s/config.json: %s: give --new-head to start with a new head",
                   options->model, j->base.unfit_head);
  const int rc = options->labels ? 0 : check_learnable(j, n_outputs, err);
  if (rc) return rc;
  if (labels->kind == LD_LABEL_NAME && (size_t)n_outputs < labels->n_names)
    return ld_fail(err, LD_EMISMATCH, "--labels %d: %s has %zu different labels", n_outputs,
                   ld_dataset_path(j->data->dataset), labels->n_names);
  return 0;
}

/* A classifier whose head does not fit the data gets a new one, with a class for each label. */
static int choose_head(ld_job *j, ld_error *err) {
  const ld_labels *labels = &j->data->labels;
  ld_base *base = &j->base;
  if (j->options.head_layers) return ld_base_set_layers(base, (int)j->options.head_layers, err);
  if (!base->labels.n_names) return 0;
  if (labels->kind == LD_LABEL_NONE) {
    const bool is_new = base->model->head->is_new || j->options.new_head;
    return is_new ? check_learnable(j, 0, err) : 0; /* the plan will report the rest */
  }
  if (head_fits(base, &j->options, labels)) return 0;
  const int n = count_outputs(&j->options, labels);
  int rc = check_new_head(j, n, err);
  if (!rc) rc = ld_base_set_head(base, n, j->options.new_head || n == base->model->head->out, err);
  if (!rc && labels->kind == LD_LABEL_NAME) name_head(base, labels);
  return rc;
}

/* A PEFT folder does not store its classes' names: the best guess is those of the data, in order. */
static void name_classes(ld_job *j) {
  const ld_labels *labels = &j->data->labels;
  if (j->base.labels_named || labels->kind != LD_LABEL_NAME || labels->n_names != j->base.labels.n_names)
    return;
  ld_base_set_labels(&j->base, (const char *const *)labels->names, labels->n_names);
}

/* What a rank reads while the others may check that it is alive. */
typedef struct start_file {
  ld_job *job;
  const char *path;
  ld_checkpoint *checkpoint;
} start_file;

/* Starts from the adapter at `path`, the one that --init-adapter names. */
static int begin_from(void *self, ld_error *err) {
  ld_job *j = ((start_file *)self)->job;
  ld_adapter *adapter;
  int rc = ld_adapter_load(((start_file *)self)->path, &j->base, &adapter, err);
  if (rc) return rc;
  adopt(j, adapter);
  ld_adapter_digest(adapter, j->init_digest);
  if (j->options.other_base) ld_adapter_forget_base(adapter);
  rc = ld_base_adapt(&j->base, adapter, j->options.init_adapter, j->options.dropout, err);
  if (!rc) name_classes(j);
  ld_adapter_free(adapter);
  return rc;
}

/* Collective. */
static int begin(ld_job *j, ld_error *err) {
  int rc = 0;
  if (!j->options.init_adapter) {
    rc = choose_head(j, err);
    if (!rc) rc = ld_base_adapt_fresh(&j->base, &j->options, err);
    return ld_comm_agree(j->comm, rc, err);
  }
  ld_distributed file;
  rc = ld_distribute_adapter(j->comm, j->options.init_adapter, j->digests, &file, err);
  start_file from = {.job = j, .path = file.path};
  if (!rc) rc = ld_comm_agree(j->comm, ld_comm_meanwhile(j->comm, begin_from, &from, err), err);
  ld_distributed_close(&file);
  return rc;
}

/* On rank 0. */
static int read_settings(void *self, ld_error *err) {
  ld_job *j = self;
  (void)err;
  ld_model_folder_settings(j->options.model, j->settings);
  return 0;
}

static int read_base(void *self, ld_error *err) {
  ld_job *j = self;
  return ld_base_open(j->model.path, &j->base, err);
}

/* Collective. */
static int open_base(ld_job *j, ld_error *err) {
  int rc = ld_check_model(j->options.model, j->options.init_adapter, j->comm, err);
  if (!rc) rc = ld_distribute_model(j->comm, j->options.model, j->digests, &j->model, err);
  if (!rc) rc = ld_comm_agree(j->comm, ld_comm_meanwhile(j->comm, read_base, j, err), err);
  j->base.digests = j->digests;
  if (!rc) rc = ld_distribute_digest(j->comm, j->base.folder, j->digests, err);
  ld_distributed_close(&j->model);
  if (!rc) rc = ld_comm_by_first(j->comm, read_settings, j, err);
  ld_comm_broadcast(j->comm, j->settings, sizeof j->settings, 0);
  return rc;
}

/* The validation data must not have numbers where the training data has names: they could be taken for the
 * names' positions. */
static int check_valid(const ld_job *j, ld_error *err) {
  if (!j->valid || j->data->labels.kind != LD_LABEL_NAME) return 0;
  if (j->valid->labels.kind != LD_LABEL_INTEGER && j->valid->labels.kind != LD_LABEL_REAL) return 0;
  return ld_fail(err, LD_EMISMATCH, "%s: has numbers as labels, but %s has names ('%s'): use names in both",
                 ld_dataset_path(j->valid->dataset), ld_dataset_path(j->data->dataset),
                 j->data->labels.names[0]);
}

/* Checks what is trained, and plans the data by the base's current head. */
static int create_trainer(ld_job *j, ld_error *err) {
  int rc = ld_run_check(&j->base, &j->options, err);
  if (!rc) rc = check_valid(j, err);
  if (!rc) rc = ld_corpus_plan(j->data, err);
  if (!rc && j->valid) rc = ld_corpus_plan(j->valid, err);
  if (rc) return rc;
  return ld_trainer_create(&j->trainer, &j->options, j->comm, &j->base, j->data, j->valid, err);
}

/* On rank 0. The checkpoint has all that came from the initial adapter, so a missing one is not an error. */
static int read_init(void *self, ld_error *err) {
  ld_job *j = self;
  ld_adapter *adapter;
  (void)err;
  if (ld_adapter_load(j->options.init_adapter, &j->base, &adapter, NULL)) return 0;
  ld_adapter_digest(adapter, j->init_digest);
  ld_adapter_free(adapter);
  return 0;
}

static int find_init_digest(ld_job *j, ld_error *err) {
  if (!j->options.init_adapter) return 0;
  const int rc = ld_comm_by_first(j->comm, read_init, j, err);
  ld_comm_broadcast(j->comm, j->init_digest, sizeof j->init_digest, 0);
  return rc;
}

static int read_checkpoint(void *self, ld_error *err) {
  start_file *from = self;
  return ld_checkpoint_read(from->path, &from->checkpoint, err);
}

/* Takes `checkpoint`. Where it is NULL, rank 0 still reads it from `path`. Collective. */
static int go_on_from(ld_job *j, const char *path, ld_checkpoint *checkpoint, ld_error *err) {
  ld_distributed file = {0};
  bool restart = false;
  int rc = ld_distribute_file(j->comm, path, j->digests, &file, err);
  start_file from = {.job = j, .path = file.path, .checkpoint = checkpoint};
  if (!rc && !checkpoint) rc = ld_comm_meanwhile(j->comm, read_checkpoint, &from, err);
  checkpoint = from.checkpoint;
  if (!rc && j->options.init_adapter) adopt(j, checkpoint->adapter);
  rc = ld_comm_agree(j->comm, rc, err);
  if (!rc) rc = find_init_digest(j, err);
  if (!rc) rc = ld_job_compare(j, checkpoint, path, &restart, err);
  if (!rc) rc = ld_base_adapt(&j->base, checkpoint->adapter, path, j->options.dropout, err);
  rc = ld_comm_agree(j->comm, rc, err);
  ld_distributed_close(&file);
  if (!rc) rc = create_trainer(j, err);
  if (!rc) rc = ld_comm_agree(j->comm, ld_trainer_resume(&j->trainer, checkpoint, restart, path, err), err);
  if (!rc) ld_info("resuming from %s, step %lld", path, (long long)checkpoint->progress.step);
  ld_checkpoint_free(checkpoint);
  return rc;
}

/* Locks --out before anything is read: reading may take long, and no other job may start here meanwhile. */
static int take_out(void *self, ld_error *err) {
  ld_job *j = self;
  const char *out = j->options.out;
  int rc = ld_check_not_model(&j->options, err);
  if (!rc) rc = ld_check_outside("data", j->options.data, out, err);
  if (!rc) rc = ld_check_outside("class-data", j->options.class_data, out, err);
  if (!rc) rc = ld_check_outside("valid", j->options.valid, out, err);
  if (!rc) rc = ld_check_outside("sample-prompts", j->options.sample_prompts, out, err);
  if (!rc) rc = ld_folder_check(out, err);
  j->new_out = !ld_is_folder(out);
  return rc ? rc : ld_run_lock(&j->run, &j->options, err);
}

const char *ld_job_cache(const ld_job *j) {
  return ld_once_folder(&j->options, j->options.out);
}

int ld_job_open(ld_job *j, ld_error *err) {
  const ld_options *options = &j->options;
  int rc = options->out ? ld_comm_by_first(j->comm, take_out, j, err) : 0; /* a dry run may do without */
  j->digests = ld_once_open(j->comm, options, ld_job_cache(j));
  if (!rc) rc = open_base(j, err);
  if (!rc) rc = ld_corpus_open(options->data, &j->base, options, j->comm, LD_CORPUS_LEARN, &j->data, err);
  if (!rc) rc = ld_base_follow(&j->base, ld_dataset_form(j->data->dataset), err);
  if (!rc) rc = ld_options_suit(LD_CMD_TRAIN, options, j->base.objective, j->base.model, err);
  if (!rc) rc = ld_corpus_index(j->data, j->comm, ld_job_cache(j), err);
  if (!rc) rc = ld_corpus_find_digest(j->data, j->comm, err);
  if (!rc && options->valid)
    rc = ld_corpus_open(options->valid, &j->base, options, j->comm, LD_CORPUS_SCORE, &j->valid, err);
  if (!rc && j->valid) rc = ld_corpus_index(j->valid, j->comm, ld_job_cache(j), err);
  if (!rc && j->valid) rc = ld_corpus_find_digest(j->valid, j->comm, err);
  const ld_data_form *valid = !rc && j->valid ? ld_dataset_form(j->valid->dataset) : NULL;
  if (!rc) rc = ld_options_suit_data(options, ld_dataset_form(j->data->dataset), valid, err);
  char *path = NULL;
  ld_checkpoint *found = NULL;
  if (!rc && options->out) rc = ld_job_find_checkpoint(j, &path, &found, err);
  if (rc) {
    ld_checkpoint_free(found);
  } else if (path) {
    rc = go_on_from(j, path, found, err);
  } else {
    rc = begin(j, err);
    if (!rc) rc = create_trainer(j, err);
  }
  free(path);
  if (!rc) rc = ld_job_open_measures(j, err);
  return rc ? rc : ld_job_open_prompts(j, err);
}

static int close_run(void *self, ld_error *err) {
  ld_job *j = self;
  (void)err;
  if (!j->run.metrics && !j->options.cache) { /* refused before it began: its folder stays as it was */
    if (j->data && j->data->kept) unlink(j->data->kept);
    if (j->valid && j->valid->kept) unlink(j->valid->kept);
    if (j->new_out) ld_run_forget(j->options.out);
  }
  ld_run_close(&j->run);
  return 0;
}

void ld_job_close(ld_job *j) {
  ld_comm_meanwhile(j->comm, close_run, j, NULL);
  ld_prompts_free(&j->prompts);
  ld_picture_prompts_free(&j->shown);
  ld_generation_settings_free(&j->samples);
  ld_generation_settings_free(&j->writing);
  ld_corpus_close(j->asked);
  ld_trainer_free(&j->trainer);
  ld_corpus_close(j->valid);
  ld_corpus_close(j->data);
  ld_base_close(&j->base);
  ld_digests_free(j->digests);
  free(j->config);
}
