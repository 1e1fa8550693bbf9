/* The output of --profile: a table for the user, profile.json for programs. */
#include "job/profile.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "io/file.h"
#include "io/json.h"

static double seconds_of(const ld_profile_row *row) {
  double seconds = 0;
  for (int part = 0; part < LD_PROFILE_PARTS; part++) seconds += row->seconds[part];
  return seconds;
}

static int by_time(const void *a, const void *b) {
  const double x = seconds_of(a), y = seconds_of(b);
  return (x < y) - (x > y);
}

/* The rows as means per step, the slowest first, with one more row for the remaining time; the caller frees. */
static ld_profile_row *mean_rows(const ld_step_profile *profile, size_t *n) {
  const double steps = (double)profile->steps;
  *n = profile->rows.n + 1;
  ld_profile_row *rows = ld_alloc(*n, sizeof *rows), *other = &rows[*n - 1];
  memcpy(rows, profile->rows.rows, profile->rows.n * sizeof *rows);
  *other = (ld_profile_row){.name = "other", .role = ""};
  other->seconds[LD_PROFILE_OUTSIDE] = profile->seconds;
  for (size_t i = 0; i < *n - 1; i++) other->seconds[LD_PROFILE_OUTSIDE] -= seconds_of(&rows[i]);
  for (size_t i = 0; i < *n; i++)
    for (int part = 0; part < LD_PROFILE_PARTS; part++) {
      rows[i].seconds[part] /= steps;
      rows[i].work[part] /= steps;
    }
  qsort(rows, *n, sizeof *rows, by_time);
  return rows;
}

static void put_name(const ld_profile_row *row, ld_text *out) {
  ld_text_printf(out, "%s%s%s", row->name, *row->role ? " " : "", row->role);
}

static void put_part(const ld_profile_row *row, int part, ld_text *line) {
  if (row->calls[part])
    ld_text_printf(line, " %9.3f", 1e3 * row->seconds[part]);
  else
    ld_text_printf(line, " %9s", "-");
}

static void show_row(const ld_profile_row *row, double step, int width) {
  ld_text line = {0}, name = {0};
  put_name(row, &name);
  const double seconds = seconds_of(row),
               flops = 2 * (row->work[LD_PROFILE_FORWARD] + row->work[LD_PROFILE_BACKWARD]);
  ld_text_printf(&line, "%-*s %9.3f %6.2f", width, name.bytes, 1e3 * seconds, 100 * seconds / step);
  if (row->calls[LD_PROFILE_FORWARD] || row->calls[LD_PROFILE_BACKWARD]) {
    put_part(row, LD_PROFILE_FORWARD, &line);
    put_part(row, LD_PROFILE_BACKWARD, &line);
  }
  if (flops > 0) ld_text_printf(&line, " %8.1f", 1e-9 * flops / seconds);
  ld_info("%s", line.bytes);
  ld_text_free(&name);
  ld_text_free(&line);
}

static void show(const ld_profile_row *rows, size_t n, const ld_step_profile *profile) {
  const double step = profile->seconds / (double)profile->steps;
  int width = (int)strlen("operation");
  for (size_t i = 0; i < n; i++) {
    const int length = (int)(strlen(rows[i].name) + 1 + strlen(rows[i].role));
    if (length > width) width = length;
  }
  ld_info("profile of rank 0, mean of %lld step%s", (long long)profile->steps,
          ld_plural(profile->steps, "", "s"));
  ld_info("%-*s %9s %6s %9s %9s %8s", width, "operation", "ms/step", "%", "forward", "backward", "GFLOP/s");
  for (size_t i = 0; i < n; i++) show_row(&rows[i], step, width);
  ld_info("%-*s %9.3f %6.2f", width, "step", 1e3 * step, 100.0);
}

static void put_number(ld_text *out, const char *key, double value) {
  ld_text_printf(out, ", \"%s\": ", key);
  ld_json_number(out, value);
}

static void put_row(const ld_profile_row *row, ld_text *out) {
  ld_text name = {0};
  put_name(row, &name);
  ld_text_puts(out, "{\"name\": ");
  ld_json_quote(out, name.bytes);
  put_number(out, "seconds", seconds_of(row));
  put_number(out, "forward_seconds", row->seconds[LD_PROFILE_FORWARD]);
  put_number(out, "backward_seconds", row->seconds[LD_PROFILE_BACKWARD]);
  put_number(out, "forward_flops", 2 * row->work[LD_PROFILE_FORWARD]);
  put_number(out, "backward_flops", 2 * row->work[LD_PROFILE_BACKWARD]);
  ld_text_puts(out, "}");
  ld_text_free(&name);
}

static int record(const ld_profile_row *rows, size_t n, const ld_step_profile *profile, const char *folder,
                  ld_error *err) {
  ld_text text = {0};
  ld_text_puts(&text, "{\"step_seconds\": ");
  ld_json_number(&text, profile->seconds / (double)profile->steps);
  ld_text_printf(&text, ", \"steps\": %lld, \"operations\": [", (long long)profile->steps);
  for (size_t i = 0; i < n; i++) {
    ld_text_puts(&text, i ? ",\n  " : "\n  ");
    put_row(&rows[i], &text);
  }
  ld_text_puts(&text, "\n]}\n");
  char *path = ld_path_join(folder, "profile.json");
  const int rc = ld_file_write(path, text.bytes, text.length, err);
  free(path);
  ld_text_free(&text);
  return rc;
}

int ld_job_profile(const ld_job *j, ld_error *err) {
  const ld_step_profile *profile = &j->trainer.profile;
  if (!profile->steps) return 0;
  size_t n;
  ld_profile_row *rows = mean_rows(profile, &n);
  show(rows, n, profile);
  const int rc = record(rows, n, profile, j->options.out, err);
  free(rows);
  return rc;
}
