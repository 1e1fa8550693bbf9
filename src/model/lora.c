#include "model/lora.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

ld_linear *ld_lora_find(const ld_model *model, const char *path) {
  for (size_t i = 0; i < model->n_linears; i++)
    if (!strcmp(model->linears[i]->path, path)) return model->linears[i];
  return NULL;
}

/* PEFT's rule for a list: the whole path, or its end after a dot. */
static bool fits(const char *path, const char *target, size_t length) {
  const size_t n = strlen(path);
  if (n < length || memcmp(path + n - length, target, length) != 0) return false;
  return n == length || path[n - length - 1] == '.';
}

static int choose_target(const ld_model *model, const char *target, size_t length, bool *chosen,
                         ld_error *err) {
  const bool all = length == 10 && !memcmp(target, "all-linear", 10);
  bool any = false;
  for (size_t i = 0; i < model->n_linears; i++) {
    const ld_linear *linear = model->linears[i];
    if (all ? linear == model->head : !fits(linear->path, target, length)) continue;
    chosen[i] = any = true;
  }
  if (any) return 0;
  return ld_fail(
      err, LD_EMISMATCH,
      "--target: '%.*s' fits no linear module of this %s model; its modules end in names such as %s",
      (int)length, target, model->family->model_type, strrchr(model->linears[0]->path, '.') + 1);
}

int ld_lora_choose(const ld_model *model, const char *targets, const ld_lora_choice *like,
                   ld_lora_choice **choices, size_t *n, ld_error *err) {
  bool *chosen = ld_alloc(model->n_linears, sizeof *chosen);
  int rc = 0;
  for (const char *at = targets ? targets : model->family->default_targets; !rc && *at;) {
    const size_t length = strcspn(at, ", ");
    if (length) rc = choose_target(model, at, length, chosen, err);
    at += length;
    at += strspn(at, ", ");
  }
  *choices = ld_alloc(model->n_linears, sizeof **choices);
  *n = 0;
  for (size_t i = 0; i < model->n_linears; i++) {
    if (!chosen[i]) continue;
    (*choices)[*n] = *like;
    (*choices)[(*n)++].linear = model->linears[i];
  }
  free(chosen);
  if (!rc && !*n) rc = ld_fail(err, LD_EUSAGE, "--target: the list is empty");
  if (rc) free(*choices);
  return rc;
}

static void add_param(ld_lora_set *set, const ld_linear *linear, const char *which, int rows, int cols) {
  ld_param *param = &set->params[set->n_params++];
  *param = (ld_param){.name = ld_format("%s/%s", linear->path, which), .rows = rows, .cols = cols};
  set->n_floats += (size_t)rows * (size_t)cols;
}

ld_lora_set *ld_lora_attach(ld_model *model, const ld_lora_choice *choices, size_t n, double dropout) {
  ld_lora_set *set = ld_alloc(1, sizeof *set);
  set->model = model;
  set->n_loras = n;
  set->loras = ld_alloc(n, sizeof *set->loras);
  set->choices = ld_alloc(n, sizeof *set->choices);
  set->params = ld_alloc(2 * n, sizeof *set->params);
  memcpy(set->choices, choices, n * sizeof *choices);
  for (size_t i = 0; i < n; i++) {
    add_param(set, choices[i].linear, "A", choices[i].rank, choices[i].linear->in);
    add_param(set, choices[i].linear, "B", choices[i].linear->out, choices[i].rank);
  }
  set->data = ld_alloc(set->n_floats, sizeof(float));
  set->grad = ld_alloc(set->n_floats, sizeof(float));
  size_t at = 0;
  for (size_t i = 0; i < set->n_params; i++) {
    set->params[i].data = set->data + at;
    set->params[i].grad = set->grad + at;
    at += (size_t)set->params[i].rows * (size_t)set->params[i].cols;
  }
  for (size_t i = 0; i < n; i++) {
    set->loras[i] = (ld_lora){choices[i].rank, (float)choices[i].scaling, (float)dropout,
                              (uint32_t)i,     &set->params[2 * i],       &set->params[2 * i + 1]};
    choices[i].linear->lora = &set->loras[i];
  }
  return set;
}

void ld_lora_free(ld_lora_set *set) {
  if (!set) return;
  for (size_t i = 0; i < set->n_loras; i++) set->choices[i].linear->lora = NULL;
  for (size_t i = 0; i < set->n_params; i++) free(set->params[i].name);
  free(set->loras);
  free(set->choices);
  free(set->params);
  free(set->data);
  free(set->grad);
  free(set);
}

/* FNV-1a, to name a stream of random numbers by a text. */
static uint64_t name_number(const char *name) {
  uint64_t hash = 14695981039346656037u;
  for (; *name; name++) hash = (hash ^ (uint8_t)*name) * 1099511628211u;
  return hash;
}

void ld_lora_init(ld_lora_set *set, uint64_t seed) {
  for (size_t i = 0; i < set->n_loras; i++) {
    const ld_param *A = set->loras[i].A, *B = set->loras[i].B;
    const ld_stream stream = ld_rng_stream(seed, LD_RNG_INIT, name_number(set->choices[i].linear->path), 0);
    const float bound = 1.0f / sqrtf((float)A->cols);
    const size_t n = (size_t)A->rows * (size_t)A->cols;
    for (size_t k = 0; k < n; k++) A->data[k] = (2 * ld_rng_uniform(&stream, k) - 1) * bound;
    memset(B->data, 0, (size_t)B->rows * (size_t)B->cols * sizeof(float));
  }
}
