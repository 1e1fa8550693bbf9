/* Searches over the logits of a table, beside what transformers finds with it (tests/golden/make_search.py). */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "generate/draw.h"
#include "generate/search.h"
#include "io/file.h"
#include "io/json.h"

enum { V = 24 };

/* Row r of the table is the logits after token r. */
static void fill_table(int64_t seed, float *table) {
  const uint32_t n = V * V;
  for (uint32_t i = 0; i < n; i++) {
    uint32_t x = i + (uint32_t)seed * n;
    for (int round = 0; round < 3; round++) {
      x = x * 2654435761u + 12345u;
      x ^= x >> 15;
    }
    table[i] = (float)(x & 0xFFFF) / 8192;
  }
}

static void take_ids(const ld_value *value, ld_ids *out) {
  if (!value) return;
  const size_t n = value->type == LD_LIST ? value->n_items : 1;
  for (size_t i = 0; i < n; i++)
    ld_ids_push(out, (int32_t)(value->type == LD_LIST ? value->items[i].integer : value->integer));
}

static void take_settings(const ld_value *from, ld_generation_settings *s) {
  ld_ids stops = {0};
  const ld_value *early = ld_value_get(from, "early_stopping"), *bad = ld_value_get(from, "bad_words_ids");
  *s = (ld_generation_settings){.vocab = V};
  cr_assert(!ld_value_int(from, "max_new_tokens", 0, &s->max_new_tokens, NULL));
  cr_assert(!ld_value_int(from, "min_new_tokens", 0, &s->min_new_tokens, NULL));
  cr_assert(!ld_value_int(from, "min_length", 0, &s->min_length, NULL));
  cr_assert(!ld_value_int(from, "num_beams", 1, &s->num_beams, NULL));
  cr_assert(!ld_value_int(from, "no_repeat_ngram_size", 0, &s->no_repeat_ngram_size, NULL));
  cr_assert(!ld_value_real(from, "length_penalty", 1, &s->length_penalty, NULL));
  cr_assert(!ld_value_real(from, "repetition_penalty", 1, &s->repetition_penalty, NULL));
  if (early) s->early_stopping = early->type == LD_STRING ? LD_EARLY_STOPPING_NEVER : LD_EARLY_STOPPING_YES;
  take_ids(ld_value_get(from, "eos_token_id"), &stops);
  for (size_t i = 0; i < stops.n; i++) s->stops[s->n_stops++] = stops.ids[i];
  ld_ids_free(&stops);
  take_ids(ld_value_get(from, "forced_bos_token_id"), &s->forced_bos);
  take_ids(ld_value_get(from, "forced_eos_token_id"), &s->forced_eos);
  take_ids(ld_value_get(from, "suppress_tokens"), &s->suppress);
  take_ids(ld_value_get(from, "begin_suppress_tokens"), &s->begin_suppress);
  if (!bad) return;
  s->bad_words = ld_alloc(bad->n_items, sizeof *s->bad_words);
  s->n_bad_words = bad->n_items;
  for (size_t i = 0; i < bad->n_items; i++) take_ids(&bad->items[i], &s->bad_words[i]);
}

/* Runs the search, with the last token of each sequence as all that the table must know. */
static ld_search *search(const ld_generation_settings *s, const ld_ids *prompt, const float *table) {
  int64_t limit;
  cr_assert(!ld_generation_limit(s, (int64_t)prompt->n, 0, &limit, NULL));
  ld_search *found = ld_search_begin(s, prompt, limit, 0);
  const size_t most = (size_t)s->num_beams;
  float *logits = ld_alloc(most * V, sizeof *logits);
  ld_continuation *next = ld_alloc(most, sizeof *next);
  memcpy(logits, table + prompt->ids[prompt->n - 1] * V, V * sizeof *logits);
  for (int n; (n = ld_search_step(found, logits, next)) > 0;)
    for (int i = 0; i < n; i++) {
      cr_assert_lt(next[i].id, V);
      memcpy(logits + i * V, table + next[i].id * V, V * sizeof *logits);
    }
  free(logits);
  free(next);
  return found;
}

static void check_case(const ld_value *root, size_t number) {
  float table[V * V];
  int64_t seed;
  double score;
  ld_ids prompt = {0}, text = {0};
  ld_generation_settings s;
  cr_assert(!ld_value_int(root, "seed", 0, &seed, NULL));
  cr_assert(!ld_value_real(root, "score", 0, &score, NULL));
  take_settings(ld_value_get(root, "settings"), &s);
  take_ids(ld_value_get(root, "prompt"), &prompt);
  take_ids(ld_value_get(root, "text"), &text);
  fill_table(seed, table);
  ld_search *found = search(&s, &prompt, table);
  cr_assert_eq(found->text.n, text.n, "case %zu: %zu tokens, not %zu", number, found->text.n, text.n);
  for (size_t i = 0; i < text.n; i++)
    cr_assert_eq(found->text.ids[i], text.ids[i], "case %zu: token %zu is %d, not %d", number, i,
                 found->text.ids[i], text.ids[i]);
  cr_assert_lt(fabs((double)found->score - score), 2e-6, "case %zu: score %.9g, not %.9g", number,
               (double)found->score, score);
  ld_search_free(found);
  ld_generation_settings_free(&s);
  ld_ids_free(&prompt);
  ld_ids_free(&text);
}

Test(search, finds_what_transformers_finds) {
  ld_map map;
  size_t number = 0;
  cr_assert(!ld_map_open(LD_TESTS_DIR "/golden/search.jsonl", &map, NULL));
  for (size_t at = 0; at < map.length; number++) {
    const char *line = map.bytes + at, *end = memchr(line, '\n', map.length - at);
    ld_value *root = ld_json_parse(line, (size_t)(end - line), "search.jsonl", NULL);
    cr_assert_not_null(root);
    check_case(root, number);
    ld_value_free(root);
    at += (size_t)(end - line) + 1;
  }
  cr_assert_eq(number, 92);
  ld_map_close(&map);
}

Test(search, an_unknown_bad_word_is_no_match) {
  const float table[V * V] = {[0] = 1};
  ld_ids words[] = {{(int32_t[]){5, 6, 7, 8, 9, 0}, 6, 0}, {(int32_t[]){0}, 1, 0}};
  const ld_ids prompt = {(int32_t[]){0}, 1, 0};
  const ld_generation_settings s = {.vocab = V,
                                    .max_new_tokens = 3,
                                    .num_beams = 1,
                                    .repetition_penalty = 1,
                                    .bad_words = words,
                                    .n_bad_words = 2};
  ld_search *found = search(&s, &prompt, table);
  cr_assert_eq(found->text.n, 3);
  cr_assert_eq(found->text.ids[0], 1, "the first of equals that is allowed");
  ld_search_free(found);
}

/* As a sort of everything would choose. */
typedef struct choice {
  float logit;
  int32_t id;
} choice;

static int likelier_first(const void *a, const void *b) {
  const choice *x = a, *y = b;
  if (x->logit != y->logit) return x->logit < y->logit ? 1 : -1;
  return x->id < y->id ? -1 : 1;
}

static int32_t sorted_draw(const ld_generation_settings *s, const float *logits, double draw) {
  choice order[V];
  const int n = s->top_k > 0 && s->top_k < V ? (int)s->top_k : V;
  double weight[V], total = 0, kept = 0, sum = 0;
  for (int i = 0; i < V; i++) order[i] = (choice){logits[i], i};
  qsort(order, V, sizeof *order, likelier_first);
  for (int i = 0; i < n; i++)
    total += weight[i] = exp(((double)order[i].logit - (double)order[0].logit) / s->temperature);
  int last = 0;
  for (; last < n; last++)
    if ((kept += weight[last]) >= s->top_p * total) break;
  if (last == n) last = n - 1;
  for (int i = 0; i <= last; i++)
    if ((sum += weight[i]) > draw * kept) return order[i].id;
  return order[last].id;
}

Test(search, draws_as_a_sort_would) {
  static const int64_t top_k[] = {0, 1, 5, V, 100};
  static const double top_p[] = {1, 0.99, 0.5, 0.01}, temperature[] = {0.1, 1, 3};
  float table[V * V];
  fill_table(9, table);
  table[1] = table[2] = table[3];
  for (size_t k = 0; k < 5; k++)
    for (size_t p = 0; p < 4; p++)
      for (size_t t = 0; t < 3; t++)
        for (int draw = 0; draw < 200; draw++) {
          const ld_generation_settings s = {
              .vocab = V, .top_k = top_k[k], .top_p = top_p[p], .temperature = temperature[t]};
          const float *logits = table + draw % V * V;
          cr_assert_eq(ld_draw(&s, logits, draw / 200.0), sorted_draw(&s, logits, draw / 200.0));
        }
}

Test(search, forbidden_tokens_are_not_drawn) {
  float logits[V];
  for (int i = 0; i < V; i++) logits[i] = i == 7 ? 0 : -INFINITY;
  const ld_generation_settings s = {.vocab = V, .top_p = 1, .temperature = 1};
  for (int draw = 0; draw < 50; draw++) cr_assert_eq(ld_draw(&s, logits, draw / 50.0), 7);
  logits[7] = -INFINITY;
  cr_assert_eq(ld_draw(&s, logits, 0.5), 0, "all forbidden: the first");
}
