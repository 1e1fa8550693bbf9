#include "io/report/run.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/value.h"
#include "io/file.h"
#include "io/json.h"
#include "io/report/chart.h"

static double number(const ld_value *record, const char *key) {
  const ld_value *found = ld_value_get(record, key);
  const bool is_number = found && (found->type == LD_INTEGER || found->type == LD_REAL);
  return is_number && ld_chart_drawable(found->real) ? found->real : NAN;
}

static const char *string(const ld_value *record, const char *key) {
  const ld_value *found = ld_value_get(record, key);
  return found && found->type == LD_STRING ? found->string : NULL;
}

static double or_zero(double value) {
  return isnan(value) ? 0 : value;
}

/* Drops the records from `step` on: a resumed run computes them again. */
static void rewind_to(ld_table *t, double step) {
  while (t->n && t->column[LD_COLUMN_STEP][t->n - 1] >= step) t->n--;
}

static void add_row(ld_table *t, const double *row, size_t n_columns) {
  if (t->n == t->room) {
    t->room = t->room ? 2 * t->room : 256;
    for (size_t c = 0; c < n_columns; c++) t->column[c] = ld_realloc(t->column[c], t->room, sizeof(double));
  }
  for (size_t c = 0; c < n_columns; c++) t->column[c][t->n] = row[c];
  t->n++;
}

static void set_text(char **to, const char *text) {
  if (!text) return;
  free(*to);
  *to = ld_strdup(text);
}

static void drop_metrics(ld_run_record *r) {
  for (size_t i = 0; i < r->n_metrics; i++) {
    free(r->metrics[i].key);
    free(r->metrics[i].name);
  }
  r->n_metrics = 0;
}

static void add_metric(ld_run_record *r, const char *key, const char *name, ld_run_metric metric) {
  if (r->n_metrics == LD_MOST_METRICS) return;
  metric.key = ld_strdup(key);
  metric.name = ld_strdup(name);
  r->metrics[r->n_metrics++] = metric;
}

static bool is_true(const ld_value *value) {
  return value && value->type == LD_BOOLEAN && value->boolean;
}

static void take_metrics(ld_run_record *r, const ld_value *list) {
  if (!list || list->type != LD_LIST) return;
  drop_metrics(r);
  for (size_t i = 0; i < list->n_items; i++) {
    const ld_value *item = &list->items[i];
    const char *key = item->type == LD_MAP ? string(item, "key") : NULL,
               *name = key ? string(item, "name") : NULL;
    if (!key) continue;
    const char *better = string(item, "better");
    const double digits = number(item, "digits");
    add_metric(r, key, name ? name : key,
               (ld_run_metric){.falls = better && !strcmp(better, "lower"),
                               .of_loss = is_true(ld_value_get(item, "of_loss")),
                               .digits = digits >= 0 && digits <= 9 ? (int)digits : 4});
  }
}

/* The metrics of a run that did not record which ones it has, from its evaluations. */
static void find_metrics(ld_run_record *r, const ld_value *record) {
  static const char *const scores[][2] = {{"accuracy", "accuracy"},
                                          {"macro_f1", "macro F1"},
                                          {"matthews", "Matthews"},
                                          {"pearson", "Pearson correlation"},
                                          {"spearman", "Spearman correlation"}};
  for (size_t i = 0; i < sizeof scores / sizeof *scores; i++)
    if (!isnan(number(record, scores[i][0])))
      add_metric(r, scores[i][0], scores[i][1], (ld_run_metric){.digits = 4});
  if (!r->n_metrics)
    add_metric(r, "perplexity", "perplexity", (ld_run_metric){.falls = true, .of_loss = true, .digits = 2});
}

static bool differ(double one, double other) {
  return !isnan(one) && !isnan(other) && one != other;
}

static ld_run_size size_of(const ld_value *map) {
  if (!map || map->type != LD_MAP) return (ld_run_size){NAN, NAN, NAN, NAN};
  return (ld_run_size){number(map, "records"), number(map, "rows"), number(map, "tokens"),
                       number(map, "targets")};
}

/* `session`: the seconds of the current session, as far as its records tell. */
static void take_start(ld_run_record *r, const ld_value *record, double *session) {
  r->sessions++;
  free(r->stopped);
  r->stopped = NULL;
  r->seconds += *session;
  *session = 0;
  const double ranks = number(record, "ranks"), hosts = number(record, "hosts");
  r->regrouped |= r->sessions > 1 && (differ(ranks, r->ranks) || differ(hosts, r->hosts));
  r->ranks = ranks;
  r->hosts = hosts;
  r->trained = number(record, "trained_parameters");
  r->base = number(record, "base_parameters");
  r->total = number(record, "total_steps");
  r->best_by_metric = string(record, "best") != NULL;
  r->data = size_of(ld_value_get(record, "data"));
  r->valid = size_of(ld_value_get(record, "valid"));
  r->cores = number(record, "cores");
  r->memory = number(record, "memory");
  set_text(&r->kernels, string(record, "kernels"));
  set_text(&r->unit, string(record, "unit"));
  set_text(&r->target, string(record, "target"));
  set_text(&r->loss_unit, string(record, "loss_unit"));
  take_metrics(r, ld_value_get(record, "metrics"));
  if (!r->date && string(record, "date")) r->date = ld_strdup(string(record, "date"));
}

static void drop_confusion(ld_confusion *c) {
  for (size_t i = 0; i < c->n; i++) free(c->labels[i]);
  *c = (ld_confusion){0};
}

static void take_step(ld_run_record *r, const ld_value *record, double step, double *session) {
  const double seconds = number(record, "seconds");
  const double row[LD_STEP_COLUMNS] = {
      [LD_COLUMN_STEP] = step,
      [LD_COLUMN_LOSS] = number(record, "loss"),
      [LD_COLUMN_LR] = number(record, "lr"),
      [LD_COLUMN_GRAD_NORM] = number(record, "grad_norm"),
      [LD_COLUMN_RATE] = seconds > 0 ? number(record, "tokens") / seconds : NAN,
      [LD_COLUMN_TARGETS] = number(record, "target_tokens"),
      [LD_COLUMN_EPOCH] = number(record, "epoch"),
      [LD_COLUMN_SECONDS] = seconds,
      [LD_COLUMN_WAIT_NETWORK] = number(record, "wait_network"),
      [LD_COLUMN_WAIT_RANKS] = number(record, "wait_ranks"),
  };
  rewind_to(&r->steps, step);
  rewind_to(&r->evals, step);
  if (r->confusion.step >= step) drop_confusion(&r->confusion);
  add_row(&r->steps, row, LD_STEP_COLUMNS);
  *session += or_zero(seconds);
}

static void take_eval(ld_run_record *r, const ld_value *record, double step, double *session) {
  double row[LD_EVAL_COLUMNS] = {[LD_COLUMN_STEP] = step, [LD_COLUMN_LOSS] = number(record, "loss")};
  if (!r->n_metrics) find_metrics(r, record);
  for (size_t i = 0; i < LD_MOST_METRICS; i++)
    row[LD_COLUMN_METRIC + i] = i < r->n_metrics ? number(record, r->metrics[i].key) : NAN;
  if (r->n_metrics && !strcmp(r->metrics[0].key, "perplexity") && isnan(row[LD_COLUMN_METRIC]))
    row[LD_COLUMN_METRIC] = exp(row[LD_COLUMN_LOSS]);
  rewind_to(&r->evals, step);
  add_row(&r->evals, row, LD_EVAL_COLUMNS);
  *session += or_zero(number(record, "seconds"));
}

/* A matrix is ignored when it is not square, does not match its labels, or is too large to show. */
static bool is_confusion(const ld_value *labels, const ld_value *counts) {
  if (!labels || !counts || labels->type != LD_LIST || counts->type != LD_LIST) return false;
  const size_t n = labels->n_items;
  if (n == 0 || n > LD_REPORT_CLASSES || counts->n_items != n) return false;
  for (size_t i = 0; i < n; i++)
    if (labels->items[i].type != LD_STRING || counts->items[i].type != LD_LIST ||
        counts->items[i].n_items != n)
      return false;
  return true;
}

static void take_confusion(ld_run_record *r, const ld_value *record, double step) {
  const ld_value *labels = ld_value_get(record, "labels"), *counts = ld_value_get(record, "counts");
  if (!is_confusion(labels, counts)) return;
  ld_confusion *c = &r->confusion;
  drop_confusion(c);
  c->step = step;
  c->n = labels->n_items;
  for (size_t i = 0; i < c->n; i++) {
    c->labels[i] = ld_strdup(labels->items[i].string);
    for (size_t k = 0; k < c->n; k++) {
      const ld_value *count = &counts->items[i].items[k];
      c->counts[i][k] = count->type == LD_INTEGER && count->integer > 0 ? count->real : 0;
    }
  }
}

static void take_sample(ld_run_record *r, const ld_value *record, double step) {
  const char *text = string(record, "text"), *prompt = string(record, "prompt");
  if (!text) return;
  if (!prompt) prompt = "";
  size_t i = 0;
  while (i < r->n_samples && strcmp(r->samples[i].prompt, prompt) != 0) i++;
  if (i == LD_REPORT_SAMPLES) return;
  ld_run_sample *s = &r->samples[i];
  if (i == r->n_samples) {
    *s = (ld_run_sample){.prompt = ld_strdup(prompt)};
    r->n_samples++;
  }
  const int which = s->text[0] && step > s->step[0];
  set_text(&s->text[which], text);
  s->step[which] = step;
}

/* Files are in the folder of pictures, whatever metrics.jsonl says. */
static bool is_picture(const char *file) {
  static const char folder[] = "samples/";
  const size_t n = sizeof folder - 1, length = strlen(file);
  return length > n + 4 && !strncmp(file, folder, n) && !strchr(file + n, '/') && !strcmp(file + length - 4, ".png");
}

/* Drops the pictures from `step` on. */
static void rewind_strip(ld_run_strip *s, double step) {
  while (s->n && s->step[s->n - 1] >= step) free(s->file[--s->n]);
}

static void take_picture(ld_run_record *r, const ld_value *record, double step) {
  const char *file = string(record, "image"), *prompt = string(record, "prompt");
  const double which = number(record, "number");
  if (!file || isnan(which) || !is_picture(file)) return;
  size_t i = 0;
  while (i < r->n_strips && r->strips[i].number != which) i++;
  if (i == LD_REPORT_SAMPLES) return;
  ld_run_strip *s = &r->strips[i];
  if (i == r->n_strips) {
    *s = (ld_run_strip){.number = which, .prompt = ld_strdup(prompt ? prompt : "")};
    r->n_strips++;
  }
  rewind_strip(s, step);
  if (s->n == s->room) {
    s->room = s->room ? 2 * s->room : 8;
    s->step = ld_realloc(s->step, s->room, sizeof *s->step);
    s->file = ld_realloc(s->file, s->room, sizeof *s->file);
  }
  s->step[s->n] = step;
  s->file[s->n++] = ld_strdup(file);
}

static void take_stop(ld_run_record *r, const ld_value *record) {
  const char *reason = string(record, "reason");
  free(r->stopped);
  r->stopped = reason ? ld_strdup(reason) : NULL;
}

static void take_record(ld_run_record *r, const ld_value *record, double *session) {
  const char *event = string(record, "event");
  const double step = number(record, "step");
  if (!event) return;
  if (!strcmp(event, "start"))
    take_start(r, record, session);
  else if (!strcmp(event, "end"))
    *session = fmax(*session, or_zero(number(record, "seconds")));
  else if (!strcmp(event, "stop"))
    take_stop(r, record);
  else if (isnan(step))
    return;
  else if (!strcmp(event, "step"))
    take_step(r, record, step, session);
  else if (!strcmp(event, "eval"))
    take_eval(r, record, step, session);
  else if (!strcmp(event, "sample") && string(record, "image"))
    take_picture(r, record, step);
  else if (!strcmp(event, "sample"))
    take_sample(r, record, step);
  else if (!strcmp(event, "confusion"))
    take_confusion(r, record, step);
}

int ld_run_record_read(ld_run_record *r, const char *path, ld_error *err) {
  *r = (ld_run_record){.ranks = NAN, .hosts = NAN, .trained = NAN, .base = NAN, .total = NAN};
  r->data = r->valid = size_of(NULL);
  r->cores = r->memory = NAN;
  double session = 0;
  ld_map map;
  int code = ld_map_open(path, &map, err);
  if (code) return code;
  for (size_t at = 0; at < map.length;) {
    const char *line = map.bytes + at, *end = memchr(line, '\n', map.length - at);
    const size_t length = end ? (size_t)(end - line) : map.length - at;
    ld_value *record = length ? ld_json_parse(line, length, path, NULL) : NULL;
    if (record)
      take_record(r, record, &session);
    else if (length && end)
      r->unreadable++; /* an unfinished last line is normal */
    ld_value_free(record);
    at += length + 1;
  }
  ld_map_close(&map);
  r->seconds += session;
  return 0;
}

void ld_run_record_free(ld_run_record *r) {
  for (size_t c = 0; c < LD_TABLE_COLUMNS; c++) {
    free(r->steps.column[c]);
    free(r->evals.column[c]);
  }
  drop_confusion(&r->confusion);
  drop_metrics(r);
  free(r->target);
  free(r->unit);
  free(r->loss_unit);
  free(r->date);
  free(r->stopped);
  free(r->kernels);
  for (size_t i = 0; i < r->n_samples; i++) {
    free(r->samples[i].prompt);
    free(r->samples[i].text[0]);
    free(r->samples[i].text[1]);
  }
  for (size_t i = 0; i < r->n_strips; i++) {
    rewind_strip(&r->strips[i], -INFINITY);
    free(r->strips[i].prompt);
    free(r->strips[i].step);
    free(r->strips[i].file);
  }
}

size_t ld_run_record_best(const ld_run_record *r) {
  const bool by_metric = r->best_by_metric && r->n_metrics;
  const double *value = r->evals.column[by_metric ? LD_COLUMN_METRIC : LD_COLUMN_LOSS];
  const double sign = by_metric && !r->metrics[0].falls ? -1 : 1;
  size_t best = 0;
  for (size_t i = 1; i < r->evals.n; i++)
    if (sign * value[i] < sign * value[best] || isnan(value[best])) best = i;
  return best;
}

const char *ld_run_record_unit(const ld_run_record *r) {
  return r->unit ? r->unit : "tokens";
}

const char *ld_run_record_target(const ld_run_record *r) {
  if (r->target) return r->target;
  if (!strcmp(ld_run_record_unit(r), "images")) return "image";
  return ld_run_record_scored(r) ? "text" : "target token";
}

const char *ld_run_record_loss_unit(const ld_run_record *r) {
  if (r->loss_unit) return r->loss_unit;
  return r->n_metrics && !strcmp(r->metrics[0].key, "pearson") ? "mean squared error" : "nats";
}

bool ld_run_record_scored(const ld_run_record *r) {
  bool scored = false;
  for (size_t i = 0; i < r->n_metrics; i++) scored = scored || !r->metrics[i].of_loss;
  return scored;
}

static int by_size(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

double ld_column_median(const double *values, size_t n) {
  double *known = ld_alloc(n, sizeof *known), middle = NAN;
  size_t n_known = 0;
  for (size_t i = 0; i < n; i++)
    if (ld_chart_drawable(values[i])) known[n_known++] = values[i];
  qsort(known, n_known, sizeof *known, by_size);
  if (n_known) middle = 0.5 * (known[(n_known - 1) / 2] + known[n_known / 2]);
  free(known);
  return middle;
}

double ld_column_largest(const double *values, size_t n) {
  double out = NAN;
  for (size_t i = 0; i < n; i++) out = fmax(out, values[i]);
  return out;
}

double ld_column_least(const double *values, size_t n) {
  double out = NAN;
  for (size_t i = 0; i < n; i++) out = fmin(out, values[i]);
  return out;
}

double ld_column_mean(const double *values, size_t n) {
  double sum = 0;
  size_t known = 0;
  for (size_t i = 0; i < n; i++)
    if (ld_chart_drawable(values[i])) sum += values[i], known++;
  return known ? sum / (double)known : NAN;
}

size_t ld_column_reach(size_t n) {
  return n < 12 ? 0 : n / 50 + 2;
}

size_t ld_run_record_reach(const ld_run_record *r) {
  enum { TARGETS = 256 }; /* enough for a meaningful mean */
  const size_t n = r->steps.n, usual = ld_column_reach(n);
  const double mean = ld_column_mean(r->steps.column[LD_COLUMN_TARGETS], n);
  if (!usual || !(mean > 0)) return usual;
  const double wanted = fmin(TARGETS / mean / 2, (double)n / 8);
  return wanted > (double)usual ? (size_t)wanted : usual;
}

/* Near the start the window is shorter: a mean over what follows would hide the first fall. */
double *ld_column_smooth(const double *values, size_t n, size_t reach) {
  double *out = ld_alloc(n, sizeof *out), sum = 0;
  const size_t least = reach ? reach / 10 + 1 : 0;
  size_t from = 0, to = 0, known = 0;
  for (size_t i = 0; i < n; i++) {
    const size_t side = i < least ? least : i < reach ? i : reach, before = i < side ? i : side;
    for (; to < n && to <= i + side; to++)
      if (ld_chart_drawable(values[to])) sum += values[to], known++;
    for (; from < i - before; from++)
      if (ld_chart_drawable(values[from])) sum -= values[from], known--;
    out[i] = known && ld_chart_drawable(values[i]) ? sum / (double)known : NAN;
  }
  return out;
}
