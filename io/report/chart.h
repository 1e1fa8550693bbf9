/* Curves over training steps as inline SVG, for the report page.
 *
 * The drawing stretches to the width of the page while lines and letters keep their size: the labels are HTML
 * placed by percentages, so that a phone shows them as large as a desk does.
 */
#ifndef LD_REPORT_CHART_H
#define LD_REPORT_CHART_H

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"

/* The most points that one curve is drawn with. A longer one is cut into pieces of which the lowest and the
 * highest value stay, so that no spike is lost. */
enum { LD_CHART_POINTS = 600 };

/* n values at rising steps; those that ld_chart_drawable refuses are gaps. */
typedef struct ld_curve {
  const char *name, *style; /* style: a class of the page, "raw", "main", "dots" (points without a line) or
                               "joined" (with one) */
  const double *steps, *values;
  size_t n;
} ld_curve;

typedef struct ld_chart {
  const char *title, *note; /* our own words: not escaped */
  double first, last;       /* the range of steps */
  bool from_zero; /* the vertical axis begins at 0; else it is logarithmic where values span 100-fold */
  bool tall;      /* larger, and its curves are named */
  const ld_curve *curves;
  size_t n_curves;
  int n_marks; /* on the vertical axis, about; 0: by its size */
} ld_chart;

/* Neither NaN nor so large that arithmetic on it overflows. */
bool ld_chart_drawable(double value);

/* Appends a <figure>; nothing when there is no value to draw. */
void ld_chart_put(ld_text *page, const ld_chart *chart);

#endif
