/* Any bytes as a table, or another format of labelled or tagged text: opening, indexing in parts, joining the
 * labels and reading must neither crash nor disagree. Of the first byte, the lower four bits choose the ending,
 * three the forms, and the last whether records are truncated. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../unit/data_forms.h"
#include "../unit/data_records.h"
#include "io/dataset/dataset.h"
#include "objective/objective.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Two tokens are enough: this tests the cutting and the reading, not the tokenizer. */
static const char tokenizer_json[] =
    "{\"version\":\"1.0\",\"added_tokens\":[],\"normalizer\":null,\"pre_tokenizer\":null,\"post_processor\":"
    "null,"
    "\"decoder\":null,\"model\":{\"type\":\"BPE\",\"vocab\":{\"<unk>\":0,\"a\":1},\"merges\":[],"
    "\"unk_token\":\"<unk>\",\"fuse_unk\":false,\"byte_fallback\":false}}";

/* Add new ones at the end: the seeds choose by number. */
static const char *const endings[] = {".csv", ".tsv", ".jsonl", ".conll", ".json"};

enum { N_ENDINGS = sizeof endings / sizeof *endings };

static ld_tokenizer *tokenizer;

static void write_file(const char *path, const uint8_t *data, size_t size) {
  FILE *file = fopen(path, "wb");
  if (!file || fwrite(data, 1, size, file) != size) abort();
  fclose(file);
}

enum { PARTS = 3 };

/* Passes the labels on as between ranks. */
static void hand_over(const ld_index *part, ld_labels *out) {
  ld_text bytes = {0};
  ld_labels_put(&part->labels, &bytes);
  const char *at = bytes.bytes, *end = at + bytes.length;
  if (ld_labels_take(&at, end, out, NULL) || at != end) abort();
  ld_text_free(&bytes);
}

static void check_parts(const ld_dataset *dataset, const ld_index *whole) {
  ld_index part[PARTS];
  ld_labels received[PARTS], all;
  size_t at = 0;
  for (int i = 0; i < PARTS; i++) {
    if (ld_dataset_index(dataset, i, PARTS, &part[i], NULL)) abort();
    hand_over(&part[i], &received[i]);
  }
  if (ld_labels_merge(received, PARTS, &all, NULL) || all.kind != whole->labels.kind) abort();
  for (int i = 0; i < PARTS; i++) {
    if (ld_index_renumber(&part[i], &all, NULL) || at + part[i].n > whole->n) abort();
    if (part[i].n && !same_records(part[i].records, whole->records + at, part[i].n)) abort();
    at += part[i].n;
    ld_index_free(&part[i]);
    ld_labels_free(&received[i]);
  }
  if (at != whole->n) abort();
  ld_labels_free(&all);
}

static void sort_labels(ld_index *index) {
  ld_labels all;
  if (ld_labels_merge(&index->labels, 1, &all, NULL) || ld_index_renumber(index, &all, NULL)) abort();
  ld_labels_free(&all);
}

static void read_all(const ld_dataset *dataset, const ld_index *index) {
  ld_sample sample = {0};
  for (size_t i = 0; i < index->n; i++) {
    const ld_record *record = &index->records[i];
    if (ld_dataset_read(dataset, record, &sample, NULL)) abort();
    if (!(record->cut & LD_CUT_INPUT) && sample.n_whole != (size_t)record->n_tokens) abort();
    if (sample.label_kind == LD_LABEL_NAME &&
        strcmp(sample.label_name.bytes, index->labels.names[record->label]))
      abort();
    if ((sample.label_kind >= LD_LABEL_INTEGER) != (record->value == record->value)) abort();
  }
  ld_sample_free(&sample);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  ld_error err = {0};
  if (!tokenizer && ld_tokenizer_parse(tokenizer_json, sizeof tokenizer_json - 1, "fuzz", &tokenizer, &err)) {
    fprintf(stderr, "%s\n", err.text);
    abort();
  }
  if (!size) return 0;
  const ld_data_form *const *const forms[] = {of_texts, of_language, ld_objective_tokens.forms,
                                              ld_objective_multilabel.forms};
  char path[64];
  snprintf(path, sizeof path, "/tmp/ld_fuzz_%d%s", (int)getpid(), endings[(data[0] & 15) % N_ENDINGS]);
  write_file(path, data + 1, size - 1);
  const ld_dataset_options options = {.forms =
                                          data[0] & 16 ? ld_objective_extract.forms : forms[data[0] >> 5 & 3],
                                      .tokenizer = tokenizer,
                                      .eos = -1,
                                      .sentences = 3,
                                      .seq_len = data[0] & 128 ? 5 : 0};
  ld_dataset *dataset;
  ld_index index = {0};
  int rc = ld_dataset_open(path, &options, &dataset, &err);
  if (!rc) rc = ld_dataset_index(dataset, 0, 1, &index, &err);
  if (!rc) {
    sort_labels(&index);
    check_parts(dataset, &index);
    read_all(dataset, &index);
  }
  if (rc && (rc != err.code || strchr(err.text, '\n'))) abort();
  ld_index_free(&index);
  ld_dataset_close(dataset);
  unlink(path);
  return 0;
}
