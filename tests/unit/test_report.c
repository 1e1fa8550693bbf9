#include <criterion/criterion.h>
#include <math.h>
#include <time.h>

#include "base/text.h"
#include "io/report/chart.h"
#include "io/report/report.h"
#include "io/report/run.h"
#include "io/report/strips.h"
#include "scratch.h"

/* The report of a folder with these files (NULL: without); the caller frees. */
static char *report_of(const char *metrics, const char *settings, const char *title) {
  char *folder = scratch_new(), *path = ld_path_join(folder, "report.html");
  scratch_text(folder, "metrics.jsonl", metrics);
  if (settings) scratch_text(folder, "run.yaml", settings);
  ld_error err = {0};
  cr_assert_eq(ld_report_write(folder, title, &err), 0, "%s", err.text);
  size_t length;
  char *page = scratch_read(path, &length);
  cr_assert_eq(strlen(page), length);
  cr_assert(strstr(page, "</html>"));
  free(path);
  scratch_end(folder);
  return page;
}

static void expect(const char *page, const char *text) {
  cr_assert(strstr(page, text), "the page lacks: %s", text);
}

static void refuse(const char *page, const char *text) {
  cr_assert_not(strstr(page, text), "the page has: %s", text);
}

static size_t count(const char *page, const char *text) {
  size_t n = 0;
  for (; (page = strstr(page, text)); page += strlen(text)) n++;
  return n;
}

static ld_run_record record_of(const char *metrics) {
  char *folder = scratch_new(), *path = scratch_file(folder, "metrics.jsonl", metrics, strlen(metrics));
  ld_run_record run;
  ld_error err = {0};
  cr_assert_eq(ld_run_record_read(&run, path, &err), 0, "%s", err.text);
  free(path);
  scratch_end(folder);
  return run;
}

static const char small_run[] =
    "{\"event\":\"start\",\"step\":0,\"ranks\":2,\"hosts\":1,\"trained_parameters\":12345,"
    "\"base_parameters\":260000,\"date\":\"2026-01-02T03:04:05Z\"}\n"
    "{\"event\":\"eval\",\"step\":0,\"loss\":3.0,\"perplexity\":20.09,\"seconds\":1}\n"
    "{\"event\":\"step\",\"step\":1,\"epoch\":0.5,\"loss\":2.5,\"lr\":0.0002,\"grad_norm\":0.8,"
    "\"target_tokens\":1000,\"tokens\":900,\"seconds\":0.5,\"tries\":1}\n"
    "{\"event\":\"lunch\",\"step\":1}\n"
    "{\"event\":\"step\",\"step\":2,\"epoch\":1,\"loss\":2.25,\"lr\":0.0001,\"grad_norm\":0.7,"
    "\"target_tokens\":500,\"tokens\":1100,\"seconds\":0.5,\"unheard\":[1]}\n"
    "{\"event\":\"eval\",\"step\":2,\"loss\":2.0,\"perplexity\":7.39,\"seconds\":1}\n"
    "{\"event\":\"end\",\"step\":2,\"seconds\":83.0}\n";

Test(report, waits_are_told_where_ranks_waited) {
  static const char start[] = "{\"event\":\"start\",\"step\":0,\"ranks\":%d,\"hosts\":2}\n%s";
  static const char steps[] =
      "{\"event\":\"step\",\"step\":1,\"loss\":2,\"seconds\":3,\"wait_network\":0.03,\"wait_ranks\":0.1}\n"
      "{\"event\":\"step\",\"step\":2,\"loss\":2,\"seconds\":1,\"wait_network\":0.01,\"wait_ranks\":0.1}\n";
  char *two = ld_format(start, 2, steps), *one = ld_format(start, 1, steps);
  char *page = report_of(two, NULL, NULL), *alone = report_of(one, NULL, NULL);
  expect(page, "<dd>6.0 %<small>1.00 % for the network, 5.00 % for slower ranks</small>");
  refuse(alone, "for the network");
  free(two);
  free(one);
  free(page);
  free(alone);
}

Test(report, a_run_that_is_not_finished) {
  static const char start[] = "{\"event\":\"start\",\"step\":0,\"total_steps\":%d}\n"
                              "{\"event\":\"step\",\"step\":1,\"epoch\":0.25,\"loss\":2,\"seconds\":1}\n";
  char *four = ld_format(start, 4), *one = ld_format(start, 1);
  char *page = report_of(four, NULL, NULL), *finished = report_of(one, NULL, NULL);
  expect(page, "Not finished: 1 of 4 steps are done.");
  expect(page, "<dd>1<small>of 4 steps, 0.25 epochs</small>");
  expect(page, "Latest training loss");
  expect(finished, "Final training loss");
  refuse(finished, "Not finished");
  expect(finished, "<dd>1<small>of 1 step, 0.25 epochs</small>");
  free(four);
  free(one);
  free(page);
  free(finished);
}

Test(report, headline) {
  char *page =
      report_of(small_run, "model: /data/tiny\nlr: 0.0002\ntarget: [q_proj, v_proj]\nvalid: null\n", "A run");
  expect(page, "<title>A run</title>");
  expect(page, "of tiny");
  expect(page, "2026-01-02 03:04 UTC");
  expect(page, "Validation perplexity fell from 20.09 to 7.39 by step 2.");
  expect(page, "<dd>2.2500");
  expect(page, "<dd>2.0000<small>best, at step 2; first 3.0000</small>");
  expect(page, "<dd>1,500</dd>"); /* target tokens */
  expect(page, "<dd>2,000<small>median");
  expect(page, "<dd>1 min 23 s<small>on 2 ranks, 1 host</small>");
  expect(page, "<dd>12,345<small>4.75 % of 260,000");
  expect(page, "<dt>target</dt><dd>q_proj, v_proj</dd>");
  cr_assert_eq(count(page, "<figure"), 4);
  refuse(page, "unknown");
  free(page);
}

/* Runs from before the keys "task" and "unit", and language models with them, look the same. */
Test(report, a_language_model_has_no_scores) {
  char *old = report_of(small_run, NULL, NULL), *metrics = ld_format("%s", small_run);
  char *date = strstr(metrics, "\"date\"");
  *date = 0;
  char *told = ld_format("%s\"task\":\"language\",\"unit\":\"tokens\",\"date\"%s", metrics, date + 6);
  char *new = report_of(told, NULL, NULL);
  expect(old, "nats per target token");
  expect(old, "Target tokens seen");
  expect(old, "Tokens per second");
  refuse(old, "Evaluations");
  refuse(old, "ccuracy");
  cr_assert_str_eq(strstr(new, "<dl"), strstr(old, "<dl"));
  free(old);
  free(new);
  free(told);
  free(metrics);
}

static const char classes_run[] =
    "{\"event\":\"start\",\"step\":0,\"task\":\"classes\",\"unit\":\"images\",\"ranks\":1,\"hosts\":1,"
    "\"trained_parameters\":100,\"base_parameters\":2000}\n"
    "{\"event\":\"eval\",\"step\":0,\"loss\":1.1,\"accuracy\":0.25,\"macro_f1\":0.2,\"matthews\":-0.0625,"
    "\"seconds\":1}\n"
    "{\"event\":\"step\",\"step\":4,\"loss\":0.9,\"target_tokens\":32,\"tokens\":32,\"seconds\":0.5}\n"
    "{\"event\":\"eval\",\"step\":4,\"loss\":0.5,\"accuracy\":0.75,\"macro_f1\":0.7,\"matthews\":0.6,"
    "\"seconds\":1}\n"
    "{\"event\":\"step\",\"step\":8,\"loss\":0.8,\"target_tokens\":32,\"tokens\":32,\"seconds\":0.5}\n"
    "{\"event\":\"eval\",\"step\":8,\"loss\":0.6,\"accuracy\":0.875,\"macro_f1\":0.8,\"matthews\":0.7,"
    "\"seconds\":1}\n";

Test(report, classes_of_images) {
  char *page = report_of(classes_run, NULL, NULL);
  expect(page, "Validation accuracy rose from 0.2500 to 0.7500 by step 4.");
  expect(page, "<dd>0.7500<small>at the same step; first 0.2500</small>");
  expect(page, "<dt>Images seen</dt><dd>64</dd>");
  expect(page, "<dt>Images per second</dt><dd>64<small>");
  expect(page, "nats per image");
  expect(page, "validation, highest 0.8750");
  expect(page, "data-points=\"0,0.25 4,0.75 8,0.875 \"");
  expect(page, "<th>Accuracy</th><th>Macro F1</th><th>Matthews</th>");
  expect(page, "<tr><td>0</td><td>1.1000</td><td>0.2500</td><td>0.2000</td><td>-0.0625</td></tr>");
  expect(page, "<tr class=\"best\"><td>4</td><td>0.5000</td><td>0.7500</td>");
  cr_assert_eq(count(page, "class=\"best\""), 1);
  cr_assert_eq(count(page, "<figure"), 3, "loss, accuracy, images per second");
  refuse(page, "erplexity");
  refuse(page, "okens per second");
  refuse(page, "Confusion matrix");
  refuse(page, "unknown");
  free(page);
}

Test(report, numbers) {
  char *page = report_of("{\"event\":\"start\",\"step\":0,\"task\":\"value\",\"unit\":\"tokens\"}\n"
                         "{\"event\":\"eval\",\"step\":0,\"loss\":4,\"pearson\":-0.5,\"spearman\":-0.25}\n"
                         "{\"event\":\"step\",\"step\":1,\"loss\":2,\"target_tokens\":3,\"tokens\":90}\n"
                         "{\"event\":\"eval\",\"step\":1,\"loss\":1,\"pearson\":0.5,\"spearman\":null}\n",
                         NULL, NULL);
  expect(page, "Validation Pearson correlation rose from -0.5000 to 0.5000 by step 1.");
  expect(page, "mean squared error");
  expect(page, "<dt>Texts seen</dt><dd>3</dd>");
  expect(page, "<dt>Tokens per second</dt>");
  expect(page, "<td>1.0000</td><td>0.5000</td><td>unknown</td>");
  refuse(page, "erplexity");
  refuse(page, "ccuracy");
  free(page);
}

/* A run that was recorded without "metrics" shows its evaluations' scores. */
Test(report, scores_tell_the_metrics) {
  ld_run_record run = record_of("{\"event\":\"start\",\"step\":0}\n"
                                "{\"event\":\"eval\",\"step\":0,\"loss\":1,\"accuracy\":0.5}\n");
  cr_assert(run.n_metrics == 1 && ld_run_record_scored(&run));
  cr_assert_str_eq(run.metrics[0].key, "accuracy");
  cr_assert_str_eq(ld_run_record_target(&run), "text");
  cr_assert_eq(run.evals.column[LD_COLUMN_METRIC][0], 0.5);
  ld_run_record_free(&run);
  run = record_of("{\"event\":\"eval\",\"step\":0,\"loss\":1}\n");
  cr_assert(run.n_metrics == 1 && !ld_run_record_scored(&run));
  cr_assert_str_eq(run.metrics[0].key, "perplexity");
  cr_assert_str_eq(ld_run_record_target(&run), "target token");
  cr_assert_float_eq(run.evals.column[LD_COLUMN_METRIC][0], exp(1), 1e-12);
  ld_run_record_free(&run);
}

Test(report, many_evaluations_are_thinned) {
  ld_text metrics = {0};
  for (int i = 0; i < 500; i++)
    ld_text_printf(&metrics, "{\"event\":\"eval\",\"step\":%d,\"loss\":%d,\"accuracy\":0.5}\n", i,
                   i == 333 ? 1 : 2);
  char *page = report_of(metrics.bytes, NULL, NULL);
  const size_t rows = count(page, "<tr");
  cr_assert(rows >= 8 && rows <= 14, "%zu rows", rows);
  expect(page, "some of 500, lowest loss in bold");
  expect(page, "<tr><td>0</td>");
  expect(page, "<tr class=\"best\"><td>333</td>");
  expect(page, "<tr><td>499</td>");
  free(page);
  ld_text_free(&metrics);
}

Test(report, confusion) {
  char *metrics = ld_format("%s%s", classes_run,
                            "{\"event\":\"confusion\",\"step\":8,\"labels\":[\"<script>a\",\"b\"],"
                            "\"counts\":[[1500,0],[1,3]]}\n");
  char *page = report_of(metrics, NULL, NULL);
  expect(page, "validation at step 8; rows: truth, columns: prediction");
  expect(page, "<th><span>&lt;script&gt;a</span></th>");
  expect(page, "<tr><th>b</th><td");
  expect(page, ">1,500</td><td class=\"zero\">0</td></tr>");
  expect(page, "var(--warm) 14%"); /* a quarter of its row, wrong */
  cr_assert_eq(count(page, "<script>"), 1);
  free(page);
  free(metrics);
}

Test(report, confusion_that_is_none) {
  static const char *const bad[] = {
      "\"labels\":[\"a\"],\"counts\":[[1],[2]]",
      "\"labels\":[\"a\",\"b\"],\"counts\":[[1,2],[3]]",
      "\"labels\":[\"a\",1],\"counts\":[[1,2],[3,4]]",
      "\"labels\":[\"a\",\"b\"],\"counts\":[[1,2],3]",
      "\"labels\":[],\"counts\":[]",
      "\"labels\":{\"a\":\"b\"},\"counts\":[[1]]",
      "\"labels\":[\"a\"]",
      "\"labels\":[\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\","
      "\"\",\"\",\"\"],"
      "\"counts\":[[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[]]",
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    char *metrics = ld_format("{\"event\":\"confusion\",\"step\":1,%s}\n", bad[i]);
    ld_run_record run = record_of(metrics);
    cr_assert_eq(run.unreadable, 0, "%s", bad[i]);
    cr_assert_eq(run.confusion.n, 0, "%s", bad[i]);
    ld_run_record_free(&run);
    free(metrics);
  }
}

/* The last one counts, unless its step was computed again; anything but a count is 0. */
Test(report, confusion_of_a_resumed_run) {
  const char first[] = "{\"event\":\"confusion\",\"step\":3,\"labels\":[\"a\"],\"counts\":[[4]]}\n"
                       "{\"event\":\"confusion\",\"step\":5,\"labels\":[\"b\",\"c\"],"
                       "\"counts\":[[5,-1],[\"x\",0.5]]}\n";
  ld_run_record run = record_of(first);
  cr_assert_eq(run.confusion.n, 2);
  cr_assert_str_eq(run.confusion.labels[1], "c");
  cr_assert_eq(run.confusion.counts[0][0], 5);
  cr_assert_eq(run.confusion.counts[0][1], 0);
  cr_assert_eq(run.confusion.counts[1][0], 0);
  cr_assert_eq(run.confusion.counts[1][1], 0);
  ld_run_record_free(&run);
  char *again = ld_format("%s{\"event\":\"step\",\"step\":4,\"loss\":1}\n", first);
  run = record_of(again);
  cr_assert_eq(run.confusion.n, 0);
  ld_run_record_free(&run);
  free(again);
}

Test(report, needs_nothing_from_elsewhere) {
  char *page = report_of(small_run, NULL, NULL);
  refuse(page, "src=");
  refuse(page, "href=");
  refuse(page, "url(");
  refuse(page, "http://");
  refuse(page, "https://");
  refuse(page, "Settings");
  free(page);
}

Test(report, escapes_what_files_say) {
  const char evil[] = "<script>alert('x')</script>&\"";
  char *metrics = ld_format("{\"event\":\"start\",\"step\":0,\"date\":\"%s\"}\n"
                            "{\"event\":\"sample\",\"step\":0,\"prompt\":\"%s\",\"text\":\"%s\\u0007\"}\n",
                            "<script>alert(1)", "<script>alert(2)", "<script>alert(3)&'");
  char *yaml = ld_format("'<script>alert(4)': '<script>alert(5)'\nmodel: 'a/<script>alert(6)'\n"
                         "list: [{'<script>alert(7)': 1}]\n");
  char *page = report_of(metrics, yaml, evil);
  cr_assert_eq(count(page, "<script>"), 1, "only our own");
  refuse(page, "<script>alert");
  expect(page, "<h1>&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;</h1>");
  for (int i = 1; i <= 7; i++) {
    char *text = ld_format("&lt;script&gt;alert(%d)", i);
    expect(page, text);
    free(text);
  }
  expect(page, "alert(3)&amp;&#39;\xef\xbf\xbd");
  free(page);
  page = report_of(metrics, "<b>: [no yaml\n", NULL);
  expect(page, "<pre>&lt;b&gt;: [no yaml");
  free(page);
  free(yaml);
  free(metrics);
}

Test(report, nothing_yet) {
  char *page = report_of("", "", NULL);
  expect(page, "No training step is recorded yet.");
  refuse(page, "<figure");
  refuse(page, "nan");
  free(page);
}

Test(report, one_step_is_a_dot) {
  char *page = report_of("{\"event\":\"step\",\"step\":1,\"loss\":2.5,\"lr\":0}\n", NULL, NULL);
  cr_assert_eq(count(page, "<figure"), 2, "loss and learning rate");
  expect(page, "class=\"spot main\" d=\"M500.0 500.0h0\"");
  refuse(page, "Validation");
  refuse(page, "nan");
  refuse(page, "inf");
  free(page);
}

Test(report, missing_values_are_gaps) {
  char *page = report_of(
      "{\"event\":\"step\",\"step\":1,\"loss\":2.5}\n{\"event\":\"step\",\"step\":2,\"loss\":null}\n"
      "{\"event\":\"step\",\"step\":3,\"loss\":1e300}\n{\"event\":\"step\",\"step\":4,\"loss\":2}\n"
      "{\"event\":\"step\",\"step\":5,\"loss\":\"2\"}\n{\"event\":\"step\",\"step\":6,\"loss\":1}\n"
      "{\"event\":\"step\",\"step\":7,\"loss\":1.5}\n{\"event\":\"eval\",\"step\":7,\"loss\":null}\n",
      NULL, NULL);
  expect(page, "3 of 7 steps have no finite training loss.");
  expect(page, "data-points=\"1,2.5 4,2 6,1 7,1.5 \"");
  expect(page, "class=\"spot main\" d=\"M0.0 ");
  refuse(page, "NaN");
  refuse(page, "nan ");
  free(page);
}

Test(report, damaged_lines) {
  ld_run_record run =
      record_of("{\"event\":\"step\",\"step\":1,\"loss\":2}\n\n{\"event\":\"st\n[1,2]\n7\n"
                "{\"event\":3}\n{\"event\":\"step\",\"loss\":9}\n"
                "{\"event\":\"step\",\"step\":2,\"loss\":1}\n{\"event\":\"step\",\"step\":3,\"lo");
  cr_assert_eq(run.steps.n, 2);
  cr_assert_eq(run.unreadable, 1);
  ld_run_record_free(&run);
}

Test(report, resumed) {
  ld_run_record run = record_of("{\"event\":\"start\",\"step\":0,\"ranks\":1,\"date\":\"a\"}\n"
                                "{\"event\":\"step\",\"step\":1,\"loss\":5,\"seconds\":2}\n"
                                "{\"event\":\"step\",\"step\":2,\"loss\":4,\"seconds\":2}\n"
                                "{\"event\":\"eval\",\"step\":2,\"loss\":4,\"seconds\":1}\n"
                                "{\"event\":\"step\",\"step\":3,\"loss\":9,\"seconds\":2}\n"
                                "{\"event\":\"start\",\"step\":1,\"ranks\":4,\"date\":\"b\"}\n"
                                "{\"event\":\"step\",\"step\":2,\"loss\":3,\"seconds\":1}\n"
                                "{\"event\":\"end\",\"step\":2,\"seconds\":10}\n");
  cr_assert_eq(run.steps.n, 2);
  cr_assert_eq(run.steps.column[LD_COLUMN_LOSS][1], 3);
  cr_assert_eq(run.evals.n, 0);
  cr_assert_eq(run.sessions, 2);
  cr_assert_eq(run.ranks, 4);
  cr_assert(run.regrouped);
  cr_assert_null(run.stopped);
  cr_assert_str_eq(run.date, "a");
  cr_assert_eq(run.seconds, 17);
  ld_run_record_free(&run);
}

Test(report, stopped) {
  const char *metrics = "{\"event\":\"start\",\"step\":0,\"ranks\":2,\"total_steps\":4}\n"
                        "{\"event\":\"step\",\"step\":1,\"loss\":5}\n"
                        "{\"event\":\"stop\",\"step\":1,\"reason\":\"time limit of 6 s reached\"}\n";
  char *page = report_of(metrics, NULL, NULL);
  expect(page, "Not finished: 1 of 4 steps are done; stopped: time limit of 6 s reached.");
  free(page);
  ld_text again = {0};
  ld_text_printf(&again, "%s{\"event\":\"start\",\"step\":1,\"ranks\":2,\"total_steps\":4}\n", metrics);
  page = report_of(again.bytes, NULL, NULL);
  expect(page, "Not finished: 1 of 4 steps are done.");
  refuse(page, "last on");
  free(page);
  ld_text_free(&again);
}

Test(report, samples_before_and_after) {
  char *page = report_of("{\"event\":\"sample\",\"step\":0,\"text\":\"one\"}\n"
                         "{\"event\":\"sample\",\"step\":0,\"prompt\":\"say \",\"text\":\"first\"}\n"
                         "{\"event\":\"sample\",\"step\":5,\"text\":\"two\"}\n"
                         "{\"event\":\"sample\",\"step\":5,\"prompt\":\"say \",\"text\":\"second\"}\n"
                         "{\"event\":\"sample\",\"step\":9,\"prompt\":\"say \",\"text\":\"third\"}\n",
                         NULL, NULL);
  expect(page, "Text before and after");
  expect(page, "step 0</span><pre>one</pre>");
  expect(page, "step 5</span><pre>two</pre>");
  expect(page, "step 0</span><pre><b>say </b>first</pre>");
  expect(page, "step 9</span><pre><b>say </b>third</pre>");
  refuse(page, "</b>second");
  free(page);
}

Test(report, more_prompts_than_are_shown) {
  ld_text metrics = {0};
  for (int i = 0; i < 40; i++)
    ld_text_printf(&metrics, "{\"event\":\"sample\",\"step\":0,\"prompt\":\"no %d\",\"text\":\"t\"}\n", i);
  char *page = report_of(metrics.bytes, NULL, NULL);
  cr_assert_eq(count(page, "<pre><b>no "), LD_REPORT_SAMPLES);
  free(page);
  ld_text_free(&metrics);
}

Test(report, classes_have_precision_and_recall) {
  char *page = report_of("{\"event\":\"eval\",\"step\":8,\"loss\":1,\"accuracy\":0.5}\n"
                         "{\"event\":\"confusion\",\"step\":8,\"labels\":[\"a\",\"b\",\"c\"],"
                         "\"counts\":[[3,1,0],[2,4,0],[0,0,0]]}\n",
                         NULL, NULL);
  expect(page, "<tr><td>a</td><td>0.6000</td><td>0.7500</td><td>0.6667</td><td>4</td></tr>");
  expect(page, "<tr><td>b</td><td>0.8000</td><td>0.6667</td><td>0.7273</td><td>6</td></tr>");
  expect(page, "<tr><td>c</td><td>0.0000</td><td>0.0000</td><td>0.0000</td><td>0</td></tr>");
  free(page);
}

Test(report, validation_that_got_worse) {
  static const char form[] =
      "{\"event\":\"eval\",\"step\":0,\"loss\":3}\n{\"event\":\"eval\",\"step\":4,\"loss\":%g}\n"
      "{\"event\":\"eval\",\"step\":8,\"loss\":%g}\n";
  char *worse = ld_format(form, 2.0, 2.5), *never = ld_format(form, 4.0, 5.0),
       *level = ld_format(form, 2.0, 2.001);
  char *page = report_of(worse, NULL, NULL), *lost = report_of(never, NULL, NULL),
       *good = report_of(level, NULL, NULL);
  expect(page, "lowest at step 4, 2.0000, and is 2.5000 at step 8. The best adapter is in best.h5.");
  expect(lost, "lowest before the first step, 3.0000, and is 5.0000 at step 8.");
  refuse(good, "got worse");
  free(worse);
  free(never);
  free(level);
  free(page);
  free(lost);
  free(good);
}

Test(report, data_and_machine) {
  char *page = report_of(
      "{\"event\":\"start\",\"step\":0,\"ranks\":2,\"hosts\":1,\"kernels\":\"avx2\",\"cores\":2,"
      "\"memory\":3221225472,\"data\":{\"records\":1200,\"rows\":300,\"tokens\":51234,\"targets\":5000},"
      "\"valid\":[1]}\n",
      "trained: \"2 modules: c_attn\"\n", NULL);
  expect(page, "<dt>training data</dt><dd>1,200 records in 300 rows, 51,234 tokens, 5,000 targets</dd>");
  refuse(page, "validation data");
  expect(page, "<dt>trained</dt><dd>2 modules: c_attn</dd>");
  expect(page, "<dt>processor</dt><dd>avx2 kernels, 2 cores for rank 0</dd>");
  expect(page, "<dt>memory</dt><dd>3.0 GiB free on the host at the start</dd>");
  free(page);
}

/* Eight labels per step say little: their mean reaches further, but not over all of a short run. */
Test(report, small_batches_are_smoothed_more) {
  ld_text metrics = {0};
  for (int i = 1; i <= 100; i++)
    ld_text_printf(&metrics, "{\"event\":\"step\",\"step\":%d,\"loss\":1,\"target_tokens\":8}\n", i);
  ld_run_record run = record_of(metrics.bytes);
  cr_assert_eq(ld_column_reach(100), 4);
  cr_assert_eq(ld_run_record_reach(&run), 12);
  ld_run_record_free(&run);
  ld_text_free(&metrics);
}

Test(report, statistics) {
  const double values[] = {4, NAN, 1, 9, 2};
  cr_assert_eq(ld_column_median(values, 5), 3);
  cr_assert_eq(ld_column_largest(values, 5), 9);
  cr_assert_eq(ld_column_mean(values, 5), 4);
  cr_assert(isnan(ld_column_median(values + 1, 1)));
  cr_assert(isnan(ld_column_mean(values, 0)));
}

Test(report, smoothing_is_a_moving_mean) {
  enum { N = 300 };
  double line[N];
  for (int i = 0; i < N; i++) line[i] = i % 50 == 7 ? NAN : 2.0 * i;
  const size_t reach = ld_column_reach(N);
  double *means = ld_column_smooth(line, N, reach);
  for (size_t i = 0; i < N; i++) {
    double sum = 0;
    int known = 0;
    for (size_t k = i - reach; i >= reach && k <= i + reach && k < N; k++)
      if (!isnan(line[k])) sum += line[k], known++;
    if (isnan(line[i]))
      cr_assert(isnan(means[i]));
    else if (i >= reach)
      cr_assert_float_eq(means[i], sum / known, 1e-9, "at %zu", i);
    else
      cr_assert_float_eq(means[i], line[i], 4, "at %zu", i);
  }
  free(means);
}

/* The number of points that a curve of the page is drawn with. */
static size_t points_of(const char *page, const char *name) {
  char *opening = ld_format("data-name=\"%s\" data-points=\"", name);
  const char *from = strstr(page, opening);
  cr_assert(from, "no curve %s", name);
  from += strlen(opening);
  size_t n = 0;
  for (; *from && *from != '"'; from++) n += *from == ' ';
  free(opening);
  return n;
}

Test(report, long_runs_keep_their_spikes) {
  ld_text metrics = {0};
  for (int i = 1; i <= 50000; i++)
    ld_text_printf(&metrics,
                   "{\"event\":\"step\",\"step\":%d,\"loss\":%.17g,\"grad_norm\":%s,\"seconds\":0.5}\n", i,
                   2 + 1e-3 * (i * 7919 % 101), i == 31337 ? "777.25" : "1");
  const clock_t began = clock();
  char *page = report_of(metrics.bytes, NULL, NULL);
  cr_assert_lt((double)(clock() - began) / CLOCKS_PER_SEC, 10, "a million lines must not take minutes");
  cr_assert_leq(points_of(page, "training"), LD_CHART_POINTS);
  cr_assert_leq(points_of(page, "training, smoothed"), LD_CHART_POINTS);
  expect(page, "31337,777.25 ");
  expect(page, "log scale");
  cr_assert_lt(strlen(page), 120000);
  free(page);
  ld_text_free(&metrics);
}

static char *chart_of(double low, double high) {
  const double steps[] = {1, 2}, values[] = {low, high};
  const ld_curve curve = {"c", "main", steps, values, 2};
  const ld_chart chart = {"Chart", "", 1, 2, false, false, &curve, 1, 0};
  ld_text page = {0};
  ld_chart_put(&page, &chart);
  return page.bytes;
}

/* Any range gets a few labels, and coordinates within the drawing. */
Test(report, odd_ranges) {
  const double ranges[][2] = {
      {0, 0},        {3, 3},   {-5, -5},     {1e99, -1e99}, {1e-300, 2e-300},       {0, 5e-324},
      {1e-99, 1e99}, {1, 1e6}, {2e-4, 1e-5}, {1e12, 1e13},  {3.3867001, 3.3867002}, {1, 1 + 1e-15},
      {1e6, 1e6 + 1}};
  for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
    char *page = chart_of(ranges[i][0], ranges[i][1]);
    cr_assert(page);
    const size_t labels = count(page, "class=\"y\"");
    cr_assert(labels >= 1 && labels <= 16, "%g to %g: %zu labels", ranges[i][0], ranges[i][1], labels);
    refuse(page, "nan");
    refuse(page, "inf");
    free(page);
  }
}

Test(report, nothing_to_draw_is_no_figure) {
  cr_assert_null(chart_of(NAN, INFINITY));
}

Test(report, errors) {
  ld_error err = {0};
  cr_assert_eq(ld_report_write("/nonexistent", NULL, &err), LD_EFILE);
  cr_assert(strstr(err.text, "metrics.jsonl"));
  char *folder = scratch_new(), *blocked = ld_path_join(folder, "report.html");
  scratch_text(folder, "metrics.jsonl", small_run);
  cr_assert_eq(ld_make_folders(blocked, &err), 0);
  cr_assert_eq(ld_report_write(folder, NULL, &err), LD_EFILE);
  cr_assert(strstr(err.text, "report.html"));
  free(blocked);
  scratch_end(folder);
}

/* A PNG file as far as the report looks. */
static const char png[] = "\x89PNG\r\n\x1a\nxyz";

Test(report, pictures_over_the_steps) {
  char *folder = scratch_new(), *pictures = ld_path_join(folder, "samples"), *path = ld_path_join(folder, "report.html");
  ld_text metrics = {0};
  ld_error err = {0};
  cr_assert_eq(ld_make_folders(pictures, &err), 0, "%s", err.text);
  for (int i = 0; i < 20; i++) {
    char *name = ld_format("s-%d.png", i);
    if (i != 19) free(scratch_file(pictures, name, png, sizeof png - 1));
    ld_text_printf(&metrics, "{\"event\":\"sample\",\"step\":%d,\"number\":1,\"prompt\":\"<cat>\",\"image\":\"samples/%s\"}\n",
                   10 * i, name);
    free(name);
  }
  ld_text_puts(&metrics, "{\"event\":\"sample\",\"step\":0,\"number\":2,\"prompt\":\"p\",\"image\":\"../../x.png\"}\n"
                         "{\"event\":\"sample\",\"step\":0,\"number\":3,\"prompt\":\"q\",\"image\":\"samples/../y.png\"}\n"
                         "{\"event\":\"sample\",\"step\":10,\"number\":1,\"prompt\":\"<cat>\",\"image\":\"samples/s-3.png\"}\n");
  scratch_text(folder, "metrics.jsonl", metrics.bytes);
  cr_assert_eq(ld_report_write(folder, NULL, &err), 0, "%s", err.text);
  size_t length;
  char *page = scratch_read(path, &length);
  expect(page, "<th>step 0</th><th>step 10</th></tr>"); /* what follows step 10 was computed again */
  expect(page, "<img alt=\"&lt;cat&gt;\" src=\"data:image/png;base64,iVBORw0KGgp4eXo=\">");
  cr_assert_eq(count(page, "<img "), 2);
  cr_assert_eq(count(page, "<tr><td>"), 1);
  free(page);
  free(path);
  free(pictures);
  ld_text_free(&metrics);
  scratch_end(folder);
}

Test(report, more_pictures_than_are_shown) {
  ld_text metrics = {0};
  for (int i = 0; i < 40; i++)
    ld_text_printf(&metrics, "{\"event\":\"sample\",\"step\":%d,\"number\":1,\"prompt\":\"p\",\"image\":\"samples/%d.png\"}\n", i, i);
  char *page = report_of(metrics.bytes, NULL, NULL);
  cr_assert_eq(count(page, "<th>step "), LD_REPORT_PICTURES);
  expect(page, "<th>step 39</th></tr>");
  refuse(page, "<img ");
  free(page);
  ld_text_free(&metrics);
}
