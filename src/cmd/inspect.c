/* lora_dist inspect: shows what a model folder, an adapter or a run holds. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/print.h"
#include "base/text.h"
#include "cmd/command.h"
#include "cmd/inspect_run.h"
#include "io/file.h"
#include "io/hub/adapter_formats.h"
#include "io/hub/pipeline.h"
#include "io/state/checkpoint_folder.h"
#include "load/base.h"
#include "load/base_adapter.h"
#include "options/run_setting.h"

static void print_shape(const ld_stored *tensor) {
  printf("(");
  for (int i = 0; i < tensor->ndim; i++) printf("%s%lld", i ? ", " : "", (long long)tensor->shape[i]);
  printf(")");
}

static void print_tensors(const ld_model_folder *folder) {
  for (size_t i = 0; i < ld_model_folder_count(folder); i++) {
    const ld_stored *tensor = ld_model_folder_tensor(folder, i);
    printf("  ");
    ld_print_part(ld_model_folder_name(folder, i), 60, 0);
    printf(" %-4s ", ld_dtype_name(tensor->dtype));
    print_shape(tensor);
    printf("\n");
  }
}

static void print_token(const char *name, int32_t id) {
  if (id < 0)
    printf(", no %s", name);
  else
    printf(", %s %d", name, id);
}

static void print_input(const ld_base *base) {
  const ld_model *model = base->model;
  const ld_image_rule *rule = &base->image_rule;
  printf("blocks             ");
  if (model->n_encoder_blocks) printf("%d to read and ", model->n_encoder_blocks);
  printf("%d%s of width %d", model->n_blocks, model->n_encoder_blocks ? " to write," : "", model->width);
  if (rule->width) {
    printf("\nimages             %d x %d, %d channels\n", rule->width, rule->height, rule->channels);
    return;
  }
  if (model->max_positions)
    printf(", %d positions", model->max_positions);
  else
    printf(", any number of positions");
  printf("\nvocabulary         %d (tokenizer %d)", model->vocab, ld_tokenizer_size(base->tokenizer));
  if (model->kv_width) {
    print_token("bos", base->bos);
    print_token("eos", base->eos);
  }
  printf("\n");
}

static void print_head(const ld_base *base) {
  const ld_linear *head = base->model->head;
  if (!base->labels.n_names) return;
  if (base->unfit_head) {
    printf("head               %s: training needs --new-head\n", base->unfit_head);
    return;
  }
  if (head->is_new) {
    printf("head               none stored: training adds '%s'\n", head->path);
    return;
  }
  printf("head               %s, %d output%s:", head->path, head->out, ld_plural(head->out, "", "s"));
  for (int i = 0; i < head->out && i < 100; i++) {
    printf(i ? ", " : " ");
    ld_print_part(base->labels.names[i], 0, 0);
  }
  printf("\n");
}

static int inspect_model(const char *path, ld_error *err) {
  ld_base base;
  const int rc = ld_base_open(path, &base, err);
  if (!rc) {
    const ld_model *model = base.model;
    printf("model              ");
    ld_print_part(path, 0, 0);
    printf(" (%s)\n", model->family->architectures[0]);
    printf("digest             %s\n", ld_model_folder_digest(base.folder));
    printf("parameters         %.3f M in %zu tensors\n", (double)model->n_parameters / 1e6,
           ld_model_folder_count(base.folder));
    print_input(&base);
    print_head(&base);
    printf("default targets    %s\n", model->default_targets);
    print_tensors(base.folder);
  }
  ld_base_close(&base);
  return rc;
}

static double norm(const float *x, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
  return sqrt(sum);
}

/* Prints a module, and its tensors with their shapes and norms. */
static void print_module(const ld_adapter_module *m) {
  printf("  ");
  ld_print_part(m->path, 48, 0);
  printf(" %s", m->kind);
  if (m->rank) printf(" r %d scaling %.4g", m->rank, m->scaling);
  for (size_t k = 0; k < m->n_tensors; k++) {
    const ld_adapter_tensor *t = &m->tensors[k];
    printf("  ");
    ld_print_part(t->role, 0, 0);
    for (int d = 0; d < t->ndim; d++) printf("%s%lld", d ? ", " : " (", (long long)t->shape[d]);
    printf("%s |%.4f|", t->ndim ? ")" : "", norm(t->data, ld_adapter_count(t)));
  }
  printf("\n");
}

static int64_t count_numbers(const ld_adapter *adapter) {
  int64_t n = 0;
  for (size_t i = 0; i < adapter->n_modules; i++)
    for (size_t k = 0; k < adapter->modules[i].n_tensors; k++)
      n += ld_adapter_count(&adapter->modules[i].tensors[k]);
  return n;
}

static void print_adapter(const char *path, const ld_adapter *adapter) {
  const long long n_modules = (long long)adapter->n_modules;
  printf("adapter            ");
  ld_print_part(path, 0, 0);
  printf("\nbase               ");
  ld_print_part(adapter->base_name ? adapter->base_name : "path not stored", 0, 0);
  printf(" (");
  ld_print_part(adapter->architecture ? adapter->architecture : "architecture unknown", 0, 0);
  printf("), digest ");
  ld_print_part(adapter->base_digest ? adapter->base_digest : "unknown", 0, 0);
  printf("\n");
  printf("rank %d, alpha %g, dropout %g%s; %lld parameters in %lld %s\n", adapter->rank, adapter->alpha,
         adapter->dropout, adapter->rslora ? ", rank-stabilised" : "", (long long)count_numbers(adapter),
         n_modules, ld_plural(n_modules, "module", "modules"));
  for (size_t i = 0; i < adapter->n_modules; i++) print_module(&adapter->modules[i]);
  for (size_t i = 0; i < adapter->n_labels; i++) {
    printf("label %-12zu ", i);
    ld_print_part(adapter->labels[i], 0, 0);
    printf("\n");
  }
}

static int inspect_checkpoint(const char *path, ld_error *err) {
  ld_checkpoint *checkpoint;
  const int rc = ld_checkpoint_read(path, &checkpoint, err);
  if (rc) return rc;
  print_adapter(path, checkpoint->adapter);
  if (checkpoint->has_trainer) {
    const ld_progress *p = &checkpoint->progress;
    printf("trainer            step %lld, epoch %lld, %lld target tokens seen", (long long)p->step,
           (long long)p->epoch, (long long)p->tokens);
    if (isfinite(p->best_loss))
      printf(", best loss %.4f at step %lld", p->best_loss, (long long)p->best_step);
    printf("\n");
  }
  ld_text date = {0};
  ld_put_file_date(&date, path);
  printf("written            %s\n", date.bytes);
  ld_text_free(&date);
  printf("options            ");
  ld_print_part(checkpoint->config, 0, 0);
  printf("\n");
  ld_checkpoint_free(checkpoint);
  return 0;
}

/* When an adapter does not name its base, the run that it comes from does. */
static int inspect_adapter(const char *path, ld_error *err) {
  ld_adapter *adapter;
  char *base = NULL;
  int rc = ld_adapter_load(path, NULL, &adapter, err);
  if (rc) return rc;
  if (!adapter->base_name) rc = ld_run_setting(path, "model", &base, err);
  if (base) ld_adapter_set_base_path(adapter, base);
  if (!rc) print_adapter(path, adapter);
  free(base);
  ld_adapter_free(adapter);
  return rc;
}

/* Prints the run, and the adapter of its latest checkpoint if there is one. */
static int inspect_run(const char *path, ld_error *err) {
  ld_text text = {0};
  char *checkpoints = ld_path_join(path, "checkpoints");
  int rc = ld_inspect_run(path, &text, err);
  ld_text_puts(&text, "\n");
  if (!rc) rc = ld_print(&text, false, err);
  if (!rc && ld_checkpoint_any(checkpoints)) rc = inspect_adapter(path, err);
  ld_text_free(&text);
  free(checkpoints);
  return rc;
}

static bool holds(const char *folder, const char *name) {
  char *path = ld_path_join(folder, name);
  const bool there = ld_file_exists(path);
  free(path);
  return there;
}

static int fail_metrics(const char *path, ld_error *err) {
  return ld_fail(
      err, LD_EUSAGE,
      "%s: is the record of a run, one JSON object a line: give its folder to inspect or to report", path);
}

static int run(const ld_options *options, const char *path, ld_comm *comm, ld_error *err) {
  (void)options;
  (void)comm;
  if (!ld_file_exists(path) && !ld_is_folder(path))
    return ld_fail(err, LD_EFILE, "%s: no such file or folder", path);
  if (!ld_is_folder(path) && !ld_adapter_format_at(path))
    return !strcmp(ld_path_base(path), "metrics.jsonl") ? fail_metrics(path, err)
                                                        : inspect_checkpoint(path, err);
  if (ld_pipeline_is(path) || (holds(path, "config.json") && !holds(path, "adapter_config.json")))
    return inspect_model(path, err);
  return ld_is_run(path) ? inspect_run(path, err) : inspect_adapter(path, err);
}

const ld_command ld_command_inspect = {
    .name = "inspect",
    .bit = LD_CMD_INSPECT,
    .summary = "show what a model, an adapter or a run holds",
    .about = "Prints what is in a model folder, a checkpoint, an adapter or a run folder.",
    .takes_path = true,
    .run = run,
};
