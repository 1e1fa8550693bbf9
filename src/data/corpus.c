#include "data/corpus.h"

#include <stdlib.h>

int ld_corpus_check(const ld_corpus *corpus, ld_error *err) {
  return ld_source_check(ld_dataset_source(corpus->dataset), corpus->digest, err);
}

void ld_corpus_close(ld_corpus *corpus) {
  if (!corpus) return;
  ld_plan_free(corpus->plan);
  ld_labels_free(&corpus->labels);
  if (!corpus->map.bytes) free(corpus->records);
  ld_map_close(&corpus->map);
  free(corpus->kept);
  free(corpus->reads);
  free(corpus->sizes);
  ld_dataset_close(corpus->dataset);
  free(corpus);
}

static int shorten(int64_t length, const ld_corpus *corpus) {
  const int most = corpus->base->model->max_positions;
  return !most || length < most ? (int)length : most;
}

int ld_corpus_seq_len(const ld_corpus *corpus) {
  return shorten(corpus->options->seq_len, corpus);
}

int ld_corpus_target_len(const ld_corpus *corpus) {
  return shorten(corpus->options->target_len, corpus);
}

size_t ld_corpus_bytes(const ld_corpus *corpus) {
  /* Bytes of memory per byte of a record, which is mapped and parsed, and has ids and targets before it is
   * truncated. */
  enum { READING = 8 };
  uint64_t longest = 0;
  for (int64_t i = 0; i < corpus->n_records; i++)
    if (corpus->records[i].bytes > longest) longest = corpus->records[i].bytes;
  const size_t records = (size_t)corpus->n_records * sizeof *corpus->records;
  return records - ld_corpus_shared_bytes(corpus) + READING * (size_t)longest +
         (corpus->plan ? ld_plan_bytes(corpus->plan) : 0);
}

size_t ld_corpus_shared_bytes(const ld_corpus *corpus) {
  return corpus->map.bytes ? (size_t)corpus->n_records * sizeof *corpus->records : 0;
}

ld_image_size ld_corpus_size(const ld_corpus *corpus, int size) {
  const ld_image_rule *rule = &corpus->image_rule;
  return corpus->n_sizes ? corpus->sizes[size] : (ld_image_size){rule->height, rule->width};
}

bool ld_corpus_has_size(const ld_corpus *corpus, int size) {
  const ld_plan *plan = corpus->plan;
  if (!plan->sizes) return size == 0;
  for (int64_t i = 0; i < plan->n_rows; i++)
    if (plan->sizes[i] == size) return true;
  return false;
}

const ld_record *ld_corpus_record(const ld_corpus *corpus, int64_t row) {
  return &corpus->records[corpus->plan->pieces[corpus->plan->rows[row].first_piece].record];
}
