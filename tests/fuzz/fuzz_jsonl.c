/* Any bytes as a data file: opening, indexing in parts and reading must neither crash nor disagree. The first
 * byte chooses the ending and the options. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../unit/data_forms.h"
#include "io/dataset/dataset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Two tokens are enough: this tests the cutting and the reading, not the tokenizer. */
static const char tokenizer_json[] =
    "{\"version\":\"1.0\",\"added_tokens\":[{\"id\":2,\"content\":\"<|im_start|>\",\"single_word\":false,"
    "\"lstrip\":false,"
    "\"rstrip\":false,\"normalized\":false,\"special\":true},{\"id\":3,\"content\":\"<|im_end|>\",\"single_"
    "word\":false,"
    "\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":true}],\"normalizer\":null,\"pre_"
    "tokenizer\":null,"
    "\"post_processor\":null,\"decoder\":null,\"model\":{\"type\":\"BPE\",\"vocab\":{\"<unk>\":0,\"a\":1,\"<|"
    "im_start|>\":"
    "2,\"<|im_end|>\":3},\"merges\":[],\"unk_token\":\"<unk>\",\"fuse_unk\":false,\"byte_fallback\":false}}";

static ld_tokenizer *tokenizer;

static void write_file(const char *path, const uint8_t *data, size_t size) {
  FILE *file = fopen(path, "wb");
  if (!file || fwrite(data, 1, size, file) != size) abort();
  fclose(file);
}

static void check_parts(const ld_dataset *dataset, const ld_index *all) {
  size_t at = 0;
  for (int part = 0; part < 3; part++) {
    ld_index index;
    if (ld_dataset_index(dataset, part, 3, &index, NULL)) abort();
    if (at + index.n > all->n) abort();
    if (index.n && memcmp(index.records, all->records + at, index.n * sizeof *index.records)) abort();
    at += index.n;
    ld_index_free(&index);
  }
  if (at != all->n) abort();
}

static void read_all(const ld_dataset *dataset, const ld_record *records, size_t n) {
  ld_sample sample = {0};
  for (size_t i = 0; i < n; i++) {
    int32_t n_targets = 0;
    if (ld_dataset_read(dataset, &records[i], &sample, NULL)) abort();
    for (size_t j = 0; j < sample.tokens.n; j++) n_targets += sample.target[j];
    if (n_targets != records[i].n_targets) abort();
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
  char path[64];
  snprintf(path, sizeof path, "/tmp/ld_fuzz_%d%s", (int)getpid(),
           data[0] & 1    ? ".txt"
           : data[0] & 16 ? ".json"
                          : ".jsonl");
  write_file(path, data + 1, size - 1);
  const ld_dataset_options options = {.forms = of_language,
                                      .tokenizer = tokenizer,
                                      .eos = data[0] & 2 ? 1 : -1,
                                      .seq_len = data[0] & 4 ? 5 : 0,
                                      .mask_prompt = data[0] & 8};
  ld_dataset *dataset;
  ld_index index = {0};
  if (!ld_dataset_open(path, &options, &dataset, &err) && !ld_dataset_index(dataset, 0, 1, &index, &err)) {
    check_parts(dataset, &index);
    read_all(dataset, index.records, index.n);
    ld_digests *digests = ld_digests_create("host", 1);
    char digest[LD_DIGEST_TEXT + 1];
    if (ld_source_digest(ld_dataset_source(dataset), digests, digest, &err)) abort();
    ld_digests_free(digests);
  }
  ld_index_free(&index);
  ld_dataset_close(dataset);
  unlink(path);
  return 0;
}
