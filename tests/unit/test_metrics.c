#include "scratch.h"

#include <math.h>
#include <signal.h>
#include <sys/resource.h>

#include "io/report/metrics.h"

static ld_metrics *open_good(const char *path, int64_t keep_step) {
  ld_metrics *metrics;
  ld_error err = {0};
  cr_assert_eq(ld_metrics_open(path, keep_step, &metrics, &err), 0, "%s", err.text);
  return metrics;
}

static void add(ld_metrics *metrics, int64_t step, double loss) {
  ld_error err = {0};
  ld_metrics_begin(metrics);
  ld_metrics_int(metrics, "step", step);
  ld_metrics_real(metrics, "loss", loss);
  cr_assert_eq(ld_metrics_end(metrics, &err), 0, "%s", err.text);
}

static void check_text(const char *path, const char *expected) {
  size_t length;
  char *text = scratch_read(path, &length);
  cr_assert_str_eq(text, expected);
  free(text);
}

Test(metrics, lines_are_objects) {
  char *folder = scratch_new(), *path = ld_path_join(folder, "metrics.jsonl");
  ld_metrics *metrics = open_good(path, -1);
  add(metrics, 1, 0.5);
  ld_metrics_begin(metrics);
  ld_metrics_string(metrics, "text", "a\"b");
  ld_metrics_string(metrics, "none", NULL);
  ld_metrics_real(metrics, "nan", NAN);
  cr_assert_eq(ld_metrics_end(metrics, NULL), 0);
  check_text(path, "{\"step\": 1, \"loss\": 0.5}\n{\"text\": \"a\\\"b\", \"none\": null, \"nan\": null}\n");
  ld_metrics_close(metrics);
  free(path);
  scratch_end(folder);
}

Test(metrics, resuming_drops_later_steps_and_half_a_line) {
  char *folder = scratch_new(), *path = ld_path_join(folder, "metrics.jsonl");
  scratch_text(
      folder, "metrics.jsonl",
      "{\"note\": 1}\n{\"step\": 1}\n{\"step\": 2}\n{\"step\": 3}\n{\"step\": 2, \"eval\": 1}\n{\"step\": 4");
  ld_metrics *metrics = open_good(path, 2);
  add(metrics, 3, 1);
  ld_metrics_close(metrics);
  check_text(path, "{\"note\": 1}\n{\"step\": 1}\n{\"step\": 2}\n{\"step\": 2, \"eval\": 1}\n{\"step\": 3, "
                   "\"loss\": 1}\n");
  metrics = open_good(path, 9);
  ld_metrics_close(metrics);
  check_text(path, "{\"note\": 1}\n{\"step\": 1}\n{\"step\": 2}\n{\"step\": 2, \"eval\": 1}\n{\"step\": 3, "
                   "\"loss\": 1}\n");
  metrics = open_good(path, -1);
  ld_metrics_close(metrics);
  check_text(path, "");
  free(path);
  scratch_end(folder);
}

Test(metrics, errors_are_told) {
  char *folder = scratch_new(), *path = ld_path_join(folder, "metrics.jsonl");
  ld_metrics *metrics;
  ld_error err = {0};
  cr_assert_eq(ld_metrics_open("/nowhere/metrics.jsonl", 5, &metrics, &err), LD_EFILE);
  cr_assert(strstr(err.text, "/nowhere/metrics.jsonl"));
  metrics = open_good(path, -1);
  add(metrics, 1, 1);
  signal(SIGXFSZ, SIG_IGN);
  const struct rlimit limit = {40, RLIM_INFINITY};
  cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
  ld_metrics_begin(metrics);
  ld_metrics_int(metrics, "step", 2);
  ld_metrics_string(metrics, "text", "longer than the limit allows, by far and wide");
  cr_assert_eq(ld_metrics_end(metrics, &err), LD_EFILE);
  cr_assert(strstr(err.text, path));
  check_text(path, "{\"step\": 1, \"loss\": 1}\n");
  ld_metrics_close(metrics);
  free(path);
  scratch_end(folder);
}
