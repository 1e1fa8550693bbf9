#include "job/run.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/file.h"
#include "io/hub/adapter_formats.h"
#include "io/state/checkpoint_folder.h"
#include "job/run_claim.h"
#include "load/base_adapter.h"

static int write_text(const char *folder, const char *name, const char *text, ld_error *err) {
  char *path = ld_path_join(folder, name);
  const int rc = ld_file_write(path, text, strlen(text), err);
  free(path);
  return rc;
}

/* A job that was just killed may hold the folder a little longer. */
enum { LOCK_SECONDS = 20 };

static int lock_folder(ld_run *run, ld_error *err) {
  char *path = ld_path_join(run->out, "lock");
  const int rc = ld_file_lock(path, LOCK_SECONDS, &run->lock, err);
  free(path);
  run->locked = !rc;
  return rc;
}

int ld_run_lock(ld_run *run, const ld_options *options, ld_error *err) {
  *run = (ld_run){.options = options,
                  .out = options->out,
                  .checkpoints = ld_path_join(options->out, "checkpoints"),
                  .lock = -1};
  const int rc = ld_run_claim(options, run->checkpoints, err);
  return rc || !ld_is_folder(run->checkpoints) ? rc : lock_folder(run, err);
}

/* For a folder that was not a run's when a checkpoint was looked for. */
static int lock_late(ld_run *run, ld_error *err) {
  const int rc = lock_folder(run, err);
  if (rc || !ld_checkpoint_any(run->checkpoints)) return rc;
  return ld_fail(
      err, LD_EFILE,
      "%s: another job has started here and left checkpoints: run the same command again to resume from "
      "them, or choose another --out",
      run->out);
}

int ld_run_open(ld_run *run, const char *config, const char *yaml, int64_t step, ld_error *err) {
  run->config = ld_strdup(config);
  int rc = ld_make_folders(run->checkpoints, err);
  if (!rc && !run->locked) rc = lock_late(run, err);
  if (rc) return rc;
  ld_run_sweep(run->options, run->checkpoints);
  rc = write_text(run->out, "run.yaml", yaml, err);
  if (rc) return rc;
  char *path = ld_path_join(run->out, "metrics.jsonl");
  rc = ld_metrics_open(path, step, &run->metrics, err);
  free(path);
  return rc;
}

void ld_run_close(ld_run *run) {
  ld_metrics_close(run->metrics);
  if (run->checkpoints) ld_file_unlock(run->lock);
  free(run->checkpoints);
  free(run->config);
  *run = (ld_run){0};
}

int ld_run_save(ld_run *run, const ld_trainer *trainer, ld_error *err) {
  char *path = ld_format("%s/step-%08lld.h5", run->checkpoints, (long long)trainer->progress.step);
  ld_checkpoint *checkpoint = ld_trainer_save(trainer, run->config);
  const int rc = ld_checkpoint_write(path, checkpoint, err);
  if (!rc) ld_checkpoint_prune(run->checkpoints, (int)trainer->options->keep, path);
  ld_checkpoint_free(checkpoint);
  free(path);
  return rc;
}

/* Writes the adapter without optimizer state. */
static int write_adapter(const ld_run *run, const ld_trainer *trainer, const char *name, ld_error *err) {
  char *path = ld_path_join(run->out, name);
  ld_checkpoint checkpoint = {.adapter = ld_base_adapter(trainer->base, trainer->options),
                              .config = run->config};
  const int rc = ld_checkpoint_write(path, &checkpoint, err);
  ld_adapter_free(checkpoint.adapter);
  free(path);
  return rc;
}

int ld_run_save_best(ld_run *run, const ld_trainer *trainer, ld_error *err) {
  return write_adapter(run, trainer, "best.h5", err);
}

int ld_run_check(const ld_base *base, const ld_options *options, ld_error *err) {
  ld_adapter *adapter = ld_base_adapter(base, options);
  const ld_adapter_context context = ld_base_context(base);
  const int rc = ld_adapter_format_for(adapter)->check(adapter, &context,
                                                       options->whole ? "--whole" : "the adapter", err);
  free(context.modules);
  ld_adapter_free(adapter);
  return rc;
}

const char *ld_run_hub_folder(const ld_base *base, const ld_options *options) {
  ld_adapter *adapter = ld_base_adapter(base, options);
  const char *folder = ld_adapter_format_for(adapter)->folder;
  ld_adapter_free(adapter);
  return folder;
}

int ld_run_finish(ld_run *run, const ld_trainer *trainer, ld_error *err) {
  int rc = write_adapter(run, trainer, "adapter.h5", err);
  if (rc) return rc;
  ld_adapter *adapter = ld_base_adapter(trainer->base, trainer->options);
  const ld_adapter_format *format = ld_adapter_format_for(adapter);
  const ld_adapter_context context = ld_base_context(trainer->base);
  char *folder = ld_path_join(run->out, format->folder);
  ld_adapter_set_base_path(adapter, trainer->options->model);
  rc = format->write(folder, adapter, &context, err);
  free(context.modules);
  ld_adapter_free(adapter);
  free(folder);
  return rc;
}
