/* lora_dist inspect for a run folder: its settings, its progress, and the files it has written. */
#include "cmd/inspect_run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/memory.h"
#include "io/file.h"
#include "io/report/run.h"
#include "io/yaml.h"

static void put_label(ld_text *out, const char *label) {
  ld_text_printf(out, "%-18s ", label);
}

static void put_value(ld_text *out, const ld_value *value) {
  if (value->type == LD_STRING)
    ld_text_put_visible(out, value->string);
  else if (value->type == LD_BOOLEAN)
    ld_text_puts(out, value->boolean ? "yes" : "no");
  else
    ld_text_printf(out, "%g", value->real);
}

/* The settings of run.yaml that a user looks for first; those left at "none" are not shown. */
static void put_settings(ld_text *out, const ld_value *settings) {
  static const char *const files[] = {"model", "data", "valid"};
  static const char *const keys[] = {"rank",  "alpha",      "target",  "whole",  "init-adapter", "lr",
                                     "steps", "batch-size", "seq-len", "epochs", "dropout",      "precision",
                                     "seed",  "kernels",    "version", "trained"};
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    const ld_value *value = ld_value_get(settings, files[i]);
    if (!value) continue;
    put_label(out, files[i]);
    put_value(out, value);
    ld_text_puts(out, "\n");
  }
  const char *comma = "";
  put_label(out, "settings");
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    const ld_value *value = ld_value_get(settings, keys[i]);
    if (!value || (value->type == LD_INTEGER && !value->integer)) continue;
    ld_text_printf(out, "%s%s ", comma, keys[i]);
    put_value(out, value);
    comma = ", ";
  }
  ld_text_puts(out, "\n");
}

void ld_put_file_date(ld_text *out, const char *path) {
  struct stat status;
  struct tm utc;
  char date[32] = "unknown";
  if (!stat(path, &status))
    strftime(date, sizeof date, "%Y-%m-%d %H:%M UTC", gmtime_r(&status.st_mtime, &utc));
  ld_text_puts(out, date);
}

/* "2026-01-02T03:04:05Z" in readable form. */
static void put_dates(ld_text *out, const ld_run_record *r, const char *metrics) {
  const bool known = r->date && strlen(r->date) == 20;
  put_label(out, "started");
  if (known)
    ld_text_printf(out, "%.10s %.5s UTC", r->date, r->date + 11);
  else
    ld_text_puts(out, "unknown");
  if (r->sessions > 1) ld_text_printf(out, ", in %zu sessions", r->sessions);
  ld_text_puts(out, ", last record ");
  ld_put_file_date(out, metrics);
  ld_text_puts(out, "\n");
}

static void put_progress(ld_text *out, const ld_run_record *r) {
  const ld_table *s = &r->steps;
  const double step = s->n ? s->column[LD_COLUMN_STEP][s->n - 1] : 0;
  put_label(out, "progress");
  ld_text_printf(out, "step %.0f", step);
  if (!isnan(r->total)) ld_text_printf(out, " of %.0f", r->total);
  if (s->n && !isnan(s->column[LD_COLUMN_EPOCH][s->n - 1]))
    ld_text_printf(out, ", %.2f epochs", s->column[LD_COLUMN_EPOCH][s->n - 1]);
  if (step < r->total) ld_text_puts(out, ", not finished");
  if (step < r->total && r->stopped) {
    ld_text_puts(out, "; stopped: ");
    ld_text_put_visible(out, r->stopped);
  }
  ld_text_puts(out, "\n");
}

/* The first and the last loss of a table, and the best of the evaluations. */
static void put_losses(ld_text *out, const char *label, const ld_table *t, const size_t *best) {
  if (!t->n) return;
  const double *step = t->column[LD_COLUMN_STEP], *loss = t->column[LD_COLUMN_LOSS];
  put_label(out, label);
  ld_text_printf(out, "%.4f at step %.0f, %.4f at step %.0f", loss[0], step[0], loss[t->n - 1],
                 step[t->n - 1]);
  if (best) ld_text_printf(out, ", best %.4f at step %.0f", loss[*best], step[*best]);
  ld_text_puts(out, "\n");
}

static void put_record(ld_text *out, const ld_run_record *r, const char *metrics) {
  const size_t best = ld_run_record_best(r);
  put_dates(out, r, metrics);
  put_progress(out, r);
  put_losses(out, "training loss", &r->steps, NULL);
  put_losses(out, "validation loss", &r->evals, &best);
}

static void put_checkpoints(ld_text *out, const char *folder) {
  char *path = ld_path_join(folder, "checkpoints");
  size_t n = 0, listed = 0;
  char **names = ld_folder_names(path, &n, NULL);
  put_label(out, "checkpoints");
  for (size_t i = 0; names && i < n; i++) {
    const char *end = strrchr(names[i], '.');
    if (strncmp(names[i], "step-", 5) != 0 || !end || strcmp(end, ".h5") != 0) continue;
    if (listed++) ld_text_puts(out, ", ");
    ld_text_put_visible(out, names[i]);
  }
  ld_text_puts(out, listed ? "\n" : "none\n");
  if (names) ld_names_free(names, n);
  free(path);
}

bool ld_is_run(const char *path) {
  char *metrics = ld_path_join(path, "metrics.jsonl"), *settings = ld_path_join(path, "run.yaml");
  const bool run = ld_file_exists(metrics) && ld_file_exists(settings);
  free(metrics);
  free(settings);
  return run;
}

static ld_value *read_settings(const char *path, ld_error *err) {
  ld_map map;
  if (ld_map_open(path, &map, err)) return NULL;
  ld_value *settings = ld_yaml_parse(map.bytes, map.length, path, err);
  ld_map_close(&map);
  return settings;
}

int ld_inspect_run(const char *path, ld_text *out, ld_error *err) {
  char *metrics = ld_path_join(path, "metrics.jsonl"), *yaml = ld_path_join(path, "run.yaml");
  ld_run_record record = {0};
  ld_value *settings = read_settings(yaml, err);
  int rc = settings ? ld_run_record_read(&record, metrics, err) : err->code;
  if (!rc) {
    put_label(out, "run");
    ld_text_put_visible(out, path);
    ld_text_puts(out, "\n");
    put_settings(out, settings);
    put_record(out, &record, metrics);
    put_checkpoints(out, path);
  }
  if (settings) ld_run_record_free(&record);
  ld_value_free(settings);
  free(metrics);
  free(yaml);
  return rc;
}
