#include "io/report/scores.h"

#include <math.h>
#include <stdio.h>

#include "io/report/text.h"

/* Rows of the table of evaluations, about. */
enum { MAX_ROWS = 12 };

void ld_report_put_score_chart(ld_text *page, const ld_run_record *r, ld_chart chart) {
  const ld_table *e = &r->evals;
  if (!e->n || !ld_run_record_scored(r)) return;
  const ld_run_metric *metric = &r->metrics[0];
  const double *values = e->column[LD_COLUMN_METRIC], top = ld_column_largest(values, e->n);
  const double best = metric->falls ? ld_column_least(values, e->n) : top;
  char note[64];
  snprintf(note, sizeof note, "validation, %s %.*f", metric->falls ? "lowest" : "highest", metric->digits,
           best);
  const ld_curve curve = {"validation", "joined", e->column[LD_COLUMN_STEP], values, e->n};
  ld_text title = {0};
  ld_report_put_capital(&title, metric->name);
  chart.title = title.bytes;
  chart.note = note;
  chart.from_zero = values[0] >= 0 && values[0] < 0.5 * top; /* a small rise near the top must stay visible */
  chart.curves = &curve;
  chart.n_curves = 1;
  chart.n_marks = 5;
  ld_chart_put(page, &chart);
  ld_text_free(&title);
}

static void put_evaluation(ld_text *page, const ld_run_record *r, size_t i, bool best) {
  const ld_table *e = &r->evals;
  ld_text_printf(page, "<tr%s><td>", best ? " class=\"best\"" : "");
  ld_report_put_count(page, e->column[LD_COLUMN_STEP][i]);
  ld_text_puts(page, "</td><td>");
  ld_report_put_real(page, e->column[LD_COLUMN_LOSS][i], 4);
  for (size_t k = 0; k < r->n_metrics; k++) {
    ld_text_puts(page, "</td><td>");
    ld_report_put_real(page, e->column[LD_COLUMN_METRIC + k][i], r->metrics[k].digits);
  }
  ld_text_puts(page, "</td></tr>\n");
}

/* All evaluations of a short run; a selection for a long one, with the first, the best and the last. */
static void put_evaluations(ld_text *page, const ld_run_record *r) {
  const size_t n = r->evals.n, best = ld_run_record_best(r),
               every = n > MAX_ROWS ? n / (MAX_ROWS - 2) + 1 : 1;
  ld_text_puts(page, "<section><h2>Evaluations</h2>\n<span class=\"note\">");
  if (every > 1) ld_text_printf(page, "some of %zu, ", n);
  ld_text_puts(page, "lowest loss in bold</span><div class=\"wide\"><table>\n<tr><th>Step</th><th>Loss</th>");
  for (size_t k = 0; k < r->n_metrics; k++) {
    ld_text_puts(page, "<th>");
    ld_report_put_capital(page, r->metrics[k].name);
    ld_text_puts(page, "</th>");
  }
  ld_text_puts(page, "</tr>\n");
  for (size_t i = 0; i < n; i++)
    if (i % every == 0 || i == best || i == n - 1) put_evaluation(page, r, i, i == best);
  ld_text_puts(page, "</table></div></section>\n");
}

/* The stronger the colour, the larger the fraction of its row. */
static void put_confusion_row(ld_text *page, const ld_confusion *c, size_t row) {
  double total = 0;
  for (size_t k = 0; k < c->n; k++) total += c->counts[row][k];
  ld_text_puts(page, "<tr><th>");
  ld_report_put_escaped(page, c->labels[row]);
  ld_text_puts(page, "</th>");
  for (size_t k = 0; k < c->n; k++) {
    const double share = total > 0 ? c->counts[row][k] / total : 0;
    ld_text_puts(page, share > 0 ? "<td" : "<td class=\"zero\"");
    if (share > 0)
      ld_text_printf(page, " style=\"background:color-mix(in srgb,var(--%s) %.0f%%,transparent)\"",
                     k == row ? "blue" : "warm", ceil(55 * share));
    ld_text_puts(page, ">");
    ld_report_put_count(page, c->counts[row][k]);
    ld_text_puts(page, "</td>");
  }
  ld_text_puts(page, "</tr>\n");
}

static void put_confusion(ld_text *page, const ld_confusion *c) {
  if (!c->n) return;
  ld_text_puts(page, "<section><h2>Confusion matrix</h2>\n<span class=\"note\">validation at step ");
  ld_report_put_count(page, c->step);
  ld_text_printf(page,
                 "; rows: truth, columns: prediction</span>"
                 "<div class=\"wide\"><table class=\"confusion%s\">\n<tr><th></th>",
                 c->n > 4 ? " many" : "");
  for (size_t k = 0; k < c->n; k++) {
    ld_text_puts(page, "<th><span>");
    ld_report_put_escaped(page, c->labels[k]);
    ld_text_puts(page, "</span></th>");
  }
  ld_text_puts(page, "</tr>\n");
  for (size_t i = 0; i < c->n; i++) put_confusion_row(page, c, i);
  ld_text_puts(page, "</table></div></section>\n");
}

/* The fraction that is right; 0 when there is nothing. */
static double part(double right, double all) {
  return all > 0 ? right / all : 0;
}

static void put_cell(ld_text *page, double value) {
  ld_text_puts(page, "<td>");
  ld_report_put_real(page, value, 4);
  ld_text_puts(page, "</td>");
}

/* The scores of each class, from the confusion matrix. */
static void put_classes(ld_text *page, const ld_confusion *c) {
  if (!c->n) return;
  ld_text_puts(page, "<section><h2>Classes</h2>\n<span class=\"note\">validation at step ");
  ld_report_put_count(page, c->step);
  ld_text_puts(
      page,
      "</span><div class=\"wide\"><table>\n<tr><th>Class</th><th>Precision</th><th>Recall</th><th>F1</th>"
      "<th>True</th></tr>\n");
  for (size_t i = 0; i < c->n; i++) {
    double is = 0, said = 0;
    for (size_t k = 0; k < c->n; k++) {
      is += c->counts[i][k];
      said += c->counts[k][i];
    }
    ld_text_puts(page, "<tr><td>");
    ld_report_put_escaped(page, c->labels[i]);
    ld_text_puts(page, "</td>");
    put_cell(page, part(c->counts[i][i], said));
    put_cell(page, part(c->counts[i][i], is));
    put_cell(page, part(2 * c->counts[i][i], said + is));
    ld_text_puts(page, "<td>");
    ld_report_put_count(page, is);
    ld_text_puts(page, "</td></tr>\n");
  }
  ld_text_puts(page, "</table></div></section>\n");
}

void ld_report_put_scores(ld_text *page, const ld_run_record *r) {
  if (!r->evals.n || !ld_run_record_scored(r)) return;
  ld_text_puts(page, "<div class=\"scores\">\n");
  put_evaluations(page, r);
  put_classes(page, &r->confusion);
  put_confusion(page, &r->confusion);
  ld_text_puts(page, "</div>\n");
}
