#include "train/corpus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

static int seq_len_of(const ld_base *base, const ld_options *options) {
  const int most = base->model->max_positions;
  return options->seq_len < most ? (int)options->seq_len : most;
}

static void make_plan(ld_corpus *corpus, const ld_options *options, int seq_len) {
  ld_length *lengths = ld_alloc((size_t)corpus->n_records, sizeof *lengths);
  for (int64_t i = 0; i < corpus->n_records; i++)
    lengths[i] = (ld_length){corpus->records[i].n_tokens, corpus->records[i].n_targets};
  const ld_data_form form = ld_dataset_form(corpus->dataset);
  const bool raw = form == LD_DATA_RAW || form == LD_DATA_TEXT;
  const bool pack = strcmp(options->pack, "auto") ? !strcmp(options->pack, "yes") : raw;
  corpus->plan = form == LD_DATA_RAW
                     ? ld_plan_stream(lengths, corpus->n_records, seq_len, corpus->base->bos >= 0)
                     : ld_plan_records(lengths, corpus->n_records, seq_len, pack);
  free(lengths);
}

static int join_index(ld_corpus *corpus, ld_comm *comm, ld_error *err) {
  ld_record *mine = NULL;
  size_t n = 0, bytes;
  int rc = ld_dataset_index(corpus->dataset, ld_comm_rank(comm), ld_comm_size(comm), &mine, &n, err);
  rc = ld_comm_agree(comm, rc, err);
  if (rc) return rc;
  void *all;
  ld_comm_gather_all(comm, mine, n * sizeof *mine, &all, &bytes);
  free(mine);
  corpus->records = all;
  corpus->n_records = (int64_t)(bytes / sizeof *mine);
  return 0;
}

static void share_digest(ld_corpus *corpus, ld_comm *comm) {
  if (ld_comm_rank(comm) == 0)
    snprintf(corpus->digest, sizeof corpus->digest, "%s", ld_dataset_digest(corpus->dataset));
  ld_comm_broadcast(comm, corpus->digest, sizeof corpus->digest, 0);
}

int ld_corpus_open(const char *path, const ld_base *base, const ld_options *options, ld_comm *comm,
                   ld_corpus **out, ld_error *err) {
  const int seq_len = seq_len_of(base, options);
  const ld_dataset_options data_options = {.tokenizer = base->tokenizer,
                                           .eos = base->eos,
                                           .seq_len = seq_len,
                                           .mask_prompt = options->mask_prompt,
                                           .chat_template = options->chat_template};
  ld_corpus *corpus = ld_alloc(1, sizeof *corpus);
  corpus->base = base;
  int rc = ld_comm_agree(comm, ld_dataset_open(path, &data_options, &corpus->dataset, err), err);
  if (!rc) rc = join_index(corpus, comm, err);
  if (!rc) {
    share_digest(corpus, comm);
    make_plan(corpus, options, seq_len);
    if (!corpus->plan->n_targets)
      rc = ld_fail(
          err, LD_EFORMAT,
          "%s: trains no token: of %lld records none has a target within --seq-len %d (are the completions "
          "empty, or all prompts longer than that?)",
          path, (long long)corpus->n_records, seq_len);
  }
  if (rc) {
    ld_corpus_close(corpus);
    return rc;
  }
  *out = corpus;
  return 0;
}

void ld_corpus_close(ld_corpus *corpus) {
  if (!corpus) return;
  ld_plan_free(corpus->plan);
  free(corpus->records);
  ld_dataset_close(corpus->dataset);
  free(corpus);
}

void ld_feed_free(ld_feed *feed) {
  free(feed->ids);
  free(feed->positions);
  free(feed->targets);
  free(feed->segment);
  ld_sample_free(&feed->sample);
  *feed = (ld_feed){0};
}

static void make_room(ld_feed *feed, size_t tokens, size_t segments) {
  if (tokens > feed->room) {
    feed->room = tokens;
    feed->ids = ld_realloc(feed->ids, tokens, sizeof *feed->ids);
    feed->positions = ld_realloc(feed->positions, tokens, sizeof *feed->positions);
    feed->targets = ld_realloc(feed->targets, tokens, sizeof *feed->targets);
  }
  if (segments + 1 > feed->segment_room) {
    feed->segment_room = segments + 1;
    feed->segment = ld_realloc(feed->segment, segments + 1, sizeof *feed->segment);
  }
}

/* Where the batch stands while it is filled. */
typedef struct cursor {
  int n_tokens, n_segments, position;
} cursor;

static void begin_segment(ld_feed *feed, cursor *at) {
  feed->segment[at->n_segments++] = at->n_tokens;
  at->position = 0;
}

/* A token is the target of the row before it, when that is of the same segment. */
static void put_token(ld_feed *feed, cursor *at, int32_t id, bool target) {
  feed->ids[at->n_tokens] = id;
  feed->positions[at->n_tokens] = at->position;
  feed->targets[at->n_tokens] = -1;
  if (at->position && target) feed->targets[at->n_tokens - 1] = id;
  at->n_tokens++;
  at->position++;
}

static int put_row(const ld_corpus *corpus, const ld_row *row, ld_feed *feed, cursor *at, ld_error *err) {
  const ld_plan *plan = corpus->plan;
  for (int p = 0; p < row->n_pieces; p++) {
    const ld_piece *piece = &plan->pieces[row->first_piece + (size_t)p];
    const int rc = ld_dataset_read(corpus->dataset, &corpus->records[piece->record], &feed->sample, err);
    if (rc) return rc;
    if ((size_t)piece->first + (size_t)piece->count > feed->sample.tokens.n)
      return ld_fail(err, LD_EMISMATCH, "%s: changed while it was in use", ld_dataset_path(corpus->dataset));
    if (!p || !plan->continuous) begin_segment(feed, at);
    if (!p && plan->continuous && plan->bos) put_token(feed, at, corpus->base->bos, false);
    for (int32_t i = piece->first; i < piece->first + piece->count; i++)
      put_token(feed, at, feed->sample.tokens.ids[i], feed->sample.target[i]);
  }
  return 0;
}

int ld_corpus_batch(const ld_corpus *corpus, const int64_t *rows, int n_rows, ld_feed *feed, ld_batch *batch,
                    ld_error *err) {
  size_t tokens = 0, segments = 0;
  for (int i = 0; i < n_rows; i++) {
    const ld_row *row = &corpus->plan->rows[rows[i]];
    tokens += (size_t)row->n_tokens;
    segments += corpus->plan->continuous ? 1 : (size_t)row->n_pieces;
  }
  make_room(feed, tokens, segments);
  cursor at = {0};
  for (int i = 0; i < n_rows; i++) {
    const int rc = put_row(corpus, &corpus->plan->rows[rows[i]], feed, &at, err);
    if (rc) return rc;
  }
  feed->segment[at.n_segments] = at.n_tokens;
  const int rc = ld_base_check_ids(corpus->base, feed->ids, (size_t)at.n_tokens, err);
  if (rc) return rc;
  *batch = (ld_batch){.n_tokens = at.n_tokens,
                      .ids = feed->ids,
                      .positions = feed->positions,
                      .targets = feed->targets,
                      .n_segments = at.n_segments,
                      .segment = feed->segment};
  return 0;
}

void ld_feed_blank(ld_feed *feed, int n_tokens, int longest, ld_batch *batch) {
  const int n_segments = (n_tokens + longest - 1) / longest;
  make_room(feed, (size_t)n_tokens, (size_t)n_segments);
  for (int t = 0; t < n_tokens; t++) {
    feed->ids[t] = 0;
    feed->positions[t] = t % longest;
    feed->targets[t] = 0;
    if (t % longest == 0) feed->segment[t / longest] = t;
  }
  feed->segment[n_segments] = n_tokens;
  *batch = (ld_batch){.n_tokens = n_tokens,
                      .ids = feed->ids,
                      .positions = feed->positions,
                      .targets = feed->targets,
                      .n_segments = n_segments,
                      .segment = feed->segment};
}
