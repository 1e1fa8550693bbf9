#include "io/report/strips.h"

#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "io/file.h"
#include "io/report/text.h"

enum { MOST_BYTES = 8 << 20 }; /* of a picture's file */

/* Whether this is column c of the page for the strip with the most pictures. */
static size_t chosen(size_t c, size_t n) {
  return n <= LD_REPORT_PICTURES ? c : c * (n - 1) / (LD_REPORT_PICTURES - 1);
}

static const ld_run_strip *longest(const ld_run_record *r) {
  const ld_run_strip *found = &r->strips[0];
  for (size_t i = 1; i < r->n_strips; i++)
    if (r->strips[i].n > found->n) found = &r->strips[i];
  return found;
}

/* <img src="data:image/png;base64,..."> */
static void put_picture(ld_text *page, const char *folder, const char *file, const char *prompt) {
  static const char magic[] = "\x89PNG\r\n\x1a\n";
  const size_t n = sizeof magic - 1;
  char *path = ld_path_join(folder, file);
  ld_map map;
  if (!ld_map_open(path, &map, NULL)) {
    if (map.length > n && map.length <= MOST_BYTES && !memcmp(map.bytes, magic, n)) {
      ld_text_puts(page, "<img alt=\"");
      ld_report_put_escaped(page, prompt);
      ld_text_puts(page, "\" src=\"data:image/png;base64,");
      ld_base64_append(page, map.bytes, map.length);
      ld_text_puts(page, "\">");
    }
    ld_map_close(&map);
  }
  free(path);
}

static void put_strip(ld_text *page, const ld_run_strip *s, const ld_run_strip *columns, size_t n_columns,
                      const char *folder) {
  ld_text_puts(page, "<tr><td>");
  ld_report_put_escaped(page, s->prompt);
  ld_text_puts(page, "</td>");
  for (size_t c = 0; c < n_columns; c++) {
    const double step = columns->step[chosen(c, columns->n)];
    ld_text_puts(page, "<td>");
    for (size_t i = 0; i < s->n; i++)
      if (s->step[i] == step) put_picture(page, folder, s->file[i], s->prompt);
    ld_text_puts(page, "</td>");
  }
  ld_text_puts(page, "</tr>\n");
}

void ld_report_put_strips(ld_text *page, const ld_run_record *r, const char *folder) {
  if (!r->n_strips) return;
  const ld_run_strip *columns = longest(r);
  const size_t n = columns->n < LD_REPORT_PICTURES ? columns->n : LD_REPORT_PICTURES;
  ld_text_puts(page, "<section><h2>Pictures while it learns</h2>\n<div class=\"wide\"><table class=\"strips\"><tr><th></th>");
  for (size_t c = 0; c < n; c++) {
    ld_text_puts(page, "<th>step ");
    ld_report_put_count(page, columns->step[chosen(c, columns->n)]);
    ld_text_puts(page, "</th>");
  }
  ld_text_puts(page, "</tr>\n");
  for (size_t i = 0; i < r->n_strips; i++) put_strip(page, &r->strips[i], columns, n, folder);
  ld_text_puts(page, "</table></div></section>\n");
}
