#include "model/lora.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/rng.h"
#include "base/suggest.h"
#include "base/text.h"

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

/* The next of a comma-separated list; NULL at its end. */
static const char *next_name(const char **list, size_t *length) {
  const char *name = *list + strspn(*list, ", ");
  *length = strcspn(name, ", ");
  *list = name + *length;
  return *length ? name : NULL;
}

static bool is_word(const char *name, size_t length, const char *word) {
  return length == strlen(word) && !memcmp(name, word, length);
}

bool ld_lora_targets(const ld_linear *linear, const char *targets) {
  const char *name;
  size_t length;
  while (targets && (name = next_name(&targets, &length)))
    if (fits(linear->path, name, length)) return true;
  return false;
}

static const char *last_part(const char *path) {
  const char *dot = strrchr(path, '.');
  return dot ? dot + 1 : path;
}

/* The names in which the paths of a model's modules end, each once; the caller frees the array. */
static const char **list_names(const ld_model *model, size_t *n) {
  const char **names = ld_alloc(model->n_linears, sizeof *names);
  *n = 0;
  for (size_t i = 0; i < model->n_linears; i++) {
    const char *name = last_part(model->linears[i]->path);
    size_t k = 0;
    while (k < *n && strcmp(names[k], name)) k++;
    if (k == *n) names[(*n)++] = name;
  }
  return names;
}

static int no_module(const ld_model *model, const char *option, const char *name, size_t length,
                     ld_error *err) {
  size_t n;
  const char **names = list_names(model, &n);
  char *wrong = ld_format("%.*s", (int)length, name);
  const ld_hint hint = ld_suggest(last_part(wrong), names, n, "");
  ld_text list = {0};
  for (size_t i = 0; i < n && list.length < 200; i++) ld_text_printf(&list, "%s%s", i ? ", " : "", names[i]);
  const int rc = ld_fail(err, LD_EUSAGE, "%s: no module of this %s model matches '%s'%s; there are %s", option,
                         model->family->model_type, wrong, hint.text, list.bytes);
  ld_text_free(&list);
  free(wrong);
  free(names);
  return rc;
}

/* PEFT's rule for modules_to_save: the path of the module or of one around it ends with the name. */
static bool is_under(const char *path, const char *name, size_t length) {
  for (size_t end = 1;; end++) {
    if (path[end] && path[end] != '.') continue;
    if (end >= length && !memcmp(path + end - length, name, length)) return true;
    if (!path[end]) return false;
  }
}

static int check_whole(const ld_model *model, const ld_linear *linear, ld_error *err) {
  if (!linear->kernel.height && !linear->transposed && !(linear == model->head && model->head_tied)) return 0;
  return ld_fail(err, LD_EUNSUPPORTED,
                 "--whole: '%s' cannot be trained in full: only linear layers with weights of their own can",
                 linear->path);
}

int ld_whole_choose(const ld_model *model, const char *names, bool **whole, ld_error *err) {
  *whole = ld_alloc(model->n_linears, sizeof **whole);
  const bool given = names && strcmp(names, "none") != 0;
  const char *list = given ? names : names ? "" : model->default_whole ? model->default_whole : "", *name;
  size_t length;
  int rc = 0;
  while (!rc && (name = next_name(&list, &length))) {
    bool any = false;
    for (size_t i = 0; i < model->n_linears; i++)
      if (is_under(model->linears[i]->path, name, length)) (*whole)[i] = any = true;
    if (!any && given) rc = no_module(model, "--whole", name, length, err);
  }
  for (size_t i = 0; i < model->n_linears && !rc; i++) {
    if (model->linears[i]->is_new) (*whole)[i] = true;
    if ((*whole)[i]) rc = check_whole(model, model->linears[i], err);
  }
  if (rc) free(*whole);
  return rc;
}

static int choose_target(const ld_model *model, const char *target, size_t length, const bool *whole,
                         bool *chosen, ld_error *err) {
  const bool all = is_word(target, length, "all-linear");
  bool any = false, any_whole = false;
  for (size_t i = 0; i < model->n_linears; i++) {
    const ld_linear *linear = model->linears[i];
    if (all ? linear == model->head || linear->kernel.height : !fits(linear->path, target, length)) continue;
    if (whole[i])
      any_whole = true;
    else
      chosen[i] = any = true;
  }
  if (any) return 0;
  if (any_whole)
    return ld_fail(
        err, LD_EUSAGE,
        "--target: '%.*s' is trained in full, so it takes no adapter: name it in --target or in --whole, not "
        "in both",
        (int)length, target);
  return no_module(model, "--target", target, length, err);
}

int ld_lora_choose(const ld_model *model, const char *targets, const bool *whole, const ld_lora_choice *like,
                   ld_lora_choice **choices, size_t *n, ld_error *err) {
  bool *chosen = ld_alloc(model->n_linears, sizeof *chosen), any = false;
  const char *list = targets ? targets : model->default_targets, *name;
  const bool none = !strcmp(list, "none");
  size_t length;
  int rc = 0;
  while (!none && !rc && (name = next_name(&list, &length))) {
    rc = choose_target(model, name, length, whole, chosen, err);
    any = true;
  }
  *choices = ld_alloc(model->n_linears, sizeof **choices);
  *n = 0;
  for (size_t i = 0; i < model->n_linears; i++) {
    if (!chosen[i]) continue;
    (*choices)[*n] = *like;
    (*choices)[(*n)++].linear = model->linears[i];
  }
  free(chosen);
  if (!rc && !any && !none) rc = ld_fail(err, LD_EUSAGE, "--target: the list is empty: leave the option out, or write none");
  if (rc) free(*choices);
  return rc;
}

static void add_param(ld_lora_set *set, char *name, int rows, int cols) {
  set->params[set->n_params++] = (ld_param){.name = name, .rows = rows, .cols = cols};
  set->n_floats += (size_t)rows * (size_t)cols;
}

static void add_params(ld_lora_set *set) {
  for (size_t i = 0; i < set->n_loras; i++) {
    const ld_linear *linear = set->choices[i].linear;
    add_param(set, ld_format("%s/A", linear->path), set->choices[i].rank, linear->in);
    add_param(set, ld_format("%s/B", linear->path), linear->out, set->choices[i].rank);
  }
  for (size_t i = 0; i < set->n_wholes; i++) {
    const ld_linear *linear = set->wholes[i].linear;
    add_param(set, ld_format("%s.weight", linear->path), linear->out, linear->in);
    if (linear->bias) add_param(set, ld_format("%s.bias", linear->path), 1, linear->out);
  }
  set->data = ld_alloc(set->n_floats, sizeof(float));
  set->grad = ld_alloc(set->n_floats, sizeof(float));
  size_t at = 0;
  for (size_t i = 0; i < set->n_params; i++) {
    set->params[i].data = set->data + at;
    set->params[i].grad = set->grad + at;
    at += (size_t)set->params[i].rows * (size_t)set->params[i].cols;
  }
}

/* The trained copy takes the place of the frozen weight. */
static void attach_whole(ld_whole *whole, ld_param *weight, ld_param *bias) {
  ld_linear *linear = whole->linear;
  ld_dtype_to_f32(weight->data, linear->weight.data, linear->weight.dtype, 0,
                  (int64_t)linear->out * linear->in);
  linear->weight = (ld_weight){weight->data, LD_F32, linear->out, linear->in};
  linear->whole = weight;
  if (!bias) return;
  memcpy(bias->data, linear->bias, (size_t)linear->out * sizeof(float));
  linear->bias = bias->data;
  linear->whole_bias = bias;
}

ld_lora_set *ld_lora_attach(ld_model *model, const ld_lora_choice *choices, size_t n, double dropout,
                            const bool *whole) {
  ld_lora_set *set = ld_alloc(1, sizeof *set);
  set->model = model;
  set->n_loras = n;
  set->loras = ld_alloc(n, sizeof *set->loras);
  set->choices = ld_alloc(n, sizeof *set->choices);
  set->wholes = ld_alloc(model->n_linears, sizeof *set->wholes);
  set->params = ld_alloc(2 * (n + model->n_linears), sizeof *set->params);
  if (n) memcpy(set->choices, choices, n * sizeof *choices);
  for (size_t i = 0; i < model->n_linears; i++) {
    ld_linear *linear = model->linears[i];
    if (whole[i]) set->wholes[set->n_wholes++] = (ld_whole){linear, linear->weight, linear->bias};
  }
  add_params(set);
  for (size_t i = 0; i < n; i++) {
    set->loras[i] = (ld_lora){choices[i].rank, (float)choices[i].scaling, (float)dropout,
                              (uint32_t)i,     &set->params[2 * i],       &set->params[2 * i + 1]};
    choices[i].linear->lora = &set->loras[i];
  }
  ld_param *param = set->params + 2 * n;
  for (size_t i = 0; i < set->n_wholes; i++) {
    const bool has_bias = set->wholes[i].bias != NULL;
    attach_whole(&set->wholes[i], param, has_bias ? param + 1 : NULL);
    param += 1 + has_bias;
  }
  return set;
}

void ld_lora_free(ld_lora_set *set) {
  if (!set) return;
  for (size_t i = 0; i < set->n_loras; i++) set->choices[i].linear->lora = NULL;
  for (size_t i = 0; i < set->n_wholes; i++) {
    ld_linear *linear = set->wholes[i].linear;
    linear->weight = set->wholes[i].weight;
    linear->bias = set->wholes[i].bias;
    linear->whole = linear->whole_bias = NULL;
  }
  for (size_t i = 0; i < set->n_params; i++) free(set->params[i].name);
  free(set->loras);
  free(set->choices);
  free(set->wholes);
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

static void fill_uniform(const ld_stream *stream, uint64_t first, float bound, float *x, size_t n) {
  for (size_t i = 0; i < n; i++) x[i] = (2 * ld_rng_uniform(stream, first + i) - 1) * bound;
}

static void init_whole(const ld_linear *linear, uint64_t seed) {
  const ld_stream stream = ld_rng_stream(seed, LD_RNG_INIT, name_number(linear->path), 0);
  const size_t n = (size_t)linear->in * (size_t)linear->out;
  float *weight = linear->whole->data;
  if (linear->spread > 0) {
    for (size_t i = 0; i < n; i++) weight[i] = linear->spread * ld_rng_normal(&stream, i);
    return;
  }
  const float bound = 1.0f / sqrtf((float)linear->in);
  fill_uniform(&stream, 0, bound, weight, n);
  if (linear->whole_bias) fill_uniform(&stream, n, bound, linear->whole_bias->data, (size_t)linear->out);
}

void ld_lora_init(ld_lora_set *set, uint64_t seed) {
  for (size_t i = 0; i < set->n_loras; i++) {
    const ld_param *A = set->loras[i].A, *B = set->loras[i].B;
    const ld_stream stream = ld_rng_stream(seed, LD_RNG_INIT, name_number(set->choices[i].linear->path), 0);
    fill_uniform(&stream, 0, 1.0f / sqrtf((float)A->cols), A->data, (size_t)A->rows * (size_t)A->cols);
    memset(B->data, 0, (size_t)B->rows * (size_t)B->cols * sizeof(float));
  }
  for (size_t i = 0; i < set->n_wholes; i++)
    if (set->wholes[i].linear->is_new) init_whole(set->wholes[i].linear, seed);
}
