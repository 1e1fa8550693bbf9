#include "model/build.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"

enum { NAME_LENGTH = 256 };

void *ld_build_alloc(ld_builder *builder, size_t count, size_t size) {
  ld_model *model = builder->model;
  model->owned = ld_grow(model->owned, model->n_owned, &model->room_owned, sizeof *model->owned);
  return model->owned[model->n_owned++] = ld_alloc(count, size);
}

static void config_failed(ld_builder *builder) {
  builder->failed = ld_fail_prefix(builder->err, LD_EFORMAT, "%s/config.json", builder->weights->source);
}

void ld_build_refuse(ld_builder *builder, const char *key, const char *format, ...) {
  if (builder->failed) return;
  char text[512];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  builder->failed =
      ld_fail(builder->err, LD_EUNSUPPORTED, "%s/config.json: %s %s", builder->weights->source, key, text);
}

static int integer(ld_builder *builder, const char *key, int least, int fallback) {
  int64_t value = fallback;
  if (builder->failed) return 1;
  if (ld_value_int(builder->config, key, fallback, &value, builder->err)) {
    config_failed(builder);
    return 1;
  }
  /* The bound keeps products of two sizes within 64 bits and single sizes within an int. */
  if (value >= least && value <= 1 << 28) return (int)value;
  const bool missing = !ld_value_get(builder->config, key);
  ld_fail(builder->err, LD_EFORMAT, missing ? "%s is missing" : "%s must be between %d and 268435456", key,
          least);
  config_failed(builder);
  return 1;
}

int ld_build_size(ld_builder *builder, const char *key, int fallback) {
  return integer(builder, key, 1, fallback);
}

int ld_build_index(ld_builder *builder, const char *key, int fallback) {
  return integer(builder, key, 0, fallback);
}

int ld_build_sizes(ld_builder *builder, const char *key, int *out, int n_fallback, int room) {
  const ld_value *list = ld_value_get(builder->config, key);
  if (builder->failed || !list) return n_fallback;
  bool good = list->type == LD_LIST && list->n_items >= 1 && list->n_items <= (size_t)room;
  for (size_t i = 0; good && i < list->n_items; i++) {
    good =
        list->items[i].type == LD_INTEGER && list->items[i].integer >= 1 && list->items[i].integer <= 1 << 16;
    out[i] = (int)list->items[i].integer;
  }
  if (good) return (int)list->n_items;
  ld_fail(builder->err, LD_EFORMAT, "%s must be a list of 1 to %d sizes from 1 to 65536", key, room);
  config_failed(builder);
  return n_fallback;
}

double ld_build_real(ld_builder *builder, const char *key, double fallback) {
  double value = fallback;
  if (!builder->failed && ld_value_real(builder->config, key, fallback, &value, builder->err))
    config_failed(builder);
  return value;
}

bool ld_build_flag(ld_builder *builder, const char *key, bool fallback) {
  bool value = fallback;
  if (!builder->failed && ld_value_bool(builder->config, key, fallback, &value, builder->err))
    config_failed(builder);
  return value;
}

const char *ld_build_string(ld_builder *builder, const char *key, const char *fallback) {
  const char *value = fallback;
  if (!builder->failed && ld_value_string(builder->config, key, fallback, &value, builder->err))
    config_failed(builder);
  return value;
}

bool ld_build_has(const ld_builder *builder, const char *key) {
  for (size_t i = 0; i < builder->config->n_items; i++)
    if (!strcmp(builder->config->items[i].key, key)) return true;
  return false;
}

enum ld_activation ld_build_activation(ld_builder *builder, const char *key, const char *fallback) {
  static const struct {
    const char *name;
    enum ld_activation kind;
  } known[] = {{"gelu_new", LD_GELU_TANH},  {"gelu_pytorch_tanh", LD_GELU_TANH},
               {"gelu_fast", LD_GELU_TANH}, {"gelu", LD_GELU_ERF},
               {"relu", LD_RELU},           {"silu", LD_SILU},
               {"swish", LD_SILU},          {"tanh", LD_TANH}};
  const char *name = ld_build_string(builder, key, fallback);
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (!strcmp(known[i].name, name)) return known[i].kind;
  ld_build_refuse(builder, key, "\"%s\" is not supported", name);
  return LD_GELU_TANH;
}

/* As it is, or without the body's name: it is a module of its own, and may have been saved alone. */
static const ld_stored *find_spelled(const ld_builder *builder, const char *name) {
  const ld_weights *weights = builder->weights;
  const char *body = builder->model->family->body;
  const size_t length = body ? strlen(body) : 0;
  const ld_stored *tensor = weights->find(weights->self, name);
  if (tensor || !length || strncmp(name, body, length) != 0 || name[length] != '.') return tensor;
  return weights->find(weights->self, name + length + 1);
}

static const ld_stored *find(const ld_builder *builder, const char *name) {
  static const char *const spellings[][2] = {{".weight", ".gamma"}, {".bias", ".beta"}};
  const ld_stored *tensor = find_spelled(builder, name);
  for (int i = 0; !tensor && i < 2; i++) {
    const char *end = strrchr(name, '.');
    if (!end || strcmp(end, spellings[i][0]) != 0) continue;
    char *old = ld_format("%.*s%s", (int)(end - name), name, spellings[i][1]);
    tensor = find_spelled(builder, old);
    free(old);
  }
  return tensor;
}

typedef struct ld_shape {
  int n;
  int64_t sizes[4];
} ld_shape;

static bool has_shape(const ld_stored *tensor, const ld_shape *shape) {
  return tensor->ndim == shape->n &&
         !memcmp(tensor->shape, shape->sizes, (size_t)shape->n * sizeof *shape->sizes);
}

static void describe_shape(ld_text *text, const int64_t *sizes, int n) {
  ld_text_puts(text, "(");
  for (int i = 0; i < n; i++) ld_text_printf(text, "%s%lld", i ? ", " : "", (long long)sizes[i]);
  ld_text_puts(text, ")");
}

/* The stored tensor of that name if it has that shape. */
static const ld_stored *require(ld_builder *builder, const char *name, const ld_shape *shape) {
  if (builder->failed) return NULL;
  const char *source = builder->weights->source;
  const ld_stored *tensor = find(builder, name);
  if (!tensor) {
    builder->failed = ld_fail(builder->err, LD_EFORMAT, "%s: tensor '%s' is missing: is the folder complete?",
                              source, name);
    return NULL;
  }
  if (tensor->dtype != LD_F32 && tensor->dtype != LD_F16 && tensor->dtype != LD_BF16) {
    builder->failed = ld_fail(builder->err, LD_EUNSUPPORTED,
                              "%s: tensor '%s' has dtype %s; F32, F16 and BF16 are supported", source, name,
                              ld_dtype_name(tensor->dtype));
    return NULL;
  }
  builder->model->n_parameters += ld_stored_count(tensor);
  if (has_shape(tensor, shape)) return tensor;
  ld_text found = {0}, wanted = {0};
  describe_shape(&found, tensor->shape, tensor->ndim);
  describe_shape(&wanted, shape->sizes, shape->n);
  builder->failed =
      ld_fail(builder->err, LD_EFORMAT, "%s: tensor '%s' has shape %s, but config.json asks for %s", source,
              name, found.bytes, wanted.bytes);
  ld_text_free(&found);
  ld_text_free(&wanted);
  return NULL;
}

#define FORMAT_NAME(format)                                                                                  \
  char name[NAME_LENGTH];                                                                                    \
  va_list args;                                                                                              \
  va_start(args, format);                                                                                    \
  vsnprintf(name, sizeof name, format, args);                                                                \
  va_end(args)

static float *vector(ld_builder *builder, const char *name, int n) {
  const ld_stored *tensor = require(builder, name, &(ld_shape){1, {n}});
  if (!tensor) return NULL;
  float *copy = ld_build_alloc(builder, (size_t)n, sizeof *copy);
  ld_dtype_to_f32(copy, tensor->data, tensor->dtype, 0, n);
  return copy;
}

static ld_weight matrix(ld_builder *builder, const char *name, int rows, int cols) {
  const ld_stored *tensor = require(builder, name, &(ld_shape){2, {rows, cols}});
  if (!tensor) return (ld_weight){.rows = rows, .cols = cols};
  return (ld_weight){tensor->data, tensor->dtype, rows, cols};
}

float *ld_build_vector(ld_builder *builder, int n, const char *format, ...) {
  FORMAT_NAME(format);
  return vector(builder, name, n);
}

ld_weight ld_build_matrix(ld_builder *builder, int rows, int cols, const char *format, ...) {
  FORMAT_NAME(format);
  return matrix(builder, name, rows, cols);
}

static void list_linear(ld_builder *builder, ld_linear *linear) {
  ld_model *model = builder->model;
  model->linears = ld_grow(model->linears, model->n_linears, &model->room_linears, sizeof(ld_linear *));
  model->linears[model->n_linears++] = linear;
}

static char *own_path(ld_builder *builder, const char *path) {
  char *copy = ld_build_alloc(builder, strlen(path) + 1, 1);
  return strcpy(copy, path);
}

void ld_build_linear(ld_builder *builder, ld_linear *linear, int in, int out, bool bias,
                     const char *path_format, ...) {
  FORMAT_NAME(path_format);
  if (builder->failed) return;
  char tensor[NAME_LENGTH + 8];
  *linear = (ld_linear){.path = own_path(builder, name), .in = in, .out = out};
  linear->transposed = builder->model->family->fan_in_fan_out;
  snprintf(tensor, sizeof tensor, "%s.weight", name);
  linear->weight = linear->transposed ? matrix(builder, tensor, in, out) : matrix(builder, tensor, out, in);
  snprintf(tensor, sizeof tensor, "%s.bias", name);
  if (bias) linear->bias = vector(builder, tensor, out);
  list_linear(builder, linear);
}

void ld_build_convolution(ld_builder *builder, ld_linear *convolution, int channels, int out, int kernel,
                          int stride, int padding, const char *path_format, ...) {
  FORMAT_NAME(path_format);
  if (builder->failed) return;
  char *tensor_name = ld_format("%s.weight", name);
  const int64_t in = (int64_t)channels * kernel * kernel;
  const ld_stored *tensor = require(builder, tensor_name, &(ld_shape){4, {out, channels, kernel, kernel}});
  free(tensor_name);
  if (!tensor) return;
  *convolution = (ld_linear){.path = own_path(builder, name), .in = (int)in, .out = out};
  convolution->weight = (ld_weight){tensor->data, tensor->dtype, out, (int)in};
  convolution->kernel = (ld_kernel){kernel, kernel, stride, padding};
  list_linear(builder, convolution);
}

bool ld_build_there(const ld_builder *builder, const char *format, ...) {
  FORMAT_NAME(format);
  return find(builder, name) != NULL;
}

void ld_build_end(ld_builder *builder, const char *key, const char *format, ...) {
  FORMAT_NAME(format);
  if (builder->failed || builder->model->leftover || !find(builder, name)) return;
  char *text = ld_format("%s ends before the tensor '%s', which the folder has too", key, name);
  builder->model->leftover = strcpy(ld_build_alloc(builder, strlen(text) + 1, 1), text);
  free(text);
}

int ld_build_outputs(ld_builder *builder) {
  const ld_value *names = ld_value_get(builder->config, "id2label");
  const char *problem = ld_build_string(builder, "problem_type", NULL);
  int n = names && names->type == LD_MAP && names->n_items ? (int)names->n_items : 2;
  n = ld_build_size(builder, "num_labels", n);
  if (builder->wish.n_outputs) n = builder->wish.n_outputs;
  builder->model->task = n == 1 ? LD_TASK_VALUE : LD_TASK_CLASSES;
  if (problem && !builder->wish.n_outputs && !builder->failed &&
      strcmp(problem, n == 1 ? "regression" : "single_label_classification")) {
    char *text = ld_format("problem_type \"%.64s\" with %d outputs is not supported", problem, n);
    builder->model->unfit_head = strcpy(ld_build_alloc(builder, strlen(text) + 1, 1), text);
    builder->wish.fresh = true;
    free(text);
  }
  return n;
}

/* Whether both tensors of the layer are stored with these sizes. */
static bool is_stored(const ld_builder *builder, const char *path, int in, int out) {
  char *weight_name = ld_format("%s.weight", path), *bias_name = ld_format("%s.bias", path);
  const ld_stored *weight = find(builder, weight_name), *bias = find(builder, bias_name);
  free(weight_name);
  free(bias_name);
  return weight && bias && has_shape(weight, &(ld_shape){2, {out, in}}) &&
         has_shape(bias, &(ld_shape){1, {out}});
}

void ld_build_new_linear(ld_builder *builder, ld_linear *linear, int in, int out, bool renew, double spread,
                         const char *path_format, ...) {
  FORMAT_NAME(path_format);
  if (builder->failed) return;
  if (!renew && is_stored(builder, name, in, out)) {
    ld_build_linear(builder, linear, in, out, true, "%s", name);
    return;
  }
  *linear = (ld_linear){
      .path = own_path(builder, name), .in = in, .out = out, .is_new = true, .spread = (float)spread};
  linear->weight =
      (ld_weight){ld_build_alloc(builder, (size_t)in * (size_t)out, sizeof(float)), LD_F32, out, in};
  linear->bias = ld_build_alloc(builder, (size_t)out, sizeof(float));
  list_linear(builder, linear);
}

void ld_build_head(ld_builder *builder, bool tied, const ld_weight *embedding) {
  ld_model *model = builder->model;
  if (builder->failed) return;
  ld_linear *head = ld_build_alloc(builder, 1, sizeof *head);
  *head = (ld_linear){.path = own_path(builder, "lm_head"), .in = model->width, .out = model->vocab};
  head->weight = tied ? *embedding : matrix(builder, "lm_head.weight", model->vocab, model->width);
  model->head = head;
  model->head_tied = tied;
  list_linear(builder, head);
}

bool ld_any_trained(const ld_linear *linears, int n) {
  for (int i = 0; i < n; i++)
    if (linears[i].lora || linears[i].whole) return true;
  return false;
}
