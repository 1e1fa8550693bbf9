/* Writes the logits of sequences, for comparison with PyTorch (tests/golden/check_peft.py):
 *   logits MODEL ADAPTER|- OUT.safetensors < ids      one sequence a line, ids apart by spaces
 * OUT gets seqN.ids (T) int32 and seqN.logits (T, V) float32. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/safetensors.h"
#include "train/base.h"

enum { MAX_SEQUENCES = 64 };

static size_t read_ids(char *line, int32_t **ids) {
  size_t n = 0, room = 0;
  *ids = NULL;
  for (char *word = strtok(line, " \n"); word; word = strtok(NULL, " \n")) {
    *ids = ld_grow(*ids, n, &room, sizeof **ids);
    (*ids)[n++] = (int32_t)strtol(word, NULL, 10);
  }
  return n;
}

static float *run(const ld_model *model, const int32_t *ids, int T) {
  int32_t *positions = ld_alloc((size_t)T, sizeof *positions);
  for (int t = 0; t < T; t++) positions[t] = t;
  const ld_batch batch = {
      .n_tokens = T, .ids = ids, .positions = positions, .n_segments = 1, .segment = (int32_t[]){0, T}};
  ld_tape *tape = ld_tape_create();
  ld_tape_begin(tape, LD_PASS_INFER, true, false);
  ld_model_logits(model, tape, &batch);
  if (!ld_tape_reserve(tape)) exit(1);
  ld_tape_begin(tape, LD_PASS_INFER, false, false);
  const ld_tensor *logits = ld_model_logits(model, tape, &batch);
  const size_t n = (size_t)T * (size_t)model->vocab;
  float *copy = memcpy(ld_alloc(n, sizeof *copy), logits->data, n * sizeof *copy);
  ld_tape_free(tape);
  free(positions);
  return copy;
}

int main(int argc, char **argv) {
  if (argc != 4) return fputs("usage: logits MODEL ADAPTER|- OUT.safetensors < ids\n", stderr), 2;
  ld_base base;
  ld_error err;
  int rc = ld_base_open_model(argv[1], &base, &err);
  if (!rc && strcmp(argv[2], "-") != 0) rc = ld_base_adapt_from(&base, argv[2], &err);
  ld_named tensors[2 * MAX_SEQUENCES];
  size_t n = 0, length = 0;
  char *line = NULL;
  while (!rc && n < 2 * MAX_SEQUENCES && getline(&line, &length, stdin) > 0) {
    int32_t *ids;
    const size_t T = read_ids(line, &ids);
    const int64_t rows = (int64_t)T, V = base.model->vocab;
    if (!T) continue;
    tensors[n] = (ld_named){.name = ld_format("seq%zu.ids", n / 2), .tensor = {ids, LD_I32, 1, {rows}}};
    tensors[n + 1] = (ld_named){.name = ld_format("seq%zu.logits", n / 2),
                                .tensor = {run(base.model, ids, (int)T), LD_F32, 2, {rows, V}}};
    n += 2;
  }
  if (!rc) rc = ld_safetensors_write(argv[3], tensors, n, &err);
  if (rc) fprintf(stderr, "%s\n", err.text);
  for (size_t i = 0; i < n; i++) {
    free((char *)tensors[i].name);
    free((void *)tensors[i].tensor.data);
  }
  free(line);
  ld_base_close(&base);
  return rc != 0;
}
