#include "io/report/report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "base/value.h"
#include "io/file.h"
#include "io/json.h"
#include "io/report/chart.h"
#include "io/report/page.h"
#include "io/report/run.h"
#include "io/report/scores.h"
#include "io/report/strips.h"
#include "io/report/text.h"
#include "io/yaml.h"

static void put_duration(ld_text *page, double seconds) {
  if (seconds < 60) {
    ld_text_printf(page, "%.1f s", seconds);
    return;
  }
  const long long s = (long long)fmin(seconds + 0.5, 1e15);
  if (s < 3600)
    ld_text_printf(page, "%lld min %02lld s", s / 60, s % 60);
  else if (s < 86400)
    ld_text_printf(page, "%lld h %02lld min", s / 3600, s / 60 % 60);
  else
    ld_text_printf(page, "%lld d %lld h", s / 86400, s / 3600 % 24);
}

static void put_amount(ld_text *page, const char *before, double amount, const char *unit) {
  ld_text_printf(page, "%s%.0f %s%s", before, amount, unit, amount == 1 ? "" : "s");
}

static void open_tile(ld_text *page, const char *label) {
  ld_text_puts(page, "<div><dt>");
  ld_report_put_escaped(page, label);
  ld_text_puts(page, "</dt><dd>");
}

static void close_tile(ld_text *page) {
  ld_text_puts(page, "</dd></div>\n");
}

/* A number of the best evaluation; `decides`: by this one it is the best. */
static void put_eval_tile(ld_text *page, const ld_run_record *r, int column, bool decides, int digits) {
  const ld_table *e = &r->evals;
  const size_t best = ld_run_record_best(r);
  ld_report_put_real(page, e->column[column][best], digits);
  ld_text_puts(page, decides ? "<small>best, at step " : "<small>at the same step");
  if (decides) ld_report_put_count(page, e->column[LD_COLUMN_STEP][best]);
  ld_text_puts(page, "; first ");
  ld_report_put_real(page, e->column[column][0], digits);
  ld_text_puts(page, "</small>");
  close_tile(page);
}

/* "Validation accuracy" */
static char *measure_of(const ld_run_record *r) {
  return ld_format("Validation %s", r->metrics[0].name);
}

static double last_step(const ld_run_record *r) {
  return r->steps.n ? r->steps.column[LD_COLUMN_STEP][r->steps.n - 1] : 0;
}

static void put_loss_tiles(ld_text *page, const ld_run_record *r) {
  const ld_table *s = &r->steps, *e = &r->evals;
  if (s->n) {
    const size_t window = ld_run_record_reach(r) + 1;
    open_tile(page, last_step(r) < r->total ? "Latest training loss" : "Final training loss");
    ld_report_put_real(page, ld_column_mean(s->column[LD_COLUMN_LOSS] + s->n - window, window), 4);
    if (window > 1) {
      ld_text_printf(page, "<small>mean of the last %zu steps; last ", window);
      ld_report_put_real(page, s->column[LD_COLUMN_LOSS][s->n - 1], 4);
      ld_text_puts(page, "</small>");
    }
    close_tile(page);
  }
  if (e->n) {
    char *measure = measure_of(r);
    open_tile(page, "Validation loss");
    put_eval_tile(page, r, LD_COLUMN_LOSS, !r->best_by_metric, 4);
    open_tile(page, measure);
    put_eval_tile(page, r, LD_COLUMN_METRIC, r->best_by_metric || r->metrics[0].of_loss,
                  r->metrics[0].digits);
    free(measure);
  }
}

static const char *rate_title(const ld_run_record *r) {
  return strcmp(ld_run_record_unit(r), "images") ? "Tokens per second" : "Images per second";
}

static void put_progress_tiles(ld_text *page, const ld_run_record *r) {
  const ld_table *s = &r->steps;
  double targets = 0;
  for (size_t i = 0; i < s->n; i++)
    targets += isnan(s->column[LD_COLUMN_TARGETS][i]) ? 0 : s->column[LD_COLUMN_TARGETS][i];
  open_tile(page, "Steps");
  ld_report_put_count(page, last_step(r));
  ld_text_puts(page, "<small>");
  if (!isnan(r->total)) put_amount(page, "of ", r->total, "step");
  if (s->n && !isnan(s->column[LD_COLUMN_EPOCH][s->n - 1]))
    ld_text_printf(page, "%s%.2f epochs", isnan(r->total) ? "" : ", ", s->column[LD_COLUMN_EPOCH][s->n - 1]);
  ld_text_puts(page, "</small>");
  close_tile(page);
  ld_text_puts(page, "<div><dt>");
  ld_report_put_capital(page, ld_run_record_target(r));
  ld_text_puts(page, "s seen</dt><dd>");
  ld_report_put_count(page, targets);
  close_tile(page);
  open_tile(page, rate_title(r));
  ld_report_put_count(page, ld_column_median(s->column[LD_COLUMN_RATE], s->n));
  ld_text_puts(page, "<small>median of all steps</small>");
  close_tile(page);
}

/* The fraction of step time spent waiting, for runs on several ranks. */
static void put_waits_tile(ld_text *page, const ld_run_record *r) {
  const ld_table *s = &r->steps;
  double seconds = 0, network = 0, ranks = 0;
  for (size_t i = 0; i < s->n; i++) {
    if (isnan(s->column[LD_COLUMN_WAIT_NETWORK][i]) || isnan(s->column[LD_COLUMN_WAIT_RANKS][i])) continue;
    seconds += s->column[LD_COLUMN_SECONDS][i];
    network += s->column[LD_COLUMN_WAIT_NETWORK][i];
    ranks += s->column[LD_COLUMN_WAIT_RANKS][i];
  }
  if (!(r->ranks > 1 && seconds > 0)) return;
  open_tile(page, "Waiting");
  ld_text_printf(page, "%.1f %%<small>%.2f %% for the network, %.2f %% for slower ranks</small>",
                 100 * (network + ranks) / seconds, 100 * network / seconds, 100 * ranks / seconds);
  close_tile(page);
}

static void put_job_tiles(ld_text *page, const ld_run_record *r) {
  open_tile(page, "Wall time");
  put_duration(page, r->seconds);
  ld_text_puts(page, "<small>");
  if (!isnan(r->ranks)) put_amount(page, r->regrouped ? "last on " : "on ", r->ranks, "rank");
  if (!isnan(r->hosts)) put_amount(page, ", ", r->hosts, "host");
  if (r->sessions > 1) put_amount(page, ", ", (double)r->sessions, "session");
  ld_text_puts(page, "</small>");
  close_tile(page);
  open_tile(page, "Trained parameters");
  ld_report_put_count(page, r->trained);
  if (r->trained > 0 && r->base > 0) {
    ld_text_printf(page, "<small>%.3g %% of ", 100 * r->trained / r->base);
    ld_report_put_count(page, r->base);
    ld_text_puts(page, "</small>");
  }
  close_tile(page);
}

/* The gain of the best evaluation over the first, if it is better. */
static void put_gain(ld_text *page, const ld_run_record *r) {
  const ld_table *e = &r->evals;
  const size_t best = ld_run_record_best(r);
  if (e->n < 2 || best == 0 || !(e->column[LD_COLUMN_LOSS][best] < e->column[LD_COLUMN_LOSS][0])) return;
  const ld_run_metric *metric = &r->metrics[0];
  const double *values = e->column[LD_COLUMN_METRIC];
  if (metric->falls ? !(values[best] < values[0]) : !(values[best] > values[0])) return;
  char *measure = measure_of(r);
  ld_text_printf(page, "<p class=\"gist\">");
  ld_report_put_escaped(page, measure);
  ld_text_printf(page, " %s from ", metric->falls ? "fell" : "rose");
  ld_report_put_real(page, values[0], metric->digits);
  ld_text_puts(page, " to ");
  ld_report_put_real(page, values[best], metric->digits);
  ld_text_puts(page, " by step ");
  ld_report_put_count(page, e->column[LD_COLUMN_STEP][best]);
  ld_text_puts(page, ".</p>\n");
  free(measure);
}

/* When the last evaluation is worse than the best one: which one was best, and where its adapter is. */
static void put_loss_of_ground(ld_text *page, const ld_run_record *r) {
  const ld_table *e = &r->evals;
  const size_t best = ld_run_record_best(r), last = e->n - 1;
  const double *loss = e->column[LD_COLUMN_LOSS], *step = e->column[LD_COLUMN_STEP];
  if (e->n < 2 || !(loss[last] > loss[best] + 0.005 * fabs(loss[best]))) return;
  ld_text_puts(page, "<p class=\"warn\">Validation got worse: its loss was lowest ");
  ld_text_puts(page, step[best] > 0 ? "at step " : "before the first step");
  if (step[best] > 0) ld_report_put_count(page, step[best]);
  ld_text_puts(page, ", ");
  ld_report_put_real(page, loss[best], 4);
  ld_text_puts(page, ", and is ");
  ld_report_put_real(page, loss[last], 4);
  ld_text_puts(page, " at step ");
  ld_report_put_count(page, step[last]);
  ld_text_puts(page, ". The best adapter is in best.h5.</p>\n");
}

/* The outcome of the run in one sentence, and what a reader should not miss. */
static void put_gist(ld_text *page, const ld_run_record *r) {
  size_t lost = 0;
  for (size_t i = 0; i < r->steps.n; i++) lost += isnan(r->steps.column[LD_COLUMN_LOSS][i]);
  if (!r->steps.n) ld_text_puts(page, "<p class=\"gist\">No training step is recorded yet.</p>\n");
  if (r->steps.n && last_step(r) < r->total) {
    ld_text_printf(page, "<p class=\"gist\">Not finished: %.0f of %.0f steps are done", last_step(r),
                   r->total);
    ld_text_puts(page, r->stopped ? "; stopped: " : "");
    ld_report_put_escaped(page, r->stopped ? r->stopped : "");
    ld_text_puts(page, ".</p>\n");
  }
  put_gain(page, r);
  put_loss_of_ground(page, r);
  if (lost)
    ld_text_printf(page, "<p class=\"warn\">%zu of %zu steps have no finite training loss.</p>\n", lost,
                   r->steps.n);
  if (r->unreadable)
    ld_text_printf(page,
                   "<p class=\"warn\">%zu line%s of metrics.jsonl could not be read and %s left out.</p>\n",
                   r->unreadable, ld_plural((long long)r->unreadable, "", "s"),
                   ld_plural((long long)r->unreadable, "is", "are"));
}

static void put_loss_chart(ld_text *page, const ld_run_record *r, ld_chart chart) {
  const ld_table *s = &r->steps, *e = &r->evals;
  const size_t reach = ld_run_record_reach(r);
  const bool smoothed = reach > 0;
  double *means = ld_column_smooth(s->column[LD_COLUMN_LOSS], s->n, reach);
  ld_curve curves[3];
  chart.curves = curves;
  if (s->n)
    curves[chart.n_curves++] = (ld_curve){"training", smoothed ? "raw" : "main", s->column[LD_COLUMN_STEP],
                                          s->column[LD_COLUMN_LOSS], s->n};
  if (smoothed)
    curves[chart.n_curves++] =
        (ld_curve){"training, smoothed", "main", s->column[LD_COLUMN_STEP], means, s->n};
  if (e->n)
    curves[chart.n_curves++] =
        (ld_curve){"validation", "dots", e->column[LD_COLUMN_STEP], e->column[LD_COLUMN_LOSS], e->n};
  chart.title = "Loss";
  ld_text note = {0};
  const bool nats = !strcmp(ld_run_record_loss_unit(r), "nats");
  ld_report_put_escaped(&note, ld_run_record_loss_unit(r));
  ld_report_put_escaped(&note, nats ? " per " : "");
  ld_report_put_escaped(&note, nats ? ld_run_record_target(r) : "");
  chart.note = note.bytes;
  chart.tall = true;
  ld_chart_put(page, &chart);
  ld_text_free(&note);
  free(means);
}

static void put_step_chart(ld_text *page, const ld_table *s, ld_chart chart, int column, const char *title) {
  const double *values = s->column[column];
  const double middle = ld_column_median(values, s->n), top = ld_column_largest(values, s->n);
  const bool smoothed = column != LD_COLUMN_LR && ld_column_reach(s->n) > 0;
  double *means = ld_column_smooth(values, s->n, ld_column_reach(s->n));
  char note[64];
  if (column == LD_COLUMN_RATE)
    snprintf(note, sizeof note, "median %.0f", middle);
  else
    snprintf(note, sizeof note, "highest %.3g", top);
  const ld_curve curves[] = {
      {title, smoothed ? "raw" : "main", s->column[LD_COLUMN_STEP], values, s->n},
      {"smoothed", "main", s->column[LD_COLUMN_STEP], means, s->n},
  };
  chart.title = title;
  chart.note = note;
  chart.from_zero =
      column != LD_COLUMN_GRAD_NORM || !(top > 100 * middle); /* else a spike flattens the rest */
  chart.curves = curves;
  chart.n_curves = smoothed ? 2 : 1;
  ld_chart_put(page, &chart);
  free(means);
}

static void put_charts(ld_text *page, const ld_run_record *r) {
  const ld_table *s = &r->steps, *e = &r->evals;
  if (!s->n && !e->n) return;
  ld_chart chart = {.first = INFINITY, .last = -INFINITY};
  for (int i = 0; i < 2; i++) {
    const ld_table *t = i ? e : s;
    if (!t->n) continue;
    chart.first = fmin(chart.first, t->column[LD_COLUMN_STEP][0]);
    chart.last = fmax(chart.last, t->column[LD_COLUMN_STEP][t->n - 1]);
  }
  ld_text_puts(page, "<div class=\"charts\">\n");
  put_loss_chart(page, r, chart);
  ld_report_put_score_chart(page, r, chart);
  put_step_chart(page, s, chart, LD_COLUMN_LR, "Learning rate");
  put_step_chart(page, s, chart, LD_COLUMN_GRAD_NORM, "Gradient norm");
  put_step_chart(page, s, chart, LD_COLUMN_RATE, rate_title(r));
  ld_text_puts(page, "</div>\n");
}

static void put_sample(ld_text *page, const ld_run_sample *s, int which) {
  if (!s->text[which]) return;
  ld_text_puts(page, "<div><span class=\"note\">step ");
  ld_report_put_count(page, s->step[which]);
  ld_text_puts(page, "</span><pre>");
  if (*s->prompt) {
    ld_text_puts(page, "<b>");
    ld_report_put_escaped(page, s->prompt);
    ld_text_puts(page, "</b>");
  }
  ld_report_put_escaped(page, s->text[which]);
  ld_text_puts(page, "</pre></div>\n");
}

static void put_samples(ld_text *page, const ld_run_record *r) {
  if (!r->n_samples) return;
  bool after = false;
  for (size_t i = 0; i < r->n_samples; i++) after = after || r->samples[i].text[1];
  ld_text_printf(page, "<section><h2>%s</h2>\n",
                 after ? "Text before and after" : "Text that the model wrote");
  for (size_t i = 0; i < r->n_samples; i++) {
    ld_text_puts(page, "<div class=\"pair\">");
    put_sample(page, &r->samples[i], 0);
    put_sample(page, &r->samples[i], 1);
    ld_text_puts(page, "</div>\n");
  }
  ld_text_puts(page, "</section>\n");
}

static void put_value(ld_text *page, const ld_value *value) {
  if (value->type == LD_STRING)
    ld_report_put_escaped(page, value->string);
  else if (value->type == LD_INTEGER)
    ld_text_printf(page, "%lld", (long long)value->integer);
  else if (value->type == LD_REAL)
    ld_json_number(page, value->real);
  else if (value->type == LD_BOOLEAN)
    ld_text_puts(page, value->boolean ? "yes" : "no");
  else if (value->type == LD_NULL)
    ld_text_puts(page, "<span class=\"note\">default</span>");
  else if (!value->n_items)
    ld_text_puts(page, "<span class=\"note\">none</span>");
  for (size_t i = 0; i < value->n_items; i++) {
    const ld_value *item = &value->items[i];
    if (i) ld_text_puts(page, ", ");
    if (item->key) ld_report_put_escaped(page, item->key);
    if (item->key) ld_text_puts(page, ": ");
    put_value(page, item);
  }
}

static void put_settings_table(ld_text *page, const ld_value *settings) {
  ld_text_puts(page, "<dl class=\"settings\">\n");
  for (size_t i = 0; i < settings->n_items; i++) {
    ld_text_puts(page, "<div><dt>");
    ld_report_put_escaped(page, settings->items[i].key);
    ld_text_puts(page, "</dt><dd>");
    put_value(page, &settings->items[i]);
    ld_text_puts(page, "</dd></div>\n");
  }
  ld_text_puts(page, "</dl>");
}

static void open_fact(ld_text *page, const char *name) {
  ld_text_printf(page, "<div><dt>%s</dt><dd>", name);
}

static void put_size(ld_text *page, const char *name, const ld_run_size *size) {
  if (isnan(size->records)) return;
  open_fact(page, name);
  ld_report_put_count(page, size->records);
  ld_text_printf(page, " record%s in ", size->records == 1 ? "" : "s");
  ld_report_put_count(page, size->rows);
  ld_text_printf(page, " row%s, ", size->rows == 1 ? "" : "s");
  ld_report_put_count(page, size->tokens);
  ld_text_puts(page, " tokens, ");
  ld_report_put_count(page, size->targets);
  ld_text_puts(page, " targets");
  close_tile(page);
}

/* Data sizes, and the machine. */
static void put_facts(ld_text *page, const ld_run_record *r, const char *trained) {
  if (isnan(r->data.records) && !r->kernels) return;
  ld_text_puts(page, "<section><h2>Data and machine</h2>\n<dl class=\"settings\">\n");
  put_size(page, "training data", &r->data);
  put_size(page, "validation data", &r->valid);
  if (trained) {
    open_fact(page, "trained");
    ld_report_put_escaped(page, trained);
    close_tile(page);
  }
  if (r->kernels) {
    open_fact(page, "processor");
    ld_report_put_escaped(page, r->kernels);
    ld_text_puts(page, " kernels");
    if (r->cores > 0) put_amount(page, ", ", r->cores, "core");
    ld_text_puts(page, r->cores > 0 && r->ranks > 1 ? " for rank 0" : "");
    close_tile(page);
  }
  if (r->memory > 0) {
    open_fact(page, "memory");
    ld_text_printf(page, "%.1f GiB free on %s at the start", r->memory / 0x1p30,
                   r->hosts > 1 ? "rank 0's host" : "the host");
    close_tile(page);
  }
  ld_text_puts(page, "</dl></section>\n");
}

/* A file that is not a map of settings is shown as it is. */
static void put_settings(ld_text *page, const ld_value *settings, const char *yaml) {
  if (!yaml) return;
  ld_text_puts(page, "<section><h2>Settings</h2>\n");
  if (settings && settings->type == LD_MAP) {
    put_settings_table(page, settings);
  } else {
    ld_text_puts(page, "<pre>");
    ld_report_put_escaped(page, yaml);
    ld_text_puts(page, "</pre>");
  }
  ld_text_puts(page, "</section>\n");
}

static const char *string(const ld_value *map, const char *key) {
  const ld_value *found = ld_value_get(map, key);
  return found && found->type == LD_STRING ? found->string : NULL;
}

static void put_file_name(ld_text *page, const char *what, const char *path) {
  if (!path) return;
  ld_text_puts(page, what);
  ld_report_put_escaped(page, ld_path_base(path));
}

/* ISO 8601 in readable form. */
static void put_date(ld_text *page, const char *date) {
  const bool known = strlen(date) == 20 && date[10] == 'T' && date[19] == 'Z';
  char *text = known ? ld_format("%.10s %.5s UTC", date, date + 11) : ld_strdup(date);
  ld_text_puts(page, ", started ");
  ld_report_put_escaped(page, text);
  free(text);
}

static void put_heading(ld_text *page, const ld_run_record *r, const ld_value *settings, const char *title) {
  ld_text_puts(page, LD_REPORT_HEAD);
  ld_text_puts(page, "<title>");
  ld_report_put_escaped(page, title);
  ld_text_puts(page, "</title>\n");
  ld_text_puts(page, LD_REPORT_STYLE);
  ld_text_puts(page, "</head>\n<body>\n<main>\n<h1>");
  ld_report_put_escaped(page, title);
  ld_text_puts(page, "</h1>\n<p class=\"about\">LoRA training");
  put_file_name(page, " of ", string(settings, "model"));
  put_file_name(page, " on ", string(settings, "data"));
  if (r->date) put_date(page, r->date);
  ld_text_puts(page, "</p>\n");
}

static void put_page(ld_text *page, const ld_run_record *r, const ld_value *settings, const char *yaml,
                     const char *folder, const char *title) {
  put_heading(page, r, settings, title);
  put_gist(page, r);
  ld_text_puts(page, "<dl class=\"tiles\">\n");
  put_loss_tiles(page, r);
  put_progress_tiles(page, r);
  put_job_tiles(page, r);
  put_waits_tile(page, r);
  ld_text_puts(page, "</dl>\n");
  put_charts(page, r);
  ld_report_put_scores(page, r);
  put_samples(page, r);
  ld_report_put_strips(page, r, folder);
  put_facts(page, r, string(settings, "trained"));
  put_settings(page, settings, yaml);
  ld_text_puts(page, "<footer>Made by lora_dist from metrics.jsonl and run.yaml.</footer>\n</main>\n");
  ld_text_puts(page, LD_REPORT_SCRIPT);
  ld_text_puts(page, "</body>\n</html>\n");
}

/* The text of run.yaml; NULL when it cannot be read. The caller frees. */
static char *read_settings(const char *path, ld_value **settings) {
  ld_map map;
  *settings = NULL;
  if (ld_map_open(path, &map, NULL)) return NULL;
  char *text = ld_strndup(map.bytes ? map.bytes : "", map.length);
  *settings = ld_yaml_parse(text, map.length, path, NULL);
  ld_map_close(&map);
  return text;
}

int ld_report_write(const char *run_folder, const char *title, ld_error *err) {
  char *metrics = ld_path_join(run_folder, "metrics.jsonl");
  char *config = ld_path_join(run_folder, "run.yaml");
  char *report = ld_path_join(run_folder, "report.html");
  ld_run_record r;
  int code = ld_run_record_read(&r, metrics, err);
  if (!code) {
    ld_value *settings;
    ld_text page = {0};
    char *yaml = read_settings(config, &settings);
    put_page(&page, &r, settings, yaml, run_folder, title ? title : run_folder);
    code = ld_file_write(report, page.bytes, page.length, err);
    ld_text_free(&page);
    ld_value_free(settings);
    free(yaml);
  }
  ld_run_record_free(&r);
  free(metrics);
  free(config);
  free(report);
  return code;
}
