#include "io/report/chart.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct chart_axis {
  double low, high; /* of the logarithm if `log` */
  bool log;
} chart_axis;

typedef struct points {
  double step[LD_CHART_POINTS], value[LD_CHART_POINTS];
  size_t n;
} points;

bool ld_chart_drawable(double value) {
  return isfinite(value) && fabs(value) < 1e100;
}

static void keep(points *out, const ld_curve *curve, size_t i) {
  out->step[out->n] = curve->steps[i];
  out->value[out->n++] = curve->values[i];
}

/* Keeps the lowest and the highest of values [from, to), in their order; one gap when all are gaps. */
static void keep_extremes(points *out, const ld_curve *curve, size_t from, size_t to) {
  size_t low = to, high = to;
  for (size_t i = from; i < to; i++) {
    if (!ld_chart_drawable(curve->values[i])) continue;
    if (low == to || curve->values[i] < curve->values[low]) low = i;
    if (high == to || curve->values[i] > curve->values[high]) high = i;
  }
  if (low == to) low = high = from;
  keep(out, curve, low < high ? low : high);
  if (low != high) keep(out, curve, low < high ? high : low);
}

static void subsample(points *out, const ld_curve *curve) {
  const size_t pieces = LD_CHART_POINTS / 2;
  out->n = 0;
  if (curve->n <= LD_CHART_POINTS)
    for (size_t i = 0; i < curve->n; i++) keep(out, curve, i);
  else
    for (size_t i = 0; i < pieces; i++)
      keep_extremes(out, curve, curve->n * i / pieces, curve->n * (i + 1) / pieces);
}

/* False when there is nothing to draw. */
static bool value_axis(const ld_chart *chart, chart_axis *out) {
  double low = INFINITY, high = -INFINITY;
  for (size_t c = 0; c < chart->n_curves; c++)
    for (size_t i = 0; i < chart->curves[c].n; i++) {
      const double value = chart->curves[c].values[i];
      if (!ld_chart_drawable(value)) continue;
      low = fmin(low, value);
      high = fmax(high, value);
    }
  if (low > high) return false;
  const bool log = !chart->from_zero && low > 0 && high > 100 * low;
  if (log) low = log10(low), high = log10(high);
  const bool grounded = chart->from_zero && low >= 0;
  if (grounded) low = 0;
  /* Values that are all the same, or nearly, still need a range in which doubles differ. */
  double margin = 0.06 * (high - low);
  if (margin <= 1e-9 * fabs(high)) margin = high != 0 ? 0.1 * fabs(high) : 1;
  margin = fmax(margin, 1e-200); /* well above the smallest numbers, which lose digits */
  *out = (chart_axis){grounded ? 0 : low - margin, high + margin, log};
  return true;
}

/* The position along the axis, in thousandths. */
static double place(const chart_axis *along, double value) {
  return 1000 * ((along->log ? log10(value) : value) - along->low) / (along->high - along->low);
}

/* 1, 2 or 5 times a power of ten: the distance between about `wanted` ticks. */
static double tick_distance(double range, int wanted) {
  const double rough = range / wanted, power = pow(10, floor(log10(rough)));
  return power * (rough > 5 * power ? 10 : rough > 2 * power ? 5 : rough > power ? 2 : 1);
}

static void label(char *out, size_t size, double value, double distance) {
  const double large = fabs(value);
  const int digits = distance < 1 ? (int)fmin(9, -floor(log10(distance) + 1e-9)) : 0;
  if (value == 0)
    snprintf(out, size, "0");
  else if (large >= 1e12 || large < 1e-3)
    snprintf(out, size, "%.3g", value);
  else if (large >= 1e9)
    snprintf(out, size, "%.6gG", value / 1e9);
  else if (large >= 1e6)
    snprintf(out, size, "%.6gM", value / 1e6);
  else if (large >= 1e4)
    snprintf(out, size, "%.6gk", value / 1e3);
  else
    snprintf(out, size, "%.*f", digits, value);
}

typedef struct ticks {
  double at[16]; /* thousandths */
  char label[16][32];
  size_t n;
} ticks;

static void find_ticks(ticks *out, const chart_axis *along, int wanted, bool whole) {
  double distance = tick_distance(along->high - along->low, wanted);
  if (whole || along->log) distance = fmax(1, distance);
  out->n = 0;
  for (double k = ceil(along->low / distance); out->n < 16 && k * distance <= along->high; k++) {
    const double mark = k * distance, value = along->log ? pow(10, mark) : mark;
    label(out->label[out->n], sizeof out->label[0], value, along->log ? fmin(value, 1) : distance);
    out->at[out->n++] = place(along, value);
  }
}

static void put_labels(ld_text *page, const ticks *across, const ticks *up) {
  for (size_t i = 0; i < up->n; i++)
    ld_text_printf(page, "<span class=\"y\" style=\"top:%.2f%%\">%s</span>", 100 - up->at[i] / 10,
                   up->label[i]);
  for (size_t i = 0; i < across->n; i++)
    ld_text_printf(page, "<span class=\"x\" style=\"left:%.2f%%\">%s</span>", across->at[i] / 10,
                   across->label[i]);
}

static void put_grid(ld_text *page, const ticks *up) {
  ld_text_puts(page, "<path class=\"grid\" d=\"M0 1000H1000");
  for (size_t i = 0; i < up->n; i++) ld_text_printf(page, "M0 %.1fH1000", 1000 - up->at[i]);
  ld_text_puts(page, "\"/>\n");
}

/* Neighbours become a line. A point between gaps, or each one of `dots`, becomes a stroke of no length with
 * round ends. */
static void put_shape(ld_text *page, const points *p, const chart_axis *x, const chart_axis *y, bool dots,
                      bool alone) {
  bool down = false;
  for (size_t i = 0; i < p->n; i++) {
    const bool here = ld_chart_drawable(p->value[i]);
    const bool next = !dots && i + 1 < p->n && ld_chart_drawable(p->value[i + 1]);
    if (here && alone == (!down && !next))
      ld_text_printf(page, "%s%.1f %.1f%s", down ? " " : "M", place(x, p->step[i]),
                     1000 - place(y, p->value[i]), alone ? "h0" : "");
    down = here && !dots;
  }
}

static void put_curve(ld_text *page, const ld_curve *curve, const chart_axis *x, const chart_axis *y) {
  points p;
  subsample(&p, curve);
  const bool dots = !strcmp(curve->style, "dots");
  ld_text_printf(page, "<path class=\"%s\" data-name=\"%s\" data-points=\"", curve->style, curve->name);
  for (size_t i = 0; i < p.n; i++)
    if (ld_chart_drawable(p.value[i])) ld_text_printf(page, "%.16g,%.5g ", p.step[i], p.value[i]);
  ld_text_puts(page, "\" d=\"");
  put_shape(page, &p, x, y, dots, false);
  ld_text_puts(page, "\"/>\n");
  ld_text spots = {0};
  put_shape(&spots, &p, x, y, dots || !strcmp(curve->style, "joined"), true);
  if (spots.length && dots) ld_text_printf(page, "<path class=\"rim\" d=\"%s\"/>\n", spots.bytes);
  if (spots.length) ld_text_printf(page, "<path class=\"spot %s\" d=\"%s\"/>\n", curve->style, spots.bytes);
  ld_text_free(&spots);
}

static void put_caption(ld_text *page, const ld_chart *chart, bool log) {
  ld_text_printf(page, "<figcaption><h2>%s</h2><span class=\"note\">%s%s</span>", chart->title, chart->note,
                 !log           ? ""
                 : *chart->note ? ", log scale"
                                : "log scale");
  for (size_t i = 0; chart->tall && i < chart->n_curves; i++)
    ld_text_printf(page, "<span class=\"key %s\">%s</span>", chart->curves[i].style, chart->curves[i].name);
  ld_text_puts(page, "</figcaption>\n");
}

void ld_chart_put(ld_text *page, const ld_chart *chart) {
  chart_axis x = {chart->first, chart->last, false}, y;
  if (!value_axis(chart, &y)) return;
  if (!(x.low < x.high)) x.low -= 1, x.high += 1;
  ticks across, up;
  find_ticks(&across, &x, 5, true);
  find_ticks(&up, &y, chart->n_marks ? chart->n_marks : chart->tall ? 6 : 4, false);
  ld_text_printf(page, "<figure%s>", chart->tall ? " class=\"tall\"" : "");
  put_caption(page, chart, y.log);
  ld_text_printf(
      page,
      "<div class=\"plot\" data-first=\"%.16g\" data-last=\"%.16g\"><svg viewBox=\"0 0 1000 1000\" "
      "preserveAspectRatio=\"none\" role=\"img\" aria-label=\"%s by step: %s\">\n",
      x.low, x.high, chart->title, chart->note);
  put_grid(page, &up);
  for (size_t i = 0; i < chart->n_curves; i++) put_curve(page, &chart->curves[i], &x, &y);
  ld_text_puts(page, "</svg>");
  put_labels(page, &across, &up);
  ld_text_puts(page, "</div></figure>\n");
}
