#include "generate/records.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/chat/chat.h"
#include "io/dataset/data_form.h"
#include "io/json.h"

int ld_records_suit(ld_base *base, const ld_corpus *corpus, ld_error *err) {
  const ld_data_form *form = ld_dataset_form(corpus->dataset);
  const char *name = ld_dataset_layout(corpus->dataset);
  const ld_chat_layout *layout = name ? ld_chat_find(name, NULL, NULL, err) : NULL;
  if (layout) ld_base_stop_at(base, ld_tokenizer_id(base->tokenizer, ld_chat_end(layout)));
  if (form->ask) return 0;
  return ld_fail(
      err, LD_EMISMATCH,
      "%s: its records are of the form \"%s\", in which there is nothing to write for a model: give "
      "records with \"prompt\", or with \"messages\"",
      ld_dataset_path(corpus->dataset), form->name);
}

/* A record whose text is written. */
typedef struct asked {
  char *written;
  ld_text references;
} asked;

typedef struct batch {
  const ld_generator *generator;
  const ld_corpus *corpus;
  asked *list;
  ld_prompt *prompts;
} batch;

static int64_t record_of(const ld_corpus *corpus, int64_t row) {
  return corpus->plan->pieces[corpus->plan->rows[row].first_piece].record;
}

/* Makes the prompt of a record. */
static int ask(const ld_generator *g, const ld_corpus *corpus, int64_t i, ld_sample *sample, ld_prompt *out,
               ld_error *err) {
  const ld_base *base = g->base;
  const ld_record *record = &corpus->records[i];
  int64_t limit;
  int rc = ld_dataset_read(corpus->dataset, record, sample, err);
  if (rc) return rc;
  out->record = (uint64_t)i;
  rc = ld_prompt_of_sample(base, sample, out, err);
  if (rc) return rc;
  const int64_t n = out->text.n ? (int64_t)out->text.n : 1;
  rc = ld_generation_limit(g->settings, n, base->model->max_positions, &limit, err);
  return rc ? ld_dataset_fail_at(corpus->dataset, record, rc, err) : 0;
}

static bool take_text(int i, const ld_ids *ids, bool ends, void *user) {
  const batch *b = user;
  if (!ends) return true;
  ld_text text = {0};
  ld_text_puts(&text, "");
  ld_tokenizer_decode(b->generator->base->tokenizer, ids->ids, ids->n, true, &text);
  b->list[i].written = text.bytes;
  return true;
}

int ld_records_write(ld_generator *g, const ld_corpus *corpus, int64_t first, int n, ld_record_sink sink,
                     void *user, ld_error *err) {
  batch b = {g, corpus, ld_alloc((size_t)n, sizeof(asked)), ld_alloc((size_t)n, sizeof(ld_prompt))};
  ld_sample sample = {0};
  int rc = 0;
  for (int i = 0; i < n && !rc; i++) {
    rc = ask(g, corpus, record_of(corpus, first + i), &sample, &b.prompts[i], err);
    ld_text_append(&b.list[i].references, sample.references.bytes, sample.references.length);
  }
  if (!rc) rc = ld_generate(g, b.prompts, n, take_text, &b, err);
  for (int i = 0; i < n; i++) {
    asked *a = &b.list[i];
    if (!rc) sink(first + i, a->written, &a->references, user);
    ld_prompt_free(&b.prompts[i]);
    free(a->written);
    ld_text_free(&a->references);
  }
  ld_sample_free(&sample);
  free(b.list);
  free(b.prompts);
  return rc;
}

/* "prediction": "a text", "reference": "another" */
static void put_members(int64_t row, const char *text, const ld_text *references, void *user) {
  (void)row;
  ld_text *out = user;
  const char *first = references->bytes;
  const bool several = references->length && strlen(first) + 1 < references->length;
  ld_text_puts(out, "\"prediction\": ");
  ld_json_quote(out, text);
  if (references->length) ld_text_puts(out, several ? ", \"references\": [" : ", \"reference\": ");
  for (size_t at = 0; at < references->length; at += strlen(first + at) + 1) {
    if (at) ld_text_puts(out, ", ");
    ld_json_quote(out, first + at);
  }
  if (several) ld_text_puts(out, "]");
  ld_text_append(out, "", 1);
}

typedef struct predictor {
  ld_generator *generator;
  const ld_corpus *corpus;
} predictor;

static int predict_rows(int64_t first, int n, ld_text *out, void *user, ld_error *err) {
  const predictor *p = user;
  return ld_records_write(p->generator, p->corpus, first, n, put_members, out, err);
}

int ld_records_predict(ld_generator *generator, const ld_corpus *corpus,
                       int (*sink)(int64_t row, const char *members, void *user, ld_error *err), void *user,
                       ld_error *err) {
  predictor p = {generator, corpus};
  const ld_walk walk = {predict_rows, sink, &p, user};
  return ld_corpus_walk(corpus, generator->comm, generator->settings->together, &walk, err);
}
