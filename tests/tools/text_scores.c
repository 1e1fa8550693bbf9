/* Scores written text line by line, for comparison with the packages that define the scores.
 *
 *   text_scores < lines
 *
 * A line of the input is a JSON object. For {"text", "references"} a line of the output is a list:
 * precision, recall and F of ROUGE-1, 2, L and Lsum without stems and with them, then the value of each
 * metric of the table for this record alone. For {"sentences", "summary", "most"} it is the oracle's
 * choice, for {"words"} the stems. The last line has the values for all records, without stems and with
 * them. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "metric/oracle.h"
#include "metric/porter.h"
#include "metric/rouge.h"
#include "metric/text_metrics.h"

static const char **strings_of(const json_t *list) {
  const char **strings = ld_alloc(json_array_size(list), sizeof *strings);
  for (size_t i = 0; i < json_array_size(list); i++) strings[i] = json_string_value(json_array_get(list, i));
  return strings;
}

static void put(json_t *out, double value) {
  json_array_append_new(out, json_real(value));
}

static void put_values(const ld_text_sums *sums, json_t *out) {
  const ld_text_metric *metric;
  for (size_t i = 0; (metric = ld_text_metric_at(i)); i++) put(out, metric->value(sums->of[i]));
}

static void score(const json_t *record, ld_text_sums sums[2], json_t *out) {
  const json_t *references = json_object_get(record, "references");
  const char **strings = strings_of(references);
  ld_written written = {json_string_value(json_object_get(record, "text")), strings,
                        json_array_size(references), false};
  ld_text_sums alone = {0};
  for (int stem = 0; stem < 2; stem++) {
    written.stem = stem;
    for (ld_rouge rouge = LD_ROUGE_1; rouge <= LD_ROUGE_LSUM; rouge++) {
      const ld_rouge_score s = ld_rouge_of(rouge, &written);
      put(out, s.precision);
      put(out, s.recall);
      put(out, s.f);
    }
    ld_text_sums_add(&sums[stem], &written);
  }
  ld_text_sums_add(&alone, &written);
  put_values(&alone, out);
  free(strings);
}

static void choose(const json_t *record, json_t *out) {
  const json_t *list = json_object_get(record, "sentences");
  const size_t most = (size_t)json_integer_value(json_object_get(record, "most"));
  const char **sentences = strings_of(list);
  size_t *chosen = ld_alloc(most, sizeof *chosen);
  const size_t n = ld_oracle(sentences, json_array_size(list),
                             json_string_value(json_object_get(record, "summary")), most, chosen);
  for (size_t i = 0; i < n; i++) json_array_append_new(out, json_integer((json_int_t)chosen[i]));
  free(chosen);
  free(sentences);
}

static void stem(const json_t *words, json_t *out) {
  for (size_t i = 0; i < json_array_size(words); i++) {
    char *word = ld_strdup(json_string_value(json_array_get(words, i)));
    json_array_append_new(out, json_stringn(word, ld_porter_stem(word, strlen(word))));
    free(word);
  }
}

int main(void) {
  ld_text_sums sums[2] = {0};
  char *line = NULL;
  size_t room = 0;
  json_t *out;
  for (ssize_t n; (n = getline(&line, &room, stdin)) > 0;) {
    json_t *record = json_loadb(line, (size_t)n, 0, NULL);
    out = json_array();
    if (json_object_get(record, "text")) score(record, sums, out);
    if (json_object_get(record, "sentences")) choose(record, out);
    stem(json_object_get(record, "words"), out);
    json_dumpf(out, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(out);
    json_decref(record);
  }
  out = json_array();
  for (int i = 0; i < 2; i++) put_values(&sums[i], out);
  json_dumpf(out, stdout, JSON_COMPACT);
  putchar('\n');
  json_decref(out);
  free(line);
  return 0;
}
