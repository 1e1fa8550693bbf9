/* Writes a model's logits, for comparison with PyTorch (tests/golden/check_peft.py):
 *
 *   logits MODEL ADAPTER|- OUT.safetensors < ids
 *   logits MODEL ADAPTER|- OUT.safetensors IN.safetensors
 *
 * The first is for a language model: one sequence per line, ids separated by spaces. OUT gets seqN.ids (T)
 * int32 and seqN.logits (T, V) float32.
 *
 * The second is for a classifier: all samples of IN as one batch. They are sampleN.ids (T) and sampleN.types
 * (T; left out: all 0) int32, or pixels (B, C, H, W) float32, normalised. OUT gets them too, and logits (B,
 * classes) float32. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/hub/safetensors.h"
#include "load/base.h"
#include "load/base_adapter.h"

/* The contents of OUT; owns names and data. */
typedef struct results {
  ld_named *tensors;
  size_t n, room;
} results;

static void put(results *out, char *name, ld_stored tensor) {
  out->tensors = ld_grow(out->tensors, out->n, &out->room, sizeof *out->tensors);
  out->tensors[out->n++] = (ld_named){.name = name, .tensor = tensor};
}

static void put_copy(results *out, const char *name, const ld_stored *tensor) {
  const size_t bytes = ld_stored_bytes(tensor);
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
  const ld_stored copy = {.data = memcpy(ld_alloc(n, sizeof(float)), logits->data, n * sizeof(float)),
                          .dtype = LD_F32,
                          .ndim = 2,
                          .shape = {logits->rows, logits->cols}};
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

/* ld_base_check_ids is for a tokenizer's ids, and there is no tokenizer here. */
static bool are_below(const int32_t *numbers, size_t n, int limit) {
  for (size_t i = 0; i < n; i++)
    if (numbers[i] < 0 || numbers[i] >= limit) return false;
  return true;
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
    put(out, ld_format("seq%zu.ids", n),
        (ld_stored){.data = ids, .dtype = LD_I32, .ndim = 1, .shape = {(int64_t)T}});
    if (!are_below(ids, T, base->model->vocab)) {
      rc = ld_fail(err, LD_EFORMAT, "line %zu has ids outside the vocabulary", n + 1);
      break;
    }
    int32_t *positions = count_up((int)T);
    const ld_batch batch = {.fields = {{.name = LD_TEXT,
                                        .n_rows = (int)T,
                                        .n_segments = 1,
                                        .segment = (int32_t[]){0, (int32_t)T},
                                        .ids = ids,
                                        .positions = positions}}};
    put(out, ld_format("seq%zu.logits", n++), run(base->model, &batch));
    free(positions);
  }
  free(line);
  return rc;
}

/* Samples one after the other, in memory of their own. */
typedef struct texts {
  int32_t *ids, *positions, *types, *segment;
  size_t n, n_samples;
} texts;

static void add_text(texts *all, const ld_stored *ids, const ld_stored *types) {
  const size_t n = (size_t)ids->shape[0], end = all->n + n;
  all->ids = ld_realloc(all->ids, end, sizeof *all->ids);
  all->types = ld_realloc(all->types, end, sizeof *all->types);
  all->positions = ld_realloc(all->positions, end, sizeof *all->positions);
  for (size_t t = 0; t < n; t++, all->n++) {
    all->ids[all->n] = ((const int32_t *)ids->data)[t];
    all->types[all->n] = types ? ((const int32_t *)types->data)[t] : 0;
    all->positions[all->n] = (int32_t)t;
  }
  all->segment = ld_realloc(all->segment, ++all->n_samples + 1, sizeof *all->segment);
  all->segment[0] = 0;
  all->segment[all->n_samples] = (int32_t)end;
}

/* A tensor of sample `i`, which is copied to OUT; NULL when there is none. */
static const ld_stored *take(const ld_safetensors *in, size_t i, const char *what, results *out) {
  char *name = ld_format("sample%zu.%s", i, what);
  const ld_stored *tensor = ld_safetensors_find(in, name);
  if (tensor) put_copy(out, name, tensor);
  free(name);
  return tensor;
}

static bool is_vector(const ld_stored *tensor) {
  return tensor->dtype == LD_I32 && tensor->ndim == 1 && tensor->shape[0] > 0;
}

static int read_texts(const ld_base *base, const ld_safetensors *in, const char *source, texts *all,
                      results *out, ld_error *err) {
  const int most = base->model->max_positions;
  for (const ld_stored *ids; (ids = take(in, all->n_samples, "ids", out));) {
    const ld_stored *types = take(in, all->n_samples, "types", out);
    const bool fits = !types || (is_vector(types) && types->shape[0] == ids->shape[0]);
    if (!is_vector(ids) || ids->shape[0] > most || !fits)
      return ld_fail(err, LD_EFORMAT, "%s: sample%zu must have ids and types (T) int32, with T at most %d",
                     source, all->n_samples, most);
    add_text(all, ids, types);
  }
  if (!all->n_samples) return ld_fail(err, LD_EFORMAT, "%s has no sample0.ids", source);
  const int n_types = base->model->n_types;
  if (!are_below(all->ids, all->n, base->model->vocab) ||
      (n_types && !are_below(all->types, all->n, n_types)))
    return ld_fail(err, LD_EFORMAT, "%s has ids outside the vocabulary, or types that the model lacks",
                   source);
  return 0;
}

static int run_texts(const ld_base *base, const ld_safetensors *in, const char *source, results *out,
                     ld_error *err) {
  texts all = {0};
  const int rc = read_texts(base, in, source, &all, out, err);
  if (!rc) {
    const ld_batch batch = {.fields = {{.name = LD_TEXT,
                                        .n_rows = (int)all.n,
                                        .n_segments = (int)all.n_samples,
                                        .segment = all.segment,
                                        .ids = all.ids,
                                        .positions = all.positions,
                                        .types = all.types}}};
    put(out, ld_strdup("logits"), run(base->model, &batch));
  }
  free(all.ids);
  free(all.positions);
  free(all.types);
  free(all.segment);
  return rc;
}

/* The model takes (C, B, H, W). */
static int run_images(const ld_base *base, const ld_safetensors *in, const char *source, results *out,
                      ld_error *err) {
  const ld_stored *pixels = ld_safetensors_find(in, "pixels");
  if (!pixels || pixels->dtype != LD_F32 || pixels->ndim != 4 || !ld_stored_count(pixels) ||
      pixels->shape[1] != base->model->channels)
    return ld_fail(err, LD_EFORMAT, "%s: there must be pixels (B, %d, H, W) float32", source,
                   base->model->channels);
  const int B = (int)pixels->shape[0], C = (int)pixels->shape[1];
  const size_t size = (size_t)pixels->shape[2] * (size_t)pixels->shape[3];
  float *turned = ld_alloc((size_t)ld_stored_count(pixels), sizeof *turned);
  for (int b = 0; b < B; b++)
    for (int c = 0; c < C; c++)
      memcpy(turned + (size_t)(c * B + b) * size, (const float *)pixels->data + (size_t)(b * C + c) * size,
             size * sizeof(float));
  const ld_batch batch = {.fields = {{.name = LD_IMAGE,
                                      .n_rows = B,
                                      .numbers = turned,
                                      .channels = C,
                                      .height = (int)pixels->shape[2],
                                      .width = (int)pixels->shape[3]}}};
  put_copy(out, "pixels", pixels);
  put(out, ld_strdup("logits"), run(base->model, &batch));
  free(turned);
  return 0;
}

static int run_samples(const ld_base *base, const char *source, results *out, ld_error *err) {
  ld_safetensors *in;
  const ld_linear *head = base->model->head;
  if (head->is_new && !head->change && base->unfit_head)
    return ld_fail(err, LD_EUNSUPPORTED, "%s", base->unfit_head);
  if (head->is_new && !head->change)
    return ld_fail(err, LD_EMISMATCH, "%s is new in this model: give an adapter that has it", head->path);
  const int rc = ld_safetensors_open(source, &in, err);
  if (rc) return rc;
  const int ran = !strcmp(base->model->family->input, LD_IMAGE) ? run_images(base, in, source, out, err)
                                                                : run_texts(base, in, source, out, err);
  ld_safetensors_close(in);
  return ran;
}

static int work(const ld_base *base, const char *source, results *out, ld_error *err) {
  if (!base->labels.n_names)
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
  if (!rc && strcmp(argv[2], "-") != 0) rc = ld_base_adapt_from(&base, argv[2], false, &err);
  if (!rc) rc = work(&base, argc == 5 ? argv[4] : NULL, &out, &err);
  if (!rc) rc = ld_safetensors_write(argv[3], out.tensors, out.n, &err);
  if (rc) fprintf(stderr, "%s\n", err.text);
  free_results(&out);
  ld_base_close(&base);
  return rc != 0;
}
