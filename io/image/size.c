#include "io/image/size.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "io/image/rule.h"

static bool read_side(const char **at, int *side) {
  if (**at < '1' || **at > '9') return false;
  char *end;
  const long value = strtol(*at, &end, 10);
  *side = value < LD_IMAGE_RULE_SIDE + 1 ? (int)value : LD_IMAGE_RULE_SIDE + 1;
  *at = end;
  return true;
}

int ld_image_size_parse(const char *text, int step, ld_image_size *out, ld_error *err) {
  const char *at = text;
  bool good = read_side(&at, &out->width);
  out->height = out->width;
  if (good && *at == 'x') {
    at++;
    good = read_side(&at, &out->height);
  }
  if (!good || *at) return ld_fail(err, LD_EUSAGE, "%s: expected a number of pixels, or WIDTHxHEIGHT", text);
  if (out->width > LD_IMAGE_RULE_SIDE || out->height > LD_IMAGE_RULE_SIDE)
    return ld_fail(err, LD_EUSAGE, "%s: sides have at most %d pixels", text, LD_IMAGE_RULE_SIDE);
  if (out->width % step || out->height % step)
    return ld_fail(err, LD_EUSAGE, "%s: this model takes sides that are multiples of %d", text, step);
  return 0;
}

/* The step between the sides of sizes around a square of that side. */
static int step_around(double side, int step) {
  enum { WIDEST = 64, SHARE = 4 };
  int chosen = WIDEST;
  while (chosen > 1 && chosen * SHARE > side) chosen /= 2;
  return (chosen + step - 1) / step * step;
}

static int by_sides(const void *a, const void *b) {
  const ld_image_size *x = a, *y = b;
  return x->width != y->width ? (x->width > y->width) - (x->width < y->width)
                              : (x->height > y->height) - (x->height < y->height);
}

/* Sorts the sizes, each once; returns how many there are. */
static int sort_once(ld_image_size *sizes, int n) {
  qsort(sizes, (size_t)n, sizeof *sizes, by_sides);
  int kept = 0;
  for (int i = 0; i < n; i++)
    if (!kept || by_sides(&sizes[kept - 1], &sizes[i]) != 0) sizes[kept++] = sizes[i];
  return kept;
}

static int round_down(double side, int step) {
  const int rounded = (int)(side / step) * step;
  return rounded < LD_IMAGE_RULE_SIDE ? rounded : LD_IMAGE_RULE_SIDE / step * step;
}

int ld_image_sizes(ld_image_size around, int step, ld_image_size out[LD_MOST_SIZES]) {
  const int area = around.height * around.width;
  const double side = sqrt(area);
  const int by = step_around(side, step), most = round_down(2 * side, by), square = round_down(side, by);
  int least = round_down(side / 2, by), n = 0;
  if (least < 1) least = by > 1 ? by : 1;
  out[n++] = square ? (ld_image_size){square, square} : around;
  for (int width = least; width <= most && n + 2 <= LD_MOST_SIZES; width += by) {
    int height = area / width / by * by;
    if (height > most) height = most;
    if (height < least) continue;
    out[n++] = (ld_image_size){height, width};
    out[n++] = (ld_image_size){width, height};
  }
  return sort_once(out, n);
}

int ld_image_size_nearest(const ld_image_size *sizes, int n, int height, int width) {
  const double wanted = (double)width / height;
  double least = INFINITY;
  int nearest = 0;
  for (int i = 0; i < n; i++)
    if (sizes[i].height == height && sizes[i].width == width) return i;
  for (int i = 0; i < n; i++) {
    const double error = fabs((double)sizes[i].width / sizes[i].height - wanted);
    if (error < least) least = error, nearest = i;
  }
  return nearest;
}
