/* Writes a model's logits, for comparison with PyTorch (tests/golden/check_peft.py):
 *
 *   logits MODEL ADAPTER|- OUT.safetensors < ids
 *   logits MODEL ADAPTER|- OUT.safetensors IN.safetensors
 *
 * The first is for a language model: one sequence a line, ids apart by spaces. OUT gets seqN.ids (T) int32
 * and seqN.logits (T, V) float32.
 *
 * The second is for a classifier: all samples of IN as one batch. They are sampleN.ids (T) and sampleN.types
 * (T; left out: all 0) int32, or pixels (B, C, H, W) float32, normalised. OUT gets them too, and logits
 * (B, classes) float32. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/safetensors.h"
#include "train/base.h"

/* What goes to OUT; owns names and data. */
typedef struct results {
  ld_named *tensors;
  size_t n, room;
} results;

static void put(results *out, char *name, ld_stored tensor) {
  out->tensors = ld_grow(out->tensors, out->n, &out->room, sizeof *out->tensors);
  out->tensors[out->n++] = (ld_named){.name = name, .tensor = tensor};
}

static void put_copy(results *out, const char *name, const ld_stored *tensor) {
  const size_t bytes = (size_t)ld_stored_count(tensor) * ld_dtype_size(tensor->dtype);
  ld_stored copy = *tensor;
  copy.data = memcpy(ld_alloc(bytes, 1), tensor->data, bytes);
  put(out, ld_strdup(name), copy);
}

static void free_results(results *out) {
  for (size_t i = 0; i < out->n; i++) {
    free((char *)out->tensors[i].name);
    free((void *)out->tensors[i].tensor.data);
  }
  free(out->tensors);
}

/* (rows, cols) of fresh memory. */
static ld_stored run(const ld_model *model, const ld_batch *batch) {
  ld_tape *tape = ld_tape_create();
  const ld_tensor *logits = NULL;
  for (int dry = 1; dry >= 0; dry--) {
    ld_tape_begin(tape, LD_PASS_INFER, dry, false);
    logits = ld_model_logits(model, tape, batch);
    if (dry && !ld_tape_reserve(tape)) exit(1);
  }
  const size_t n = (size_t)logits->rows * (size_t)logits->cols;
  const ld_stored copy = {memcpy(ld_alloc(n, sizeof(float)), logits->data, n * sizeof(float)),
                          LD_F32,
                          2,
                          {logits->rows, logits->cols}};
  ld_tape_free(tape);
  return copy;
}

static size_t read_ids(char *line, int32_t **ids) {
  size_t n = 0, room = 0;
  *ids = NULL;
  for (char *word = strtok(line, " \n"); word; word = strtok(NULL, " \n")) {
    *ids = ld_grow(*ids, n, &room, sizeof **ids);
    (*ids)[n++] = (int32_t)strtol(word, NULL, 10);
  }
  return n;
}

static int32_t *count_up(int n) {
  int32_t *positions = ld_alloc((size_t)n, sizeof *positions);
  for (int i = 0; i < n; i++) positions[i] = i;
  return positions;
}

static int run_sequences(const ld_base *base, results *out, ld_error *err) {
  size_t length = 0, n = 0;
  char *line = NULL;
  int rc = 0;
  while (!rc && getline(&line, &length, stdin) > 0) {
    int32_t *ids;
    const size_t T = read_ids(line, &ids);
    if (!T) continue;
    put(out, ld_format("seq%zu.ids", n), (ld_stored){ids, LD_I32, 1, {(int64_t)T}});
    rc = ld_base_check_ids(base, ids, NULL, T, err);
    if (rc) break;
    int32_t *positions = count_up((int)T);
    const ld_batch batch = {.n_tokens = (int)T,
                            .ids = ids,
                            .positions = positions,
                            .n_segments = 1,
                            .segment = (int32_t[]){0, (int32_t)T}};
    put(out, ld_format("seq%zu.logits", n++), run(base->model, &batch));
    free(positions);
  }
  free(line);
  return rc;
}

/* Samples back to back, in memory of their own. */
typedef struct texts {
  int32_t *ids, *positions, *types, *segment;
  size_t n, room, n_samples, room_segment;
} texts;

static void add_text(texts *all, const ld_stored *ids, const ld_stored *types) {
  const size_t n = (size_t)ids->shape[0];
  all->segment = ld_grow(all->segment, all->n_samples, &all->room_segment, sizeof *all->segment);
  all->segment[all->n_samples++] = (int32_t)all->n;
  all->room = all->n + n;
  all->ids = ld_realloc(all->ids, all->room, sizeof *all->ids);
  all->types = ld_realloc(all->types, all->room, sizeof *all->types);
  all->positions = ld_realloc(all->positions, all->room, sizeof *all->positions);
  for (size_t t = 0; t < n; t++, all->n++) {
    all->ids[all->n] = ((const int32_t *)ids->data)[t];
    all->types[all->n] = types ? ((const int32_t *)types->data)[t] : 0;
    all->positions[all->n] = (int32_t)t;
  }
}

static bool is_vector(const ld_stored *tensor) {
  return tensor->dtype == LD_I32 && tensor->ndim == 1 && tensor->shape[0] > 0;
}

static int read_texts(const ld_base *base, const ld_safetensors *in, const char *source, texts *all,
                      results *out, ld_error *err) {
  for (const ld_stored *ids;;) {
    char *name = ld_format("sample%zu.ids", all->n_samples);
    char *name_types = ld_format("sample%zu.types", all->n_samples);
    ids = ld_safetensors_find(in, name);
    const ld_stored *types = ld_safetensors_find(in, name_types);
    const bool good = ids && is_vector(ids) && ids->shape[0] <= base->model->max_positions &&
                      (!types || (is_vector(types) && types->shape[0] == ids->shape[0]));
    if (good) {
      add_text(all, ids, types);
      put_copy(out, name, ids);
      if (types) put_copy(out, name_types, types);
    }
    free(name);
    free(name_types);
    if (ids && !good)
      return ld_fail(err, LD_EFORMAT, "%s: sample%zu must have ids and types (T) int32, with T at most %d",
                     source, all->n_samples, base->model->max_positions);
    if (!ids) break;
  }
  if (!all->n_samples) return ld_fail(err, LD_EFORMAT, "%s has neither pixels nor sample0.ids", source);
  return ld_base_check_ids(base, all->ids, base->model->n_types ? all->types : NULL, all->n, err);
}

static int run_texts(const ld_base *base, const ld_safetensors *in, const char *source, results *out,
                     ld_error *err) {
  texts all = {0};
  const int rc = read_texts(base, in, source, &all, out, err);
  if (!rc) {
    all.segment = ld_grow(all.segment, all.n_samples, &all.room_segment, sizeof *all.segment);
    all.segment[all.n_samples] = (int32_t)all.n;
    const ld_batch batch = {.n_tokens = (int)all.n,
                            .ids = all.ids,
                            .positions = all.positions,
                            .types = all.types,
                            .n_segments = (int)all.n_samples,
                            .segment = all.segment};
    put(out, ld_strdup("logits"), run(base->model, &batch));
  }
  free(all.ids);
  free(all.positions);
  free(all.types);
  free(all.segment);
  return rc;
}

/* The model takes (C, B, H, W). */
static int run_images(const ld_base *base, const ld_stored *pixels, const char *source, results *out,
                      ld_error *err) {
  const bool fits = pixels->dtype == LD_F32 && pixels->ndim == 4 && ld_stored_count(pixels) > 0;
  if (!fits || pixels->shape[1] != base->model->channels)
    return ld_fail(err, LD_EFORMAT, "%s: pixels must be (B, %d, H, W) float32", source,
                   base->model->channels);
  const int B = (int)pixels->shape[0], C = (int)pixels->shape[1];
  const size_t size = (size_t)pixels->shape[2] * (size_t)pixels->shape[3];
  float *turned = ld_alloc((size_t)ld_stored_count(pixels), sizeof *turned);
  for (int b = 0; b < B; b++)
    for (int c = 0; c < C; c++)
      memcpy(turned + (size_t)(c * B + b) * size, (const float *)pixels->data + (size_t)(b * C + c) * size,
             size * sizeof(float));
  int32_t *segment = count_up(B + 1);
  const ld_batch batch = {.n_tokens = B,
                          .n_segments = B,
                          .segment = segment,
                          .pixels = turned,
                          .channels = C,
                          .height = (int)pixels->shape[2],
                          .width = (int)pixels->shape[3]};
  put_copy(out, "pixels", pixels);
  put(out, ld_strdup("logits"), run(base->model, &batch));
  free(segment);
  free(turned);
  return 0;
}

static int run_samples(const ld_base *base, const char *source, results *out, ld_error *err) {
  ld_safetensors *in;
  const ld_linear *head = base->model->head;
  if (head->is_new && !head->whole)
    return ld_fail(err, LD_EMISMATCH, "%s is new in this model: give an adapter that has it", head->path);
  const int rc = ld_safetensors_open(source, &in, err);
  if (rc) return rc;
  const ld_stored *pixels = ld_safetensors_find(in, "pixels");
  const int ran = pixels ? run_images(base, pixels, source, out, err) : run_texts(base, in, source, out, err);
  ld_safetensors_close(in);
  return ran;
}

static int work(const ld_base *base, const char *source, results *out, ld_error *err) {
  if (base->model->task == LD_TASK_LANGUAGE)
    return source ? ld_fail(err, LD_EFORMAT, "%s: a language model takes ids from standard input", source)
                  : run_sequences(base, out, err);
  return source ? run_samples(base, source, out, err)
                : ld_fail(err, LD_EFORMAT, "a classifier takes its samples from a fourth argument");
}

int main(int argc, char **argv) {
  if (argc != 4 && argc != 5)
    return fputs("usage: logits MODEL ADAPTER|- OUT.safetensors < ids\n"
                 "       logits MODEL ADAPTER|- OUT.safetensors IN.safetensors\n",
                 stderr),
           2;
  ld_base base;
  ld_error err;
  results out = {0};
  int rc = ld_base_open_model(argv[1], &base, &err);
  if (!rc && strcmp(argv[2], "-") != 0) rc = ld_base_adapt_from(&base, argv[2], &err);
  if (!rc) rc = work(&base, argc == 5 ? argv[4] : NULL, &out, &err);
  if (!rc) rc = ld_safetensors_write(argv[3], out.tensors, out.n, &err);
  if (rc) fprintf(stderr, "%s\n", err.text);
  free_results(&out);
  ld_base_close(&base);
  return rc != 0;
}
