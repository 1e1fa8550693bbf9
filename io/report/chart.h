/* Curves over training steps as inline SVG, for the report page.
 *
 * The drawing stretches to the width of the page while lines and letters keep their size: the labels are
 * HTML, positioned by percentages, so that they are as large on a phone as on a desktop. */
#ifndef LD_REPORT_CHART_H
#define LD_REPORT_CHART_H

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"

/* The most points that one curve is drawn with. A longer curve is cut into pieces, and the lowest and the
 * highest value of each are kept, so that no spike is lost. */
enum { LD_CHART_POINTS = 600 };

/* n values at increasing steps; those that ld_chart_drawable refuses are gaps. */
typedef struct ld_curve {
  const char *name, *style; /* style: a class of the page: "raw", "main", "dots" (points), "joined" */
  const double *steps, *values;
  size_t n;
} ld_curve;

typedef struct ld_chart {
  const char *title, *note; /* constant text: not escaped */
  double first, last;       /* the range of steps */
  bool from_zero; /* the vertical axis begins at 0; otherwise it is logarithmic if values span 100-fold */
  bool tall;      /* larger, with the names of its curves */
  const ld_curve *curves;
  size_t n_curves;
  int n_marks; /* on the vertical axis, about; 0: by its size */
} ld_chart;

/* False for NaN, and for values so large that arithmetic on them overflows. */
bool ld_chart_drawable(double value);

/* Appends a <figure>, unless there is no value to draw. */
void ld_chart_put(ld_text *page, const ld_chart *chart);

#endif
