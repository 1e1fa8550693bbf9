/* Scores of written text against rouge_score, sacrebleu and PreSumm: golden/make_text_scores.py. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/file.h"
#include "io/json.h"
#include "metric/oracle.h"
#include "metric/porter.h"
#include "metric/rouge.h"
#include "metric/text_metrics.h"

static void near(double got, double want, const char *what, const char *text) {
  cr_assert(fabs(got - want) <= 1e-9, "%s of \"%s\": %.13g, not %.13g", what, text, got, want);
}

static const char **strings_of(const ld_value *list) {
  const char **strings = ld_alloc(list->n_items, sizeof *strings);
  for (size_t i = 0; i < list->n_items; i++) strings[i] = list->items[i].string;
  return strings;
}

static size_t place_of(const char *key) {
  size_t i = 0;
  while (ld_text_metric_at(i) && strcmp(ld_text_metric_at(i)->metric.key, key) != 0) i++;
  cr_assert(ld_text_metric_at(i), "%s", key);
  return i;
}

static void check_record(const ld_value *record, ld_text_sums sums[2]) {
  const char *text = ld_value_get(record, "text")->string;
  const ld_value *references = ld_value_get(record, "references"), *rouge = ld_value_get(record, "rouge");
  const char **strings = strings_of(references);
  ld_written written = {text, strings, references->n_items, false};
  ld_text_sums alone = {0};
  for (int i = 0; i < 8; i++) {
    written.stem = i >= 4;
    const ld_rouge_score score = ld_rouge_of(i % 4, &written);
    near(score.precision, rouge->items[3 * i].real, "ROUGE's precision", text);
    near(score.recall, rouge->items[3 * i + 1].real, "ROUGE's recall", text);
    near(score.f, rouge->items[3 * i + 2].real, "ROUGE's F", text);
  }
  ld_text_sums_add(&sums[1], &written);
  written.stem = false;
  ld_text_sums_add(&sums[0], &written);
  ld_text_sums_add(&alone, &written);
  for (size_t i = place_of("bleu"); i <= place_of("chrf"); i++) {
    const ld_text_metric *metric = ld_text_metric_at(i);
    near(metric->value(alone.of[i]), ld_value_get(record, metric->metric.key)->real, metric->metric.name,
         text);
  }
  free(strings);
}

static void check_values(const ld_value *values, const ld_text_sums sums[2]) {
  cr_assert_eq(values->n_items, 2 * LD_N_TEXT_METRICS);
  for (size_t i = 0; i < values->n_items; i++) {
    const size_t k = i % LD_N_TEXT_METRICS;
    const ld_text_metric *metric = ld_text_metric_at(k);
    near(metric->value(sums[i / LD_N_TEXT_METRICS].of[k]), values->items[i].real, metric->metric.name,
         "all records");
  }
}

static void check_oracle(const ld_value *record) {
  const ld_value *list = ld_value_get(record, "sentences"), *want = ld_value_get(record, "chosen");
  const char **sentences = strings_of(list), *summary = ld_value_get(record, "summary")->string;
  size_t chosen[8];
  const size_t most = (size_t)ld_value_get(record, "most")->integer;
  cr_assert_eq(ld_oracle(sentences, list->n_items, summary, most, chosen), want->n_items, "%s", summary);
  for (size_t i = 0; i < want->n_items; i++)
    cr_assert_eq((int64_t)chosen[i], want->items[i].integer, "%s", summary);
  free(sentences);
}

static void check_stems(const ld_value *words, const ld_value *stems) {
  for (size_t i = 0; i < words->n_items; i++) {
    char *word = words->items[i].string;
    char *stem = ld_strdup(word);
    stem[ld_porter_stem(stem, strlen(stem))] = '\0';
    cr_assert_str_eq(stem, stems->items[i].string, "%s: %s, not %s", word, stem, stems->items[i].string);
    free(stem);
  }
}

Test(text_metrics, are_those_of_the_packages) {
  ld_map map;
  ld_error err = {0};
  ld_text_sums sums[2] = {0};
  int of_kind[4] = {0};
  cr_assert_eq(ld_map_open(LD_TESTS_DIR "/golden/text_scores.jsonl", &map, &err), 0, "%s", err.text);
  const char *at = map.bytes, *end = at + map.length;
  for (const char *stop; at < end; at = stop + 1) {
    stop = memchr(at, '\n', (size_t)(end - at));
    ld_value *line = ld_json_parse(at, (size_t)(stop - at), "text_scores.jsonl", &err);
    cr_assert(line, "%s", err.text);
    if (ld_value_get(line, "text")) of_kind[0]++, check_record(line, sums);
    if (ld_value_get(line, "values")) of_kind[1]++, check_values(ld_value_get(line, "values"), sums);
    if (ld_value_get(line, "sentences")) of_kind[2]++, check_oracle(line);
    if (ld_value_get(line, "words"))
      of_kind[3]++, check_stems(ld_value_get(line, "words"), ld_value_get(line, "stems"));
    ld_value_free(line);
  }
  ld_map_close(&map);
  for (int i = 0; i < 4; i++) cr_assert(of_kind[i], "no line of kind %d", i);
}

Test(text_metrics, without_records_they_are_zero) {
  const ld_text_sums none = {0};
  const ld_text_metric *metric;
  for (size_t i = 0; (metric = ld_text_metric_at(i)); i++)
    cr_assert_eq(metric->value(none.of[i]), 0, "%s", metric->metric.key);
}

Test(text_metrics, sums_do_not_depend_on_the_order) {
  static const char *const texts[] = {"a b c d e", "the the cat.", "", "x y 10,5 z"},
                           *const right = "a b the cat, y 10,5 z";
  ld_text_sums forth = {0}, back = {0};
  for (size_t i = 0; i < 4; i++) {
    ld_text_sums_add(&forth, &(ld_written){texts[i], &right, 1, true});
    ld_text_sums_add(&back, &(ld_written){texts[3 - i], &right, 1, true});
  }
  cr_assert_eq(memcmp(&forth, &back, sizeof back), 0);
}

Test(text_metrics, bytes_that_are_no_characters_match_only_themselves) {
  const char *const right[] = {"caf\xe9 \xff\xfe word"};
  const ld_written same = {right[0], right, 1, true}, other = {"\xc3 \xe2\x84", right, 1, true};
  ld_text_sums good = {0}, bad = {0};
  const size_t chrf = place_of("chrf");
  ld_text_sums_add(&good, &same);
  ld_text_sums_add(&bad, &other);
  near(ld_text_metric_at(chrf)->value(good.of[chrf]), 100, "chrF", right[0]);
  cr_assert_eq(ld_text_metric_at(chrf)->value(bad.of[chrf]), 0);
  near(ld_rouge_of(LD_ROUGE_1, &same).f, 1, "ROUGE-1", right[0]);
}
